"""The forms on Arrow columns give what the database's functions give: byte for byte, whatever the values.

Each example is one array of some hundred values, rendered by every function of its type, here and in a real
PostgreSQL.
"""

import re

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from ringfort.disclosure.forms_sql import FUNCTIONS, SCHEMA, create_statements
from ringfort.privacy.columns import COLUMN_FORMS, cast_like_sql, render

SHAPES = [
    r"\s{0,2}[0-9]{1,4}-[0-9]{1,3}-[0-9]{1,3}.{0,3}", r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{3,5}.?",
    r".{0,5}@.{0,8}\.[a-zA-Z]{1,4}", r"[a-zé]{1,4}@(GMAIL|gmail|web|yahoo\.co)\.(com|de|fr|jp)",
    r"(\+|00|\v\+)?[0-9][0-9 ()-]{0,24}", r"[0-9 -]{10,32}", r"[A-Za-z]{2}[0-9]{2}[ A-Za-z0-9]{8,34}",
    r"\s?([0-9]{1,3}\.){3}[0-9]{1,4}(/[0-9]{1,3})?\s?",
    r"([0-9a-fA-F]{0,5}:){1,8}[0-9a-f]{0,4}(/[0-9]{1,3})?", r"\s?[0-9]{1,3}\s?",
    r"[a-z]{1,5}://[a-z.@:/?# ]{0,30}", r"\s?(Ie|IE|germany|U\.S\.|Éire|SÃO)\s?",
    r"[\s\S]{0,12}(Edge|OPR|Opera|Firefox|Chrome|Safari)/?[\s\S]{0,5}", r"(\S{1,5}\s{1,2}){1,5}",
    r"\s{0,3}\S{3,9}\s", r"[A-Z]\w{0,2} ?\w{1,4}",
]  # fmt: skip
NASTY = (
    " \t\n\v\f\r\x1c\x1d\x85\u00a0\u2003\u2028\u3000\ufeff\u200b@.:/-+#?&=_%'\"\\$^*()[]{}|<>,;0123456789"
    "abczABCZéÉßſİıσςΣ٠١٢٣²½ⅣＡ１Åǅ王小明ｶﾞ\u0301\u0327😀👨‍👩‍👧𝔘𝟘\u202e\x01\x7f\x80\uffff\U0010ffff"
)
DIRTY = [
    None, "", " ", "\n", "\v", "\t x", "***", "@", "a@b", "a@@b.com", "x@y.c", "a@.com", "ab@.x.com", "\\1",
    "%", "abc@b.co\n", "abc@b.com ", "é" * 400, "a" * 319 + "é", "x" * 400 + "@gmail.com",
    "x" * 309 + "@gmail.com", "x" * 310 + "@gmail.com", " " * 119 + "ab", " " * 120 + "ab",
    " " * 320 + "ab", " " * 400, "a\x1cb c", "1.2.3.4", "001.002.003.004", "1.2.3.4/99", "1.2.3.4/",
    " 1.2.3.4\v", "::1", "2001:db8::1", "2001:DB8:1::", "a:b:c", "IE29AIBK93115212345678",
    "ie29 aibk 9311 5212 3456 78", "DE00" + "0" * 31, "4111 1111 1111 1111", "4" * 19, "22-222222222222",
    "371111111111111", "----------------", "+353 86 123 4567", "00353861234567", "+0049301234567",
    "00 00 49 30 12 34 567", "٠١٢٣٤٥٦٧٨٩", "http://u:p@h/", "http://h", "http://" + "h" * 253,
    "http://" + "h" * 254 + "/", "HTTP://Host.example:80", "a://b", "abcdefghijklmnopq://h", "http://h\v",
    "http://h\u00a0", "99999-99-99", "0000-00-00", "0003-01-01", "31.12.9999", "1-1-19999", "1/2/1999x",
    "90", "9", "09", "009", "89 ", "100", "-1", "eire", "EIRE\v", " EIRE\n\n", "\u00a0EIRE", "éire",
    "korea, south", "Opera Edge/ Edg", "Safari/Chrome/", "x" * 20, "é" * 10, "é" * 11, "x" * 100,
    "x" * 2500, "x" * 2501, "\ufeffab", "ＡＢ１２", "1234 é 5678", "\U0010ffff" * 330,
]  # fmt: skip


@pytest.fixture(scope="module")
def database(postgres_server):
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE forms_columns TEMPLATE template0 ENCODING 'UTF8'")
        with psycopg.connect(postgres_server.admin_dsn("forms_columns"), autocommit=True) as connection:
            connection.execute("CREATE SCHEMA ringfort")
            connection.execute("SET search_path = pg_catalog")
            for statement in create_statements():
                connection.execute(statement)
            connection.execute("SET timezone = 'UTC'")
            yield connection
        admin.execute("DROP DATABASE forms_columns")


def functions(argument):
    return [each.name for each in FUNCTIONS if each.argument == argument]


def by_database(connection, argument, values):
    """What the database gives: a list of texts for each function of the argument type."""
    names = functions(argument)
    calls = sql.SQL(", ").join(
        sql.SQL("array_agg({}(v)::text ORDER BY n)").format(sql.Identifier(SCHEMA, each)) for each in names
    )
    statement = sql.SQL("SELECT {} FROM unnest(%s::{}[]) WITH ORDINALITY AS t(v, n)").format(
        calls, sql.SQL(argument)
    )
    row = connection.execute(statement, (values,)).fetchone()
    return dict(zip(names, [each or [] for each in row], strict=True))


def shown(column):
    return cast_like_sql(column, "text").to_pylist()


def agree(connection, argument, values, column):
    for name, expected in by_database(connection, argument, values).items():
        got = shown(render(name, column))
        assert len(got) == len(values)
        wrong = [
            (value, here, there)
            for value, here, there in zip(values, got, expected, strict=True)
            if here != there
        ]
        assert not wrong, (name, wrong[:3])


def quick(examples):
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
    )


def test_every_function_has_a_column_form():
    assert {each.name: each.argument for each in FUNCTIONS} == {
        name: form.argument for name, form in COLUMN_FORMS.items()
    }


def test_text_that_somebody_thought_of(database):
    agree(database, "text", DIRTY, pa.array(DIRTY))
    agree(database, "text", DIRTY, pa.array(DIRTY, pa.large_string()))
    every = [f"a{chr(point)}1{chr(point)}b " for point in [*range(1, 0x300), *range(0x2000, 0x2070), 0x3000]]
    agree(database, "text", every, pa.array(every))


def test_any_text(database):
    @given(
        st.lists(
            st.one_of(
                st.none(),
                st.text(st.sampled_from(NASTY), max_size=40),
                st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
                *[st.from_regex(re.compile(each), fullmatch=True) for each in SHAPES],
            ).map(lambda text: text and text.replace("\0", "")),
            min_size=150,
            max_size=250,
        )
    )
    @quick(12)
    def run(values):
        agree(database, "text", values, pa.array(values, pa.string()))

    run()
