"""Protocol 3.0 and 3.2: negotiation, and cancel keys of either length, with raw bytes and with libpq 18."""

import threading

import psycopg
import pytest
from tests.attacks.test_wire import cancel, sent
from tests.attacks.wire_stand import Stand, Wire, rows, states

from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import Query
from ringfort.pgwire.startup import PROTOCOL_3_0, PROTOCOL_3_2

SLOW = "SELECT count(*) FROM seen a, seen b, seen c WHERE a.id + b.id + c.id < 0"


@pytest.fixture(scope="module")
def stand(database):
    with Stand(database) as stand:
        yield stand


@pytest.mark.parametrize(
    ("minor", "extensions", "answer", "key"),
    [
        (0, (), None, 4),
        (0, ("_pq_.a", "_pq_.b"), be.NegotiateProtocolVersion(PROTOCOL_3_0, (b"_pq_.a", b"_pq_.b")), 4),
        (1, (), None, 4),
        (2, (), None, 32),
        (2, ("_pq_.a",), be.NegotiateProtocolVersion(PROTOCOL_3_2, (b"_pq_.a",)), 32),
        (3, (), be.NegotiateProtocolVersion(PROTOCOL_3_2, ()), 32),
        (9999, ("_pq_.test_protocol_negotiation",), None, 32),
    ],
)
def test_a_client_is_told_what_there_is(stand, minor, extensions, answer, key):
    with Wire(stand.port) as wire:
        wire.startup(minor=minor, **dict.fromkeys(extensions, "1"))
        if answer is not None:
            assert wire.message() == answer
        assert wire.authenticate().code == be.AUTH_OK
        (given,) = [each for each in wire.until_ready() if isinstance(each, be.BackendKeyData)]
        assert len(given.secret) == key
        wire.send(sent(Query(b"SELECT name FROM seen WHERE id = 7")))
        assert rows(wire.until_ready()) == [(b"name 7",)]


def test_a_long_key_cancels_and_no_part_of_it_does(stand):
    with Wire(stand.port) as wire:
        process, secret = wire.login(minor=2).key
        wire.send(sent(Query(SLOW.encode())))
        for wrong in (secret[:4], secret[:31], secret + b"\0", bytes(32), bytes(256)):
            cancel(stand.port, process, wrong)
        assert wire.is_quiet()
        cancel(stand.port, process, secret)
        assert states(wire.until_ready()) == ["57014"]


@pytest.mark.parametrize("version", ["3.0", "3.2", "latest"])
@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_libpq_speaks_each_version_and_cancels(stand, version, sslmode):
    if psycopg.pq.version() < 180000:
        pytest.skip("this libpq is older than 18 and has no `max_protocol_version`")
    dsn = stand.dsn(max_protocol_version=version, sslmode=sslmode)
    with psycopg.connect(dsn, autocommit=True) as connection:
        spoken = connection.pgconn.full_protocol_version
        assert spoken == (30000 if version == "3.0" else 30002)
        assert connection.execute("SELECT name FROM seen WHERE id = 7").fetchone() == ("name 7",)
        timer = threading.Timer(0.2, connection.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(SLOW)
        timer.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)
