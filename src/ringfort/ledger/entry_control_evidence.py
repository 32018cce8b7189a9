"""Entry types of the control log about evidence: how far it reaches, and what of it was dropped; their fold.

A *stream* is a folder of evidence that one writer appends to; its name begins with the traffic shard whose
entries name the evidence (`2026-11`), and may go on after a dot. Laws, whoever writes the entries:

- a stream only grows: its last group, its number of groups and of pieces; where its chain begins stays;
- the journal's position only grows;
- what is dropped was committed as it is named, belongs to no open shard, and stays dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.ledger.entry import (
    CONTROL,
    Entry,
    EvidenceStream,
    JournalPosition,
    Name,
    Retention,
    Time,
    entry_type,
)
from ringfort.ledger.errors import FoldError

if TYPE_CHECKING:
    from ringfort.ledger.entry_control_acts import EvidenceDroppedBy
    from ringfort.ledger.folds import ControlState


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class EvidenceCommitted(Entry):
    """Sealed evidence is durable: for each stream that grew, its last group and the chain over its groups.

    `journals` says how far the journals had come, so that one that was emptied or exchanged is found. Written
    by the writer, in a round of publication that has evidence; never alone.
    """

    streams: tuple[EvidenceStream, ...]
    journals: tuple[JournalPosition, ...]


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class EvidenceDropped(Entry):
    """Evidence of shards that ended before `before` is deleted after its retention: each stream as it was.

    On record before the first file goes. `by` is the name of the operating system's user who asked for it.
    Version 2 (`entry_control_acts`) names the principal and the approved request.
    """

    streams: tuple[EvidenceStream, ...]
    before: Time
    by: Name


def shard_of(stream: str) -> str:
    """The traffic shard whose entries name the evidence of a stream."""
    return stream.partition(".")[0]


def committed(state: ControlState, entry: EvidenceCommitted) -> str:
    """Fold: streams and journals grow, or begin."""
    for each in entry.streams:
        known = state.evidence.get(each.stream)
        if each.stream in state.dropped_evidence:
            raise FoldError("`EvidenceCommitted` names a stream that was dropped")
        if shard_of(each.stream) not in state.shards:
            raise FoldError("`EvidenceCommitted` names a stream of no shard")
        if not each.after < each.last or not 1 <= each.groups <= each.pieces:
            raise FoldError("`EvidenceCommitted` names a stream that cannot be")
        if known is not None and not (
            each.after == known.after
            and each.last > known.last
            and each.groups > known.groups
            and each.pieces > known.pieces
        ):
            raise FoldError("`EvidenceCommitted` names a stream that does not grow")
    for position in entry.journals:
        before = state.journals.get(position.lane)
        if before is not None and position.group <= before.group:
            raise FoldError("`EvidenceCommitted` names a journal that does not grow")
    state.evidence.update((each.stream, each) for each in entry.streams)
    state.journals.update((each.lane, each) for each in entry.journals)
    return ""


def dropped(state: ControlState, entry: EvidenceDropped | EvidenceDroppedBy) -> str:
    """Fold: as it was committed, of a shard that is closed, once."""
    for each in entry.streams:
        shard = state.shards.get(shard_of(each.stream))
        if shard is None or shard.closed is None:
            raise FoldError("`EvidenceDropped` names evidence of a shard that is not closed")
        if each.stream in state.dropped_evidence:
            raise FoldError("`EvidenceDropped` names evidence that was dropped before")
        if state.evidence.get(each.stream, each) != each:
            raise FoldError("`EvidenceDropped` names evidence otherwise than it was committed")
    state.dropped_evidence.update((each.stream, each) for each in entry.streams)
    return "evidence"


__all__ = ["EvidenceCommitted", "EvidenceDropped", "committed", "dropped", "shard_of"]
