"""Pseudonyms of one table are no other table's business: locked, unreadable and endless ones beside it."""

import contextlib
import threading
import time

import psycopg
import pytest
from tests.shop_database import DOMAIN, TABLES
from tests.unit.gateway.test_provisioner_site import Shop

from ringfort.errors import MissingEnvironmentError
from ringfort.gateway.mapping_state import LOCKED

BARE = TABLES.partition("CREATE TABLE sheet")[0]
ROWS = "INSERT INTO " + TABLES.partition("INSERT INTO ")[2].rpartition("INSERT INTO sheet")[0]
SHEETS = {
    "a materialized view without data": "CREATE MATERIALIZED VIEW sheet AS SELECT 1::float8 AS customer_id, "
    "1 AS quantity WITH NO DATA",
    "a view that raises": "CREATE VIEW sheet AS SELECT (1 / (random() < 0)::int)::float8 AS customer_id, "
    "1 AS quantity",
    "a foreign table whose server is away": "CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA "
    "WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1'); CREATE USER MAPPING FOR PUBLIC SERVER away; "
    "CREATE FOREIGN TABLE sheet (customer_id float8, quantity int) SERVER away",
    "a view without an end": "CREATE VIEW sheet AS SELECT n::float8 AS customer_id, 1 AS quantity "
    "FROM generate_series(1, 9000000000000) AS n",
}


@contextlib.contextmanager
def shop_with(dsn, sheet):
    """The shop with another relation called sheet, and its filler at work."""
    stop = threading.Event()
    with contextlib.closing(Shop(dsn, tables=f"{BARE}{sheet};{ROWS}")) as shop:
        thread = threading.Thread(target=shop.filler.run, args=(stop, 0.05))
        thread.start()
        try:
            yield shop
        finally:
            stop.set()
            thread.join(30)


def until(condition, seconds=60):
    """Wait for something to come about, generously."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def opened(shop, forms=None):
    """A profile that is open, whatever its tables are."""
    profile = shop.compile(forms)
    password = shop.site.ensure_profile(profile)
    shop.filler.add(DOMAIN, profile.maps)
    return profile, password


@pytest.mark.parametrize("sheet", SHEETS.values(), ids=SHEETS.keys())
def test_one_relation_costs_itself_only(fresh_database, sheet):
    """All three tables share an identity space: the others are filled, and followed, all the same."""
    with shop_with(fresh_database, sheet) as shop:
        profile, password = opened(shop)
        until(lambda: shop.filler.waiting(profile).keys() <= {"sheet"})
        with shop.login(profile, password) as session, shop.admin() as admin:
            assert session.execute("SELECT count(*), count(customer_id) FROM orders").fetchone() == (
                1000,
                900,
            )
            admin.execute("INSERT INTO customers (id, name) VALUES (70000, 'New')")
            counted = "SELECT count(*) FROM customers"
            until(lambda: session.execute(counted).fetchone() == (301,))
            again, _ = opened(shop, {("customers", "id"): "pseudonym"})
            assert shop.filler.waiting(again) == {}
        assert shop.filler.waiting(profile).keys() == {"sheet"}
        if "generate_series" not in sheet:
            until(shop.filler.faults)
            fault = shop.filler.faults()[0]
            assert (fault["table"], fault["column"]) == ("public.sheet", "customer_id")
            assert "SQLSTATE" in fault["reason"]
            assert fault["since"] > 0


def test_a_relation_that_can_be_read_again_is(fresh_database):
    sheet = SHEETS["a materialized view without data"]
    with shop_with(fresh_database, sheet) as shop:
        profile, password = opened(shop)
        until(lambda: shop.filler.waiting(profile).get("sheet") and shop.filler.faults())
        with shop.admin() as admin:
            admin.execute("REFRESH MATERIALIZED VIEW sheet")
        until(lambda: not shop.filler.waiting(profile))
        assert shop.filler.faults() == []
        with shop.login(profile, password) as session:
            assert session.execute("SELECT count(*) FROM sheet").fetchone() == (1,)


def test_with_a_table_locked_known_profiles_open_and_new_ones_do(shop_at_work):
    shop = shop_at_work
    known, password = opened(shop)
    until(lambda: not shop.filler.waiting(known))
    with psycopg.connect(shop.dsn) as locker, shop.admin() as admin:
        locker.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
        assert shop.site.known_profile(known) == password
        assert shop.compile() == known
        new, secret = opened(shop, {("customers", "id"): "pseudonym", ("orders", "customer_id"): "pseudonym"})
        assert shop.site.missing(new).keys() == {"customers"}
        assert [each[1] for each in shop.site.left_out()] == ["public.customers"]
        with shop.login(new, secret) as session:
            until(lambda: session.execute("SELECT count(customer_id) FROM orders").fetchone() == (900,))
        with shop.login(known, password) as session:
            admin.execute("INSERT INTO sheet VALUES (80000, 7)")
            until(lambda: session.execute("SELECT count(*) FROM sheet").fetchone() == (1,))
        shop.site.complete()
        assert shop.site.missing(new) == {"customers": LOCKED}  # seen, not waited for: that has an SQLSTATE
        locker.rollback()
        until(lambda: shop.site.complete() or not shop.site.missing(new))
    assert shop.site.missing(new) == {}
    assert shop.site.known_profile(new) == secret
    with shop.login(new, secret) as session:
        until(lambda: not shop.filler.waiting(new))
        assert session.execute("SELECT count(*) FROM customers").fetchone() == (300,)


@pytest.fixture
def shop_at_work(fresh_database):
    with shop_with(
        fresh_database, "CREATE TABLE sheet (customer_id double precision, quantity integer)"
    ) as shop:
        yield shop


@pytest.mark.parametrize(
    "change",
    [
        "CREATE OR REPLACE VIEW {0}.sheet AS SELECT NULL::uuid AS customer_id, quantity FROM public.sheet",
        "ALTER VIEW {0}.sheet SET (security_barrier = false)",
        "GRANT SELECT ON {0}.sheet TO PUBLIC",
        "ALTER VIEW {0}.sheet OWNER TO CURRENT_USER",
        "DROP VIEW {0}.sheet",
        "CREATE VIEW {0}.more AS SELECT 1",
        "DELETE FROM ringfort.profile",
    ],
)
def test_a_profile_that_was_touched_is_made_anew(shop_at_work, change):
    shop = shop_at_work
    profile, password = opened(shop)
    assert shop.site.known_profile(profile) == password
    with shop.admin() as admin:
        admin.execute(change.format(profile.schema))
        assert shop.site.known_profile(profile) is None
        assert shop.site.ensure_profile(profile) != password
        rows = admin.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace ORDER BY 1", (profile.schema,)
        ).fetchall()
        assert [name for (name,) in rows] == ["customers", "orders", "sheet"]


def test_a_known_profile_waits_for_no_change(shop_at_work):
    """While a profile is being made, and for as long as it takes."""
    shop = shop_at_work
    profile, password = opened(shop)
    with psycopg.connect(shop.dsn) as locker:
        locker.execute("LOCK TABLE ringfort.binding, pg_authid IN SHARE MODE")
        with shop.site._change.lock:
            found = []
            thread = threading.Thread(target=lambda: found.append(shop.site.known_profile(profile)))
            thread.start()
            thread.join(30)
            assert found == [password]


def test_what_waits_for_a_lock_gives_up(shop_at_work):
    shop = shop_at_work
    with psycopg.connect(shop.dsn) as locker:
        locker.execute("LOCK TABLE ringfort.profile IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(MissingEnvironmentError, match="55P03"):
            shop.site.ensure_profile(shop.compile())
