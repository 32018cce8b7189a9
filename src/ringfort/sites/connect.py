"""Administrative connections to a site: embedded or the organisation's own PostgreSQL 14 to 18.

The DSN comes from a 0600 file or from the embedded server, never from an argument list; no error text
repeats it. An interrupted command cancels what such a connection is waiting for and closes it, instead of
rolling back behind a statement that goes on: the server rolls back when its client is gone.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ringfort import interruption
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import read_private
from ringfort.sites.binaries import NEWEST, OLDEST

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

CONNECT_SECONDS = 10


def read_dsn(path: Path, database: str = "") -> str:
    """The connection string kept in `path`, for `database` if given."""
    try:
        dsn = read_private(path).decode().strip()
        return with_database(dsn, database) if database else dsn
    except UnicodeDecodeError:
        raise MissingEnvironmentError(f"`{path}` is damaged", hint="restore it from a backup") from None


def with_database(dsn: str, database: str) -> str:
    """`dsn` with another database name; raises `UsageError` if it is no connection string."""
    try:
        return make_conninfo(dsn, dbname=database)
    except psycopg.ProgrammingError:
        raise _not_a_dsn() from None


def dsn_parts(dsn: str) -> dict[str, Any]:
    """The parts of a connection string by libpq's names; raises `UsageError` if it is none."""
    try:
        return dict(conninfo_to_dict(dsn))
    except psycopg.ProgrammingError:
        raise _not_a_dsn() from None


def with_password(dsn: str, password: str) -> str:
    """`dsn` as key and value pairs, with `password` unless that is empty; raises `UsageError`."""
    try:
        return make_conninfo(dsn, password=password) if password else make_conninfo(dsn)
    except psycopg.ProgrammingError:
        raise _not_a_dsn() from None


def describe(dsn: str) -> str:
    """`user@host:port/database` of a connection string: what may be shown."""
    parts = dsn_parts(dsn)
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    return f"{parts.get('user') or ''}@{host}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


class AdminConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that ends with the command, whatever the server is doing for it."""

    def stop_work(self) -> None:
        """Cancel the statement that runs, if one does; may be called from another thread."""
        if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=interruption.STOP_SECONDS)

    def __enter__(self) -> Self:
        return super().__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """As psycopg's, but no rollback waits for a statement that is left running."""
        if exc_type is not None and self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
            self.stop_work()
            self.close()
            return
        super().__exit__(exc_type, exc_val, exc_tb)


def admin_connection(
    dsn: str, *, application_name: str = "ringfort", autocommit: bool = True
) -> AdminConnection:
    """A connection whose server is PostgreSQL 14 to 18; use it in a `with`.

    Raises `MissingEnvironmentError` if there is no way in, or the server is too old or too new.
    """
    name = describe(dsn)
    try:
        connection = AdminConnection.connect(
            dsn,
            autocommit=autocommit,
            application_name=application_name,
            connect_timeout=int(str(conninfo_to_dict(dsn).get("connect_timeout") or CONNECT_SECONDS)),
            client_encoding="utf8",
        )
    except psycopg.OperationalError as error:
        raise MissingEnvironmentError(
            f"cannot connect to `{name}`: {_reason(error)}", hint=_hint(error)
        ) from None
    try:
        check_version(connection)
    except BaseException:
        connection.close()
        raise
    interruption.watch(connection)
    return connection


async def admin_connection_async(
    dsn: str, *, application_name: str = "ringfort", autocommit: bool = True
) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """`admin_connection` for an event loop."""
    name = describe(dsn)
    try:
        connection = await psycopg.AsyncConnection.connect(
            dsn,
            autocommit=autocommit,
            application_name=application_name,
            connect_timeout=int(str(conninfo_to_dict(dsn).get("connect_timeout") or CONNECT_SECONDS)),
            client_encoding="utf8",
        )
    except psycopg.OperationalError as error:
        raise MissingEnvironmentError(
            f"cannot connect to `{name}`: {_reason(error)}", hint=_hint(error)
        ) from None
    try:
        check_version(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


def check_version(connection: psycopg.BaseConnection[tuple[Any, ...]]) -> int:
    """The server's major version; raises `MissingEnvironmentError` unless it is one that is supported."""
    major = connection.info.server_version // 10_000
    if not OLDEST <= major <= NEWEST:
        raise MissingEnvironmentError(
            f"the server is PostgreSQL {major}, supported are {OLDEST} to {NEWEST}", hint="upgrade the server"
        )
    return major


def _reason(error: psycopg.OperationalError) -> str:
    """The last line of libpq's words: they name host and user, never the password."""
    lines = [each.strip() for each in str(error).splitlines() if each.strip()]
    telling = next(
        (each for each in lines if "failed:" in each or "FATAL" in each), lines[0] if lines else ""
    )
    reason = telling.rpartition("failed:")[2].strip() or "no answer"
    return reason.removeprefix("FATAL:").removeprefix("error:").strip().rstrip(".")


def _hint(error: psycopg.OperationalError) -> str:
    text = str(error)
    if "authentication failed" in text or "no password" in text:
        return "check user and password"
    if "no pg_hba.conf entry" in text:
        return "let this machine in by pg_hba.conf on the server, over TLS"
    if "does not exist" in text:
        return "check the names in the connection string"
    return "check host, port and that the server runs"


def _not_a_dsn() -> UsageError:
    return UsageError(
        "this is no PostgreSQL connection string", hint="write it like postgresql://user@host:5432/database"
    )
