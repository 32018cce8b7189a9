"""A session's names against a real server: what SQL takes away counts no longer, pipelined or not."""

import os

import pytest
from tests.attacks.test_wire import drop_database, make_database, sent
from tests.attacks.wire_stand import Stand, Wire, rows, states

from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import Bind, Execute, Parse, Query, Sync

MOST = 10_000
BATCH = 500


@pytest.fixture(scope="module")
def stand(postgres_server):
    name = f"freeing_{os.getpid()}"
    with Stand(make_database(postgres_server, name), limits={}) as stand:
        yield stand
    drop_database(postgres_server, name)


@pytest.fixture
def wire(stand):
    with Wire(stand.port) as wire:
        yield wire.login()


def prepare(wire, count):
    for start in range(0, count, BATCH):
        wire.send(sent(*(Parse(b"s%d" % n, b"SELECT 1") for n in range(start, start + BATCH)), Sync()))
        assert not states(wire.until_ready())


@pytest.mark.parametrize("text", [b"DEALLOCATE ALL", b"DISCARD ALL", b"DEALLOCATE s7"])
def test_a_full_session_prepares_again(wire, text):
    prepare(wire, MOST)
    wire.send(sent(Parse(b"more", b"SELECT 1"), Sync()))
    assert states(wire.until_ready()) == ["54000"]
    wire.send(sent(Query(text), Parse(b"more", b"SELECT 2"), Bind(b"", b"more"), Execute(b""), Sync()))
    assert not states(wire.until_ready())
    answer = wire.until_ready()
    assert rows(answer) == [(b"2",)], states(answer)
    wire.send(sent(Bind(b"", b"s7"), Sync()))
    assert states(wire.until_ready()) == ["26000"]
    assert not wire.received.endswith(b"closed")


def test_names_of_both_kinds_give_what_the_server_gives(wire):
    wire.send(sent(Parse(b"a", b"SELECT 1"), Sync()))
    wire.until_ready()
    # in one segment: taken away, made anew with another text, run
    steps = [Parse(b"", b"DEALLOCATE a"), Bind(b"", b""), Execute(b""), Parse(b"a", b"SELECT 2")]
    wire.send(sent(*steps, Bind(b"", b"a"), Execute(b""), Sync()))
    assert rows(wire.until_ready()) == [(b"2",)]
    for text in (b"BEGIN", b"DEALLOCATE a", b"ROLLBACK"):
        wire.send(sent(Query(text)))
        assert not states(wire.until_ready())
    wire.send(sent(Bind(b"", b"a"), Execute(b""), Sync()))
    assert states(wire.until_ready()) == ["26000"]
    wire.send(sent(Query(b"DEALLOCATE a")))
    assert states(wire.until_ready()) == ["26000"]
    wire.send(sent(Query(b"PREPARE a AS SELECT 3"), Query(b"EXECUTE a"), Query(b"DEALLOCATE ALL")))
    wire.until_ready()
    assert rows(wire.until_ready()) == [(b"3",)]
    assert isinstance(wire.until_ready()[-1], be.ReadyForQuery)
