"""A full disk, a frozen disk, a network cut in the middle of a row: nothing unrecorded is released.

The client is told clearly wherever a word can still reach it, and everything goes on without hands.
"""

import contextlib
import os
import signal
import time

import psycopg
import pytest
from tests.attacks.gateway.wire_client import WireClient
from tests.faults.gateway_live.clients_at_work import ClientsAtWork
from tests.faults.gateway_live.places import CutNetwork, OwnDisk
from tests.faults.gateway_live.resident import drain
from tests.faults.gateway_live.test_killed_processes import check_told, compare
from tests.live_deployment import ANALYST, deployment, fresh_word, wait_for

from ringfort.pgwire.frontend import Query, serialise_frontend

WIDE = b"SELECT repeat('x', 1000000) FROM generate_series(1, 400)"
LONG = pytest.mark.long
NARROW = b"SELECT n, 'some label' FROM generate_series(1, 900000) AS t(n)"


def ended(live, ticket):
    """The end of a session and of its only statement, once they are on record."""
    session = live.session_of(ticket)
    wait_for(lambda: any(each["session"] == session for each in live.entries("SessionEnded")), seconds=20)
    (end,) = (each for each in live.entries("SessionEnded") if each["session"] == session)
    ends = [
        each for entry in live.entries("StatementsEnded") for each in entry["ended"] if each[0] == session
    ]
    return end, ends


def running(live, text):
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        rows = admin.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()",
            [f"%{text}%"],
        ).fetchall()
    return [row[0] for row in rows]


# -- the disk of the ledger ------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1, pytest.param(20, marks=LONG)])
def test_a_disk_that_is_frozen_and_then_full(tmp_path, seconds):
    with deployment(people=60) as live, OwnDisk(live.folder / "state" / "ledger", tmp_path / "disk") as disk:
        live.start()
        with ClientsAtWork(live) as clients:
            disk.freeze()
            time.sleep(0.3)  # what was durable before is on its way
            given = clients.answers()
            time.sleep(seconds)
            assert clients.answers() == given
            if seconds > 15:
                assert {sqlstate for sqlstate, _ in clients.said()} == {"58030"}
            disk.thaw()
            clients.wait_for_answers(seconds=60)

            told = len(clients.said())
            disk.fill()
            wait_for(lambda: len(clients.said()) > told, seconds=30)
            time.sleep(seconds)  # as long as it lasts: no number of ends makes it give up
            disk.free()
            clients.wait_for_answers(seconds=60)
        check_told(clients)
        assert "58030" in {sqlstate for sqlstate, _ in clients.said()}
        assert live.process.poll() is None
        compare(live, clients)
        live.verify()
        assert live.stop() == 0


# -- the network -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "reset"),
    [
        (300_001, False),
        (3_000_000, True),
        pytest.param(300_001, True, marks=LONG),
        pytest.param(40_000, False, marks=LONG),
    ],
)
def test_a_network_that_is_cut_in_the_middle_of_a_row(live, reset, after):
    ticket = f"CUT-{fresh_word()}"
    with (
        CutNetwork(live.address, reset=reset) as network,
        WireClient(live.dsn(ANALYST, ticket=ticket, port=network.port)) as client,
    ):
        network.after = after
        client.send(serialise_frontend(Query(WIDE)))
        size, tail = drain(client)
        assert 0 < size <= after
        assert tail.endswith(b"x")  # no word of ours stands inside a row
    end, ends = ended(live, ticket)
    assert (end["outcome"], end["statements"]) == ("client gone", 1)
    assert [each[4] for each in ends] == ["cut"]
    assert ends[0][3] >= size - 5 * 1024  # TLS has its own few bytes
    wait_for(lambda: not running(live, "repeat(''x''"), seconds=20)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (WIDE, "ended"),
        (NARROW, "killed"),
        pytest.param(NARROW, "ended", marks=LONG),
        pytest.param(WIDE, "killed", marks=LONG),
    ],
)
def test_a_site_that_is_cut_in_the_middle_of_a_result(own_live, text, how):
    live, ticket = own_live, f"SITE-{'wide' if text == WIDE else 'narrow'}-{how}"
    with WireClient(live.dsn(ANALYST, ticket=ticket), timeout=30) as client, live.connect(ANALYST) as other:
        assert other.execute("SELECT count(*) FROM people").fetchone() == (300,)
        client.send(serialise_frontend(Query(text)))
        marker = text.decode()[7:20]
        (pid,) = wait_for(lambda: running(live, marker))
        time.sleep(0.3)  # it stands in the middle of a write that nobody takes
        if how == "killed":
            os.kill(pid, signal.SIGKILL)
        else:
            with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        size, tail = drain(client)
        assert size > 100_000
        if text == NARROW:
            assert b"57P0" in tail
        else:
            assert tail.endswith(b"x")
    end, ends = ended(live, ticket)
    assert end["outcome"] in {"site gone", "ended by the site"}
    assert [each[4] for each in ends] == ["cut"]

    def answers_again():
        with contextlib.suppress(psycopg.Error), live.connect(ANALYST) as connection:
            return connection.execute("SELECT count(*) FROM people").fetchone() == (300,)

    wait_for(answers_again, pause=0.2)
    live.verify()
