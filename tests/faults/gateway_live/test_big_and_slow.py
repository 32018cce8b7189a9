"""Results of many GiB, clients that never read and clients that never stop sending: memory stays bounded.

What is measured is the peak of resident memory of the real worker and writer, in the kernel's own count.
"""

import contextlib
import os
import signal
import time

import pytest
from tests.attacks.gateway.wire_client import WireClient
from tests.faults.gateway_live.resident import MIB, drain, read_all, resident_below, send_without_end
from tests.live_deployment import ANALYST, deployment

from ringfort.pgwire.frontend import Bind, Close, Execute, Parse, Query, Sync, serialise_frontend

LIMIT_MIB = 200
WIDE = b"SELECT repeat('x', 1000000) FROM generate_series(1, %d)"
NARROW = b"SELECT n, 'some label' FROM generate_series(1, %d) AS t(n)"
COPIED = b"COPY (SELECT repeat('y', 9000) FROM generate_series(1, %d)) TO STDOUT"


def sent(*items):
    return b"".join(map(serialise_frontend, items))


def pids(live):
    """The writer, and every worker."""
    return live.pids()["record.writer"], *sorted(each["process"] for each in live.workers())


@contextlib.contextmanager
def stopped(pid):
    """The process does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def generous():
    """A deployment without limits on rows, bytes and evidence.

    With the limit on evidence, a flood would count against the principal's next session and end it: the
    tests would then be about ended sessions, of which what is still sent is read and thrown away for a while.
    """
    with deployment(people=60) as made:
        made.edit("ringfort.toml", "rows_per_session = 1000000", "rows_per_session = 0")
        made.edit(
            "ringfort.toml",
            "bytes_per_session = 1000000000",
            "bytes_per_session = 0\nevidence_bytes_per_minute = 0",
        )
        yield made.start()


@pytest.mark.parametrize(
    ("text", "count", "least"), [(WIDE, 150, 150), (NARROW, 900_000, 20), (COPIED, 9_000, 80)]
)
def test_a_big_result_passes_in_bounded_memory(live, text, count, least):
    with WireClient(live.dsn(ANALYST), timeout=60) as client, resident_below(LIMIT_MIB, *pids(live)):
        size, _ = read_all(client, text % count)
        assert size > least * 1_000_000


def test_a_client_that_never_reads(live):
    with WireClient(live.dsn(ANALYST)) as client, resident_below(LIMIT_MIB, *pids(live)):
        client.send(sent(Query(WIDE % 900)))
        time.sleep(1.0)
        client.send(sent(Query(NARROW % 900_000)) * 20)
        time.sleep(0.3)


PREPARED = Parse(b"", b"SELECT length($1::text)")
LONG = b"SELECT '" + b"t" * 100_000 + b"'"
FLOODS = {
    "executions": sent(PREPARED, Bind(b"", b"", (), (b"v" * 900_000,)), *[Execute(b"", 1)] * 900, Sync()),
    "binds": sent(PREPARED, *[Bind(b"", b"", (), (b"v" * 900_000,))] * 30, Sync()),
    "values": sent(PREPARED, Sync(), *[Bind(b"", b"", (), (b"v" * 900_000,)), Execute(b""), Sync()] * 9),
    "texts": sent(*[Query(LONG)] * 9),
    "names": sent(*[Parse(b"n%d" % each, LONG) for each in range(90)], Sync()),
    "closes": sent(*[Close(b"S", b"none")] * 20_000),
    "refusals": sent(*[Query(b"SELECT lo_get(1) --" + b"t" * 100_000)] * 9),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_client_that_never_stops_sending(generous, flood):
    writer, *workers = pids(generous)
    with WireClient(generous.dsn(ANALYST)) as client, resident_below(LIMIT_MIB, writer, *workers):
        send_without_end(client, FLOODS[flood], 0.6)
    assert pids(generous) == (writer, *workers)


@pytest.mark.parametrize("flood", ["executions", "texts"])
def test_a_client_that_never_stops_sending_while_the_record_hangs(generous, flood):
    writer, *workers = pids(generous)
    with WireClient(generous.dsn(ANALYST)) as client, WireClient(generous.dsn(ANALYST)) as other:
        other.query("SELECT 1")
        with stopped(writer), resident_below(LIMIT_MIB, *workers):
            send_without_end(client, FLOODS[flood], 1.0)
        assert other.values("SELECT 7") == [(b"7",)]
    assert pids(generous) == (writer, *workers)


def test_a_client_that_sends_ahead_while_nobody_reads_its_text(generous):
    """From its last authentication message on, without waiting to be let in."""
    writer, *workers = pids(generous)
    ahead = sent(Query(b"SELECT 'a text of its own'")) + FLOODS["texts"]
    with (
        WireClient(generous.dsn(ANALYST), ahead=ahead[:250_000]) as client,
        stopped(generous.pids()["gateway.parser"]),
        resident_below(LIMIT_MIB, writer, *workers),
    ):
        taken = send_without_end(client, ahead[250_000:] + FLOODS["texts"] * 9, 1.5)
    assert taken < 16 * MIB


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("text", "count"), [(WIDE, 5_400), (NARROW, 200_000_000), (COPIED, 600_000)])
def test_five_gib_pass_in_bounded_memory(generous, text, count):
    with WireClient(generous.dsn(ANALYST), timeout=120) as client, resident_below(LIMIT_MIB, *pids(generous)):
        size, _ = read_all(client, text % count)
    assert size > 5 * 1024 * MIB


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_client_that_does_not_read_for_a_minute_and_then_does(generous):
    with WireClient(generous.dsn(ANALYST), timeout=120) as client, resident_below(LIMIT_MIB, *pids(generous)):
        client.send(sent(Query(WIDE % 2_000)))
        time.sleep(60)
        size, _ = drain(client)
    assert size > 2_000 * 1_000_000
