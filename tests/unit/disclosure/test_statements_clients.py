"""What people's clients send must pass; what does not pass yet is listed here with its reason."""

# ruff: noqa: E501 - statements and lists read best whole

import json
from pathlib import Path

import pytest

from ringfort.disclosure.statements import Surface, judge, normalised_key

FOLDER = Path(__file__).parent / "client_statements"
SURFACE = Surface(
    frozenset(
        {
            "customers",
            "orders",
            "pgbench_accounts",
            "pgbench_branches",
            "pgbench_history",
            "pgbench_tellers",
        }
    ),
    "rf_test",
    frozenset({"aid", "abalance", "at", "born", "country", "customer_id", "email", "id", "total"}),
)
# what the person did -> part of each reason for which one of its statements is refused
NOT_YET = {
    "psql_completion": {"NOTIFY": {"sends or shows notifications"}},
    "psql_session": {"other": {"COPY takes a query here"}},
    "pgbench": {
        f"pgbench -S -M {mode}": {"VACUUM and ANALYZE", "TRUNCATE"}
        for mode in ("simple", "extended", "prepared")
    },
}


def cases():
    for path in sorted(FOLDER.glob("*.json")):
        for action, texts in json.loads(path.read_text()).items():
            yield pytest.param(path.stem, action, texts, id=f"{path.stem}-{action}")


@pytest.mark.parametrize(("client", "action", "texts"), list(cases()))
def test_what_clients_send(client, action, texts):
    expected = NOT_YET.get(client, {}).get(action, set())
    verdicts = {text: judge(text, SURFACE) for text in texts}
    reasons = {verdict.reason for verdict in verdicts.values() if not verdict.allowed}
    for text, verdict in verdicts.items():
        assert verdict.allowed or any(part in verdict.reason for part in expected), (text, verdict)
    for part in expected:
        assert any(part in reason for reason in reasons), f"`{part}` is no reason any more: {reasons}"


def test_the_exceptions_name_what_was_captured():
    for client, actions in NOT_YET.items():
        captured = json.loads((FOLDER / f"{client}.json").read_text())
        assert actions.keys() <= captured.keys()


# what BI tools and other drivers send, in their manner
ALLOWED = [
    # a BI tool asking what it may do, `delete` as an alias
    """with table_privileges as (
         select NULL as role, t.schemaname as schema, t.objectname as table,
           pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' ||
             '.' || '"' || replace(t.objectname, '"', '""') || '"', 'update') as update,
           pg_catalog.has_table_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' ||
             '"' || replace(t.objectname, '"', '""') || '"', 'delete') as delete
         from (select schemaname, tablename as objectname from pg_catalog.pg_tables
               union select schemaname, viewname as objectname from pg_catalog.pg_views
               union select schemaname, matviewname as objectname from pg_catalog.pg_matviews) t
         where t.schemaname !~ '^pg_' and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage'))
       select t.* from table_privileges t""",
    'SELECT TRUE AS "_" FROM "rf_test"."customers" WHERE 1 <> 1 LIMIT 0',
    "SET SESSION TIMEZONE TO 'Europe/Dublin';",
    "SHOW TIMEZONE;",
    """SELECT c.column_name, c.udt_name, col_description(CAST(CAST(format('%I.%I', CAST(c.table_schema AS text),
         CAST(c.table_name AS text)) AS regclass) AS oid), c.ordinal_position)
       FROM information_schema.columns c LEFT JOIN (SELECT tc.table_schema, tc.table_name, kc.column_name
         FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kc
         ON tc.constraint_name = kc.constraint_name WHERE tc.constraint_type = 'PRIMARY KEY') pk
       ON c.table_name = pk.table_name WHERE c.table_schema !~ '^information_schema|catalog_history|pg_'""",
    # a .NET driver loading types
    """SELECT version();
       SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid FROM (
         SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typnotnull,
           CASE WHEN proc.proname='array_recv' THEN typ.typelem WHEN typ.typtype='r' THEN rngsubtype END elemtypoid
         FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid)
         LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive
         LEFT JOIN pg_range ON (pg_range.rngtypid = typ.oid)) AS t
       JOIN pg_namespace AS ns ON (ns.oid = t.typnamespace)
       WHERE t.typtype IN ('b','r','m','e','d') OR (t.typtype = 'p' AND t.typname IN ('record','void'))
       ORDER BY CASE WHEN t.typtype IN ('b','e','p') THEN 0 WHEN t.typtype = 'r' THEN 1 END;
       SELECT pg_type.oid, enumlabel FROM pg_enum JOIN pg_type ON pg_type.oid=enumtypid ORDER BY oid;""",
    # how drivers clean a connection before it is used again
    "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
    "DISCARD ALL",
    "DEALLOCATE ALL",
    "SELECT set_config('jit', $1, false)",
    "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
    "SET extra_float_digits = 3",
    "SET application_name = 'PostgreSQL JDBC Driver'",
    "SET client_encoding TO 'UTF8'",
    "SET NAMES 'utf8'",
    "SET statement_timeout = '30s'",
    "SET standard_conforming_strings = on",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE",
    "SELECT pg_is_in_recovery(), current_schema(), current_setting('server_version_num')",
    "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_index_keys'",
]


@pytest.mark.parametrize("text", ALLOWED)
def test_what_tools_send(text):
    assert judge(text, SURFACE).allowed, judge(text, SURFACE)


def test_captured_statements_and_their_keys_agree():
    """Texts of the captures that share a key share their verdict, unless it depends on a literal."""
    by_key = {}
    for path in FOLDER.glob("*.json"):
        for texts in json.loads(path.read_text()).values():
            for text in texts:
                key = normalised_key(text.encode())
                if key is not None:
                    by_key.setdefault(key, []).append(judge(text, SURFACE))
    assert len(by_key) > 100
    for verdicts in by_key.values():
        free = [verdict for verdict in verdicts if not verdict.literal_dependent]
        assert all(verdict == free[0] for verdict in free)
        assert not free or len(free) == len(verdicts)
