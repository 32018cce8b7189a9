import pytest

from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.framing import MAX_FRAME, FrameReader
from ringfort.pgwire.frontend import KINDS, Query, Sync, serialise_frontend


def frame(kind, length, body=b""):
    return kind + length.to_bytes(4, "big") + body


@pytest.mark.parametrize(
    "data",
    [
        frame(b"Q", 3),
        frame(b"Q", 0),
        frame(b"Q", 0x8000_0000),
        frame(b"Q", 0xFFFF_FFFF),
        frame(b"Q", MAX_FRAME + 1),
        b"p\0\0\0\x04",
        b"\x16",
        b"GET / HTTP/1.1\r\n",
        b"\0\0\0\0\0",
    ],
)
def test_impossible_frames_are_refused_before_anything_is_buffered(data):
    reader = FrameReader(1000, KINDS)
    reader.feed(data)
    with pytest.raises(ProtocolViolationError):
        reader.next()


def test_a_too_long_message_is_told_once_and_dropped_as_it_comes():
    reader = FrameReader(100, KINDS)
    sync = serialise_frontend(Sync())
    reader.feed(sync + frame(b"Q", 1_000_004, b"x" * 10))
    assert reader.next() == ord("S")
    assert reader.next() == ord("Q")
    assert reader.oversize == 1_000_000
    for _ in range(999):
        reader.feed(b"x" * 1000)
        assert (reader.next(), reader.buffered) == (0, 0)
    reader.feed(b"x" * 990 + sync)
    assert reader.next() == ord("S")
    assert reader.oversize == 0


def test_a_length_that_wraps_around_cannot_smuggle_messages():
    # a client that sent 4 GiB + n with a length of n: what follows the n bytes is framed like anything else
    reader = FrameReader(1000, KINDS)
    reader.feed(frame(b"B", 8, b"\0\0\0\0") + b"\x41" * 100)
    assert reader.next() == ord("B")
    with pytest.raises(ProtocolViolationError):
        reader.next()


def test_a_message_may_be_looked_at_again():
    reader = FrameReader(1000, KINDS)
    query = serialise_frontend(Query(b"SELECT 1"))
    reader.feed(query + query[:7])
    assert reader.next() == ord("Q")
    reader.rewind(len(query))
    reader.feed(query[7:])
    assert [reader.next(), reader.next(), reader.next()] == [ord("Q"), ord("Q"), 0]
