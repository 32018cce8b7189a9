"""One column's keys into its mapping table: the SQL of filling, following and pruning, on a lane.

A lane is a pair of administrative connections, one that reads and one that writes, used by one thread at a
time, with time-outs for locks and statements. Keys come out in batches, the kernel computes pseudonyms in
columns outside of PostgreSQL, rows go in by binary COPY. Nothing but reading is asked of the base tables: no
trigger, no logical slot. Base columns are found by their numbers, so a rename changes nothing.

Several lanes may write into one mapping table: then rows go through a temporary table and a key that is there
already is left as it is. A lane that is alone at an empty table copies into it without its indexes.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from ringfort.disclosure.forms_sql import SCHEMA
from ringfort.disclosure.views import (
    map_index_statements,
    map_raw_type,
    map_unindex_statements,
    source_expression,
)
from ringfort.gateway.mapping_copy import BATCH, HEADER, TRAILER
from ringfort.gateway.mapping_state import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.disclosure.profile import MapPlan, MapSource
    from ringfort.gateway.mapping_copy import MappingCodec
    from ringfort.privacy.pseudonym import Domain

    Connection = psycopg.Connection[tuple[Any, ...]]

CHUNK = 8_192  # rows that libpq holds at a time
LOCK_SECONDS = 1.0  # for a lock on a base table: one that is locked for longer is tried again later
_RANGED = frozenset({"smallint", "integer", "bigint"})

_COUNTERS = """
SELECT coalesce(sum(pg_stat_get_tuples_inserted(x.oid) + pg_stat_get_tuples_updated(x.oid)), 0)::bigint,
    coalesce(sum(pg_stat_get_tuples_deleted(x.oid) + pg_stat_get_tuples_updated(x.oid)), 0)::bigint,
    coalesce(sum(pg_relation_filenode(x.oid)::bigint), 0)::bigint
FROM (SELECT %(oid)s::oid AS oid UNION SELECT relid FROM pg_partition_tree(%(oid)s::oid::regclass)) AS x
"""
_NAMES = """
SELECT n.nspname, c.relname, a.attname,
    format_type(CASE WHEN y.typtype = 'd' THEN y.typbasetype ELSE y.oid END, NULL),
    EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL
        AND i.indkey[0] = a.attnum),
    c.relkind IN ('r', 'p'),
    (SELECT coalesce(sum(greatest(x.reltuples, 0)), 0)::bigint FROM pg_class AS x WHERE x.oid = c.oid
        OR x.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid)),
    (SELECT s.n_distinct FROM pg_stats AS s WHERE s.schemaname = n.nspname AND s.tablename = c.relname
        AND s.attname = a.attname ORDER BY s.inherited DESC LIMIT 1)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid JOIN pg_type AS y ON y.oid = a.atttypid
WHERE c.oid = %s AND a.attnum = %s AND NOT a.attisdropped
"""
_LARGEST = sql.SQL("SELECT max(raw) FROM {}")
_EMPTY = sql.SQL("SELECT 1 FROM {} LIMIT 1")
_PUT = sql.SQL("COPY {} (raw, pseudonym) FROM STDIN (FORMAT binary)")


@dataclass(eq=False)
class Source:
    """What is known of one base column. `busy`: a lane works on it; `queued`: it waits for one."""

    source: MapSource
    progress: Progress = field(default_factory=Progress)
    pending: bool = True
    snapshot: str = ""
    counters: tuple[int, ...] = ()
    deleted: tuple[int, ...] = ()
    ended: float = 0.0
    seconds: float = 0.0
    long: bool = False
    busy: bool = False
    queued: bool = False

    @property
    def full(self) -> bool:
        """Whether every key that was there at the last look has its pseudonym."""
        return self.progress.filled


@dataclass(eq=False)
class Map:
    """A mapping table. `alone`: a lane has it for itself; `suspect`: the server may have emptied it.

    `ahead`: no session waits for it.
    """

    plan: MapPlan
    domain: Domain
    key: str
    codec: MappingCodec
    sources: list[Source]
    rows: int = 0
    analyzed: int = 0
    pruned: float = field(default_factory=time.monotonic)
    prune_due: float = 0.0
    to_prune: bool = False
    pruning: bool = False
    prune_fault: str = ""
    ahead: bool = False
    alone: bool = False
    suspect: bool = False
    alive: bool = True
    writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> sql.Identifier:
        """The table."""
        return sql.Identifier(SCHEMA, self.plan.table)


@dataclass(frozen=True)
class _Column:
    """A base column as it is called now. `expected` keys, as the statistics have it; -1: unknown."""

    schema: str
    table: str
    column: str
    data_type: str
    indexed: bool
    stored: bool
    expected: int


class Lane:
    """A reader and a writer. `statement_seconds` for each statement (0: no limit)."""

    def __init__(self, connect: Callable[[], Connection], statement_seconds: float) -> None:
        self._connect = connect
        self._statement_seconds = statement_seconds
        self._reader: Connection | None = None
        self._writer: Connection | None = None
        self._staged: set[str] = set()
        self.at: Map | None = None

    def reader(self) -> Connection:
        """The connection that reads."""
        if self._reader is None:
            self._reader = self._opened(self._statement_seconds)
        return self._reader

    def writer(self) -> Connection:
        """The connection that writes."""
        if self._writer is None:
            self._writer, self._staged = self._opened(0), set()
        return self._writer

    @property
    def lost(self) -> bool:
        """Whether the server has closed a connection."""
        return any(each is not None and each.broken for each in (self._reader, self._writer))

    def _opened(self, statement_seconds: float) -> Connection:
        connection = self._connect()
        connection.execute("SET search_path = pg_catalog")
        connection.execute(f"SET lock_timeout = {int(LOCK_SECONDS * 1000)}")
        connection.execute(f"SET statement_timeout = {int(statement_seconds * 1000)}")
        connection.execute("SET maintenance_work_mem = '256MB'")
        return connection

    def close(self) -> None:
        """Close both."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                with contextlib.suppress(psycopg.Error):
                    connection.close()
        self._reader = self._writer = None

    def tidy(self) -> bool:
        """After an error: close what is not fit for another statement; whether the writer is still there."""
        for connection in (self._reader, self._writer):
            if connection is not None and connection.info.transaction_status != TransactionStatus.IDLE:
                with contextlib.suppress(psycopg.Error):
                    connection.close()
        self._reader = None if self._reader is None or self._reader.closed else self._reader
        self._writer = None if self._writer is None or self._writer.closed else self._writer
        return self._writer is not None

    def cancel(self) -> None:
        """Cancel what the lane is at; safe from another thread."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                with contextlib.suppress(psycopg.Error):
                    connection.cancel()

    def one(self, query: str, parameters: Any = None) -> tuple[Any, ...]:  # noqa: ANN401 - psycopg's own type
        """The one row of a query."""
        row = self.one_or_none(query, parameters)
        if row is None:
            raise AssertionError
        return row

    def one_or_none(self, query: str, parameters: Any = None) -> tuple[Any, ...] | None:  # noqa: ANN401
        """The first row of a query."""
        return self.reader().execute(query, parameters).fetchone()

    # -- what there is -------------------------------------------------------------------------------

    def snapshot(self) -> str:
        """What has committed, as a text that moves with it."""
        return str(self.one("SELECT pg_current_snapshot()::text")[0])

    def counters(self, source: Source) -> tuple[int, ...]:
        """Rows inserted and deleted, files: they move when the relation changes."""
        return self.one(_COUNTERS, {"oid": source.source.oid})

    def empty(self, kept: Map) -> bool:
        """Whether nothing is in the mapping table."""
        return self.one_or_none(_EMPTY.format(kept.name).as_string()) is None

    def column(self, source: Source) -> _Column | None:
        """The base column as it is called now, None if it is gone, and the views over it with it."""
        row = self.one_or_none(_NAMES, (source.source.oid, source.source.number))
        if row is None:
            return None
        schema, table, column, data_type, indexed, stored, rows, distinct = row
        expected = rows if not distinct else int(distinct if distinct > 0 else -distinct * rows)
        return _Column(schema, table, column, data_type, indexed, stored, expected if rows else -1)

    # -- filling -------------------------------------------------------------------------------------

    def fill(self, kept: Map, source: Source, *, tail: bool, alone: Callable[[], bool]) -> int:
        """Add the keys that are missing; with `tail` only those above the largest known one, by an index.

        `alone` is asked for the mapping table while nobody else writes into it; true if it is ours then.
        """
        where = self.column(source)
        if where is None or (tail and not (where.indexed and kept.plan.storage_type in _RANGED)):
            return 0
        source.progress.begin(where.expected, time.monotonic())
        base = sql.SQL("t.{}").format(sql.Identifier(where.column))
        above: sql.Composable = sql.SQL("")
        if tail:  # the largest key as a constant: of an unknown one the planner expects a third of the table
            (largest,) = self.one(_LARGEST.format(kept.name).as_string())
            if largest is None:
                return 0
            above = sql.SQL(" AND {} > {}").format(base, sql.Literal(largest))
        empty = not tail and where.stored and alone() and self.empty(kept)
        missing: sql.Composable = sql.SQL("")
        if not empty:  # else nothing reads the table, and its indexes can be away for the load
            missing = sql.SQL("WHERE NOT EXISTS (SELECT FROM {} AS m WHERE m.raw = s.v)").format(kept.name)
        query = sql.SQL(
            "SELECT {} FROM (SELECT DISTINCT v FROM ("
            "SELECT {} AS v FROM {} AS t WHERE {} IS NOT NULL{}) AS s {}) AS d"
        ).format(
            sql.SQL(kept.codec.select),
            source_expression(kept.plan, where.data_type, base),
            sql.Identifier(where.schema, where.table),
            base,
            above,
            missing,
        )
        added = self._load(kept, source, query, empty=empty)
        kept.rows += added
        if kept.rows - kept.analyzed > 1000 + kept.analyzed // 5:
            # after a bulk load the visibility map, too: without it there are no index-only scans
            how = sql.SQL("VACUUM (ANALYZE) {}" if empty else "ANALYZE {}")
            self.writer().execute(how.format(kept.name))
            kept.analyzed = kept.rows
        return added

    def _load(self, kept: Map, source: Source, query: sql.Composed, *, empty: bool) -> int:
        # not a server-side cursor: those have no parallel plans, and an anti-join of millions wants one
        with self.reader().cursor() as cursor:
            keys = cursor.stream(query, binary=True, size=CHUNK)
            batch = list(itertools.islice(keys, BATCH))
            if not batch:
                return 0
            if len(kept.sources) > 1 and not empty:
                return self._stage(kept, source, keys, batch)
            writer = self.writer()
            added = 0
            with writer.transaction():
                unindexed = empty and len(batch) == BATCH
                for statement in map_unindex_statements(kept.plan) if unindexed else ():
                    writer.execute(statement)
                with writer.cursor().copy(_PUT.format(kept.name)) as target:
                    target.write(HEADER)
                    while batch:
                        target.write(kept.codec.encode(batch))
                        added += len(batch)
                        source.progress.done = added
                        batch = list(itertools.islice(keys, BATCH)) if kept.alive else []
                    target.write(TRAILER)
                for statement in map_index_statements(kept.plan) if unindexed else ():
                    writer.execute(statement)
        return added

    def _stage(self, kept: Map, source: Source, keys: Any, batch: list[Any]) -> int:  # noqa: ANN401
        """Batches by a temporary table, each a short transaction: others may add the same keys."""
        writer = self.writer()
        stage = sql.Identifier("pg_temp", f"stage_{kept.plan.id}")
        put = sql.SQL("INSERT INTO {} SELECT raw, pseudonym FROM {} ON CONFLICT DO NOTHING")
        if kept.plan.id not in self._staged:
            writer.execute(
                sql.SQL(
                    "CREATE TEMP TABLE {} (raw {} NOT NULL, pseudonym uuid NOT NULL) ON COMMIT DELETE ROWS"
                ).format(stage, map_raw_type(kept.plan))
            )
            self._staged.add(kept.plan.id)
        added = 0
        while batch:
            with kept.writing, writer.transaction():
                with writer.cursor().copy(_PUT.format(stage)) as target:
                    target.write(HEADER + kept.codec.encode(batch) + TRAILER)
                added += writer.execute(put.format(kept.name, stage)).rowcount
            source.progress.done += len(batch)
            batch = list(itertools.islice(keys, BATCH)) if kept.alive else []
        return added

    def prune(self, kept: Map) -> None:
        """Remove keys that no source has."""
        conditions: list[sql.Composable] = []
        for source in kept.sources:
            where = self.column(source)
            if where is not None:
                base = sql.SQL("t.{}").format(sql.Identifier(where.column))
                conditions.append(
                    sql.SQL("NOT EXISTS (SELECT FROM {} AS t WHERE {} = m.raw)").format(
                        sql.Identifier(where.schema, where.table),
                        source_expression(kept.plan, where.data_type, base),
                    )
                )
        if conditions:
            self.writer().execute(
                sql.SQL("DELETE FROM {} AS m WHERE {}").format(kept.name, sql.SQL(" AND ").join(conditions))
            )


__all__ = ["LOCK_SECONDS", "Lane", "Map", "Source"]
