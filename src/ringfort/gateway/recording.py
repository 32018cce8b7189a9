"""What a worker writes into the ledger about statements and sessions, quick where it is per statement.

`StatementRecorder` belongs to one session: it numbers its statements, salts and digests their evidence,
renders the entry and hands both to the ledger channel. `EndsBatch` belongs to the worker: it gathers how
statements ended into few `StatementsEnded` entries, which wait for nobody.

Evidence is `salt (32 random bytes) || plaintext`; the entry carries the hexadecimal SHA-256 of exactly that.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

import orjson

from ringfort.ledger.entry import Entry, StatementEnd, encode
from ringfort.ledger.entry_templates import AdmittedTemplate
from ringfort.ledger.entry_traffic import (
    AuthenticationFailed,
    CredentialAccepted,
    SessionEnded,
    SessionRefused,
    StatementRefused,
    StatementsEnded,
)
from ringfort.record.stamps import SALTS, STAMPS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from ringfort.ledger.entry_templates import StatementForm
    from ringfort.ledger.folds import Condition
    from ringfort.pgwire.exchange import Ended

ENDS_SECONDS = 0.05
ENDS_MOST = 400


class Ledger(Protocol):
    """The ledger channel, as far as the gateway uses it; see `record.channel.LedgerChannel`."""

    @property
    def control_size(self) -> int:
        """Size of the control log as far as it has been followed."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether the writer is behind: who can wait with an admission waits."""
        ...

    def admit(self, entry: bytes, evidence: bytes, done: Callable[[bool], None]) -> None:
        """Queue a traffic entry; `done` is told whether it became durable, in the order of the calls."""
        ...

    def note(self, entry: bytes) -> None:
        """Queue a traffic entry that nobody waits for."""
        ...

    async def append(
        self, entries: Sequence[bytes], *, condition: Condition | None = None, blobs: Sequence[bytes] = ()
    ) -> list[int]:
        """Append control entries; durable when it returns."""
        ...

    async def put_traffic(self, entry: bytes, evidence: bytes = b"") -> None:
        """Append a traffic entry; durable when it returns."""
        ...


class StatementRecorder:
    """The record of one session's statements. `issued` numbers them, admitted and refused alike.

    `evidence_bytes` counts what went into evidence.
    """

    __slots__ = (
        "_actor",
        "_admit",
        "_done",
        "_ledger",
        "_session",
        "_template",
        "evidence_bytes",
        "issued",
    )

    def __init__(self, ledger: Ledger, actor: str, session: str, done: Callable[[bool], None]) -> None:
        self._ledger = ledger
        self._admit = ledger.admit
        self._actor = actor
        self._session = session
        self._done = done
        self._template = AdmittedTemplate(actor, session)
        self.issued = 0
        self.evidence_bytes = 0

    def admit(self, form: StatementForm, plain: bytes) -> int:
        """Record that a statement is admitted; gives its number. `plain` is its evidence without salt."""
        self.issued = number = self.issued + 1
        evidence = SALTS.take() + plain
        self.evidence_bytes += len(evidence)
        entry = self._template.render(
            number, self._ledger.control_size, form, hashlib.sha256(evidence).hexdigest(), STAMPS.now()
        )
        self._admit(entry, evidence, self._done)
        return number

    def refuse(self, sqlstate: str, reason: str, plain: bytes) -> int:
        """Record that a statement is refused; gives its number."""
        self.issued = number = self.issued + 1
        evidence = SALTS.take() + plain
        self.evidence_bytes += len(evidence)
        entry = StatementRefused(
            time=STAMPS.now(),
            actor=self._actor,
            session=self._session,
            seq=number,
            control=self._ledger.control_size,
            sqlstate=sqlstate,
            reason=reason,
            evidence=hashlib.sha256(evidence).hexdigest(),
        )
        self._admit(encode(entry), evidence, self._done)
        return number


class EndsBatch:
    """Ends of statements, written a few hundred at a time and at the latest after `ENDS_SECONDS`."""

    def __init__(self, ledger: Ledger, actor: str, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._actor = actor
        self._loop = loop
        self._ends: list[tuple[str, Ended]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, session: str, ended: Sequence[Ended]) -> None:
        """Take the ends of some statements of `session`."""
        ends = self._ends
        for each in ended:
            ends.append((session, each))
        if len(ends) >= ENDS_MOST:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(ENDS_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends, self._ends = self._ends, []
        for start in range(0, len(ends), ENDS_MOST):
            self._ledger.note(
                orjson.dumps(
                    {
                        "actor": self._actor,
                        "ended": [[session, *end] for session, end in ends[start : start + ENDS_MOST]],
                        "time": STAMPS.now(),
                        "type": "StatementsEnded",
                        "v": 1,
                    }
                )
            )


def ends_entry(actor: str, ends: Sequence[StatementEnd]) -> bytes:
    """A `StatementsEnded` entry, the slow and checked way; `EndsBatch` writes the same bytes."""
    return encode(StatementsEnded(time=STAMPS.now(), actor=actor, ended=tuple(ends)))


def session_ended(actor: str, session: str, outcome: str, *, statements: int, rows: int, size: int) -> bytes:
    """A `SessionEnded` entry."""
    return encode(
        SessionEnded(
            time=STAMPS.now(),
            actor=actor,
            session=session,
            outcome=outcome,
            statements=statements,
            rows=rows,
            bytes=size,
        )
    )


async def record_with_evidence(ledger: Ledger, make: Callable[[str], Entry], facts: dict[str, str]) -> None:
    """Append `make(evidence digest)` with `facts` as its salted evidence; durable when it returns."""
    evidence = SALTS.take() + orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    await ledger.put_traffic(encode(make(hashlib.sha256(evidence).hexdigest())), evidence)


async def record_failed_authentication(
    ledger: Ledger, actor: str, reason: str, facts: dict[str, str]
) -> None:
    """Somebody did not prove who they are; who they said they are is evidence only."""
    await record_with_evidence(
        ledger,
        lambda digest: AuthenticationFailed(time=STAMPS.now(), actor=actor, reason=reason, evidence=digest),
        facts,
    )


async def record_accepted_credential(ledger: Ledger, actor: str, method: str, facts: dict[str, str]) -> None:
    """A certificate or token was accepted; itself it is evidence only."""
    await record_with_evidence(
        ledger,
        lambda digest: CredentialAccepted(time=STAMPS.now(), actor=actor, method=method, evidence=digest),
        facts,
    )


async def record_refused_session(
    ledger: Ledger, actor: str, reason: str, sqlstate: str, facts: dict[str, str]
) -> None:
    """An authenticated principal got no session."""
    await record_with_evidence(
        ledger,
        lambda digest: SessionRefused(
            time=STAMPS.now(), actor=actor, reason=reason, sqlstate=sqlstate, evidence=digest
        ),
        facts,
    )


__all__ = [
    "EndsBatch",
    "Ledger",
    "StatementRecorder",
    "ends_entry",
    "record_accepted_credential",
    "record_failed_authentication",
    "record_refused_session",
    "session_ended",
]
