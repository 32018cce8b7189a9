"""What became of each transfer: its approval and its runs, folded from their entries.

Laws, whoever writes the entries:

- a run starts only on the contract that is approved, and on the policy, catalogue and evaluator in force;
- owner, approver and recipient are registered; the approver is neither of the other two;
- what is known of one of the three changes, or one is removed: the approval is gone;
- one run of a transfer is open at a time; it is released once, and only while the approval and what it was
  decided on still stand; what is stopped or released stays so;
- what was released is published or given up, once; what is given up counts with what had left of it by then,
  and not at all if nothing had;
- what left is deleted at most once.

Whether policy permitted the contract and the approval is not judged here: the entries name the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ringfort.ledger.errors import FoldError

if TYPE_CHECKING:
    from ringfort.ledger import entry_control_transfers as entries
    from ringfort.ledger.folds import ControlState

STARTED, STOPPED, RELEASED, PUBLISHED = "started", "stopped", "released", "published"
NOT_PUBLISHED = "not published"
MOST_RETENTION = 3_660 * 86_400


@dataclass(frozen=True)
class TransferRun:
    """One run. `index` is that of its `TransferReleased`; `delete_by` is when the recipient must be done.

    `files`, `rows` and `bytes` are what left, or will; `released` and `delete_by` are None once it is known
    that nothing did.
    """

    id: str
    contract: str
    recipient: str
    country: str
    policy: str
    catalogue: str
    evaluator: str
    started: datetime
    start_index: int
    status: str = STARTED
    outcome: str = ""
    manifest: str = ""
    index: int = -1
    files: int = 0
    rows: int = 0
    bytes: int = 0
    released: datetime | None = None
    delete_by: datetime | None = None
    deleted: str = ""
    """Where the recipient's confirmation stands, empty if there is none."""

    @property
    def held(self) -> bool:
        """Whether the recipient may have something of it, or will get it."""
        return self.released is not None and not self.deleted


@dataclass(frozen=True)
class Transfer:
    """A transfer: the approved contract's digest ("" if none stands), who stands for it, every run.

    `index` is that of the newest `TransferApproved`.
    """

    name: str
    approved: str
    recipient: str
    owner: str
    approver: str
    since: datetime
    runs: tuple[TransferRun, ...] = ()
    index: int = -1

    @property
    def open_run(self) -> TransferRun | None:
        """The run that has neither been stopped nor released."""
        return next((each for each in self.runs if each.status == STARTED), None)

    def run(self, name: str) -> TransferRun | None:
        """The run of this id."""
        return next((each for each in self.runs if each.id == name), None)


def approved(state: ControlState, entry: entries.TransferApproved) -> str:
    """Fold: three registered people, and the approver is another."""
    for each in (entry.recipient, entry.owner, entry.approver):
        if each not in state.principals:
            raise FoldError("`TransferApproved` names a principal that is not registered")
    if entry.approver in {entry.owner, entry.recipient}:
        raise FoldError("`TransferApproved` is approved by its owner or recipient")
    known = state.transfers.get(entry.transfer)
    state.transfers[entry.transfer] = Transfer(
        entry.transfer,
        entry.contract,
        entry.recipient,
        entry.owner,
        entry.approver,
        _moment(entry.time),
        () if known is None else known.runs,
        state.size,
    )
    return _key(entry.transfer)


def withdrawn(state: ControlState, entry: entries.TransferWithdrawn) -> str:
    """Fold: there is an approval, and one of the two who stand for it takes it back."""
    known = _known(state, entry.transfer, entry.TYPE)
    if not known.approved:
        raise FoldError("`TransferWithdrawn` names a transfer that is not approved")
    if entry.principal not in {known.approver, known.owner}:
        raise FoldError("`TransferWithdrawn` is neither by the approver nor by the owner")
    state.transfers[known.name] = replace(known, approved="")
    return _key(known.name)


def started(state: ControlState, entry: entries.TransferStarted) -> str:
    """Fold: approved, nothing else runs, and decided on what is in force."""
    known = _known(state, entry.transfer, entry.TYPE)
    if known.approved != entry.contract:
        raise FoldError("`TransferStarted` stands on a contract that is not approved")
    if known.open_run is not None or known.run(entry.run) is not None:
        raise FoldError("`TransferStarted` is not the only open run, or names one that there was")
    if entry.principal != known.recipient:
        raise FoldError("`TransferStarted` names another recipient than the approval")
    for name, used, in_force in (
        ("policy", entry.policy, state.policy),
        ("catalogue", entry.catalogue, state.catalogue),
        ("evaluator", entry.evaluator, state.evaluator),
    ):
        if used != in_force:
            raise FoldError(f"`TransferStarted` stands on a {name} that is not in force")
    run = TransferRun(
        entry.run,
        entry.contract,
        entry.recipient,
        entry.viewing_country,
        entry.policy,
        entry.catalogue,
        entry.evaluator,
        _moment(entry.time),
        state.size,
    )
    state.transfers[known.name] = replace(known, runs=(*known.runs, run))
    return _key(known.name)


def stopped(state: ControlState, entry: entries.TransferStopped) -> str:
    """Fold: the run had begun and nothing of it was released."""
    known, run = _run(state, entry.transfer, entry.run, STARTED, entry.TYPE)
    _put(state, known, replace(run, status=STOPPED, outcome=entry.outcome))
    return _key(known.name)


def released(state: ControlState, entry: entries.TransferReleased) -> str:
    """Fold: what the run stands on is what it was."""
    known, run = _run(state, entry.transfer, entry.run, STARTED, entry.TYPE)
    if not entry.contract == run.contract == known.approved:
        raise FoldError("`TransferReleased` stands on a contract that is not approved")
    if (run.policy, run.catalogue, run.evaluator) != (state.policy, state.catalogue, state.evaluator):
        raise FoldError("`TransferReleased` stands on a policy or catalogue that is not in force")
    if (entry.recipient, entry.country) != (run.recipient, run.country):
        raise FoldError("`TransferReleased` names another recipient than its start")
    if not 1 <= entry.retention_seconds <= MOST_RETENTION:
        raise FoldError("`TransferReleased` has a retention that cannot be")
    time = _moment(entry.time)
    _put(
        state,
        known,
        replace(
            run,
            status=RELEASED,
            manifest=entry.manifest,
            index=state.size,
            files=entry.files,
            rows=entry.rows,
            bytes=entry.bytes,
            released=time,
            delete_by=time + timedelta(seconds=entry.retention_seconds),
        ),
    )
    return _key(known.name)


def published(state: ControlState, entry: entries.TransferPublished) -> str:
    """Fold: it was released before."""
    known, run = _run(state, entry.transfer, entry.run, RELEASED, entry.TYPE)
    _put(state, known, replace(run, status=PUBLISHED))
    return _key(known.name)


def not_published(state: ControlState, entry: entries.TransferNotPublished) -> str:
    """Fold: it was released, is not published, and no more of it left than there was."""
    known, run = _run(state, entry.transfer, entry.run, RELEASED, entry.TYPE)
    left = (entry.files, entry.rows, entry.bytes)
    if any(each > all_of for each, all_of in zip(left, (run.files, run.rows, run.bytes), strict=True)):
        raise FoldError("`TransferNotPublished` has more that left than was released")
    if not entry.files:
        if any(left):
            raise FoldError("`TransferNotPublished` has rows or bytes that left without a file")
        run = replace(run, released=None, delete_by=None)
    run = replace(run, files=entry.files, rows=entry.rows, bytes=entry.bytes)
    _put(state, known, replace(run, status=NOT_PUBLISHED, outcome=entry.outcome))
    return _key(known.name)


def deleted(state: ControlState, entry: entries.TransferDeleted) -> str:
    """Fold: it was released, and is not confirmed yet."""
    known = _known(state, entry.transfer, entry.TYPE)
    run = known.run(entry.run)
    if run is None or run.released is None or run.deleted:
        raise FoldError("`TransferDeleted` names no released run whose deletion is open")
    _put(state, known, replace(run, deleted=entry.reference))
    return _key(known.name)


def principal_changed(state: ControlState, name: str) -> None:
    """Fold: an approval ends with what was known of one of the people whom it names."""
    for each in state.transfers.values():
        if each.approved and name in {each.recipient, each.owner, each.approver}:
            state.transfers[each.name] = replace(each, approved="")


def _known(state: ControlState, name: str, kind: str) -> Transfer:
    found = state.transfers.get(name)
    if found is None:
        raise FoldError(f"`{kind}` names a transfer that was never approved")
    return found


def _run(state: ControlState, name: str, run: str, status: str, kind: str) -> tuple[Transfer, TransferRun]:
    known = _known(state, name, kind)
    found = known.run(run)
    if found is None or found.status != status:
        raise FoldError(f"`{kind}` names a run that is not {status}")
    return known, found


def _put(state: ControlState, transfer: Transfer, run: TransferRun) -> None:
    runs = tuple(run if each.id == run.id else each for each in transfer.runs)
    state.transfers[transfer.name] = replace(transfer, runs=runs)


def _key(name: str) -> str:
    return f"transfer:{name}"


def _moment(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)
