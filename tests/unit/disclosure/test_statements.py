"""The allow-list: what of SQL may be sent, what is said to the rest."""

# ruff: noqa: E501 - statements and lists read best whole

import json
import re

import pytest

from ringfort.disclosure.statement_shape import MAX_BYTES
from ringfort.disclosure.statements import Surface, Verdict, judge

SURFACE = Surface(
    frozenset({"customers", "orders", "Grün", "pg_like"}),
    "rf_1",
    frozenset({"id", "email", "country", "born", "total"}),
)


def verdict(text):
    return judge(text, SURFACE)


ALLOWED = {
    "read": [
        "SELECT",
        "SELECT 1",
        "VALUES (1, 'a'), (2, 'b') ORDER BY 1",
        "TABLE customers",
        'SELECT "id" FROM rf_1.customers AS c (a, b)',
        'SELECT * FROM "Grün"',
        "SELECT * FROM rf_1.pg_like",
        "SELECT * FROM customers c JOIN orders o USING (id) WHERE c.country = ANY ($1) ORDER BY o.total DESC LIMIT 5",
        "SELECT country, count(*) FILTER (WHERE id > 5) FROM customers GROUP BY ROLLUP (country) HAVING count(*) > 2",
        "SELECT sum(total) OVER w FROM orders WINDOW w AS (PARTITION BY id ORDER BY total ROWS 5 PRECEDING)",
        "SELECT DISTINCT ON (country) * FROM customers ORDER BY country, id FETCH FIRST 3 ROWS WITH TIES",
        "SELECT 1 UNION ALL (SELECT 2 INTERSECT SELECT 3) EXCEPT VALUES (4)",
        "SELECT (SELECT max(total) FROM orders o WHERE o.id = c.id), ARRAY(SELECT 1) FROM customers c",
        "SELECT * FROM customers c, LATERAL (SELECT * FROM orders o WHERE o.id = c.id) x",
        "SELECT g.g, o.n FROM generate_series(1, 3) g, unnest(ARRAY[1, 2]) WITH ORDINALITY o (v, n)",
        "SELECT * FROM ROWS FROM (generate_series(1, 2), json_to_record('{}') AS (a int, b text)) r",
        "SELECT CASE WHEN id > 1 THEN 'a' ELSE NULL END, coalesce(email, ''), greatest(1, 2), nullif(1, 2)",
        "SELECT CAST('2020-01-01' AS date), '1'::numeric(10, 2), interval '1 day', timestamptz 'now', ROW(1, 2)",
        "SELECT extract(year FROM born), born AT TIME ZONE 'UTC', substring(email FROM 1 FOR 2), trim(email)",
        "SELECT email LIKE 'a%' ESCAPE '!', email ~* 'x', email SIMILAR TO 'y', id BETWEEN SYMMETRIC 2 AND 1",
        'SELECT id OPERATOR(pg_catalog.+) 1, email COLLATE "C", a[1], a[1:2], (ARRAY[1, 2])[1] FROM customers',
        "SELECT current_date, current_user, localtimestamp(3), version(), now(), gen_random_uuid()",
        "SELECT json_value(email, '$.a' RETURNING int DEFAULT 1 ON ERROR), email IS JSON FROM customers",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total), string_agg(email, ',' ORDER BY id) FROM orders",
        "SELECT to_tsvector('english', email) @@ plainto_tsquery('x') FROM customers",
        "SELECT set_config('TimeZone', 'UTC', false), current_setting('TimeZone')",
        "SELECT 'customers'::regclass::oid, '16384'::pg_catalog.regclass, 'pg_catalog.pg_class'::regclass",
        "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace",
        "SELECT schemaname, viewname FROM pg_views",
        "SELECT table_name FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
    ],
    "copy_out": [
        "COPY (SELECT * FROM customers) TO STDOUT",
        "COPY (SELECT 1) TO STDOUT WITH (FORMAT csv, HEADER true, FORCE_QUOTE *, DELIMITER ';', ENCODING 'utf8')",
        "COPY (VALUES (1)) TO STDOUT BINARY",
    ],
    "cursor": [
        "DECLARE c CURSOR FOR SELECT * FROM customers",
        "DECLARE c BINARY NO SCROLL CURSOR WITHOUT HOLD FOR TABLE customers",
        "FETCH 100 FROM c",
        "FETCH BACKWARD ALL IN c",
        "MOVE FORWARD 5 c",
        "CLOSE c",
        "CLOSE ALL",
    ],
    "transaction": [
        "BEGIN",
        "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
        "START TRANSACTION READ ONLY",
        "COMMIT AND CHAIN",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT s",
        "RELEASE s",
        "ROLLBACK TO SAVEPOINT s",
        "SET TRANSACTION READ ONLY",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ],
    "prepare": ["PREPARE p (int, text) AS SELECT * FROM customers WHERE id = $1"],
    "execute": ["EXECUTE p (1, upper('a'))", "EXECUTE p"],
    "setting": [
        "SET DateStyle TO ISO, MDY",
        "SET LOCAL timezone = 'UTC'",
        "SET TIME ZONE INTERVAL '1' HOUR TO MINUTE",
        "SET bytea_output TO DEFAULT",
        "SET client_min_messages = warning",
        "SET search_path = rf_1",
        "RESET statement_timeout",
        "RESET ALL",
        "SHOW search_path",
        "SHOW TIME ZONE",
        "SHOW TRANSACTION ISOLATION LEVEL",
    ],
    "utility": ["DEALLOCATE p", "DEALLOCATE ALL", "DISCARD ALL", "DISCARD PLANS", "UNLISTEN *"],
    "empty": ["", "   ", "-- nothing", ";", "/* a /* nested */ comment */;"],
}
REFUSED = {
    "42501": [
        "INSERT INTO orders VALUES (1)",
        "UPDATE customers SET email = ''",
        "DELETE FROM customers",
        "MERGE INTO customers USING orders ON true WHEN MATCHED THEN DELETE",
        "TRUNCATE customers",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "CREATE TEMP TABLE t (a int)",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTENSION dblink",
        "DO $$ BEGIN END $$",
        "CALL p()",
        "LISTEN c",
        "NOTIFY c, 'x'",
        "LOCK customers",
        "VACUUM",
        "LOAD 'x'",
        "CHECKPOINT",
        "GRANT SELECT ON customers TO PUBLIC",
        "REASSIGN OWNED BY a TO b",
        "COPY (SELECT 1) TO PROGRAM 'sh'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "COPY orders FROM STDIN",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "PREPARE p AS DELETE FROM customers",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_catalog.pg_stats",
        "SELECT pg_sleep(1)",
        "SELECT public.version()",
        "SELECT ringfort.pseudonym(1)",
        "SELECT a.b.c()",
        "SELECT id OPERATOR(public.+) 1 FROM customers",
        "SELECT email COLLATE public.x FROM customers",
        "SELECT 1::public.t",
        "SELECT NULL::customers",
        "SELECT 1::customers.email%TYPE",
        "SELECT '<a/>'::xml",
        "SET role = 'x'",
        "SET SESSION AUTHORIZATION x",
        "SET search_path = public",
        "SET search_path = rf_1, public",
        "SET row_security = off",
        "SET standard_conforming_strings = off",
        "SET client_encoding = 'SJIS'",
        "SET client_min_messages = debug5",
        "SET ringfort.purpose = 'x'",
        "SET default_transaction_read_only = off",
        "RESET transaction_read_only",
        "SET transaction_read_only TO DEFAULT",
        "SHOW ALL",
        "SHOW data_directory",
        "SELECT current_setting('data_directory')",
        "SELECT set_config('role', 'x', false)",
        "SELECT set_config('TimeZone', email, false) FROM customers",
        "SELECT set_config($1, 'UTC', false)",
        "SELECT set_config('client_encoding', $1, false)",
        "SELECT set_config(setting_name => 'role', new_value => 'x', is_local => false)",
        "WITH pg_class AS (SELECT 1) SELECT * FROM pg_class",
        "SELECT * FROM pg_like",
    ],
    "0A000": [
        "SELECT 1 INTO t",
        "SELECT * FROM customers FOR UPDATE",
        "SELECT * FROM customers FOR KEY SHARE SKIP LOCKED",
        "SELECT * FROM shop.rf_1.customers",
        "SELECT * FROM customers TABLESAMPLE system (1)",
        "SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS b text)",
        "SELECT xmlelement(NAME a)",
        "SELECT * FROM json_table('{}', '$' COLUMNS (a int PATH '$.a'))",
        "SELECT * FROM coalesce(1, 2) x",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "SET TRANSACTION SNAPSHOT 'x'",
        "COPY customers TO STDOUT",
        "COPY (SELECT 1) TO STDOUT (ENCODING 'SJIS')",
    ],
    "25006": [
        "BEGIN READ WRITE",
        "START TRANSACTION READ WRITE",
        "SET TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "BEGIN READ ONLY, READ WRITE",
    ],
    "42P01": [
        "SELECT * FROM public.customers",
        "SELECT * FROM secret",
        "SELECT * FROM rf_2.customers",
        "SELECT 'secret'::regclass",
        "SELECT to_regclass('public.secret')",
        "WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT 1",
        "WITH x AS (SELECT * FROM x) SELECT 1",
        "(WITH x AS (SELECT 1) SELECT * FROM x) UNION SELECT * FROM x",
        "SELECT (WITH x AS (SELECT 1) SELECT * FROM x), (SELECT 1 FROM x)",
    ],
    "42601": ["SELEC 1", "SELECT FROM FROM", "SELECT 'a", "SELECT 1 FROM customers WHERE", "SELECT $$a"],
    "22021": ["SELECT '\0'", "SELECT '\ud800'"],
}


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in ALLOWED.items() for text in texts]
)
def test_allowed(kind, text):
    found = verdict(text)
    assert found.allowed, found
    assert found.kind == kind
    assert (found.sqlstate, found.reason, found.hint) == ("", "", "")


@pytest.mark.parametrize(
    ("state", "text"), [(state, text) for state, texts in REFUSED.items() for text in texts]
)
def test_refused(state, text):
    found = verdict(text)
    assert not found.allowed
    assert found.sqlstate == state, found
    assert found.reason
    assert found.reason == found.reason.strip(" .")
    assert "\n" not in found.reason
    assert found.shape == ""


def test_every_statement_of_a_text_is_judged():
    assert verdict("BEGIN; SELECT * FROM customers; COMMIT").kind == "read"
    assert verdict("BEGIN; SELECT 1; COMMIT").statements == 3
    assert not verdict("SELECT 1; DROP TABLE customers").allowed
    assert not verdict("SELECT 1;;; SELECT pg_sleep(1)").allowed


def test_a_cte_hides_a_view_where_the_server_says_so():
    assert "customers" not in verdict("WITH customers AS (SELECT 1) SELECT * FROM customers").shape
    assert "customers" in verdict("WITH customers AS (SELECT * FROM customers) SELECT * FROM customers").shape
    assert "customers" not in verdict("WITH RECURSIVE customers AS (SELECT 1) TABLE customers").shape
    assert verdict(
        "WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b, (SELECT * FROM a) x"
    ).allowed
    assert verdict("WITH RECURSIVE a AS (SELECT 1 UNION SELECT * FROM b), b AS (TABLE a) TABLE a").allowed
    assert verdict("WITH x AS (SELECT 1) SELECT 1 UNION SELECT * FROM x ORDER BY (SELECT 1 FROM x)").allowed


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM pg_class",
        "SELECT c.* FROM pg_class c",
        "SELECT pg_class FROM pg_class",
        "SELECT row_to_json(c) FROM pg_class c",
        "SELECT 1 FROM pg_class ORDER BY pg_catalog.pg_class.reltuples",
        "SELECT x FROM pg_class AS c (a, b, x)",
        "SELECT 1 FROM pg_class NATURAL JOIN (VALUES (5.0)) v (reltuples)",
        "SELECT j.* FROM (pg_class c JOIN pg_namespace n ON true) j",
        "WITH q AS (TABLE pg_class) SELECT relname FROM q",
        "SELECT definition FROM pg_views",
        "SELECT prosrc FROM pg_proc",
        "SELECT setting FROM pg_settings WHERE name = 'data_directory'",
        "COPY (SELECT * FROM pg_proc) TO STDOUT",
        "DECLARE c CURSOR FOR SELECT * FROM information_schema.columns",
        "PREPARE p AS SELECT * FROM pg_catalog.pg_class",
    ],
)
def test_the_catalogue_is_never_read_itself(text):
    found = verdict(text)
    assert found.allowed
    assert found.literal_dependent
    assert "ringfort_catalog." in found.rewritten
    assert "pg_catalog." not in found.rewritten
    assert not re.search(
        r"(?<!ringfort_catalog\.)\bpg_(class|proc|views|settings)\b(?! *FROM|\))", found.rewritten
    )


def test_rows_of_the_catalogue_are_no_way_to_functions():
    assert "call of a function" in verdict("SELECT (c).relname FROM pg_class c").reason
    assert "call of a function" in verdict("SELECT v.pg_typeof FROM customers v").reason
    assert "call of a function" in verdict("SELECT g.pg_get_userbyid FROM generate_series(10, 99) g").reason


@pytest.mark.parametrize(
    "text",
    [
        "SELECT g.pg_sleep FROM generate_series(0, 9) g",
        "SELECT t.pg_get_viewdef FROM unnest(ARRAY['customers']) t",
        "SELECT (id).pg_sleep FROM customers",
        "SELECT (5).pg_sleep",
        "SELECT ('x').regclass",
        "SELECT ((SELECT 'x')).pg_read_file",
        "SELECT generate_series.pg_sleep FROM generate_series(1, 2)",
        "SELECT x.pg_sleep FROM generate_series(0, 1) AS x (y)",
        "SELECT pg_sleep.pg_sleep FROM generate_series(0, 1) AS pg_sleep (y)",
        "SELECT pg_read_file.pg_read_file FROM json_array_elements_text('[\"x\"]') AS pg_read_file",
        "SELECT g.pg_sleep FROM abs(1) g WHERE EXISTS (SELECT FROM abs(1) g (pg_sleep))",
        "SELECT (SELECT 1 FROM customers g, (SELECT g.pg_sleep) s) FROM generate_series(1, 2) g",
        "SELECT 1 FROM generate_series(0, 9) g ORDER BY g.pg_sleep",
        "SELECT c.hash_record FROM customers c",
    ],
)
def test_functions_called_in_the_notation_of_a_column(text):
    found = verdict(text)
    assert not found.allowed, text
    assert "call of a function" in found.reason


def test_functions_in_the_notation_of_a_column_that_are_listed():
    assert verdict("SELECT x.lower FROM unnest(ARRAY['A']) x").allowed
    assert verdict("SELECT e.key, (e).value FROM json_each('{}') e").allowed
    assert verdict("SELECT (information_schema._pg_expandarray(i.indkey)).n FROM pg_index i").allowed


def test_reasons_and_shapes_hold_no_word_of_the_client():
    word = "zqx7"
    texts = [
        f"SELECT {word}()",
        f"SELECT pg_sleep(1) AS {word}",
        f"SELECT * FROM {word}",
        f"SELECT * FROM {word}.{word}",
        f"SELECT 1::{word}",
        f"SET {word}.x = 1",
        f"SET {word} = 1",
        f"SHOW {word}",
        f"SELECT '{word}'::regclass",
        f"SELECT g.{word} FROM abs(1) g",
        f"SELECT (1).{word}",
        f"SELECT {word} {word} {word}",
        f"WITH pg_{word} AS (SELECT 1) SELECT 1",
        f"COPY (SELECT 1) TO STDOUT ({word} 'x')",
        f"/* {word} */ SELECT '{word}' AS {word}, id AS {word}2 FROM customers {word} WHERE email = '{word}'",
        f"WITH {word} AS (SELECT 1) SELECT * FROM {word}",
        f"DECLARE {word} CURSOR FOR SELECT 1",
        f"FETCH 1 FROM {word}",
        f"SAVEPOINT {word}",
        f"PREPARE {word} AS SELECT 1",
        f"EXECUTE {word} ('{word}')",
        f"SELECT {word}.id, {word}.{word} FROM customers {word} ORDER BY {word} COLLATE {word}",
        f"SET application_name = '{word}'",
    ]
    for text in texts:
        found = verdict(text)
        assert word not in found.reason + found.shape + found.sqlstate + found.kind, found


def test_a_shape_tells_what_was_read():
    text = "SELECT country, count(*) c FROM customers WHERE email LIKE 'x' AND id IN (1) GROUP BY 1 LIMIT 3"
    statement = json.loads(verdict(text).shape)["statements"][0]
    assert statement["kind"] == "read"
    assert statement["inner"] == [
        {
            "from": ["customers"],
            "limit": True,
            "output": ["count()", "country"],
            "where": ["email", "email ~~", "id", "id in"],
        }
    ]


def test_a_shape_is_canonical_and_does_not_depend_on_order_or_literals():
    one = verdict("SELECT id, email FROM customers WHERE id = 1").shape
    other = verdict("SELECT email AS x, id FROM customers AS c WHERE id = 22222").shape
    assert one == other
    assert json.dumps(json.loads(one), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == one


def test_a_shape_is_bounded():
    wide = Surface(frozenset(f"table_with_a_long_name_{i}" for i in range(500)))
    text = "SELECT 1 FROM " + ", ".join(sorted(wide.relations))
    found = judge(text, wide)
    assert found.allowed
    assert len(found.shape.encode()) <= MAX_BYTES
    shape = json.loads(found.shape)
    assert (shape["summed"], shape["kinds"], shape["more"]) == (True, ["read"], ["from"])
    many = judge("SELECT 1;" * 500 + "FETCH c; SELECT email FROM customers WHERE id = 1", SURFACE)
    assert len(many.shape.encode()) <= MAX_BYTES
    assert json.loads(many.shape)["where"] == ["id", "id ="]
    assert json.loads(many.shape)["kinds"] == ["cursor", "read"]


@pytest.mark.parametrize(
    ("text", "dependent"),
    [
        ("SELECT * FROM customers WHERE id = 5", False),
        ("SELECT pg_sleep(5)", False),
        ("SELECT set_config('jit', 'off', false)", True),
        ("SELECT set_config('role', 'x', false)", True),
        ("SELECT current_setting('jit')", True),
        ("SELECT 'customers'::regclass", True),
        ("SELECT to_regclass('secret')", True),
        ("SELECT setting FROM pg_settings WHERE name = 'max_index_keys'", True),
        ("SELECT setting FROM pg_settings WHERE name = 'data_directory'", True),
        ("SELECT conrelid::regclass FROM pg_constraint", True),
        ("SET jit = off", True),
        ("BEGIN READ ONLY", True),
        ("FETCH 5 FROM c", True),
        ("COPY (SELECT 1) TO STDOUT (FORMAT csv)", True),
        ("SELECT 1; SET jit = off", True),
    ],
)
def test_what_depends_on_a_literal_says_so(text, dependent):
    assert verdict(text).literal_dependent is dependent


def test_identifiers_are_read_as_the_server_reads_them():
    long = "c" * 70
    surface = Surface(frozenset({"c" * 63}))
    assert judge(f"SELECT * FROM {long}", surface).allowed  # cut at 63 bytes, like the server does
    assert judge("SELECT * FROM CUSTOMERS", SURFACE).allowed
    assert not judge('SELECT * FROM "CUSTOMERS"', SURFACE).allowed
    assert judge('SELECT * FROM U&"custom\\0065rs"', SURFACE).allowed
    assert judge("SELECT * FROM U&\"custom!0065rs\" UESCAPE '!'", SURFACE).allowed


def test_depth():
    assert verdict("SELECT " + " || ".join(["email"] * 300) + " FROM customers").allowed
    assert verdict("SELECT 1 WHERE " + " AND ".join(["id = 1"] * 5000)).allowed
    assert verdict("SELECT 1 WHERE id IN (" + ", ".join(["1"] * 20000) + ")").allowed
    assert verdict(" UNION ALL ".join(["SELECT 1"] * 500)).allowed
    assert verdict("SELECT " + "(" * 400 + "1" + ")" * 400).allowed
    assert verdict("SELECT " + " || ".join(["email"] * 900) + " FROM customers").sqlstate == "54001"
    assert verdict(" UNION ALL ".join(["SELECT 1"] * 3000)).sqlstate == "54001"
    assert verdict("SELECT " + "+" * 5000 + "1").sqlstate == "54001"
    assert verdict("SELECT '" + "a" * 300_000 + "'").sqlstate == "54000"


def test_verdicts_and_surfaces_travel_as_json():
    for text in ("SELECT * FROM customers", "SELECT pg_sleep(1)"):
        found = verdict(text)
        assert Verdict.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert Surface.from_json(json.loads(json.dumps(SURFACE.to_json()))) == SURFACE
    assert Surface.from_json({"relations": ["a"]}) == Surface(frozenset({"a"}))
    assert hash(SURFACE.key) == hash(Surface.from_json(SURFACE.to_json()).key)
