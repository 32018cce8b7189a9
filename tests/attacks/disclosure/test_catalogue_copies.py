"""What the catalogue gives away through the gateway: nothing of what the session's profile does not show.

The deployment of `live` has tables, columns, constraints and more that no profile of the analyst shows. Their
names must be in no answer, whatever relation is read, whatever number is asked for.
"""

import re

import psycopg
import pytest
from tests.attacks.gateway.leaks import find
from tests.attacks.gateway.wire_client import WireClient
from tests.live_deployment import ANALYST, HIDDEN, SUPPORT

from ringfort.disclosure.catalog_relations import RELATIONS
from ringfort.pgwire.backend import DataRow, RowDescription
from ringfort.pgwire.frontend import Bind, Describe, Execute, Parse, Sync, serialise_frontend

HIDDEN_NAMES = [
    *HIDDEN, "uncatalogued", "parted", "parted_1", "copied", "vault_text_once", "vault_positive",
    "vault_bigint", "vault_together", "vault_pkey", "people_pkey", "ringfort_views", "public.",
]  # fmt: skip
# roles and schemas of old, the end of what the server was made with, and what was made since
NUMBERS = "(SELECT generate_series(1, 20) UNION SELECT generate_series(2190, 2210)"
NUMBERS += " UNION SELECT generate_series(16380, 18500)) AS n (g)"
ASKED = [
    "SELECT g::regclass FROM {n}",
    "SELECT CAST(g AS regclass)::text || '' FROM {n}",
    "SELECT CASE WHEN g < 0 THEN 'pg_class'::regclass ELSE g END FROM {n}",
    "SELECT COALESCE(NULLIF('pg_class'::regclass, 'pg_class'::regclass), g::oid) FROM {n}",
    "SELECT unnest(ARRAY['pg_class'::regclass, 16400, 16401, 16402, 16403])",
    "SELECT CASE WHEN g < 0 THEN typinput ELSE g END FROM pg_type, {n} WHERE typname = 'bool'",
    "SELECT array_append(ARRAY['pg_class'::regclass], g::oid) FROM {n}",
    "SELECT 'pg_class'::regclass UNION SELECT g FROM {n}",
    "SELECT lag('pg_class'::regclass, 1, g::oid) OVER () FROM {n}",
    "SELECT CASE WHEN g < 0 THEN pg_typeof(1) ELSE g::text END FROM {n}",
    "SELECT g::regtype FROM {n}",
    "SELECT format_type(g, NULL) FROM {n}",
    "SELECT oidvectortypes((g || ' ' || g)::oidvector) FROM {n}",
    "SELECT g::regproc, g::regprocedure, g::regoper, g::regoperator FROM {n}",
    "SELECT g::regrole, pg_get_userbyid(g) FROM {n}",
    "SELECT g::regnamespace FROM {n}",
    "SELECT acldefault('r', g::oid) FROM {n}",
    "SELECT obj_description(g, 'pg_class'), col_description(g, 1) FROM {n}",
    "SELECT shobj_description(g, 'pg_database'), obj_description(g) FROM {n}",
    "SELECT pg_get_constraintdef(g), pg_get_indexdef(g), pg_get_viewdef(g), pg_get_ruledef(g) FROM {n}",
    "SELECT pg_get_function_arguments(g), pg_get_function_result(g), pg_get_triggerdef(g) FROM {n}",
    "SELECT pg_get_statisticsobjdef_columns(g), pg_get_partkeydef(g) FROM {n}",
    "SELECT pg_describe_object(1259, g, 0) FROM {n}",
    "SELECT to_json(g::regclass), row_to_json(ROW (g::regclass)) FROM {n}",
    "SELECT g::text::regclass::oid::regclass FROM {n}",
    "SELECT (SELECT g::regclass), EXISTS (SELECT g::regclass) FROM {n}",
]
UNKNOWN = [
    "SELECT to_regclass('public.' || n) IS NULL",
    "SELECT ('public.' || n)::regclass IS NULL",
    "SELECT (n::text)::regclass IS NULL",
    "SELECT has_table_privilege('public.' || n, 'select') IS NULL",
    "SELECT has_any_column_privilege(n, 'select') IS NULL",
    "SELECT has_column_privilege('public.' || n, 'id', 'select') IS NULL",
    "SELECT to_regtype('public.' || n) IS NULL",
    "SELECT has_type_privilege('public.' || n, 'usage') IS NULL",
    "SELECT has_table_privilege('postgres', 'public.' || n, 'select') IS NULL",
    "SELECT pg_get_serial_sequence('public.' || n, 'id') IS NULL",
    "SELECT has_schema_privilege('ringfort', 'usage') IS NULL",
]


@pytest.fixture
def client(live):
    with WireClient(live.dsn(ANALYST)) as connected:
        yield connected


def names_in(data):
    text = bytes(data).decode("utf-8", "replace")
    return [name for name in HIDDEN_NAMES if re.search(rf"(?<![a-z_]){re.escape(name)}(?![a-z_])", text)]


def answer(client, sql):
    """Whether it was answered; asserts that the answer names nothing hidden and holds no marker."""
    mark = len(client.received)
    known = len(client.sqlstates)
    items = client.query(sql)
    rows = [value for item in items if isinstance(item, DataRow) for value in item.values if value]
    assert not names_in(b"\n".join(rows)), sql
    assert not find(bytes(client.received[mark:])), sql
    return len(client.sqlstates) == known, items


def test_every_relation_is_copied_or_refused(live, client):
    with psycopg.connect(live.admin_dsn()) as admin:
        relations = admin.execute(
            "SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v')"
            " GROUP BY 1, 2"
        ).fetchall()
        others = [row[0] for row in admin.execute("SELECT role FROM ringfort.profile")]
    own = client.values("SELECT current_user")[0][0].decode()
    others = {each for each in others if each != own}
    copied = 0
    for schema, name, columns in relations:
        mark = len(client.received)
        answered, items = answer(client, f"SELECT * FROM {schema}.{name}")
        assert answered == ((schema, name) in RELATIONS), (schema, name)
        if answered:
            copied += 1
            (description,) = [item for item in items if isinstance(item, RowDescription)]
            assert [each.name.decode() for each in description.columns] == columns, (schema, name)
        received = bytes(client.received[mark:])
        assert not [each for each in others if each.encode() in received], (schema, name)
    assert copied > 120


@pytest.mark.parametrize("sql", ASKED)
def test_no_number_gives_a_name(client, sql):
    answer(client, sql.format(n=NUMBERS))


@pytest.mark.parametrize("sql", UNKNOWN)
def test_a_hidden_name_is_as_unknown_as_one_that_is_not_there(client, sql):
    for name in ("uncatalogued", "no_such_thing"):
        answered, items = answer(client, f"{sql} FROM (SELECT '{name}'::text) AS s (n)")
        assert answered
        assert [item.values for item in items if isinstance(item, DataRow)] == [(b"t",)]


@pytest.mark.parametrize("kind", [2205, 2206, 24, 4096, 2210])
def test_no_parameter_is_of_a_type_that_prints_names(client, kind):
    for message in (
        Parse(b"", b"SELECT $1", (kind,)),
        Bind(b"", b"", (), (b"16400",), ()),
        Describe(b"P", b""),
        Execute(b"", 0),
        Sync(),
    ):
        client.send(serialise_frontend(message))
    assert not [item for item in client.until_ready() if isinstance(item, DataRow)]
    assert client.sqlstates[-1] == "0A000"


def test_a_function_of_the_client_sees_no_hidden_row(client):
    """A condition that fails for a row that is not shown would tell of it."""
    for name, relation, wanted, zero in (
        ("relname", "pg_class", "uncatalogued", "relnatts - relnatts"),
        ("attname", "pg_attribute", "h_text", "attnum - attnum"),
        ("typname", "pg_type", "uncatalogued", "typlen - typlen"),
        ("column_name", "information_schema.columns", "h_text", "ordinal_position - ordinal_position"),
    ):
        sql = f"SELECT {name} FROM {relation} WHERE CASE WHEN {name} = '{wanted}' THEN 1 / ({zero}) = 0 END"
        answered, items = answer(client, sql)
        assert answered, sql
        assert not [item for item in items if isinstance(item, DataRow)]


def test_what_is_shown_is_found(live, client):
    assert client.values("SELECT relname FROM pg_class WHERE relname = 'vault'") == [(b"vault",)]
    assert client.values("SELECT relname FROM pg_class WHERE oid = 'vault'::regclass") == [(b"vault",)]
    assert client.values("SELECT 'vault'::regclass, 'vault'::regclass::text") == [(b"vault", b"vault")]
    assert client.values("SELECT c.oid::regclass FROM pg_class c WHERE relname = 'vault'") == [(b"vault",)]
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'vault' ORDER BY 1"
    assert client.values(columns) == [(b"id",), (b"label",), (b"owner_id",)]
    with live.connect(SUPPORT) as support:
        assert ("h_text",) in support.execute(columns).fetchall()
    assert client.values("SELECT count(*) FROM pg_roles WHERE rolname = current_user") == [(b"1",)]
    assert client.values("SELECT count(*) FROM pg_roles") == [(b"1",)]
    assert client.values("SELECT datname FROM pg_database") == [(b"demo",)]
    assert client.values("SELECT count(*) FROM pg_stat_activity") == [(b"1",)]


def test_the_text_before_a_relation_may_be_of_any_letters(client):
    sql = "SELECT '\u00e9\U0001f600' AS \"\u00fc\", relname /* \u4e16 */ FROM /* \u00e9 */"
    sql += " pg_catalog . pg_class WHERE relname = 'vault'"
    assert client.values(sql) == [("\u00e9\U0001f600".encode(), b"vault")]
