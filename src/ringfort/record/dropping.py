"""Dropping evidence after its retention: an entry that says what goes, then the files.

By month, as evidence is stored: streams of traffic shards that are closed and lie before a given month. What
was committed of a stream stands in the entry, so that a verifier knows what is missing and since when.
Evidence from before there were commitments is named as it is found, with nothing to hold it against.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ringfort.errors import UsageError
from ringfort.ledger.entry import EvidenceStream, format_time
from ringfort.ledger.entry_control_evidence import EvidenceDropped, shard_of
from ringfort.ledger.evidence import ORIGIN_CHAIN, chained, scan_records
from ringfort.ledger.folds import Condition
from ringfort.record.client import ledger_folder, open_ledger
from ringfort.record.disk import OsDisk
from ringfort.record.evidence import EvidenceStore
from ringfort.record.system import operator_name

if TYPE_CHECKING:
    from pathlib import Path

    from ringfort.ledger.folds import ControlState

ACTOR = "operator"
_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")


def drop_evidence(folder: Path, before: str, *, dry_run: bool = False) -> list[EvidenceStream]:
    """Drop the evidence of closed shards before the month `before`; gives what went, or would.

    Raises UsageError if `before` is no month that has begun.
    """
    now = datetime.now(UTC)
    if not _MONTH.fullmatch(before) or before > f"{now.year:04}-{now.month:02}":
        raise UsageError(
            f"`--before {before}` is no month that has begun",
            hint="the first month that is kept, such as 2026-05",
        )
    evidence = ledger_folder(folder) / "evidence"
    disk = OsDisk()
    with open_ledger(folder) as ledger:
        state, size = ledger.state, ledger.state.size
        old = [each for each in disk.names(evidence) if _is_over(state, each, before)]
        gone = [_as_it_is(state, evidence, each) for each in old if each not in state.dropped_evidence]
        if dry_run:
            return gone
        if gone:
            entry = EvidenceDropped(
                time=format_time(now),
                actor=ACTOR,
                streams=tuple(gone),
                before=f"{before}-01T00:00:00Z",
                by=operator_name(),
            )
            ledger.append([entry], condition=Condition(("evidence",), size))
        store = EvidenceStore(disk, evidence)
        for each in old:
            store.remove(each)
    return gone


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


__all__ = ["drop_evidence"]
