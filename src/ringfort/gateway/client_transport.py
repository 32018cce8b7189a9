"""A client's transport that takes no more from the client once it closes.

Closing TLS waits for the client's own closing, and the TLS layer reads, decrypts and throws away whatever
comes before that: a client that goes on sending would cost as much as one that is served. So the connection
beneath is not read while it closes, but for a turn of the loop at each of `LOOKS`: a client that has left is
noticed then. What a client can send meanwhile is bounded by what a turn reads and by the system's buffers.
Whoever closes sees to a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib

LOOKS = (0.1, 0.6, 2.0)


class ClientTransport:
    """Implements `relay_ports.Transport`; `plain` is the connection beneath TLS, None without."""

    def __init__(self, transport: asyncio.Transport, plain: asyncio.Transport | None) -> None:
        self._transport = transport
        self._plain = plain
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.abort = transport.abort

    def close(self) -> None:
        """Close after what is queued has gone; what comes meanwhile is not read."""
        self._transport.close()
        if self._plain is not None:
            self._stop()
            loop = asyncio.get_running_loop()
            for seconds in LOOKS:
                loop.call_later(seconds, self._look)

    def _look(self) -> None:
        if self._plain is not None and not self._plain.is_closing():
            self._plain.resume_reading()
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._stop)  # what is ready is read between the two

    def _stop(self) -> None:
        if self._plain is not None and not self._plain.is_closing():
            with contextlib.suppress(RuntimeError):  # the TLS layer may have stopped it already
                self._plain.pause_reading()


__all__ = ["LOOKS", "ClientTransport"]
