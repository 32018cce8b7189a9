"""Attacks on the wire (class 5): bytes that no library sends, against a real worker and a real server."""

import os
import socket
import time

import psycopg
import pytest
from psycopg import sql
from tests.attacks.wire_stand import MARKER, Stand, Wire, rows, states, wait_for

from ringfort.ledger.entry_control import PolicyActivated, PrincipalRegistered, PrincipalRemoved
from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import (
    Bind,
    CopyData,
    CopyDone,
    Describe,
    Execute,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Terminate,
    serialise_frontend,
)
from ringfort.pgwire.startup import (
    CancelRequest,
    serialise_startup,
)


def sent(*items):
    return b"".join(map(serialise_frontend, items))


def make_database(server, name):
    with psycopg.connect(server.admin_dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server.admin_dsn(name)


def drop_database(server, name):
    with psycopg.connect(server.admin_dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for (role,) in connection.execute(
            r"SELECT rolname FROM pg_roles WHERE rolname LIKE 'rf\_%'"
        ).fetchall():
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture(scope="module")
def database(postgres_server):
    name = f"wire_{os.getpid()}"
    yield make_database(postgres_server, name)
    drop_database(postgres_server, name)


@pytest.fixture(scope="module")
def stand(database):
    with Stand(database, startup_seconds=1.0, limits={"rows_per_session": 5_000}) as stand:
        yield stand
        assert "Error" not in stand.log()


@pytest.fixture
def wire(stand):
    with Wire(stand.port) as wire:
        yield wire.login()


def still_serves(stand):
    with Wire(stand.port) as other:
        other.login().send(sent(Query(b"SELECT name FROM seen WHERE id = 7")))
        assert rows(other.until_ready()) == [(b"name 7",)]


# -- framing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"Q\0\0\0\x03",
        b"Q\0\0\0\0",
        b"Q\xff\xff\xff\xff",
        b"Q\x80\0\0\0",
        b"Q\0\0\0\x09SELEC",
        b"Q\0\0\0\x0dSEL\0ECT 1",
        b"P\0\0\0\x06\0\0",
        b"B\0\0\0\x0c\0\0\0\0\0\x01\0\0",
        b"B\0\0\0\x10\0\0\0\0\0\x01\xff\xff\xff\x00\0\0",
        b"S\0\0\0\x05x",
        b"D\0\0\0\x06Xa",
        b"p\0\0\0\x08abcd",
        b"\0\0\0\0\0",
        b"z\0\0\0\x04",
    ],
)
def test_malformed_messages_end_the_session(stand, wire, data):
    wire.send(data)
    assert states(wire.until_closed()) == ["08P01"]
    still_serves(stand)


def test_a_bind_whose_length_wraps_around_smuggles_nothing(stand, wire):
    # pgx CVE-2024-27304: the length of a message of more than 4 GiB, modulo 2**32
    inner = sent(Query(b"SELECT secret FROM hidden"))
    wire.send(sent(Parse(b"", b"SELECT $1::text")) + b"B\0\0\0\x09\0\0\0\0\0" + inner + sent(Sync()))
    wire.until_closed()
    assert MARKER.encode() not in wire.received
    still_serves(stand)


def test_messages_cut_at_every_byte(wire):
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    text = sent(
        Parse(b"", b"SELECT name FROM seen WHERE id = $1"),
        Bind(b"", b"", (), (b"3",)),
        Describe(b"P", b""),
        Execute(b""),
        Sync(),
    )
    for octet in text:
        wire.send(bytes([octet]))
    assert rows(wire.until_ready()) == [(b"name 3",)]


def test_a_statement_of_many_megabytes_is_dropped_as_it_comes(stand, wire):
    text = b"SELECT '" + b"x" * 20_000_000 + b"'"
    wire.send(sent(Query(text), Query(b"SELECT 1")))
    assert states(wire.until_ready()) == ["54000"]
    assert rows(wire.until_ready()) == [(b"1",)]
    with open(f"/proc/{stand.worker.pid}/status") as status:  # noqa: PTH123
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 200_000


# -- the conversation --------------------------------------------------------------------------------


def test_a_refused_statement_fails_its_transaction_as_in_postgresql(wire):
    for text, state, status in [
        (b"BEGIN", [], b"T"),
        (b"SELECT 1", [], b"T"),
        (b"DELETE FROM seen", ["42501"], b"E"),
        (b"SELECT 1", ["25P02"], b"E"),
        (b"ROLLBACK", [], b"I"),
        (b"DELETE FROM seen", ["42501"], b"I"),
        (b"SELECT 1", [], b"I"),
    ]:
        wire.send(sent(Query(text)))
        answers = wire.until_ready()
        got = states(answers)
        assert (bool(got), answers[-1].status) == (bool(state), status), text


def test_everything_is_skipped_until_sync(wire):
    wire.send(
        sent(
            Parse(b"a", b"DELETE FROM seen"),
            Bind(b"", b"a"),
            Execute(b""),
            Query(b"SELECT name FROM seen"),
            Parse(b"b", b"SELECT 1"),
            Sync(),
            Parse(b"c", b"SELECT 2"),
            Bind(b"", b"c"),
            Execute(b""),
            Sync(),
        )
    )
    first, second = wire.until_ready(), wire.until_ready()
    assert (len(states(first)), rows(first), rows(second)) == (1, [], [(b"2",)])
    wire.send(sent(Bind(b"", b"b"), Sync()))
    assert states(wire.until_ready()) == ["26000"]


def test_pipelined_segments_answer_in_order(wire):
    wire.send(
        b"".join(
            sent(Parse(b"", b"SELECT %d" % number), Bind(b"", b""), Execute(b""), Sync())
            for number in range(50)
        )
    )
    assert [rows(wire.until_ready()) for _ in range(50)] == [[(b"%d" % number,)] for number in range(50)]


def test_a_portal_is_fetched_in_parts(stand, wire):
    wire.send(sent(Query(b"BEGIN"), Parse(b"", b"SELECT id FROM seen ORDER BY id"), Bind(b"p", b""), Sync()))
    wire.until_ready()
    wire.until_ready()
    wire.send(sent(Execute(b"p", 2), Execute(b"p", 2), Sync()))
    assert rows(wire.until_ready()) == [(b"1",), (b"2",), (b"3",), (b"4",)]
    wire.send(sent(Query(b"COMMIT"), Execute(b"p", 2), Sync()))
    wire.until_ready()
    assert states(wire.until_ready()) == ["34000"]


def test_the_unnamed_statement_is_replaced(wire):
    wire.send(
        sent(
            Parse(b"", b"SELECT 1"),
            Sync(),
            Parse(b"", b"SELECT 2"),
            Sync(),
            Bind(b"", b""),
            Execute(b""),
            Sync(),
        )
    )
    answers = [wire.until_ready() for _ in range(3)]
    assert rows(answers[2]) == [(b"2",)]


def test_a_function_call_is_never_made(wire):
    oid = 2923  # query_to_xml
    argument = b"SELECT secret FROM hidden"
    body = oid.to_bytes(4, "big") + b"\0\0\0\1" + len(argument).to_bytes(4, "big") + argument + b"\0\0"
    wire.send(sent(FunctionCall(body)))
    assert states(wire.until_ready()) == ["0A000"]
    assert MARKER.encode() not in wire.received


def test_copy_messages_outside_of_copy_are_ignored(wire):
    wire.send(
        sent(CopyData(b"1\tx\n"), CopyDone(), Query(b"COPY seen FROM STDIN"), CopyData(b"1\tx\n"), CopyDone())
    )
    assert len(states(wire.until_ready())) == 1
    wire.send(sent(Sync(), Query(b"SELECT count(*) FROM seen")))
    wire.until_ready()
    assert rows(wire.until_ready()) == [(b"1000",)]


def test_errors_echo_no_values(wire):
    for text, state in [
        (b"SELECT name::int FROM seen", "22P02"),
        (b"SELECT 1/0", "22012"),
        (b"SELECT secret FROM hidden", None),
        (b"SELECT nothing FROM seen", "42703"),
    ]:
        before = len(wire.received)
        wire.send(sent(Query(text)))
        got = states(wire.until_ready())
        assert len(got) == 1
        assert state in {None, got[0]}
        assert b"name 1" not in wire.received[before:]
    assert MARKER.encode() not in wire.received


def test_copy_out_streams(wire):
    wire.send(sent(Query(b"COPY (SELECT * FROM seen ORDER BY id LIMIT 3) TO STDOUT")))
    answers = wire.until_ready()
    assert [each.data for each in answers if isinstance(each, be.CopyData)] == [
        b"1\tname 1\n",
        b"2\tname 2\n",
        b"3\tname 3\n",
    ]


def test_the_row_limit_is_exact_and_ends_the_session(stand, wire):
    wire.send(sent(Query(b"SELECT a.id FROM seen a, seen b, seen c")))
    answers = wire.until_closed()
    assert len(rows(answers)) == 5_000
    assert states(answers) == ["53400"]
    wait_for(lambda: [each for each in stand.entries("SessionEnded") if each.outcome == "limit of rows"])


def test_a_client_that_never_reads_costs_little(stand):
    with Wire(stand.port) as wire:
        wire.login()
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.send(sent(Query(b"SELECT repeat('x', 100000) FROM seen")))
        time.sleep(0.5)
        with open(f"/proc/{stand.worker.pid}/status") as status:  # noqa: PTH123
            now = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        assert now < 200_000
        still_serves(stand)


def test_goodbye_ends_the_session(wire):
    wire.send(sent(Terminate()))
    assert wire.until_closed() == []


# -- cancel ------------------------------------------------------------------------------------------


def cancel(port, process, secret):
    with Wire(port) as other:
        other.send(serialise_startup(CancelRequest(process, secret)))
        assert other.until_closed() == []


def test_cancel_reaches_only_the_session_that_it_names(stand, wire):
    slow = sent(Query(b"SELECT count(*) FROM seen a, seen b, seen c WHERE a.id + b.id + c.id < 0"))
    process, secret = wire.key
    with Wire(stand.port) as victim:
        victim.login().send(slow)
        wire.send(slow)
        cancel(stand.port, process, bytes([secret[0] ^ 1]) + secret[1:])
        cancel(stand.port, process, secret + b"\0")
        cancel(stand.port, victim.key[0], secret)
        cancel(stand.port, process ^ 1, secret)
        assert wire.is_quiet()
        cancel(stand.port, process, secret)
        assert states(wire.until_ready()) == ["57014"]
        assert victim.is_quiet()
        cancel(stand.port, *victim.key)
        assert states(victim.until_ready()) == ["57014"]


def test_keys_are_the_gateways_own_and_not_guessable(stand):
    keys = set()
    for _ in range(4):
        with Wire(stand.port) as wire:
            keys.add(wire.login().key)
    assert len({process for process, _ in keys}) == len({secret for _, secret in keys}) == 4


# -- the ground of a session -------------------------------------------------------------------------


def test_a_changed_registration_ends_the_session_at_once(stand):
    own = {"time": "2026-11-21T10:00:00Z", "actor": "operator"}
    facts = {"name": "bob", "employer": "e", "role": "r"}
    with Wire(stand.port) as wire, Wire(stand.port) as other:
        wire.login("bob")
        other.login("alice")
        wire.send(sent(Query(b"SELECT count(*) FROM seen a, seen b, seen c WHERE a.id + b.id + c.id < 0")))
        time.sleep(0.1)
        stand.provisioner.append(PrincipalRegistered(**own, **facts, country="CN"))
        assert states(wire.until_closed()) == ["57P01"]
        other.send(sent(Query(b"SELECT 1")))
        assert rows(other.until_ready()) == [(b"1",)]
    stand.provisioner.append(PrincipalRemoved(**own, name="bob"))
    with Wire(stand.port) as wire:
        wire.startup("bob")
        assert states([wire.authenticate()]) == ["28P01"]
    stand.provisioner.append(PrincipalRegistered(**own, **facts, country="US"))


def test_a_changed_policy_ends_every_session_and_the_next_one_works(stand):
    own = {"time": "2026-11-21T10:00:00Z", "actor": "operator"}
    with Wire(stand.port) as wire:
        wire.login()
        digest = stand.provisioner._state.policy
        stand.provisioner.append(PolicyActivated(**own, bundle=digest, evaluator="simulated 2"))
        assert states(wire.until_closed()) == ["57P01"]
    still_serves(stand)


# -- what is on record -------------------------------------------------------------------------------


def test_everything_is_on_record(stand):
    def count(kind):
        return len(stand.entries(kind))

    before = {kind: count(kind) for kind in ("AuthenticationFailed", "SessionRefused", "StatementRefused")}
    opened = count("SessionOpened")
    with Wire(stand.port) as wire:
        wire.startup("alice")
        wire.authenticate(password="wrong")
    with Wire(stand.port) as wire:
        wire.startup(options="-c role=postgres")
        wire.authenticate()
    with Wire(stand.port) as wire:
        wire.login().send(sent(Query(b"DROP TABLE seen"), Query(b"SELECT id FROM seen LIMIT 4")))
        wire.until_ready()
        wire.until_ready()
    assert {kind: count(kind) - number for kind, number in before.items()} == {
        "AuthenticationFailed": 1,
        "SessionRefused": 1,
        "StatementRefused": 1,
    }
    assert count("SessionOpened") == opened + 1
    session = stand.entries("SessionOpened")[-1]
    assert [(each.source, each.country) for each in session.viewer] == [
        ("registration", "IE"),
        ("network zone", ""),
    ]
    assert session.viewing_country == "ZZ"
    wait_for(lambda: any(each.session == session.session for each in stand.entries("SessionEnded")))
    ended = [each for batch in stand.entries("StatementsEnded") for each in batch.ended]
    mine = [(each.seq, each.rows, each.outcome) for each in ended if each.session == session.session]
    assert mine == [(2, 4, "complete")]
