"""The time and the salts that entries carry, made cheaply for whoever writes one for each statement."""

from __future__ import annotations

import os
import time
from typing import Final

SALT_BYTES: Final = 32
_POOL = SALT_BYTES * 128


class Stamps:
    """Wall-clock time as entries write it; formats the seconds once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def now(self) -> str:
        """RFC 3339, UTC, microseconds."""
        moment = time.time_ns()
        second = moment // 1_000_000_000
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return "%s%06dZ" % (self._prefix, moment % 1_000_000_000 // 1_000)  # noqa: UP031 - half the cost


class Salts:
    """Random 32-byte salts, drawn many at a time; each is given once."""

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def take(self) -> bytes:
        """A fresh salt."""
        at = self._at
        if at >= len(self._pool):
            self._pool = os.urandom(_POOL)
            at = 0
        self._at = at + SALT_BYTES
        return self._pool[at : at + SALT_BYTES]


STAMPS = Stamps()
SALTS = Salts()
