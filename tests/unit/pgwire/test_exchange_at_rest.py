"""When a site connection may outlive its session: nothing owed, nothing skipped, nothing half read."""

import pytest

from ringfort.pgwire import backend as be
from ringfort.pgwire.exchange import Exchange


def wire(*items):
    return b"".join(map(be.serialise_backend, items))


DONE = wire(be.CommandComplete(b"SELECT 0"))
ROW = wire(be.DataRow((b"x" * 100,)))
ERROR = wire(be.ErrorResponse({"S": b"ERROR", "V": b"ERROR", "C": b"42601", "M": b"m"}))


def ready(status):
    return wire(be.ReadyForQuery(status))


@pytest.mark.parametrize(("status", "rests"), [(b"I", True), (b"T", False), (b"E", False)])
def test_only_outside_of_a_transaction(status, rests):
    exchange = Exchange()
    assert exchange.at_rest
    exchange.query(1)
    assert not exchange.at_rest
    exchange.receive(DONE + ready(status))
    assert exchange.at_rest == rests


def test_not_while_the_server_skips_until_a_sync():
    exchange = Exchange()
    exchange.parse(b"", object())
    exchange.receive(ERROR)
    assert exchange.quiet
    assert not exchange.at_rest
    exchange.sync()
    exchange.receive(ready(b"I"))
    assert exchange.at_rest


@pytest.mark.parametrize("cut", range(1, len(ROW)))
def test_not_with_a_part_of_a_message(cut):
    exchange = Exchange()
    exchange.query(1)
    exchange.receive(ROW[:cut])
    exchange.awaited.clear()  # whatever is owed
    assert not exchange.at_rest


def test_not_at_a_limit():
    exchange = Exchange(row_limit=1)
    exchange.query(1)
    exchange.receive(ROW + ROW + DONE + ready(b"I"))
    assert exchange.limit_reached
    exchange.awaited.clear()
    assert not exchange.at_rest
