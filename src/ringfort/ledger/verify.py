"""Recompute a whole ledger from its entries and compare it with everything that was published.

For the control log and every traffic shard: each entry decodes strictly and follows from those before it,
its hash is in its tile, each tile is the one that the entries make, the root is the checkpoint's, the
checkpoint is signed. Across the logs: anchors and references name the roots that the entries lead to,
statements name sessions that were opened, ends name statements that were admitted. The report names the
first bad entry of each log. Input may be tampered with in any way: the outcome is a report, never a crash,
never an endless wait.

A log that is being written verifies, too, since what is compared is a *consistent cut*. A round publishes the
control checkpoint before those of traffic, so whatever a traffic checkpoint covers stands on control entries
that were published before it. Hence this order: control checkpoint (which names the shards), traffic
checkpoints, the control checkpoint again; the entries under the traffic checkpoints are held against the
second, what control says about traffic (anchors, ends of shards) is asked for as of the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringfort.ledger import entry_control as control
from ringfort.ledger.checkpoint import Checkpoint, open_checkpoint
from ringfort.ledger.entry import CONTROL, TRAFFIC, check, decode
from ringfort.ledger.entry_control_acts import EvidenceDroppedBy
from ringfort.ledger.entry_control_evidence import EvidenceCommitted, EvidenceDropped, shard_of
from ringfort.ledger.errors import LedgerError, NoteError
from ringfort.ledger.evidence import Commitment
from ringfort.ledger.folds import ControlState, Shard
from ringfort.ledger.merkle import CompactRange
from ringfort.ledger.note import VerifierKey
from ringfort.ledger.tiles import read_bundle
from ringfort.ledger.walk import LogWalk, Problem, ProblemFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.ports import LedgerStore


_DIGEST = re.compile(rb'"([0-9a-f]{64})"')
_PASSES = 8  # over the shards, while new ones are opened: a month's end is one more pass


@dataclass(frozen=True)
class LogSummary:
    """One log as its checkpoint states it; `dropped` shards are closed and no longer published."""

    log: str
    origin: str
    size: int
    root: str
    dropped: bool = False


@dataclass
class Report:
    """What verification found; `ok` if there is no problem."""

    vkey: str = ""
    """The control log's verifier key that was used."""
    trusted: bool = False
    """Whether that key was given from outside, not read from the log itself."""
    logs: list[LogSummary] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unended: int = 0
    """Statements admitted whose end is not recorded."""
    state: ControlState = field(default_factory=ControlState, repr=False)
    """The control log folded, as far as it verified."""
    commitments: list[Commitment] = field(default_factory=list, repr=False)
    """What control entries say about streams of evidence, in order."""
    opened: dict[str, int] = field(default_factory=dict, repr=False)
    """Shard -> index of its `ShardOpened`."""
    named: dict[str, int] = field(default_factory=dict, repr=False)
    """Shard -> how many of its entries name evidence; without shards that are not published any more."""
    digests: set[str] = field(default_factory=set, repr=False)
    """Every digest that stands in a control entry."""

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problems

    @property
    def entries(self) -> int:
        """Entries under all checkpoints."""
        return sum(each.size for each in self.logs)

    @property
    def committed_from(self) -> int:
        """The index of the first entry that commits evidence; the control log's size if none does."""
        return next((each.index for each in self.commitments if not each.dropped), self.state.size)

    def began_uncommitted(self, shard: str) -> bool:
        """Whether a shard's evidence began before there were commitments, so that some may lack them."""
        whole = any(
            each.stream.after == 0 and shard_of(each.stream.stream) == shard for each in self.commitments
        )
        return not whole and self.opened.get(shard, self.state.size) < self.committed_from


@dataclass(frozen=True)
class _Claim:
    """That the tree of a log had this root at this size; said by entry `index` of log `said_by`."""

    size: int
    root: str
    said_by: str
    index: int


def verify(
    store: LedgerStore,
    *,
    vkey: str = "",
    has_blob: Callable[[str], bool] | None = None,
    names: Callable[[str], list[str]] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Verify the ledger in `store`, whose paths begin with `control/` and `traffic/SHARD/`.

    `vkey` is the control log's verifier key; without it the log's own is used, which shows consistency only.
    `has_blob(digest)` says whether a blob is held, `names(folder)` lists a folder (then left-over partial
    tiles are checked, too); `progress(log, done, size)` is called now and then. Raises NoteError if `vkey`
    is no key.
    """
    return Verification(store, has_blob=has_blob, names=names, progress=progress).run(vkey)


@dataclass(frozen=True)
class _Taken:
    """A shard's checkpoint as it was read, after control entries up to `control_size` were; `known` then."""

    data: bytes | None
    known: Shard
    control_size: int

    def outdated_by(self, shard: Shard) -> bool:
        """Whether control says by now what the checkpoint has to be held against."""
        closed = shard.closed is not None and self.known.closed is None
        return closed or (self.data is None and shard.anchored > self.known.anchored)


class Verification:
    """One verification of a ledger, as `verify` describes; `again` takes in what was published since."""

    def __init__(
        self,
        store: LedgerStore,
        *,
        has_blob: Callable[[str], bool] | None = None,
        names: Callable[[str], list[str]] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.store = store
        self.has_blob = has_blob
        self.names = names
        self.progress = progress
        self.report = Report()
        self.state = self.report.state
        self.sessions: dict[str, int] = {}
        self.leaves: list[bytes] = []
        self.anchors: dict[str, list[_Claim]] = {}
        self.references: list[_Claim] = []
        self.admitted: set[tuple[str, int]] = set()
        self._resume: tuple[LogWalk, VerifierKey, Checkpoint] | None = None
        self.incomplete = False  # a shard was dropped or is bad: what it admitted is not known

    def run(self, vkey: str = "") -> Report:
        """Verify everything; raises NoteError if `vkey` is no key."""
        key = self._control_key(vkey)
        if key is None:
            return self.report
        walk = LogWalk(self.store, CONTROL, self._control_entry, self.names, self.progress)
        first = self._walk(walk, key)
        if first is None:
            return self.report
        last, taken = self._cut(walk, key, first)
        self.report.logs.append(LogSummary(CONTROL, last.origin, last.size, last.root.hex()))
        for each in taken.values():
            self._shard(each)
        self._check_references(last.size)
        self._check_named()
        self.report.unended = len(self.admitted)
        self._resume = (walk, key, last)
        return self.report

    def again(self) -> None:
        """Walk on to the control checkpoint as it is now: `commitments` may grow; `logs` stay as they are."""
        if self._resume is not None:
            walk, key, last = self._resume
            later = self._later(walk, key, last)
            self._resume = None if later is None else (walk, key, later)

    def _cut(
        self, walk: LogWalk, key: VerifierKey, first: Checkpoint
    ) -> tuple[Checkpoint, dict[str, _Taken]]:
        """Every shard's checkpoint, and a control checkpoint that was read after all of them."""
        last, taken = first, dict[str, _Taken]()
        for _ in range(_PASSES):
            wanted = [
                each
                for each in self.state.shards.values()
                if each.name not in taken or taken[each.name].outdated_by(each)
            ]
            if not wanted:
                return last, taken
            for shard in wanted:
                data = self.store.read(f"{TRAFFIC}/{shard.name}/checkpoint")
                taken[shard.name] = _Taken(data, shard, last.size)
            later = self._later(walk, key, last)
            if later is None:
                return last, taken
            last = later
        self._problem(CONTROL, "shards were opened or closed faster than they can be read")
        return last, taken

    def _later(self, walk: LogWalk, key: VerifierKey, last: Checkpoint) -> Checkpoint | None:
        """The control checkpoint as it is now, walked to; None if that does not hold."""
        later = self._checkpoint(CONTROL, key)
        if later is None:
            return None
        if later.size < last.size:
            self._problem(
                CONTROL,
                f"the checkpoint went back from size {last.size} to {later.size} while it was read",
                resource=f"{CONTROL}/checkpoint",
            )
            return None
        return later if self._extend(walk, later) else None

    def _problem(self, log: str, why: str, *, index: int | None = None, resource: str = "") -> None:
        self.report.problems.append(Problem(log, index, resource, why))

    # The control log

    def _control_key(self, vkey: str) -> VerifierKey | None:
        if vkey:
            self.report.vkey, self.report.trusted = vkey, True
            return VerifierKey.parse(vkey)
        entries: list[bytes] = []
        for width in (256, *range(255, 0, -1)):
            entries, _ = read_bundle(lambda path: self.store.read(f"{CONTROL}/{path}"), 0, width)
            if entries:
                break
        try:
            opened = decode(entries[0]) if entries else None
            if isinstance(opened, control.LogOpened):
                self.report.vkey = opened.vkey
                return VerifierKey.parse(opened.vkey)
        except LedgerError as error:
            self._problem(CONTROL, error.message, index=0)
            return None
        self._problem(CONTROL, "does not begin with `LogOpened`, which would name its key", index=0)
        return None

    def _checkpoint(self, log: str, key: VerifierKey) -> Checkpoint | None:
        return self._open(log, key, self.store.read(f"{log}/checkpoint"))

    def _open(self, log: str, key: VerifierKey, data: bytes | None) -> Checkpoint | None:
        path = f"{log}/checkpoint"
        if data is None:
            self._problem(log, "the checkpoint is missing", resource=path)
            return None
        try:
            return open_checkpoint(data, key)
        except NoteError as error:
            self._problem(log, f"the checkpoint does not verify: {error.message}", resource=path)
            return None

    def _walk(self, walk: LogWalk, key: VerifierKey) -> Checkpoint | None:
        checkpoint = self._checkpoint(walk.log, key)
        return checkpoint if checkpoint is not None and self._extend(walk, checkpoint) else None

    def _extend(self, walk: LogWalk, checkpoint: Checkpoint) -> bool:
        try:
            walk.extend(checkpoint)
        except ProblemFoundError as found:
            self.report.problems.append(found.problem)
            return False
        return True

    def _control_entry(self, index: int, data: bytes, leaf: bytes) -> None:
        entry = decode(data)
        self.state.apply(entry)
        self.leaves.append(leaf)
        kind = type(entry)
        if isinstance(entry, control.SessionOpened):
            self.sessions[entry.session] = index
        elif isinstance(entry, control.TrafficAnchored | control.ShardClosed):
            claim = _Claim(entry.size, entry.root, CONTROL, index)
            self.anchors.setdefault(entry.origin, []).append(claim)
        elif isinstance(entry, EvidenceCommitted | EvidenceDropped | EvidenceDroppedBy):
            gone = not isinstance(entry, EvidenceCommitted)
            self.report.commitments += (Commitment(index, each, gone) for each in entry.streams)
        elif isinstance(entry, control.ShardOpened):
            self.report.opened[entry.shard] = index
        elif isinstance(entry, control.LogOpened) and entry.vkey != self.report.vkey:
            raise LedgerError("`LogOpened` names another verifier key")
        self.report.digests.update(each.decode() for each in _DIGEST.findall(data))
        if self.has_blob is not None:
            for name in control.BLOBS.get(kind, ()):
                if not self.has_blob(getattr(entry, name)):
                    raise LedgerError(f"the blob that `{name}` names is missing or has been changed")

    # Traffic shards

    def _shard(self, taken: _Taken) -> None:
        shard = taken.known
        log = f"{TRAFFIC}/{shard.name}"
        try:
            key = VerifierKey.parse(shard.vkey)
        except NoteError as error:
            self._problem(log, f"`ShardOpened` names no verifier key: {error.message}")
            return
        if taken.data is None and shard.closed is not None:
            self.incomplete = True
            size, root = shard.closed
            self.report.logs.append(LogSummary(log, shard.origin, size, root, dropped=True))
            return
        if taken.data is None and shard.anchored == 0:
            return  # opened a moment ago
        checks = _ShardChecks(self, log, self.anchors.get(shard.origin, []))
        walk = LogWalk(self.store, log, checks.entry, self.names, self.progress)
        checkpoint = self._open(log, key, taken.data)
        if checkpoint is None or not self._extend(walk, checkpoint):
            self.incomplete = True
            return
        self.report.logs.append(LogSummary(log, checkpoint.origin, checkpoint.size, checkpoint.root.hex()))
        self.report.named[shard.name] = checks.named
        if shard.closed is not None and (checkpoint.size, checkpoint.root.hex()) != shard.closed:
            self._problem(
                log, "the checkpoint is not what `ShardClosed` states", resource=f"{log}/checkpoint"
            )
        beyond = [
            each for each in checks.claims if each.size > checkpoint.size and each.index < taken.control_size
        ]
        if beyond:
            first = beyond[0]
            why = f"the checkpoint is behind size {first.size}, which control entry {first.index} anchors"
            self._problem(log, why, resource=f"{log}/checkpoint")

    def _check_named(self) -> None:
        """What a published entry names as evidence is committed in the same round or before."""
        pieces = pieces_by_shard(self.state)
        for shard, named in self.report.named.items():
            missing = named - pieces.get(shard, 0)
            if missing > 0 and not self.report.began_uncommitted(shard):
                why = f"{missing:,} entries name evidence that no control entry commits"
                self._problem(f"{TRAFFIC}/{shard}", why)

    def _check_references(self, control_size: int) -> None:
        """Every control root that traffic names is the one that the control entries lead to."""
        tree = CompactRange()
        for claim in sorted(self.references, key=lambda each: each.size):
            if claim.size > control_size:
                why = f"refers to a control log of size {claim.size}, but {control_size} is published"
                self._problem(claim.said_by, why, index=claim.index)
                continue
            while tree.size < claim.size:
                tree.append(self.leaves[tree.size])
            if tree.root().hex() != claim.root:
                why = f"refers to a root that the control log of size {claim.size} does not have"
                self._problem(claim.said_by, why, index=claim.index)


def pieces_by_shard(state: ControlState) -> dict[str, int]:
    """Shard -> how many pieces of evidence are committed of it."""
    found: dict[str, int] = {}
    for each in state.evidence.values():
        found[shard_of(each.stream)] = found.get(shard_of(each.stream), 0) + each.pieces
    return found


class _ShardChecks:
    """What the entries of one traffic shard must satisfy, one after another."""

    def __init__(self, whole: Verification, log: str, claims: list[_Claim]) -> None:
        self.whole = whole
        self.claims = claims
        self._log = log
        self._due = sorted((each for each in claims if each.size), key=lambda each: each.size, reverse=True)
        self._tree = CompactRange()
        self._known: set[int] = set()
        self.named = 0
        """Entries that name evidence."""

    def entry(self, index: int, data: bytes, leaf: bytes) -> None:
        """Check one entry; raises LedgerError."""
        spec, values = check(data)
        if spec.log != TRAFFIC:
            raise LedgerError(f"`{spec.kind.TYPE}` does not belong in the traffic log")
        self._meaning(index, spec.kind.TYPE, values)
        if values.get("evidence"):
            self.named += 1
        self._tree.append(leaf)
        while self._due and self._due[-1].size == index + 1:
            claim = self._due.pop()
            if self._tree.root().hex() != claim.root:
                raise LedgerError(f"the root up to here is not what control entry {claim.index} anchors")

    def _meaning(self, index: int, kind: str, values: dict[str, Any]) -> None:
        whole = self.whole
        if kind == "ControlReferenced":
            self._known.add(values["size"])
            whole.references.append(_Claim(values["size"], values["root"], self._log, index))
            return
        if not self._known:
            raise LedgerError("no `ControlReferenced` stands before the first entry")
        stands_on = values.get("control")
        if stands_on is not None and stands_on not in self._known:
            raise LedgerError(f"stands on control size {stands_on}, which nothing before it refers to")
        if kind == "StatementsEnded":
            self._ended(values["ended"])
            return
        session = values.get("session")
        if session is None:
            return
        opened = whole.sessions.get(session)
        if opened is None or (stands_on is not None and opened >= stands_on):
            raise LedgerError(f"`{kind}` names a session that was not opened in the control log before it")
        if kind == "StatementAdmitted":
            statement = (session, values["seq"])
            if statement in whole.admitted:
                raise LedgerError("admits a statement twice")
            whole.admitted.add(statement)

    def _ended(self, ended: list[list[Any]]) -> None:
        for session, seq, *_ in ended:
            if (session, seq) in self.whole.admitted:
                self.whole.admitted.remove((session, seq))
            elif not self.whole.incomplete:
                raise LedgerError("ends a statement that was not admitted, or ends it twice")


__all__ = ["LogSummary", "Problem", "Report", "Verification", "pieces_by_shard", "verify"]
