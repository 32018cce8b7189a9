"""Tables of a site, kept from being changed while they are read, and shown to be those that were classified.

A name is resolved more than once: when it is checked, when rights are given, when rows are read. So the
reading transaction first takes ACCESS SHARE on all tables, in one statement and in a fixed order, before it
has a snapshot; no column can be renamed, retyped or swapped and no table replaced from then on. Then names,
numbers and types are read anew, in that transaction and beside it, and held against the catalogue, the bound
numbers and what stood there when the run began to look. What a lock does not keep still (a schema that is
renamed, a partition that is attached) shows in which relations the transaction has locked at its end.

Materialised views and foreign tables cannot be locked before there is a snapshot: if one was changed between
the two, both readings differ. Left out: what functions within views do.
PostgreSQL manual: LOCK, Transaction Isolation, pg_locks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ringfort.disclosure import views
from ringfort.disclosure.binding import RELATIONS, binding_from, binding_of
from ringfort.disclosure.forms_sql import bare_type
from ringfort.disclosure.profile import SchemaDriftError
from ringfort.errors import MissingEnvironmentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ringfort.disclosure.profile import Binding

    Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_SECONDS = 60.0
_DRIFT = "review catalog.toml against the database"
_LOCKABLE = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN unnest(%(schemas)s::text[], %(tables)s::text[]) AS w(s, t) ON w.s = n.nspname AND w.t = c.relname
WHERE c.relkind IN ('r', 'p', 'v')
"""
_FILES = """
SELECT c.oid::bigint, c.relfilenode::bigint, c.relkind::text FROM pg_catalog.pg_class AS c
WHERE c.oid = ANY(%s::bigint[]::oid[]) ORDER BY 1
"""
_LOCKED = """
SELECT DISTINCT c.oid::bigint, c.relname::text FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = current_database()
WHERE l.pid = %s AND l.locktype = 'relation' AND l.granted
AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
"""
_HEIRS = """
WITH RECURSIVE heirs(oid) AS (
    SELECT unnest(%s::bigint[]::oid[])
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN heirs AS h ON i.inhparent = h.oid
) SELECT oid::bigint FROM heirs
"""


@dataclass(frozen=True)
class ReadTable:
    """A table that is read: its names, and (name, type as catalogued) of each column; "" is any type."""

    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema, self.name


@dataclass(frozen=True)
class Seen:
    """What stood under the tables' names at one moment: numbers of relations and columns, types, files."""

    tables: Mapping[tuple[str, str], tuple[int, tuple[tuple[str, int, str], ...]]]
    files: tuple[tuple[Any, ...], ...] = ()


def read_together(tables: Sequence[ReadTable]) -> tuple[ReadTable, ...]:
    """Each table once with all of its columns, in the order in which they are locked."""
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for each in tables:
        known = columns.setdefault(each.key, {})
        known.update({name: stated or known.get(name, "") for name, stated in each.columns})
    return tuple(ReadTable(*key, tuple(sorted(found.items()))) for key, found in sorted(columns.items()))


def look(connection: Connection, catalogue: str, tables: Sequence[ReadTable]) -> Seen:
    """What the database has under these names; raises `SchemaDriftError` if it is not what was catalogued.

    Numbers that were bound to the catalogue of this digest must be the same; where none were, there are only
    names and types to go by.
    """
    now = binding_of(connection.execute(RELATIONS, _named(tables)).fetchall())
    then = _bound(connection, catalogue)
    found = {}
    for each in tables:
        relation, before = now.get(each.key), None if then is None else then.get(each.key)
        if relation is None or (before is not None and before.oid != relation.oid):
            raise drift(f"table `{'.'.join(each.key)}`")
        columns = []
        for name, stated in each.columns:
            column = relation.column(name)
            bound = None if before is None else before.column(name)
            if (
                column is None
                or (stated and bare_type(column.data_type) != bare_type(stated))
                or (
                    bound is not None and (bound.number, bound.data_type) != (column.number, column.data_type)
                )
            ):
                raise drift(f"column `{'.'.join((*each.key, name))}`")
            columns.append((name, column.number, column.data_type))
        found[each.key] = relation.oid, tuple(columns)
    # a plain table is locked before there is a snapshot, what the others hold is told by their files
    files = connection.execute(_FILES, ([oid for oid, _ in found.values()],)).fetchall()
    return Seen(found, tuple(row for row in files if row[2] not in {"r", "p", "v"}))


class LockedTables:
    """Tables under the locks of a transaction that reads; `admin` looks from beside it.

    `before` is what stood there when the run began to look.
    """

    def __init__(self, admin: Connection, catalogue: str, tables: Sequence[ReadTable], before: Seen) -> None:
        self._admin = admin
        self._catalogue = catalogue
        self._tables = tables
        self._before = before
        self._pid = 0
        self._locked: frozenset[int] = frozenset()

    def lock(self, reader: Connection, seconds: float = LOCK_SECONDS) -> None:
        """Lock and check, as the first thing of a REPEATABLE READ transaction that has no snapshot yet.

        Raises `SchemaDriftError` if something is another by then, `MissingEnvironmentError` if the locks were
        not to be had in this time.
        """
        plain = {tuple(row) for row in self._admin.execute(_LOCKABLE, _named(self._tables)).fetchall()}
        names = [sql.Identifier(*each.key) for each in self._tables if each.key in plain]
        reader.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(int(seconds * 1000)))
        try:
            if names:
                reader.execute(
                    sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(names))
                )
            for each in self._tables:
                if each.key not in plain:
                    reader.execute(sql.SQL("SELECT FROM {} LIMIT 0").format(sql.Identifier(*each.key)))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise drift("a table") from None
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            raise MissingEnvironmentError(
                "the tables could not be read: another session keeps one of them locked, as a migration does",
                hint="wait until it is done, then run the transfer again: it goes on",
            ) from None
        seen = look(reader, self._catalogue, self._tables)
        if look(self._admin, self._catalogue, self._tables) != seen or seen != self._before:
            raise _meanwhile()
        row = reader.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
        self._pid = 0 if row is None else row[0]
        self._locked = frozenset(oid for oid, _ in self._relations())

    def require_same(self) -> None:
        """After reading, before the transaction ends: names led to the relations that were checked, only."""
        names = {name for _, name in self._before.tables}
        oids = [oid for oid, _ in self._before.tables.values()]
        heirs = {row[0] for row in self._admin.execute(_HEIRS, (oids,)).fetchall()}
        for oid, name in self._relations():
            if oid not in self._locked and (name in names or oid in heirs):
                raise _meanwhile()

    def _relations(self) -> list[tuple[int, str]]:
        return [(row[0], row[1]) for row in self._admin.execute(_LOCKED, (self._pid,)).fetchall()]


def drift(what: str) -> SchemaDriftError:
    """The error for something that is not what was classified."""
    return SchemaDriftError(f"{what} is no longer what was classified", hint=_DRIFT)


def _meanwhile() -> SchemaDriftError:
    return SchemaDriftError("the tables were changed while they were being read", hint=_DRIFT)


def _named(tables: Sequence[ReadTable]) -> dict[str, list[str]]:
    return {"schemas": [each.schema for each in tables], "tables": [each.name for each in tables]}


def _bound(connection: Connection, catalogue: str) -> Binding | None:
    if connection.execute(
        "SELECT pg_catalog.to_regclass(%s)", (views.BINDING.as_string(connection),)
    ).fetchone() == (None,):
        return None
    row = connection.execute(
        sql.SQL("SELECT relations FROM {} WHERE catalogue = %s").format(views.BINDING), (catalogue,)
    ).fetchone()
    return None if row is None else binding_from(row[0])


__all__ = ["LOCK_SECONDS", "LockedTables", "ReadTable", "Seen", "drift", "look", "read_together"]
