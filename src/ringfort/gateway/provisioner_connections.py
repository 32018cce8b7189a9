"""The administrative connections of one database, by what they are for, each with its time-outs.

    look      what every opening asks: short, and never behind a change
    change    making and dropping profiles, one at a time, under an advisory lock
    audit     the site audit, which takes seconds in a large database

One caller at a time holds each. Synchronous; the process calls it from threads. Nothing waits for a lock of a
table, or for a statement, without limit: whoever locks a table must not shut the gate. The error texts of the
server are not passed on, but for classes whose messages name objects.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from ringfort.errors import MissingEnvironmentError
from ringfort.sites.connect import admin_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connection = psycopg.Connection[tuple[Any, ...]]

PROVISION_LOCK = 0x52465052  # "RFPR"
_NAMING_CLASSES = frozenset({"08", "28", "2B", "3D", "3F", "42", "53", "55", "57"})


@dataclass
class _Desk:
    """One connection; `lock_ms` and `statement_ms` are its time-outs."""

    lock_ms: int
    statement_ms: int
    connection: Connection | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


class SiteConnections:
    """The connections of one database. `lost` is called when the server closed one: it may have crashed."""

    def __init__(self, *, database: str, dsn: str) -> None:
        self.database = database
        self.dsn = dsn
        self.lost: Callable[[], None] = lambda: None
        self._look = _Desk(1_000, 10_000)
        self._change = _Desk(2_000, 60_000)
        self._audits = _Desk(2_000, 60_000)

    def connect(self) -> Connection:
        """A new administrative connection, autocommit, with nothing but `pg_catalog` in its search path."""
        connection = admin_connection(self.dsn, application_name="ringfort provisioner")
        connection.execute("SET search_path = pg_catalog")
        return connection

    @contextlib.contextmanager
    def _at(self, desk: _Desk) -> Iterator[Connection]:
        with desk.lock:
            try:
                if desk.connection is None or desk.connection.closed:
                    desk.connection = self.connect()
                    desk.connection.execute(f"SET lock_timeout = {desk.lock_ms}")
                    desk.connection.execute(f"SET statement_timeout = {desk.statement_ms}")
                yield desk.connection
            except psycopg.Error as error:
                connection, desk.connection = desk.connection, None
                if connection is not None:
                    if connection.broken:
                        self.lost()
                    with contextlib.suppress(psycopg.Error):
                        connection.close()
                raise administration_error(self.database, error) from None

    def _looking(self) -> contextlib.AbstractContextManager[Connection]:
        """The connection for short questions."""
        return self._at(self._look)

    def _auditing(self) -> contextlib.AbstractContextManager[Connection]:
        """The connection for the audit."""
        return self._at(self._audits)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction that changes the database, alone."""
        with self._at(self._change) as connection, self.alone(connection):
            yield connection

    @staticmethod
    @contextlib.contextmanager
    def alone(connection: Connection) -> Iterator[None]:
        """A transaction under the advisory lock of everything that changes the database."""
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '10s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (PROVISION_LOCK,))
            connection.execute("SET LOCAL lock_timeout = '2s'")
            yield

    def close(self) -> None:
        """Close the connections."""
        for desk in (self._look, self._change, self._audits):
            with desk.lock:
                if desk.connection is not None:
                    with contextlib.suppress(psycopg.Error):
                        desk.connection.close()
                    desk.connection = None


def administration_error(database: str, error: psycopg.Error) -> MissingEnvironmentError:
    """The error in our words; the server's only for classes whose messages name objects, not values."""
    sqlstate = error.sqlstate or "57P03"
    reason = error.diag.message_primary or "" if sqlstate[:2] in _NAMING_CLASSES else ""
    return MissingEnvironmentError(
        f"the administration of database `{database}` failed with SQLSTATE {sqlstate}"
        + (f": {reason}" if reason else ""),
        hint="see the server's log",
    )


__all__ = ["SiteConnections", "administration_error"]
