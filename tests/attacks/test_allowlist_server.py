"""The allow-list against a real server: names exist, readings agree, reads have no effect and show no marker."""

# ruff: noqa: E501 - statements read best whole

import json
import re
from pathlib import Path

import psycopg
import pytest
from tests.attacks.server_reading import ServerReading

from ringfort.disclosure import function_list as lists
from ringfort.disclosure.catalog_relations import RELATIONS
from ringfort.disclosure.statements import Surface, judge

MARKER = "mrk7f3a"
SURFACE = Surface(
    frozenset({"customers", "orders"}),
    "rf_1",
    frozenset({"id", "email", "country", "born", "customer_id", "total"}),
)
# listed names that only newer servers have
SINCE = {
    160000: "any_value array_sample array_shuffle date_add date_subtract erf erfc json_agg_strict json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict jsonb_agg_strict jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict random_normal system_user",
    170000: "to_bin to_oct unicode_assigned unicode_version uuid_extract_timestamp uuid_extract_version",
    180000: "array_reverse array_sort casefold crc32 crc32c gamma lgamma uuidv4 uuidv7",
}
CLIENTS = Path(__file__).parent.parent / "unit" / "disclosure" / "client_statements"

SETUP = f"""
CREATE SCHEMA app;
CREATE TABLE app.customers (id int PRIMARY KEY, email text, ssn text, country text, born date);
CREATE TABLE app.orders (id int PRIMARY KEY, customer_id int REFERENCES app.customers, total numeric);
INSERT INTO app.customers SELECT g, '{MARKER}' || g || '@x', '{MARKER}' || g, 'IE', '1980-05-05' FROM generate_series(1, 40) g;
INSERT INTO app.orders SELECT g, 1 + g % 40, g FROM generate_series(1, 90) g;
ALTER TABLE app.customers ADD COLUMN note text DEFAULT 'none';
ANALYZE app.customers;
CREATE FUNCTION app.secret() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$SELECT '{MARKER}'::text$$;
CREATE ROLE ringfort_views_test NOLOGIN;
GRANT USAGE ON SCHEMA app TO ringfort_views_test;
GRANT SELECT ON ALL TABLES IN SCHEMA app TO ringfort_views_test;
CREATE ROLE rf_1 LOGIN PASSWORD 'x' NOINHERIT;
CREATE SCHEMA rf_1;
CREATE VIEW rf_1.customers WITH (security_barrier) AS
    SELECT id, '***'::text AS email, country, date_trunc('year', born)::date AS born FROM app.customers;
CREATE VIEW rf_1.orders WITH (security_barrier) AS SELECT id, customer_id, total FROM app.orders;
ALTER VIEW rf_1.customers OWNER TO ringfort_views_test;
ALTER VIEW rf_1.orders OWNER TO ringfort_views_test;
GRANT USAGE ON SCHEMA rf_1 TO rf_1;
GRANT SELECT ON ALL TABLES IN SCHEMA rf_1 TO rf_1;
ALTER ROLE rf_1 SET search_path = rf_1;
ALTER ROLE rf_1 SET default_transaction_read_only = on;
"""

# queries of our own beside those that clients send: each is admitted
READS = [
    "SELECT c.country, count(*), sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY ROLLUP (c.country)",
    "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n, (SELECT count(*) FROM t x) FROM t",
    "WITH customers AS (SELECT 1 AS one) SELECT * FROM customers, (SELECT email FROM orders, rf_1.customers LIMIT 1) x",
    "SELECT x.lower, g.g, e.key FROM unnest(ARRAY['A']) x, generate_series(1, 2) g, json_each('{\"a\": 1}') e",
    "SELECT to_json(c), row_to_json(o), array_agg(c.email) OVER (PARTITION BY c.country) FROM customers c, orders o LIMIT 3",
    "SELECT * FROM ROWS FROM (generate_series(1, 2), json_to_record('{}') AS (a int, b text)) WITH ORDINALITY r",
    "SELECT extract(year FROM born), born AT TIME ZONE 'UTC', email SIMILAR TO 'a', position('a' IN email), overlay(email PLACING 'x' FROM 1), trim(LEADING FROM email), normalize(email) FROM customers",
    "SELECT s.nspname, (aclexplode(s.nspacl)).privilege_type FROM pg_namespace s",
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid WHERE a.attrelid = 'customers'::regclass",
    "SELECT c.text, c.name, c.pg_column_size, c.to_jsonb FROM (SELECT 1 AS text, 2 AS name, 3 AS pg_column_size, 4 AS to_jsonb) c",
    "SELECT setting FROM pg_settings WHERE name = 'max_index_keys'",
    "SELECT email, id FROM customers ORDER BY id USING > FETCH FIRST 3 ROWS WITH TIES",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY total), mode() WITHIN GROUP (ORDER BY id) FROM orders",
    "SELECT current_setting('TimeZone'), version(), current_user, pg_advisory_unlock_all() IS NULL",
    "SELECT 1 WHERE EXISTS (SELECT FROM customers) AND 5 = ANY (SELECT id FROM orders) AND (1, 2) IN (SELECT 1, 2)",
]


@pytest.fixture
def database(fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute(SETUP)
        yield admin


@pytest.fixture
def reading(database):
    database.execute("SET search_path = rf_1")
    return ServerReading(database)


def client_queries():
    for path in sorted(CLIENTS.glob("*.json")):
        for texts in json.loads(path.read_text()).values():
            for text in texts:
                yield text.replace("rf_test", "rf_1")


LISTED = lists.FUNCTIONS | lists.LITERAL_FUNCTIONS | lists.STAND_INS | lists.CONFIGURATION_FUNCTIONS
NEWER_COLUMNS = {"relallfrozen"}  # since 18


def unlisted(found):
    """What of a server's reading the lists do not cover."""
    functions, relations, _ = found
    bad = []
    for schema, name in functions:
        listed = schema == "pg_catalog" and name in LISTED
        if not listed and (schema, name) != ("information_schema", "_pg_expandarray"):
            bad.append(f"{schema}.{name}()")
    bad += [
        f"{schema}.{name}"
        for schema, name in relations
        if schema != "rf_1" and (schema, name) not in RELATIONS
    ]
    return bad


def test_every_listed_name_exists(database):
    functions = {
        row[0]
        for row in database.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
        )
    }
    version = database.info.server_version
    newer = {name for since, names in SINCE.items() if version < since for name in names.split()}
    assert LISTED - functions - lists.REFERENCE_TYPES == newer
    types = {
        row[0]
        for row in database.execute(
            "SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace"
        )
    }
    assert types >= lists.TYPES
    operators = {
        row[0]
        for row in database.execute(
            "SELECT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace"
        )
    }
    assert operators == lists.OPERATORS
    relations = {
        (row[0], row[1])
        for row in database.execute(
            "SELECT relnamespace::regnamespace::text, relname FROM pg_class WHERE relkind IN ('r', 'v')"
            " AND relnamespace::regnamespace::text IN ('pg_catalog', 'information_schema')"
        )
    }
    assert RELATIONS.keys() <= relations
    for (schema, name), shown in RELATIONS.items():
        columns = {
            row[0]
            for row in database.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = format('%%s.%%s', %s::text, %s::text)::regclass",
                (schema, name),
            )
        }
        assert shown.columns.keys() - NEWER_COLUMNS <= columns, (name, shown.columns.keys() - columns)


def test_no_listed_function_is_volatile_but_those_that_were_looked_at(database):
    volatile = {
        row[0]
        for row in database.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND pronamespace = 'pg_catalog'::regnamespace"
        )
    }
    looked_at = {
        "array_sample",
        "array_shuffle",
        "clock_timestamp",
        "gen_random_uuid",
        "pg_advisory_unlock_all",
        "pg_is_in_recovery",
        "pg_jit_available",
        "pg_partition_ancestors",
        "pg_partition_tree",
        "random",
        "random_normal",
        "set_config",
        "timeofday",
    }
    assert volatile & (lists.FUNCTIONS | lists.LITERAL_FUNCTIONS) <= looked_at
    restricted = {
        row[0]
        for row in database.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
            " AND NOT has_function_privilege('rf_1', oid, 'EXECUTE')"
        )
    }
    assert not restricted & lists.FUNCTIONS


def test_what_is_known_of_notation_is_what_the_server_does(database):
    names = "SELECT array(SELECT proargnames[i] FROM generate_subscripts(proargmodes, 1) i WHERE proargmodes[i] IN ('o', 't', 'b'))"
    everything = {
        row[0] for row in database.execute("SELECT proname FROM pg_proc UNION SELECT typname FROM pg_type")
    }
    scalar = set()
    for function, columns in database.execute(
        f"SELECT proname, ({names}) FROM pg_proc WHERE proargmodes IS NOT NULL"
    ):
        if function not in lists.FUNCTIONS | lists.STAND_INS | lists.INFORMATION_SCHEMA_FUNCTIONS:
            continue
        assert set(columns) <= lists.OUTPUT_COLUMNS, function
        if len(columns) == 1:
            scalar.add(function)
    assert scalar == lists.NAMED_SCALAR_FUNCTIONS
    assert not (lists.OUTPUT_COLUMNS & everything) - lists.FUNCTIONS
    takes_a_row = {
        row[0]
        for row in database.execute(
            "SELECT proname FROM pg_proc WHERE pronargs - pronargdefaults <= 1 AND pronargs >= 1 AND proargtypes[0]::regtype::text IN"
            " ('record', '\"any\"', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray', 'unknown')"
        )
    }
    assert takes_a_row - lists.FUNCTIONS <= lists.ROW_FUNCTIONS


def test_the_oracle_sees_what_it_must(reading):
    for query, bad in {
        "SELECT t.pg_get_functiondef FROM unnest(ARRAY[1242::oid]) t": "pg_catalog.pg_get_functiondef()",
        "SELECT (5).pg_sleep": "pg_catalog.pg_sleep()",
        "SELECT * FROM pg_authid": "pg_catalog.pg_authid",
    }.items():
        assert bad in unlisted(reading.read(query)), query
        assert not judge(query, SURFACE).allowed


def test_what_is_admitted_reaches_only_what_is_listed(reading):
    read = 0
    for query in [*READS, *client_queries()]:
        verdict = judge(query, SURFACE)
        if query in READS:
            assert verdict.allowed, (query, verdict)
        if not verdict.allowed or verdict.kind != "read" or verdict.statements != 1:
            continue
        found = reading.read(re.sub(r"\$\d+", "NULL", query))
        if found is not None:
            read += 1
            assert not unlisted(found), query
    assert read > 200


def test_what_is_admitted_changes_nothing_and_shows_no_marker(database, fresh_database):
    def state():
        return database.execute(
            "SELECT (SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM app.customers c),"
            " (SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM app.orders o),"
            " (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_authid),"
            " (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_db_role_setting)"
        ).fetchone()

    before = state()
    parameters = psycopg.conninfo.conninfo_to_dict(fresh_database)
    parameters.update(user="rf_1", password="x")
    ran = 0
    errors = []
    with psycopg.connect(psycopg.conninfo.make_conninfo(**parameters), autocommit=True) as client:
        client.execute("SET statement_timeout = '10s'")
        for query in [*READS, *client_queries()]:
            verdict = judge(query, SURFACE)
            if not verdict.allowed or verdict.kind not in ("read", "setting"):
                continue
            try:
                cursor = client.execute(re.sub(r"\$\d+", "NULL", query).encode())
            except psycopg.Error as error:
                errors.append((query, error.sqlstate, str(error)))
                continue
            ran += 1
            if cursor.description is not None:
                assert MARKER not in str(cursor.fetchall()), query
        client.execute("RESET ALL")
        assert client.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        assert client.execute("SHOW search_path").fetchone() == ("rf_1",)
    assert ran > 200
    for query, sqlstate, text in errors:
        assert sqlstate not in ("25006", "57014"), query  # not a read after all; waited
        assert MARKER not in text, query
    assert state() == before
