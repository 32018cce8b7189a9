"""Profiles, mapping tables and audits in a real database."""

import contextlib
import datetime as dt
import time
import uuid

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo
from tests.shop_database import ANALYST, CATALOGUE, DOMAIN, SECRET, decision, key_name, site_database

from ringfort.catalog.model import Catalogue
from ringfort.disclosure.profile import SchemaDriftError, compile_profile
from ringfort.gateway.mapping import MappingFiller
from ringfort.privacy.epoch_keys import derive_key
from ringfort.privacy.pseudonym import Pseudonymiser


class Shop:
    """A site database with the shop, its profile and its filler."""

    def __init__(self, dsn, **options):
        self.dsn = dsn
        self.site = site_database(dsn, **options)
        self.datasets = CATALOGUE.datasets
        self.bound = self.site.bound("c" * 64, self.datasets)
        self.filler = MappingFiller(self.site.connect, lambda _: SECRET)

    def compile(self, forms=None, bound=None):
        return compile_profile(
            decision(forms),
            self.datasets,
            database=self.site.database,
            domain=DOMAIN,
            key_id=key_name(),
            bound=bound or self.bound,
            found=self.site.found(self.datasets),
        )

    def open(self, forms=None):
        profile = self.compile(forms)
        password = self.site.ensure_profile(profile)
        self.filler.add(DOMAIN, profile.maps)
        self.filler.ensure(each.id for each in profile.maps)
        return profile, password

    def login(self, profile, password):
        return psycopg.connect(make_conninfo(self.dsn, user=profile.role, password=password), autocommit=True)

    def admin(self):
        return psycopg.connect(self.dsn, autocommit=True)

    def close(self):
        self.filler.close()
        self.site.close()


@pytest.fixture
def shop(fresh_database):
    with contextlib.closing(Shop(fresh_database)) as shop:
        yield shop


def pseudonym(value, space, kind):
    array = pa.array([value], pa.binary(16)) if kind == "uuid" else pa.array([value])
    kernel = Pseudonymiser(derive_key(SECRET, DOMAIN, space, kind), kind)
    return uuid.UUID(bytes=kernel.column(array).to_pylist()[0])


def test_a_profile_shows_what_was_decided_and_nothing_else(shop):
    profile, password = shop.open()
    assert profile.relations == ("customers", "orders", "sheet")
    with shop.login(profile, password) as session:
        row = session.execute("SELECT * FROM customers ORDER BY country, id LIMIT 1")
        names = [each.name for each in row.description]
        assert names == ["id", "name", "email", "born", "country", "ip"]
        seven = pseudonym(7, "shop.customers.id", "number")
        got = session.execute("SELECT * FROM customers WHERE id = %s", (seven,)).fetchone()
        mail = pseudonym("user7@example.com", "shop.customers.email", "text")
        assert got == (seven, "N*** F***", mail, "1960-1964", "US", "192.0.0.0/16")
        assert session.execute("SELECT count(*) FROM customers").fetchone() == (300,)
        assert session.execute("SELECT count(*), count(customer_id) FROM orders").fetchone() == (1000, 900)
        joined = session.execute("SELECT count(*) FROM orders JOIN customers ON customers.id = customer_id")
        assert joined.fetchone() == (900,)
        sheet = session.execute("SELECT count(*) FROM sheet JOIN customers ON customers.id = customer_id")
        assert sheet.fetchone() == (400,)
        order = session.execute("SELECT total, placed, note, code FROM orders WHERE id = 3").fetchone()
        assert order[0] == "0-5"
        assert order[1] == dt.datetime.now(dt.UTC).strftime("%Y-%m")
        assert order[2] == "ask [email]"
        assert order[3] == pseudonym("C3", "shop.orders.code", "text")


def test_equal_decisions_share_a_profile_and_others_do_not(shop):
    one = shop.compile()
    assert shop.compile() == one
    assert shop.compile({**ANALYST, ("customers", "country"): "hidden"}).digest != one.digest
    shop.site.ensure_profile(one)
    assert shop.site.ensure_profile(one) == shop.site.ensure_profile(one)
    with shop.admin() as admin:
        assert admin.execute("SELECT count(*) FROM ringfort.profile").fetchone() == (1,)


def test_a_lookup_by_pseudonym_uses_indexes(shop):
    with shop.admin() as admin:
        admin.execute(
            "INSERT INTO customers SELECT n, 'n', 'e' || n FROM generate_series(1000, 30000) AS n; ANALYZE"
        )
    profile, _ = shop.open()
    seven = pseudonym(7, "shop.customers.id", "number")
    with shop.admin() as admin:
        plan = "\n".join(
            row[0]
            for row in admin.execute(
                psycopg.sql.SQL("EXPLAIN SELECT * FROM {} WHERE id = {}").format(
                    psycopg.sql.Identifier(profile.schema, "customers"), psycopg.sql.Literal(str(seven))
                )
            )
        )
    assert "Seq Scan on map" not in plan
    assert "Seq Scan on customers" not in plan
    assert "_pseudonym" in plan
    assert "customers_pkey" in plan


def test_a_lookup_by_pseudonym_of_a_nullable_key_uses_indexes_as_the_role_too(shop):
    with shop.admin() as admin:
        admin.execute(
            "INSERT INTO customers SELECT n, 'n', 'e' || n FROM generate_series(1000, 30000) AS n;"
            "INSERT INTO orders (id, customer_id) SELECT n, n FROM generate_series(2000, 30000) AS n; ANALYZE"
        )
    profile, password = shop.open()
    with shop.admin() as admin:
        admin.execute("ANALYZE")
    with shop.login(profile, password) as session:
        some = pseudonym(2345, "shop.customers.id", "number")
        plan = "\n".join(
            row[0]
            for row in session.execute(f"EXPLAIN SELECT id, total FROM orders WHERE customer_id = '{some}'")
        )
        assert session.execute("SELECT id FROM orders WHERE customer_id = %s", (some,)).fetchall() == [
            (2345,)
        ]
    assert "orders_customer_id_idx" in plan
    assert "Seq Scan on orders" not in plan


def test_a_new_row_is_not_shown_until_its_pseudonym_is_there(shop):
    profile, password = shop.open()
    with shop.admin() as admin, shop.login(profile, password) as session:
        admin.execute("INSERT INTO customers (id, name) VALUES (5000, 'New')")
        admin.execute("INSERT INTO orders (id, customer_id) VALUES (9000, 5000), (9001, NULL)")
        new = pseudonym(5000, "shop.customers.id", "number")
        assert session.execute("SELECT count(*) FROM customers").fetchone() == (300,)
        assert session.execute("SELECT id FROM orders WHERE id >= 9000").fetchall() == [(9001,)]
        deadline = time.monotonic() + 120
        while not shop.filler.round() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert session.execute("SELECT count(*) FROM customers WHERE id = %s", (new,)).fetchone() == (1,)
        assert session.execute("SELECT customer_id FROM orders WHERE id = 9000").fetchone() == (new,)


def test_the_mapping_follows_what_changes(shop):
    profile, _ = shop.open()
    emails = next(each for each in profile.maps if each.identity_space == "shop.customers.email")
    assert shop.filler.round() == 0
    with shop.admin() as admin:
        admin.execute("UPDATE customers SET email = 'other@example.com' WHERE id = 1")
        admin.execute("DELETE FROM orders; DELETE FROM customers WHERE id > 250")
        deadline, added = time.monotonic() + 120, 0
        while not added and time.monotonic() < deadline:  # the server's counters may come a moment later
            added = shop.filler.round()
        assert added == 1
        shop.filler._maps[emails.id].pruned = 0
        for kept in shop.filler._maps.values():
            kept.pruned, kept.to_prune = time.monotonic() - 1000, True
        shop.filler.round()
        rows = admin.execute(f"SELECT raw FROM ringfort.map_{emails.id}").fetchall()
        assert {row[0] for row in rows} == {"other@example.com"} | {
            f"user{n}@example.com" for n in range(2, 251)
        }


def test_a_bulk_load_leaves_all_indexes_and_no_key_twice(shop):
    with shop.admin() as admin:
        admin.execute(
            "INSERT INTO customers SELECT n, 'n', 'e' || n || '@example.com' "
            "FROM generate_series(1000, 70000) AS n"
        )
    profile, _ = shop.open({("customers", "id"): "pseudonym", ("customers", "email"): "pseudonym"})
    with shop.admin() as admin:
        for plan in profile.maps:
            counted = admin.execute(
                f"SELECT count(*), count(DISTINCT raw) FROM ringfort.{plan.table}"
            ).fetchone()
            assert counted == (69301, 69301)
            indexes = admin.execute(
                "SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid = %s::regclass",
                (f"ringfort.{plan.table}",),
            ).fetchone()
            assert indexes == (3 if plan.wide else 2,)
            with pytest.raises(psycopg.errors.UniqueViolation):
                admin.execute(
                    f"INSERT INTO ringfort.{plan.table} SELECT * FROM ringfort.{plan.table} LIMIT 1"
                )


def test_a_lost_connection_fills_anew(shop):
    profile, _ = shop.open()
    name = profile.maps[0].table
    with shop.admin() as admin:
        admin.execute(f"TRUNCATE ringfort.{name}")  # what a crash does to an unlogged table
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
            "datname = current_database()"
        )
        with pytest.raises(psycopg.Error):
            shop.filler.round()
        assert shop.filler.round() > 0
        assert admin.execute(f"SELECT count(*) FROM ringfort.{name}").fetchone()[0] > 0


def test_awkward_keys_get_pseudonyms(fresh_database):
    tables = """
    CREATE TABLE odd (
        t text, c character(6), v character varying(9), f double precision, r real, n numeric, u uuid,
        d date, s timestamp, z timestamptz, i smallint
    );
    INSERT INTO odd VALUES
    ('Zo\u00eb', 'ab', 'x', 17850.0, 0.1, 1.50, '12345678-1234-5678-9abc-def012345678', '1970-01-03',
     '1970-01-01 00:00:00.000005', '1970-01-01 00:00:00.000005+00', -1),
    (repeat('long ', 3000), '', '', 'NaN', 'Infinity', 1e100, NULL, 'infinity', '-infinity', 'infinity', 7),
    ('', 'ab    ', 'x', -0.0, 0, 17850.000, NULL, '-infinity', NULL, NULL, NULL),
    (NULL, NULL, NULL, 0.5, NULL, 'NaN', NULL, NULL, NULL, NULL, NULL);
    """
    from ringfort.catalog.model import Column, Dataset, Table

    with psycopg.connect(fresh_database) as connection:
        connection.execute(tables)
        described = connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'odd'::regclass AND attnum > 0 ORDER BY attnum"
        ).fetchall()
    columns = tuple(
        Column(name, kind, "protected", "direct", "key", f"space-{name}") for name, kind in described
    )
    datasets = (Dataset("d", "x", "", (Table("public", "odd", columns),)),)
    site = site_database(fresh_database, tables="SELECT 1")
    with (
        contextlib.closing(site),
        contextlib.closing(MappingFiller(site.connect, lambda _: SECRET)) as filler,
    ):
        bound = site.bound("c" * 64, datasets)
        forms = {("odd", name): "pseudonym" for name, _ in described}
        profile = compile_profile(
            decision(forms, "d"), datasets, database=site.database, domain=DOMAIN, key_id=key_name(),
            bound=bound, found=site.found(datasets),
        )  # fmt: skip
        password = site.ensure_profile(profile)
        filler.add(DOMAIN, profile.maps)
        filler.ensure(each.id for each in profile.maps)
        with psycopg.connect(make_conninfo(fresh_database, user=profile.role, password=password)) as session:
            rows = session.execute("SELECT * FROM odd").fetchall()
    assert len(rows) == 4
    shown = {name: [row[place] for row in rows] for place, (name, _) in enumerate(described)}
    expected = {
        "t": ("Zo\u00eb", "text"), "c": ("ab", "text"), "v": ("x", "text"), "f": (17850, "number"),
        "r": (pa.scalar(0.1, pa.float32()).as_py(), "number"),
        "u": (uuid.UUID("12345678-1234-5678-9abc-def012345678").bytes, "uuid"),
        "d": (dt.date(1970, 1, 3), "date"), "i": (-1, "number"),
    }  # fmt: skip
    for name, (value, kind) in expected.items():
        wanted = pseudonym(value, f"space-{name}", kind)
        assert wanted in shown[name], name
    for name, values in shown.items():
        raw_nulls = {"t": 1, "c": 1, "v": 1, "f": 0, "r": 1, "n": 0, "u": 3, "d": 1, "s": 2, "z": 2, "i": 2}
        assert values.count(None) == raw_nulls[name], name
    assert shown["f"][0] == pseudonym(17850, "space-f", "number")
    assert shown["n"].count(pseudonym(17850, "space-n", "number")) == 1


def test_schema_drift_refuses_and_never_widens(shop):
    profile, password = shop.open()
    with shop.admin() as admin, shop.login(profile, password) as session:
        admin.execute("ALTER TABLE customers ADD COLUMN passport text DEFAULT 'P-1'")
        assert shop.compile().digest == profile.digest
        admin.execute("ALTER TABLE customers RENAME COLUMN country TO nation")
        admin.execute("ALTER TABLE customers RENAME COLUMN secret TO country")
        # the open session goes on seeing what was decided
        assert session.execute("SELECT DISTINCT country FROM customers WHERE country > 'A'").fetchall() in (
            [("IE",), ("US",)],
            [("US",), ("IE",)],
        )
        with pytest.raises(SchemaDriftError) as drift:
            shop.compile()
        assert "public.customers.country" in drift.value.message
        # a decision that does not touch the column is not refused
        shop.compile({("orders", "id"): "raw"})
        admin.execute("ALTER TABLE orders RENAME TO purchases")
        with pytest.raises(SchemaDriftError):
            shop.compile({("orders", "id"): "raw"})
        with pytest.raises(psycopg.errors.DependentObjectsStillExist):
            admin.execute("ALTER TABLE customers DROP COLUMN born")


def test_a_dropped_and_made_again_table_is_another_table(shop):
    with shop.admin() as admin:
        admin.execute("DROP TABLE sheet; CREATE TABLE sheet (customer_id double precision, quantity integer)")
    with pytest.raises(SchemaDriftError):
        shop.compile()
    again = shop.site.bound("c" * 64, shop.datasets, anew=True)
    assert shop.compile(bound=again).relations == ("customers", "orders", "sheet")


def test_a_view_changed_behind_our_back_is_made_anew(shop):
    profile, password = shop.open()
    with shop.admin() as admin:
        admin.execute(
            f"CREATE OR REPLACE VIEW {profile.schema}.sheet AS "
            "SELECT NULL::uuid AS customer_id, 1 AS quantity"
        )
        with shop.login(profile, password) as session:
            assert session.execute("SELECT max(quantity) FROM sheet").fetchone() == (1,)
        fresh = shop.site.ensure_profile(profile)
        assert fresh != password
        with shop.login(profile, fresh) as session:
            assert session.execute("SELECT max(quantity) FROM sheet").fetchone() == (500,)


def test_unused_profiles_go_with_their_mapping_tables(shop):
    one, password = shop.open()
    other, _ = shop.open({("orders", "id"): "raw"})
    with shop.login(one, password) as session:
        session.execute("SELECT 1")
        assert shop.site.collect({other.digest}, 0) == []  # a session is open
    deadline = time.monotonic() + 120
    dropped = []
    while not dropped and time.monotonic() < deadline:
        dropped = shop.site.collect({other.digest}, 0)
    assert set(shop.site.collect({other.digest})) == set()
    assert set(dropped) == {each.id for each in one.maps}
    with shop.admin() as admin:
        # a server's roles are those of all its databases: other tests may have theirs
        roles = {name for (name,) in admin.execute("SELECT rolname FROM pg_roles").fetchall()}
        assert roles & {one.role, other.role} == {other.role}
        grants = admin.execute(
            "SELECT attrelid::regclass::text, attname FROM pg_attribute "
            "WHERE attacl IS NOT NULL AND attrelid >= 16384"
        ).fetchall()
        assert grants == [("orders", "id")]


def test_a_restart_finds_profiles_and_gives_new_passwords(shop):
    profile, password = shop.open()
    again = site_database(shop.dsn, tables="SELECT 1")
    with contextlib.closing(again):
        assert again.kept() == [(DOMAIN, key_name(), profile.maps)]
        assert all(each.sources for each in profile.maps)
        new = again.ensure_profile(profile)
        assert new != password
        shop.login(profile, new).close()
        with pytest.raises(psycopg.OperationalError):
            shop.login(profile, password)


def test_row_level_security_holds_beneath(shop):
    with shop.admin() as admin:
        admin.execute("ALTER TABLE sheet ENABLE ROW LEVEL SECURITY")
        admin.execute("CREATE POLICY small ON sheet TO ringfort_views USING (quantity < 10)")
    profile, password = shop.open({("sheet", "quantity"): "raw"})
    with shop.login(profile, password) as session:
        assert session.execute("SELECT max(quantity) FROM sheet").fetchone() == (9,)


def test_a_crash_half_way_leaves_nothing(shop):
    profile = shop.compile()

    def half_way():
        with shop.site._changing() as connection:
            shop.site._create(connection, profile, "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_way()
    with shop.admin() as admin:
        assert admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (profile.role,)).fetchone() is None
        assert (
            admin.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (profile.role,)).fetchone() is None
        )
    shop.open()


def test_an_administrator_who_is_no_superuser(fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        database = admin.info.dbname
        admin.execute("CREATE ROLE boss LOGIN CREATEROLE PASSWORD 'boss-password'")
        admin.execute(f"ALTER DATABASE {database} OWNER TO boss")
        admin.execute("GRANT CREATE ON SCHEMA public TO boss")
    dsn = make_conninfo(fresh_database, user="boss", password="boss-password")
    with contextlib.closing(Shop(dsn)) as shop:
        profile, password = shop.open()
        with shop.login(profile, password) as session:
            assert session.execute("SELECT count(*) FROM customers").fetchone() == (300,)


def test_the_catalogue_of_another_database_gives_no_views(shop):
    shop.datasets = Catalogue().datasets
    assert shop.compile().views == ()
