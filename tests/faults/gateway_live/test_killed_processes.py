"""kill -9 of each process of a deployment while clients read: told clearly, recorded first, recovered alone.

What a client was given is compared with what is on record after the whole was stopped: for every answer that
came in full there is an admission, durable before it.
"""

import contextlib
import os
import re
import signal
from pathlib import Path

import psycopg
import pytest
from tests.faults.gateway_live.clients_at_work import ClientsAtWork
from tests.live_deployment import ANALYST, deployment, wait_for

MOST_DEATHS = 5
CHILDREN = ["gateway.worker", "record.writer", "gateway.provisioner", "gateway.parser"]
# admin and crash shutdown, not now; the record failed; the connection just broke (no SQLSTATE)
TOLD = {"57P01", "57P02", "57P03", "58030", "08006", None}
OF_ONE_STATEMENT = {"54001"}  # the parser died over it


@pytest.fixture(scope="module")
def whole():
    """A deployment that is up."""
    with deployment() as made:
        yield made.start()


@pytest.fixture
def broken(whole):
    """A deployment that is up; every test leaves it recovered. Too many deaths in a minute would end it."""
    if whole.output.read_text().count("starting it again") >= MOST_DEATHS - 2:
        assert whole.stop() == 0
        whole.output.unlink()
        whole.start()
    return whole


def compare(live, clients):
    """Nothing was given without its admission: by session, admissions against answers."""
    sessions = {each["ticket"]: each["session"] for each in live.entries("SessionOpened")}
    admitted = {}
    for each in live.entries("StatementAdmitted"):
        admitted[each["session"]] = admitted.get(each["session"], 0) + 1
    for client in clients.clients:
        for ticket, answers in client.given.items():
            assert answers <= admitted.get(sessions[ticket], 0), ticket


def cut_off(pgconn):
    """Whether the connection has broken."""
    try:
        pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return pgconn.status == psycopg.pq.ConnStatus.BAD


def let_in(live):
    """A connection, None while there is none to be had."""
    with contextlib.suppress(psycopg.OperationalError):
        return live.connect(ANALYST, connect_timeout=5)
    return None


def check_told(clients):
    for sqlstate, text in clients.said():
        assert sqlstate in TOLD | OF_ONE_STATEMENT, text
        assert "Traceback" not in text
    for _, text in clients.kept_out():
        assert "password authentication failed" not in text


@pytest.mark.parametrize("child", CHILDREN)
def test_a_killed_child_is_replaced_and_nothing_left_unrecorded(broken, child):
    with ClientsAtWork(broken) as clients:
        before = broken.pids()
        os.kill(before[child], signal.SIGKILL)
        wait_for(lambda: broken.pids().get(child) not in {None, before[child]}, seconds=30)
        clients.wait_for_answers()
    check_told(clients)
    if child in {"gateway.worker", "record.writer"}:
        assert clients.said()  # their sessions did end
    compare(broken, clients)
    broken.verify()
    assert broken.process.poll() is None


def test_a_killed_server_of_the_site_comes_back(broken):
    with ClientsAtWork(broken) as clients:
        before = broken.postmaster()
        os.kill(before, signal.SIGKILL)

        def again():
            try:
                return broken.postmaster() != before
            except KeyError:
                return False

        wait_for(again)
        clients.wait_for_answers()
    check_told(clients)
    assert clients.said()
    compare(broken, clients)
    broken.verify()
    with broken.connect(ANALYST) as connection:  # mapping tables are empty after a crash and filled again
        assert connection.execute("SELECT count(*) FROM vault").fetchone() == (8,)
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (300,)


def all_published(live):
    """The report of a ledger that publishes nothing more: `verify` counts what is published."""
    reports = []

    def settled():
        reports.append(live.verify())
        same = len(reports) > 1 and reports[-1]["entries"] == reports[-2]["entries"]
        return same and reports[-1]["journal"]["unpublished_entries"] == 0

    wait_for(settled)
    return reports[-1]


def test_an_admitted_statement_without_an_end_is_seen(broken):
    """The writer is killed in the middle of a long answer: nobody can end it on record any more."""
    before = all_published(broken)["statements_without_end"]
    ticket = "T-without-an-end"
    with broken.connect(ANALYST, ticket=ticket) as connection:
        connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 800000000)")
        wait_for(lambda: any(each["ticket"] == ticket for each in broken.entries("SessionOpened")))
        session = broken.session_of(ticket)
        wait_for(lambda: any(each["session"] == session for each in broken.entries("StatementAdmitted")))
        old = broken.pids()["record.writer"]
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: cut_off(connection.pgconn))
    wait_for(lambda: broken.pids().get("gateway.worker"), seconds=30)
    assert all_published(broken)["statements_without_end"] == before + 1
    ended = [each for entry in broken.entries("StatementsEnded") for each in entry["ended"]]
    assert not [each for each in ended if each[0] == session]
    with psycopg.connect(broken.admin_dsn(), autocommit=True) as admin:  # nor does it run on at the site
        left = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%800000000%'"
        wait_for(lambda: admin.execute(f"{left} AND pid <> pg_backend_pid()").fetchone() is None, seconds=30)


def test_everything_killed_at_once_is_whole_after_a_start(broken):
    with ClientsAtWork(broken) as clients:
        pids = [broken.process.pid, broken.postmaster(), *broken.pids().values()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        broken.process.wait()
        broken.process = None
        wait_for(clients.said)
    check_told(clients)
    wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in pids), seconds=30)
    compare(broken, clients)
    broken.start()
    compare(broken, clients)
    broken.verify()
    with ClientsAtWork(broken, count=2) as clients:
        clients.wait_for_answers()
    assert clients.said() == []


def test_it_stops_cleanly_after_all_that(broken):
    assert broken.stop() == 0
    broken.verify()
    broken.start()


@pytest.mark.long
def test_what_is_being_edited_does_not_come_into_force_because_a_process_died(broken):
    """Valid or not: only a start by a person, or `ringfort policy apply`, puts files into force."""
    files = [broken.folder / "policy" / "staff.cedar", broken.folder / "zones.toml"]
    texts = [each.read_text() for each in files]
    kinds = ("PolicyActivated", "CatalogueActivated", "ZonesActivated")
    before = [broken.entries(each) for each in kinds]
    try:
        for edits in (
            ('\n@id("more")\npermit(principal, action, resource);\n', '"US"'),
            ("\npermit(", '"US'),
        ):
            files[0].write_text(texts[0] + edits[0])
            files[1].write_text(texts[1].replace('"IE"', edits[1]))
            for child in ("record.writer", "gateway.worker"):
                old = broken.pids()
                os.kill(old[child], signal.SIGKILL)
                wait_for(
                    lambda name=child, had=old: broken.pids().get(name) not in {None, had[name]}, seconds=30
                )
                # until all are back, a connection may still break
                connection = wait_for(lambda: let_in(broken), seconds=30)
                with connection, pytest.raises(psycopg.errors.UndefinedColumn):
                    connection.execute("SELECT email FROM people")
    finally:
        for path, text in zip(files, texts, strict=True):
            path.write_text(text)
    assert [broken.entries(each) for each in kinds] == before


HOSTILE = [
    " UNION ALL ".join(["SELECT 1"] * 20_000),
    "SELECT " + "-" * 100_000 + "1",
    "SELECT " + "NOT " * 60_000 + "true",
    "SELECT " + "(SELECT " * 20_000 + "1" + ")" * 20_000,
    "SELECT " + ", ".join(["1"] * 120_000),
    "SELECT 1" + "::int" * 40_000,
    "SELECT " + "CASE WHEN true THEN " * 12_000 + "1" + " END" * 12_000,
    "SELECT " + "ARRAY[" * 40_000 + "1" + "]" * 40_000,
    "SELECT * FROM " + "(" * 60_000 + "vault" + ")" * 60_000,
    "SELECT $" + "1" * 200_000,
    "/*" * 120_000,
    "WITH a AS (" * 20_000,
]


def test_texts_that_kill_the_grammar_cost_one_statement_each(broken):
    """Each would end a process that reads it; six in a minute must not end the gateway."""
    before = broken.pids()
    with broken.connect(ANALYST) as attacker, broken.connect(ANALYST) as other:
        for text in HOSTILE * 2:
            with contextlib.suppress(psycopg.Error):  # some are read in time, and right
                attacker.execute(text)
            assert not attacker.closed
            assert other.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    assert broken.pids() == before
    broken.verify()


@pytest.mark.long
@pytest.mark.parametrize("turn", range(6))
def test_killed_again_and_again(turn):
    """Each child at another moment, until the supervisor gives up or the clients are done."""
    with deployment(people=60) as live:
        live.start()
        with ClientsAtWork(live) as clients:
            for number in range(4):
                child = CHILDREN[(turn + number) % len(CHILDREN)]
                clients.wait_for_answers(more=turn * 7 + number * 3)
                pid = wait_for(lambda name=child: live.pids().get(name), seconds=30)
                os.kill(pid, signal.SIGKILL)
            clients.wait_for_answers()
        check_told(clients)
        assert live.stop() == 0
        compare(live, clients)
        live.verify()


@pytest.mark.long
def test_too_many_deaths_end_the_whole_with_a_reason():
    with deployment(people=60) as live:
        live.start()
        killed = set()

        def given_up():
            pid = live.pids().get("gateway.parser")
            if pid is not None and pid not in killed:
                killed.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return live.process.poll() is not None

        wait_for(given_up)
        assert live.process.wait(30) == 1
        said = live.output.read_text()
        assert re.search(r"error: parser ended.*, and there were 5 such ends within 60 seconds", said)
        assert "hint: its log is" in said
        live.process = None
        live.verify()
        assert [each["type"] for each in live.entries(log="control") if "Gateway" in each["type"]][
            -1
        ] == "GatewayStopped"
