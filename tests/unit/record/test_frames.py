from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfort.record import frames

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=8)


@given(FRAMES, st.lists(st.integers(1, 60)))
def test_frames_survive_any_split(sent, cuts):
    stream = b"".join(frames.frame(kind, payload) for kind, payload in sent)
    reader = frames.FrameReader()
    found = []
    for cut in cuts:
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    found += reader.feed(stream)
    assert found == sent


def test_a_frame_that_is_too_long_is_refused():
    with pytest.raises(frames.FrameError):
        frames.FrameReader().feed(b"\xff\xff\xff\xff\x02")


@given(st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=100), st.binary(max_size=100)), max_size=8))
def test_traffic_items_round_trip(items):
    payload = b"".join(
        frames.ITEM.pack(flags, len(entry), len(evidence)) + entry + evidence
        for flags, entry, evidence in items
    )
    assert frames.traffic_items(payload) == items


@given(st.binary(max_size=60))
def test_any_bytes_are_items_or_refused(payload):
    try:
        items = frames.traffic_items(payload)
    except frames.FrameError:
        return
    assert sum(7 + len(entry) + len(evidence) for _, entry, evidence in items) == len(payload)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.binary(max_size=50), max_size=4),
    st.lists(st.binary(max_size=50), max_size=4),
    st.none() | st.tuples(st.lists(st.text("abc:", max_size=5), max_size=3).map(tuple), st.integers(0, 1000)),
)
def test_appends_round_trip(request, entries, blobs, condition):
    payload = frames.append_payload(request, entries, blobs, condition)
    assert frames.read_append(payload) == (request, entries, blobs, condition)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0" * 8,
        b"\0\0\0\1\0\0\0\2{}",
        b'\0\0\0\1\0\0\0\x1b{"entries":[-1],"blobs":[]}',
        b'\0\0\0\1\0\0\0\x19{"entries":[9],"blobs":[]}',
        b'\0\0\0\1\0\0\0\x24{"entries":[],"blobs":[],"condition":1}',
    ],
)
def test_malformed_appends_are_refused(payload):
    with pytest.raises(frames.FrameError):
        frames.read_append(payload)


def test_answers_round_trip():
    assert frames.read_ack(frames.ack([(3, True), (1, False)])[5:]) == [(3, True), (1, False)]
    assert frames.read_reply(frames.reply(7, {"ok": True})[5:]) == (7, {"ok": True})
    assert frames.read_control(frames.control_frame(9, [b"a", b""])[5:]) == (9, [b"a", b""])
    for read, payload in (
        (frames.read_ack, b"x"),
        (frames.read_reply, b"x"),
        (frames.read_control, b"x"),
        (frames.read_control, bytes(8) + b"\0"),
        (frames.read_control, bytes(8) + b"\0\5x"),
        (frames.read_json, b"[]"),
        (frames.read_json, b"{"),
    ):
        with pytest.raises(frames.FrameError):
            read(payload)
