"""What the pure core asks of the outside world, as protocols.

Clock, randomness and storage are passed in, so that everything above can be tested as a function of values.
Simulators for tests implement these; nothing patches our own code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, UTC."""
        ...


class Randomness(Protocol):
    """A source of cryptographically secure random bytes."""

    def token(self, size: int) -> bytes:
        """`size` unpredictable bytes."""
        ...


class LedgerStore(Protocol):
    """Read access to a published log: a folder, an HTTP origin, or memory."""

    def read(self, path: str) -> bytes | None:
        """The resource at a tlog-tiles path such as `checkpoint` or `tile/0/000`, None if there is none."""
        ...


class KeyStore(Protocol):
    """Custody of secrets by name; which process may open which name is the edge's business."""

    def get(self, name: str) -> bytes:
        """The secret called `name`; raises a RingfortError if it is not held."""
        ...
