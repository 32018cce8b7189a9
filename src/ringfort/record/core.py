"""The writer's core: stage entries, commit a group, publish tiles and checkpoints. No sockets, no loop.

Record, then release: `stage_*` only checks and orders; nothing may be acknowledged before `commit` has
returned. The journal is the commit point; tiles, checkpoints, evidence segments and blob files follow in
rounds (`begin_round`, `publish` in any thread, `end_round`) and only then are journal segments removed. Any
failure to write makes the core unusable: start again, and `open` rebuilds everything from what was
acknowledged.

Order of publication, so that a reader who takes the control checkpoint first never sees a traffic log
contradict it: control checkpoint, traffic checkpoints, then `TrafficAnchored` in control (published with the
next round). A round that has evidence begins with `EvidenceCommitted`, so whatever is under a checkpoint has
its evidence committed under the control checkpoint of the same round, and no segment holds a group that no
entry commits.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_traffic as traffic
from ringfort.ledger.checkpoint import Checkpoint
from ringfort.ledger.entry import TRAFFIC, JournalPosition, check, encode, format_time
from ringfort.ledger.entry_control_evidence import EvidenceCommitted
from ringfort.ledger.entry_templates import AdmittedReader
from ringfort.ledger.evidence import DIGEST_BYTES, encode_record
from ringfort.ledger.folds import ControlState
from ringfort.record import evidence as sealing
from ringfort.record import recovery
from ringfort.record.admission import read_control_entry
from ringfort.record.anchors import stage_anchors
from ringfort.record.disk import OsDisk
from ringfort.record.errors import JournalError, RecordError, RefusedError
from ringfort.record.ground import Ground
from ringfort.record.journal import Journal
from ringfort.record.logs import (
    LedgerSettings,
    Log,
    LogPublication,
    Publication,
    index_page,
    published_entries,
    write_log,
)
from ringfort.record.mark import MarkFile
from ringfort.record.records import (
    BlobRecord,
    ControlRecord,
    EvidenceRecord,
    Record,
    TrafficRecord,
    encode_records,
)
from ringfort.record.store import CONTROL_LOG, BlobStore, FolderStore
from ringfort.record.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringfort.ledger.entry import Entry
    from ringfort.ledger.folds import Condition
    from ringfort.ports import Clock, Randomness
    from ringfort.record.disk import Disk
    from ringfort.record.open_work import OpenWork

ACTOR = "writer"
LANE = "writer"
MAX_BLOB_BYTES = 16 << 20
MAX_EVIDENCE_BYTES = 4 << 20
ROUND_BYTES = 8 << 20
"""Sealed evidence that waits in memory for its segment; a round begins at once when there is more."""


class LedgerCore:
    """The one owner of a ledger folder; whoever makes one holds the folder's lock."""

    def __init__(
        self,
        settings: LedgerSettings,
        *,
        clock: Clock,
        randomness: Randomness,
        disk: Disk | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.disk = disk or OsDisk()
        self.store = FolderStore(settings.folder, self.disk)
        self.blobs = BlobStore(settings.folder / "blobs", self.disk)
        self.evidence = sealing.EvidenceStore(self.disk, settings.folder / "evidence")
        self.journal = Journal(self.disk, settings.folder / "journal", settings.segment_bytes)
        self.mark = MarkFile(self.disk, settings.folder)
        self.streams = Streams()
        self.control = Log(CONTROL_LOG, settings.origin, settings.seed)
        self.shards: dict[str, Log] = {}
        """Traffic logs that are open or not yet closed in control, by shard name."""
        self.state = ControlState()
        self.durable_control = 0
        """Control entries that may be told to anybody."""
        self.failed: RecordError | None = None
        self._clock = clock
        self._monotonic = monotonic
        self._randomness = randomness
        self._sealer: sealing.Sealer | None = None
        self._admitted = AdmittedReader()
        self.tail: list[bytes] = []
        """Control entries not in a published checkpoint; the first has index `tail_start`."""
        self.tail_start = 0
        self._group_control: list[bytes] = []
        self._group_traffic: list[bytes] = []
        self._group_evidence: list[bytes] = []
        self._group_blobs: dict[str, bytes] = {}
        self._group_shard: Log | None = None
        self._unsettled: tuple[Log, tuple[bytes, ...]] | None = None
        self._unsettled_evidence: tuple[str, int, bytes, int] | None = None
        self.staged_bytes = 0
        self.pending_evidence: dict[str, list[tuple[int, bytes]]] = {}
        self.pending_bytes = 0
        self.pending_blobs: dict[str, bytes] = {}
        self._oldest: float | None = None
        self._in_round = False
        self._ground = Ground(settings.control_staleness, monotonic)

    # Opening and closing

    def open(self) -> None:
        """Rebuild from tiles and journal, or create; raises LedgerBehindError, JournalError, RecordError."""
        recovery.recover(self)
        self.mark.open()
        if self.settings.evidence_public:
            self._sealer = sealing.Sealer(self.settings.evidence_public, self._randomness)
        self.tail_start = self.control.published
        if self.control.size == 0:
            log = self.control
            self.stage_own(control.LogOpened(**self.own(), origin=log.origin, vkey=log.vkey))
        self.current_shard()
        self.commit()
        self.durable_control = self.control.size
        if self.pending_evidence or self.pending_blobs or any(log.waiting for log in self.logs()):
            self._oldest = self._monotonic()

    def close(self) -> None:
        """Publish what waits (unless the core has failed) and close every file."""
        try:
            while self.failed is None:
                publication = self.begin_round()
                if publication is None:
                    break
                self.publish(publication)
                self.end_round(publication)
        finally:
            self.mark.close(self.journal.number, self.journal.chain, orderly=self.failed is None)
            self.journal.close()
            self.evidence.close()

    def logs(self) -> list[Log]:
        """Control first, then the traffic shards that are open."""
        return [self.control, *self.shards.values()]

    # Staging

    def stage_control(
        self,
        entries: Sequence[bytes],
        *,
        condition: Condition | None = None,
        blobs: Sequence[bytes] = (),
    ) -> list[int]:
        """Put control entries (all or none) into the group; gives their indices.

        Raises EntryError, FoldError, RefusedError, ConditionFailedError; then nothing was staged.
        """
        self._require_usable()
        decoded = [read_control_entry(each) for each in entries]
        if condition is not None:
            self.state.require(condition)
        if any(len(blob) > MAX_BLOB_BYTES for blob in blobs):
            raise RefusedError(f"a blob has at most {MAX_BLOB_BYTES} bytes")
        offered = {hashlib.sha256(blob).hexdigest(): blob for blob in blobs}
        for entry in decoded:
            for name in control.BLOBS.get(type(entry), ()):
                wanted = getattr(entry, name)
                if wanted not in offered and not self.has_blob(wanted):
                    raise RefusedError(
                        f"`{entry.TYPE}` names a blob in `{name}` that is not held",
                        hint="give the blob with the entry",
                    )
        if len(decoded) == 1:
            self.state.apply(decoded[0])
        else:
            trial = self.state.copy()
            for entry in decoded:
                trial.apply(entry)
            self.state = trial
        for name, blob in offered.items():
            if not self.has_blob(name):
                self._group_blobs[name] = blob
                self.staged_bytes += len(blob)
        return [self._sequence_control(each) for each in entries]

    def _sequence_control(self, data: bytes) -> int:
        log = self.control
        if log.size:
            self._ground.superseded(log.size, log.sequencer.root())
        self._group_control.append(data)
        self.tail.append(data)
        self.staged_bytes += len(data)
        return log.sequencer.append(data)

    def stage_own(self, entry: Entry) -> int:
        """Stage a control entry of the writer's own."""
        data = encode(entry)
        self.state.apply(entry)
        return self._sequence_control(data)

    def own(self) -> dict[str, Any]:
        """Time and actor of an entry of the writer's own."""
        return {"time": format_time(self._clock.now()), "actor": ACTOR}

    def stage_traffic(self, data: bytes, evidence: bytes = b"", work: OpenWork | None = None) -> None:
        """Put a traffic entry and its evidence (`salt || plaintext`) into the group.

        `work` is told what was begun or ended. Raises EntryError or RefusedError; then nothing was staged.
        """
        known = self._admitted.read(data)
        if known is not None:
            named, control_size = known
        else:
            spec, values = check(data)
            if spec.log != TRAFFIC or spec.kind is traffic.ControlReferenced:
                raise RefusedError(f"`{spec.kind.TYPE}` cannot be appended to the traffic log")
            named, control_size = values.get("evidence", ""), values.get("control", -1)
        if evidence:
            if hashlib.sha256(evidence).hexdigest() != named:
                raise RefusedError("a traffic entry does not name the evidence that came with it")
            if len(evidence) > MAX_EVIDENCE_BYTES or self._sealer is None:
                raise RefusedError(
                    "the evidence cannot be sealed: it is too large, or there is no evidence key"
                )
        elif named:
            raise RefusedError("a traffic entry names evidence that did not come with it")
        shard = self._group_shard or self.current_shard()
        if control_size < 0 and not (shard.size or self._group_traffic):
            control_size = self.control.size
        if control_size >= 0 and (
            self._ground.last != (shard.name, control_size) or control_size != self.control.size
        ):
            self._reference(shard, control_size)
        self._group_shard = shard
        self._group_traffic.append(data)
        self.staged_bytes += len(data) + len(evidence)
        if evidence:
            self._group_evidence.append(evidence)
        if work is not None:
            if known is not None:
                work.statements.add(self._admitted.statement)
            else:
                work.noted(spec.kind.TYPE, values)

    def stage_lost(self, work: OpenWork) -> None:
        """Put the ends of what a client that is gone left open into the group."""
        for entry in work.lost(**self.own()):
            self.stage_traffic(encode(entry))

    def _reference(self, shard: Log, size: int) -> None:
        """Make sure that a leaf of the shard gives the root of the control log of `size`.

        Refuse a stale size.
        """
        present = self.control
        root = present.sequencer.root() if size == present.size else self._ground.root(size)
        if not self._ground.stand(shard.name, size):
            return
        data = encode(traffic.ControlReferenced(**self.own(), size=size, root=root.hex()))
        self._group_traffic.append(data)
        self._group_shard = shard

    def current_shard(self) -> Log:
        """The shard of the present month, opened in control if it is new."""
        name = f"{self._clock.now():%Y-%m}"
        log = self.shards.get(name)
        if log is not None:
            return log
        if name in self.state.shards:
            # The clock went back into a month that is closed: go on with the newest shard.
            newest = max(self.shards, default="")
            if not newest:
                raise RecordError(
                    f"traffic shard `{name}` is closed already",
                    hint="check the machine's clock, then start again",
                )
            return self.shards[newest]
        log = Log(f"{TRAFFIC}/{name}", self.settings.origin, self.settings.seed)
        self.stage_own(control.ShardOpened(**self.own(), shard=name, origin=log.origin, vkey=log.vkey))
        self.shards[name] = log
        return log

    # Committing

    def commit(self, *, settle: bool = True) -> bool:
        """Make the group durable: one journal write, one sync. False if there was nothing.

        Without `settle` the entries are not hashed yet: whoever waits can be answered before that, and
        `settle` has to be called then. Raises JournalError.
        """
        self._require_usable()
        self.settle()
        if not (self._group_control or self._group_traffic or self._group_blobs):
            return False
        records: list[Record] = [BlobRecord(each) for each in self._group_blobs.values()]
        if self._group_control:
            first = self.control.size - len(self._group_control)
            records.append(ControlRecord(first, tuple(self._group_control)))
        sealed, pieces, shard = b"", len(self._group_evidence), self._group_shard
        if shard is not None:
            name = shard.shard
            entries = tuple(self._group_traffic)
            records.append(TrafficRecord(name, shard.size, entries))
            self._unsettled = (shard, entries)
            if self._group_evidence and self._sealer is not None:
                sealed = self._sealer.seal(name, self._group_evidence)
                records.append(EvidenceRecord(name, sealed))
        try:
            number = self.journal.append(encode_records(records))
            self.mark.note(number, self.journal.chain)
            for blob in self._group_blobs.values():
                self.blobs.place(blob)
        except JournalError as error:
            self.failed = error
            raise
        except OSError as error:
            raise self._fail(error) from error
        if sealed and shard is not None:
            self._unsettled_evidence = (shard.shard, number, sealed, pieces)
            self.pending_bytes += len(sealed)
        self.pending_blobs.update(self._group_blobs)
        self.durable_control = self.control.size
        self._group_control, self._group_traffic, self._group_evidence = [], [], []
        self._group_blobs, self._group_shard, self.staged_bytes = {}, None, 0
        if self._oldest is None:
            self._oldest = self._monotonic()
        if settle:
            self.settle()
        return True

    def settle(self) -> None:
        """Hash the last group into tree and chain, unless that is done."""
        if self._unsettled is not None and self.failed is None:
            (shard, entries), self._unsettled = self._unsettled, None
            append = shard.sequencer.append
            for entry in entries:
                append(entry)
        if self._unsettled_evidence is not None and self.failed is None:
            (stream, number, sealed, pieces), self._unsettled_evidence = self._unsettled_evidence, None
            self.add_evidence(stream, number, sealed, pieces)

    def add_evidence(self, stream: str, number: int, sealed: bytes, pieces: int) -> None:
        """Chain a durable group's evidence, which waits for its segment then."""
        record = encode_record(number, sealed)
        self.streams.add(stream, number, record[-DIGEST_BYTES:], pieces)
        self.pending_evidence.setdefault(stream, []).append((number, record))

    def _require_usable(self) -> None:
        if self.failed is not None:
            raise self.failed

    def _fail(self, error: OSError) -> RecordError:
        self.failed = JournalError(
            f"the ledger cannot be written: {(error.strerror or 'error').lower()}",
            hint="free space or replace the disk, then start again; nothing acknowledged is lost",
        )
        return self.failed

    # Publishing

    def round_due(self) -> float | None:
        """When (monotonic seconds) the next round has to begin to keep the merge delay.

        None if nothing waits.
        """
        if self._oldest is None or self._in_round:
            return None
        if self.pending_bytes > ROUND_BYTES:
            return self._monotonic()
        return self._oldest + self.settings.merge_delay * 0.4

    def begin_round(self) -> Publication | None:
        """Take what waits for publication; None if nothing does. Call only between groups."""
        self._require_usable()
        self.settle()
        if self._in_round or self._group_control or self._group_traffic:
            return None
        if self.pending_evidence:
            self._commit_evidence()
        logs = []
        for log in self.logs():
            if not log.waiting:
                continue
            root = log.sequencer.root()
            checkpoint = Checkpoint(log.origin, log.size, root).sign([log.signer])
            logs.append(
                LogPublication(log, log.sequencer.drain(), log.size, root, checkpoint, log.checkpoint)
            )
        if not (logs or self.pending_evidence or self.pending_blobs):
            self._oldest = None
            return None
        publication = Publication(
            tuple(logs),
            tuple((shard, tuple(records)) for shard, records in self.pending_evidence.items()),
            tuple(self.pending_blobs.values()),
            self.journal.number,
            self.journal.chain,
            self.journal.wants_spare(),
            index_page(self.control, self.state),
        )
        self.pending_evidence = {}
        self.pending_bytes = 0
        self._oldest = None
        self._in_round = True
        return publication

    def _commit_evidence(self) -> None:
        """Put on record, durably, how far evidence reaches that this round makes durable."""
        grown = self.streams.grown(self.state.evidence)
        if grown:
            position = JournalPosition(LANE, self.journal.number, self.journal.chain.hex())
            self.stage_own(EvidenceCommitted(**self.own(), streams=grown, journals=(position,)))
            self.commit()

    def publish(self, publication: Publication) -> None:
        """Write a round's files; may run in another thread. Raises RecordError.

        The core is then of no more use.
        """
        try:
            self.blobs.write(publication.blobs)
            for shard, records in publication.evidence:
                self.evidence.append(shard, records)
            recovery.remember(self, publication.group, publication.chain)
            for each in publication.logs:
                write_log(self.store, each)
            index = self.settings.folder / "index.json"
            if self.disk.read(index) != publication.index:
                self.disk.write_whole(index, publication.index)
            if publication.spare:
                self.journal.prepare()
        except OSError as error:
            raise self._fail(error) from error
        except RecordError as error:
            self.failed = error
            raise

    def end_round(self, publication: Publication) -> None:
        """Account for a published round: anchor traffic in control (durably), let journal segments go."""
        self._require_usable()
        self._in_round = False
        for blob in publication.blobs:
            self.pending_blobs.pop(hashlib.sha256(blob).hexdigest(), None)
        for part in publication.logs:
            part.log.published, part.log.checkpoint = part.size, part.checkpoint
        del self.tail[: self.control.published - self.tail_start]
        self.tail_start = self.control.published
        stage_anchors(self, publication)
        self._ground.prune(self.control.size)
        self.commit()
        if self._oldest is None and any(log.waiting for log in self.logs()):
            self._oldest = self._monotonic()
        self.journal.release(publication.group)

    # Reading

    def has_blob(self, digest: str) -> bool:
        """Whether a blob is held, durably or about to be."""
        return digest in self._group_blobs or digest in self.pending_blobs or self.blobs.has(digest)

    def control_entries(self, start: int, limit: int = 1 << 18) -> list[bytes]:
        """Durable control entries from `start` on, at least one if there is any, about `limit` bytes."""
        entries: list[bytes] = []
        size = 0
        while start < self.durable_control and size < limit:
            if start >= self.tail_start:
                found = self.tail[start - self.tail_start : self.durable_control - self.tail_start][:1024]
            else:
                found = published_entries(self.store, CONTROL_LOG, start, self.tail_start)
            entries += found
            start += len(found)
            size += sum(map(len, found))
        return entries


__all__ = ["LedgerCore", "LedgerSettings", "Publication"]
