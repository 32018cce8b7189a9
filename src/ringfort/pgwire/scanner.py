"""Counting rows as they pass, without making an object per row.

A result of a million rows is a million framed messages. `skip_run` walks whole messages of one type; for long
runs it finds the message starts in bulk: every place that could be a header (type byte, length below 64 KiB)
is a candidate, and the candidates that follow each other exactly by their lengths are the messages. A byte
pattern in the data that merely looks like a header breaks that chain and is stepped over; what the chain does
not explain is left to the plain loop, so the result is always the plain loop's.
"""

from __future__ import annotations

import struct

import numpy as np

from ringfort.pgwire.errors import ProtocolViolationError

_HEADER = struct.Struct(">BI").unpack_from
_PLAIN = 24  # messages to walk plainly before the bulk search is tried
_BULK_BYTES = 2_048  # and this much must be left
_MOST_BREAKS = 48


def skip_run(data: bytes, position: int, end: int, kind: int, most: int) -> tuple[int, int]:
    """Where a run of whole messages of type `kind` that starts at `position` ends, and how many they are.

    At most `most` messages are taken, none that reaches beyond `end`. Raises `ProtocolViolationError` for a
    length that cannot be.
    """
    rows = 0
    plain = _PLAIN
    head = end - 4
    least = 6 if kind == 0x44 else 4  # a DataRow holds at least its column count
    while position < head and rows < most:
        code, length = _HEADER(data, position)
        if code != kind:
            break
        if length < least:
            raise ProtocolViolationError("invalid message length from the site")
        following = position + 1 + length
        if following > end:
            break
        position = following
        rows += 1
        if rows >= plain:
            if end - position < _BULK_BYTES or most - rows < (end - position) // 5:
                plain = most
                continue
            position, found = _skip_bulk(data, position, end, kind, least)
            rows += found
            plain = rows + _PLAIN if found > _PLAIN else most
    return position, rows


def _skip_bulk(data: bytes, position: int, end: int, kind: int, least: int) -> tuple[int, int]:
    octets = np.frombuffer(data, np.uint8, end - position, position)
    marks = octets[:-4] == kind
    marks &= octets[1:-3] == 0
    marks &= octets[2:-2] == 0
    starts = marks.nonzero()[0]
    lengths = octets[starts + 3].astype(np.int64)
    lengths <<= 8
    lengths |= octets[starts + 4]
    if int(lengths.min(initial=least)) < least:
        possible = lengths >= least
        starts, lengths = starts[possible], lengths[possible]
    if not len(starts) or starts[0] != 0:
        return position, 0
    following = starts + lengths
    following += 1
    breaks = (following[:-1] != starts[1:]).nonzero()[0].tolist()
    breaks.append(len(starts) - 1)
    if len(breaks) > _MOST_BREAKS:
        return position, 0
    rows = 0
    index = 0
    reached = 0
    size = end - position
    for last in breaks:
        if last < index:
            continue
        # messages index..last follow each other exactly; only the very last can reach beyond the end
        reached = int(following[last])
        if reached > size:
            reached = int(starts[last])
            rows += last - index
            break
        rows += last - index + 1
        index = int(starts.searchsorted(reached))
        if index == len(starts) or starts[index] != reached:
            break
    return position + reached, rows


__all__ = ["skip_run"]
