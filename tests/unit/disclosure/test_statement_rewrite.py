"""Filtered copies in the place of catalogue relations: what is sent instead of the client's text."""

import pytest

from ringfort.disclosure.statement_rewrite import same_tree
from ringfort.disclosure.statements import Surface, judge

SURFACE = Surface(frozenset({"customers"}), "rf_test", frozenset({"id"}))
C = "ringfort_catalog"


def sent(text):
    verdict = judge(text, SURFACE)
    assert verdict.allowed, verdict
    return verdict.rewritten


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TABLE pg_class", f"TABLE {C}.pg_class"),
        ("SELECT 1 FROM pg_catalog.pg_class c", f"SELECT 1 FROM {C}.pg_class c"),
        (
            'SELECT "pg_class".relname FROM "pg_catalog" . "pg_class"',
            f'SELECT "pg_class".relname FROM {C}.pg_class',
        ),
        ("SELECT pg_catalog.pg_am.oid FROM pg_am", f"SELECT {C}.pg_am.oid FROM {C}.pg_am"),
        (
            "SELECT table_name FROM information_schema.tables",
            f"SELECT table_name FROM {C}.tables",
        ),
        (
            "WITH c AS (TABLE pg_am) SELECT * FROM c, customers",
            f"WITH c AS (TABLE {C}.pg_am) SELECT * FROM c, customers",
        ),
        (
            "SELECT '\u00e9\U0001f600' /* \u4e16 */ FROM /* \u00e9 */ pg_am",
            f"SELECT '\u00e9\U0001f600' /* \u4e16 */ FROM /* \u00e9 */ {C}.pg_am",
        ),
        ("SELECT l.tableoid FROM pg_language l", f"SELECT l.tableoid FROM {C}_system.pg_language l"),
        ("SELECT 1; SELECT format_type(1, 2)", f"SELECT 1; SELECT {C}.format_type(1, 2)"),
        (
            "SELECT pg_catalog . format_type (a, pg_get_userbyid(1)::text::int) FROM customers",
            f"SELECT {C}.format_type (a, {C}.pg_get_userbyid(1)::text::int) FROM customers",
        ),
        ("SELECT current_setting(name) FROM customers", f"SELECT {C}.current_setting(name) FROM customers"),
        ("SELECT id::regclass FROM customers", f'SELECT {C}.regclass(id) AS "id" FROM customers'),
        (
            "SELECT (a || b) :: pg_catalog.regtype::text AS x FROM customers",
            f"SELECT {C}.regtype((a || b) )::text AS x FROM customers",
        ),
        (
            "SELECT CAST(id AS regclass) AS x FROM customers",
            f"SELECT {C}.regclass(id ) AS x FROM customers",
        ),
        ("SELECT 1 WHERE 1 = 'pg_am'::regclass", f"SELECT 1 WHERE 1 = (SELECT {C}.regclass('pg_am'))"),
        ("SELECT 'pg_am'::regclass", f"SELECT (SELECT {C}.regclass({C}.regclass('pg_am')))"),
        (
            "SELECT 1 WHERE 'a' = CAST($1 AS regclass)::text",
            f"SELECT 1 WHERE 'a' = (SELECT {C}.regclass({C}.regclass($1 )))::text",
        ),
        ("SELECT regclass 'pg_am'", f"SELECT (SELECT {C}.regclass({C}.regclass( 'pg_am')))"),
        (
            "SELECT (string_to_array(x, ','))[1]::regclass AS a FROM customers",
            f"SELECT {C}.regclass((string_to_array(x, ','))[1]) AS a FROM customers",
        ),
        (
            "SELECT CASE WHEN a THEN 1 END::regrole AS r FROM customers",
            f"SELECT {C}.regrole(CASE WHEN a THEN 1 END) AS r FROM customers",
        ),
        (
            "SELECT pg_typeof((1))::text",
            'SELECT pg_catalog.format_type(pg_typeof((1)), NULL)::text AS "pg_typeof"',
        ),
        ("COPY (TABLE pg_am) TO STDOUT", f"COPY (TABLE {C}.pg_am) TO STDOUT"),
    ],
)
def test_what_is_sent(text, expected):
    assert sent(text) == expected


@pytest.mark.parametrize(
    "text", ["SELECT 1", "SELECT * FROM customers", "WITH x AS (SELECT 1) TABLE x", "SHOW jit", ""]
)
def test_ordinary_texts_are_sent_as_they_came(text):
    assert sent(text) == ""
    assert not judge("SELECT 1", SURFACE).literal_dependent


@pytest.mark.parametrize(
    "text",
    [
        'SELECT 1 FROM U&"pg_cl\\0061ss"',
        "SELECT ARRAY[1]::regclass[]",
        "PREPARE p (regclass) AS SELECT $1",
        "SELECT * FROM json_to_record('{}') AS x (a regclass)",
        "SELECT demo.pg_catalog.pg_am.oid FROM pg_am",
        "SELECT '1'::public.regclass",
        "SELECT 1 FROM pg_authid",
        "SELECT pg_get_functiondef(1)",
        "SELECT ringfort_catalog.regclass(1)",
        "SELECT * FROM ringfort_catalog.pg_class",
    ],
)
def test_what_cannot_be_replaced_or_is_no_part_of_it_is_refused(text):
    verdict = judge(text, SURFACE)
    assert not verdict.allowed or (
        text.startswith("SELECT 1 FROM U&") and f"FROM {C}.pg_class" in verdict.rewritten
    )


def test_trees_are_compared_without_places():
    assert same_tree({"a": [{"location": 1}], "b": 1}, {"a": [{"location": 2}], "b": 1, "stmt_len": 3})
    for other in ({"a": 1}, {"a": [1, 2]}, {"a": [True]}, {"b": [1]}, {"a": ["1"]}, {"a": []}):
        assert not same_tree({"a": [1]}, other)
