"""SQL that takes away what the protocol has made frees the gate's tables, once the site has said that it was done."""

# ruff: noqa: E501 - statements read best whole

import pytest
from tests.unit.gateway.simulators import READY, Bench, verdict
from tests.unit.gateway.test_relay import FAILED, errors, sent

from ringfort.disclosure.statements import Surface, judge
from ringfort.gateway.verdicts import Known
from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import Bind, Execute, Parse, Query, Sync

SURFACE = Surface(frozenset({"t"}))
PARSED, BOUND = be.Simple(b"1"), be.Simple(b"2")


def known(sql):
    if sql.split()[0] in {b"DEALLOCATE", b"DISCARD", b"CLOSE"}:
        return Known(judge(sql.decode(), SURFACE))
    return Known(verdict(sql.decode()))


@pytest.fixture
def bench():
    made = Bench()
    made.relay._forwarder._verdicts.lookup = known
    return made


def prepared(bench, *names):
    bench.relay.from_client(sent(*(Parse(name, b"SELECT 1") for name in names), Sync()))
    bench.answer(*[PARSED] * len(names), READY)
    return bench.relay.exchange


def names(bench):
    return set(bench.relay.exchange.statements)


def said(bench, *items):
    bench.relay.from_client(sent(*items))
    bench.ledger.settle()


@pytest.mark.parametrize(
    ("text", "tag", "left"),
    [
        (b"DEALLOCATE a", b"DEALLOCATE", {b"", b"b"}),
        (b'DEALLOCATE PREPARE "b"', b"DEALLOCATE", {b"", b"a"}),
        (b"DEALLOCATE ALL", b"DEALLOCATE ALL", {b""}),
        (b"DISCARD ALL", b"DISCARD ALL", {b""}),
        (b"DISCARD PLANS", b"DISCARD PLANS", {b"", b"a", b"b"}),
        (b"DEALLOCATE none", b"DEALLOCATE", {b"", b"a", b"b"}),
        (b"CLOSE a", b"CLOSE CURSOR", {b"", b"a", b"b"}),
    ],
)
def test_each_way_by_both_protocols(bench, text, tag, left):
    for extended in (False, True):
        prepared(bench, b"a", b"b", b"")
        if extended:
            said(bench, Parse(b"", text), Bind(b"", b""), Execute(b""), Sync())
            before = [PARSED, BOUND]
        else:
            said(bench, Query(text))
            before = []
        assert names(bench) == {b"", b"a", b"b"}
        bench.answer(*before, be.CommandComplete(tag), READY)
        assert names(bench) == left
        bench.relay.exchange.statements.clear()


def test_an_error_frees_nothing_and_a_rollback_brings_nothing_back(bench):
    prepared(bench, b"a")
    said(bench, Query(b"DEALLOCATE ALL"))
    bench.answer(FAILED, READY)
    assert names(bench) == {b"a"}
    said(bench, Query(b"BEGIN"))
    bench.answer(be.CommandComplete(b"BEGIN"), be.ReadyForQuery(b"T"))
    said(bench, Query(b"DEALLOCATE a"))
    bench.answer(be.CommandComplete(b"DEALLOCATE"), be.ReadyForQuery(b"T"))
    assert names(bench) == set()


def test_several_in_one_query_up_to_the_error(bench):
    prepared(bench, b"a", b"b", b"c")
    said(bench, Query(b"DEALLOCATE a; DEALLOCATE b; DEALLOCATE c"))
    bench.answer(be.CommandComplete(b"DEALLOCATE"), be.CommandComplete(b"DEALLOCATE"), FAILED, READY)
    assert names(bench) == {b"c"}


def test_what_was_made_after_it_stays(bench):
    prepared(bench, b"a")
    said(bench, Query(b"DEALLOCATE a"), Parse(b"a", b"SELECT 2"), Sync())
    bench.answer(be.CommandComplete(b"DEALLOCATE"), READY, PARSED, READY)
    assert names(bench) == {b"a"}
    # in one segment, and undone by an error: the old one does not come back
    said(bench, Parse(b"", b"DEALLOCATE a"), Bind(b"", b""), Execute(b""), Parse(b"a", b"SELECT 3"), Sync())
    bench.answer(PARSED, BOUND, be.CommandComplete(b"DEALLOCATE"), FAILED, READY)
    assert names(bench) == {b""}


def test_a_client_at_the_limit_that_sends_ahead_waits_and_goes_on(bench, monkeypatch):
    monkeypatch.setattr("ringfort.gateway.forwarding.MAX_STATEMENTS", 2)
    prepared(bench, b"a", b"b")
    bench.relay.from_client(sent(Parse(b"c", b"SELECT 1"), Sync()))
    bench.answer(FAILED, READY)  # to the text that stands in for the refused one
    assert errors(bench.client.take())[-1] == "54000"
    said(bench, Query(b"DEALLOCATE ALL"), Parse(b"c", b"SELECT 1"), Sync())
    bench.answer(be.CommandComplete(b"DEALLOCATE ALL"), READY)
    assert bench.site.take().endswith(sent(Parse(b"c", b"SELECT 1"), Sync()))
    bench.answer(PARSED, READY)
    assert names(bench) == {b"c"}


def test_portals_too(bench):
    prepared(bench, b"a")
    said(bench, Query(b"BEGIN"))
    bench.answer(be.CommandComplete(b"BEGIN"), be.ReadyForQuery(b"T"))
    for text, tag, left in (
        (b"CLOSE p", b"CLOSE CURSOR", {b"q"}),
        (b"CLOSE ALL", b"CLOSE CURSOR ALL", set()),
    ):
        bench.relay.exchange.portals.clear()
        said(bench, Bind(b"p", b"a"), Bind(b"q", b"a"), Sync())
        bench.answer(BOUND, BOUND, be.ReadyForQuery(b"T"))
        said(bench, Query(text))
        bench.answer(be.CommandComplete(tag), be.ReadyForQuery(b"T"))
        assert set(bench.relay.exchange.portals) == left
