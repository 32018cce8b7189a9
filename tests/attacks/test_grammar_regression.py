"""PostgreSQL's own regression SQL through the allow-list: what is admitted reaches only what is listed.

RINGFORT_REGRESSION_SQL names a folder with the scripts (`src/test/regress/sql` of PostgreSQL's source).
"""

import os
from pathlib import Path

import psycopg
import pytest
from tests.attacks.server_reading import ServerReading
from tests.regression_corpus import statements

from ringfort.disclosure import function_list as lists
from ringfort.disclosure.catalog_relations import RELATIONS
from ringfort.disclosure.statements import Surface, judge

FOLDER = os.environ.get("RINGFORT_REGRESSION_SQL", "")
# scripts that make what the queries of the others read
FIRST = ["test_setup", "create_table", "create_misc", "create_type", "create_view", "arrays", "json", "jsonb"]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not FOLDER, reason="RINGFORT_REGRESSION_SQL names no folder with the scripts")
def test_what_is_admitted_reaches_only_what_is_listed(fresh_database):
    scripts = [Path(FOLDER) / f"{name}.sql" for name in FIRST] + sorted(Path(FOLDER).glob("*.sql"))
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("SET statement_timeout = '10s'")
        for script in scripts[: len(FIRST)]:
            for statement in statements(script):
                run_quietly(connection, statement)
        connection.execute("RESET ALL")
        reading = ServerReading(connection)
        own = {
            row[0]
            for row in connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
        }
        surface = Surface(frozenset(own), "public")
        checked = ran = 0
        for script in scripts:
            for statement in statements(script):
                verdict = judge(statement, surface)
                if not verdict.allowed or verdict.kind != "read" or verdict.statements != 1:
                    continue
                found = reading.read(statement)
                if found is None:
                    continue
                checked += 1
                functions, relations, _ = found
                assert {name for schema, name in functions if schema == "pg_catalog"} <= (
                    lists.FUNCTIONS
                    | lists.LITERAL_FUNCTIONS
                    | lists.STAND_INS
                    | lists.CONFIGURATION_FUNCTIONS
                ), statement
                assert {pair for pair in relations if pair[0] != "public"} <= RELATIONS.keys(), statement
                ran += reads_only(connection, statement)
        assert checked > 5000
        assert ran > 3000


def reads_only(connection, statement):
    """Run it where nothing may be written; whether it ran. A write is an error of its own there."""
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute("SET LOCAL statement_timeout = '500ms'")
            connection.execute(statement.encode())
    except psycopg.errors.ReadOnlySqlTransaction:
        raise AssertionError(statement) from None
    except psycopg.Error:
        return False
    return True


def run_quietly(connection, statement):
    try:
        connection.execute(statement.encode())
    except psycopg.Error:
        connection.rollback()
