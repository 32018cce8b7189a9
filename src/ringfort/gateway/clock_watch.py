"""The machine's clock, watched: how far it jumped, and whether it contradicts the record.

Terms: the clock is what the machine says the time is, and can be set; monotonic time only goes on. A session
that stands on a grant ends by whichever comes first. Nothing is decided while the clock is more than
`TOLERANCE` behind the newest entry of the control log: either of the two is wrong, and grants in force were
not shown this time yet. The next entry shows it to them (`ledger.grants`), and decisions go on: what a wrong
clock can have touched is over by then. Pure; told both times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.errors import RingfortError
from ringfort.ledger.grants import TOLERANCE, moment

if TYPE_CHECKING:
    from datetime import datetime

    from ringfort.ledger.folds import ControlState

JUMP_SECONDS = 5.0
"""A difference between clock and monotonic time from look to look that is worth a line in the log."""


class ClockContradictsError(RingfortError):
    """The machine's clock is behind the record: nothing is decided on it."""

    default_sqlstate = "57P03"  # cannot_connect_now


class ClockWatch:
    """Compares the clock with monotonic time, from look to look."""

    def __init__(self, clock: float, monotonic: float) -> None:
        self._clock, self._monotonic = clock, monotonic

    def look(self, clock: float, monotonic: float) -> float:
        """By how many seconds the clock jumped since the last look; 0 if it did not."""
        jumped = (clock - self._clock) - (monotonic - self._monotonic)
        self._clock, self._monotonic = clock, monotonic
        return jumped if abs(jumped) >= JUMP_SECONDS else 0.0


class Deadline:
    """The end of something, by the clock or by monotonic time from now on, whichever comes first."""

    def __init__(self, until: float, clock: float, monotonic: float) -> None:
        self._until, self._monotonic = until, monotonic + until - clock

    def left(self, clock: float, monotonic: float) -> float:
        """Seconds that are left; 0 or less if it is over."""
        return min(self._until - clock, self._monotonic - monotonic)


def require_clock(state: ControlState, now: datetime) -> None:
    """Raise ClockContradictsError if the clock is behind the newest entry by more than is tolerated."""
    if state.time and now < moment(state.time) - TOLERANCE:
        raise ClockContradictsError(
            "the clock of the gateway's machine is behind the record: nothing is decided on it",
            hint="try again in a minute; the operator looks at the machine's time service",
        )


__all__ = ["JUMP_SECONDS", "ClockContradictsError", "ClockWatch", "Deadline", "require_clock"]
