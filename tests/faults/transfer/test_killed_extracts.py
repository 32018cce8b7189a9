"""Roles that killed runs leave at a site: swept by whatever starts next, those of live runs not."""

import contextlib
import re
import shutil
import signal
import subprocess
import time

import psycopg
import pytest
from tests.transfer_deployment import COMMAND, CONTRACT, FILES, NAME, PASSWORD, Deployed, make, shown, to_site

from ringfort.config import load_config
from ringfort.gateway.provisioner_site import SiteDatabase
from ringfort.gateway.removal import remains, remove_remains
from ringfort.sites.transfer_roles import PREFIX

PAUSE = 0.05  # between two looks
OTHERS = ("first", "second", "third")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make(tmp_path_factory.mktemp("killed") / "shop", rows=300)


@pytest.fixture
def site(files, fresh_database, tmp_path):
    """A deployment whose rows are in PostgreSQL, with several contracts that may run."""
    shutil.copytree(files.folder, tmp_path / "shop")
    made = to_site(Deployed(tmp_path / "shop"), fresh_database)
    with psycopg.connect(fresh_database) as connection:
        connection.execute("ALTER TABLE orders RENAME TO stored")
        connection.execute(
            "CREATE FUNCTION waited() RETURNS boolean LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_lock_shared(42); RETURN true; END'"
        )
        connection.execute("CREATE VIEW orders AS SELECT * FROM stored WHERE waited()")
    made.write(CONTRACT, (FILES, "")).approve()
    text = (made.folder / "transfers" / f"{NAME}.toml").read_text()
    for name in OTHERS:
        (made.folder / "transfers" / f"{name}.toml").write_text(text)
        line = ("transfer", "approve", "DIR", name, "--as", "ronan", "--password-stdin")
        made.ringfort(*line, stdin=f"{PASSWORD}\n", check=True)
    return made


def roles(dsn):
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (PREFIX,))
        return {each[0] for each in found}


def rights(dsn):
    """Whatever in this database names one of these roles."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT d.objid FROM pg_shdepend AS d JOIN pg_roles AS r ON r.oid = d.refobjid"
            " WHERE starts_with(r.rolname, %s)"
            " UNION ALL SELECT oid FROM pg_class WHERE relacl::text LIKE '%%' || %s || '%%'"
            " UNION ALL SELECT attrelid FROM pg_attribute WHERE attacl::text LIKE '%%' || %s || '%%'"
            " UNION ALL SELECT oid FROM pg_namespace WHERE nspacl::text LIKE '%%' || %s || '%%'",
            (PREFIX,) * 4,
        )
        return found.fetchall()


@contextlib.contextmanager
def reading_stands_still(dsn):
    """Whoever reads rows of `orders` waits in their midst."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(42)")
        yield


def reading(site, name, dsn):
    """A process that runs a transfer and is in the midst of reading; the role that it made."""
    before = roles(dsn)
    process = subprocess.Popen(
        [*COMMAND, "transfer", "run", str(site.folder), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while not (made := roles(dsn) - before):
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(PAUSE)
    (role,) = made
    return process, role


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def gone(dsn, left):
    """Wait until the server has noticed that the administrators of these roles are gone."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute(
            "SELECT FROM pg_locks AS l JOIN unnest(%s::text[]) AS r"
            " ON (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(r, %s)"
            " WHERE l.locktype = 'advisory' AND l.objsubid = 1",
            (list(left), 0x52464F5254),
        ).fetchone():
            time.sleep(PAUSE)


def killed(site, dsn, names=(NAME, *OTHERS[:2])):
    """The roles that so many killed runs leave."""
    with reading_stands_still(dsn):
        started = [reading(site, name, dsn) for name in names]  # each would sweep what was killed before it
        for process, _ in started:
            kill(process)
        left = {role for _, role in started}
        gone(dsn, left)
    assert roles(dsn) >= left
    assert rights(dsn)
    return left


STARTS = {
    "the run that goes on": ("run", "DIR", NAME),
    "another run": ("run", "DIR", "third"),
    "a preview": ("preview", "DIR", "third"),
    "a preparation": ("prepare", "DIR", "third"),
}


@pytest.mark.parametrize("start", list(STARTS))
def test_what_killed_runs_left_goes_with_the_next_start(site, fresh_database, start):
    left = killed(site, fresh_database)
    assert len(left) == 3
    done = site.ringfort("transfer", *STARTS[start])
    assert done.returncode == 0, done.stderr
    assert (roles(fresh_database), rights(fresh_database)) == (set(), [])


def test_a_live_run_of_another_process_keeps_its_role_and_is_not_hurt(site, fresh_database):
    with reading_stands_still(fresh_database):
        process, role = reading(site, "third", fresh_database)
        dead, left = reading(site, NAME, fresh_database)
        kill(dead)
        gone(fresh_database, {left})
        assert roles(fresh_database) == {role, left}
        preview = site.ringfort("transfer", "preview", "DIR", "first")
        assert preview.returncode == 0, preview.stderr
        assert roles(fresh_database) == {role}
        database = audited(site, fresh_database)
        assert (database.swept.live, database.swept.dropped) == ((role,), ())
        with psycopg.connect(fresh_database, autocommit=True) as connection:
            found = remains(connection)
            assert role not in found.roles
            assert f"role {role}, of a transfer that is running" in found.left
    out, _ = process.communicate()
    assert process.returncode == 0, out.decode()
    assert roles(fresh_database) == set()
    assert site.releases()


def audited(site, dsn):
    name = load_config(site.folder).sites[0].databases[0]
    database = SiteDatabase(site="dublin-1", country="IE", database=name, dsn=dsn, ours=False)
    try:
        database.bootstrap()
        database.audit()
    finally:
        database.close()
    return database


def test_a_site_audit_and_the_start_of_the_gateway_sweep(site, fresh_database):
    left = killed(site, fresh_database, ("first",))
    database = audited(site, fresh_database)
    assert set(database.swept.dropped) == left
    assert (roles(fresh_database), rights(fresh_database)) == (set(), [])


def test_remove_takes_what_killed_runs_left(site, fresh_database):
    left = killed(site, fresh_database, ("first", "second"))
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        found = remains(connection)
        assert left <= set(found.roles)
        assert not any(PREFIX in each for each in remove_remains(connection, found))
    assert (roles(fresh_database), rights(fresh_database)) == (set(), [])


def test_roles_that_are_not_ours_stay(site, fresh_database):
    names = [f"{PREFIX}app", f"{PREFIX}{'0' * 15}", f"{PREFIX}{'g' * 16}"]
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        for each in names:
            connection.execute(f"CREATE ROLE {each}")
        connection.execute(f"CREATE ROLE {PREFIX}{'1' * 16} LOGIN")  # ours cannot log in
        try:
            assert site.ringfort("transfer", "preview", "DIR", NAME).returncode == 0
            assert roles(fresh_database) == {*names, f"{PREFIX}{'1' * 16}"}
        finally:
            for each in (*names, f"{PREFIX}{'1' * 16}"):
                connection.execute(f"DROP ROLE {each}")


def test_a_role_that_cannot_be_dropped_stops_nothing(site, fresh_database):
    """Roles of before had the transfer's name in theirs; one owns something by now."""
    role = f"{PREFIX}{'a' * 16}"
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} NOLOGIN")
        connection.execute(f"GRANT SELECT ON customers TO {role}")
        with psycopg.connect(fresh_database) as other:
            other.execute(f"COMMENT ON ROLE {role} IS 'held'")  # a lock on the role
            done = site.ringfort("transfer", "run", "DIR", NAME, "--json")
            assert done.returncode == 0, done.stderr
            assert re.fullmatch("[0-9TZ]+-[0-9a-f]{8}", shown(done)["run"])
        assert site.ringfort("transfer", "preview", "DIR", "first").returncode == 0
        assert roles(fresh_database) == set()
