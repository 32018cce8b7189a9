"""The limits of a session that time brings: idle, its whole length, statements in a minute.

One sweep of the worker looks at every session about once a second and asks `SessionClock.look`; nothing is
done per statement and no session has a timer. So a session ends up to two seconds after a limit is met, and a
burst can exceed the statements of a minute by what fits into that time; each of them is on record all the
same. Rows and bytes are counted where they pass (`pgwire.exchange`). Pure: told the time, never asks for it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ringfort.gateway.settings import Limits

MINUTE_LOOKS = 60


class End(NamedTuple):
    """Why and how a session ends: what `Relay.end` takes."""

    sqlstate: str
    text: str
    hint: str
    outcome: str


class SessionClock:
    """What is remembered of one session from look to look."""

    __slots__ = ("_active", "_issued", "_limits", "_progress", "opened")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.opened = now
        self._active = now
        self._progress: tuple[int, ...] = ()
        self._issued: deque[int] = deque([0], maxlen=MINUTE_LOOKS + 1)

    def idle(self, now: float) -> float:
        """For how many seconds nothing was seen to happen."""
        return now - self._active

    def look(
        self, now: float, progress: tuple[int, ...], *, at_work: bool, in_transaction: bool
    ) -> End | None:
        """Whether the session must end.

        `progress` are counters that grow when something happens, statements issued first; `at_work` says that
        the site owes the client an answer, however long it takes.
        """
        limits = self._limits
        if at_work or progress != self._progress:
            self._active = now
            self._progress = progress
        if limits.session_seconds and now - self.opened >= limits.session_seconds:
            return End(
                "53400",
                "the session has reached its limit of time",
                "connect again: a new decision is made",
                "limit of time",
            )
        if limits.idle_seconds and now - self._active >= limits.idle_seconds:
            if in_transaction:
                text = "the session was idle in a transaction for too long"
                return End("25P03", text, "end transactions that are done", "idle")
            return End("57P05", "the session was idle for too long", "connect again", "idle")
        if limits.statements_per_minute:
            self._issued.append(progress[0])
            if self._issued[-1] - self._issued[0] > limits.statements_per_minute:
                return End(
                    "53400",
                    "the session has reached its limit of statements per minute",
                    "send fewer, larger statements; connect again",
                    "limit of statements",
                )
        return None


__all__ = ["MINUTE_LOOKS", "End", "SessionClock"]
