"""Which text the parser reads next: fair by principal and session, bounded by cost, never without limit.

Texts stand in two lanes by their length, since the length bounds what a text can cost: a short one is read in
milliseconds whatever stands in it. In a lane the principals take turns, and the sessions of one principal
take turns within its turn: with k principals waiting, the next text of any of them is read within k turns,
however many sessions or texts the others have.

What the reading of a text cost is charged to its session and its principal. Who has spent more than its
budget of a minute waits behind everybody who has not. A text that has waited for `wait_seconds` is refused,
and so is the newest text of whoever has most waiting when there is no room.

Pure: the time is told, nothing is read, nothing waits. Left out: who is heard of an answer (`parser.py`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORT_BYTES: Final = 16_384
WAIT_SECONDS: Final = 20.0
SESSION_BUDGET: Final = 15.0  # seconds of reading in a minute
PRINCIPAL_BUDGET: Final = 30.0
MOST_TEXTS: Final = 4_096
MOST_BYTES: Final = 64 * 1024 * 1024
_PERIOD = 60.0
_MOST_ACCOUNTS = 4_096


@dataclass(eq=False, slots=True)
class WaitingText:
    """A text that waits to be read; `content` is the caller's own, and is not looked at."""

    principal: str
    session: str
    size: int
    since: float
    content: object = None
    gone: bool = False

    @property
    def short(self) -> bool:
        """Whether its reading takes milliseconds at most."""
        return self.size <= SHORT_BYTES


@dataclass(slots=True)
class _Account:
    spent: float
    at: float


class Budgets:
    """What sessions and principals have spent: it is forgiven evenly, a whole budget in a minute."""

    def __init__(self, session: float = SESSION_BUDGET, principal: float = PRINCIPAL_BUDGET) -> None:
        self._limits = (session, principal)
        self._accounts: dict[tuple[str, ...], _Account] = {}

    def charge(self, principal: str, session: str, seconds: float, now: float) -> None:
        """Note that a text of this session took `seconds` to read."""
        for limit, key in zip(self._limits, ((principal, session), (principal,)), strict=True):
            account = self._accounts.get(key)
            if account is None:
                if len(self._accounts) >= _MOST_ACCOUNTS:
                    self._forget(now)
                account = self._accounts[key] = _Account(0.0, now)
            account.spent = self._owed(account, limit, now) + seconds
            account.at = now

    def exceeded(self, principal: str, session: str, now: float) -> bool:
        """Whether the session, or its principal, has spent more than a minute's budget."""
        for limit, key in zip(self._limits, ((principal, session), (principal,)), strict=True):
            account = self._accounts.get(key)
            if account is not None and self._owed(account, limit, now) > limit:
                return True
        return False

    def _owed(self, account: _Account, limit: float, now: float) -> float:
        return max(0.0, account.spent - max(0.0, now - account.at) * limit / _PERIOD)

    def _forget(self, now: float) -> None:
        """Those who owe nothing, else those who owe least: the memory is bounded, whatever comes."""
        owed = {
            key: self._owed(account, self._limits[len(key) == 1], now)
            for key, account in self._accounts.items()
        }
        for key in sorted(owed, key=owed.__getitem__)[: _MOST_ACCOUNTS // 4]:
            del self._accounts[key]


@dataclass(slots=True)
class _Lane:
    """Principals in turn, of each the sessions in turn, of each the texts as they came."""

    principals: OrderedDict[str, OrderedDict[str, deque[WaitingText]]] = field(default_factory=OrderedDict)

    def put(self, text: WaitingText) -> None:
        sessions = self.principals.setdefault(text.principal, OrderedDict())
        sessions.setdefault(text.session, deque()).append(text)

    def remove(self, text: WaitingText) -> None:
        sessions = self.principals[text.principal]
        texts = sessions[text.session]
        texts.remove(text)
        if not texts:
            del sessions[text.session]
            if not sessions:
                del self.principals[text.principal]

    def take(self, budgets: Budgets, now: float) -> WaitingText | None:
        """The text whose turn it is: of somebody within their budget, if there is one."""
        fallback: WaitingText | None = None
        for principal, sessions in self.principals.items():
            for session, texts in sessions.items():
                if not budgets.exceeded(principal, session, now):
                    return self._turn(texts[0])
                fallback = fallback or texts[0]
        return None if fallback is None else self._turn(fallback)

    def _turn(self, text: WaitingText) -> WaitingText:
        """Take it out; its principal and its session go behind the others."""
        self.remove(text)
        sessions = self.principals.get(text.principal)
        if sessions is not None:
            self.principals.move_to_end(text.principal)
            if text.session in sessions:
                sessions.move_to_end(text.session)
        return text


class TextQueue:
    """The texts that wait. `put` them, `take` the next for a reader, `drop` what nobody waits for."""

    def __init__(
        self,
        *,
        budgets: Budgets | None = None,
        wait_seconds: float = WAIT_SECONDS,
        most_texts: int = MOST_TEXTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.budgets = budgets or Budgets()
        self.wait_seconds = wait_seconds
        self._most_texts = most_texts
        self._most_bytes = most_bytes
        self._lanes = {True: _Lane(), False: _Lane()}
        self._by_age: OrderedDict[WaitingText, None] = OrderedDict()
        self._bytes = 0
        self._of_principal: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_age)

    def __iter__(self) -> Iterator[WaitingText]:
        return iter(self._by_age)

    def put(self, text: WaitingText) -> list[WaitingText]:
        """Let `text` wait; gives the texts that there is no room for, which may be `text` itself."""
        self._lanes[text.short].put(text)
        self._by_age[text] = None
        self._count(text, 1)
        refused = []
        while len(self._by_age) > self._most_texts or self._bytes > self._most_bytes:
            most = max(self._of_principal, key=self._of_principal.__getitem__)
            newest = next(each for each in reversed(self._by_age) if each.principal == most)
            self.drop(newest)
            refused.append(newest)
        return refused

    def take(self, now: float, *, long: bool, short: bool = True) -> WaitingText | None:
        """The next text for a reader that reads `long` texts first, or `short` ones only; None if none waits.

        A reader of both looks at the long lane first: the short one has readers of its own.
        """
        for wanted, is_short in ((long, False), (short, True)):
            text = self._lanes[is_short].take(self.budgets, now) if wanted else None
            if text is not None:
                self._forget(text)
                return text
        return None

    def drop(self, text: WaitingText) -> bool:
        """Take out a text that nobody waits for any more; whether it was waiting."""
        if text.gone:
            return False
        self._lanes[text.short].remove(text)
        self._forget(text)
        return True

    def overdue(self, now: float) -> list[WaitingText]:
        """The texts that have waited too long, taken out."""
        found = []
        while self._by_age:
            oldest = next(iter(self._by_age))
            if now - oldest.since < self.wait_seconds:
                break
            self.drop(oldest)
            found.append(oldest)
        return found

    @property
    def next_overdue(self) -> float | None:
        """When the oldest text will have waited too long."""
        oldest = next(iter(self._by_age), None)
        return None if oldest is None else oldest.since + self.wait_seconds

    def _forget(self, text: WaitingText) -> None:
        text.gone = True
        del self._by_age[text]
        self._count(text, -1)

    def _count(self, text: WaitingText, sign: int) -> None:
        weight = sign * (text.size + 1_024)  # what stands around a text counts, too
        self._bytes += weight
        left = self._of_principal.get(text.principal, 0) + weight
        if left:
            self._of_principal[text.principal] = left
        else:
            del self._of_principal[text.principal]


__all__ = [
    "MOST_BYTES",
    "MOST_TEXTS",
    "PRINCIPAL_BUDGET",
    "SESSION_BUDGET",
    "SHORT_BYTES",
    "WAIT_SECONDS",
    "Budgets",
    "TextQueue",
    "WaitingText",
]
