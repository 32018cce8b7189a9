from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.simulators import Bench

from ringfort.pgwire import frontend as fe

messages = st.lists(
    st.sampled_from(
        [
            fe.Query(b"SELECT a FROM t"),
            fe.Query(b"BEGIN"),
            fe.Query(b"DROP TABLE t"),
            fe.Parse(b"s", b"SELECT $1"),
            fe.Parse(b"", b"DROP TABLE t"),
            fe.Bind(b"", b"s", (), (b"value", None)),
            fe.Describe(b"P", b""),
            fe.Execute(b""),
            fe.Close(b"S", b"s"),
            fe.Sync(),
            fe.Flush(),
            fe.CopyData(b"x"),
            fe.FunctionCall(b"y"),
        ]
    ),
    max_size=8,
)


def play(chunks):
    bench = Bench()
    for chunk in chunks:
        bench.relay.from_client(chunk)
    while bench.ledger.waiting:
        bench.ledger.settle()
    entries = [(entry.TYPE, entry.seq) for entry in bench.ledger.entries]
    return bench.site.take(), entries, [evidence[32:] for evidence in bench.ledger.evidence]


@given(messages, st.data())
def test_a_client_stream_means_the_same_wherever_it_is_cut(items, data):
    stream = b"".join(map(fe.serialise_frontend, items))
    points = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole = play([stream])
    assert play([stream[start:end] for start, end in pairwise([0, *points, len(stream)])]) == whole
    assert play([bytes([octet]) for octet in stream]) == whole


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_random_bytes_from_a_client_end_the_session_or_wait(chunks):
    bench = Bench()
    for chunk in chunks:
        bench.relay.from_client(chunk)
    assert bench.relay._reader.buffered < 1_000_000
