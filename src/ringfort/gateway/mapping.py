"""Keeps the mapping tables of one database full: every key gets its pseudonym within seconds.

The kernel computes pseudonyms in columns outside of PostgreSQL; keys come out in batches, rows
go in by binary COPY. Nothing but reading is asked of the base tables: no trigger, no logical slot. What
changed is found cheaply:

1. One `pg_current_snapshot()` for each round: if it has not moved, nothing was committed, and that was all.
2. For whole-number keys with an index: the keys above the largest known one, through that index.
3. A full anti-join of base column and mapping table: at once if the table's counters (`pg_stat_*`) or its
   file (`relfilenode`) changed or the last one was quick, but never for more than a quarter of the time.

Keys that no base row has any longer are removed from the table, too (erasure would be idle otherwise). The
tables are UNLOGGED: after a crash they are empty, the connection is lost, and everything is filled anew.

Invariants: base columns are found by their numbers, so a rename changes nothing; one filler per database (an
advisory lock); no error text of the server is passed on, because it may echo a key. DESIGN section 5.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ringfort.disclosure.forms_sql import SCHEMA
from ringfort.disclosure.views import map_index_statements, map_unindex_statements, source_expression
from ringfort.gateway.mapping_copy import BATCH, HEADER, TRAILER, MappingCodec
from ringfort.privacy.pseudonym import Pseudonymiser, derive_key, key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ringfort.disclosure.profile import MapPlan, MapSource
    from ringfort.privacy.pseudonym import Domain

    Connection = psycopg.Connection[tuple[Any, ...]]

LOG = logging.getLogger(__name__)
FILLER_LOCK = 0x52464D41  # "RFMA"
CHUNK = 8_192  # rows that libpq holds at a time
QUICK_SECONDS = 0.2
REST = 3.0  # a full anti-join is followed by this many times its duration without one
SAFETY_SECONDS = 60.0
PRUNE_SECONDS = 30.0
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
        AND i.indkey[0] = a.attnum)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid JOIN pg_type AS y ON y.oid = a.atttypid
WHERE c.oid = %s AND a.attnum = %s AND NOT a.attisdropped
"""

_LARGEST = sql.SQL("SELECT max(raw) FROM {}")
_EMPTY = sql.SQL("SELECT 1 FROM {} LIMIT 1")
_PUT = sql.SQL("COPY {} (raw, pseudonym) FROM STDIN (FORMAT binary)")


@dataclass
class _Source:
    """What is known of one base column."""

    source: MapSource
    full: bool = False
    pending: bool = True
    snapshot: str = ""
    counters: tuple[int, ...] = ()
    deleted: tuple[int, ...] = ()
    ended: float = 0.0
    seconds: float = 0.0


@dataclass
class _Map:
    plan: MapPlan
    domain: Domain
    key: str
    codec: MappingCodec
    sources: list[_Source]
    rows: int = 0
    analyzed: int = 0
    pruned: float = field(default_factory=time.monotonic)
    to_prune: bool = False


class MappingFiller:
    """The filler of one database. `connect` gives administrative connections, `secret` a domain's secret.

    Safe to use from several threads; `round` and `ensure` exclude each other for the time of one column.
    """

    def __init__(self, connect: Callable[[], Connection], secret: Callable[[Domain], bytes]) -> None:
        self._connect = connect
        self._secret = secret
        self._lock = threading.RLock()
        self._maps: dict[str, _Map] = {}
        self._reader: Connection | None = None
        self._writer: Connection | None = None

    def add(self, domain: Domain, plans: Iterable[MapPlan]) -> None:
        """Take over mapping tables of a domain; known ones stay as they are."""
        with self._lock:
            for plan in plans:
                if plan.id not in self._maps:
                    secret = self._secret(domain)
                    key = derive_key(secret, domain, plan.identity_space, plan.pseudonym_type)
                    codec = MappingCodec(plan.storage_type, Pseudonymiser(key, plan.pseudonym_type))
                    sources = [_Source(each) for each in plan.sources]
                    self._maps[plan.id] = _Map(plan, domain, key_id(secret, domain), codec, sources)

    def keep(self, usable: Callable[[Domain, str], bool]) -> None:
        """Let go of mapping tables whose epoch is not usable any more, and of their keys."""
        with self._lock:
            for each in [key for key, kept in self._maps.items() if not usable(kept.domain, kept.key)]:
                del self._maps[each]

    def forget(self, ids: Iterable[str]) -> None:
        """Let mapping tables go: they were dropped."""
        with self._lock:
            for each in ids:
                self._maps.pop(each, None)

    def filled(self, map_id: str) -> bool:
        """Whether a mapping table has been filled since the last loss of connection."""
        kept = self._maps.get(map_id)
        return kept is not None and all(source.full for source in kept.sources)

    @property
    def ids(self) -> set[str]:
        """The mapping tables that are kept."""
        return set(self._maps)

    def ensure(self, ids: Iterable[str]) -> None:
        """Return when each of these has been filled once since the last loss of connection."""
        wanted = [
            each
            for each in ids
            if (kept := self._maps.get(each)) is None or not all(source.full for source in kept.sources)
        ]
        if not wanted:
            return  # without waiting for a round that is going on
        with self._guarded():
            for each in wanted:
                kept = self._maps.get(each)
                if kept is not None:
                    for source in kept.sources:
                        if not source.full:
                            self._fill_all(kept, source)

    def round(self) -> int:
        """Look at everything once; gives the number of keys added."""
        added = 0
        with self._guarded():
            snapshot = self._one("SELECT pg_current_snapshot()::text")[0]
        for kept in list(self._maps.values()):
            for source in kept.sources:
                with self._guarded():
                    if kept.plan.id in self._maps:
                        added += self._look(kept, source, snapshot)
            if kept.to_prune and time.monotonic() - kept.pruned > PRUNE_SECONDS:
                with self._guarded():
                    if kept.plan.id in self._maps:
                        self._prune(kept)
        return added

    def run(self, stop: threading.Event, seconds: float = 1.0) -> None:
        """`round` every so many seconds until `stop`; failures are logged without the server's words."""
        said = ""
        while not stop.is_set():
            try:
                self.round()
                said = ""
            except psycopg.Error as error:
                problem = f"mapping: {type(error).__name__} {error.sqlstate or ''}".rstrip()
                if problem != said:
                    said = problem
                    LOG.warning("%s", problem, extra={"event": "mapping-skipped"})
            stop.wait(seconds)
        self.close()

    def close(self) -> None:
        """Close the connections; what is filled is looked at anew when they are opened again."""
        with self._lock:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    with contextlib.suppress(psycopg.Error):
                        connection.close()
            self._reader = self._writer = None
            for kept in self._maps.values():
                for source in kept.sources:
                    source.full, source.pending = False, True

    # -- one look ----------------------------------------------------------------------------------

    def _look(self, kept: _Map, source: _Source, snapshot: str) -> int:
        if not source.full:
            return self._fill_all(kept, source)
        moved = snapshot != source.snapshot
        if not moved and not source.pending:
            return 0
        source.snapshot = snapshot
        counters = self._one(_COUNTERS, {"oid": source.source.oid})
        changed = (counters[0], counters[2]) != source.counters
        if (counters[1], counters[2]) != source.deleted:
            source.deleted = (counters[1], counters[2])
            kept.to_prune = True
        source.pending = True
        rest = time.monotonic() - source.ended
        if rest >= REST * source.seconds and (
            changed or source.seconds < QUICK_SECONDS or rest > SAFETY_SECONDS
        ):
            return self._fill_all(kept, source)
        return self._fill(kept, source, tail=True) if moved else 0

    def _fill_all(self, kept: _Map, source: _Source) -> int:
        """A full anti-join; what commits from here on moves the counters or the snapshot once more."""
        counters = self._one(_COUNTERS, {"oid": source.source.oid})
        source.counters = (counters[0], counters[2])
        if not source.full:
            source.deleted = (counters[1], counters[2])
            kept.to_prune = True
        source.snapshot = self._one("SELECT pg_current_snapshot()::text")[0]
        source.pending = False
        started = time.monotonic()
        try:
            added = self._fill(kept, source, tail=False)
        except BaseException:
            source.full, source.pending = False, True
            raise
        source.ended = time.monotonic()
        source.seconds = source.ended - started if not added else min(source.seconds, 1.0)
        source.full = True
        return added

    def _fill(self, kept: _Map, source: _Source, *, tail: bool) -> int:
        where = self._one_or_none(_NAMES, (source.source.oid, source.source.number))
        if where is None:
            return 0  # the column is gone, and the views over it with it
        schema, table, column, data_type, indexed = where
        if tail and not (indexed and kept.plan.storage_type in _RANGED):
            return 0
        base = sql.SQL("t.{}").format(sql.Identifier(column))
        name = sql.Identifier(SCHEMA, kept.plan.table)
        above: sql.Composable = sql.SQL("")
        if tail:  # the largest key as a constant: of an unknown one the planner expects a third of the table
            (largest,) = self._one(_LARGEST.format(name).as_string())
            if largest is None:
                return 0
            above = sql.SQL(" AND {} > {}").format(base, sql.Literal(largest))
        empty = not tail and self._one_or_none(_EMPTY.format(name).as_string()) is None
        missing: sql.Composable = sql.SQL("")
        if not empty:  # else nothing reads the table, and its indexes can be away for the load
            missing = sql.SQL("WHERE NOT EXISTS (SELECT FROM {} AS m WHERE m.raw = s.v)").format(name)
        query = sql.SQL(
            "SELECT {} FROM (SELECT DISTINCT v FROM ("
            "SELECT {} AS v FROM {} AS t WHERE {} IS NOT NULL{}) AS s {}) AS d"
        ).format(
            sql.SQL(kept.codec.select),
            source_expression(kept.plan, data_type, base),
            sql.Identifier(schema, table),
            base,
            above,
            missing,
        )
        added = self._load(kept, query, empty=empty)
        kept.rows += added
        if kept.rows - kept.analyzed > 1000 + kept.analyzed // 5:
            # after a bulk load the visibility map, too: without it there are no index-only scans
            how = sql.SQL("VACUUM (ANALYZE) {}" if empty else "ANALYZE {}")
            self._writer_connection().execute(how.format(name))
            kept.analyzed = kept.rows
        return added

    def _load(self, kept: _Map, query: sql.Composed, *, empty: bool) -> int:
        reader, writer = self._reader_connection(), self._writer_connection()
        added = 0
        # not a server-side cursor: those have no parallel plans, and an anti-join of millions wants one
        with reader.cursor() as cursor:
            keys = cursor.stream(query, binary=True, size=CHUNK)
            batch = list(itertools.islice(keys, BATCH))
            if not batch:
                return 0
            with writer.transaction():
                if empty and len(batch) == BATCH:
                    for statement in map_unindex_statements(kept.plan):
                        writer.execute(statement)
                with writer.cursor().copy(_PUT.format(sql.Identifier(SCHEMA, kept.plan.table))) as target:
                    target.write(HEADER)
                    while batch:
                        target.write(kept.codec.encode(batch))
                        added += len(batch)
                        batch = list(itertools.islice(keys, BATCH))
                    target.write(TRAILER)
                if empty and added >= BATCH:
                    for statement in map_index_statements(kept.plan):
                        writer.execute(statement)
        return added

    def _prune(self, kept: _Map) -> None:
        """Remove keys that no source has."""
        kept.pruned = time.monotonic()
        conditions: list[sql.Composable] = []
        for source in kept.sources:
            where = self._one_or_none(_NAMES, (source.source.oid, source.source.number))
            if where is None:
                continue
            base = sql.SQL("t.{}").format(sql.Identifier(where[2]))
            conditions.append(
                sql.SQL("NOT EXISTS (SELECT FROM {} AS t WHERE {} = m.raw)").format(
                    sql.Identifier(where[0], where[1]), source_expression(kept.plan, where[3], base)
                )
            )
        if conditions:
            self._writer_connection().execute(
                sql.SQL("DELETE FROM {} AS m WHERE {}").format(
                    sql.Identifier(SCHEMA, kept.plan.table), sql.SQL(" AND ").join(conditions)
                )
            )
        kept.to_prune = False

    # -- connections -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Exclusive use of the connections; after any error they are closed and everything is suspect."""
        with self._lock:
            try:
                yield
            except BaseException:
                self.close()
                raise

    def _opened(self) -> Connection:
        connection = self._connect()
        connection.execute("SET search_path = pg_catalog")
        connection.execute("SET lock_timeout = '10s'")
        connection.execute("SET maintenance_work_mem = '256MB'")
        return connection

    def _reader_connection(self) -> Connection:
        if self._reader is None:
            self._reader = self._opened()
        return self._reader

    def _writer_connection(self) -> Connection:
        if self._writer is None:
            self._writer = self._opened()
            self._writer.execute("SELECT pg_advisory_lock(%s)", (FILLER_LOCK,))
        return self._writer

    def _one(self, query: str, parameters: Any = None) -> tuple[Any, ...]:  # noqa: ANN401 - psycopg's own type
        row = self._one_or_none(query, parameters)
        if row is None:
            raise AssertionError
        return row

    def _one_or_none(self, query: str, parameters: Any = None) -> tuple[Any, ...] | None:  # noqa: ANN401
        return self._reader_connection().execute(query, parameters).fetchone()


__all__ = ["MappingFiller"]
