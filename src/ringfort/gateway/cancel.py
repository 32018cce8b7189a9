"""Cancel keys that name their worker, and cancel requests on their way to it.

A client's cancel request comes over a connection of its own, which any worker may take. The upper bits of the
process number in a key are the worker's slot; the worker that took the request hands it to that one's private
socket (`workers.worker_socket`), which compares the whole key in constant time. The other 23 bits of the
number and the secret (4 bytes in protocol 3.0, 32 in 3.2) are random: the slot alone helps nobody to guess.

Anybody who can connect can send cancel requests, so few are on their way at a time; more are dropped, as is
one for a worker that is not there. A client never hears what became of it, as with PostgreSQL.
"""

from __future__ import annotations

import contextlib
import hmac
import os
from base64 import b64encode
from typing import TYPE_CHECKING

from ringfort.gateway.ipc import IpcClient, IpcError
from ringfort.gateway.workers import worker_socket
from ringfort.pgwire.startup import SHORT_KEY

if TYPE_CHECKING:
    from collections.abc import Container

    from ringfort.pgwire.startup import CancelRequest

LONG_KEY = 32  # bytes, as PostgreSQL 18 makes them
RANDOM_BITS = 23
FORWARD_SECONDS = 2.0
FORWARDED_MOST = 32


def make_key(slot: int, taken: Container[int], *, long: bool) -> tuple[int, bytes]:
    """A process number that is not among `taken`, and a secret."""
    while True:
        number = slot << RANDOM_BITS | int.from_bytes(os.urandom(3), "big") >> 1
        if number and number not in taken:
            return number, os.urandom(LONG_KEY if long else SHORT_KEY)


def slot_of(process: int) -> int:
    """The slot of the worker whose session has this number; may be of no worker at all."""
    return process >> RANDOM_BITS


def is_key(given: bytes, secret: bytes | None) -> bool:
    """Whether `given` is the secret, in a time that says nothing; None: there is no such session."""
    right = bytes(SHORT_KEY) if secret is None else secret
    return hmac.compare_digest(given, right) and secret is not None


class CancelForwarder:
    """Hands cancel requests to other workers."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._under_way = 0

    async def forward(self, request: CancelRequest) -> None:
        """Hand it over; never fails."""
        if not self._folder or self._under_way >= FORWARDED_MOST:
            return
        self._under_way += 1
        client = IpcClient(worker_socket(self._folder, slot_of(request.process)), timeout=FORWARD_SECONDS)
        try:
            with contextlib.suppress(IpcError):
                await client.request(
                    "cancel", process=request.process, secret=b64encode(request.secret).decode()
                )
        finally:
            client.close()
            self._under_way -= 1


__all__ = ["LONG_KEY", "CancelForwarder", "is_key", "make_key", "slot_of"]
