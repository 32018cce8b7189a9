"""What BI tools ask in the manner of Metabase and DBeaver: connect, learn what there is, read it, page it.

In their manner, not their own recorded texts. What a tool learns about the columns of the catalogue relations
themselves is tested with the catalogue.
"""

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.live_deployment import ANALYST, SUPPORT

VIEWS = ["messages", "payments", "people", "vault", "videos", "views"]

TABLES = """\
SELECT n.nspname AS schema, c.relname AS name,
       CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' END AS type,
       d.description
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
LEFT JOIN pg_catalog.pg_description AS d ON c.oid = d.objoid AND d.objsubid = 0
WHERE c.relkind IN ('r', 'p', 'v', 'f', 'm') AND n.nspname !~ '^information_schema|catalog_history|pg_'
  AND n.nspname = current_schema()
ORDER BY 1, 2"""
FIELDS = """\
SELECT c.column_name AS name, c.udt_name AS "database-type", c.ordinal_position - 1 AS position,
       c.table_schema AS schema, c.table_name AS "table-name", c.is_nullable = 'YES' AS nullable
FROM information_schema.columns AS c
WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND c.table_schema = current_schema()
  AND c.table_name IN (%s)
ORDER BY c.table_schema, c.table_name, c.ordinal_position"""
PRIVILEGES = """\
SELECT t.schema, t."table",
       pg_catalog.has_any_column_privilege(current_user, t.quoted, 'select') AS "select",
       pg_catalog.has_table_privilege(current_user, t.quoted, 'delete') AS "delete"
FROM (SELECT schemaname AS schema, viewname AS "table", format('%I.%I', schemaname, viewname) AS quoted
      FROM pg_catalog.pg_views) AS t
WHERE t.schema = current_schema() AND pg_catalog.has_schema_privilege(current_user, t.schema, 'usage')
ORDER BY 2"""


@pytest.fixture(params=[ANALYST, SUPPORT], ids=lambda who: who.role)
def tool(request, live):
    """A connection, prepared as JDBC tools do it."""
    with live.connect(request.param) as connection:
        connection.row_factory = dict_row
        connection.execute("SET extra_float_digits = 3")
        connection.execute("SET application_name = 'Metabase v0.50 [f8f8]'")
        connection.execute("SET SESSION TIMEZONE TO 'Europe/Dublin'")
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        connection.who = request.param
        yield connection


def test_it_finds_out_where_it_is(tool):
    for text in ("SELECT version()", "SHOW server_version_num", "SHOW TIMEZONE", "SHOW search_path"):
        assert len(tool.execute(text).fetchall()) == 1
    row = tool.execute("SELECT current_schema() AS s, session_user AS u, current_database() AS d").fetchone()
    assert row["s"].startswith("rf_")
    assert row["d"] == "demo"


def test_it_lists_the_views(tool):
    found = tool.execute(TABLES).fetchall()
    assert [(each["name"], each["type"]) for each in found] == [(name, "VIEW") for name in VIEWS]


def test_it_lists_the_fields_that_there_are(tool):
    found = tool.execute(FIELDS, ["vault"]).fetchall()
    names = [each["name"] for each in found]
    assert [each["position"] for each in found] == list(range(len(found)))
    assert names[:3] == ["id", "owner_id", "label"]
    assert ("h_email" in names) == (tool.who is SUPPORT)


def test_it_learns_that_it_may_only_read(tool):
    found = tool.execute(PRIVILEGES).fetchall()
    assert [each["table"] for each in found] == VIEWS
    assert {(each["select"], each["delete"]) for each in found} == {(True, False)}


def test_it_tries_a_table_without_reading_it(tool):
    schema = tool.execute("SELECT current_schema() AS s").fetchone()["s"]
    assert tool.execute(f'SELECT TRUE AS "_" FROM "{schema}"."people" WHERE 1 <> 1 LIMIT 0').fetchall() == []


def test_it_samples_and_pages(tool):
    schema = tool.execute("SELECT current_schema() AS s").fetchone()["s"]
    text = f'SELECT "source"."label" AS "label" FROM (SELECT * FROM "{schema}"."vault") AS "source"'
    rows = tool.execute(f'{text} WHERE "source"."label" LIKE %s ORDER BY 1 ASC LIMIT 3 OFFSET 2', ["shelf%"])
    assert [each["label"] for each in rows] == ["shelf 2", "shelf 3", "shelf 4"]
    assert tool.execute(f'SELECT count(*) AS n FROM "{schema}"."vault"').fetchone() == {"n": 8}
    assert len(tool.execute(f'SELECT x.* FROM {schema}."vault" x LIMIT 200').fetchall()) == 8


def test_it_counts_by_month_and_bins(tool):
    text = """
        SELECT CAST(extract(isodow FROM "source"."day") AS integer) AS "weekday", count(*) AS "count",
               count(distinct "source"."n") AS "distinct", avg("source"."n") AS "avg"
        FROM (SELECT date_trunc('day', now()) + g * interval '1 day' AS "day", g AS "n"
              FROM generate_series(1, 70) AS g) AS "source"
        GROUP BY CAST(extract(isodow FROM "source"."day") AS integer) ORDER BY 1"""
    found = tool.execute(text).fetchall()
    assert [each["weekday"] for each in found] == list(range(1, 8))
    assert {each["count"] for each in found} == {10}


def test_it_reads_with_a_cursor_and_gives_up(tool):
    with tool.transaction(), tool.cursor(name="page") as cursor:
        cursor.execute('SELECT * FROM "views"')
        assert len(cursor.fetchmany(100)) == 100
    assert tool.execute("SELECT 1 AS one").fetchone() == {"one": 1}


def test_it_may_not_write_back(tool):
    for text in ('DROP VIEW "vault"', 'CREATE TABLE "cache" (a int)', "INSERT INTO vault VALUES (1)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tool.execute(text)
