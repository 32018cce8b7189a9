"""`ringfort sessions` and `ringfort reload` against a deployment with two workers."""

import contextlib
import getpass
import json
import os
import pwd
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from tests.live_deployment import ANALYST, SUPPORT, deployment, run_ringfort, wait_for

# more rows than any socket holds; PostgreSQL stores the series first, within the profile's `temp_file_limit`
MANY = "COPY (SELECT a.label FROM vault a, generate_series(1, 2000000)) TO STDOUT"


@pytest.fixture(scope="module")
def two():
    with deployment() as made:
        made.edit("ringfort.toml", "# workers = 0", "workers = 2")
        yield made.start()


def listed(live, *options):
    done = live.ringfort("sessions", "list", "DIR", "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["sessions"]


def kill(live, *arguments):
    return live.ringfort("sessions", "kill", "DIR", *arguments)


def cut_off(connection):
    """What the client is told."""

    def told():
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            return error
        return None

    return wait_for(told)


def outcome(live, session):
    (ended,) = [each for each in live.entries("SessionEnded") if each["session"] == session]
    return ended["outcome"]


def test_sessions_are_listed_with_what_they_do(two):
    assert listed(two) == []
    assert two.ringfort("sessions", "list", "DIR").stdout.strip() == "no session is open"
    with two.connect(ANALYST, ticket="T-list") as one, two.connect(SUPPORT, autocommit=False) as other:
        one.execute("SELECT label FROM vault").fetchall()
        other.execute("SELECT 1")
        first, second = listed(two)
        assert {first["worker"], second["worker"]} == {"worker-0", "worker-1"}
        assert first["principal"] == "dana"
        assert (first["purpose"], first["ticket"], first["database"]) == (
            "product-analytics",
            "T-list",
            "demo",
        )
        assert (first["state"], first["statements"], first["rows"]) == ("idle", 1, 8)
        assert first["bytes"] > 0
        assert first["address"] == "127.0.0.1"
        assert first["session"] == two.session_of("T-list")
        assert second["state"] == "in transaction"
        (only,) = listed(two, "--principal", "aoife")
        assert only["session"] == second["session"]
        shown = two.ringfort("sessions", "list", "DIR").stdout
        assert first["session"] in shown
        assert "in transaction" in shown
    wait_for(lambda: listed(two) == [])


def test_a_kill_is_on_record_first_and_cuts_one_session_off(two):
    with two.connect(ANALYST, ticket="T-kill") as one, two.connect(ANALYST) as other:
        session = two.session_of("T-kill")
        done = kill(two, session, "--reason", "left the building")
        assert (done.returncode, done.stdout) == (0, f"killed {session}\n")
        told = cut_off(one)
        assert told.sqlstate == "57P01"
        assert "an operator has ended it" in str(told)
        assert "left the building" not in str(told)
        assert other.execute("SELECT 1").fetchone() == (1,)
    (entry,) = two.entries("SessionKilled")
    assert entry["session"] == session
    assert entry["by"] == pwd.getpwuid(os.getuid()).pw_name
    assert entry["by"] == getpass.getuser() or os.environ.get("USER") is None
    assert entry["reason"] == "left the building"
    wait_for(lambda: session in {each["session"] for each in two.entries("SessionEnded")})
    assert outcome(two, session) == "killed"
    again = kill(two, session)
    assert again.returncode == 1
    assert again.stderr.startswith(f"error: no session `{session}` is open\nhint: ")


def read_on_after_a_kill(two, connection, session):
    """It goes on reading meanwhile: who does not is cut off without a word."""
    with connection.cursor().copy(MANY) as copy, ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill, two, session)
        for number, _ in enumerate(copy):
            if number % 1_000 == 0 and not killed.done():
                time.sleep(0.01)
        raise AssertionError("all of it was read")


def test_a_kill_in_the_middle_of_a_result_ends_it(two):
    with two.connect(ANALYST, ticket="T-result") as connection:
        session = two.session_of("T-result")
        with pytest.raises(psycopg.OperationalError) as told:
            read_on_after_a_kill(two, connection, session)
    assert told.value.sqlstate == "57P01", told.value
    wait_for(lambda: session in {each["session"] for each in two.entries("SessionEnded")})
    assert outcome(two, session) == "killed"
    (end,) = [
        each for entry in two.entries("StatementsEnded") for each in entry["ended"] if each[0] == session
    ]
    assert end[2] > 0  # what was released before is accounted for
    with psycopg.connect(two.admin_dsn(), autocommit=True) as admin:
        left = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY (SELECT a.label%'"
        wait_for(lambda: admin.execute(left).fetchone() is None)


def test_a_client_that_does_not_read_is_cut_off_all_the_same(two):
    with contextlib.closing(two.connect(ANALYST, ticket="T-deaf")) as connection:
        session = two.session_of("T-deaf")
        connection.pgconn.send_query(MANY.encode())
        time.sleep(0.5)
        assert kill(two, session).returncode == 0
        wait_for(lambda: session not in {each["session"] for each in listed(two)})


def test_every_session_of_a_principal_is_killed(two):
    with two.connect(ANALYST) as one, two.connect(ANALYST) as two_, two.connect(SUPPORT) as other:
        done = kill(two, "--principal", "dana", "--json")
        assert len(json.loads(done.stdout)["killed"]) == 2
        for each in (one, two_):
            assert cut_off(each).sqlstate == "57P01"
        assert other.execute("SELECT 1").fetchone() == (1,)
    none = kill(two, "--principal", "dana")
    assert (none.returncode, none.stdout) == (0, "`dana` has no open session\n")


def test_wrong_usage_is_said_so(two, tmp_path):
    assert kill(two).returncode == 2
    assert kill(two, "a", "--principal", "b").returncode == 2
    assert kill(two, "a", "--reason", "two\nlines").returncode == 2
    nowhere = run_ringfort("sessions", "list", str(tmp_path))
    assert nowhere.returncode in {2, 3}
    assert nowhere.stderr.startswith("error: ")


# -- reload ------------------------------------------------------------------------------------------


def test_a_reload_drops_no_session_and_new_ones_have_the_new_settings(two):
    before = {each["process"] for each in two.workers()}
    with two.connect(ANALYST, ticket="T-before") as kept, two.connect(ANALYST) as also:
        kept.execute("BEGIN")
        kept.execute("DECLARE c CURSOR FOR SELECT label FROM vault")
        two.edit("ringfort.toml", "rows_per_session = 1000000", "rows_per_session = 5")
        done = two.ringfort("reload", "DIR", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"workers": 2, "finishing": 2}
        serving = [each for each in two.workers() if not each["draining"]]
        assert len({each["process"] for each in serving} - before) == 2
        with two.connect(ANALYST) as fresh, pytest.raises(psycopg.OperationalError) as told:
            fresh.execute("SELECT label FROM vault").fetchall()
        assert told.value.sqlstate == "53400"
        assert len(kept.execute("FETCH ALL FROM c").fetchall()) == 8
        kept.execute("COMMIT")
        assert two.worker_of("T-before") in before
        timer_killed = kill(two, two.session_of("T-before"))
        assert timer_killed.returncode == 0
        assert cut_off(kept).sqlstate == "57P01"
        assert also.execute("SELECT 1").fetchone() == (1,)
    wait_for(lambda: not before & {each["process"] for each in two.workers()})
    wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in before))
    two.edit("ringfort.toml", "rows_per_session = 5", "rows_per_session = 1000000")
    assert two.ringfort("reload", "DIR").stdout.startswith("2 new workers serve, ")
    assert "Traceback" not in two.output.read_text()


def test_connections_made_during_reloads_are_all_served(two):
    for _ in range(2):
        reload = threading.Thread(target=two.ringfort, args=("reload", "DIR"))
        reload.start()
        served = 0
        while reload.is_alive():
            with two.connect(ANALYST) as connection:
                served += connection.execute("SELECT 1").fetchone()[0]
        reload.join()
        assert served > 3
    wait_for(lambda: len(two.workers()) == 2)


def test_what_another_process_was_told_is_not_reloaded(two):
    before = {each["process"] for each in two.workers()}
    for old, new, said in (
        ("http_port = 0", "http_port = 7", "settings of the ledger have changed, which takes a restart"),
        ("port = 0    ", "port = 1    ", "`gateway.host` and `gateway.port` have changed"),
        ("[limits]", "[limit]", "unknown key `limit`"),
    ):
        two.edit("ringfort.toml", f"\n{old}", f"\n{new}")
        done = two.ringfort("reload", "DIR")
        two.edit("ringfort.toml", f"\n{new}", f"\n{old}")
        assert done.returncode in {1, 2}
        assert said in done.stderr
    assert {each["process"] for each in two.workers()} == before


def test_a_worker_that_cannot_start_leaves_everything_as_it_was(two):
    before = {each["process"] for each in two.workers()}
    wrong = 'tls_certificate = "secrets/none.pem"\ntls_key = "k" #'
    two.edit("ringfort.toml", "# tls_certificate", wrong)
    try:
        done = two.ringfort("reload", "DIR")
    finally:
        two.edit("ringfort.toml", wrong, "# tls_certificate")
    assert done.returncode == 1
    assert "worker-0 ended with" in done.stderr
    assert {each["process"] for each in two.workers()} == before
    with two.connect(ANALYST) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_it_stops_cleanly_with_workers_that_still_finish(two):
    with two.connect(ANALYST) as connection:
        assert two.ringfort("reload", "DIR").returncode == 0
        assert two.stop() == 0
        assert cut_off(connection).sqlstate == "57P01"
    assert two.verify()["statements_without_end"] == 0
    done = two.ringfort("reload", "DIR")
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, "error: the deployment is not up")
    assert two.ringfort("sessions", "list", "DIR").returncode == 3


@pytest.mark.long
def test_a_worker_that_does_not_answer_is_said_so(two):
    two.start()
    stopped, other = (each["process"] for each in two.workers())
    os.kill(stopped, signal.SIGSTOP)
    try:
        done = two.ringfort("sessions", "list", "DIR", "--json")
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert done.returncode == 0
    assert done.stderr == "warning: 1 of 2 workers did not answer; theirs are missing here\n"
    assert json.loads(done.stdout) == {"sessions": []}
    assert {each["process"] for each in two.workers()} == {stopped, other}
