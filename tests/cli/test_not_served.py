"""A database that is not served: what `up`, `status`, `site audit`, the log and a client say."""

import json

import psycopg
import pytest
from tests.live_deployment import ANALYST, SITE, deployment, wait_for

NAMES = ("vault", "h_text", "people", "public", SITE.name, "ringfort_data", "uncatalogued", "postgres")


@pytest.fixture(scope="module")
def made():
    with deployment(people=50) as live:
        yield live
        live.stop()


def administer(live, *statements):
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        for each in statements:
            admin.execute(each)


def refusal(live):
    with pytest.raises(psycopg.OperationalError) as error:
        live.connect(ANALYST)
    return str(error.value)


def status(live):
    done = live.ringfort("status", "DIR", "--json")
    return done.returncode, json.loads(done.stdout)


def wait_served(live, served):
    wait_for(lambda: status(live)[1]["databases"][0]["served"] is served, seconds=300)


def no_names(text):
    """No name that only administrators know; the database's own the client has said itself."""
    shown = [each for each in NAMES if each in text]
    assert not shown, (shown, text)


def test_a_surplus_that_comes_and_goes(made):
    """`ours` takes a surplus away by itself where it can; a function of another owner it leaves."""
    made.start()
    code, told = status(made)
    assert code == 0
    assert {each["name"] for each in told["processes"]} >= {"writer", "provisioner", "parser", "worker-0"}
    assert all(each["running"] for each in told["processes"])
    text = made.ringfort("status", "DIR")
    assert "served      demo" in text.stdout
    assert "served      demo" in made.output.read_text()
    made.stop()
    assert not made.ready_file.exists()
    stopped = made.ringfort("status", "DIR")
    assert stopped.returncode == 3
    assert "not up" in stopped.stderr


def test_a_catalogue_that_has_drifted_names_nothing_to_a_client(made):
    made.start()
    administer(made, "ALTER TABLE vault RENAME COLUMN label TO was_label")
    try:
        said = refusal(made)
        no_names(said)
        reference = said.partition("(reference ")[2].partition(")")[0]
        assert len(reference) == 8
        logged = made.ringfort("logs", "DIR", "--event", "session-not-opened").stdout
        assert f"incident {reference}" in logged
        assert "vault" in logged  # the operator is told
    finally:
        administer(made, "ALTER TABLE vault RENAME COLUMN was_label TO label")
        made.stop()


def test_a_database_that_takes_nobody_in_is_not_served_and_opens_by_itself(made):
    made.start()
    made.stop()
    dsn = made.folder / "secrets" / f"site-{SITE.name}.dsn"
    made.start()
    try:
        # a schema of ours that belongs to somebody else: nothing can be administered
        administer(made, "CREATE ROLE intruder", "ALTER SCHEMA ringfort OWNER TO intruder")
        assert dsn.exists()
        done = made.ringfort("site", "audit", "DIR", "--json")
        assert done.returncode in {0, 1, 3}
    finally:
        administer(made, "ALTER SCHEMA ringfort OWNER TO postgres", "DROP ROLE intruder")
        made.stop()
