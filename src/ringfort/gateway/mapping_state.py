"""How far the pseudonyms of a column are: a state machine, and what clients and operators are told of it.

    WAITING --begin--> FILLING --filled--> FILLED          failed: back to WAITING, with a fault
       ^-----------------lost------------------'           failed while FILLED: stays so, with a fault

A view can be read when every column whose pseudonyms it shows is FILLED. A fault belongs to one column: it is
tried again after a pause that doubles, and says since when and, in our own words, why. Pure: times come in.

What clients hear names their views only, per cent and seconds: how many rows a table has is not theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
SOON_SECONDS = 10.0  # a statement waits for pseudonyms that are expected within this
_FAULTS = {
    "57014": "reading it took longer than it is given",
    "42501": "the administrator may not read it",
    "55000": "it cannot be read at present, as a materialized view without data",
    "42P01": "it is not there any more",
}
LOCKED = "its lock was not to be had"
_CLASSES = {
    "55": LOCKED,
    "40": "it stood in a deadlock",
    "08": "the server or a foreign server does not answer",
    "HV": "its foreign server does not answer",
    "57": "the server ended the connection",
    "53": "the server has no room",
    "22": "it cannot be computed",
    "58": "the server could not read it",
}


class Stage(StrEnum):
    """Where a column is."""

    WAITING = "waiting"
    FILLING = "filling"
    FILLED = "filled"


def fault_words(sqlstate: str | None) -> str:
    """Why a relation could not be read, for the operator; the server's words may echo a value."""
    if not sqlstate:
        return "the server does not answer"
    words = _FAULTS.get(sqlstate) or _CLASSES.get(sqlstate[:2]) or "it cannot be read"
    return f"{words} (SQLSTATE {sqlstate})"


@dataclass(frozen=True)
class Waiting:
    """Why a view cannot be read yet: `percent` and `seconds` left, -1 where unknown; or it has a fault."""

    percent: int = -1
    seconds: int = -1
    fault: bool = False

    @property
    def soon(self) -> bool:
        """Whether it pays to wait for it."""
        return not self.fault and self.seconds <= SOON_SECONDS

    def to_json(self) -> list[Any]:
        """For a worker."""
        return [self.percent, self.seconds, self.fault]

    @classmethod
    def from_json(cls, value: list[Any]) -> Waiting:
        """The inverse of `to_json`."""
        percent, seconds, fault = value
        return cls(int(percent), int(seconds), fault is True)


def together(waiting: Iterable[Waiting]) -> Waiting | None:
    """What is said of several at once: the one that takes longest; None if there are none."""
    found = list(waiting)
    if not found:
        return None
    if any(each.fault for each in found):
        return Waiting(fault=True)
    unknown = [each for each in found if each.seconds < 0]
    percent = min(each.percent for each in found)
    return Waiting(percent, -1 if unknown else max(each.seconds for each in found))


def client_words(views: Iterable[str], waiting: Waiting) -> tuple[str, str]:
    """Message and hint for a statement that names `views`."""
    names = ", ".join(sorted(views))
    if waiting.fault:
        return (
            f"{names} cannot be read at present",
            "come again later; the operator sees why, the other relations can be read",
        )
    text = f"the pseudonyms of {names} are being prepared"
    if waiting.percent >= 0:
        text += f": {waiting.percent} %"
    if waiting.seconds >= 0:
        return f"{text}, about {waiting.seconds} s left", f"come again in {max(waiting.seconds, 1)} s"
    return text, "come again in a minute"


@dataclass
class Progress:
    """One column. `done` of about `expected` keys (-1: unknown) since `started`; the last `fault`, if any."""

    stage: Stage = Stage.WAITING
    done: int = 0
    expected: int = -1
    started: float = 0.0
    fault: str = ""
    since: float = 0.0
    pause: float = 0.0
    due: float = field(default=0.0)

    @property
    def filled(self) -> bool:
        """Whether views over the column can be read."""
        return self.stage is Stage.FILLED

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1; of unknown size half."""
        if self.stage is Stage.FILLED:
            return 1.0
        if self.stage is Stage.WAITING or not self.done:
            return 0.0
        return min(self.done / self.expected, 0.99) if self.expected > 0 else 0.5

    def begin(self, expected: int, now: float) -> None:
        """The keys are being read; of a column that is filled already only what is new."""
        if self.stage is not Stage.FILLED:
            self.stage, self.done, self.expected, self.started = Stage.FILLING, 0, expected, now

    def finish(self) -> None:
        """Every key that was there has its pseudonym."""
        self.stage, self.fault, self.pause, self.due = Stage.FILLED, "", 0.0, 0.0

    def lose(self) -> None:
        """What was filled is gone."""
        if self.stage is Stage.FILLED:
            self.stage = Stage.WAITING

    def fail(self, fault: str, now: float, clock: float) -> bool:
        """It could not be read; true if that is news. `clock`: seconds since 1970."""
        news = fault != self.fault
        if not self.fault:
            self.since = clock
        self.fault = fault
        self.pause = min(max(FIRST_PAUSE, self.pause * 2), LONGEST_PAUSE)
        self.due = now + self.pause
        if self.stage is Stage.FILLING:
            self.stage = Stage.WAITING
        return news

    def waiting(self, now: float) -> Waiting | None:
        """What there is to wait for, None if nothing."""
        if self.stage is Stage.FILLED:
            return None
        if self.fault:
            return Waiting(fault=True)
        if self.stage is Stage.WAITING or self.expected <= 0 or not self.done:
            return Waiting()
        share = min(self.done / self.expected, 0.99)
        left = (now - self.started) * (1 - share) / share
        return Waiting(int(share * 100), round(left))


__all__ = [
    "LOCKED",
    "LONGEST_PAUSE",
    "SOON_SECONDS",
    "Progress",
    "Stage",
    "Waiting",
    "client_words",
    "fault_words",
    "together",
]
