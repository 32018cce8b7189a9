"""What roles can reach in a site's database, and what the audit says of it."""

import contextlib

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.unit.gateway.test_provisioner_site import Shop

from ringfort.disclosure import audit
from ringfort.errors import CheckFailedError


@pytest.fixture
def shop(fresh_database):
    with contextlib.closing(Shop(fresh_database)) as made:
        yield made


def test_the_audit_of_our_own_database_finds_nothing_after_hardening(shop):
    profile, password = shop.open()
    assert audit.surplus(shop.site.audit()) == ()
    shop.site.require_audited()
    with shop.admin() as admin:
        query = (
            "SELECT has_database_privilege('public', datname, 'CONNECT') FROM pg_database WHERE datallowconn"
        )
        assert set(admin.execute(query).fetchall()) == {(False,)}
    with shop.login(profile, password) as session:  # what tools read stays readable
        session.execute("SELECT * FROM information_schema.columns")
        session.execute("SELECT * FROM pg_catalog.pg_class, pg_catalog.pg_type LIMIT 1")
    with shop.admin() as admin:
        admin.execute("GRANT SELECT ON customers TO PUBLIC")
        shop.site.ours = False
        found = audit.surplus(shop.site.audit())
        assert [str(each) for each in found] == ["PUBLIC: SELECT on relation public.customers"] or not found
        admin.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        found = audit.surplus(shop.site.audit())
        assert [str(each) for each in found] == ["PUBLIC: SELECT on relation public.customers"]
        with pytest.raises(CheckFailedError) as refused:
            shop.site.require_audited()
        assert "REVOKE SELECT ON TABLE public.customers FROM PUBLIC" in refused.value.hint


SURPLUS = [
    ("GRANT SELECT (email) ON customers TO PUBLIC", "column"),
    ("CREATE SEQUENCE s; GRANT USAGE ON SEQUENCE s TO PUBLIC", "relation"),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", "schema"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "function"),
    ("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC", "function"),
    ("GRANT SELECT ON pg_authid TO PUBLIC", "relation"),
    ("GRANT SELECT ON pg_statistic TO PUBLIC", "relation"),
    ("SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC", "large object"),
    ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "default privilege"),
    ("GRANT CREATE ON TABLESPACE pg_default TO PUBLIC", "tablespace"),
    ("GRANT ringfort_views TO {role}", "membership"),
    ("GRANT pg_read_all_data TO {role}", "membership"),
    ("ALTER ROLE {role} CREATEROLE", "role"),
    ("ALTER ROLE {role} IN DATABASE {database} SET search_path = public", "setting"),
    ("GRANT SELECT ON customers TO {role}", "relation"),
    ("GRANT USAGE ON SCHEMA ringfort TO {role}", "schema"),
    ("GRANT TEMPORARY ON DATABASE {database} TO PUBLIC", "database"),
    ("GRANT CONNECT ON DATABASE postgres TO PUBLIC", "database"),
    ("ALTER TABLE sheet OWNER TO {role}", "owned object"),
    ("ALTER ROLE ringfort_views BYPASSRLS", "role"),
    ("GRANT INSERT ON customers TO ringfort_views", "views' owner"),
]


def test_the_audit_names_every_sort_of_surplus(shop):
    profile, _ = shop.open()
    shop.site.audit()
    shop.site.ours = False
    with shop.admin() as admin:
        admin.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        assert audit.surplus(shop.site.audit()) == ()
        for statement, sort in SURPLUS:
            admin.execute(statement.format(role=profile.role, database=shop.site.database))
            found = audit.surplus(shop.site.audit())
            assert sort in {each.sort for each in found}, statement
            for remedy in audit.hardening_statements(found):
                admin.execute(remedy)
            if sort == "owned object":
                admin.execute("ALTER TABLE sheet OWNER TO CURRENT_USER")
            assert audit.surplus(shop.site.audit()) == (), statement


def test_on_a_database_that_is_not_ours_nothing_is_taken_away(fresh_database):
    with contextlib.closing(Shop(fresh_database, ours=False)) as shop:
        with shop.admin() as admin:
            before = admin.execute("SELECT datname, datacl::text FROM pg_database ORDER BY 1").fetchall()
        found = shop.site.audit()
        assert {each.sort for each in found} <= {"database", "schema", "language"}
        found = audit.surplus(found)
        assert "TEMPORARY" in {each.privilege for each in found}
        assert {each.sort for each in found} <= {"database", "schema"}
        with pytest.raises(CheckFailedError):
            shop.site.require_audited()
        with shop.admin() as admin:
            assert (
                admin.execute("SELECT datname, datacl::text FROM pg_database ORDER BY 1").fetchall() == before
            )


def limit_of_files(shop, profile):
    with shop.admin() as admin:
        (settings,) = admin.execute(
            "SELECT rolconfig FROM pg_roles WHERE rolname = %s", (profile.role,)
        ).fetchone()
    return [each for each in settings if each.startswith("temp_file_limit=")]


def noted_disk(shop):
    shop.site.ours = False
    found = [each for each in shop.site.audit() if each.sort == "disk"]
    assert not audit.surplus(found)
    return len(found)


def test_temporary_files_are_limited_where_the_administrator_may_say_so(shop):
    profile, password = shop.open()
    assert limit_of_files(shop, profile) == ["temp_file_limit=4GB"]
    assert noted_disk(shop) == 0
    with shop.login(profile, password) as session:
        assert session.execute("SHOW temp_file_limit").fetchone() == ("4GB",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SET temp_file_limit = -1")
    with shop.admin() as admin:  # of an earlier release: a new run gives it the limit
        admin.execute(f"ALTER ROLE {profile.role} RESET temp_file_limit")
    assert noted_disk(shop) == 1
    with contextlib.closing(Shop(shop.dsn, tables="")) as again:
        again.site.ensure_profile(again.compile())
        assert limit_of_files(again, profile) == ["temp_file_limit=4GB"]


@pytest.mark.parametrize("granted", [False, True])
def test_temporary_files_where_the_administrator_is_no_superuser(fresh_database, granted):
    """It says the limit if it may; if not, everything else holds and the audit notes it, not as a surplus."""
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        database = admin.info.dbname
        boss = f"boss_{database}"
        admin.execute(f"CREATE ROLE {boss} LOGIN CREATEROLE PASSWORD 'boss-password'")
        admin.execute(f"ALTER DATABASE {database} OWNER TO {boss}")
        admin.execute(f"GRANT CREATE ON SCHEMA public TO {boss}")
        if granted and admin.info.server_version < 150_000:
            pytest.skip("PostgreSQL 14 has no grants of parameters")
        if granted:
            admin.execute(f"GRANT SET ON PARAMETER temp_file_limit TO {boss}")
    dsn = make_conninfo(fresh_database, user=boss, password="boss-password")
    with contextlib.closing(Shop(dsn)) as shop:
        assert noted_disk(shop) == 0  # there is no profile yet
        profile, password = shop.open()
        assert limit_of_files(shop, profile) == (["temp_file_limit=4GB"] if granted else [])
        assert noted_disk(shop) == (0 if granted else 1)
        with shop.login(profile, password) as session:
            said = session.execute("SHOW temp_file_limit").fetchone()[0]
            assert said == ("4GB" if granted else "-1")
    if granted:
        with psycopg.connect(fresh_database, autocommit=True) as admin:
            admin.execute(f"REVOKE SET ON PARAMETER temp_file_limit FROM {boss}")
