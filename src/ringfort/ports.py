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


class KeyEncryptionKey(Protocol):
    """A key that encrypts secrets for storage and is kept apart from them: a file of its own, or a token."""

    @property
    def id(self) -> str:
        """Names this key and its store, such as `file:...`; reveals nothing about the key."""
        ...

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """`secret` encrypted and bound to `context`."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The inverse; raises a RingfortError for another key or context, or for bytes that were changed."""
        ...
