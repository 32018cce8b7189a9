"""The data types of protocol messages: integers, NUL-terminated strings, byte runs. Strict.

PostgreSQL documentation, section "Message Data Types". A `FieldReader` never reads beyond its message and
never allocates from a length that the message does not hold; `finish` refuses bytes that are left over.
"""

from __future__ import annotations

import struct

from ringfort.pgwire.errors import ProtocolViolationError

INT16 = struct.Struct(">h")
UINT16 = struct.Struct(">H")
INT32 = struct.Struct(">i")
UINT32 = struct.Struct(">I")


class FieldReader:
    """Reads the fields of one message body in order; raises `ProtocolViolationError` when they do not fit."""

    __slots__ = ("body", "end", "position")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.position = 0
        self.end = len(body)

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self.position
        if size < 0 or size > self.end - start:
            raise ProtocolViolationError("insufficient data left in message")
        self.position = start + size
        return self.body[start : start + size]

    def byte(self) -> int:
        """Byte1 as a number."""
        return self.take(1)[0]

    def int16(self) -> int:
        """Int16, signed."""
        value: int = INT16.unpack(self.take(2))[0]
        return value

    def uint16(self) -> int:
        """Int16 as PostgreSQL reads counts: unsigned."""
        value: int = UINT16.unpack(self.take(2))[0]
        return value

    def int32(self) -> int:
        """Int32, signed."""
        value: int = INT32.unpack(self.take(4))[0]
        return value

    def uint32(self) -> int:
        """Int32 as an unsigned number (OIDs, process numbers)."""
        value: int = UINT32.unpack(self.take(4))[0]
        return value

    def string(self) -> bytes:
        """String: bytes up to a NUL, which is consumed."""
        stop = self.body.find(0, self.position)
        if stop < 0:
            raise ProtocolViolationError("invalid string in message")
        value = self.body[self.position : stop]
        self.position = stop + 1
        return value

    def value(self) -> bytes | None:
        """Int32 length and that many bytes; a length of -1 is NULL, any other negative one is refused."""
        size = self.int32()
        if size == -1:
            return None
        return self.take(size)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.end - self.position)

    def finish(self) -> None:
        """Refuse bytes that are left over."""
        if self.position != self.end:
            raise ProtocolViolationError("invalid message format")


def string(value: bytes) -> bytes:
    """`value` NUL-terminated; raises `ProtocolViolationError` if it holds a NUL itself."""
    if b"\0" in value:
        raise ProtocolViolationError("a string in a message holds a NUL")
    return value + b"\0"


def value(data: bytes | None) -> bytes:
    """Length and bytes; None is NULL."""
    return b"\xff\xff\xff\xff" if data is None else UINT32.pack(len(data)) + data


def message(kind: bytes, body: bytes) -> bytes:
    """One framed message: type byte, length (which counts itself), body."""
    return kind + UINT32.pack(len(body) + 4) + body


__all__ = ["INT16", "INT32", "UINT16", "UINT32", "FieldReader", "message", "string", "value"]
