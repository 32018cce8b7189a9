"""Limits of time and number, on a real worker: who holds on, floods, or hoards sessions."""

import contextlib
import os
import time

import pytest
from tests.attacks.test_wire import drop_database, make_database
from tests.attacks.wire_stand import PASSWORD, Stand, Wire, rows, states, wait_for

from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import Bind, Execute, Parse, Query, Sync, serialise_frontend

IDLE = 2.0
WHOLE = 6.0
LIMITS = {
    "idle_seconds": IDLE,
    "session_seconds": WHOLE,
    "statements_per_minute": 200,
    "evidence_bytes_per_minute": 400_000,
    "sessions_per_principal": 3,
}


@pytest.fixture(scope="module")
def stand(postgres_server):
    name = f"limits_{os.getpid()}"
    with Stand(make_database(postgres_server, name), limits=LIMITS) as made:
        yield made
        assert "Error" not in made.log()
    drop_database(postgres_server, name)


def query(sql):
    return serialise_frontend(Query(sql))


def outcomes(stand):
    return [each.outcome for each in stand.entries("SessionEnded")]


def told(wire):
    """What the client is told at the end, and when."""
    begun = time.monotonic()
    errors = [each for each in wire.until_closed() if isinstance(each, be.ErrorResponse)]
    assert [each.fields["S"] for each in errors] == [b"FATAL"]
    assert errors[0].fields["H"]
    return errors[0].fields["C"].decode(), time.monotonic() - begun


@pytest.mark.parametrize(
    ("first", "state"),
    [
        (b"", "57P05"),
        (query(b"SELECT 1"), "57P05"),
        (query(b"BEGIN"), "25P03"),
        (serialise_frontend(Parse(b"", b"SELECT 1", ())), "57P05"),  # a segment that is never finished
        (query(b"SELECT 1")[:-3], "57P05"),  # a message that is never finished
    ],
)
def test_who_does_nothing_is_let_go(stand, first, state):
    with Wire(stand.port) as wire:
        wire.login().send(first)
        said, seconds = told(wire)
        assert said == state
        assert seconds > IDLE - 1.1
    wait_for(lambda: "idle" in outcomes(stand))


def test_a_long_query_is_not_idle_and_every_session_has_an_end(stand):
    with Wire(stand.port) as wire:
        begun = time.monotonic()
        wire.login("bob").send(query(b"SELECT count(*) FROM generate_series(1, 900000000)"))
        assert told(wire)[0] == "53400"
        assert time.monotonic() - begun > WHOLE - 1.1
    wait_for(lambda: "limit of time" in outcomes(stand))


def test_a_flood_ends_and_is_on_record(stand):
    with Wire(stand.port) as wire:
        wire.login().send(query(b"SELECT 1") * 400)
        assert told(wire)[0] == "53400"
    wait_for(lambda: "limit of statements" in outcomes(stand))
    (ended,) = [each for each in stand.entries("SessionEnded") if each.outcome == "limit of statements"]
    assert ended.statements > LIMITS["statements_per_minute"]


def refused(stand, user):
    with Wire(stand.port) as wire:
        wire.startup(user)
        answer = wire.authenticate()
        return states([answer])


def test_a_principal_has_so_many_sessions_and_no_more(stand):
    held = [Wire(stand.port).login() for _ in range(LIMITS["sessions_per_principal"])]
    try:
        assert refused(stand, "alice") == ["53300"]
        with Wire(stand.port) as other:
            other.login("bob").send(query(b"SELECT name FROM seen WHERE id = 7"))
            assert rows(other.until_ready()) == [(b"name 7",)]
        (refusal,) = stand.entries("SessionRefused")
        assert refusal.sqlstate == "53300"
        held.pop().socket.close()
        wait_for(lambda: refused_or_none(stand) is None)
    finally:
        for each in held:
            each.socket.close()


def refused_or_none(stand):
    with Wire(stand.port) as wire:
        wire.startup("alice")
        answer = wire.authenticate(PASSWORD)
        return None if isinstance(answer, be.Authentication) else states([answer])


def test_seats_of_sessions_that_never_began_are_given_back(stand):
    """Clients that go away in the middle of their opening, many more than there are seats."""
    for _ in range(12):
        with Wire(stand.port) as wire:
            wire.startup("bob")
            wire.message()
        wire = Wire(stand.port)
        wire.startup("bob")
        wire.authenticate()
        wire.socket.close()
    wait_for(lambda: not refused(stand, "bob"))


# last in this file: what a principal's sessions put into evidence counts against its next one
@pytest.mark.parametrize("how", ["texts", "parameters", "refused"])
def test_who_fills_the_evidence_is_let_go(stand, how):
    long = b"x" * 100_000
    sent = {
        "texts": query(b"SELECT 1 /*" + long + b"*/") * 8,
        "refused": query(b"SELECT pg_sleep(1) /*" + long + b"*/") * 8,
        "parameters": serialise_frontend(Parse(b"", b"SELECT $1::text", ()))
        + (serialise_frontend(Bind(b"", b"", (), (long,), ())) + serialise_frontend(Execute(b"", 1))) * 8
        + serialise_frontend(Sync()),
    }[how]
    before = outcomes(stand).count("limit of evidence")
    with Wire(stand.port) as wire:
        wire.login({"texts": "alice", "parameters": "bob", "refused": "alice"}[how]).send(sent)
        errors = [each.fields for each in wire.until_closed() if isinstance(each, be.ErrorResponse)]
    assert (errors[-1]["S"], errors[-1]["C"]) == (b"FATAL", b"53400")
    wait_for(lambda: outcomes(stand).count("limit of evidence") > before)


FLOOD_MOST = 64 << 20  # what both kernels' buffers hold, and what a few turns of the gateway's loop read


def sent_after_the_end(wire):
    """Bytes that a client can send after it was told that its session is over, until it is cut off."""
    sent, junk = 0, query(b"SELECT '" + b"x" * 60_000 + b"'")
    with contextlib.suppress(OSError):
        while True:
            sent += wire.socket.send(junk)
    return sent


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("end", ["limit", "policy"])
def test_who_goes_on_sending_after_the_end_is_not_read(stand, encrypted, end):
    with Wire(stand.port, timeout=60.0) as wire:
        (wire.tls() if encrypted else wire).login("bob")
        if end == "limit":
            wire.send(query(b"SELECT 1") * 400)
        else:
            anew = {"time": "2026-11-20T10:00:00.000000Z", "actor": "operator", "name": "bob"}
            facts = {"country": "IE", "employer": "e", "role": "r"}
            stand.provisioner.append(PrincipalRegistered(**anew, **facts))
        while not isinstance(wire.message(), be.ErrorResponse):
            pass
        assert sent_after_the_end(wire) < FLOOD_MOST
    with Wire(stand.port) as other:  # and nobody else notices
        other.login().send(query(b"SELECT name FROM seen WHERE id = 7"))
        assert rows(other.until_ready()) == [(b"name 7",)]
