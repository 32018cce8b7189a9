"""What goes wrong in a deployment stands in its log, and no value of anybody's does."""

import json
import os
import signal
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from tests.live_deployment import ANALYST, SUPPORT, deployment, fresh_word, wait_for


@pytest.fixture(scope="module")
def whole():
    with deployment(people=50) as live:
        yield live.start()
        live.stop()


def lines(live, event, *more):
    """The log's lines of one event, as programs read them."""
    done = live.ringfort("logs", "DIR", "--json", "--event", event, *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(each) for each in done.stdout.splitlines()]


def said(live, event, words=""):
    """Wait for a line of `event` that holds `words`; gives it."""
    found = []

    def look():
        found[:] = [each for each in lines(live, event) if words in each["message"]]
        return bool(found)

    wait_for(look, seconds=100, pause=0.2)
    assert set(found[0]) == {"time", "level", "process", "event", "session", "message"}
    return found[-1]


def test_sessions_are_told_by_their_id_alone(whole):
    ticket = "logs-one"
    with whole.connect(SUPPORT, ticket=ticket) as client:
        client.execute("SELECT 1")
    session = whole.session_of(ticket)
    wait_for(lambda: [each for each in lines(whole, "session-ended") if each["session"] == session], 100)
    opened = [each for each in lines(whole, "session-opened") if each["session"] == session]
    assert [each["message"] for each in opened] == ["a session opened"]


def test_a_wrong_password(whole):
    with pytest.raises(psycopg.OperationalError):
        whole.connect(ANALYST, password="not the password")
    assert said(whole, "login-refused", "wrong proof")["level"] == "warning"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"purpose": "no-such-purpose"}, "purpose"),
        ({"ticket": "jan.jansen@example.org"}, "ticket"),
    ],
)
def test_a_session_that_is_refused(whole, facts, words):
    with pytest.raises(psycopg.OperationalError):
        whole.connect(ANALYST, **facts)
    line = said(whole, "session-refused", words)
    assert not any(value in line["message"] for value in facts.values())


def test_a_killed_worker_is_replaced(whole):
    os.kill(whole.pids()["gateway.worker"], signal.SIGKILL)
    said(whole, "process-ended", "worker")
    said(whole, "process-replaced", "worker")


def test_the_writer_is_killed_and_the_ledger_recovers(whole):
    before = len(lines(whole, "ledger-recovered"))
    process = whole.pids()["record.writer"]
    os.kill(process, signal.SIGKILL)
    said(whole, "process-ended", "writer")
    wait_for(lambda: len(lines(whole, "ledger-recovered")) > before, seconds=100, pause=0.5)
    wait_for(lambda: whole.ringfort("status", "DIR").returncode == 0, seconds=200, pause=0.5)


def test_no_value_of_a_client_is_in_any_file(whole):
    """Secrets of every kind that a client, an administrator or a command gives us."""
    secret = {
        name: fresh_word(20) for name in ("literal", "parameter", "password", "purpose", "name", "error")
    }
    with pytest.raises(psycopg.OperationalError):
        whole.connect(ANALYST, password=secret["password"])
    with pytest.raises(psycopg.OperationalError):
        whole.connect(ANALYST, purpose=secret["purpose"])
    with pytest.raises(psycopg.OperationalError):
        whole.connect(ANALYST, user=secret["name"])
    with whole.connect(SUPPORT, application_name=secret["literal"]) as client:
        client.execute(sql.SQL("SELECT {}").format(sql.Literal(secret["literal"])))
        client.execute("SELECT %s::text", [secret["parameter"]])
        for wrong in ("SELECT {}::int", "SELECT 1/0 WHERE {} = 'x'", "SELECT {} FROM nowhere", "SELECT (({}"):
            with pytest.raises(psycopg.Error):
                client.execute(sql.SQL(wrong).format(sql.Literal(secret["error"])))
            with pytest.raises(psycopg.Error):
                client.execute(wrong.format("%s"), [secret["error"]])
    secret["dsn"] = conninfo_to_dict(whole.admin_dsn())["password"]
    said(whole, "session-ended")
    for path in sorted(whole.logs.rglob("*")):
        held = path.read_bytes()
        assert not [name for name, value in secret.items() if value.encode() in held], path


def test_status_says_how_far_publication_is_behind_and_where_a_database_lies(whole):
    """Both without a key; an entry waits, and then it does no longer."""
    with whole.connect(SUPPORT) as client:
        client.execute("SELECT 1")

    def told():
        return json.loads(whole.ringfort("status", "DIR", "--json").stdout)

    wait_for(lambda: told()["ledger"]["unpublished_entries"] == 0, seconds=100, pause=0.2)
    status = told()
    assert status["ledger"]["seconds_since_checkpoint"] >= 0
    (site,) = status["sites"]
    assert (Path(site["folder"]) / "data").is_dir()
    shown = whole.ringfort("status", "DIR").stdout
    assert site["folder"] in shown
    assert "wait to be published" in shown
    assert site["folder"] in said(whole, "site-started")["message"]


def test_a_site_that_ends_and_a_policy_that_comes_into_force(whole):
    os.kill(whole.postmaster(), signal.SIGKILL)
    said(whole, "site-ended")
    wait_for(lambda: whole.ringfort("status", "DIR").returncode == 0, seconds=200, pause=0.5)
    with (whole.folder / "policy" / "added.cedar").open("w") as added:
        added.write(
            '@id("nobody") forbid (principal, action, resource) when { principal.country == "XX" };\n'
        )
    done = whole.ringfort("policy", "apply", "DIR")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "policy" in said(whole, "ground-changed", "policy")["message"]
