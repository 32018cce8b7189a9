"""Hostile bytes before a session is open: startup packets, encryption requests, authentication."""

import os
import random
import time

import pytest
from tests.attacks.test_wire import drop_database, make_database, sent, still_serves
from tests.attacks.wire_stand import ClosedError, Stand, Wire, states

from ringfort.pgwire import backend as be
from ringfort.pgwire.fields import INT32, message, string
from ringfort.pgwire.frontend import (
    Query,
)
from ringfort.pgwire.startup import (
    PROTOCOL_3_2,
    GssEncRequest,
    SslRequest,
    StartupMessage,
    serialise_startup,
)


@pytest.fixture(scope="module")
def stand(postgres_server):
    name = f"startup_{os.getpid()}"
    with Stand(make_database(postgres_server, name), startup_seconds=1.0) as made:
        yield made
    drop_database(postgres_server, name)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x03\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\x27\x11\0\x03\0\0",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        random.Random(64).randbytes(64),
    ],
)
def test_bytes_that_are_no_startup_packet_are_not_answered(stand, data):
    with Wire(stand.port) as wire:
        wire.send(data)
        wire.until_closed()
        assert not wire.received or wire.received.startswith(b"E")
    still_serves(stand)


def test_plaintext_behind_an_encryption_request_is_refused(stand):
    startup = serialise_startup(StartupMessage(0, ((b"user", b"alice"), (b"database", b"x"))))
    for request in (SslRequest(), GssEncRequest()):
        with Wire(stand.port) as wire:
            wire.send(serialise_startup(request) + startup)
            assert states(wire.until_closed()) == ["08P01"]
            assert wire.received[:1] != b"S"


def test_encryption_requests_in_every_order(stand):
    with Wire(stand.port) as wire:
        wire.send(serialise_startup(GssEncRequest()))
        assert wire.octet() == b"N"
        wire.tls().login()
    with Wire(stand.port) as wire:
        wire.send(serialise_startup(GssEncRequest()))
        assert wire.octet() == b"N"
        wire.send(serialise_startup(GssEncRequest()))
        assert states(wire.until_closed()) == ["08P01"]
    with Wire(stand.port) as wire:
        wire.tls().send(serialise_startup(SslRequest()))
        assert states(wire.until_closed()) == ["08P01"]


def test_a_slow_start_is_cut_off(stand):
    packet = serialise_startup(StartupMessage(0, ((b"user", b"alice"),)))
    cut_off = (BrokenPipeError, ConnectionResetError, ClosedError)
    with Wire(stand.port) as wire, pytest.raises(cut_off):  # noqa: PT012 - one of many sends
        for octet in packet + b"\0" * 100:
            wire.send(bytes([octet]))
            time.sleep(0.08)
        wire.until_closed()
        raise ClosedError


def test_other_protocol_versions(stand):
    with Wire(stand.port) as wire:
        wire.send(b"\0\0\0\x09\0\x02\0\0\0")
        assert states(wire.until_closed()) == ["0A000"]
    with Wire(stand.port) as wire:
        wire.startup(minor=2, **{"_pq_.something": "on"})
        answer = wire.message()
        assert answer == be.NegotiateProtocolVersion(PROTOCOL_3_2, (b"_pq_.something",))
        assert wire.authenticate().code == be.AUTH_OK


@pytest.mark.parametrize(
    "options",
    [
        "-c role=postgres",
        "-c search_path=public",
        "-c session_authorization=postgres",
        "-c log_statement=all",
    ],
)
def test_settings_that_would_change_the_session_are_refused(stand, options):
    with Wire(stand.port) as wire:
        wire.startup(options=options)
        assert states([wire.authenticate()])[0] in {"42501", "0A000"}
        assert wire.until_closed() == []


def test_replication_is_refused(stand):
    with Wire(stand.port) as wire:
        wire.startup(replication="true")
        assert states([wire.authenticate()]) == ["42501"]


def test_an_unknown_user_and_a_wrong_password_look_the_same(stand):
    seen = []
    for user in ("alice", "nobody"):
        with Wire(stand.port) as wire:
            wire.startup(user)
            error = wire.authenticate(password="wrong")
            seen.append(error.fields)
            assert wire.until_closed() == []
    assert seen[0] == seen[1]
    assert seen[0]["C"] == b"28P01"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"plain password\0",
        string(b"SCRAM-SHA-256"),
        string(b"SCRAM-SHA-256") + INT32.pack(-1),
        string(b"SCRAM-SHA-256") + INT32.pack(2**31 - 1) + b"n,,n=,r=x",
        string(b"SCRAM-SHA-256") + INT32.pack(9) + b"n,,n=,r=",
        string(b"SCRAM-SHA-256") + INT32.pack(5000) + b"n,,n=,r=" + b"x" * 4992,
        string(b"SCRAM-SHA-256-PLUS") + INT32.pack(9) + b"n,,n=,r=x",
        string(b"SCRAM-SHA-256") + INT32.pack(24) + b"p=tls-unique,,n=,r=abcde",
    ],
)
def test_malformed_scram_gets_nowhere(stand, answer):
    with Wire(stand.port) as wire:
        wire.startup()
        assert wire.message().code == be.AUTH_SASL
        wire.send(message(b"p", answer))
        assert states(wire.until_closed())[0] in {"28P01", "08P01"}
    still_serves(stand)


def test_a_query_instead_of_a_password_is_refused(stand):
    with Wire(stand.port) as wire:
        wire.startup()
        wire.message()
        wire.send(sent(Query(b"SELECT name FROM seen")))
        assert states(wire.until_closed()) == ["08P01"]


def test_a_proof_cannot_be_replayed(stand):
    class Recorder(Wire):
        def send(self, data):
            self.__dict__.setdefault("said", []).append(data)
            return super().send(data)

    with Recorder(stand.port) as wire:
        wire.startup()
        assert wire.authenticate().code == be.AUTH_OK
        said = wire.said
    with Wire(stand.port) as thief:
        for each in said:
            thief.send(each)
        assert "28P01" in states(thief.until_closed())
