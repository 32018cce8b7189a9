"""The real clock, the real randomness and who runs this process, for the edge to pass in."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        return datetime.now(UTC)


class SystemRandomness:
    """The operating system's random generator."""

    def token(self, size: int) -> bytes:
        """`size` unpredictable bytes."""
        return os.urandom(size)


def operator_name() -> str:
    """The operating system's name for who runs this process, its number if it has none.

    For acts on record that ask for no password: taken from the account, never from the environment.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
