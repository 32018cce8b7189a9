"""The limits of a session that time brings: idle, its whole length, statements and evidence in a minute.

One sweep of the worker looks at every session about once a second and asks `SessionClock.look`; nothing is
done per statement and no session has a timer. So a session ends up to two seconds after a limit is met, and a
burst can exceed the statements or the evidence of a minute by what fits into that time; all of it is on
record. What a session put into evidence in its last minute counts against the first minute of the next one of
its principal, so that connecting again gains nothing. Rows and bytes are counted where they pass
(`pgwire.exchange`). Pure: told the time, never asks for it.
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

    __slots__ = ("_active", "_carried", "_evidence", "_issued", "_limits", "_progress", "opened")

    def __init__(self, limits: Limits, now: float, carried: int = 0) -> None:
        self._limits = limits
        self.opened = now
        self._active = now
        self._progress: tuple[int, ...] = ()
        self._issued: deque[int] = deque([0], maxlen=MINUTE_LOOKS + 1)
        self._evidence: deque[int] = deque([0], maxlen=MINUTE_LOOKS + 1)
        self._carried = carried

    def idle(self, now: float) -> float:
        """For how many seconds nothing was seen to happen."""
        return now - self._active

    def evidence_of_last_minute(self, evidence: int) -> int:
        """How many of `evidence` bytes since the session began are of about the last minute."""
        return evidence - self._evidence[0]

    def look(
        self, now: float, progress: tuple[int, ...], evidence: int = 0, *, at_work: bool, in_transaction: bool
    ) -> End | None:
        """Whether the session must end.

        `progress` are counters that grow when something happens, statements issued first; `evidence` the
        bytes of evidence since the session began; `at_work` says that the site owes the client an answer,
        however long it takes.
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
        if limits.evidence_bytes_per_minute:
            spent = self.evidence_of_last_minute(evidence)
            if now - self.opened < MINUTE_LOOKS:
                spent += self._carried
            self._evidence.append(evidence)
            if spent > limits.evidence_bytes_per_minute:
                return End(
                    "53400",
                    "the session has reached its limit of evidence per minute",
                    "statements and their parameters are kept as evidence: send less, or more slowly",
                    "limit of evidence",
                )
        return None


class SpentEvidence:
    """What sessions that have ended put into evidence in the last minute, by principal."""

    def __init__(self) -> None:
        self._spent: dict[str, deque[tuple[float, int]]] = {}

    def add(self, principal: str, now: float, size: int) -> None:
        """A session of this principal ended."""
        if size:
            self._spent.setdefault(principal, deque()).append((now, size))

    def of(self, principal: str, now: float) -> int:
        """Bytes of the last minute."""
        for name in [each for each, found in self._spent.items() if found[-1][0] <= now - MINUTE_LOOKS]:
            del self._spent[name]
        found = self._spent.get(principal, deque())
        while found and found[0][0] <= now - MINUTE_LOOKS:
            found.popleft()
        return sum(size for _, size in found)


__all__ = ["MINUTE_LOOKS", "End", "SessionClock", "SpentEvidence"]
