"""Pseudonyms that are prepared before anybody asks: by command, after a start, after a policy."""

import json
import os
import signal
import subprocess

import psycopg
import pytest
from tests.live_deployment import (
    ANALYST,
    COMMAND,
    SUPPORT,
    Who,
    deployment,
    environment,
    fresh_purpose,
    wait_for,
)

PREPARE = ("pseudonym", "prepare", "DIR", "--principal")
MAPS = "SELECT relname FROM pg_class WHERE relname ~ '^map_[0-9a-f]{24}$' AND relkind = 'r'"


@pytest.fixture(scope="module")
def made():
    with deployment(people=50) as live:
        live.start()
        yield live
        live.stop()


def prepared(live, who, purpose, *options):
    return live.ringfort(*PREPARE, who.name, "--purpose", purpose, *options)


def maps(live):
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        return {name for (name,) in admin.execute(MAPS)}


def fills(live):
    return json.loads(live.ringfort("site", "audit", "DIR", "--json").stdout)["fills"]


def ahead(live):
    return live.ringfort("logs", "DIR", "--event", "ahead").stdout.splitlines()


def rows(live, names):
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        return [admin.execute(f"SELECT count(*) FROM ringfort.{each}").fetchone()[0] for each in names]


def test_what_is_prepared_is_ready_when_its_principal_comes(made):
    purpose = fresh_purpose()
    before = maps(made)
    done = prepared(made, ANALYST, purpose, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["percent"], told["waiting"], told["faults"]) == (100, 0, [])
    assert told["ready"] == told["columns"] > 0
    new = maps(made) - before
    assert new
    assert any(rows(made, new))
    with made.connect(ANALYST, purpose=purpose) as session:
        assert session.execute("SELECT count(*) FROM views").fetchone()[0] > 0
    assert maps(made) - before == new  # the session made none
    again = prepared(made, ANALYST, purpose.upper())
    assert again.returncode == 0, again.stderr
    assert "are ready" in again.stdout
    assert "100%" in again.stderr


@pytest.mark.parametrize(
    ("who", "purpose", "code"),
    [
        (Who("nobody", "IE", "support"), "customer-support", 1),
        (ANALYST, "made-up-purpose", 1),
        (ANALYST, "", 0),
        (SUPPORT, "customer-support", 0),  # raw, or nearly: there may be nothing to prepare
    ],
)
def test_who_there_is_not_and_what_is_not_listed_is_said(made, who, purpose, code):
    done = prepared(made, who, purpose)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_there_is_not_and_a_folder_that_is_not_up(made):
    assert prepared(made, ANALYST, "product-analytics", "--database", "other").returncode == 2
    with deployment(people=50) as down:
        done = prepared(down, ANALYST, "product-analytics")
        assert done.returncode == 3
        assert "not up" in done.stderr


def test_interrupted_it_goes_on_in_the_provisioner_and_a_table_that_is_locked_is_named(made):
    purpose = fresh_purpose()
    with psycopg.connect(made.admin_dsn()) as admin:
        admin.execute("LOCK TABLE views IN ACCESS EXCLUSIVE MODE")
        done = prepared(made, ANALYST, purpose)
        assert done.returncode == 1
        assert "public.views cannot be read" in done.stdout
        command = [*COMMAND, *(str(made.folder) if each == "DIR" else each for each in PREPARE)]
        command += [ANALYST.name, "--purpose", fresh_purpose()]
        asking = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
        )
        before = maps(made)
        wait_for(lambda: maps(made) - before or asking.poll() is not None, seconds=120)
        os.kill(asking.pid, signal.SIGINT)
        said = asking.communicate(timeout=60)[1]
        assert "Traceback" not in said
        assert "the provisioner goes on" in said or asking.returncode == 1
        admin.rollback()
    done = wait_for(
        lambda: (again := prepared(made, ANALYST, purpose, "--json")).returncode == 0 and again, seconds=300
    )
    assert json.loads(done.stdout)["percent"] == 100


def test_domains_of_the_last_days_are_filled_again_after_a_crash_of_the_server_and_a_restart(made):
    """UNLOGGED tables are empty then; nobody logs in, and they fill."""
    purpose = fresh_purpose()
    before = maps(made)
    assert prepared(made, ANALYST, purpose).returncode == 0
    new = maps(made) - before
    with psycopg.connect(made.admin_dsn(), autocommit=True) as admin:
        # as if the profiles had been collected: what is left is what the record says
        for (role,) in admin.execute("SELECT role FROM ringfort.profile").fetchall():
            admin.execute(f"DELETE FROM ringfort.profile WHERE role = '{role}'")
        made.stop()
    made.start()
    with psycopg.connect(made.admin_dsn(), autocommit=True) as admin:
        for each in new:
            admin.execute(f"TRUNCATE ringfort.{each}")
    made.stop()
    made.start()
    wait_for(lambda: new <= maps(made) and any(rows(made, new)), seconds=300)
    wait_for(lambda: any("are prepared ahead" in each for each in ahead(made)), seconds=300)


def test_a_new_policy_prepares_what_it_shows(made):
    """After `policy apply` under which a domain is listed again its tables come back by themselves."""
    purpose = fresh_purpose()
    before = maps(made)
    assert prepared(made, ANALYST, purpose).returncode == 0
    new = maps(made) - before
    made.edit("policy/policy.toml", f'{purpose} = ""\n', "")
    assert made.ringfort("policy", "apply", "DIR").returncode == 0
    wait_for(lambda: not new & maps(made), seconds=300)
    with (made.folder / "policy" / "policy.toml").open("a") as file:
        file.write(f'{purpose} = ""\n')
    assert made.ringfort("policy", "apply", "DIR").returncode == 0
    wait_for(lambda: new <= maps(made) and any(rows(made, new)), seconds=300)


def test_who_may_no_longer_has_nothing_prepared(made):
    """A domain whose only principal is gone stays without tables."""
    purpose = fresh_purpose()
    guest = Who("gast", "US", "analyst")
    facts = ("--country", "US", "--role", "analyst", "--employer", "Guests", "--password-stdin")
    added = made.ringfort("principal", "add", "DIR", guest.name, *facts, stdin=f"{guest.password}\n")
    assert added.returncode == 0, added.stderr
    before = maps(made)
    assert prepared(made, guest, purpose).returncode == 0
    new = maps(made) - before
    assert new
    assert made.ringfort("principal", "remove", "DIR", guest.name).returncode == 0
    made.edit("policy/policy.toml", f'{purpose} = ""\n', "")
    assert made.ringfort("policy", "apply", "DIR").returncode == 0
    wait_for(lambda: not new & maps(made), seconds=300)
    lines = ahead(made)
    with (made.folder / "policy" / "policy.toml").open("a") as file:
        file.write(f'{purpose} = ""\n')
    assert made.ringfort("policy", "apply", "DIR").returncode == 0
    wait_for(lambda: len(ahead(made)) > len(lines), seconds=300)
    assert not new & maps(made)
