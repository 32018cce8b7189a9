"""What a profile's role cannot reach, whatever it sends: the database itself refuses, no parser is asked.

Whoever holds the credentials of a profile (a worker that was taken over) speaks to PostgreSQL directly here.
"""

import contextlib
import re

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.shop_database import ANALYST, CATALOGUE, DOMAIN, SECRET, decision, key_name, site_database

from ringfort.disclosure.profile import compile_profile
from ringfort.gateway.mapping import MappingFiller

DENIED = "42501"
MARKERS = ("secret-", "+353 86 000", "@example.com", "Family7")


@pytest.fixture(scope="module")
def shop(postgres_server):
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as admin:
        before = {row[0] for row in admin.execute("SELECT rolname FROM pg_roles")}
        admin.execute("CREATE DATABASE attacked")
        dsn = postgres_server.admin_dsn("attacked")
        site = site_database(dsn)
        site.audit()
        with (
            contextlib.closing(site),
            contextlib.closing(MappingFiller(site.connect, lambda _: SECRET)) as filler,
        ):
            bound = site.bound("c" * 64, CATALOGUE.datasets)
            made = []
            for forms in (ANALYST, {("orders", "id"): "raw"}):
                profile = compile_profile(
                    decision(forms),
                    CATALOGUE.datasets,
                    database="attacked",
                    domain=DOMAIN,
                    key_id=key_name(),
                    bound=bound,
                    found=bound,
                )
                password = site.ensure_profile(profile)
                filler.add(DOMAIN, profile.maps)
                filler.ensure(each.id for each in profile.maps)
                made.append((profile, make_conninfo(dsn, user=profile.role, password=password)))
            admin.execute("SELECT lo_from_bytea(4712, 'secret-large-object')")
            with psycopg.connect(dsn, autocommit=True) as owner:
                owner.execute("SELECT lo_from_bytea(4711, 'secret-large-object')")
            yield made
        admin.execute("DROP DATABASE attacked WITH (FORCE)")
        admin.execute("SELECT lo_unlink(4712)")
        for (role,) in admin.execute("SELECT rolname FROM pg_roles").fetchall():
            if role not in before:
                admin.execute(f'DROP ROLE "{role}"')


@pytest.fixture
def session(shop):
    with psycopg.connect(shop[0][1], autocommit=True) as session:
        yield session


def forbidden(shop):
    profile, other = shop[0][0], shop[1][0]
    return [
        "SELECT * FROM public.customers",
        "SELECT secret FROM public.customers",
        "TABLE public.orders",
        f"SELECT * FROM ringfort.{profile.maps[0].table}",
        "SELECT * FROM ringfort.profile",
        "SELECT * FROM ringfort.binding",
        "SELECT ringfort.mask_email_v2('a@b.com')",
        f"SELECT * FROM {other.schema}.orders",
        "SELECT query_to_xml('SELECT * FROM public.customers', true, true, '')",
        "SELECT table_to_xml('public.customers', true, true, '')",
        "SELECT schema_to_xml('public', true, true, '')",
        "COPY public.customers TO STDOUT",
        "COPY (SELECT * FROM public.customers) TO STDOUT",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SET ROLE postgres",
        "SET ROLE ringfort_views",
        f"SET ROLE {other.role}",
        "SET SESSION AUTHORIZATION postgres",
        f"SET SESSION AUTHORIZATION {other.role}",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT set_config('session_authorization', 'postgres', false)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('postgresql.conf')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_get(4711)",
        "SELECT loread(lo_open(4711, 262144), 100)",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_shadow",
        "SELECT * FROM pg_statistic",
        "SELECT * FROM pg_largeobject",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT pg_stat_reset()",
        "SELECT pg_reload_conf()",
        "SELECT pg_create_logical_replication_slot('s', 'test_decoding')",
        "LOCK TABLE public.customers",
        "ANALYZE public.customers",
        "CREATE TABLE public.parked (v text)",
        "CREATE TEMP TABLE parked AS SELECT * FROM customers",
        f"CREATE TABLE {profile.schema}.parked (v text)",
        f"CREATE VIEW {profile.schema}.wider AS SELECT * FROM public.customers",
        f"CREATE OR REPLACE VIEW {profile.schema}.customers AS SELECT * FROM public.customers",
        f"ALTER VIEW {profile.schema}.customers RESET (security_barrier)",
        f"DROP VIEW {profile.schema}.customers",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION public.leak(text) RETURNS bool LANGUAGE sql AS 'SELECT true'",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION pgcrypto",
        "CREATE ROLE another",
        "CREATE DATABASE another",
        "ALTER ROLE ringfort_views LOGIN",
        f"GRANT {other.role} TO {profile.role}",
        f"GRANT SELECT ON {profile.schema}.customers TO PUBLIC",
        "ALTER SYSTEM SET log_statement = 'all'",
        "SET lo_compat_privileges = on",
        "SET log_statement = 'all'",
        "SET session_replication_role = replica",
        "SET default_transaction_read_only = off; INSERT INTO customers DEFAULT VALUES",
        "BEGIN READ WRITE; UPDATE orders SET id = 1",
        "BEGIN READ WRITE; DELETE FROM customers",
        "BEGIN READ WRITE; CREATE TABLE parked (v text)",
        "SELECT nextval('s') FROM (SELECT 1) AS x WHERE false; TABLE public.sheet",
        "DO $$ BEGIN PERFORM 1 FROM public.customers; END $$",
        "DO $$ BEGIN RAISE NOTICE '%', (SELECT min(secret) FROM public.customers); END $$",
        "SELECT cursor_to_xml('c', 1, true, true, '')",
        "REFRESH MATERIALIZED VIEW public.customers",
        "SECURITY LABEL ON ROLE postgres IS 'x'",
    ]


def test_the_database_refuses_it_all(shop):
    with psycopg.connect(shop[0][1], autocommit=True) as session:
        for statement in forbidden(shop):
            try:
                rows = _run(session, statement)
            except psycopg.Error as error:
                text = str(error)
            else:
                text = f"ALLOWED {rows!r}"
            assert "ALLOWED" not in text, statement
            assert not any(marker in text for marker in MARKERS), statement
            session.execute("ROLLBACK")


def _run(session, statement):
    if statement.startswith("COPY"):
        with session.cursor().copy(statement) as copy:
            return list(copy)
    cursor = session.execute(statement)
    while cursor.nextset():
        pass
    return cursor.fetchall() if cursor.description else None


def test_other_databases_are_closed(shop, postgres_server):
    for database in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError) as refused:
            psycopg.connect(make_conninfo(shop[0][1], dbname=database))
        assert "permission denied" in str(refused.value)


def test_nothing_of_a_base_table_is_in_what_it_may_read(shop, session):
    assert session.execute("SELECT * FROM pg_stats WHERE schemaname = 'public'").fetchall() == []
    assert session.execute("SELECT * FROM pg_stats_ext").fetchall() == []
    assert (
        session.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        == []
    )
    seen = {
        row[0]
        for row in session.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c "
            "WHERE c.oid >= 16384 AND c.relkind IN ('r', 'v', 'm', 'f', 'p') "
            "AND has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        )
    }
    assert {each for each in seen if not each.startswith("ringfort_catalog")} == {
        "customers",
        "orders",
        "sheet",
        f"{shop[0][0].schema}_ordered.customers",  # the same view, with its rows in order
    }
    own = session.execute(
        "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls FROM pg_roles "
        "WHERE rolname = current_user"
    )
    assert own.fetchone() == (False,)


def test_every_visible_value_is_in_its_form(session):
    text = str(session.execute("SELECT * FROM customers").fetchall())
    text += str(session.execute("SELECT * FROM orders").fetchall()) + str(
        session.execute("TABLE sheet").fetchall()
    )
    assert not any(marker in text for marker in MARKERS)
    assert not re.search(r"192\.0\.2", text)


def test_a_cheap_leaky_function_in_a_filter_sees_no_hidden_row_or_value(shop, session):
    """Below a view that is no barrier, a cheap function or operator is tried on rows that the view hides."""
    with psycopg.connect(shop[0][1]) as other:
        notices = []
        other.add_notice_handler(lambda note: notices.append(note.message_primary))
        for predicate in (
            "name::int > 0",
            "CAST(email AS text)::int > 0",
            "1 / (length(born) - 9) > 0",
            "query_to_xml(name, true, true, '') IS NOT NULL",
        ):
            with pytest.raises(psycopg.Error) as error:
                other.execute(f"SELECT count(*) FROM customers WHERE {predicate}")
            other.rollback()
            assert not any(marker in str(error.value) for marker in MARKERS)
        assert notices == []


def test_a_system_column_or_whole_row_shows_nothing_more(session):
    for column in ("ctid", "tableoid", "xmin"):
        with pytest.raises(psycopg.Error):
            session.execute(f"SELECT {column} FROM customers")
    row = session.execute("SELECT customers, row_to_json(customers)::text FROM customers LIMIT 1").fetchone()
    assert not any(marker in str(row) for marker in MARKERS)
    for hidden in ("phone", "secret"):
        for statement in (f"SELECT {hidden} FROM customers", f"SELECT 1 FROM customers ORDER BY {hidden}"):
            with pytest.raises(psycopg.errors.UndefinedColumn):
                session.execute(statement)


def test_a_pseudonym_cannot_be_made_for_a_chosen_value(shop, session):
    """No chosen-plaintext oracle: no function, and a row that is not in the base tables has no pseudonym."""
    functions = session.execute(
        "SELECT proname FROM pg_proc AS p WHERE p.oid >= 16384 "
        "AND has_schema_privilege(p.pronamespace, 'USAGE')"
        "AND p.pronamespace::regnamespace::text <> 'ringfort_catalog'"
    ).fetchall()
    assert functions == []


def test_another_profile_of_the_same_data_cannot_be_read(shop):
    with psycopg.connect(shop[1][1], autocommit=True) as session:
        assert session.execute("SELECT count(*) FROM orders").fetchone() == (1000,)
        for statement in (f"SELECT * FROM {shop[0][0].schema}.customers", "SELECT * FROM customers"):
            with pytest.raises(psycopg.Error):
                session.execute(statement)
