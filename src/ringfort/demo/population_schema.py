"""The tables of the demo population: Arrow schemas, keys and PostgreSQL definitions.

The dictionaries are in an order in which tables can be created and filled without an unmet foreign key.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from psycopg import sql


class ForeignKey(NamedTuple):
    """`column` of a table holds values of `references` (table, column)."""

    column: str
    references: tuple[str, str]


def _column(name: str, kind: pa.DataType, *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not required)


_ID, _TEXT, _TIME = pa.int64(), pa.string(), pa.timestamp("us", tz="UTC")

SCHEMAS: dict[str, pa.Schema] = {
    "people": pa.schema(
        [
            _column("id", _ID, required=True),
            _column("name", _TEXT),
            _column("email", _TEXT),
            _column("phone", _TEXT),
            _column("born", pa.date32()),
            _column("gender", _TEXT),
            _column("address", _TEXT),
            _column("city", _TEXT),
            _column("postcode", _TEXT),
            _column("country", _TEXT),
            _column("ip", _TEXT),
            _column("iban", _TEXT),
            _column("created_at", _TIME, required=True),
        ]
    ),
    "videos": pa.schema(
        [
            _column("id", _ID, required=True),
            _column("person_id", _ID, required=True),
            _column("title", _TEXT, required=True),
            _column("category", _TEXT),
            _column("created_at", _TIME, required=True),
            _column("seconds", pa.int32(), required=True),
        ]
    ),
    "views": pa.schema(
        [
            _column("id", _ID, required=True),
            _column("person_id", _ID, required=True),
            _column("video_id", _ID, required=True),
            _column("watched_at", _TIME, required=True),
            _column("watch_seconds", pa.int32(), required=True),
            _column("ip", _TEXT),
        ]
    ),
    "messages": pa.schema(
        [
            _column("id", _ID, required=True),
            _column("sender_id", _ID, required=True),
            _column("recipient_id", _ID, required=True),
            _column("sent_at", _TIME, required=True),
            _column("body", _TEXT),
        ]
    ),
    "payments": pa.schema(
        [
            _column("id", _ID, required=True),
            _column("person_id", _ID, required=True),
            _column("paid_at", _TIME, required=True),
            _column("amount", pa.decimal128(12, 2), required=True),
            _column("currency", _TEXT, required=True),
            _column("card_last4", _TEXT),
            _column("iban", _TEXT),
        ]
    ),
}

PRIMARY_KEYS: dict[str, tuple[str, ...]] = dict.fromkeys(SCHEMAS, ("id",))

FOREIGN_KEYS: dict[str, tuple[ForeignKey, ...]] = {
    "people": (),
    "videos": (ForeignKey("person_id", ("people", "id")),),
    "views": (ForeignKey("person_id", ("people", "id")), ForeignKey("video_id", ("videos", "id"))),
    "messages": (ForeignKey("sender_id", ("people", "id")), ForeignKey("recipient_id", ("people", "id"))),
    "payments": (ForeignKey("person_id", ("people", "id")),),
}

_POSTGRES_TYPES = {
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.string(): "text",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp with time zone",
    pa.decimal128(12, 2): "numeric(12,2)",
}


def postgres_type(table: str, column: str) -> str:
    """The PostgreSQL type of a column, as `format_type` writes it."""
    return _POSTGRES_TYPES[SCHEMAS[table].field(column).type]


def ddl(schema: str = "public", *, foreign_keys: bool = True) -> dict[str, sql.Composed]:
    """One CREATE TABLE statement for each table, with its primary key and, if asked for, its foreign keys.

    A bulk load is faster without `foreign_keys`, followed by `foreign_key_ddl`.
    """
    statements = {}
    for table, fields in SCHEMAS.items():
        parts: list[sql.Composable] = []
        for field in fields:
            kind = sql.SQL(_POSTGRES_TYPES[field.type])  # a constant of this module
            null = sql.SQL("" if field.nullable else " NOT NULL")
            parts.append(sql.SQL("{} {}{}").format(sql.Identifier(field.name), kind, null))
        parts.append(sql.SQL("PRIMARY KEY ({})").format(_identifiers(PRIMARY_KEYS[table])))
        if foreign_keys:
            parts.extend(_foreign_key(schema, key) for key in FOREIGN_KEYS[table])
        statements[table] = sql.SQL("CREATE TABLE {} (\n    {}\n)").format(
            sql.Identifier(schema, table), sql.SQL(",\n    ").join(parts)
        )
    return statements


def foreign_key_ddl(schema: str = "public") -> list[sql.Composed]:
    """ALTER TABLE statements that add the foreign keys to loaded tables."""
    return [
        sql.SQL("ALTER TABLE {} ADD {}").format(sql.Identifier(schema, table), _foreign_key(schema, key))
        for table, keys in FOREIGN_KEYS.items()
        for key in keys
    ]


def index_ddl(schema: str = "public") -> list[sql.Composed]:
    """CREATE INDEX statements for the referencing columns, by which one person's rows are found."""
    return [
        sql.SQL("CREATE INDEX {} ON {} ({})").format(
            sql.Identifier(f"{table}_{key.column}_idx"),
            sql.Identifier(schema, table),
            sql.Identifier(key.column),
        )
        for table, keys in FOREIGN_KEYS.items()
        for key in keys
    ]


def _foreign_key(schema: str, key: ForeignKey) -> sql.Composed:
    table, column = key.references
    return sql.SQL("FOREIGN KEY ({}) REFERENCES {} ({})").format(
        sql.Identifier(key.column), sql.Identifier(schema, table), sql.Identifier(column)
    )


def _identifiers(names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
