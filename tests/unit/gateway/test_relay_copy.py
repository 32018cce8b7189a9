"""COPY IN through a relay: recorded before it begins, data passed with its messages, both query protocols."""

import pytest
from tests.unit.gateway.simulators import READY, Bench, verdict, wire
from tests.unit.gateway.test_relay import FAILED, SELECT, errors, sent

from ringfort.disclosure.statements import Verdict
from ringfort.gateway.verdicts import Known
from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import (
    Bind,
    CopyData,
    CopyDone,
    CopyFail,
    Execute,
    Flush,
    Parse,
    Query,
    Sync,
    Terminate,
)

COPY = Query(b"COPY t FROM STDIN")
BEGINS = b"G\0\0\0\x07\0\0\0"
DATA = CopyData(b"1\t2\n")
COPIED = be.CommandComplete(b"COPY 1")
PREPARED = b"1\0\0\0\x04" + b"2\0\0\0\x04"
EXTENDED = (Parse(b"", b"COPY t FROM STDIN"), Bind(b"", b""), Execute(b""))


def known(sql):
    if sql.startswith(b"COPY"):
        return Known(Verdict(allowed=True, kind="copy_in", shape='{"kind":"copy_in"}'))
    return Known(verdict(sql.decode()))


@pytest.fixture
def bench():
    made = Bench()
    made.relay._forwarder._verdicts.lookup = known
    return made


def begun(bench, *items):
    bench.relay.from_client(sent(*items))
    bench.ledger.settle()
    bench.site.take()
    before = b"" if items[0] is COPY else PREPARED
    bench.relay.from_site(before + BEGINS)
    assert bench.client.take() == before + BEGINS


def test_it_waits_for_its_record_and_its_data_for_the_site(bench):
    bench.relay.from_client(sent(COPY, DATA, CopyDone()))
    assert bench.site.take() == b""
    bench.ledger.settle()
    assert bench.site.take() == sent(COPY)
    bench.relay.from_site(BEGINS)
    assert bench.site.take() == sent(DATA, CopyDone())
    bench.answer(COPIED, READY)
    assert bench.client.take() == BEGINS + wire(COPIED, READY)
    assert bench.ends() == [(1, 0, "complete")]
    bench.relay.from_client(sent(SELECT))
    assert bench.site.take() == sent(SELECT)


def test_the_extended_protocol_with_the_sync_that_libpq_sends_too_early(bench):
    begun(bench, *EXTENDED, Sync())
    assert bench.site.take() == b""  # the site would ignore it
    bench.relay.from_client(sent(DATA, Flush(), DATA, CopyDone(), Sync()))
    assert bench.site.take() == sent(DATA, DATA, CopyDone(), Sync())
    bench.answer(COPIED, READY)
    assert bench.client.take() == wire(COPIED, READY)
    assert bench.ends() == [(1, 0, "complete")]


def test_a_copy_that_the_site_refuses_is_no_copy(bench):
    bench.relay.from_client(sent(COPY, DATA, CopyDone(), SELECT))
    bench.ledger.settle()
    bench.site.take()
    bench.answer(FAILED, READY)
    assert bench.site.take() == sent(SELECT)  # the data goes nowhere
    assert errors(bench.client.take()) == ["42601"]


def test_an_error_in_the_middle_drops_the_rest(bench):
    begun(bench, COPY)
    bench.relay.from_client(sent(DATA))
    bench.answer(FAILED, READY)
    bench.site.take()
    bench.relay.from_client(sent(DATA, CopyDone(), SELECT))
    assert bench.site.take() == sent(SELECT)
    bench.ledger.settle()
    bench.answer(be.CommandComplete(b"SELECT 0"), READY)
    assert bench.ends() == [(1, 0, "failed"), (2, 0, "complete")]


def test_an_error_in_the_middle_of_the_extended_protocol_skips_to_sync(bench):
    begun(bench, *EXTENDED)
    bench.answer(FAILED)
    bench.relay.from_client(sent(DATA, CopyFail(b"stop"), Sync(), SELECT))
    assert bench.site.take() == sent(Sync(), SELECT)


def test_the_client_breaks_it_off(bench):
    begun(bench, COPY)
    bench.relay.from_client(sent(DATA, CopyFail(b"stop"), SELECT))
    assert bench.site.take() == sent(DATA, CopyFail(b"stop"), SELECT)


@pytest.mark.parametrize("message", [SELECT, Parse(b"", b"SELECT 1"), Execute(b"")])
def test_nothing_else_is_sent_in_the_middle(bench, message):
    begun(bench, COPY)
    bench.relay.from_client(sent(DATA, message))
    assert bench.ended[0][0] == "protocol violation"


def test_the_client_may_leave_in_the_middle(bench):
    begun(bench, COPY)
    bench.relay.from_client(sent(DATA, Terminate()))
    assert bench.ended == [("closed by the client", True)]


def test_a_site_that_asks_for_data_unasked_is_cut_off(bench):
    for items in ((SELECT,), (Query(b"BEGIN"),)):
        other = Bench()
        other.relay.from_client(sent(*items))
        other.ledger.settle()
        other.relay.from_site(BEGINS)
        assert other.ended[0][0] == "site protocol violation"
    begun(bench, COPY)
    bench.relay.from_site(BEGINS)
    assert bench.ended[0][0] == "site protocol violation"


def test_the_client_is_not_read_while_the_site_does_not_take(bench):
    begun(bench, COPY)
    bench.relay.site_takes(False)
    assert not bench.client.reading
    bench.relay.site_takes(True)
    assert bench.client.reading


def test_data_that_comes_too_early_is_kept_bounded(bench):
    bench.relay.from_client(sent(COPY))
    big = sent(CopyData(b"x" * 70_000))
    bench.relay.from_client(big)
    assert not bench.client.reading
    bench.ledger.settle()
    bench.site.take()
    bench.relay.from_site(BEGINS)
    assert bench.site.take() == big
    assert bench.client.reading


def test_a_message_of_data_that_is_too_long_ends_the_session(bench):
    begun(bench, COPY)
    bench.relay.from_client(sent(CopyData(b"x" * 1_100_000)))
    assert bench.ended[0][0] == "protocol violation"


def test_what_was_sent_before_it_may_be_answered_while_it_waits(bench):
    for before, answer in (
        (SELECT, (be.CommandComplete(b"SELECT 0"), READY)),
        (SELECT, (FAILED, READY)),
    ):
        bench.relay.from_client(sent(before, COPY, DATA, CopyDone(), before))
        bench.answer(*answer)  # the COPY waits for its record, and is not what was answered
        bench.ledger.settle()
        bench.site.take()
        bench.relay.from_site(BEGINS)
        assert not bench.ended
        assert bench.site.take() == sent(DATA, CopyDone(), before)
        bench.answer(COPIED, READY)
        bench.answer(be.CommandComplete(b"SELECT 0"), READY)
        bench.ledger.settle()


def test_an_answer_to_an_earlier_segment_is_not_that_of_the_copy(bench):
    bench.relay.from_client(sent(Parse(b"", b"SELECT 1"), Bind(b"", b""), Execute(b""), Sync()))
    bench.relay.from_client(sent(Parse(b"c", b"COPY t FROM STDIN"), Bind(b"p", b"c"), Execute(b"p")))
    bench.ledger.settle()
    bench.relay.from_site(PREPARED + wire(be.CommandComplete(b"SELECT 0"), READY) + PREPARED + BEGINS)
    assert not bench.ended
    bench.site.take()
    bench.relay.from_client(sent(Sync(), DATA, CopyDone(), Sync()))
    assert bench.site.take() == sent(DATA, CopyDone(), Sync())


@pytest.mark.parametrize("recorded_first", [True, False])
def test_an_error_earlier_in_the_segment_is_no_end_of_the_session(bench, recorded_first):
    bench.relay.from_client(sent(Parse(b"", b"SELECT 1"), Bind(b"", b""), Execute(b""), *EXTENDED))
    bench.relay.from_client(sent(Sync(), DATA, CopyDone(), Sync(), SELECT))
    if recorded_first:
        bench.ledger.settle()
        bench.answer(FAILED)
    else:
        bench.answer(FAILED)
        bench.ledger.settle()
    assert not bench.ended
    assert bench.site.take().endswith(sent(Sync(), Sync(), SELECT))
    bench.ledger.settle()
    bench.answer(READY)
    bench.answer(READY)
    bench.answer(be.CommandComplete(b"SELECT 0"), READY)
    assert bench.client.reading
    assert bench.relay.exchange.quiet
