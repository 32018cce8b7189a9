"""A run of a transfer, stage by stage; each leaves a durable mark, so that a run that was killed goes on.

    begin     the decision is made and recorded (`TransferStarted`) before anything is read
    extract   rows of the site are read into the run's folder; Parquet files are only looked at
    reduce    rows are reduced, then sorted for release, inspected and written, by whichever runner
    judge     a finding that the contract does not allow stops the run
    measure   re-identification is measured over the parts
    seal      files are encrypted, where the contract asks for it
    record    the manifest is signed, `TransferReleased` is durable: from here on the run may leave
    prove     the entry is under a checkpoint: its inclusion proof is made and checked
    publish   the release appears at its target, whole
    finish    `TransferPublished`; the run's data is deleted

Invariants: no byte leaves before `TransferReleased` is durable; that entry is appended only if policy,
catalogue, approval, people and pseudonymisation domain are what they were at the start, and what it names
is published only while they are (`standing`, looked at before the first byte and before the step that makes
it a release): else it is given up on record (`ending`). Whatever stops a run is recorded, with columns and
counts and never a value; a fault of the machine stops nothing, the run waits to go on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ringfort.disclosure.profile import SchemaDriftError
from ringfort.errors import CheckFailedError, MissingEnvironmentError, machine_fault
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_transfers import TransferReleased
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.note import VerifierKey
from ringfort.ledger.transfers import PUBLISHED
from ringfort.record.client import ledger_folder, open_ledger
from ringfort.record.disk import OsDisk
from ringfort.record.inspect import published_size
from ringfort.record.store import CONTROL_LOG, FolderStore
from ringfort.system import SystemClock, SystemRandomness
from ringfort.transfer.begin import Stop, begin, stop
from ringfort.transfer.desk import ACTOR, read_contract
from ringfort.transfer.ending import SENT, Ending
from ringfort.transfer.keys import signer
from ringfort.transfer.manifest import (
    MANIFEST,
    PROOF,
    Manifest,
    ReleasedColumn,
    ReleasedFile,
    ReleasedTable,
    check_release,
    digest_of,
)
from ringfort.transfer.proving import inclusion
from ringfort.transfer.publish import NothingSentError, place_of, release_order
from ringfort.transfer.reduce import ReductionError
from ringfort.transfer.seal import SUFFIX, Sealer, context_of
from ringfort.transfer.source import (
    SourceChangedError,
    safe_name,
)
from ringfort.transfer.standing import NotStandingError, require_standing
from ringfort.transfer.state import PARTS, RELEASE, TransferFolder, transfer_folder
from ringfort.transfer.work import Progress, Silent, Work
from ringfort.transfer.writer import HashingFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ringfort.config import Config
    from ringfort.ledger.transfers import TransferRun
    from ringfort.policy.contract import Contract
    from ringfort.ports import Clock, Randomness
    from ringfort.record.disk import Disk
    from ringfort.transfer.measures import Measured
    from ringfort.transfer.part import PartResult
    from ringfort.transfer.publish import Place
    from ringfort.transfer.runners import Runner
    from ringfort.transfer.state import RunFolder

_OUTCOMES: dict[type[Exception], str] = {
    ReductionError: "reduction",
    SourceChangedError: "source changed",
    SchemaDriftError: "drift",
}
PROOF_SECONDS = 60.0
LOOK_SECONDS = 10.0
"""What a release stands on is looked at again where the last look is older, while objects are put."""
KEPT = "kept"


@dataclass(frozen=True)
class Outcome:
    """A run that was released: what, where to, and under which entry of the control log."""

    transfer: str
    run: str
    resumed: bool
    address: str
    files: int
    rows: int
    bytes: int
    index: int
    measures: Mapping[str, Any] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    """Values that had none in their form and left as NULL, by `table.column`."""
    notes: tuple[str, ...] = ()


class TransferStoppedError(CheckFailedError):
    """A run was stopped and nothing of it left; `findings` say why: tables, columns, kinds, counts."""

    default_sqlstate = "42501"  # insufficient_privilege

    def __init__(self, message: str, *, hint: str = "", findings: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


def run_transfer(
    config: Config,
    name: str,
    runner: Runner,
    *,
    progress: Progress | None = None,
    disk: Disk | None = None,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
) -> Outcome:
    """Run a transfer, or go on with the run that was cut off.

    Raises `TransferStoppedError` if it must not leave, `ContractRefusedError` and `UsageError` if it may not
    begin, and what the machine's faults raise; after those it can be run again.
    """
    disk = disk or OsDisk()
    clock = clock or SystemClock()
    randomness = randomness or SystemRandomness()
    stated = read_contract(config.folder, name)
    try:
        with (
            contextlib.closing(runner),
            contextlib.closing(TransferFolder(config.folder, name, disk)) as held,
        ):
            begun = begin(config, stated, held, clock, randomness)
            work = Work(config, begun, runner, progress or Silent(), disk, clock)
            outcome = _leave(_Run(work, clock, disk, randomness))
            return replace(outcome, notes=(*outcome.notes, *runner.notes))
    except BrokenPipeError:
        raise  # nobody reads what the command says: that is the command's to answer
    except OSError as error:
        raise machine_fault(error, transfer_folder(config.folder, name)) from None


def _leave(leaving: _Run) -> Outcome:
    """Do the run; what must not leave is put on record."""
    try:
        return leaving.run()
    except (ReductionError, SourceChangedError, SchemaDriftError) as error:
        why = Stop(_OUTCOMES[type(error)], error.message, hint=error.hint)
        raise leaving.stopped(why) from None
    except Stop as why:
        raise leaving.stopped(why) from None


class _Run:
    """One run on its way out."""

    def __init__(self, work: Work, clock: Clock, disk: Disk, randomness: Randomness) -> None:
        self._work = work
        self.config = work.config
        self.begun = work.begun
        self.contract: Contract = work.contract
        self.folder: RunFolder = work.folder
        self.progress = work.progress
        self._disk = disk
        self._clock = clock
        self._randomness = randomness
        self._released = work.begun.released
        self._looked: datetime | None = None
        self._notes: tuple[str, ...] = ()

    def run(self) -> Outcome:
        """Every stage that is not done."""
        if self.begun.released is not None:
            marked = self.folder.marked("manifest")
            if marked is None or digest_of(marked["note"].encode()) != self.begun.released.manifest:
                raise MissingEnvironmentError(
                    f"`{self.folder.path}` does not hold the manifest that was released",
                    hint="restore it from a backup; `ringfort transfer abandon` gives the run up",
                )
        else:
            sources = self._work.extract()
            results = self._work.reduce(sources)
            self._work.judge(results)
            measured = self._work.measure(sources)
            sealed = self._seal(results)
            marked = self._record(results, measured, sealed)
        note = marked["note"].encode()
        proof = self._prove()
        release = check_release(note, proof, VerifierKey.parse(self.begun.vkey))
        manifest = release.manifest
        place = place_of(self.contract.target, self.folder.run, self.config.folder, self.contract.name)
        try:
            self._publish(place, note, manifest)
        except NotStandingError as why:
            self._give_up(why)
        else:
            Ending(self.config, self.contract.name, self._clock).published(self.folder.run)
            self.folder.remove()
        lost = {
            f"{table.name}.{column.name}": column.lost
            for table in manifest.tables
            for column in table.columns
            if column.lost
        }
        return Outcome(
            self.contract.name, self.folder.run, self.begun.resumed, place.address, len(manifest.files),
            manifest.rows, manifest.size, release.index, marked["measures"], lost, self._notes,
        )  # fmt: skip

    def stopped(self, why: Stop) -> TransferStoppedError:
        """Put on record that nothing leaves, and delete what was made."""
        findings = why.findings or ({"reason": why.message},)
        stop(
            self.config, self.contract.name, self.folder.run,
            Stop(why.outcome, why.message, findings=findings), self._clock,
        )  # fmt: skip
        self.folder.remove()
        return TransferStoppedError(why.message, hint=why.hint, findings=findings)

    # -- stages ---------------------------------------------------------------------------------

    def _seal(self, results: Sequence[PartResult]) -> dict[str, Any] | None:
        """Sealed files and the wrapped shares; None where the contract asks for none."""
        if self.contract.seal is None:
            return None
        marked: dict[str, Any] | None = self.folder.marked("seal")
        if marked is not None:
            return marked
        self.folder.clear(RELEASE)
        context = context_of(self.contract.name, self.folder.run, self.contract.digest)
        sealer = Sealer(self.contract.seal, context, self._randomness)
        folder = self.folder.folder(RELEASE)
        self.progress.stage("sealing", sum(each.size for each in results))
        made = {}
        for each in results:
            name = f"{each.file}{SUFFIX}"
            target = HashingFile(folder / name)
            try:
                with (self.folder.path / PARTS / each.file).open("rb") as source:
                    for piece in sealer.seal(_path(each) + SUFFIX, source):
                        target.write(piece)
                target.close()
            except BaseException:
                target.abort()
                raise
            made[each.id] = {"file": name, "size": target.size, "sha256": target.digest}
            self.progress.advance(each.size)
        self._disk.sync_folder(folder)
        sealed = {"capsules": sealer.capsules, "files": made}
        self.folder.mark("seal", sealed)
        return sealed

    def _record(
        self, results: Sequence[PartResult], measured: Measured, sealed: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The signed manifest, and its entry, durable: from here on the run may leave."""
        now = self._clock.now()
        key = signer(self.config)
        manifest = self._manifest(results, measured, sealed, format_time(now), now)
        used_bytes = self._work.used().bytes
        if self.contract.cap_bytes and manifest.size + used_bytes > self.contract.cap_bytes:
            raise Stop(
                "volume",
                f"{manifest.size:,} bytes would leave, of the cap of {self.contract.cap_bytes:,} bytes"
                f" {max(self.contract.cap_bytes - used_bytes, 0):,} are left",
                findings=[{"bytes": manifest.size}],
            )
        note = manifest.sign(key)
        marked = {"note": note.decode(), "measures": dict(measured.shown)}
        self.folder.mark("manifest", marked)
        entry = TransferReleased(
            time=format_time(now),
            actor=ACTOR,
            transfer=self.contract.name,
            run=self.folder.run,
            contract=self.contract.digest,
            manifest=digest_of(note),
            vkey=key.key.text,
            recipient=self.contract.recipient.entity,
            country=self.contract.recipient.country,
            files=len(manifest.files),
            rows=manifest.rows,
            bytes=manifest.size,
            retention_seconds=self.contract.retention_days * 86_400,
            measures=manifest.measures,
        )
        with open_ledger(self.config.folder) as ledger:
            try:
                ledger.append([entry], condition=self.begun.condition, blobs=(note, measured.document))
            except ConditionFailedError as error:
                raise Stop(
                    "changed",
                    f"nothing was released: {error.message}",
                    hint="run the transfer again; it decides anew",
                ) from None
            self._released = ledger.state.transfers[self.contract.name].run(self.folder.run)
        return marked

    def _manifest(
        self,
        results: Sequence[PartResult],
        measured: Measured,
        sealed: dict[str, Any] | None,
        time: str,
        now: datetime,
    ) -> Manifest:
        contract = self.contract
        tables = []
        for table in self._work.tables:
            own = [each for each in results if each.table == table.stated.name]
            lost = self._work.lost(table.stated.name)
            columns = tuple(
                ReleasedColumn(
                    each.stated.name, str(each.stated.form), each.stated.method, lost[each.stated.name]
                )
                for each in table.columns
            )
            files = tuple(_released(each, sealed) for each in own)
            tables.append(ReleasedTable(table.stated.name, sum(each.rows for each in own), columns, files))
        domain = self.begun.domain
        return Manifest(
            transfer=contract.name,
            run=self.folder.run,
            contract=contract.digest,
            entity=contract.recipient.entity,
            country=contract.recipient.country,
            purpose=contract.purpose,
            mechanism=contract.mechanism,
            assessment=contract.assessment,
            output=contract.output,
            writer=f"pyarrow {pa.__version__}",
            epoch=0 if domain is None else domain.epoch,
            released=time,
            delete_by=format_time(now + timedelta(days=contract.retention_days)),
            measures=digest_of(measured.document),
            tables=tuple(tables),
            seal=None if sealed is None else sealed["capsules"],
        )

    def _prove(self) -> bytes:
        path = self.folder.folder(RELEASE) / PROOF
        held = self._disk.read(path)
        if held is not None:
            return held
        known = self._recorded()
        store = FolderStore(ledger_folder(self.config.folder))
        if published_size(store, CONTROL_LOG) <= known.index:
            with open_ledger(self.config.folder):  # without a running writer, this publishes
                pass
        self.progress.stage("waiting for the checkpoint", -1)
        seconds = PROOF_SECONDS + 2 * self.config.ledger.merge_delay_seconds
        proof = inclusion(
            ledger_folder(self.config.folder), known.index, VerifierKey.parse(self.begun.vkey), seconds
        )
        self._disk.write_whole(path, proof)
        self._disk.sync_folder(path.parent)
        return proof

    def _publish(self, place: Place, note: bytes, manifest: Manifest) -> None:
        """Put it where it goes, if it may still leave; `NotStandingError` if not."""
        if self.folder.marked("published") is not None:
            return
        self._look()
        here = self.folder.folder(RELEASE)
        self._disk.write_whole(here / MANIFEST, note)
        inner = RELEASE if manifest.seal is not None else PARTS
        files = {
            file.path: self.folder.path
            / inner
            / f"{safe_name(table.name)}-{Path(file.path).name.removeprefix('part-')}"
            for table in manifest.tables
            for file in table.files
        }
        files |= {MANIFEST: here / MANIFEST, PROOF: here / PROOF}
        order = release_order(files)

        sent = self.folder.marked(SENT) or 0

        def sending(paths: Sequence[str]) -> None:
            nonlocal sent
            self._look(again=MANIFEST in paths)
            sent = self.folder.marked(SENT) or 0
            self.folder.mark(SENT, max(sent, 1 + max(order.index(each) for each in paths)))

        if sent:
            try:
                place.mend(order)
            except MissingEnvironmentError as error:
                self._notes += (f"what was cut off may still be at the target: {error.message}",)
        self.progress.stage("releasing", manifest.size)
        try:
            place.publish(files, self.progress.advance, sending)
        except NothingSentError:
            self.folder.mark(SENT, sent)
            raise
        self.folder.mark("published", {"address": place.address})

    def _look(self, *, again: bool = True) -> None:
        """Raise `NotStandingError` unless it may still leave; not `again` where that was seen just now."""
        now = self._clock.now()
        if not again and self._looked is not None and (now - self._looked).total_seconds() < LOOK_SECONDS:
            return
        run = self._recorded()
        with open_ledger(self.config.folder) as ledger:
            require_standing(self.config, ledger, run, self.contract.name, self._clock.now)
        self._looked = now

    def _recorded(self) -> TransferRun:
        if self._released is None:
            raise MissingEnvironmentError("the run is not released", hint="run the transfer again")
        return self._released

    def _give_up(self, why: NotStandingError) -> None:
        """Put on record that it is not published, or note that it turns out to have been, before."""
        ending = Ending(self.config, self.contract.name, self._clock)
        ended = ending.give_up(self._recorded(), self.folder, why.change)
        if ended.status == PUBLISHED:
            self._notes += (f"it was at its target, whole, before this run found that {why.message}",)
            return
        raise TransferStoppedError(
            f"run {self.folder.run} was recorded and is not published: {why.message}",
            hint=ended.told,
            findings=({"reason": why.message},),
        )


def _path(result: PartResult) -> str:
    """Where a part's file stands in a release."""
    suffix = result.file.rpartition(".")[2]
    return f"{safe_name(result.table)}/part-{result.number:05d}.{suffix}"


def _released(result: PartResult, sealed: dict[str, Any] | None) -> ReleasedFile:
    if sealed is None:
        return ReleasedFile(_path(result), result.rows, result.size, result.sha256)
    made = sealed["files"][result.id]
    return ReleasedFile(_path(result) + SUFFIX, result.rows, made["size"], made["sha256"])


__all__ = ["Outcome", "Progress", "Silent", "TransferStoppedError", "run_transfer"]
