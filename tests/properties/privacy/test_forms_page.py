"""The examples of docs/forms.md are what PostgreSQL and the columns give, and none is missing."""

import decimal
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from psycopg import sql
from tests.forms_database import with_forms

from ringfort.catalog.model import KINDS
from ringfort.disclosure.forms_sql import FUNCTIONS, SCHEMA, rendering
from ringfort.policy.forms import Form
from ringfort.privacy.columns import cast_like_sql, render
from ringfort.privacy.form_rules import STRUCK_OUT, TEXT_LIMIT, WRITTEN_LIMIT

PAGE = (Path(__file__).parents[3] / "docs" / "forms.md").read_text(encoding="utf-8")
TYPES = {
    "text": (pa.string(), str),
    "inet": (pa.string(), str),
    "bigint": (pa.int64(), int),
    "boolean": (pa.bool_(), bool),
    "numeric": (pa.decimal128(20, 2), decimal.Decimal),
    "double precision": (pa.float64(), float),
    "date": (pa.date32(), date.fromisoformat),
    "timestamp without time zone": (pa.timestamp("us"), datetime.fromisoformat),
    "timestamp with time zone": (pa.timestamp("us", "UTC"), datetime.fromisoformat),
}
# the same as others but for the type of the value
ALIKE = {
    "day_date_v2",
    "year_timestamp_v2",
    "born_timestamp_v2",
    "year_timestamptz_v2",
    "born_timestamptz_v2",
}


def examples():
    body = PAGE.partition("## Examples")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in body.splitlines() if line.startswith("| `")]
    return [[cell.strip("`") if cell.startswith("`") else cell for cell in row] for row in rows]


@pytest.fixture
def database(fresh_database):
    with with_forms(fresh_database) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection


def by_database(connection, how, data_type, value):
    typed = sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(data_type))
    if how.cast:
        typed = sql.SQL("({})::{}").format(typed, sql.SQL(how.cast))
    statement = sql.SQL("SELECT {}({})::text").format(sql.Identifier(SCHEMA, how.function), typed)
    return connection.execute(statement).fetchone()[0]


def by_columns(how, data_type, value):
    arrow, parse = TYPES[data_type]
    column = cast_like_sql(pa.array([parse(value)], arrow), how.cast)
    return cast_like_sql(render(how.function, column), "text")[0].as_py()


def test_examples(database):
    shown = set()
    for kind, data_type, value, *cells in examples():
        for form, cell in zip((Form.MASKED, Form.GENERALISED), cells, strict=True):
            how = rendering(form, kind, data_type)
            if how.form is not form:
                assert cell == ("-" if how.form is Form.HIDDEN else "as generalised"), (kind, value)
                continue
            shown.add(how.function)
            expected = None if cell == "NULL" else cell
            assert by_database(database, how, data_type, value) == expected
            assert by_columns(how, data_type, value) == expected
    assert {each.name for each in FUNCTIONS} - shown == ALIKE


def test_every_kind_marker_and_limit_is_on_the_page():
    assert {kind for kind, *_ in examples()} == set(KINDS)
    after = PAGE.partition("## Text that people wrote")[2]
    assert [line.split("`")[1] for line in after.splitlines() if line.startswith("| `")] == [
        marker for _, marker, _ in STRUCK_OUT
    ]
    for limit in (TEXT_LIMIT, WRITTEN_LIMIT):
        assert f"{limit:,} characters" in " ".join(PAGE.split()) or f"to {limit:,}." in " ".join(PAGE.split())
