"""The numbers of catalogued tables and columns, read from a database and kept with the catalogue.

A catalogue names tables and columns; what was reviewed is what bore those names then. So the relation and
column numbers are bound once for each catalogue (table `ringfort.binding`), and every profile is compiled
against both: what was bound and what is there now. Pure but for the SQL text.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

import orjson

from ringfort.disclosure.profile import Binding, BoundColumn, BoundTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RELATIONS = """
WITH RECURSIVE wanted AS (
    SELECT c.oid, n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN unnest(%(schemas)s::text[], %(tables)s::text[]) AS w(s, t) ON w.s = n.nspname AND w.t = c.relname
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
), types AS (
    SELECT w.oid AS relation, a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS not_null
    FROM wanted AS w JOIN pg_attribute AS a ON a.attrelid = w.oid WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT t.relation, t.attnum, y.typbasetype, y.typtypmod, t.not_null OR y.typnotnull
    FROM types AS t JOIN pg_type AS y ON y.oid = t.type WHERE y.typtype = 'd'
)
SELECT w.nspname, w.relname, w.oid::bigint, a.attname, a.attnum::int, format_type(t.type, t.modifier),
    t.not_null, CASE WHEN l.oid IS NULL OR l.collname = 'default' THEN NULL ELSE ln.nspname END, l.collname,
    coalesce(l.collisdeterministic, true)
FROM wanted AS w JOIN types AS t ON t.relation = w.oid
JOIN pg_type AS y ON y.oid = t.type AND y.typtype <> 'd'
JOIN pg_attribute AS a ON a.attrelid = w.oid AND a.attnum = t.attnum
LEFT JOIN pg_collation AS l ON l.oid = a.attcollation LEFT JOIN pg_namespace AS ln ON ln.oid = l.collnamespace
ORDER BY 1, 2, 5
"""


CHANGES = """
SELECT md5(string_agg(concat_ws(' ', c.oid, c.xmin, a.attnum, a.xmin, y.xmin), ',' ORDER BY c.oid, a.attnum))
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN unnest(%(schemas)s::text[], %(tables)s::text[]) AS w(s, t) ON w.s = n.nspname AND w.t = c.relname
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 JOIN pg_type AS y ON y.oid = a.atttypid
"""
"""A text that differs if the answer to `RELATIONS` may: cheap, and no relation is locked for it."""


def binding_of(
    rows: Iterable[tuple[Any, ...]], types: Mapping[tuple[int, int], frozenset[int]] | None = None
) -> Binding:
    """The rows of `RELATIONS` as a binding, with the `types` that columns let clients name."""
    tables: dict[tuple[str, str], tuple[int, list[BoundColumn]]] = {}
    for schema, table, oid, name, number, data_type, not_null, space, collation, deterministic in rows:
        column = BoundColumn(
            name,
            number,
            data_type,
            not_null,
            (space, collation) if space else None,
            deterministic,
            (types or {}).get((oid, number), frozenset()),
        )
        tables.setdefault((schema, table), (oid, []))[1].append(column)
    return {key: BoundTable(*key, oid, tuple(columns)) for key, (oid, columns) in tables.items()}


def binding_digest(binding: Binding) -> str:
    """A digest of the numbers, for the record."""
    return hashlib.sha256(orjson.dumps(binding_json(binding))).hexdigest()


def binding_json(binding: Binding) -> list[Any]:
    """A binding as JSON, the same for equal bindings."""
    return [
        [
            *key,
            table.oid,
            [
                [
                    each.name,
                    each.number,
                    each.data_type,
                    each.not_null,
                    list(each.collation or ()),
                    each.deterministic,
                ]
                for each in table.columns
            ],
        ]
        for key, table in sorted(binding.items())
    ]


def binding_from(data: list[Any]) -> Binding:
    """The inverse of `binding_json`."""
    binding: Binding = {}
    for schema, name, oid, columns in data:
        binding[schema, name] = BoundTable(
            schema,
            name,
            oid,
            tuple(
                BoundColumn(each[0], each[1], each[2], each[3], cast("Any", tuple(each[4]) or None), each[5])
                for each in columns
            ),
        )
    return binding


__all__ = ["CHANGES", "RELATIONS", "binding_digest", "binding_from", "binding_json", "binding_of"]
