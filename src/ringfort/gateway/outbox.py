"""What goes to the sites goes at the end of a turn of the loop, after the records of that turn.

Forwarding a statement wakes a server process, and with it often loses the processor. Done at once, the
records of all statements that came in one turn would wait for that, and with them every answer. So what is
forwarded is put into the worker's one `Outbox`; the ledger channel has queued its own write before it. Then
the writer's disk works while the sites do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Outbox:
    """What is to be sent to sites in this turn of the loop, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queued: list[tuple[asyncio.WriteTransport, bytes]] = []

    def put(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write `data` to `transport` at the end of the turn, unless it is closing by then."""
        if not self._queued:
            self._loop.call_soon(self._flush)
        self._queued.append((transport, data))

    def _flush(self) -> None:
        queued, self._queued = self._queued, []
        for transport, data in queued:
            if not transport.is_closing():
                transport.write(data)


class OutgoingSite:
    """A site's transport whose writes go through the outbox."""

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self._transport = transport
        self._put = outbox.put
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.abort = transport.abort

    def write(self, data: bytes) -> None:
        """Send `data` in this turn of the loop."""
        self._put(self._transport, data)


__all__ = ["Outbox", "OutgoingSite"]
