"""Frames between the writer and its clients, over a unix stream socket. Pure.

A frame is `length u32 | kind u8 | payload`; the length counts the payload. Integers are big-endian.

    client -> writer
    HELLO    JSON {"v": 1, "actor": text, "follow": bool}
    TRAFFIC  items `flags u8 | entry length u16 | evidence length u32 | entry | evidence`; flag 1: no answer
    wanted APPEND   request u32 | head length u32 | JSON head | entries | blobs
             head {"entries": [lengths], "blobs": [lengths], "condition": null or {"keys": [...], "since": n}}
    writer -> client
    WELCOME  JSON {"v": 1, "origin": text, "control_size": n}
    CONTROL  first index u64, then (u16 length, entry)*: the control log, from the start, each entry once
    ACK      (count u32, durable u8)*: answers to TRAFFIC items in their order
    REFUSED  JSON {"message", "hint"}: why an item was refused (the ACK follows)
    REPLY    request u32 | JSON {"ok": true, "indices": [...]} or {"ok": false, "condition": bool, "message",
    "hint"} FAILED   JSON {"message", "hint"}: the writer can write no more; it closes the connection
"""

from __future__ import annotations

import struct
from typing import Any

import orjson

from ringfort.record.errors import RecordError

VERSION = 1
HELLO, TRAFFIC, APPEND = 0x01, 0x02, 0x03
WELCOME, CONTROL, ACK, REFUSED, REPLY, FAILED = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86
NO_ANSWER = 1
MAX_FRAME_BYTES = 64 << 20
HEADER = struct.Struct(">IB")
ITEM = struct.Struct(">BHI")
RUN = struct.Struct(">IB")
INDEX = struct.Struct(">Q")
LENGTH = struct.Struct(">H")
_REQUEST = struct.Struct(">II")
_NUMBER = struct.Struct(">I")


class FrameError(RecordError):
    """Bytes that are no frame: the connection is of no more use."""

    default_sqlstate = "08P01"  # protocol_violation


def frame(kind: int, payload: bytes) -> bytes:
    """One frame."""
    return HEADER.pack(len(payload), kind) + payload


def json_frame(kind: int, value: dict[str, Any]) -> bytes:
    """One frame whose payload is JSON."""
    return frame(kind, orjson.dumps(value))


def read_json(payload: bytes) -> dict[str, Any]:
    """The JSON object in a payload; raises FrameError."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise FrameError("a frame holds no JSON") from None
    if not isinstance(value, dict):
        raise FrameError("a frame holds no JSON object")
    return value


class FrameReader:
    """Bytes in, frames out; split anywhere."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that `data` completes, as (kind, payload); raises FrameError if one is too long."""
        buffer = self._buffer + data if self._buffer else data
        frames: list[tuple[int, bytes]] = []
        position, end = 0, len(buffer)
        while end - position >= 5:
            length, kind = HEADER.unpack_from(buffer, position)
            if length > MAX_FRAME_BYTES:
                raise FrameError("a frame is too long")
            after = position + 5 + length
            if after > end:
                break
            frames.append((kind, buffer[position + 5 : after]))
            position = after
        self._buffer = buffer[position:] if position else buffer
        return frames


def traffic_items(payload: bytes) -> list[tuple[int, bytes, bytes]]:
    """The items (flags, entry, evidence) of a TRAFFIC frame; raises FrameError."""
    items: list[tuple[int, bytes, bytes]] = []
    position, end = 0, len(payload)
    unpack, head = ITEM.unpack_from, ITEM.size
    try:
        while position < end:
            flags, entry_length, evidence_length = unpack(payload, position)
            middle = position + head + entry_length
            after = middle + evidence_length
            items.append((flags, payload[position + head : middle], payload[middle:after]))
            position = after
    except struct.error:
        raise FrameError("a traffic item is cut off") from None
    if position != end:
        raise FrameError("a traffic item is cut off")
    return items


def append_payload(
    request: int,
    entries: list[bytes],
    blobs: list[bytes],
    condition: tuple[tuple[str, ...], int] | None,
) -> bytes:
    """The payload of an APPEND frame; `read_append` is the inverse."""
    head = orjson.dumps(
        {
            "entries": [len(each) for each in entries],
            "blobs": [len(each) for each in blobs],
            "condition": None if condition is None else {"keys": list(condition[0]), "since": condition[1]},
        }
    )
    return b"".join([_REQUEST.pack(request, len(head)), head, *entries, *blobs])


def read_append(
    payload: bytes,
) -> tuple[int, list[bytes], list[bytes], tuple[tuple[str, ...], int] | None]:
    """(request, entries, blobs, condition) of an APPEND frame; raises FrameError."""
    if len(payload) < _REQUEST.size:
        raise FrameError("an append is cut off")
    request, length = _REQUEST.unpack_from(payload)
    position = _REQUEST.size + length
    head = read_json(payload[_REQUEST.size : position])
    parts: list[list[bytes]] = []
    for name in ("entries", "blobs"):
        lengths = head.get(name)
        if not isinstance(lengths, list) or not all(type(each) is int and each >= 0 for each in lengths):
            raise FrameError("an append names no lengths")
        found: list[bytes] = []
        for each in lengths:
            found.append(payload[position : position + each])
            position += each
        parts.append(found)
    if position != len(payload):
        raise FrameError("an append is cut off")
    return request, parts[0], parts[1], _condition(head.get("condition"))


def _condition(value: object) -> tuple[tuple[str, ...], int] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        keys, since = value.get("keys"), value.get("since")
        if isinstance(keys, list) and all(isinstance(each, str) for each in keys) and type(since) is int:
            return tuple(keys), since
    raise FrameError("an append has a malformed condition")


def reply(request: int, value: dict[str, Any]) -> bytes:
    """A REPLY frame."""
    return frame(REPLY, _NUMBER.pack(request) + orjson.dumps(value))


def read_reply(payload: bytes) -> tuple[int, dict[str, Any]]:
    """(request, value) of a REPLY frame; raises FrameError."""
    if len(payload) < _NUMBER.size:
        raise FrameError("a reply is cut off")
    return _NUMBER.unpack_from(payload)[0], read_json(payload[_NUMBER.size :])


def control_frame(first: int, entries: list[bytes]) -> bytes:
    """A CONTROL frame."""
    parts = [INDEX.pack(first)]
    for each in entries:
        parts += (LENGTH.pack(len(each)), each)
    return frame(CONTROL, b"".join(parts))


def read_control(payload: bytes) -> tuple[int, list[bytes]]:
    """(first index, entries) of a CONTROL frame; raises FrameError."""
    entries: list[bytes] = []
    position = INDEX.size
    try:
        (first,) = INDEX.unpack_from(payload)
        while position < len(payload):
            (length,) = LENGTH.unpack_from(payload, position)
            position += LENGTH.size
            entries.append(payload[position : position + length])
            position += length
    except struct.error:
        raise FrameError("a control frame is cut off") from None
    if position != len(payload):
        raise FrameError("a control frame is cut off")
    return first, entries


def ack(runs: list[tuple[int, bool]]) -> bytes:
    """An ACK frame of runs (count, durable)."""
    return frame(ACK, b"".join(RUN.pack(count, durable) for count, durable in runs))


def read_ack(payload: bytes) -> list[tuple[int, bool]]:
    """The runs of an ACK frame; raises FrameError."""
    if len(payload) % RUN.size:
        raise FrameError("an acknowledgement is cut off")
    return [(count, durable == 1) for count, durable in RUN.iter_unpack(payload)]
