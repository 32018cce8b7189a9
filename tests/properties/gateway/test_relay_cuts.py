from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.simulators import READY, Bench

from ringfort.pgwire import backend as be
from ringfort.pgwire import frontend as fe

RUN = [fe.Describe(b"P", b""), fe.Execute(b""), fe.Sync()]  # behind a Bind: what libpq sends

messages = st.lists(
    st.sampled_from(
        [
            [fe.Bind(b"", b"s", (), (b"value",)), *RUN],
            [fe.Bind(b"", b"nowhere"), *RUN],
            [fe.Bind(b"p", b"s"), *RUN],
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
).map(lambda items: [each for item in items for each in (item if isinstance(item, list) else [item])])


def answer(bench):
    """Every answer that the site owes, without an error."""
    kinds = [be.Simple(b"1"), be.Simple(b"2"), be.Simple(b"n"), be.Simple(b"3")]
    while bench.relay.exchange.awaited and not bench.relay.over:
        debt = bench.relay.exchange.awaited[0]
        if debt.substitute:
            bench.answer(be.ErrorResponse({"V": b"ERROR", "C": b"42601", "M": b"x"}))
            if debt.kind != 0:
                continue
        bench.answer(*{0: [READY], 5: [be.CommandComplete(b"")], 6: [READY]}.get(debt.kind, []))
        if 1 <= debt.kind <= 4:
            bench.answer(kinds[debt.kind - 1])


def play(chunks):
    bench = Bench()
    for chunk in chunks:
        bench.relay.from_client(chunk)
    for _ in range(200):
        if bench.ledger.waiting:
            bench.ledger.settle()
        answer(bench)
    entries = [(entry.TYPE, entry.seq) for entry in bench.ledger.entries]
    return bench.site.take(), entries, [evidence[32:] for evidence in bench.ledger.evidence]


@given(messages, st.data())
def test_a_client_stream_means_the_same_wherever_it_is_cut(items, data):
    stream = b"".join(map(fe.serialise_frontend, items))
    points = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole = play([stream])
    assert play([stream[start:end] for start, end in pairwise([0, *points, len(stream)])]) == whole
    assert play([bytes([octet]) for octet in stream]) == whole


@given(messages)
def test_whole_messages_mean_the_same_one_by_one(items):
    """The quick ways take what comes alone in a read."""
    framed = [fe.serialise_frontend(each) for each in items]
    assert play(framed) == play([b"".join(framed)])


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_random_bytes_from_a_client_end_the_session_or_wait(chunks):
    bench = Bench()
    for chunk in chunks:
        bench.relay.from_client(chunk)
    assert bench.relay._forwarder._reader.buffered < 1_000_000
