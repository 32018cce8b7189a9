"""Look into a ledger folder without writing to it: the journal, what is not yet published, agreement.

Works beside a running writer: the journal is read before the checkpoints, so that whatever a removed segment
held is found under them; a journal caught in the middle of a write is read again.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ringfort.ledger.checkpoint import parse_unverified
from ringfort.ledger.entry import CONTROL, TRAFFIC, check, decode
from ringfort.ledger.entry_control import ShardOpened
from ringfort.ledger.entry_control_evidence import EvidenceCommitted
from ringfort.ledger.errors import LedgerError
from ringfort.ledger.evidence import Commitment, record_digest
from ringfort.ledger.tiles import TILE_WIDTH, read_bundle
from ringfort.ledger.walk import Problem
from ringfort.record.disk import OsDisk
from ringfort.record.errors import JournalError, NoLedgerError
from ringfort.record.journal import Group, scan_segment, segment_name, segment_numbers
from ringfort.record.records import ControlRecord, EvidenceRecord, TrafficRecord, decode_records
from ringfort.record.store import FolderStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ringfort.ledger.folds import ControlState
    from ringfort.record.disk import Disk

_OPENED = b'"type":"ShardOpened"'
_COMMITTED = b'"type":"EvidenceCommitted"'
_TRIES = 5
_PAUSE_SECONDS = 0.05


@dataclass
class JournalView:
    """What the journal holds: groups, whether it ends in a torn one, entries by log and index."""

    groups: int = 0
    torn: bool = False
    number: int = 0
    """The number of the last group there was, 0 if there was none."""
    chains: dict[int, bytes] = field(default_factory=dict, repr=False)
    """Group -> the chain after it, of the groups that are kept."""
    entries: dict[str, dict[int, bytes]] = field(default_factory=dict)
    evidence: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict, repr=False)
    """Stream -> (group, digest of its record) of the sealed evidence that is kept here."""

    def shards(self, size: int) -> set[str]:
        """The shards that control entries from index `size` on, which are not published, open."""
        found: set[str] = set()
        for index, data in self.entries.get(CONTROL, {}).items():
            if index >= size and _OPENED in data:
                with contextlib.suppress(LedgerError):
                    entry = decode(data)
                    if isinstance(entry, ShardOpened):
                        found.add(entry.shard)
        return found

    def commitments(self, size: int) -> list[Commitment]:
        """What control entries from index `size` on, which are not published, say about evidence."""
        found: list[Commitment] = []
        for index, data in sorted(self.entries.get(CONTROL, {}).items()):
            if index >= size and _COMMITTED in data:
                with contextlib.suppress(LedgerError):
                    entry = decode(data)
                    if isinstance(entry, EvidenceCommitted):
                        found += (Commitment(index, each) for each in entry.streams)
        return found


def require_ledger(folder: Path) -> None:
    """Raise NoLedgerError unless a ledger lies in `folder` (`state/ledger` of a deployment)."""
    if not (folder / "journal").is_dir() and not (folder / CONTROL).is_dir():
        raise NoLedgerError(
            f"there is no ledger in `{folder}`", hint="`ringfort init` and `ringfort up` make one"
        )


def read_journal(folder: Path, disk: Disk | None = None) -> JournalView:
    """Read the journal of a ledger folder; raises JournalError if it does not verify."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return _read_journal(folder / "journal", disk or OsDisk())
        except JournalError:
            if not tries_left:
                raise
            time.sleep(_PAUSE_SECONDS)  # perhaps a writer is in the middle of a group or of a rotation
    raise JournalError("the journal cannot be read")


def _read_journal(folder: Path, disk: Disk) -> JournalView:
    view = JournalView()
    groups: list[Group] = []
    chain, number = b"", 0
    for segment in segment_numbers(disk.names(folder)):
        data = disk.read(folder / segment_name(segment))
        if data is None:
            raise JournalError("a journal segment has gone while it was read")
        scan = scan_segment(data, segment)
        if view.torn or (chain and (scan.start_chain != chain or scan.first_group != number + 1)):
            raise JournalError(
                f"journal segment `{segment_name(segment)}` does not follow from the one before"
            )
        groups += scan.groups
        chain, number, view.torn = scan.chain, scan.first_group + len(scan.groups) - 1, scan.torn
    view.groups, view.number = len(groups), number
    view.chains = {each.number: each.chain for each in groups}
    for group in groups:
        for record in decode_records(group.body):
            if isinstance(record, ControlRecord):
                found = view.entries.setdefault(CONTROL, {})
            elif isinstance(record, TrafficRecord):
                found = view.entries.setdefault(f"{TRAFFIC}/{record.shard}", {})
            elif isinstance(record, EvidenceRecord):
                digest = record_digest(group.number, record.sealed)
                view.evidence.setdefault(record.shard, []).append((group.number, digest))
                continue
            else:
                continue
            found.update(enumerate(record.entries, start=record.first))
    return view


def log_names(folder: Path) -> list[str]:
    """The logs that are published in a ledger folder, control first."""
    return [CONTROL, *(f"{TRAFFIC}/{each}" for each in OsDisk().names(folder / TRAFFIC))]


def published_size(store: FolderStore, log: str) -> int:
    """The size that a log's checkpoint states (not verified); 0 if there is none that can be read."""
    data = store.read(f"{log}/checkpoint")
    try:
        return 0 if data is None else parse_unverified(data).size
    except LedgerError:
        return 0


@dataclass(frozen=True)
class Lag:
    """How far what is published stays behind what is durable."""

    entries: int
    """Durable, and not yet published."""
    checkpoint_seconds: int | None
    """Since the last checkpoint of any log; None before the first."""


def read_lag(folder: Path) -> Lag:
    """The lag of a ledger folder, read without a key and not verified; raises JournalError."""
    view = read_journal(folder)
    store = FolderStore(folder)
    entries = 0
    for log, found in view.entries.items():
        size = published_size(store, log)
        entries += sum(index >= size for index in found)
    written = []
    for log in log_names(folder):
        with contextlib.suppress(FileNotFoundError):
            written.append((folder / log / "checkpoint").stat().st_mtime)
    return Lag(entries, max(0, int(time.time() - max(written))) if written else None)


def published_entries(store: FolderStore, log: str, size: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The entries from `start` under a checkpoint of `size` (not verified), with their indices."""
    for number in range(start // TILE_WIDTH, (size + TILE_WIDTH - 1) // TILE_WIDTH):
        first = number * TILE_WIDTH
        entries, problem = read_bundle(
            lambda path: store.read(f"{log}/{path}"), number, min(TILE_WIDTH, size - first)
        )
        for index, entry in enumerate(entries, start=first):
            if index >= start:
                yield index, entry
        if problem:
            raise NoLedgerError(f"`{log}`: {problem}", hint="`ringfort ledger verify` says what is wrong")


def all_entries(folder: Path) -> Iterator[tuple[str, int, bytes, bool]]:
    """Every entry of a ledger folder as (log, index, bytes, published), journal-only ones last."""
    require_ledger(folder)
    view = read_journal(folder)
    store = FolderStore(folder)
    names = log_names(folder)
    for log in [*names, *sorted(set(view.entries) - set(names))]:
        size = published_size(store, log)
        for index, entry in published_entries(store, log, size):
            yield log, index, entry, True
        for index, entry in sorted(view.entries.get(log, {}).items()):
            if index >= size:
                yield log, index, entry, False


def check_journal(
    folder: Path, view: JournalView, state: ControlState, disk: Disk | None = None
) -> tuple[int, list[Problem]]:
    """Compare the journal with what is published; gives the number of unpublished entries, and problems.

    `state` is the verified control log folded; a copy of it is folded on with the entries beyond.
    """
    state = state.copy()
    store = FolderStore(folder, disk)
    problems: list[Problem] = []
    pending = 0
    for log, entries in view.entries.items():
        size = state.size if log == CONTROL else published_size(store, log)
        try:
            pending += _check_log(store, log, entries, size, state)
        except _BadEntryError as bad:
            problems.append(Problem(log, bad.index, "journal", bad.message))
        except NoLedgerError as error:
            problems.append(Problem(log, None, "journal", error.message))
    return pending, problems


class _BadEntryError(LedgerError):
    def __init__(self, index: int, why: str) -> None:
        super().__init__(why)
        self.index = index


def _check_log(
    store: FolderStore, log: str, entries: dict[int, bytes], size: int, state: ControlState
) -> int:
    indices = sorted(entries)
    shared = [each for each in indices if each < size]
    if shared:
        for index, entry in published_entries(store, log, size, shared[0]):
            if index in entries and entries[index] != entry:
                raise _BadEntryError(index, "the journal holds another entry than the one published")
    expected = size
    for index in indices[len(shared) :]:
        if index != expected:
            raise _BadEntryError(expected, "the entry is neither published nor in the journal")
        try:
            if log == CONTROL:
                state.apply(entries[index])
            elif check(entries[index])[0].log != TRAFFIC:
                raise _BadEntryError(index, "the entry does not belong in the traffic log")
        except LedgerError as error:
            raise _BadEntryError(index, error.message) from None
        expected += 1
    return expected - size
