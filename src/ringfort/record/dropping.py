"""Dropping evidence after its retention: an entry that says what goes, then the files.

By month, as evidence is stored: streams of traffic shards that are closed and lie before a given month. What
was committed of a stream stands in the entry, so that a verifier knows what is missing and since when.
Evidence from before there were commitments is named as it is found, with nothing to hold it against. Whose
leave it takes is the caller's to find.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from ringfort.errors import UsageError
from ringfort.ledger.entry import EvidenceStream, format_time
from ringfort.ledger.entry_control_acts import EvidenceDroppedBy
from ringfort.ledger.entry_control_evidence import shard_of
from ringfort.ledger.evidence import ORIGIN_CHAIN, chained, scan_records
from ringfort.record.client import ledger_folder, open_ledger
from ringfort.record.disk import OsDisk
from ringfort.record.evidence import EvidenceStore
from ringfort.record.reading import read_ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfort.ledger.folds import Condition, ControlState
    from ringfort.record.client import SyncLedger

_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")


class Leave(Protocol):
    """Leave of a principal for one act, found on a state of the control log."""

    @property
    def input(self) -> bytes:
        """What it was decided on."""
        ...

    def fields(self) -> dict[str, Any]:
        """What the entry says of who does it, and on which request."""
        ...

    def condition(self, *keys: str) -> Condition:
        """Nothing that the act stands on has changed, nor `keys`."""
        ...


def month_begins(before: str) -> str:
    """The moment at which a month such as `2026-05` begins; raises UsageError if it has not."""
    now = datetime.now(UTC)
    if not _MONTH.fullmatch(before) or before > f"{now.year:04}-{now.month:02}":
        raise UsageError(
            f"`--before {before}` is no month that has begun",
            hint="the first month that is kept, such as 2026-05",
        )
    return f"{before}-01T00:00:00Z"


def droppable(folder: Path, before: str) -> list[EvidenceStream]:
    """What `drop_evidence` would drop; nothing is written, and no key is needed."""
    month_begins(before)
    state = read_ledger(folder).state
    return _undropped(state, ledger_folder(folder) / "evidence", _old(state, folder, before))


def drop_evidence(folder: Path, before: str, leave: Callable[[SyncLedger], Leave]) -> list[EvidenceStream]:
    """Drop the evidence of closed shards before the month `before`; gives what went.

    `leave` is asked on the state that the entry is appended to. Raises UsageError if `before` is no month
    that has begun.
    """
    moment = month_begins(before)
    evidence = ledger_folder(folder) / "evidence"
    with open_ledger(folder) as ledger:
        given = leave(ledger)
        old = _old(ledger.state, folder, before)
        gone = _undropped(ledger.state, evidence, old)
        if gone:
            entry = EvidenceDroppedBy(
                time=format_time(datetime.now(UTC)),
                actor="command",
                streams=tuple(gone),
                before=moment,
                **given.fields(),
            )
            ledger.append([entry], condition=given.condition("evidence"), blobs=(given.input,))
        store = EvidenceStore(OsDisk(), evidence)
        for each in old:
            store.remove(each)
    return gone


def _old(state: ControlState, folder: Path, before: str) -> list[str]:
    names = OsDisk().names(ledger_folder(folder) / "evidence")
    return [each for each in names if _is_over(state, each, before)]


def _undropped(state: ControlState, evidence: Path, old: list[str]) -> list[EvidenceStream]:
    return [_as_it_is(state, evidence, each) for each in old if each not in state.dropped_evidence]


def _is_over(state: ControlState, stream: str, before: str) -> bool:
    shard = state.shards.get(shard_of(stream))
    return shard is not None and shard.closed is not None and shard.name < before


def _as_it_is(state: ControlState, evidence: Path, stream: str) -> EvidenceStream:
    committed = state.evidence.get(stream)
    if committed is not None:
        return committed
    last, groups, chain = 0, 0, ORIGIN_CHAIN
    for name in OsDisk().names(evidence / stream):
        for each in scan_records((evidence / stream / name).read_bytes())[0]:
            last, groups, chain = each.number, groups + 1, chained(chain, each.digest)
    return EvidenceStream(stream, 0, last, groups, 0, chain.hex())


__all__ = ["drop_evidence", "droppable", "month_begins"]
