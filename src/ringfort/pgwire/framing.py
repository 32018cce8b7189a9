"""Bytes in, framed messages out, cut anywhere; bounded.

`FrameReader` serves the frontend side: it holds at most one incomplete message and refuses impossible lengths
before it buffers anything. A message longer than the limit of its type is reported once, at its start, with
`oversize` set, and its body is then dropped as it comes, so that no client can make us hold it. A type that
is not expected is refused before its body is awaited.

PostgreSQL documentation, chapter "Frontend/Backend Protocol", "Message Formats". The length is an Int32 that
counts itself: under 4 or negative is refused.
"""

from __future__ import annotations

from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.fields import UINT32

_LENGTH_AT = UINT32.unpack_from
MAX_FRAME = 0x3FFF_FFFF  # PostgreSQL's own PQ_LARGE_MESSAGE_LIMIT (1 GiB - 1)


class FrameReader:
    """Messages with a type byte. After `next` gave a type, `data[start:end]` is the body.

    `data` is what is being read, `position` where the next message starts. A caller that forwards raw bytes
    may take `data[start - 5:end]`, or a range over several messages, for as long as it feeds nothing.
    """

    __slots__ = (
        "_chunks",
        "_kinds",
        "_limit",
        "_missing",
        "_skip",
        "data",
        "end",
        "idle",
        "oversize",
        "position",
        "start",
    )

    def __init__(self, limit: int, kinds: bytes) -> None:
        self._limit = limit
        self._kinds = kinds
        self._chunks: list[bytes] = []
        self._missing = 0
        self._skip = 0
        self.data = b""
        self.position = 0
        self.start = 0
        self.end = 0
        self.oversize = 0
        self.idle = True  # nothing is held, nothing is being dropped

    @property
    def buffered(self) -> int:
        """How many bytes are held that have not been read as messages."""
        return len(self.data) - self.position + sum(map(len, self._chunks))

    def feed(self, data: bytes) -> None:
        """Take `data`; what an earlier feed left unread stays in front of it."""
        self.idle = False
        if self._skip:
            dropped = min(self._skip, len(data))
            self._skip -= dropped
            data = data[dropped:]
        if self._chunks:
            self._chunks.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._chunks)
            self._chunks.clear()
        elif self.position < len(self.data):
            data = self.data[self.position :] + data
        self._missing = 0
        self.data = data
        self.position = 0

    def next(self) -> int:
        """The type byte of the next whole message, or 0 if there is none yet.

        `oversize` is the body's size if the message was longer than the limit (its body is then empty), else
        0. Raises `ProtocolViolationError` for a type or a length that cannot be.
        """
        data = self.data
        position = self.position
        held = len(data) - position
        if held < 5:
            self.idle = not held and not self._skip and not self._chunks
            if held and data[position] not in self._kinds:
                raise ProtocolViolationError("invalid message type")
            return 0
        if data[position] not in self._kinds:
            raise ProtocolViolationError("invalid message type")
        length: int = _LENGTH_AT(data, position + 1)[0]
        if length <= held - 1:
            if length < 4:
                raise ProtocolViolationError("invalid message length")
            kind = data[position]
            self.start = position + 5
            self.end = self.position = position + 1 + length
            self.oversize = 0
            if length > self._limit:
                self.oversize = length - 4
                self.start = self.end
            return kind
        if length > MAX_FRAME:
            raise ProtocolViolationError("invalid message length")
        if length > self._limit:
            self.oversize = length - 4
            self._skip = length + 1 - held
            self.start = self.end = self.position = len(data)
            return data[position]
        if not self._chunks:
            self._chunks.append(data[position:])
            self._missing = length + 1 - held
            self.data = b""
            self.position = 0
        return 0

    def remainder(self) -> bytes:
        """All that was fed and not given as messages."""
        return b"".join(self._chunks) if self._chunks else self.data[self.position :]

    def rewind(self, size: int) -> None:
        """Let the message that `next` just gave be given again; `size` is its whole size."""
        self.position -= size


__all__ = ["MAX_FRAME", "FrameReader"]
