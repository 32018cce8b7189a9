"""Site connections that are used again: nothing of one session shows in the next, and nobody shares."""

import os
import time

import psycopg
import pytest
from tests.attacks.test_wire import cancel, drop_database, make_database
from tests.attacks.wire_stand import Stand, Wire, rows, states, wait_for

from ringfort.ledger.entry_control import SessionKilled
from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    Parse,
    Query,
    Sync,
    Terminate,
    serialise_frontend,
)

MOST = 3
BYE = serialise_frontend(Terminate())


def sent(*items):
    return b"".join(map(serialise_frontend, items))


@pytest.fixture(scope="module")
def database(postgres_server):
    name = f"pool_{os.getpid()}"
    yield make_database(postgres_server, name)
    drop_database(postgres_server, name)


@pytest.fixture(scope="module")
def stand(database):
    with Stand(database, idle_site_connections=MOST) as made:
        yield made
        assert "Error" not in made.log()


@pytest.fixture
def backends(stand, database):
    """Backends of the profile's role, by process id; all of them end after the test."""
    with psycopg.connect(database, autocommit=True) as admin:

        def found():
            listed = admin.execute(
                r"SELECT pid, state, query FROM pg_stat_activity WHERE usename LIKE 'rf\_%'"
            )
            return {pid: (state, query) for pid, state, query in listed}

        yield found
        admin.execute(r"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'rf\_%'")
        wait_for(lambda: not found())


def discarded(backends):
    """The idle backends that were cleaned."""
    return {pid for pid, facts in backends().items() if facts == ("idle", "DISCARD ALL")}


def use(stand, *items, user="alice", bye=BYE, **parameters):
    """A session that sends `items`, waits for the answers, and leaves."""
    with Wire(stand.port) as wire:
        wire.login(user, **parameters)
        if items:
            wire.send(sent(*items))
            seen = wire.until_ready()
        else:
            seen = []
        wire.send(bye)
        if bye:
            wire.until_closed()
        return seen


def test_the_next_session_of_the_same_principal_has_the_same_backend(stand, backends):
    use(stand, Query(b"SELECT name FROM seen WHERE id = 7"))
    wait_for(lambda: len(discarded(backends)) == 1)
    (kept,) = discarded(backends)
    with Wire(stand.port) as wire:
        wire.login().send(sent(Query(b"SELECT name FROM seen WHERE id = 8")))
        assert rows(wire.until_ready()) == [(b"name 8",)]
        assert set(backends()) == {kept}
        with Wire(stand.port) as other:  # at the same time there is no other to have
            other.login()
            assert len(backends()) == 2
    wait_for(lambda: len(discarded(backends)) == 2)


def test_nobody_else_has_it_and_nor_has_who_starts_otherwise(stand, backends):
    use(stand)
    wait_for(lambda: discarded(backends))
    kept = discarded(backends)
    for facts in ({"user": "bob"}, {"TimeZone": "Asia/Tokyo"}, {"application_name": "other"}):
        with Wire(stand.port) as wire:
            wire.login(**facts)
            assert discarded(backends) >= kept
            assert len(backends()) == len(discarded(backends)) + 1
        wait_for(lambda: all(state == "idle" for state, _ in backends().values()))


def test_what_a_client_that_went_away_left_is_kept_when_it_is_clean(stand, backends):
    use(stand, Query(b"SELECT 1"), bye=b"")
    wait_for(lambda: discarded(backends))


LEFT = {
    "a setting": [Query(b"SET TimeZone = 'Asia/Tokyo'"), Query(b"SET statement_timeout = 12345")],
    "a prepared statement of SQL": [Query(b"PREPARE left_over AS SELECT name FROM seen")],
    "a prepared statement of the protocol": [Parse(b"left_over", b"SELECT name FROM seen", ()), Sync()],
    "an unnamed statement": [Parse(b"", b"SELECT name FROM seen", ()), Sync()],
    "characteristics": [Query(b"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")],
    "an error": [Query(b"SELECT 1/0")],
    "a refusal": [Query(b"SELECT pg_sleep(1)")],
}
ENDED = {
    "an open transaction": [Query(b"BEGIN")],
    "a cursor": [Query(b"BEGIN"), Query(b"DECLARE left_over CURSOR FOR SELECT name FROM seen")],
    "a failed transaction": [Query(b"BEGIN"), Query(b"SELECT 1/0")],
}


def leave_behind(stand, steps):
    with Wire(stand.port) as wire:
        wire.login()
        for each in steps:
            wire.send(sent(each))
            if not isinstance(each, Parse):
                wire.until_ready()
        wire.send(BYE)
        wire.until_closed()


def check_nothing_is_left(stand):
    with Wire(stand.port) as wire:
        wire.login()
        wire.send(sent(Query(b"SHOW TimeZone"), Query(b"SHOW statement_timeout")))
        shown = rows(wire.until_ready()) + rows(wire.until_ready())
        assert shown[0] != (b"Asia/Tokyo",)
        assert shown[1] != (b"12345ms",)
        wire.send(sent(Query(b"SHOW transaction_isolation")))
        assert rows(wire.until_ready()) == [(b"read committed",)]
        wire.send(sent(Bind(b"", b"left_over", (), (), ()), Sync()))
        assert states(wire.until_ready()) == ["26000"]
        wire.send(sent(Bind(b"", b"", (), (), ()), Sync()))
        assert states(wire.until_ready()) == ["26000"]
        wire.send(sent(Query(b"EXECUTE left_over")))
        assert states(wire.until_ready()) == ["26000"]
        wire.send(sent(Query(b"FETCH ALL FROM left_over")))
        ready = wire.until_ready()
        assert states(ready) == ["34000"]
        assert ready[-1].status == b"I"
        wire.send(sent(Query(b"SELECT count(*) FROM pg_catalog.pg_cursors"), Query(b"SELECT 1")))
        wire.until_ready()
        assert rows(wire.until_ready()) == [(b"1",)]


@pytest.mark.parametrize("steps", LEFT.values(), ids=LEFT)
def test_nothing_that_a_session_left_shows_in_the_next(stand, backends, steps):
    leave_behind(stand, steps)
    wait_for(lambda: len(discarded(backends)) == 1)
    kept = discarded(backends)
    check_nothing_is_left(stand)
    wait_for(lambda: discarded(backends) == kept)  # it was the same backend indeed


@pytest.mark.parametrize("steps", ENDED.values(), ids=ENDED)
def test_a_backend_with_an_open_transaction_is_ended(stand, backends, steps):
    leave_behind(stand, steps)
    wait_for(lambda: not backends())
    check_nothing_is_left(stand)


@pytest.mark.parametrize(
    "last",
    [
        sent(Query(b"SELECT count(*) FROM generate_series(1, 100000000)")),
        sent(Parse(b"x", b"SELECT 1", ()), Bind(b"", b"x", (), (), ()), Execute(b"", 0)),
        sent(Parse(b"x", b"SELECT pg_sleep(9)", ())),  # refused: what follows is skipped until a Sync
        sent(Query(b"SELECT 1")) * 200,
    ],
)
def test_a_session_that_left_with_something_under_way_leaves_no_backend(stand, backends, last):
    with Wire(stand.port) as wire:
        wire.login().send(last + BYE)
        wire.until_closed()
    wait_for(lambda: all(pid in discarded(backends) for pid in backends()))
    check_nothing_is_left(stand)


def test_an_answered_segment_without_its_sync_is_cleaned_all_the_same(stand, backends):
    with Wire(stand.port) as wire:
        wire.login()
        wire.send(
            sent(
                Parse(b"left_over", b"SELECT name FROM seen", ()),
                Bind(b"left_over", b"left_over", (), (), ()),
                Describe(b"P", b"left_over"),
                Execute(b"left_over", 1),
                Close(b"P", b"nothing"),
                Flush(),
            )
        )
        while not isinstance(wire.message(), be.DataRow):
            pass
        time.sleep(0.1)
        wire.send(BYE)
        wire.until_closed()
    wait_for(lambda: all(pid in discarded(backends) for pid in backends()))
    check_nothing_is_left(stand)


def test_a_session_that_was_cancelled_leaves_no_backend(stand, backends):
    """A late cancel request would hit the next session."""
    with Wire(stand.port) as wire:
        wire.login()
        cancel(stand.port, *wire.key)
        time.sleep(0.2)
        wire.send(BYE)
        wire.until_closed()
    wait_for(lambda: not backends())


def test_a_session_that_was_killed_leaves_no_backend_and_empties_the_pool(stand, backends):
    use(stand)
    wait_for(lambda: discarded(backends))
    with Wire(stand.port) as wire, Wire(stand.port) as other:
        wire.login()
        other.login("bob")
        session = stand.entries("SessionOpened")[-1].session
        stand.provisioner.append(
            SessionKilled(time="2026-11-21T10:00:00Z", actor="operator", session=session, by="me", reason="")
        )
        assert states(other.until_closed()) == ["57P01"]
        wait_for(lambda: len(backends()) == 1)
        wire.send(sent(Query(b"SELECT 1")))
        assert rows(wire.until_ready()) == [(b"1",)]


def test_there_are_never_more_than_so_many(stand, backends):
    held = [Wire(stand.port).login() for _ in range(MOST + 3)]
    for each in held:
        each.send(BYE)
        each.until_closed()
        each.socket.close()
    wait_for(lambda: len(backends()) <= MOST)
    wait_for(lambda: discarded(backends) == set(backends()))


def test_a_backend_that_ended_meanwhile_is_not_handed_out(stand, backends, database):
    use(stand)
    wait_for(lambda: discarded(backends))
    (kept,) = discarded(backends)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [kept])
    with Wire(stand.port) as wire:
        wire.login().send(sent(Query(b"SELECT 1")))
        assert rows(wire.until_ready()) == [(b"1",)]
        assert kept not in backends()
