"""Missing orders filled in the text: where they go, what stays as it is, what a template gives."""

import pytest

from ringfort.disclosure.function_list import AGGREGATES, FUNCTIONS, TELLING_FUNCTIONS, WINDOW_FUNCTIONS
from ringfort.disclosure.statement_order_calls import ARBITRARY, FRAMED, NUMBERING, ORDERED, PEERS
from ringfort.disclosure.statements import Shown, Surface, Verdict, constants, judge, normalised_key

SHOWN = (
    Shown("customers", ("id", "name", "born"), ("id",)),
    Shown("people", ("id", "name"), ("id",), ordered="rf_test_ordered"),
    Shown("orders", ("customer_id", "total"), ("customer_id",)),
    Shown("rates", ("day", "rate"), (), stored_order=True),
)
NAMES = frozenset({"customers", "orders", "people", "rates"})
SURFACE = Surface(NAMES, "rf_test", frozenset({"id", "name", "born"}), shown=SHOWN)
RAW = Surface(NAMES, "rf_test", frozenset({"id", "name", "born"}))
BYTES = "USING OPERATOR(pg_catalog.*<)"


def sent(text):
    verdict = judge(text, SURFACE)
    assert verdict.allowed, verdict
    return verdict.rewritten or text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT name FROM customers", f"SELECT name FROM customers ORDER BY ROW(name) {BYTES}"),
        (
            "SELECT id, name n FROM customers",
            f"SELECT id, name n FROM customers ORDER BY id, ROW(id, name) {BYTES}",
        ),
        (
            "SELECT name FROM customers ORDER BY born DESC LIMIT 3 -- ok",
            f"SELECT name FROM customers ORDER BY born DESC, ROW(name) {BYTES} LIMIT 3 -- ok",
        ),
        (
            "TABLE customers LIMIT 1;",
            f'TABLE customers ORDER BY "customers"."id", ROW("customers".*) {BYTES} LIMIT 1;',
        ),
        ("SELECT DISTINCT name, 1 FROM customers", "SELECT DISTINCT name, 1 FROM customers ORDER BY 1, 2"),
        (
            "SELECT id FROM customers UNION SELECT customer_id FROM orders LIMIT 2",
            (
                "SELECT * FROM (SELECT id FROM customers UNION SELECT customer_id FROM orders) "
                f'AS ringfort_rows ORDER BY ROW("ringfort_rows".*) {BYTES} LIMIT 2'
            ),
        ),
        (
            "SELECT name FROM people p WHERE id IS NOT NULL LIMIT 3",
            'SELECT name FROM "rf_test_ordered"."people" p WHERE id IS NOT NULL LIMIT 3',
        ),
        (
            "SELECT * FROM (TABLE people) AS source LIMIT 3",
            'SELECT * FROM (TABLE "rf_test_ordered"."people") AS source LIMIT 3',
        ),
        (
            "SELECT p.* FROM people AS p LIMIT 3",
            'SELECT p.* FROM "rf_test_ordered"."people" AS p LIMIT 3',
        ),
        # a whole row is of the type that the catalogue's copies show
        ("SELECT p FROM people p LIMIT 3", f"SELECT p FROM people p ORDER BY ROW(p) {BYTES} LIMIT 3"),
        (
            "SELECT coalesce(people.*) FROM people LIMIT 3",
            f"SELECT coalesce(people.*) FROM people ORDER BY ROW(coalesce(people.*)) {BYTES} LIMIT 3",
        ),
        (
            "SELECT r FROM (SELECT p AS r FROM people p) s LIMIT 3",
            f"SELECT r FROM (SELECT p AS r FROM people p) s ORDER BY ROW(r) {BYTES} LIMIT 3",
        ),
        (
            "SELECT (SELECT name FROM people p WHERE p.id = o.customer_id LIMIT 1) FROM orders o",
            (
                f"SELECT (SELECT name FROM people p WHERE p.id = o.customer_id ORDER BY ROW(name) {BYTES} "
                f'LIMIT 1) FROM orders o ORDER BY "o"."customer_id", ROW("o".*) {BYTES}'
            ),
        ),
        (
            "SELECT array_agg(ALL name) FROM customers",
            f"SELECT array_agg(ALL name ORDER BY ROW(name) {BYTES}) FROM customers",
        ),
        (
            "SELECT rank() OVER w, count(id) OVER () FROM customers WINDOW w AS () ORDER BY 1",
            (
                "SELECT rank() OVER w, count(id) OVER () FROM customers WINDOW w AS () ORDER BY 1, "
                f"ROW(rank() OVER w, count(id) OVER ()) {BYTES}"
            ),
        ),
    ],
)
def test_what_is_sent(text, expected):
    assert sent(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT count(*), max(name) FROM customers",
        "SELECT 1 FROM customers",
        "SELECT EXISTS (SELECT 1 FROM customers LIMIT 1)",
        "SELECT day, random() FROM rates LIMIT 3",
        "SELECT clock_timestamp(), random()",
        "VALUES (1), (2)",
        "WITH customers AS (VALUES (2), (1)) SELECT * FROM customers",
    ],
)
def test_what_depends_on_no_order_stays_as_it_is(text):
    verdict = judge(text, SURFACE)
    assert verdict.allowed
    assert not verdict.rewritten
    assert not verdict.template


def test_a_profile_of_raw_values_keeps_the_stored_order():
    assert not judge("SELECT name FROM customers LIMIT 3", RAW).rewritten
    assert RAW.key != SURFACE.key


def test_a_dataset_whose_order_is_accepted_is_filled_beside_others():
    assert "ORDER BY" in sent("SELECT day FROM rates, customers")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "SELECT name || 'a', 'x', 7 FROM customers WHERE born > '1970-01-01' LIMIT 10",
            "SELECT name || 'quoted \"text', '', 12345 FROM customers WHERE born > '' LIMIT 9",
        ),
        (
            "SELECT \"na\"\"me\", left(name, 3) FROM customers WHERE name IN ('a', 'b')",
            "SELECT \"na\"\"me\", left(name, 12) FROM customers WHERE name IN ('ccc', '')",
        ),
        (
            "SELECT string_agg(name || '1', ', ' ORDER BY born) FROM customers WHERE born < '2'",
            "SELECT string_agg(name || 'abc', '' ORDER BY born) FROM customers WHERE born < ''",
        ),
    ],
)
def test_a_template_gives_what_the_parser_would(one, other):
    assert normalised_key(one.encode()) == normalised_key(other.encode())
    verdict = Verdict.from_json(judge(one, SURFACE).to_json())
    assert verdict.template
    assert not verdict.literal_dependent
    for text in (one, other):
        values = constants(text.encode())
        made = "".join(each if isinstance(each, str) else values[each].decode() for each in verdict.template)
        assert made == sent(text)


def test_no_template_where_a_literal_decides():
    for text in (
        "SELECT born, row_number() OVER () FROM customers GROUP BY 1",
        "SELECT name FROM customers ORDER BY 1 FETCH FIRST 2 ROWS WITH TIES",
        "SELECT pg_typeof(id) FROM customers",
    ):
        verdict = judge(text, SURFACE)
        assert verdict.rewritten
        assert verdict.literal_dependent
        assert not verdict.template


def test_every_aggregate_and_window_function_is_known():
    """A new function is looked at before it is listed."""
    order_free = {
        *(
            "avg",
            "bit_and",
            "bit_or",
            "bit_xor",
            "bool_and",
            "bool_or",
            "corr",
            "count",
            "covar_pop",
            "every",
        ),
        *(
            "covar_samp",
            "max",
            "min",
            "mode",
            "percentile_cont",
            "percentile_disc",
            "range_agg",
            "regr_count",
        ),
        *("range_intersect_agg", "regr_avgx", "regr_avgy", "regr_intercept", "regr_r2", "regr_slope", "sum"),
        *("regr_sxx", "regr_sxy", "regr_syy", "stddev", "stddev_pop", "stddev_samp", "var_pop", "var_samp"),
        "variance",
    }
    assert order_free | ORDERED | ARBITRARY == AGGREGATES
    assert WINDOW_FUNCTIONS == PEERS | NUMBERING | FRAMED
    assert ARBITRARY <= TELLING_FUNCTIONS.keys() <= FUNCTIONS


def test_copies_of_copies_are_bounded():
    text = "SELECT count(*) FROM customers"
    for _ in range(40):
        text = f"SELECT ({text}), count(*) FROM customers GROUP BY name LIMIT 1"
    verdict = judge(text, SURFACE)
    assert not verdict.allowed
    assert verdict.sqlstate == "54001"


@pytest.mark.parametrize(
    "text",
    [
        "WITH customers AS (SELECT * FROM customers) SELECT * FROM customers",
        "WITH customers AS (SELECT name FROM customers ORDER BY born) SELECT array_agg(name) FROM customers",
        "WITH a AS (TABLE customers), customers AS (TABLE a), a2 AS (TABLE customers) SELECT name FROM a2",
    ],
)
def test_a_cte_called_like_the_view_that_it_reads(text):
    assert judge(text, SURFACE).allowed


def test_a_chain_of_ctes_without_end_is_refused():
    links = "".join(f", c{n} AS (SELECT * FROM c{n - 1})" for n in range(1, 3000))
    verdict = judge(f"WITH c0 AS (SELECT id FROM customers){links} SELECT * FROM c2999", SURFACE)
    assert (verdict.allowed, verdict.sqlstate) == (False, "54001")


def test_columns_that_double_with_each_cte_are_not_all_looked_at():
    links = "".join(f", c{n} AS (SELECT * FROM c{n - 1} x, c{n - 1} y)" for n in range(1, 60))
    text = f"WITH c0 AS (TABLE customers){links} SELECT array_agg(q) FROM (SELECT * FROM c19 ORDER BY 1) s"
    verdict = judge(f"SELECT max(id), ({text}) FROM customers", SURFACE)
    assert verdict.sqlstate in {"", "0A000"}
