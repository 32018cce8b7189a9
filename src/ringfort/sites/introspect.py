"""Reads what tables a database has, their keys, and a sample of their values for the catalogue scan.

Read-only, and in short statements, so that it can be run on a database in use: a table is sized by the blocks
that it has now, not by statistics that may be missing or old, and a big one is sampled by blocks (TABLESAMPLE
SYSTEM), so that none is read whole; values are cut, and a statement timeout holds, for locks too. Tables that
may not be read, or take too long, are reported with their columns and no values. Of a foreign table, and of
partitions that are foreign, the first rows are taken. Leaves out views (their tables are here), tables of
extensions, and what Ringfort made itself.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from psycopg import sql

from ringfort.catalog.sample import SampledColumn, SampledTable

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_ROWS = 40_000  # of a table that is not sampled by blocks
SAMPLE_ROWS = 20_000  # aimed at, where statistics say how many there are
SAMPLE_BLOCKS = 500  # at most, whatever they say
_FEWEST_BLOCKS = 50  # even where they say that there are very many rows
VALUE_CHARACTERS = 500
STATEMENT_SECONDS = 30

_Connection = psycopg.Connection[tuple[Any, ...]]

_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname, c.reltuples::bigint, c.relkind::text,
  has_table_privilege(c.oid, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'ringfort')
  AND n.nspname !~ '^(pg_|rf_[0-9a-f]{24}(_ordered)?$)'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.deptype = 'e')
ORDER BY n.nspname, c.relname"""
_COLUMNS = """
SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
  s.n_distinct, s.null_frac
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
  AND s.inherited = (c.relkind = 'p')
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum"""
_KEYS = """
SELECT k.conrelid::bigint, k.contype::text,
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(num, at)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.at),
  fn.nspname, f.relname,
  ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(num, at)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.at)
FROM pg_constraint k LEFT JOIN pg_class f ON f.oid = k.confrelid
  LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
WHERE k.conrelid = ANY(%s) AND k.contype IN ('p', 'u', 'f') AND k.conparentid = 0
ORDER BY k.conrelid, k.contype, k.conname"""
# The blocks of a table with its partitions, and whether all of it can be sampled by blocks.
_BLOCKS = """
SELECT coalesce(sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind IN ('r', 'm')), 0)::bigint
    / current_setting('block_size')::bigint,
  coalesce(bool_and(c.relkind IN ('r', 'm', 'p')), true)
FROM pg_class c
WHERE c.oid = %(table)s::oid
   OR c.oid IN (SELECT relid FROM pg_partition_tree(%(table)s::oid::regclass) WHERE isleaf)"""


@dataclass(frozen=True)
class _Relation:
    oid: int
    schema: str
    name: str
    rows: int  # estimated, -1 if never analysed
    kind: str  # pg_class.relkind
    readable: bool


def read_tables(
    connection: _Connection, *, progress: Callable[[int, int], None] | None = None
) -> tuple[SampledTable, ...]:
    """All tables of the database that `connection` is in, each with a sample; `progress` gets (done, in all).

    `connection` must be in autocommit mode.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        tables = [_Relation(*row) for row in connection.execute(_TABLES)]
        oids = [each.oid for each in tables]
        columns: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for row in connection.execute(_COLUMNS, [oids]):
            columns[row[0]].append(row[1:])
        keys: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for row in connection.execute(_KEYS, [oids]):
            keys[row[0]].append(row[1:])
    found = []
    for done, relation in enumerate(tables, start=1):
        sample = _sample(connection, relation, columns[relation.oid]) if relation.readable else None
        found.append(_table(relation, columns[relation.oid], keys[relation.oid], sample))
        if progress is not None:
            progress(done, len(tables))
    return tuple(found)


def _table(
    relation: _Relation,
    columns: list[tuple[Any, ...]],
    keys: list[tuple[Any, ...]],
    sample: list[pa.Array] | None,
) -> SampledTable:
    primary = next((tuple(own) for kind, own, *_ in keys if kind == "p"), ())
    unique = tuple(tuple(own) for kind, own, *_ in keys if kind == "u")
    references = {
        own[0]: (to_schema, to_table, other[0])
        for kind, own, to_schema, to_table, other in keys
        if kind == "f" and len(own) == 1
    }
    values = sample or [pa.array([], pa.string())] * len(columns)
    made = []
    for (column, data_type, nullable, statistic, nulls), each in zip(columns, values, strict=True):
        distinct = statistic if statistic is None or statistic >= 0 else -statistic * max(relation.rows, 0)
        made.append(SampledColumn(column, data_type, each, nullable, distinct, references.get(column), nulls))
    return SampledTable(relation.schema, relation.name, tuple(made), relation.rows, primary, unique)


def _sample(
    connection: _Connection, relation: _Relation, columns: list[tuple[Any, ...]]
) -> list[pa.Array] | None:
    """The sampled values of each column as text, None if the table could not be read in time."""
    if not columns:
        return None
    picked = sql.SQL(", ").join(
        sql.SQL("left({}::text, {})").format(sql.Identifier(column), sql.Literal(VALUE_CHARACTERS))
        if data_type != "bytea"
        else sql.SQL("NULL::text")
        for column, data_type, *_ in columns
    )
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(
                sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(STATEMENT_SECONDS * 1_000))
            )
            connection.execute("SET LOCAL datestyle = 'ISO, YMD'")
            connection.execute("SET LOCAL timezone = 'UTC'")
            share = _share(connection, relation)
            rows = connection.execute(_selection(relation, picked, share)).fetchall()
            if share is not None and not rows:  # most of its blocks are empty: rows are where they are
                rows = connection.execute(_selection(relation, picked, None)).fetchall()
    except psycopg.Error:  # a foreign table out of reach, a timeout, row security: the scan goes by the names
        return None
    return [pa.array([row[index] for row in rows], pa.string()) for index in range(len(columns))]


def _share(connection: _Connection, relation: _Relation) -> float | None:
    """The percentage of a table's blocks that is read, None for all of them: by what lies on disk now.

    Statistics do not decide: a table that was loaded and never analysed, and a partitioned one, which nothing
    analyses by itself, have none.
    """
    row = connection.execute(_BLOCKS, {"table": relation.oid}).fetchone()
    blocks, by_blocks = (int(row[0]), bool(row[1])) if row else (0, False)
    if not by_blocks or blocks <= SAMPLE_BLOCKS:
        return None
    share = SAMPLE_BLOCKS / blocks
    if relation.rows > 0:
        share = min(share, max(SAMPLE_ROWS / relation.rows, _FEWEST_BLOCKS / blocks))
    return 100.0 * share


def _selection(relation: _Relation, picked: sql.Composable, share: float | None) -> sql.Composed:
    if share is None:
        part: sql.Composable = sql.SQL("LIMIT {}").format(sql.Literal(FIRST_ROWS))
    else:
        part = sql.SQL("TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(sql.Literal(share))
    return sql.SQL("SELECT {} FROM {} {}").format(
        picked, sql.Identifier(relation.schema, relation.name), part
    )
