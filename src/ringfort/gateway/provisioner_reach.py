"""What a change of some tables reaches beside them, in the live database: other tables, and code that runs.

*Tables*: those whose rows a foreign key deletes or changes with them (CASCADE, SET NULL, SET DEFAULT),
inheritance children and partitions; and what is reached from there. *Effects*: enabled triggers and rules on
any of these, event triggers, functions and operators of the database's own in defaults, generated columns,
constraints (of domains too), indexes, partition keys, policies and statistics, and sequences that defaults
advance and that belong to none of the tables. A trigger may do anything that its owner may: it is named,
never followed.

Invariants: reads the system catalogue only; bounded by `MOST_REACHED`; what is reached is found anew at each
call. Left out: what the functions of an operator class do; where a foreign key's check looks (its answer says
whether a key is there); replication.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ringfort.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

MOST_REACHED = 1_000

_TABLES: Final = """
WITH RECURSIVE reached (oid, why) AS (
    SELECT t.oid, '' COLLATE "C" FROM unnest(%(tables)s::oid[]) AS t (oid)
    UNION
    SELECT n.oid, n.why COLLATE "C" FROM reached AS r CROSS JOIN LATERAL (
        SELECT c.conrelid, format('foreign key %%s to %%s', c.conname, r.oid::regclass)
        FROM pg_constraint AS c
        WHERE c.contype = 'f' AND c.confrelid = r.oid
        AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))
        UNION ALL
        SELECT i.inhrelid, format('inherits from %%s', r.oid::regclass) FROM pg_inherits AS i
        WHERE i.inhparent = r.oid
    ) AS n (oid, why)
)
SELECT DISTINCT ON (r.oid) r.oid::bigint, r.oid::regclass::text, r.why FROM reached AS r
JOIN pg_class AS c ON c.oid = r.oid WHERE c.relkind IN ('r', 'p', 'f')
ORDER BY r.oid, r.why LIMIT %(most)s
"""
_EFFECTS: Final = """
WITH RECURSIVE own (oid) AS (SELECT unnest(%(reached)s::oid[])),
types (oid) AS (
    SELECT a.atttypid FROM pg_attribute AS a JOIN own ON a.attrelid = own.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT n.oid FROM types AS t JOIN pg_type AS p ON p.oid = t.oid CROSS JOIN LATERAL (
        VALUES (p.typbasetype), (p.typelem)
        UNION ALL SELECT a.atttypid FROM pg_attribute AS a
        WHERE p.typtype = 'c' AND a.attrelid = p.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS n (oid) WHERE n.oid <> 0
),
parts (classid, objid, relation) AS (
    SELECT 'pg_attrdef'::regclass, d.oid, d.adrelid FROM pg_attrdef AS d JOIN own ON own.oid = d.adrelid
    UNION ALL SELECT 'pg_constraint'::regclass, c.oid, c.conrelid FROM pg_constraint AS c
    JOIN own ON own.oid = c.conrelid
    UNION ALL SELECT 'pg_constraint'::regclass, c.oid, NULL FROM pg_constraint AS c
    JOIN types AS t ON t.oid = c.contypid
    UNION ALL SELECT 'pg_type'::regclass, t.oid, NULL FROM types AS t JOIN pg_type AS p ON p.oid = t.oid
    WHERE p.typtype = 'd'
    UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, i.indrelid FROM pg_index AS i
    JOIN own ON own.oid = i.indrelid
    UNION ALL SELECT 'pg_class'::regclass, own.oid, own.oid FROM own
    UNION ALL SELECT 'pg_policy'::regclass, p.oid, p.polrelid FROM pg_policy AS p
    JOIN own ON own.oid = p.polrelid
    UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid, s.stxrelid FROM pg_statistic_ext AS s
    JOIN own ON own.oid = s.stxrelid
),
called (what, relation) AS (
    SELECT format('function %%s', d.refobjid::regprocedure), p.relation FROM parts AS p
    JOIN pg_depend AS d ON d.classid = p.classid AND d.objid = p.objid
    WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid >= 16384
    UNION SELECT format('operator %%s', d.refobjid::regoperator), p.relation FROM parts AS p
    JOIN pg_depend AS d ON d.classid = p.classid AND d.objid = p.objid
    WHERE d.refclassid = 'pg_operator'::regclass AND d.refobjid >= 16384
    UNION SELECT format('sequence %%s', d.refobjid::regclass), p.relation FROM parts AS p
    JOIN pg_depend AS d ON d.classid = p.classid AND d.objid = p.objid
    JOIN pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'
    WHERE d.refclassid = 'pg_class'::regclass AND NOT EXISTS (SELECT FROM pg_depend AS o
        JOIN own ON own.oid = o.refobjid WHERE o.classid = 'pg_class'::regclass AND o.objid = s.oid
        AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i'))
)
SELECT format('trigger %%I on %%s', t.tgname, t.tgrelid::regclass) FROM pg_trigger AS t
JOIN own ON own.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
UNION SELECT format('rule %%I on %%s', w.rulename, w.ev_class::regclass) FROM pg_rewrite AS w
JOIN own ON own.oid = w.ev_class WHERE w.rulename <> '_RETURN' AND w.ev_enabled <> 'D'
UNION SELECT format('event trigger %%I', e.evtname) FROM pg_event_trigger AS e WHERE e.evtenabled <> 'D'
UNION SELECT what || COALESCE(' of ' || relation::regclass, '') FROM called
ORDER BY 1 LIMIT %(most)s
"""


@dataclass(frozen=True)
class Reach:
    """`tables`: names of the tables beside those asked for, and why each is reached; `effects`: what runs."""

    tables: tuple[tuple[str, str], ...]
    effects: tuple[str, ...]


def reach(connection: Connection, tables: Iterable[int]) -> Reach:
    """What a change of `tables`, by their numbers, reaches; search_path must be pg_catalog."""
    wanted = list(tables)
    rows = connection.execute(_TABLES, {"tables": wanted, "most": MOST_REACHED + 1}).fetchall()
    reached = sorted({*wanted, *(row[0] for row in rows)})
    effects = connection.execute(_EFFECTS, {"reached": reached, "most": MOST_REACHED + 1}).fetchall()
    if max(len(rows), len(effects)) > MOST_REACHED:
        raise CheckFailedError(
            "the tables reach more than can be told",
            hint="ask for a grant on fewer tables",
            sqlstate="54000",
        )
    beside = sorted((row[1], row[2]) for row in rows if row[0] not in set(wanted))
    return Reach(tuple(beside), tuple(row[0] for row in effects))


def numbers_of(connection: Connection, tables: Iterable[tuple[str, str]]) -> list[int]:
    """The numbers of those of `tables` (schema and name) that are there."""
    wanted = list(tables)
    rows = connection.execute(
        "SELECT c.oid::bigint FROM unnest(%s::text[], %s::text[]) AS t (schema, name) "
        "JOIN pg_namespace AS n ON n.nspname = t.schema "
        "JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.name",
        ([each[0] for each in wanted], [each[1] for each in wanted]),
    )
    return [row[0] for row in rows]


def missing(found: Reach, effects: Iterable[str]) -> str:
    """What is reached and not granted, in words; empty if nothing is."""
    named = frozenset(effects)
    words = []
    if found.tables:
        tables = [f"`{name}` ({why})" for name, why in found.tables]
        words.append("tables that it does not cover: " + _listed(tables))
    if not named.issuperset(found.effects):
        words.append(
            "what it does not name: " + _listed([each for each in found.effects if each not in named])
        )
    return "; ".join(words)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


__all__ = ["MOST_REACHED", "Reach", "missing", "numbers_of", "reach"]
