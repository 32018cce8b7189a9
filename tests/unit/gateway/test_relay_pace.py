"""How much a relay holds and reads on: limits, back-pressure, and what must wait."""

import asyncio

import pytest
from tests.unit.gateway.simulators import READY, Bench, wire
from tests.unit.gateway.test_relay import DONE, FAILED, ROW, SELECT, _until, errors, sent

from ringfort.gateway.forwarding import EVIDENCE_MOST, OWED_MOST
from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import (
    Bind,
    Close,
    Execute,
    Flush,
    Parse,
    Query,
    Sync,
)


def test_the_row_limit_ends_the_session_after_exactly_that_many_rows():
    bench = Bench(row_limit=3)
    bench.relay.from_client(sent(SELECT))
    bench.answer(*[ROW] * 10)
    assert bench.ended == []
    assert not bench.site.reading
    bench.ledger.settle()
    received = bench.client.take()
    assert received.count(b"secret") == 3
    assert errors(received) == ["53400"]
    assert bench.ended == [("limit of rows", True)]
    assert bench.ends() == [(1, 3, "cut")]


def test_the_site_is_not_read_on_while_much_is_held():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    row = be.DataRow((b"x" * 50_000,))
    for _ in range(6):
        bench.answer(row)
    assert not bench.site.reading
    bench.ledger.settle()
    assert bench.site.reading
    assert len(bench.client.take()) == 6 * len(wire(row))


def test_back_pressure_goes_both_ways():
    bench = Bench()
    bench.relay.client_takes(False)
    assert not bench.site.reading
    bench.relay.client_takes(True)
    assert bench.site.reading
    bench.relay.site_takes(False)
    assert not bench.client.reading
    bench.relay.site_takes(True)
    assert bench.client.reading


def test_a_client_that_runs_ahead_is_not_read_on():
    bench = Bench()
    bench.relay.from_client(sent(SELECT) * (OWED_MOST + 2))
    while bench.ledger.waiting:
        bench.ledger.settle()
    assert not bench.client.reading
    bench.answer(*[DONE, READY] * 10)
    assert bench.client.reading


def test_a_client_that_sends_while_a_statement_waits_is_not_read_on():
    bench = Bench()
    bench.relay.from_client(sent(Query(b"BEGIN")))
    for _ in range(5):
        if bench.client.reading:
            bench.relay.from_client(sent(SELECT) * 1_000)
    assert not bench.client.reading
    while bench.ledger.waiting:
        bench.ledger.settle()
    assert bench.relay._forwarder._reader.buffered < 5


def test_a_client_that_was_stopped_in_the_middle_of_a_message_is_read_on():
    """What waits is gone, the rest of the message is still with the client: nobody else would resume it."""

    async def scenario():
        bench = Bench(known=False)
        data = sent(Parse(b"", b"SELECT $1", ()), Bind(b"", b"", (), (b"x" * 300_000,), ()))
        bench.relay.from_client(data[:100_000])
        assert not bench.client.reading
        await _until(lambda: bench.client.reading)
        bench.relay.from_client(data[100_000:])
        assert bench.site.take() == data

    asyncio.run(scenario())


def test_a_client_that_was_stopped_for_a_record_is_read_on():
    bench = Bench()
    data = sent(Query(b"BEGIN"), Parse(b"s", b"SELECT $1", ()), Bind(b"", b"s", (), (b"x" * 300_000,), ()))
    bench.relay.from_client(data[:100_000])
    assert not bench.client.reading
    bench.ledger.settle()
    assert bench.client.reading


def test_a_site_that_keeps_short_answers_is_asked_for_them():
    """PostgreSQL sends at a Sync, a Flush or 8 KiB; more than a thousand answers may be shorter than that."""
    bench = Bench()
    bench.relay.from_client(sent(Close(b"S", b"none")) * (OWED_MOST + 1))
    assert not bench.client.reading
    assert bench.site.take().endswith(sent(Flush()))
    bench.answer(*[be.Simple(b"3")] * (OWED_MOST + 1))
    assert bench.client.reading


@pytest.mark.parametrize("pieces", [1, 2, 400])
def test_few_bytes_that_stand_for_many_wait_for_their_records(pieces):
    """Each Execute is recorded with the values of its portal."""
    bench = Bench()
    data = sent(
        Parse(b"", b"SELECT $1"), Bind(b"", b"", (), (b"x" * 100_000,)), *[Execute(b"", 1)] * 300, Sync()
    )
    size = len(data) // pieces + 1
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    most = 0
    while len(bench.ledger.entries) < 300 or bench.ledger.waiting:
        while chunks and bench.client.reading:
            bench.relay.from_client(chunks.pop(0))
        waiting = bench.ledger.evidence[len(bench.ledger.evidence) - len(bench.ledger.waiting) :]
        most = max(most, sum(map(len, waiting)))
        bench.ledger.settle(1)
    assert most <= EVIDENCE_MOST + 110_000
    assert bench.site.take() == data


def test_texts_wait_for_their_records_alike_when_each_comes_alone():
    bench = Bench()
    for _ in range(20):
        if bench.client.reading:
            bench.relay.from_client(sent(Query(b"SELECT '" + b"x" * 60_000 + b"'")))
    waiting = sum(map(len, bench.ledger.evidence))
    assert waiting <= EVIDENCE_MOST + 70_000
    while bench.ledger.waiting:
        bench.ledger.settle()
    assert bench.client.reading


def test_values_under_one_name_again_and_again_wait_for_the_site():
    """What a name held before is kept until the site has answered: it may have to come back."""
    bench = Bench()
    bench.relay.from_client(sent(Parse(b"s", b"SELECT $1")))
    bind = sent(Bind(b"", b"s", (), (b"x" * 900_000,)))
    for _ in range(10):
        if bench.client.reading:
            bench.relay.from_client(bind)
    assert not bench.client.reading
    forwarded = bench.site.take()
    assert forwarded.count(bind) == 4
    assert forwarded.endswith(sent(Flush()))
    bench.answer(be.Simple(b"1"), *[be.Simple(b"2")] * 4)
    assert bench.client.reading
    assert bench.site.take().count(bind) == 1


def test_names_hold_so_many_bytes_and_no_more():
    bench = Bench()
    bench.relay.from_client(sent(Parse(b"s", b"SELECT $1"), Sync()))
    bench.answer(be.Simple(b"1"), READY)
    refused = 0
    for number in range(30):
        bench.relay.from_client(sent(Bind(b"p%d" % number, b"s", (), (b"x" * 900_000,)), Flush()))
        refused += b"x" not in bench.site.take()
        if refused:
            break
        bench.answer(be.Simple(b"2"))
    assert 15 <= number <= 19
    bench.answer(FAILED)
    assert errors(bench.client.take()) == ["54000"]
    bench.relay.from_client(sent(Sync(), Close(b"P", b"p1"), Close(b"P", b"p2"), Sync()))
    bench.answer(be.ReadyForQuery(b"T"))
    bench.answer(be.Simple(b"3"), be.Simple(b"3"), be.ReadyForQuery(b"T"))
    bench.site.take()
    bench.relay.from_client(sent(Bind(b"again", b"s", (), (b"x" * 900_000,)), Flush()))
    assert b"xxx" in bench.site.take()


def test_a_message_over_the_limit_is_refused_in_bounded_memory():
    bench = Bench(message_bytes=10_000)
    bench.relay.from_client(b"Q" + (50_000_004).to_bytes(4, "big"))
    for _ in range(50):
        bench.relay.from_client(b"x" * 1_000_000)
        assert bench.relay._forwarder._reader.buffered < 10
    bench.relay.from_client(sent(SELECT))
    bench.answer(FAILED, READY, ROW, DONE, READY)
    bench.ledger.settle()
    received = bench.client.take()
    assert errors(received) == ["54000"]
    assert b"secret" in received
