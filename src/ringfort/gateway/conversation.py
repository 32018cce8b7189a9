"""The slow part of a connection: startup and authentication, read message by message.

A `Conversation` is the protocol of a transport until the session is open; then `hand_over` sets the relay's
protocol and gives back what was read too far. It holds some KiB at most: reading pauses beyond that.
"""

from __future__ import annotations

import asyncio
from typing import cast

from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.framing import FrameReader
from ringfort.pgwire.startup import split_packet

READ_MOST = 65_536


class ConnectionGoneError(Exception):
    """The peer closed the connection; there is nobody to tell."""


class Conversation(asyncio.Protocol):
    """Bytes of one peer, awaited as startup packets or messages. One reader at a time.

    `kinds` are the message types that the peer may send; `limit` bounds a message.
    """

    def __init__(self, kinds: bytes, limit: int = READ_MOST) -> None:
        self.transport: asyncio.Transport | None = None
        self.plain: asyncio.Transport | None = None  # what is beneath `transport` once TLS has started
        self._kinds = kinds
        self._limit = limit
        self._bytes = b""
        self._reader: FrameReader | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        self._made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.greeted = False  # whether a whole startup packet has come

    async def made(self) -> None:
        """Wait for the transport: a server's protocol is made before it."""
        await self._made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; also called again when TLS has started."""
        self.plain, self.transport = self.transport, cast("asyncio.Transport", transport)
        if not self._made.done():
            self._made.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Keep `data` until it is asked for."""
        self._bytes += data
        if len(self._bytes) > READ_MOST and self.transport is not None:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Close our half, too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        del exc
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self) -> None:
        """Wait until something has come."""
        if self._lost or self.transport is None:
            raise ConnectionGoneError
        held = len(self._bytes)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            if not self.transport.is_closing():
                self.transport.resume_reading()
            await self._waiter
        finally:
            self._waiter = None
        self._require_more_than(held)

    def _require_more_than(self, held: int) -> None:
        if self._lost and len(self._bytes) == held:
            raise ConnectionGoneError

    async def startup_packet(self) -> bytes:
        """The body of the next startup packet; reading is paused then, `unread` is what came behind it."""
        while True:
            packet = split_packet(self._bytes)
            if packet is not None:
                body, self._bytes = packet
                self.greeted = True
                self.pause()
                return body
            await self._more()

    async def peek(self) -> int:
        """The first byte that the peer sends, which stays unread; reading is paused then."""
        while not self._bytes:
            await self._more()
        self.pause()
        return self._bytes[0]

    def take_unread(self) -> bytes:
        """What has come so far, which counts as read by this."""
        taken, self._bytes = self._bytes, b""
        return taken

    async def byte(self) -> bytes:
        """The next single byte (a server's answer to SSLRequest)."""
        while not self._bytes:
            await self._more()
        first, self._bytes = self._bytes[:1], self._bytes[1:]
        self.pause()
        return first

    async def message(self) -> tuple[int, bytes]:
        """The next message's type and body; raises `ProtocolViolationError` for one that is too long."""
        if self._reader is None:
            self._reader = FrameReader(self._limit, self._kinds)
        reader = self._reader
        while True:
            if self._bytes:
                reader.feed(self._bytes)
                self._bytes = b""
            kind = reader.next()
            if kind:
                if reader.oversize:
                    raise ProtocolViolationError("a message is too long")
                return kind, reader.data[reader.start : reader.end]
            await self._more()

    @property
    def unread(self) -> bytes:
        """What has come and was not read."""
        return (self._reader.remainder() if self._reader is not None else b"") + self._bytes

    def pause(self) -> None:
        """Read nothing more until somebody asks."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        """Send `data`; raises `ConnectionGoneError` if nobody is there."""
        if self._lost or self.transport is None:
            raise ConnectionGoneError
        self.transport.write(data)

    def close(self) -> None:
        """Close after what is queued has gone."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close now."""
        if self.transport is not None:
            self.transport.abort()

    def drop(self) -> None:
        """Close now, and see that nothing more is written."""
        self.abort()
        self._lost = True

    @property
    def lost(self) -> bool:
        """Whether the peer is gone."""
        return self._lost

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Give the transport, paused, to `protocol`; gives the transport and what was not read."""
        if self._lost or self.transport is None:
            raise ConnectionGoneError
        self.transport.pause_reading()
        self.transport.set_protocol(protocol)
        return self.transport, self.unread


__all__ = ["ConnectionGoneError", "Conversation"]
