"""The conversation as a state machine: cut anywhere, fed with anything, beside a model of PostgreSQL."""

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.pgwire import backend as be
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.exchange import UNSETTLED, Exchange
from ringfort.pgwire.scanner import skip_run


def wire(*items):
    return b"".join(map(be.serialise_backend, items))


READY = be.ReadyForQuery(b"I")
ROW = be.DataRow((b"value",))
FAILURE = be.ErrorResponse({"V": b"ERROR", "C": b"22012", "M": b"division by zero"})

answers = st.lists(
    st.sampled_from(
        [
            be.RowDescription((be.Column(b"a"),)),
            ROW,
            ROW,
            be.CommandComplete(b"SELECT 1"),
            be.NoticeResponse({"V": b"NOTICE", "C": b"00000", "M": b"secret"}),
            be.ParameterStatus(b"TimeZone", b"UTC"),
            be.ParameterStatus(b"application_name", b"secret"),
            be.NotificationResponse(1, b"secret", b"secret"),
            be.CopyResponse(b"H", 0, (0,)),
            be.CopyData(b"1\n"),
            be.Simple(b"c"),
            FAILURE,
            READY,
        ]
    ),
    max_size=12,
)


def play(chunks, statements):
    exchange = Exchange()
    for number in range(1, statements + 1):
        exchange.query(number)
    out = b""
    for chunk in chunks:
        out += b"".join(exchange.receive(chunk))
        assert not exchange.mid_message
    return out, exchange.ended, exchange.rows, exchange.bytes, exchange.status


@given(answers, st.data())
def test_answers_are_the_same_wherever_they_are_cut(items, data):
    stream = wire(*items)
    statements = sum(1 for each in items if each == READY) + 1
    points = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    edges = [0, *points, len(stream)]
    whole = play([stream], statements)
    assert play([stream[a:b] for a, b in itertools.pairwise(edges)], statements) == whole
    assert play([bytes([octet]) for octet in stream], statements) == whole
    assert b"secret" not in whole[0]


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=80), max_size=6))
def test_random_bytes_from_a_site_are_refused(chunks):
    exchange = Exchange()
    exchange.query(1)
    try:
        for chunk in chunks:
            exchange.receive(chunk)
    except ProtocolViolationError:
        pass


def plain_run(data, position, end, kind, most):
    rows = 0
    while position + 5 <= end and rows < most:
        code, length = struct.unpack_from(">BI", data, position)
        if code != kind:
            break
        if length < (6 if kind == 0x44 else 4):
            raise ProtocolViolationError("length")
        if position + 1 + length > end:
            break
        position += 1 + length
        rows += 1
    return position, rows


@settings(max_examples=200)
@given(st.data())
def test_bulk_counting_is_plain_counting(data):
    # bodies full of bytes that look like headers
    pool = st.lists(
        st.sampled_from([b"D\0\0\0\x06", b"D\0\0\0", b"D\0\0\x01\0", b"d\0\0\0\x05", b"\0", b"xyz" * 9]),
        min_size=1,
        max_size=12,
    ).map(b"".join)
    bodies = data.draw(st.lists(pool, min_size=1, max_size=30)) * data.draw(st.integers(1, 8))
    stream = b"".join(b"D" + struct.pack(">I", len(b"\0\1" + body) + 4) + b"\0\1" + body for body in bodies)
    if data.draw(st.booleans()):
        stream += wire(be.CommandComplete(b"SELECT"))
    end = data.draw(st.integers(0, len(stream)))
    most = data.draw(st.sampled_from([1, 7, 10**9]))
    assert skip_run(stream, 0, end, 0x44, most) == plain_run(stream, 0, end, 0x44, most)


@pytest.mark.parametrize("size", [0, 1, 30, 250, 3_000, 66_000])
def test_long_runs(size):
    row = wire(be.DataRow((b"x" * size,)))
    stream = row * 500
    assert skip_run(stream, 0, len(stream), 0x44, 10**9) == (len(stream), 500)
    assert skip_run(stream, 0, len(stream) - 1, 0x44, 10**9) == (len(stream) - len(row), 499)
    assert skip_run(stream, 0, len(stream), 0x44, 321) == (321 * len(row), 321)


def test_an_impossible_length_in_a_run_is_refused():
    stream = wire(ROW) * 400 + b"D\0\0\0\x05" + wire(ROW) * 400
    with pytest.raises(ProtocolViolationError):
        skip_run(stream, 0, len(stream), 0x44, 10**9)


class Server:
    """A plain model of what PostgreSQL does with extended-query messages and names."""

    def __init__(self):
        self.statements = {}
        self.skipping = False
        self.out = []

    def send(self, step, fails):
        kind, name, value = step
        if self.skipping and kind != "sync":
            return
        if kind == "sync":
            self.skipping = False
            self.out.append(READY)
        elif fails or (kind == "bind" and name not in self.statements):
            self.skipping = True
            self.out.append(FAILURE)
        elif kind == "parse":
            if name and name in self.statements:
                self.skipping = True
                self.out.append(FAILURE)
            else:
                self.statements[name] = value
                self.out.append(be.Simple(b"1"))
        elif kind == "bind":
            self.out.append(be.Simple(b"2"))
        elif kind == "close":
            self.statements.pop(name, None)
            self.out.append(be.Simple(b"3"))


steps = st.lists(
    st.tuples(
        st.sampled_from(["parse", "parse", "bind", "bind", "close", "sync", "sync"]),
        st.sampled_from([b"", b"a", b"b"]),
        st.integers(0, 1000),
        st.sampled_from([False, False, False, True]),
        st.booleans(),
    ),
    max_size=30,
)


@settings(max_examples=400)
@given(steps)
def test_names_are_what_the_server_knows(script):
    """Whatever fails, however far the client runs ahead: a Bind that arrives meets what we think it does."""
    server, exchange = Server(), Exchange()

    def deliver():
        if server.out:
            exchange.receive(wire(*server.out))
            server.out.clear()

    for kind, name, value, failing, late in [*script, ("sync", b"", 0, False, False)]:
        fails = failing
        if not late:
            deliver()
        if exchange.skipping and kind != "sync":
            server.send((kind, name, value), fails)
            continue
        if kind in {"parse", "bind", "close"} and exchange.statement(name) is UNSETTLED:
            deliver()
            assert exchange.statement(name) is not UNSETTLED
        if exchange.skipping and kind != "sync":
            server.send((kind, name, value), fails)
            continue
        if kind == "parse":
            exchange.parse(name, value)
        elif kind == "bind":
            known = exchange.statement(name)
            if known is None:
                exchange.refuse_step(wire(FAILURE))
                fails = True
            else:
                exchange.bind(b"", known)
                if not server.skipping and name in server.statements and not fails:
                    assert server.statements[name] == known
        elif kind == "close":
            exchange.close_statement(name)
        else:
            exchange.sync()
        server.send((kind, name, value), fails)
    deliver()
    assert exchange.quiet
    assert {name: value for name, value in server.statements.items() if name} == {
        name: entry.value for name, entry in exchange.statements.items() if name
    }
