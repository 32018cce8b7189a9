"""How runs end that are not to be published: given up on record, removed at their target, deleted here.

One path for all of them: `transfer run` that finds a recorded release that stands no more, `transfer
withdraw`, `transfer abandon`, and a run whose folder is gone. In this order, each step safe to do again:

    look      what the target holds: a release that is there whole has left, and `TransferPublished` says so
    record    `TransferNotPublished` (`TransferStopped` for a run that was not recorded), with what had left
    delete    the data that the run made, here
    remove    what had reached the target
    forget    the run's folder, last: while it is there, `remove` is tried again

Invariants: nothing is removed before it is on record; nothing of a run leaves once it is given up; a target
that cannot be looked at, and a run whose folder is gone, count as if they held everything whose sending had
begun. The ledger is not held while a target is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.errors import RingfortError, UsageError
from ringfort.ledger.entry_control_transfers import (
    TransferNotPublished,
    TransferPublished,
    TransferStopped,
    TransferWithdrawn,
)
from ringfort.ledger.folds import Condition
from ringfort.ledger.transfers import NOT_PUBLISHED, PUBLISHED, RELEASED, STARTED, STOPPED
from ringfort.policy.canonical import canonical_bytes, digest_of
from ringfort.policy.contract_check import ContractRefusedError
from ringfort.privacy.stated_text import stated
from ringfort.record.client import open_ledger
from ringfort.record.reading import read_ledger
from ringfort.transfer.desk import read_contract, written
from ringfort.transfer.manifest import MANIFEST, PROOF, manifest_of
from ringfort.transfer.publish import There, place_of, release_order
from ringfort.transfer.standing import Change, recorded_contract
from ringfort.transfer.state import EXTRACT, PARTS, RELEASE, ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ringfort.config import Config
    from ringfort.ledger.transfers import Transfer, TransferRun
    from ringfort.ports import Clock
    from ringfort.record.client import SyncLedger
    from ringfort.record.reading import Reading
    from ringfort.transfer.manifest import ReleasedFile
    from ringfort.transfer.publish import Place
    from ringfort.transfer.state import RunFolder, TransferFolder

STOP_FORMAT = "ringfort-transfer-stop/1"
ABANDONED = Change("abandoned", "it was given up")
WITHDRAWN = Change("withdrawn", "its approval was withdrawn")
LOST = Change("lost", "its folder is gone")
SENT = "sent"
"""The marker that says how many files, in the order of publishing, have begun to leave."""


@dataclass(frozen=True)
class Ended:
    """A run that was given up. `was` is what it was before; `status` is what it is on record now."""

    run: str
    was: str
    status: str
    files: int = 0
    """How many files had left, or may have."""
    remains: str = ""
    """Why what had reached the target is not removed; "" if nothing is left there."""

    @property
    def told(self) -> str:
        """What became of it, in words."""
        if self.status == STOPPED:
            return "nothing of it had left"
        if self.status == PUBLISHED:
            return f"all {self.files:,} files were at the target, whole: the recipient must delete them"
        if not self.files:
            text = "nothing of it had left"
        else:
            text = (
                f"{self.files:,} of its files had reached the target, or may have: the recipient must delete"
                " what it took of them"
            )
        if self.remains:
            text += (
                f"; what is there is not removed ({self.remains}): `ringfort transfer abandon` tries again"
            )
        return text


def withdraw(config: Config, ledger: SyncLedger, name: str, who: str, reason: str, *, clock: Clock) -> None:
    """Record that the approval of a transfer is taken back by its approver or owner, `who` (proven before).

    `Ending.abandon` ends the run that is under way, if there is one.
    """
    reason = stated(reason)
    known = known_transfer(config, ledger.state.transfers, name)
    if known is None or not known.approved:
        raise UsageError(f"`{name}` is not approved")
    if who not in {known.approver, known.owner}:
        raise ContractRefusedError(
            f"`{who}` is neither approver nor owner of `{name}`", hint=f"`{known.approver}` is"
        )
    entry = TransferWithdrawn(**written(clock.now()), transfer=name, principal=who, reason=reason)
    condition = Condition((f"transfer:{name}", f"principal:{who}"), ledger.state.size)
    ledger.append([entry], condition=condition)


@dataclass(frozen=True)
class Ending:
    """Ends runs of the transfer `name`; whoever calls holds its `TransferFolder`."""

    config: Config
    name: str
    clock: Clock

    def abandon(self, held: TransferFolder, why: Change = ABANDONED) -> list[Ended]:
        """Give up the runs that are not over, recorded ones too, and delete what they made.

        The contract's file is not needed: what counts is on record.
        """
        known = known_transfer(self.config, read_ledger(self.config.folder).state.transfers, self.name)
        ended = self.settle(held)
        folders = {each.run: each for each in held.runs()}
        for run in () if known is None else known.runs:
            folder = folders.get(run.id)
            if run.status == STARTED:
                self.stop(run.id, why)
                ended.append(Ended(run.id, STARTED, STOPPED))
            elif run.status == RELEASED and folder is not None:
                ended.append(self.give_up(run, folder, why))
                del folders[run.id]
        waiting = {each.run for each in ended if each.remains}
        for run_id, folder in folders.items():
            if run_id not in waiting:
                folder.remove()
        return ended

    def settle(self, held: TransferFolder) -> list[Ended]:
        """End what an earlier command could not: recorded runs without a folder, leftovers at a target."""
        reading = read_ledger(self.config.folder)
        known = reading.state.transfers.get(self.name)
        folders = {each.run: each for each in held.runs()}
        ended = []
        for run in () if known is None else known.runs:
            folder = folders.get(run.id)
            if run.status == RELEASED and (folder is None or folder.marked("run") is None):
                ended.append(self.give_up(run, folder, LOST))
            elif run.status == NOT_PUBLISHED and folder is not None:
                remains = _Target(self.config, self.name, run, reading).clean(folder)
                ended.append(Ended(run.id, NOT_PUBLISHED, NOT_PUBLISHED, run.files, remains))
        return ended

    def give_up(self, run: TransferRun, folder: RunFolder | None, why: Change) -> Ended:
        """End a recorded run: it is published no more, or on record as published if it was, whole."""
        target = _Target(self.config, self.name, run, read_ledger(self.config.folder))
        if (folder is not None and folder.marked("published") is not None) or target.whole:
            self.published(run.id)
            if folder is not None:
                folder.remove()
            return Ended(run.id, RELEASED, PUBLISHED, run.files)
        left = target.left(folder)
        findings = [{"reason": why.message}] + ([{"target": target.fault}] if target.fault else [])
        blob = _stop_document(why.outcome, findings)
        entry = TransferNotPublished(
            **written(self.clock.now()),
            transfer=self.name,
            run=run.id,
            outcome=why.outcome,
            findings=digest_of(blob),
            files=len(left),
            rows=sum(each.rows for each in left),
            bytes=sum(each.size for each in left),
        )
        with open_ledger(self.config.folder) as ledger:
            ledger.append([entry], blobs=(blob,))
        return Ended(run.id, RELEASED, NOT_PUBLISHED, len(left), target.clean(folder))

    def published(self, run: str) -> None:
        """Put on record that a released run is at its target, if that is not on record yet."""
        with open_ledger(self.config.folder) as ledger:
            transfer = ledger.state.transfers.get(self.name)
            known = None if transfer is None else transfer.run(run)
            if known is not None and known.status == RELEASED:
                ledger.append([TransferPublished(**written(self.clock.now()), transfer=self.name, run=run)])

    def stop(self, run: str, why: Change, findings: Sequence[Mapping[str, Any]] = ()) -> None:
        """Put on record that a run ended before it was recorded."""
        with open_ledger(self.config.folder) as ledger:
            self.append_stop(ledger, run, why, findings)

    def append_stop(
        self, ledger: SyncLedger, run: str, why: Change, findings: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """`stop` on a ledger that is open."""
        blob = _stop_document(why.outcome, findings)
        entry = TransferStopped(
            **written(self.clock.now()),
            transfer=self.name,
            run=run,
            outcome=why.outcome,
            findings=digest_of(blob),
        )
        ledger.append([entry], blobs=(blob,))


def known_transfer(config: Config, transfers: Mapping[str, Transfer], name: str) -> Transfer | None:
    """The transfer of that name on record; `UsageError` if there is neither that nor a contract's file."""
    if name not in transfers:
        read_contract(config.folder, name)
    return transfers.get(name)


# -- parts -------------------------------------------------------------------------------------------------


class _Target:
    """What the target of a recorded run holds of it. `fault` is why that is not known, "" if it is."""

    def __init__(self, config: Config, name: str, run: TransferRun, reading: Reading) -> None:
        note = reading.get_blob(run.manifest)
        self._files = manifest_of(note).files
        target = recorded_contract(reading, run).target
        self._is_store = target.is_s3
        self._there = There()
        self._place: Place | None = None
        self.fault = ""
        try:
            self._place = place_of(target, run.id, config.folder, name)
            self._there = self._place.there(note, self._files)
        except RingfortError as error:
            self.fault = error.message

    @property
    def whole(self) -> bool:
        """Whether the release is there, complete."""
        return self._there.whole

    def left(self, folder: RunFolder | None) -> list[ReleasedFile]:
        """The files that are there or had begun to leave; all, where no folder says how far it came."""
        begun = set() if folder is None else set(self._order()[: folder.marked(SENT) or 0])
        return [
            each for each in self._files
            if folder is None or each.path in begun or each.path in self._there.paths
        ]  # fmt: skip

    def clean(self, folder: RunFolder | None) -> str:
        """Delete what the run made here, then what reached the target; gives why that could not be done."""
        if folder is not None:
            folder.clear(EXTRACT, ROWS, PARTS, RELEASE)
        remains = self.fault if self._place is None else self._removed(self._place)
        if folder is not None and self._is_store and not folder.marked(SENT) and not self._there.paths:
            remains = ""  # no object had begun to leave
        if folder is not None and not remains:
            folder.remove()
        return remains

    def _removed(self, place: Place) -> str:
        try:
            place.remove(self._order())
        except RingfortError as error:
            return error.message
        return ""

    def _order(self) -> list[str]:
        return release_order([each.path for each in self._files] + [MANIFEST, PROOF])


def _stop_document(outcome: str, findings: Sequence[Mapping[str, Any]]) -> bytes:
    """The blob that says why a run ended."""
    return canonical_bytes(
        {"format": STOP_FORMAT, "outcome": outcome, "findings": [dict(each) for each in findings]}
    )


__all__ = ["ABANDONED", "LOST", "SENT", "WITHDRAWN", "Ended", "Ending", "known_transfer", "withdraw"]
