"""Which rows of a site's tables may be new since a snapshot: told by the transaction that wrote them.

PostgreSQL keeps with every row version the transaction that wrote it (`xmin`; freezing leaves it in place). A
row that a snapshot did not see, and that is seen now, was written by a transaction that had not ended then:
its number is that of the oldest one that was running, or a later one. `age(xmin)` tells without regard to
where the 32-bit numbers wrapped around, as long as fewer than 2^31 were given out in between; rows from
before whose old numbers happen to lie there are read once more, and no new one is missed.

That holds within one history of one server, for relations whose rows are what is stored. So a `SiteState`
names both, and what is not the same is read whole:

- the server: its system identifier (initdb, pg_upgrade), timeline (point in time recovery, promotion),
  database, start, and the start of its checkpointer (a crash may lose what was committed asynchronously, and
  numbers are given out again). What the role may not see is not the same;
- each relation with rows by its number (replaced, attached, restored tables), and in it each column by number
  and type (a renamed column, one that was dropped and added with a default);
- views, materialised views, foreign tables, other access methods than heap, columns that are made when they
  are read, and columns of types of one's own (an enumeration's labels can change) are read whole each time.

Left out: rows that went, and values that rows had before: a set that is made anew has them no more.
PostgreSQL manual: System Columns, Routine Vacuuming (25.1.5), Functions (pg_snapshot).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

_MOST_BEHIND = 2**31 - 10_000_000
_MAY_SEE = """
SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
AND pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE')
"""
_SERVER = """
SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
    (SELECT timeline_id::text FROM pg_catalog.pg_control_checkpoint()),
    (SELECT oid::text FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),
    pg_catalog.current_setting('server_version_num'),
    extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
    (SELECT extract(epoch FROM backend_start)::text FROM pg_catalog.pg_stat_activity
        WHERE backend_type = 'checkpointer')
WHERE NOT pg_catalog.pg_is_in_recovery()
"""
_NOW = """
SELECT pg_catalog.pg_snapshot_xmin(s)::text::bigint, pg_catalog.pg_snapshot_xmax(s)::text::bigint,
    extract(epoch FROM pg_catalog.now())::bigint
FROM pg_catalog.pg_current_snapshot() AS s
"""
_RELATIONS = """
WITH RECURSIVE heirs(oid) AS (
    SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(table)s
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN heirs AS h ON i.inhparent = h.oid
)
SELECT c.oid::bigint, c.relkind = 'r' AND a.amname = 'heap' AND c.relpersistence <> 't',
    (SELECT pg_catalog.array_agg(
            pg_catalog.concat_ws(' ', t.attname, t.attnum, t.atttypid::bigint, t.atttypmod) ORDER BY t.attname
        )
        FROM pg_catalog.pg_attribute AS t JOIN pg_catalog.pg_type AS y ON y.oid = t.atttypid
        WHERE t.attrelid = c.oid AND t.attname = ANY(%(columns)s) AND t.attnum > 0 AND NOT t.attisdropped
            AND t.attgenerated <> 'v' AND y.typtype = 'b')
FROM heirs AS h JOIN pg_catalog.pg_class AS c ON c.oid = h.oid
LEFT JOIN pg_catalog.pg_am AS a ON a.oid = c.relam
WHERE c.relkind <> 'p'
"""


@dataclass(frozen=True)
class SiteState:
    """A site at one snapshot: what makes it the same, and the oldest transaction that was not over.

    `relations` are, by table (`table_key`), relations with rows by number, each with its columns as text;
    None for what is read whole every time. `server` is empty where it cannot be told.
    """

    server: tuple[str, ...]
    since: int
    next: int
    time: int
    relations: Mapping[str, Mapping[str, list[str]] | None]

    def to_json(self) -> dict[str, Any]:
        """As JSON; `from_json` is its inverse."""
        return {
            "server": list(self.server), "since": self.since, "next": self.next, "time": self.time,
            "relations": {name: found and dict(found) for name, found in self.relations.items()},
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SiteState:
        """The inverse of `to_json`."""
        return cls(tuple(data["server"]), data["since"], data["next"], data["time"], data["relations"])

    def follows(self, earlier: SiteState) -> bool:
        """Whether this is a later moment of the same history, and not too late to tell."""
        return (
            bool(self.server)
            and self.server == earlier.server
            and earlier.since <= self.since
            and earlier.next <= self.next
            and self.next - earlier.since < _MOST_BEHIND
        )


def table_key(schema: str, table: str) -> str:
    """A table's key in `SiteState.relations`."""
    return json.dumps([schema, table])


def site_state(connection: Connection, tables: Sequence[tuple[str, str, Sequence[str]]]) -> SiteState:
    """The state of (schema, table, columns) in the snapshot of this REPEATABLE READ transaction."""
    server: tuple[str, ...] = ()
    if connection.execute(_MAY_SEE).fetchone() == (True,):
        row = connection.execute(_SERVER).fetchone()
        server = () if row is None or None in row else row
    since, following, time = connection.execute(_NOW).fetchone() or (0, 0, 0)
    relations = {
        table_key(schema, table): _relations(connection, schema, table, list(columns))
        for schema, table, columns in tables
    }
    return SiteState(server, since, following, time, relations)


def _relations(
    connection: Connection, schema: str, table: str, columns: list[str]
) -> dict[str, list[str]] | None:
    rows = connection.execute(_RELATIONS, {"schema": schema, "table": table, "columns": columns}).fetchall()
    if any(not plain or found is None or len(found) != len(columns) for _, plain, found in rows):
        return None
    return {str(oid): found for oid, _, found in rows}


def condition(now: SiteState, earlier: SiteState | None, name: str) -> sql.Composable | None:
    """Which rows of a table have to be read: SQL over `tableoid` and `xmin`, None for all of them."""
    relations = now.relations[name]
    known = None if earlier is None or not now.follows(earlier) else earlier.relations.get(name)
    if relations is None or known is None or earlier is None:
        return None
    same = [int(oid) for oid, columns in relations.items() if known.get(oid) == columns]
    oldest = sql.Literal(str(earlier.since % 2**32))
    return sql.SQL(
        "NOT (tableoid = ANY({same}::pg_catalog.int8[]::pg_catalog.oid[])) OR pg_catalog.age(xmin) BETWEEN 0"
        " AND pg_catalog.age({oldest}::pg_catalog.xid)"
    ).format(same=sql.Literal(same), oldest=oldest)


__all__ = ["SiteState", "condition", "site_state", "table_key"]
