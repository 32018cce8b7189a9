"""Who makes the parser work hard stops nobody else: through a real worker, parser and server."""

import os
import socket

import pytest
from tests.attacks.test_wire import drop_database, make_database
from tests.attacks.wire_stand import Stand, Wire, rows, states

from ringfort.pgwire.frontend import Parse, Query, serialise_frontend
from ringfort.pgwire.startup import CancelRequest, serialise_startup


@pytest.fixture(scope="module")
def stand(postgres_server):
    name = f"parser_{os.getpid()}"
    with Stand(make_database(postgres_server, name), readers=2) as made:
        yield made
        assert "Error" not in made.log()
    drop_database(postgres_server, name)


def query(sql):
    return serialise_frontend(Query(sql))


def heavy(number):
    """Costs the scanner quadratic time; each is another text."""
    return b"SELECT %d " % number + b"+-" * 120_000


def test_new_small_statements_are_answered_while_others_pour_heavy_ones(stand):
    flood = []
    try:
        for number in range(12):  # one after the other: who waits for long without a login is sent away
            wire = Wire(stand.port, timeout=60.0)
            flood.append(wire)
            wire.login("alice")
            wire.send(b"".join(query(heavy(100 * number + each)) for each in range(20)))
        with Wire(stand.port, timeout=60.0) as other, Wire(stand.port, timeout=60.0) as same:
            other.login("bob")
            same.login("alice")
            for number in range(40):
                for wire in (other, same):  # another session of the very principal, too
                    wire.send(query(b"SELECT id AS c%d FROM seen WHERE id = 7" % number))
                    assert rows(wire.until_ready()) == [(b"7",)]
            assert not all(b"54001" in wire.received for wire in flood)  # it went on all the time
    finally:
        for wire in flood:
            wire.socket.close()
    # its texts are gone with it: a long text of the same principal is read at once, not after all of them
    with Wire(stand.port, timeout=60.0) as wire:
        wire.login("alice")
        wire.send(
            query(b"SELECT id FROM seen WHERE id IN (%s)" % b",".join(b"%d" % n for n in range(1, 5_000)))
        )
        assert len(rows(wire.until_ready())) == 1_000


def test_a_statement_that_waits_to_be_read_can_be_cancelled(stand):
    with Wire(stand.port, timeout=60.0) as wire, Wire(stand.port, timeout=60.0) as other:
        wire.login("alice")
        other.login("bob")
        other.send(query(heavy(9001)) + query(heavy(9002)) + query(heavy(9003)))
        wire.send(query(heavy(9077)))
        with socket.create_connection(("127.0.0.1", stand.port)) as cancelling:
            cancelling.sendall(serialise_startup(CancelRequest(*wire.key)))
            cancelling.recv(1)
        assert states(wire.until_ready())[0] in {"57014", "54001"}  # the second: it was read before
        wire.send(
            serialise_frontend(Parse(b"", b"SELECT 1 AS after", ()))
            + query(b"SELECT id FROM seen WHERE id = 3")
        )
        assert rows(wire.until_ready()) == [(b"3",)]
