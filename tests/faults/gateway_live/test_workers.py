"""Several workers behind one socket: evenly used, cancel reaches the right one, and each dies for itself."""

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.pq import ConnStatus
from tests.live_deployment import ANALYST, deployment, wait_for

LONG = "SELECT count(*) FROM generate_series(1, 900000000)"


@pytest.fixture(scope="module")
def two():
    """A deployment with two workers."""
    with deployment() as made:
        made.edit("ringfort.toml", "# workers = 0", "workers = 2")
        yield made.start()


@pytest.fixture
def opened(two):
    """Opens sessions, and closes them afterwards."""
    with contextlib.ExitStack() as stack:

        def connect(ticket="", **more):
            return stack.enter_context(contextlib.closing(two.connect(ANALYST, ticket=ticket, **more)))

        yield connect
    wait_for(lambda: counts(two) == [0, 0])


def counts(live):
    return [len(each["sessions"]) for each in live.workers()]


def test_connections_spread_evenly_one_after_another_and_at_once(two, opened):
    assert {each["worker"] for each in two.workers()} == {"worker-0", "worker-1"}
    for _ in range(8):
        opened()
    assert counts(two) == [4, 4]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: opened(), range(8)))
    assert sorted(counts(two)) in ([7, 9], [8, 8])  # two may start at the very same moment


def test_a_cancel_request_reaches_its_session_whichever_worker_takes_it(opened):
    sessions = [opened() for _ in range(4)]
    for _ in range(2):
        for session in sessions:
            timer = threading.Timer(0.2, session.cancel)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                session.execute(LONG)
            timer.join()
            assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_dead_worker_takes_its_own_sessions_only_and_they_get_their_ends(two, opened):
    sessions = {f"T-dead-{number}": opened(f"T-dead-{number}") for number in range(4)}
    at_work = sessions["T-dead-0"]
    at_work.pgconn.send_query(LONG.encode())
    dead = two.worker_of("T-dead-0")
    lost = {ticket for ticket in sessions if two.worker_of(ticket) == dead}
    assert len(lost) == 2
    session = two.session_of("T-dead-0")
    wait_for(lambda: any(each["session"] == session for each in two.entries("StatementAdmitted")))
    os.kill(dead, signal.SIGKILL)
    wait_for(lambda: len({each["process"] for each in two.workers()} - {dead}) == 2, seconds=30)
    for ticket, connection in sessions.items():
        if ticket in lost:
            wait_for(lambda left=connection.pgconn: gone(left))
        else:
            assert connection.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    wait_for(lambda: session in {each["session"] for each in two.entries("SessionEnded")})
    ended = {each["session"]: each for each in two.entries("SessionEnded")}
    assert {ended[two.session_of(ticket)]["outcome"] for ticket in lost} == {"worker lost"}
    assert ended[session]["actor"] == "writer"
    assert ended[session]["statements"] == 1
    (statement,) = [
        each for entry in two.entries("StatementsEnded") for each in entry["ended"] if each[0] == session
    ]
    assert statement == [session, 1, 0, 0, "worker lost"]
    wait_for(lambda: two.verify()["statements_without_end"] == 0)
    for _ in range(4):
        opened()
    assert sorted(counts(two)) == [3, 3]


def gone(pgconn):
    try:
        pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return pgconn.status == ConnStatus.BAD


def test_all_workers_dead_at_once_are_all_replaced(two, opened):
    old = {each["process"] for each in two.workers()}
    for each in old:
        os.kill(each, signal.SIGKILL)
    wait_for(lambda: len({each["process"] for each in two.workers()} - old) == 2, seconds=30)
    assert opened().execute("SELECT 1").fetchone() == (1,)
    assert two.process.poll() is None


def test_a_connection_that_waits_while_every_worker_is_gone_is_served(two, opened):
    """The socket is the supervisor's: its queue stays."""
    old = {each["process"] for each in two.workers()}
    for each in old:
        os.kill(each, signal.SIGSTOP)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(opened) for _ in range(3)]
        time.sleep(0.3)
        for each in old:
            os.kill(each, signal.SIGKILL)
        for each in waiting:
            assert each.result(60).execute("SELECT 1").fetchone() == (1,)
