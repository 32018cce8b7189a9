"""`ringfort remove`: lists first, takes away what is ours and nothing else, refuses while it is used."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ringfort.catalog.load import load_catalogue
from ringfort.disclosure.binding import RELATIONS, binding_of
from ringfort.disclosure.profile import compile_profile
from ringfort.gateway.provisioner_site import SiteDatabase
from ringfort.paths import LOCATION, ORIGIN
from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap
from ringfort.policy.forms import Form
from ringfort.privacy.pseudonym import Domain

COMMAND = [sys.executable, "-m", "ringfort.cli.main"]


def ringfort(*arguments):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def roles(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^(rf_|ringfort)' ORDER BY 1")
        return [row[0] for row in rows]


def schemas(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname ~ '^(rf_|ringfort)' ORDER BY 1"
        )
        return [row[0] for row in rows]


@pytest.fixture
def crm(fresh_database, tmp_path):
    """A deployment on a database that it has made a profile in."""
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (id bigint PRIMARY KEY, email text)")
        connection.execute("INSERT INTO people VALUES (1, 'a@example.org')")
    folder = tmp_path / "crm"
    assert ringfort("init", folder, "--from", fresh_database).returncode == 0
    made_profile(folder, fresh_database)
    return folder, fresh_database


def made_profile(folder, dsn):
    catalogue = load_catalogue(folder / "catalog.toml")
    name = catalogue.datasets[0].database
    site = SiteDatabase(site="site-1", country="IE", database=name, dsn=dsn, ours=False)
    site.bootstrap()
    with psycopg.connect(dsn, autocommit=True) as connection:
        wanted = {"schemas": ["public"], "tables": ["people"]}
        found = binding_of(connection.execute(RELATIONS, wanted).fetchall())
    shown = ColumnDisclosure(Form.RAW, (), "test")
    columns = {(catalogue.datasets[0].name, "people", each): shown for each in ("id", "email")}
    profile = compile_profile(
        DisclosureMap(columns), catalogue.datasets, database=name, domain=Domain("a", "b", 1),
        key_id="k" * 64,
        bound=found, found=found,
    )  # fmt: skip
    site.ensure_profile(profile)
    site.close()
    return profile.role


def test_all_that_was_made_goes_and_the_tables_stay(crm):
    folder, dsn = crm
    assert "ringfort_views" in roles(dsn)
    listed = ringfort("remove", folder, "--dry-run")
    assert listed.returncode == 0, listed.stderr
    for each in (*schemas(dsn), *roles(dsn)):
        assert each in listed.stdout
    assert "ledger" not in listed.stdout or "WARNING" in listed.stdout
    assert folder.exists()
    refused = ringfort("remove", folder)  # nobody to ask
    assert refused.returncode == 2
    assert schemas(dsn)
    done = ringfort("remove", folder, "--yes")
    assert done.returncode == 0, done.stderr
    assert not folder.exists()
    assert (schemas(dsn), roles(dsn)) == ([], [])
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT * FROM people").fetchall() == [(1, "a@example.org")]
        granted = connection.execute("SELECT relacl::text FROM pg_class WHERE relname = 'people'").fetchone()
        assert "ringfort" not in str(granted)
        assert "rf_" not in str(granted)


def test_what_another_deployment_made_is_left_and_named(crm, postgres_server, tmp_path):
    folder, dsn = crm
    other, stranger = f"other_{os.getpid()}", "rf_" + "a" * 24
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(other)))
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(stranger)))
    try:
        elsewhere = postgres_server.admin_dsn(other)
        with psycopg.connect(elsewhere, autocommit=True) as connection:
            connection.execute("CREATE TABLE people (id bigint PRIMARY KEY, email text)")
        second = tmp_path / "second"
        assert ringfort("init", second, "--from", elsewhere).returncode == 0
        role = made_profile(second, elsewhere)
        done = ringfort("remove", folder, "--yes", "--json")
        assert done.returncode == 0, done.stderr
        assert f"role {stranger}" in str(json.loads(done.stdout)["left"])
        assert {role, stranger, "ringfort_views"} <= set(roles(dsn))
        assert schemas(dsn) == []
        assert role in schemas(elsewhere)
        assert ringfort("remove", second, "--yes").returncode == 0
        assert set(roles(dsn)) == {stranger}
    finally:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(other)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(stranger)))


def test_it_refuses_while_it_is_up_and_while_sessions_are_open(crm):
    folder, dsn = crm
    with (folder / "state" / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = ringfort("remove", folder, "--yes")
        assert done.returncode == 1
        assert "is up" in done.stderr
    (role,) = [each for each in roles(dsn) if each.startswith("rf_")]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD 'x'").format(sql.Identifier(role)))
    with psycopg.connect(dsn, user=role, password="x"):
        done = ringfort("remove", folder, "--yes")
        assert done.returncode == 1
        assert "sessions are open" in done.stderr
    assert folder.exists()
    assert schemas(dsn)


@pytest.mark.parametrize("damage", ["ringfort.toml", "catalog.toml", "policy", "state"])
def test_a_damaged_deployment_can_be_removed_too(crm, damage):
    folder, dsn = crm
    if (folder / damage).is_dir():
        shutil.rmtree(folder / damage)
    else:
        (folder / damage).write_text("[[[")
    done = ringfort("remove", folder, "--yes")
    assert done.returncode == 0, done.stderr
    assert not folder.exists()
    assert schemas(dsn) == []


def test_a_site_that_is_gone_is_left_only_when_that_is_said(crm):
    folder, _ = crm
    secret = next((folder / "secrets").glob("site-*.dsn"))
    text = secret.read_text()
    secret.write_text(text.replace(f"port={text.partition('port=')[2].split()[0]}", "port=1"))
    done = ringfort("remove", folder, "--yes")
    assert done.returncode == 3
    assert folder.exists()
    done = ringfort("remove", folder, "--yes", "--leave-sites")
    assert done.returncode == 0, done.stderr
    assert "left: what is at" in done.stdout
    assert not folder.exists()


def test_an_embedded_server_goes_with_it_and_the_ledger_and_strange_files_can_stay(tmp_path):
    folder = tmp_path / "shop"
    assert ringfort("init", folder, "--name", "shop").returncode == 0
    site = folder / "state" / "sites" / "site-1"
    place = Path(json.loads((site / LOCATION).read_text())["folder"]) if (site / LOCATION).exists() else site
    assert (place / "data").exists()
    assert ringfort("policy", "apply", folder).returncode == 0
    (folder / "mine.txt").write_text("the organisation's")
    (folder / "logs").mkdir(mode=0o700)  # as `ringfort up` does
    (folder / "logs" / "worker-0.log").write_text("{}\n")
    done = ringfort("remove", folder, "--yes", "--keep-ledger", tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    assert not place.exists()
    assert [each.name for each in folder.iterdir()] == ["mine.txt"]
    assert list((tmp_path / "kept").iterdir())
    assert ringfort("remove", folder, "--yes").returncode == 2  # no deployment any more
    assert (folder / "mine.txt").exists()


def test_databases_whose_deployment_is_gone_are_listed_and_removed(tmp_path, monkeypatch):
    root = tmp_path / "server-state"
    monkeypatch.setenv("RINGFORT_SERVER_STATE", str(root))
    place = root / "0123456789abcdef"
    place.mkdir(parents=True)
    (place / ORIGIN).write_text(json.dumps({"folder": str(tmp_path / "gone")}))
    listed = ringfort("remove", "--orphans", "--dry-run")
    assert str(tmp_path / "gone") in listed.stdout
    assert place.exists()
    assert ringfort("remove", "--orphans").returncode == 2  # nobody to ask
    assert ringfort("remove", "--orphans", "--yes").returncode == 0
    assert not place.exists()
    assert "there are none" in ringfort("remove", "--orphans", "--yes").stdout
