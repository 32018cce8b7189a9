"""The forms in a real PostgreSQL: what they give, and that no input makes one raise."""

import math
import re

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from tests.forms_database import forms_database

from ringfort.disclosure.forms_sql import FUNCTIONS, SCHEMA, create_statements
from ringfort.privacy.form_rules import versioned

DIRTY = [
    "", " ", "\n", "\t x", "***", "@", "a@b", "a@@b.com", "x@y.c", "'; DROP TABLE t; --", "\\", "\\1", "%",
    "😀", "𝔘@𝔘.com", "é" * 400, "e\u0301", "\u202ejan", "\ufeff1.2.3.4", "::1", "1.2.3.4/99",
    "999.999.999.999", "2001:db8::1", "fe80::1%eth0", "99999-99-99", "0000-00-00", "31.12.9999", "1980-02-30",
    "IE29AIBK93115212345678", "4111 1111 1111 1111", "+353 86 123 4567", "00353861234567", "٠١٢٣٤٥٦٧٨٩",
    "http://u:p@h/", "http:///", "http://h", "x" * 5000, "((((((", "[a-z", "\x01\x02\x7f", "Éire", "EIRE",
    "ie ", "森 淳", " " * 120 + "x", " " * 320 + "x", "007", "99", "100", "-1", "NaN", "Infinity", "null",
]  # fmt: skip
EDGE_NUMBERS = [
    "0",
    "-0",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e308",
    "-1e308",
    "5e-324",
    "0.999999",
    "9223372036854775807",
]
EDGE_DAYS = ["infinity", "-infinity", "4713-01-01 BC", "0001-01-01", "1999-12-31", "2000-02-29"]
LAST = {"date": "5874897-12-31", "timestamp": "294276-12-31", "timestamptz": "294276-12-31 23:59:59+00"}


@pytest.fixture(scope="module")
def connection(postgres_server):
    """One database for the whole module: nothing here depends on what another test left."""
    with forms_database(postgres_server, "forms_total") as connection:
        connection.execute("SET search_path = public")
        yield connection


def call(connection, name, value, argument):
    statement = sql.SQL("SELECT {}(%s::{})").format(
        sql.Identifier(SCHEMA, versioned(name)), sql.SQL(argument)
    )
    return connection.execute(statement, (value,)).fetchone()[0]


def everything(connection, argument, values):
    """Every function of an argument type over every value, through a table, as a view would call it."""
    names = [each.name for each in FUNCTIONS if each.argument == argument]
    calls = sql.SQL(", ").join(sql.SQL("{}(v)::text").format(sql.Identifier(SCHEMA, each)) for each in names)
    statement = sql.SQL("SELECT v IS NULL, {} FROM unnest(%s::{}[]) AS v").format(calls, sql.SQL(argument))
    rows = connection.execute(statement, (values,)).fetchall()
    assert len(rows) == len(values)
    for was_null, *outputs in rows:
        if was_null:
            assert outputs == [None] * len(names)
    return names, rows


def test_text_functions_are_total(connection):
    @given(
        st.lists(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60),
            max_size=20,
        )
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def run(values):
        everything(connection, "text", values)

    names, rows = everything(connection, "text", [*DIRTY, None, "x" * 3_000_000])
    for row in rows[:-2]:
        for name, value in zip(names, row[1:], strict=True):
            assert value is not None, name
            assert len(value) < (8100 if name == "mask_text_v2" else 300)
    run()


def test_shaped_text_is_total(connection):
    shapes = [
        r"\s*[0-9]{1,4}-[0-9]{1,3}-[0-9]{1,3}.{0,3}", r".{0,5}@.{0,8}\.[a-z]{1,4}", r"\+?[0-9 ()-]{0,30}",
        r"([0-9]{1,3}\.){3}[0-9]{1,4}(/[0-9]{1,3})?", r"([0-9a-f]{0,5}:){1,8}[0-9a-f]{0,4}", r"[0-9]{1,3}",
        r"[a-z]{1,5}://[^\n]{0,30}",
    ]  # fmt: skip

    @given(
        st.lists(st.one_of([st.from_regex(re.compile(each), fullmatch=True) for each in shapes]), max_size=20)
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def run(values):
        everything(connection, "text", [each.replace("\0", "") for each in values])

    run()


def test_number_functions_are_total(connection):
    @given(st.lists(st.floats(), max_size=20), st.lists(st.decimals(allow_nan=False), max_size=20))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def run(floats, decimals):
        everything(connection, "double precision", floats)
        everything(connection, "numeric", [each for each in decimals if abs(each.adjusted()) < 1000])

    for number in ("double precision", "numeric"):
        everything(connection, number, [*EDGE_NUMBERS, None])
    everything(connection, "numeric", [str(-(2**63)), "1" * 1000, "9" * 130_000])
    run()


@pytest.mark.parametrize("argument", ["date", "timestamp without time zone", "timestamp with time zone"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati"])
def test_date_functions_are_total_and_ignore_the_time_zone(connection, argument, zone):
    short = {"date": "date", "timestamp without time zone": "timestamp"}.get(argument, "timestamptz")
    first = connection.execute("SELECT '4714-11-24 00:00:00+00 BC'::" + short + "::text").fetchone()[0]
    connection.execute(f"SET timezone = '{zone}'")
    names, rows = everything(connection, argument, [*EDGE_DAYS, first, LAST[short], None])
    assert rows[0][1:] == rows[1][1:] == (None,) * len(names)
    at = dict(zip(names, everything(connection, argument, ["1999-12-31 23:59:59+00"])[1][0][1:], strict=True))
    connection.execute("RESET timezone")
    if argument != "timestamp without time zone":
        assert at[f"year_{short}_v2"] == "1999"
        assert at[f"born_{short}_v2"] == "1995-1999"


def test_network_functions_are_total(connection):
    @given(st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), max_size=20))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def run(values):
        everything(connection, "inet", values)

    everything(connection, "inet", ["0.0.0.0/0", "1.2.3.4/8", "::/0", "::ffff:1.2.3.4", "ffff::/128", None])
    run()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("mask_email", "jan.murphy@example.com", "j***@e***.com"),
        ("mask_email", "jm@example.com", "***@e***.com"),
        ("mask_email", "not an address", "***"),
        ("general_email", "Jan@GMAIL.com", "@gmail.com"),
        ("general_email", "jan@murphy.ie", "other"),
        ("mask_phone", "+353 86 123 4567", "***67"),
        ("mask_phone", "123", "***"),
        ("general_phone", "+353 86 123 4567", "+353"),
        ("general_phone", "0049 30 1234567", "+49"),
        ("general_phone", "086 1234567", "unknown"),
        ("general_phone", "+1 212 555 0100", "+1"),
        ("mask_name", "Zoë Ní Bhriain", "Z*** N*** B***"),
        ("mask_name", "王小明", "***"),
        ("mask_name", "ab cd ef gh ij", "a*** c*** e***"),
        ("mask_name", "森 淳", "*** ***"),
        ("mask_name", "J Smith", "*** S***"),
        ("mask_name", "J. Smith", "*** S***"),
        ("mask_name", "X\tSmith", "*** S***"),
        ("mask_name", " " * 120 + "Smith", "***"),
        ("mask_name", "", "***"),
        ("mask_ip", "192.0.2.77", "192.0.2.0/24"),
        ("general_ip", "192.0.2.77", "192.0.0.0/16"),
        ("mask_ip", "2001:db8:1:2::5", "2001:db8:1::/48"),
        ("general_ip", "2001:db8:1:2::5", "2001:db8::/32"),
        ("mask_ip", "::ffff:1.2.3.4", "***"),
        ("mask_iban", "IE29 AIBK 9311 5212 3456 78", "IE** **** 5678"),
        ("general_iban", "IE29AIBK93115212345678", "IE"),
        ("mask_card", "4111-1111-1111-1234", "**** 1234"),
        ("general_card", "4111 1111 1111 1234", "Visa"),
        ("mask_number_end", "1234567TW", "***TW"),
        ("mask_code", "INV-10023", "IN***"),
        ("mask_address", "12 Main Street", "** ***"),
        ("mask_postcode", "D02 X285", "D02**"),
        ("general_postcode", "D02 X285", "D0***"),
        ("mask_city", " Köln", "K***"),
        ("general_country", "EIRE", "EEA"),
        ("general_country", "ie", "EEA"),
        ("general_country", "United States of America", "Northern America"),
        ("general_country", "Unspecified", "other"),
        ("mask_url", "https://user:secret@example.org/a?b", "***"),
        ("mask_url", "https://example.org:8443/path?q=1", "example.org"),
        ("general_user_agent", "Mozilla/5.0 (X11) Gecko/20100101 Firefox/128.0", "Firefox"),
        ("general_text", "hello", "(text of up to 20 bytes)"),
        ("general_text", "", "(no text)"),
        ("age_text", "7", "0-9"),
        ("age_text", "42", "40-49"),
        ("age_text", "93", "90 or more"),
        ("age_text", "old", "other"),
        ("day_text", "1980-02-03T10:11", "1980-02-03"),
        ("month_text", "1980-02-03", "1980-02"),
        ("year_text", "03/02/1980", "1980"),
        ("year_text", "about 1980", "unknown"),
        ("born_text", "1983-02-03", "1980-1984"),
    ],
)  # fmt: skip
def test_what_text_becomes(connection, name, value, expected):
    assert call(connection, name, value, "text") == expected


@pytest.mark.parametrize(
    ("name", "argument", "value", "expected"),
    [
        ("born_date", "date", "1980-12-31", "1980-1984"),
        ("born_date", "date", "1979-01-01", "1975-1979"),
        ("year_date", "date", "1980-12-31", 1980),
        ("month_timestamp", "timestamp", "2011-03-04 05:06", "2011-03"),
        ("month_timestamptz", "timestamptz", "2011-03-31 23:30-05", "2011-04"),
        ("band_numeric", "numeric", "-17.5", "minus 10-20"),
        ("band_numeric", "numeric", "0", "0-5"),
        ("band_float", "float8", "0.3", "0-5"),
        ("band_float", "float8", "NaN", "unknown"),
        ("band_float", "float8", "6e9", "5000000000 or more"),
        ("age_numeric", "numeric", "39.9", "30-39"),
        ("age_numeric", "numeric", "-3", "other"),
        ("degree_float", "float8", "-6.26", -7.0),
        ("mask_inet", "inet", "192.0.2.77", "192.0.2.0/24"),
        ("general_inet", "inet", "2001:db8:1:2::5", "2001:db8::/32"),
    ],
)
def test_what_other_types_become(connection, name, argument, value, expected):
    got = call(connection, name, value, argument)
    assert got == expected or (isinstance(got, float) and math.isclose(got, expected))


def test_a_view_on_an_older_version_keeps_its_meaning(connection):
    body = "(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN left(value, 1) || '***'"
    connection.execute(f"CREATE FUNCTION ringfort.mask_name_v1{body}")
    connection.execute("CREATE VIEW older AS SELECT ringfort.mask_name_v1('森') AS name")
    try:
        for statement in create_statements():
            connection.execute(statement)
        assert connection.execute("SELECT name FROM older").fetchone() == ("森***",)
    finally:
        connection.execute("DROP FUNCTION ringfort.mask_name_v1 CASCADE")


def test_functions_are_immutable_parallel_safe_and_inlined(connection):
    rows = connection.execute(
        "SELECT proname, provolatile, proparallel, proconfig, prosecdef, proleakproof FROM pg_proc "
        "WHERE pronamespace = 'ringfort'::regnamespace"
    ).fetchall()
    assert len(rows) == len(FUNCTIONS)
    assert all(
        row[1:] == (b"i", b"s", None, False, False) or row[1:] == ("i", "s", None, False, False)
        for row in rows
    )
    connection.execute("CREATE TEMP TABLE inlined (v text, d date, n numeric)")
    plan = "\n".join(
        row[0]
        for row in connection.execute(
            "EXPLAIN (VERBOSE) SELECT ringfort.mask_email_v2(v), ringfort.born_date_v2(d), "
            "ringfort.band_numeric_v2(n) FROM inlined"
        )
    )
    assert "mask_email" not in plan
    assert "born_date" not in plan
    assert "band_numeric" not in plan


def test_a_collation_of_the_column_cannot_make_a_form_fail(connection):
    try:
        connection.execute(
            "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL was built without ICU")
    connection.execute("CREATE TABLE t (v text COLLATE ci)")
    connection.execute("INSERT INTO t VALUES ('Jan@Example.com'), ('')")
    names = [each.name for each in FUNCTIONS if each.argument == "text"]
    calls = sql.SQL(", ").join(sql.SQL("{}(v)").format(sql.Identifier(SCHEMA, each)) for each in names)
    assert len(connection.execute(sql.SQL("SELECT {} FROM t").format(calls)).fetchall()) == 2
