"""Lines about what strangers can cause at will: the first of a kind at once, the rest as a count."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10.0
MOST_KINDS = 10
OTHER = "other reasons"


class Counted:
    """Says at most `2 * (MOST_KINDS + 1)` lines in `seconds`, whatever comes.

    `say(count, kind)` writes a line; `kind` is of our own words. It runs in the loop of whoever notes.
    """

    def __init__(self, say: Callable[[int, str], None], seconds: float = SECONDS) -> None:
        self._say = say
        self._seconds = seconds
        self._unsaid: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, kind: str) -> None:
        """It happened once more."""
        if kind not in self._unsaid and len(self._unsaid) >= MOST_KINDS:
            kind = OTHER
        if kind in self._unsaid:
            self._unsaid[kind] += 1
            return
        self._unsaid[kind] = 0
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self.close)
        self._say(1, kind)

    def close(self) -> None:
        """Say what was counted until now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        unsaid, self._unsaid = self._unsaid, {}
        for kind, count in unsaid.items():
            if count:
                self._say(count, kind)


__all__ = ["MOST_KINDS", "OTHER", "Counted"]
