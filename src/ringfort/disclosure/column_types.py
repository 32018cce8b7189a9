"""Which types outside of pg_catalog a client may name by number: those of the columns that it is shown.

A client learns the number of such a type with the first row of it, and may declare a parameter to be of it.
It gains nothing by that: what stands beside a shown column (`coalesce(column, $1)`) is read as that type
anyway. With a column's type go its array type, the elements of an array, the base type of a domain, the parts
of a composite type, the bounds of a range and its multirange: all of which an expression over the column has.

Not named: domains, whose CHECK answers guesses, and which PostgreSQL itself describes by their base type;
whatever has a part that looks objects up by name (`regclass` and its kin), as pg_catalog's types that
parameter_types.txt does not list. Pure but for the SQL text; numbers are of one database at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.disclosure.parameter_types import LISTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMN_TYPES = """
WITH RECURSIVE columns AS (
    SELECT c.oid AS relation, a.attnum, a.atttypid AS type FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN unnest(%(schemas)s::text[], %(tables)s::text[]) AS w(s, t) ON w.s = n.nspname AND w.t = c.relname
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.atttypid >= 16384
), parts AS (
    SELECT oid AS type, typelem AS part FROM pg_type WHERE typcategory = 'A' AND typelem <> 0
    UNION ALL SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd'
    UNION ALL SELECT y.oid, a.atttypid FROM pg_type AS y
        JOIN pg_attribute AS a ON a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE y.typtype = 'c' AND y.oid >= 16384
    UNION ALL SELECT rngtypid, rngsubtype FROM pg_range
    UNION ALL SELECT rngmultitypid, rngtypid FROM pg_range
), reached AS (
    SELECT type FROM columns UNION SELECT p.part FROM reached AS r JOIN parts AS p ON p.type = r.type
)
SELECT NULL::bigint, NULL::int, r.type::bigint, y.typtype::text, y.typarray::bigint,
    coalesce((SELECT array_agg(p.part::bigint) FROM parts AS p WHERE p.type = r.type), '{}'),
    (SELECT g.rngmultitypid::bigint FROM pg_range AS g WHERE g.rngtypid = r.type)
FROM reached AS r JOIN pg_type AS y ON y.oid = r.type
UNION ALL SELECT relation::bigint, attnum::int, type::bigint, NULL, NULL, NULL, NULL FROM columns
"""
"""The columns whose types the server was not made with, and the types that are reached from them."""

FIRST_OWN = 16_384
"""The first number of what a server was not made with."""
_NAMEABLE = frozenset({"b", "e", "c", "r", "m"})  # no domains, no pseudo-types

ColumnTypes = dict[tuple[int, int], frozenset[int]]
"""(relation, column's number) -> the numbers that may be named because of it."""


@dataclass(frozen=True)
class _Type:
    kind: str
    array: int
    parts: tuple[int, ...]
    multirange: int


def column_types(rows: Iterable[tuple[Any, ...]]) -> ColumnTypes:
    """What the rows of `COLUMN_TYPES` let clients name."""
    columns: list[tuple[int, int, int]] = []
    types: dict[int, _Type] = {}
    for relation, attribute, number, kind, array, parts, multirange in rows:
        if relation is None:
            types[number] = _Type(kind, array or 0, tuple(parts), multirange or 0)
        else:
            columns.append((relation, attribute, number))
    known: dict[int, frozenset[int]] = {}
    for _, _, number in columns:
        if number not in known:
            known[number] = _named(number, types)
    return {(relation, attribute): known[number] for relation, attribute, number in columns}


def _named(number: int, types: Mapping[int, _Type]) -> frozenset[int]:
    """The numbers that come with one type."""
    found: set[int] = set()
    for each in _closure(number, types):
        if each < FIRST_OWN or not _is_nameable(each, types):
            continue
        of = types[each]
        found |= {each, of.array, of.multirange} - {0}
    return frozenset(found)


def _closure(number: int, types: Mapping[int, _Type]) -> set[int]:
    seen: set[int] = set()
    todo = [number]
    while todo:
        each = todo.pop()
        if each not in seen and each in types:
            seen.add(each)
            todo += types[each].parts
    return seen


def _is_nameable(number: int, types: Mapping[int, _Type]) -> bool:
    """Whether a type and all of its parts may be named; a part may hold the type itself."""
    seen: set[int] = set()
    todo = [number]
    while todo:
        each = todo.pop()
        if each in seen or each in LISTED:
            continue
        seen.add(each)
        of = types.get(each)
        if of is None or each < FIRST_OWN or of.kind not in _NAMEABLE:
            return False
        todo += of.parts
    return True


__all__ = ["COLUMN_TYPES", "FIRST_OWN", "ColumnTypes", "column_types"]
