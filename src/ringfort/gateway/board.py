"""What the workers of one gateway share without asking anybody: a page of memory, and locks on it.

The supervisor makes one anonymous file in memory and gives its descriptor to every worker. It holds one
number for each worker: how many connections it has, so that a new connection goes to the one with fewest.
Locks on ranges far behind it are *seats*: at most N sessions of one principal hold one each, over all
workers. The kernel lets go of a dead worker's locks, so no seat is ever lost.

Invariants: a number is written by its worker alone, and cleared by the supervisor when the worker is gone;
nothing secret stands here, and nothing here decides what a session may see. Left out: anything that must
survive the gateway.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os

SLOTS = 256
"""Workers that there can be at once, those that finish their sessions included."""
_WORD = 4
_SIZE = SLOTS * _WORD
_SEATS_BITS = 16
_NAME_BYTES = 5


def make_board() -> int:
    """A new board's descriptor."""
    descriptor = os.memfd_create("ringfort-board", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class Board:
    """One process's view of the board; `slot` is its own place, -1 for who only looks.

    Keep it for the life of the process: a view that goes away takes all seats of the process with it.
    """

    def __init__(self, descriptor: int, slot: int = -1) -> None:
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, _SIZE)
        self._loads = memoryview(self._map).cast("I")
        self._slot = slot
        self._held: set[int] = set()

    # -- loads ---------------------------------------------------------------------------------------

    def tell(self, load: int) -> None:
        """This worker accepts connections and has `load` of them."""
        self._loads[self._slot] = load + 1

    def withdraw(self, slot: int | None = None) -> None:
        """A worker (this one) accepts no more."""
        self._loads[self._slot if slot is None else slot] = 0

    def lightest(self) -> int | None:
        """The fewest connections that a worker has which accepts; None if nobody does."""
        return min(filter(None, self._loads), default=0) - 1 if any(self._loads) else None

    # -- seats ---------------------------------------------------------------------------------------

    def take_seat(self, name: str, most: int) -> int | None:
        """One of `most` seats for `name`, or None if all are taken; give it back with `leave_seat`.

        Two names whose digests begin with the same 40 bits share their seats.
        """
        first = self._first(name)
        for seat in range(first, first + min(most, 1 << _SEATS_BITS)):
            if seat in self._held:
                continue
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, seat)
            except OSError:
                continue
            self._held.add(seat)
            return seat
        return None

    def leave_seat(self, seat: int) -> None:
        """Give a seat back."""
        self._held.discard(seat)
        with contextlib.suppress(OSError):
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, seat)

    @staticmethod
    def _first(name: str) -> int:
        digest = hashlib.sha256(name.encode()).digest()[:_NAME_BYTES]
        return (1 + int.from_bytes(digest, "big")) << _SEATS_BITS


__all__ = ["SLOTS", "Board", "make_board"]
