import asyncio
import hashlib

import pytest
from tests.unit.gateway.simulators import READY, Bench, wire

from ringfort.errors import RingfortError
from ringfort.pgwire import backend as be
from ringfort.pgwire.evidence import read_evidence
from ringfort.pgwire.frontend import (
    Bind,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Terminate,
    serialise_frontend,
)

ROW = be.DataRow((b"secret",))
DONE = be.CommandComplete(b"SELECT 1")
FAILED = be.ErrorResponse({"V": b"ERROR", "C": b"42601", "M": b"syntax error"})
SELECT = Query(b"SELECT a FROM t")


def sent(*items):
    return b"".join(map(serialise_frontend, items))


def errors(data):
    """SQLSTATEs of the ErrorResponses in what a client received."""
    found, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position + 1 : position + 5], "big")
        if data[position] == ord("E"):
            found.append(
                be.parse_backend(ord("E"), data[position + 5 : position + 1 + size]).fields["C"].decode()
            )
        position += 1 + size
    return found


def test_a_read_is_forwarded_at_once_and_its_answer_held_until_durable():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    assert bench.site.take() == sent(SELECT)
    bench.answer(ROW, DONE, READY)
    assert bench.client.take() == b""
    bench.ledger.settle()
    assert bench.client.take() == wire(ROW, DONE, READY)
    assert bench.ends() == [(1, 1, "complete")]


def test_an_answer_in_pieces_that_wait_for_the_record_ends_once():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.answer(ROW)
    bench.answer(DONE, READY)
    bench.ledger.settle()
    assert bench.client.take() == wire(ROW, DONE, READY)
    assert bench.ends() == [(1, 1, "complete")]


def test_an_answer_that_comes_after_the_record_is_passed_at_once():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.ledger.settle()
    bench.answer(ROW, DONE, READY)
    assert bench.client.take() == wire(ROW, DONE, READY)


def test_the_record_names_the_statement_and_its_evidence():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    entry, evidence = bench.ledger.entries[0], bench.ledger.evidence[0]
    assert (entry.TYPE, entry.session, entry.seq, entry.control, entry.kind) == (
        "StatementAdmitted", "s1", 1, 17, "read",
    )  # fmt: skip
    assert entry.evidence == hashlib.sha256(evidence).hexdigest()
    assert read_evidence(evidence[32:]).sql == b"SELECT a FROM t"


def test_what_is_no_read_waits_and_everything_behind_it():
    bench = Bench()
    bench.relay.from_client(sent(Query(b"BEGIN"), SELECT))
    assert bench.site.take() == b""
    assert len(bench.ledger.entries) == 1
    bench.ledger.settle()
    assert bench.site.take() == sent(Query(b"BEGIN"), SELECT)


def test_answers_are_released_in_order_as_their_records_become_durable():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.answer(ROW, DONE, READY)
    bench.relay.from_client(sent(SELECT))
    bench.answer(DONE, READY)
    bench.ledger.settle(1)
    assert bench.client.take() == wire(ROW, DONE, READY)
    bench.ledger.settle(1)
    assert bench.client.take() == wire(DONE, READY)


def test_a_record_that_fails_releases_nothing_and_ends_the_session():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.answer(ROW, DONE, READY)
    bench.ledger.settle(durable=False)
    received = bench.client.take()
    assert b"secret" not in received
    assert errors(received) == ["58030"]
    assert (bench.client.closed, bench.site.closed) == ("closed", "aborted")
    assert len(bench.ended) == 1


def test_a_ledger_that_refuses_within_the_call_forwards_nothing():
    bench = Bench()
    bench.relay.recorder._admit = lambda entry, evidence, done: done(False)
    bench.relay.from_client(sent(SELECT, SELECT))
    assert bench.site.take() == b""
    assert errors(bench.client.take()) == ["58030"]


def test_a_refused_query_is_recorded_and_fails_as_postgresql_would_fail_it():
    bench = Bench()
    bench.relay.from_client(sent(SELECT, Query(b"DROP TABLE t"), SELECT))
    forwarded = bench.site.take()
    assert b"DROP" not in forwarded
    assert forwarded.count(b"Q") >= 3
    bench.answer(ROW, DONE, READY, FAILED, READY, DONE, READY)
    assert bench.client.take() == b""
    bench.ledger.settle()
    received = bench.client.take()
    assert errors(received) == ["42501"]
    assert received.count(wire(READY)) == 3
    entry = bench.ledger.entries[1]
    assert (entry.TYPE, entry.seq, entry.reason) == ("StatementRefused", 2, "not on the list")
    assert read_evidence(bench.ledger.evidence[1][32:]).sql == b"DROP TABLE t"


def test_extended_statements_are_admitted_at_each_execute():
    bench = Bench()
    start = sent(Parse(b"s", b"SELECT $1"), Bind(b"p", b"s", (), (b"value",)), Describe(b"P", b"p"))
    bench.relay.from_client(start + sent(Execute(b"p", 1), Execute(b"p", 2), Flush(), Sync()))
    assert bench.site.take() == start + sent(Execute(b"p", 1), Execute(b"p", 2), Flush(), Sync())
    assert [entry.seq for entry in bench.ledger.entries] == [1, 2]
    first, second = (read_evidence(each[32:]) for each in bench.ledger.evidence)
    assert b"value" in first.bind
    assert (first.rows, second.rows) == (b"\0\0\0\1", b"\0\0\0\2")
    bench.answer(be.Simple(b"1"), be.Simple(b"2"), be.RowDescription(()), ROW, be.Simple(b"s"), DONE, READY)
    bench.ledger.settle(1)
    assert bench.client.take() == b""
    bench.ledger.settle(1)
    assert b"secret" in bench.client.take()
    assert bench.ends() == [(1, 1, "suspended"), (2, 0, "complete")]


def test_a_refused_parse_skips_to_sync():
    bench = Bench()
    bench.relay.from_client(sent(Parse(b"s", b"DROP TABLE t"), Bind(b"", b"s"), Execute(b""), Sync(), SELECT))
    forwarded = bench.site.take()
    assert b"DROP" not in forwarded
    bench.answer(FAILED, READY, ROW, DONE, READY)
    bench.ledger.settle()
    received = bench.client.take()
    assert errors(received) == ["42501"]
    assert received.endswith(wire(READY, ROW, DONE, READY))


def test_what_comes_after_an_error_and_before_sync_is_dropped():
    bench = Bench()
    bench.relay.from_client(sent(Parse(b"s", b"SELECT 1")))
    bench.answer(FAILED)
    bench.site.take()
    bench.relay.from_client(sent(Bind(b"", b"s"), Execute(b""), SELECT, Query(b"DROP TABLE t"), Sync()))
    assert bench.site.take() == sent(Sync())
    assert bench.ledger.entries == []


@pytest.mark.parametrize(
    ("message", "sqlstate"),
    [(Bind(b"", b"nowhere"), "26000"), (Execute(b"nowhere"), "34000"), (Execute(b""), "34000")],
)
def test_unknown_names_never_reach_the_site(message, sqlstate):
    bench = Bench()
    bench.relay.from_client(sent(message, Sync()))
    forwarded = bench.site.take()
    assert sent(message) not in forwarded
    bench.answer(FAILED, READY)
    assert errors(bench.client.take()) == [sqlstate]


def test_a_name_of_an_unanswered_segment_waits_for_its_answer():
    bench = Bench()
    bench.relay.from_client(sent(Parse(b"s", b"SELECT 1"), Sync(), Bind(b"", b"s"), Execute(b""), Sync()))
    assert bench.site.take() == sent(Parse(b"s", b"SELECT 1"), Sync())
    bench.answer(be.Simple(b"1"), READY)
    assert bench.site.take() == sent(Bind(b"", b"s"), Execute(b""), Sync())


def test_function_calls_are_refused_and_never_forwarded():
    bench = Bench()
    bench.relay.from_client(sent(FunctionCall(b"\0\0\x0b\x6b secret")))
    assert b"secret" not in bench.site.take()
    bench.answer(FAILED, READY)
    bench.ledger.settle()
    assert errors(bench.client.take()) == ["0A000"]
    assert bench.ledger.entries[0].TYPE == "StatementRefused"


def test_copy_messages_outside_of_copy_are_ignored():
    bench = Bench()
    bench.relay.from_client(sent(CopyData(b"x" * 50), CopyDone(), CopyFail(b"y"), SELECT))
    assert bench.site.take() == sent(SELECT)


def test_names_made_in_sql_do_not_mix_with_the_protocols():
    bench = Bench()
    bench.relay.from_client(sent(Query(b"PREPARE a AS SELECT 1")))
    bench.ledger.settle()
    bench.answer(DONE, READY)
    assert b"PREPARE" in bench.site.take()
    bench.relay.from_client(sent(Parse(b"n", b"SELECT 1"), Sync()))
    bench.answer(be.Simple(b"1"), READY)
    bench.relay.from_client(sent(Query(b"PREPARE n AS SELECT 2")))
    assert b"PREPARE" not in bench.site.take()
    assert bench.ledger.entries[-1].TYPE == "StatementRefused"


@pytest.mark.parametrize(
    "data",
    [
        b"Q\0\0\0\x03",
        b"Q\0\0\0\x08SELE",
        b"Q\0\0\0\x0aSE\0ECT",
        b"p\0\0\0\x04",
        b"S\0\0\0\x05x",
        b"P\0\0\0\x08a\0b\0",
        b"B\0\0\0\x08\0\0\0\0",
        b"E\0\0\0\x06\0\0",
        b"D\0\0\0\x06Qa",
        b"\xff\xff\xff\xff\xff\xff",
    ],
)
def test_malformed_messages_end_the_session_and_are_not_passed_on(data):
    bench = Bench()
    bench.relay.from_client(data + b"\0\0\0\0\0")
    assert bench.site.take() == b""
    assert errors(bench.client.take()) == ["08P01"]
    assert bench.site.closed == "aborted"


def test_a_site_that_breaks_the_protocol_releases_nothing():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.ledger.settle()
    bench.answer(ROW, be.FunctionCallResponse(b"secret"))
    received = bench.client.take()
    assert b"secret" not in received
    assert errors(received) == ["08P01"]


def test_the_last_words_never_stand_inside_a_row():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.ledger.settle()
    row = wire(be.DataRow((b"x" * 200_000,)))
    bench.relay.from_site(row[:100_000])
    assert bench.client.take() == row[:100_000]
    bench.relay.end("57P01", "the policy has changed", "connect again", "ground changed")
    assert bench.client.take() == b""
    assert bench.client.closed


def test_nothing_happens_after_the_end():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.relay.end("57P01", "the policy has changed", "connect again", "ground changed")
    words = bench.client.take()
    assert errors(words) == ["57P01"]
    bench.relay.from_client(sent(SELECT))
    bench.relay.from_site(wire(ROW))
    bench.ledger.settle()
    bench.relay.client_lost()
    bench.relay.site_lost()
    assert bench.client.take() == b""
    assert bench.ended == [("ground changed", True)]


def test_what_was_cut_is_told_as_far_as_it_was_released():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.ledger.settle()
    bench.answer(ROW, ROW)
    bench.relay.from_client(sent(SELECT, SELECT))
    bench.answer(ROW, DONE, READY, ROW, DONE, READY)  # held: nobody knows yet whose bytes these are
    bench.relay.client_lost()
    assert bench.ends() == [(1, 2, "cut")]
    bench.ledger.settle()
    assert bench.ends()[1:] == [(2, 0, "cut"), (3, 0, "cut")]


def test_a_statement_without_a_record_has_no_end():
    bench = Bench()
    bench.relay.from_client(sent(SELECT, SELECT, SELECT))
    bench.answer(ROW, DONE, READY, ROW, DONE, READY)
    bench.ledger.settle(1)
    bench.ledger.settle(1, durable=False)
    bench.ledger.settle(1)
    assert sorted(bench.ends()) == [(1, 0, "cut"), (3, 0, "cut")]


def test_a_client_that_says_goodbye():
    bench = Bench()
    bench.relay.from_client(sent(Terminate()))
    assert bench.ended == [("closed by the client", False)]


def test_a_site_that_goes_away_lets_out_what_is_recorded():
    bench = Bench()
    bench.relay.from_client(sent(SELECT))
    bench.answer(ROW)
    bench.relay.site_lost()
    assert bench.ended == []
    bench.ledger.settle()
    received = bench.client.take()
    assert b"secret" in received
    assert errors(received) == ["57P01"]
    assert bench.ended == [("site gone", True)]


def test_a_fatal_error_of_the_site_is_passed_and_ends_the_session():
    bench = Bench()
    bench.answer(
        be.ErrorResponse({"S": b"FATAL", "V": b"FATAL", "C": b"57P05", "M": b"idle-session timeout"})
    )
    assert errors(bench.client.take()) == ["57P05"]
    assert bench.ended == [("ended by the site", False)]


def test_closing_names():
    bench = Bench()
    messages = sent(Parse(b"s", b"SELECT 1"), Close(b"S", b"s"), Close(b"P", b"none"), Sync())
    bench.relay.from_client(messages)
    assert bench.site.take() == messages
    bench.answer(be.Simple(b"1"), be.Simple(b"3"), be.Simple(b"3"), READY)
    bench.relay.from_client(sent(Bind(b"", b"s"), Sync()))
    assert sent(Bind(b"", b"s")) not in bench.site.take()


async def _until(condition):
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError


def test_an_unknown_text_is_read_by_the_parser_once():
    async def scenario():
        bench = Bench(known=False)
        bench.relay.from_client(sent(Query(b"SELECT 1"), Query(b"SELECT 2"), Query(b"SELECT 1 ")))
        assert bench.site.take() == b""
        await _until(lambda: len(bench.ledger.entries) == 3)
        assert bench.site.take() == sent(Query(b"SELECT 1"), Query(b"SELECT 2"), Query(b"SELECT 1 "))
        assert bench.parser.asked == ["SELECT 1", "SELECT 1 "]

    asyncio.run(scenario())


def test_a_parser_that_dies_costs_one_refused_statement():
    async def scenario():
        bench = Bench(known=False)
        bench.parser.error = RingfortError("gone")
        bench.relay.from_client(sent(Query(b"SELECT 1")))
        await _until(lambda: bench.ledger.entries)
        bench.parser.error = None
        assert bench.ledger.entries[0].TYPE == "StatementRefused"
        bench.relay.from_client(sent(Query(b"SELECT 1")))
        await _until(lambda: len(bench.ledger.entries) == 2)
        assert bench.ledger.entries[1].TYPE == "StatementAdmitted"

    asyncio.run(scenario())


@pytest.mark.parametrize("text", [b"SELECT \xff", b"SELECT '" + b"x" * 300_000 + b"'"])
def test_texts_that_cannot_be_read_are_refused_without_asking(text):
    async def scenario():
        bench = Bench(known=False)
        bench.relay.from_client(sent(Query(text)))
        await _until(lambda: bench.ledger.entries)
        assert bench.ledger.entries[0].TYPE == "StatementRefused"
        assert bench.parser.asked == []

    asyncio.run(scenario())


def test_a_session_that_ends_while_a_text_is_read():
    async def scenario():
        bench = Bench(known=False)
        bench.relay.from_client(sent(Query(b"SELECT 1")))
        bench.relay.client_lost()
        await asyncio.sleep(0.01)
        assert bench.ledger.entries == []
        assert bench.site.take() == b""

    asyncio.run(scenario())
