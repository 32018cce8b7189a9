"""A private unix socket for a process without an event loop: one request, one answer, for each connection.

The framing, the file mode and the check of the peer are those of `ipc`, whose client speaks to it. A client
that does not say its request within `PEER_SECONDS` is cut off.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfort.errors import RingfortError
from ringfort.gateway.ipc import FrameReader, bind_private, encode_frame, refusal, runs_as_us

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

PEER_SECONDS = 2.0


class RequestSocket:
    """Listens at `path`; `serve` answers one request when `fileno` is readable."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = bind_private(path)
        self._socket.listen(8)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def serve(self, handler: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        """Answer who waits with `handler(op, fields)`; its `RingfortError` is the answer, too."""
        with contextlib.suppress(OSError):
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(PEER_SECONDS)
                request = _request(connection)
                if request is not None:
                    connection.sendall(_answer(request, handler))

    def close(self) -> None:
        """Stop listening and remove the socket's file."""
        self._socket.close()
        Path(self._path).unlink(missing_ok=True)


def _request(connection: socket.socket) -> dict[str, Any] | None:
    if not runs_as_us(connection):
        return None
    reader = FrameReader()
    with contextlib.suppress(RingfortError):
        while data := connection.recv(65_536):
            for message in reader.feed(data):
                return message
    return None


def _answer(request: dict[str, Any], handler: Callable[[str, dict[str, Any]], dict[str, Any]]) -> bytes:
    number, op = request.pop("id", None), str(request.pop("op", ""))
    try:
        return encode_frame({**handler(op, request), "id": number, "ok": True})
    except RingfortError as error:
        return refusal(number, error)


__all__ = ["RequestSocket"]
