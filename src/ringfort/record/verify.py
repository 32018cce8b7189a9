"""Verify a ledger folder: what is published, and beside it journal, mark, blobs and evidence.

Works beside a running writer, by the order in which things are read: first what only says how far others
reach (the mark, the note of what was published, names of blobs), then the journal, then what is published,
then evidence. A group of evidence is in a segment only after the entry that commits it is durable; so where a
segment holds more than was known when it was read, journal and control log are read again.

What cannot be told apart is a note, never silence: see `Findings.notes`. Left out: whether evidence opens,
and is what entries name (that takes the private key).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ringfort.ledger.entry import TRAFFIC
from ringfort.ledger.entry_control_evidence import shard_of
from ringfort.ledger.evidence import StoredGroup, StreamCheck, scan_records
from ringfort.ledger.verify import Problem, Report, Verification, pieces_by_shard
from ringfort.record.disk import OsDisk
from ringfort.record.errors import JournalError, RecordError
from ringfort.record.inspect import JournalView, check_journal, read_journal
from ringfort.record.mark import Mark, MarkError, read_mark
from ringfort.record.store import BlobStore, FolderStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfort.record.disk import Disk

_TRIES = 6
_PAUSE_SECONDS = 0.1
_EVIDENCE = "evidence"


@dataclass(frozen=True)
class StreamReport:
    """One stream of evidence: groups that are as committed, from before there were commitments, uncovered."""

    stream: str
    groups: int
    before: int
    uncovered: int
    dropped: bool


@dataclass
class Findings:
    """Everything that verification found; `ok` if nothing is wrong."""

    report: Report
    journal: JournalView | None = None
    pending: int = 0
    """Entries that are durable in the journal and not yet published."""
    mark: Mark | None = None
    streams: list[StreamReport] = field(default_factory=list)
    uncommitted: int = 0
    """Published entries that name evidence which nothing commits."""
    in_journal: int = 0
    """Groups of evidence that are durable in the journal only, and not committed yet."""
    notes: list[str] = field(default_factory=list)
    """What was not looked at, and what cannot be told apart."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; `notes` says what that does not cover."""
        return self.report.ok

    def problem(self, log: str, why: str, resource: str = "") -> None:
        """Something is wrong."""
        self.report.problems.append(Problem(log, None, resource, why))


def note_uncommitted(findings: Findings) -> None:
    """Count and say what evidence no entry commits."""
    report = findings.report
    pieces = pieces_by_shard(report.state)
    findings.uncommitted = sum(max(0, named - pieces.get(shard, 0)) for shard, named in report.named.items())
    if findings.uncommitted and report.ok:
        findings.notes.append(
            f"evidence before entry {report.committed_from} is not committed: {findings.uncommitted:,}"
            " traffic entries name evidence that may have been removed or exchanged since"
        )


def verify_folder(
    folder: Path,
    vkey: str = "",
    progress: Callable[[str, int, int], None] | None = None,
    disk: Disk | None = None,
) -> Findings:
    """Verify a ledger folder; raises NoteError if `vkey` is no key."""
    return _FolderVerification(folder, disk or OsDisk(), progress).run(vkey)


class _FolderVerification:
    def __init__(self, folder: Path, disk: Disk, progress: Callable[[str, int, int], None] | None) -> None:
        self.folder = folder
        self.disk = disk
        self.store = FolderStore(folder, disk)
        self.blobs = BlobStore(folder / "blobs", disk)
        self.verification = Verification(
            self.store, has_blob=self._has_blob, names=self.store.names, progress=progress
        )
        self.report = self.verification.report
        self.findings = Findings(self.report)

    def run(self, vkey: str) -> Findings:
        """Everything, in the order that the module describes."""
        findings = self.findings
        mark = findings.mark = self._mark()
        published = self.disk.read(self.folder / "published")
        held = self.blobs.digests()
        trouble = self._read_journal()
        self.verification.run(vkey)
        sound = self.report.ok
        if trouble:
            findings.problem("journal", trouble)
        journal = findings.journal
        if journal is not None and sound:
            findings.pending, found = check_journal(self.folder, journal, self.report.state, self.disk)
            self.report.problems += found
            self._positions(journal, mark, published)
            self._orphans(journal, held)
        published_shards = self.store.names(TRAFFIC)
        if sound and not set(published_shards) <= self.report.state.shards.keys():
            self.verification.again()  # control was read before the names
        for name in published_shards:
            if sound and name not in self.report.state.shards:
                findings.problem(f"{TRAFFIC}/{name}", "is published, but the control log knows no such shard")
        if sound:
            self._evidence()
            note_uncommitted(findings)
        else:
            findings.notes.append("evidence was not looked at, since the control log does not verify")
        findings.notes.append(
            "not looked at: whether evidence opens and is what entries name, which takes its private key"
        )
        return findings

    def _has_blob(self, digest: str) -> bool:
        try:
            return self.blobs.get(digest) is not None
        except RecordError:
            return False

    def _read_journal(self) -> str:
        try:
            self.findings.journal = read_journal(self.folder, self.disk)
        except JournalError as error:
            return error.message
        return ""

    # The journal's end

    def _positions(self, journal: JournalView, mark: Mark | None, published: bytes | None) -> None:
        """The journal reaches as far as the control log, the note of what was published and the mark say."""
        findings, state = self.findings, self.report.state
        said: list[tuple[str, int, bytes]] = [
            ("a control entry", each.group, bytes.fromhex(each.chain)) for each in state.journals.values()
        ]
        noted = _published_note(published)
        if noted is not None:
            said.append(("the note of what was published", *noted))
        elif published is not None or state.size:
            findings.problem("journal", "the note of what was published last is missing or has been changed")
        if mark is not None:
            said.append(("the mark of what was acknowledged", mark.number, mark.chain))
        elif state.journals:
            findings.problem("journal", "the mark of what was acknowledged last is missing")
        if any(number > journal.number for _, number, _ in said) and not self._read_journal():
            journal = self.findings.journal or journal  # control was read after the first
        for by, number, chain in said:
            if number > journal.number:
                findings.problem(
                    "journal",
                    f"ends at group {journal.number}, but {by} says that it reached group {number}: what was"
                    " acknowledged since is missing",
                )
            elif journal.chains.get(number, chain) != chain:
                findings.problem("journal", f"group {number} is not the one that {by} names")
        if mark is not None and mark.closed:
            if not (journal.torn or journal.number > mark.number or findings.pending):
                return
            if self._mark() == mark:  # else a writer has begun meanwhile
                findings.problem("journal", "goes on after the writer's orderly end")
                return
        if journal.torn:
            findings.notes.append(
                "the journal's last group is incomplete: a crash cut it off before it was acknowledged, or it"
                " was changed since; that cannot be told apart"
            )
        reach = "what is published" if mark is None else f"group {mark.number}"
        findings.notes.append(
            f"the writer runs, or had no orderly end: the journal has what was acknowledged up to {reach};"
            " whether more was, and was removed together with its mark, cannot be told"
        )

    def _mark(self) -> Mark | None:
        try:
            return read_mark(self.disk, self.folder)
        except MarkError as error:
            self.findings.problem("journal", error.message)
            return None

    def _orphans(self, journal: JournalView, held: set[str]) -> None:
        """Blobs are placed after the entries that name them are durable."""
        named = set(self.report.digests)
        for entries in journal.entries.values():
            for data in entries.values():
                text = data.decode(errors="replace")
                named.update(each for each in held if each in text)
        orphans = held - named
        if orphans:
            self.findings.notes.append(
                f"{len(orphans):,} blobs are named by no entry, for example `{min(orphans)}`: more was given"
                " than was named, or the entries that named them were lost from the journal's end"
            )

    # Evidence

    def _evidence(self) -> None:
        state, journal = self.report.state, self.findings.journal
        names = set(self.disk.names(self.folder / _EVIDENCE)) | {
            each.stream.stream for each in self.report.commitments
        }
        stored: dict[str, int] = {}
        for name in sorted(names):
            if name in state.dropped_evidence:
                self._dropped(name)
                continue
            reader = _StreamReader(self.disk, self.folder, name)
            for tries_left in reversed(range(_TRIES)):
                check = reader.look(self.report, journal)
                if not check.problem and not check.waiting and not reader.damage:
                    break
                if tries_left:  # perhaps a writer is at work: look again at all that says more
                    time.sleep(_PAUSE_SECONDS)
                    self.verification.again()
                    if self._read_journal():
                        break
                    journal = self.findings.journal
            self._judge(name, check, reader)
            stored[name] = reader.last
        self._not_yet_committed(stored)

    def _not_yet_committed(self, stored: dict[str, int]) -> None:
        """Count what is in the journal alone; `stored`: the last group of each stream's segments."""
        findings, journal = self.findings, self.findings.journal
        if journal is None:
            return
        known = dict(stored)
        for each in (*self.report.commitments, *journal.commitments(self.report.state.size)):
            known[each.stream.stream] = max(known.get(each.stream.stream, 0), each.stream.last)
        findings.in_journal = sum(
            number > known.get(stream, 0)
            for stream, groups in journal.evidence.items()
            for number, _ in groups
        )
        if findings.in_journal:
            findings.notes.append(
                f"{findings.in_journal:,} groups of evidence are in the journal and not committed yet: a"
                " round does that, within the merge delay"
            )

    def _dropped(self, name: str) -> None:
        left = self.disk.names(self.folder / _EVIDENCE / name)
        if left:
            self.findings.notes.append(
                f"evidence of `{name}` is on record as dropped and still there: run `ringfort ledger"
                " drop-evidence` again"
            )
        self.findings.streams.append(StreamReport(name, 0, 0, 0, dropped=True))

    def _judge(self, name: str, check: StreamCheck, reader: _StreamReader) -> None:
        findings = self.findings
        shard, journal = shard_of(name), findings.journal
        opened = set() if journal is None else journal.shards(self.report.state.size)
        before = check.before
        uncovered = check.waiting
        if shard not in self.report.state.shards and shard not in opened:
            findings.problem(f"{_EVIDENCE}/{name}", "is of a shard that the control log does not know")
        elif check.problem:
            findings.problem(
                f"{_EVIDENCE}/{name}", check.problem + (f" ({reader.damage})" if reader.damage else "")
            )
        elif not reader.committed and self.report.began_uncommitted(shard):
            before, uncovered = before + uncovered, 0
        elif uncovered:
            findings.problem(
                f"{_EVIDENCE}/{name}",
                f"{uncovered:,} groups up to group {check.last} are in no commitment: they are not what this"
                " ledger's writer stored, or the entry that commits them was lost",
            )
        if reader.damage and not check.problem:
            if reader.torn:
                findings.notes.append(
                    f"evidence of `{name}`: {reader.damage}; the journal holds what should stand there, as"
                    " after a crash"
                )
            else:
                findings.problem(f"{_EVIDENCE}/{name}", reader.damage)
        findings.streams.append(StreamReport(name, check.groups, before, uncovered, dropped=False))


class _StreamReader:
    """Reads a stream's segments on from where it stopped, and holds them against commitments."""

    def __init__(self, disk: Disk, folder: Path, stream: str) -> None:
        self._disk = disk
        self._folder = folder / _EVIDENCE / stream
        self._stream = stream
        self._check = StreamCheck()
        self._known: set[int] = set()
        self._offsets: dict[str, int] = {}
        self._torn = False
        self.damage = ""
        self.in_journal = False
        """Whether the journal holds groups that no segment does."""
        self.committed = False
        """Whether anything commits this stream."""

    @property
    def last(self) -> int:
        """The last group that a segment holds."""
        return self._check.last

    @property
    def torn(self) -> bool:
        """Whether what is damaged is what a crash leaves: the end, which comes again from the journal."""
        return self._torn and self.in_journal

    def look(self, report: Report, journal: JournalView | None) -> StreamCheck:
        """The check after all that is there now.

        What a published entry commits has to be in segments. What only the journal commits may still be in
        the journal alone: that is looked at in a copy.
        """
        kept = dict([] if journal is None else journal.evidence.get(self._stream, []))
        fresh = [
            each
            for each in report.commitments
            if each.stream.stream == self._stream and not each.dropped and each.index not in self._known
        ]
        self._known.update(each.index for each in fresh)
        self._check.commit(fresh)
        self._segments(kept)
        self._check.settle(final=True)
        check = self._check.copy()
        self.in_journal = any(number > check.last for number in kept)
        ahead = [] if journal is None else journal.commitments(report.state.size)
        ahead = [each for each in ahead if each.stream.stream == self._stream]
        self.committed = bool(self._known or ahead)
        check.commit(ahead)
        for number, digest in sorted(kept.items()):
            if ahead and check.last < number <= ahead[-1].stream.last:
                check.feed(StoredGroup(number, digest, "journal"))
        check.settle(final=True)
        return check

    def _segments(self, kept: dict[int, bytes]) -> None:
        names = [each for each in self._disk.names(self._folder) if each.endswith(".seg")]
        self.damage = ""
        for name in names:
            start = self._offsets.get(name, 0)
            data = (self._disk.read(self._folder / name) or b"")[start:]
            records, end = scan_records(data)
            self._offsets[name] = start + end
            where = f"{self._stream}/{name}"
            for each in records:
                if kept.get(each.number, each.digest) != each.digest and not self._check.problem:
                    self._check.problem = (
                        f"group {each.number} (`{where}`) is not the one that the journal holds"
                    )
                self._check.feed(StoredGroup(each.number, each.digest, where))
            if end != len(data) and not self.damage:
                self.damage = f"segment `{where}` is damaged at byte {start + end}"
                self._torn = name == names[-1]


def _published_note(data: bytes | None) -> tuple[int, bytes] | None:
    try:
        number, chain = (data or b"").decode().split()
        return int(number), bytes.fromhex(chain)
    except ValueError:
        return None


__all__ = ["Findings", "StreamReport", "note_uncommitted", "verify_folder"]
