"""The roles that transfers read a site as: made for one run, dropped with it, swept if it was killed.

A run takes a session-level advisory lock on its role's name before it makes the role, and keeps it until the
role is gone; the server lets go of it when the process dies. So a role whose lock nobody holds is a leftover,
whatever its age, and one whose lock is held is a live run's, whoever started it and from whichever
deployment. Rights are of one database: a role with rights in another is left for the sweep there.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    Connection = psycopg.Connection[tuple[Any, ...]]

LOG = logging.getLogger(__name__)
PREFIX = "ringfort_transfer_"
_SEED = 0x52464F5254  # the names' hashes are not those of anybody else's locks
_ROLES = """
SELECT r.rolname FROM pg_roles AS r, pg_database AS o
WHERE o.datname = current_database() AND r.rolname ~ %s AND NOT r.rolcanlogin
  AND NOT EXISTS (SELECT FROM pg_shdepend AS d WHERE d.refclassid = 'pg_authid'::regclass
    AND d.refobjid = r.oid AND d.dbid NOT IN (0, o.oid))
ORDER BY 1
"""
_HELD = """
SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
  AND (classid::bigint << 32 | objid::bigint) = hashtextextended(%s, %s)
"""
LOCK_SECONDS, STATEMENT_SECONDS = 5, 60


@dataclass(frozen=True)
class Swept:
    """Roles that were dropped, that are live runs', and that could not be dropped."""

    dropped: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def hold_role(connection: Connection) -> str:
    """A name for a new role, held as a live run's until `connection` ends or the role is dropped."""
    name = PREFIX + os.urandom(8).hex()
    connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, %s))", (name, _SEED))
    return name


def drop_role(connection: Connection, name: str) -> None:
    """Take a role's rights away and drop it, if it is there."""
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None:
        return
    connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
    connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def is_live(connection: Connection, name: str) -> bool:
    """Whether a run of another session holds the role."""
    return connection.execute(_HELD, (name, _SEED)).fetchone() is not None


def sweep(connection: Connection) -> Swept:
    """Drop the roles in this database that runs left which were killed. Waits for nobody for long."""
    dropped, live, left = [], [], []
    for (name,) in connection.execute(_ROLES, (f"^{PREFIX}[0-9a-f]{{16}}$",)).fetchall():
        if not _try(connection, name):
            live.append(name)
            continue
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
                connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'".encode())
                drop_role(connection, name)
            dropped.append(name)
        except psycopg.Error as error:  # somebody else swept it, or it is not ours to drop
            if connection.closed:
                raise
            left.append(f"{name} ({error.sqlstate})")
        finally:
            if not connection.closed:
                connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, %s))", (name, _SEED))
    return Swept(tuple(dropped), tuple(live), tuple(left))


def sweep_and_say(connection: Connection, database: str) -> Swept:
    """`sweep`, with a line in the log for what it did and could not do; it fails nothing else."""
    try:
        found = sweep(connection)
    except psycopg.Error as error:
        if connection.closed:
            raise
        found = Swept(left=(f"roles that cannot be listed ({error.sqlstate})",))
    if found.dropped:
        LOG.info(
            "`%s`: dropped %d roles of killed transfers: %s",
            database,
            len(found.dropped),
            ", ".join(found.dropped),
            extra={"event": "transfer-roles-swept"},
        )
    if found.left:
        LOG.warning(
            "`%s`: not dropped, though no transfer uses them: %s",
            database,
            ", ".join(found.left),
            extra={"event": "transfer-roles-left"},
        )
    return found


def _try(connection: Connection, name: str) -> bool:
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, %s))", (name, _SEED)
    ).fetchone()
    return row is not None and bool(row[0])


__all__ = ["PREFIX", "Swept", "drop_role", "hold_role", "is_live", "sweep", "sweep_and_say"]
