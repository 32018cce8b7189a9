"""A name that means something else by the time it is read: migrations, in the middle of a run."""

import os
import subprocess
import threading
import time

import psycopg
import pyarrow.parquet as pq
import pytest
from tests.transfer_deployment import COMMAND, CONTRACT, FILES, NAME, make, shown, to_site

from ringfort.errors import MissingEnvironmentError
from ringfort.transfer.run import TransferStoppedError, run_transfer
from ringfort.transfer.runners import InProcess
from ringfort.transfer.site_tables import LockedTables, ReadTable, look, read_together

WAIT_SECONDS = 120
PLACE = (
    ReadTable("public", "customers", (("id", "bigint"), ("name", "text"), ("note", "text"))),
    ReadTable("public", "orders", (("customer_id", "bigint"), ("amount", "numeric(12,2)"))),
)


@pytest.fixture
def site(fresh_database, tmp_path):
    return to_site(make(tmp_path / "shop", rows=300), fresh_database).write(CONTRACT, (FILES, "")).approve()


def waits(watcher, process=None):
    """Wait until a transfer stands behind somebody's lock."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not watcher.execute(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'ringfort transfer'"
        " AND datname = current_database() AND wait_event_type = 'Lock'"
    ).fetchone():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.05)


SWAP = (
    "ALTER TABLE customers RENAME COLUMN name TO held",
    "ALTER TABLE customers RENAME COLUMN note TO name",
    "ALTER TABLE customers RENAME COLUMN held TO note",
)
MIGRATIONS = {
    "two columns change their names": SWAP,
    "a column is made again": (
        "ALTER TABLE customers ADD COLUMN other text",
        "UPDATE customers SET other = name",
        "ALTER TABLE customers DROP COLUMN note",
        "ALTER TABLE customers RENAME COLUMN other TO note",
    ),
    "another table comes in its place": (
        "ALTER TABLE customers RENAME TO customers_before",
        (
            "CREATE TABLE customers AS SELECT id, email, note AS name, phone, born, country, name AS note"
            " FROM customers_before"
        ),
    ),
    "a view comes in its place": (
        "ALTER TABLE customers RENAME TO customers_before",
        (
            "CREATE VIEW customers AS SELECT id, email, note AS name, phone, born, country, name AS note"
            " FROM customers_before"
        ),
    ),
    "another schema comes in its place": (
        "LOCK TABLE customers",
        "CREATE SCHEMA other",
        "CREATE TABLE other.orders AS TABLE orders",
        (
            "CREATE TABLE other.customers AS SELECT id, email, note AS name, phone, born, country,"
            " name AS note FROM customers"
        ),
        "ALTER SCHEMA public RENAME TO before",
        "ALTER SCHEMA other RENAME TO public",
    ),
    "a type changes": ("ALTER TABLE customers ALTER COLUMN born TYPE text",),
    "a table that is not sent but fingerprinted": (
        "ALTER TABLE customers RENAME COLUMN email TO held",
        "ALTER TABLE customers RENAME COLUMN country TO email",
        "ALTER TABLE customers RENAME COLUMN held TO country",
    ),
    "the table goes": ("DROP TABLE customers",),
}


@pytest.mark.parametrize("migration", MIGRATIONS)
def test_what_a_migration_changes_while_a_run_waits_for_it_does_not_leave(site, fresh_database, migration):
    with (
        psycopg.connect(fresh_database) as migrating,
        psycopg.connect(fresh_database, autocommit=True) as watcher,
    ):
        for each in MIGRATIONS[migration]:
            migrating.execute(each)
        process = subprocess.Popen(
            [*COMMAND, "transfer", "run", str(site.folder), NAME], stderr=subprocess.PIPE, text=True,
            env=os.environ, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            waits(watcher, process)
            migrating.commit()
            told = process.communicate(timeout=WAIT_SECONDS)[1]
        finally:
            process.kill()
        assert process.returncode == 1, told
        assert "Person" not in told
        assert watcher.execute(
            "SELECT count(*) FROM pg_roles WHERE rolname ~ 'ringfort_transfer_'"
        ).fetchone() == (0,)
    run = site.state().transfers[NAME].runs[-1]
    assert (run.status, run.outcome) == ("stopped", "drift")
    assert site.releases() == []


def test_a_migration_that_changes_nothing_of_it_is_waited_for(site, fresh_database):
    with (
        psycopg.connect(fresh_database) as migrating,
        psycopg.connect(fresh_database, autocommit=True) as watcher,
    ):
        migrating.execute("ALTER TABLE customers ADD COLUMN score integer")
        migrating.execute("UPDATE customers SET note = 'platinum'")
        made = []
        run = threading.Thread(target=lambda: made.append(run_transfer(site.config, NAME, InProcess())))
        run.start()
        waits(watcher)
        migrating.commit()
        run.join(WAIT_SECONDS)
    notes = pq.read_table(site.outbox / made[0].run / "customers")["note"].unique().to_pylist()
    assert notes == ["platinum"]


@pytest.fixture
def tables(site, fresh_database):
    """What a run does before it reads: a look, then locks; the connections, and those of a migration."""
    del site
    with (
        psycopg.connect(fresh_database, autocommit=True) as admin,
        psycopg.connect(fresh_database) as reader,
        psycopg.connect(fresh_database, autocommit=True) as migrating,
    ):
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield admin, reader, migrating


def locked(admin, reader, tables=PLACE, seconds=30):
    tables = read_together(tables)
    found = LockedTables(admin, "none", tables, look(admin, "none", tables))
    found.lock(reader, seconds)
    return found


AFTER = {
    "a schema changes its name": (
        ("CREATE SCHEMA other", "CREATE TABLE other.customers AS TABLE customers"),
        ("ALTER SCHEMA public RENAME TO before", "ALTER SCHEMA other RENAME TO public"),
        ("ALTER SCHEMA public RENAME TO other", "ALTER SCHEMA before RENAME TO public"),
    ),
    "a table becomes an heir": (
        ("CREATE TABLE more (LIKE orders)", "INSERT INTO more TABLE orders LIMIT 5"),
        ("ALTER TABLE more INHERIT orders",),
        ("ALTER TABLE more NO INHERIT orders",),
    ),
}


@pytest.mark.parametrize("change", AFTER)
def test_what_locks_do_not_hold_is_seen_at_the_end_even_if_it_was_taken_back(tables, change):
    admin, reader, migrating = tables
    before, during, after = AFTER[change]
    for each in before:
        migrating.execute(each)
    held = locked(admin, reader)
    held.require_same()
    for each in during:
        migrating.execute(each)
    for table in ("customers", "orders"):
        reader.execute(f"SELECT count(*) FROM public.{table}") if change != "a schema changes its name" or (
            table == "customers"
        ) else None
    for each in after:
        if "NO INHERIT" not in each:  # that one would wait for the reader
            migrating.execute(each)
    with pytest.raises(Exception, match="changed while they were being read"):
        held.require_same()


@pytest.mark.parametrize(
    "statement",
    [
        *SWAP[:1],
        "ALTER TABLE customers ALTER COLUMN note TYPE varchar(3)",
        "ALTER TABLE orders RENAME TO orders_before",
        "DROP TABLE orders",
        "TRUNCATE orders",
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY",
    ],
)
def test_under_the_locks_nothing_of_it_changes(tables, statement):
    admin, reader, migrating = tables
    held = locked(admin, reader)
    migrating.execute("SET lock_timeout = '50ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        migrating.execute(statement)
    held.require_same()


def test_a_materialised_view_that_is_refreshed_between_snapshot_and_lock_is_seen(tables):
    admin, reader, migrating = tables
    migrating.execute("CREATE MATERIALIZED VIEW few AS SELECT id, name FROM customers")
    few = ReadTable("public", "few", (("id", "bigint"), ("name", "text")))
    reader.execute("SELECT 1")  # the snapshot
    migrating.execute("REFRESH MATERIALIZED VIEW few")
    with pytest.raises(Exception, match="changed while they were being read"):
        locked(admin, reader, (few,))
    reader.rollback()
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    locked(admin, reader, (few, *PLACE)).require_same()


def test_a_lock_that_is_kept_too_long_costs_the_run_nothing(tables):
    admin, reader, migrating = tables
    with migrating.transaction():
        migrating.execute("LOCK TABLE orders")
        with pytest.raises(MissingEnvironmentError, match="another session keeps one of them locked"):
            locked(admin, reader, seconds=0.05)


# -- files -------------------------------------------------------------------------------------------------


class Swapping(InProcess):
    """Swaps a file for another of the same size and time while parts are done, then swaps them back."""

    def __init__(self, path, other):
        self.path, self.other = path, other

    def run(self, *job, **more):
        held = self.path.with_suffix(".held")
        self.path.rename(held)
        self.other.rename(self.path)
        yield from super().run(*job, **more)
        self.path.rename(self.other)
        held.rename(self.path)


def test_a_file_that_is_another_only_while_it_is_read_is_noticed(tmp_path):
    deployed = make(tmp_path / "shop", rows=300).approve()
    path = deployed.folder / "data" / "customers" / "a.parquet"
    other = deployed.folder / "data" / "other.bin"
    table = pq.read_table(path)
    names = ["note" if each == "name" else "name" if each == "note" else each for each in table.column_names]
    pq.write_table(table.rename_columns(names).select(table.column_names), other)
    with pytest.raises(TransferStoppedError, match="has changed since the run began"):
        run_transfer(deployed.config, NAME, Swapping(path, other))
    assert deployed.releases() == []
    assert shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))["rows"] == 900


def test_a_file_with_the_time_and_size_of_another_is_noticed(tmp_path):
    deployed = make(tmp_path / "shop", rows=300).approve()
    path = deployed.folder / "data" / "orders.parquet"

    class Rewriting(InProcess):
        def run(self, *job, **more):
            found, data = path.stat(), path.read_bytes()
            path.write_bytes(data)
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
            yield from super().run(*job, **more)

    with pytest.raises(TransferStoppedError, match="has changed since the run began"):
        run_transfer(deployed.config, NAME, Rewriting())
