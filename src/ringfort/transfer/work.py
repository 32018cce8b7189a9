"""The stages of a run that make what may leave: extract, reduce, judge, measure. Nothing leaves here.

Each stage is done once: its durable mark says so, and what it gave is read from there. `run` goes on from
here to the record and the release; `preview` ends here.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ringfort.errors import MissingEnvironmentError
from ringfort.paths import private_folder
from ringfort.privacy.row_order import order_key
from ringfort.record.reading import read_ledger
from ringfort.sites.domains import DomainStore
from ringfort.transfer.begin import Begun, Stop
from ringfort.transfer.extract import Beside, extract, site_dsn
from ringfort.transfer.fingerprints import IdentifierSource, can_be_used, kept_fingerprints
from ringfort.transfer.inspect import KeptFingerprints, findings
from ringfort.transfer.inspection_plan import InspectionInput, inspections
from ringfort.transfer.linkage_figures import Between
from ringfort.transfer.measured_rows import MeasuredTable, measured_table
from ringfort.transfer.measures import Measured, MeasureInput, measure
from ringfort.transfer.other_recipients import other_recipients
from ringfort.transfer.part import (
    Job,
    PartResult,
    ReducedPart,
    ReleasePart,
    TableOrder,
    reduce_part,
    write_release_part,
)
from ringfort.transfer.plan import PlannedTable, leading_pseudonym, planned_tables, reduction_plan
from ringfort.transfer.recipient_linkage import LinkageInput, linkage_between
from ringfort.transfer.schedule import Used, used
from ringfort.transfer.site_tables import ReadTable
from ringfort.transfer.source import (
    SourceFile,
    SourceTable,
    check_unchanged,
    files_of,
    open_files,
    parts_of,
)
from ringfort.transfer.state import EXTRACT, PARTS, RELEASE, ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from ringfort.catalog.model import Dataset
    from ringfort.config import Config
    from ringfort.policy.contract import Contract
    from ringfort.ports import Clock
    from ringfort.record.disk import Disk
    from ringfort.transfer.other_recipients import OtherRecipient
    from ringfort.transfer.runners import Runner
    from ringfort.transfer.source import Part
    from ringfort.transfer.state import RunFolder

LOG = logging.getLogger(__name__)
KEPT, IDENTIFIERS = "kept", "identifiers"


class Progress(Protocol):
    """Is told how far a run is."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins, with so much to do; -1 if that is not known."""
        ...

    def advance(self, amount: int) -> None:
        """So much of it is done."""
        ...


class Silent:
    """Tells nobody."""

    def stage(self, name: str, total: int) -> None:
        """Nothing."""

    def advance(self, amount: int) -> None:
        """Nothing."""


class Work:
    """One run's work on its rows."""

    def __init__(  # noqa: PLR0917 - one caller each
        self, config: Config, begun: Begun, runner: Runner, progress: Progress, disk: Disk, clock: Clock
    ) -> None:
        self.config = config
        self.begun = begun
        self.contract: Contract = begun.contract
        self.folder: RunFolder = begun.folder
        self.runner = runner
        self.progress = progress
        self._disk = disk
        self._clock = clock
        self._reduced: list[ReducedPart] = []
        self.compared: tuple[OtherRecipient, ...] = ()
        """Recipients that linkage is measured with beside those on record."""
        self.between = Between()
        # what was released is not planned again: the catalogue may be another by now
        self.tables = () if begun.released else planned_tables(self.contract, begun.catalogue)

    @property
    def kept(self) -> Path:
        """What the transfer remembers from run to run."""
        return self.folder.path.parent / KEPT

    def extract(self) -> tuple[SourceTable, ...]:
        """The rows that are transferred, as files; their number is held against the cap."""
        marked = self.folder.marked("extract")
        if marked is None or not self._identifiers_serve():  # one of before is read anew
            self.folder.clear(EXTRACT, ROWS, PARTS, RELEASE, "reduced", "part", "measure.json", "seal.json")
            sources = self._from_files() if self.contract.source_country else self._from_site()
            self.folder.mark("extract", [asdict(each) for each in sources])
        else:
            sources = tuple(
                SourceTable(
                    each["name"],
                    tuple(SourceFile(**file) for file in each["files"]),
                    each["batch_rows"],
                    tuple(each["encoded"]),
                )
                for each in marked
            )
        rows = sum(each.rows for each in sources)
        left = self.contract.cap_rows - self.used().rows
        if rows > left:
            raise Stop(
                "volume",
                f"{rows:,} rows would leave, of the cap of {self.contract.cap_rows:,} rows"
                f" {max(left, 0):,} are left",
                hint="wait for the next period, or have a contract with another cap approved",
                findings=[{"rows": rows, "left": max(left, 0)}],
            )
        return sources

    def _from_files(self) -> tuple[SourceTable, ...]:
        sources = tuple(
            open_files(each.stated.name, files_of(self.config.folder / each.stated.files), len(each.columns))
            for each in self.tables
        )
        self._keep_identifiers(None, {each.name: each for each in sources})
        return sources

    def _from_site(self) -> tuple[SourceTable, ...]:
        dataset = self.begun.catalogue.dataset(self.contract.dataset)
        site = self.config.site_of(dataset.database)
        if site is None:
            raise MissingEnvironmentError(f"no site holds database `{dataset.database}`")
        identifying = tuple(
            ReadTable(table.schema, table.name, tuple((each.name, "") for each in columns))
            for table, columns in self._identifier_source({}).tables()
        )

        def identifiers(reader: psycopg.Connection[tuple[Any, ...]]) -> None:
            self._keep_identifiers(reader, {})
            self.progress.stage("reading the site", -1)

        self.progress.stage("waiting for the tables of the site", -1)
        with site_dsn(self.config, site, dataset.database) as dsn:
            return extract(
                dsn, self.begun.catalogue.digest(), self.tables,
                self.folder.folder(EXTRACT), self.progress.advance, Beside(identifying, identifiers),
            )  # fmt: skip

    def _identifiers_serve(self) -> bool:
        """Whether the run's fingerprints are there, whole, and of the version that inspects now.

        Rows are read anew where they are not: fingerprints are of the snapshot of the rows.
        """
        kept = self.folder.marked(IDENTIFIERS)
        if kept is None:
            return False
        key = DomainStore.of(self.config).fingerprint_key()
        if not kept or can_be_used(KeptFingerprints(**kept), key):
            return True
        LOG.warning(
            "the fingerprints are of another version or not whole: they are made anew, and rows read anew",
            extra={"event": "fingerprints-anew"},
        )
        return False

    def _identifier_source(self, files: Mapping[str, SourceTable]) -> IdentifierSource:
        key = DomainStore.of(self.config).fingerprint_key()
        return IdentifierSource(
            self.config, self.contract, self.begun.catalogue, key, self.progress.advance, files
        )

    def _keep_identifiers(
        self, reader: psycopg.Connection[tuple[Any, ...]] | None, files: Mapping[str, SourceTable]
    ) -> None:
        """Fingerprint identifiers; the set is the run's own from here on, whoever makes another meanwhile."""
        self.progress.stage("fingerprinting identifiers", -1)
        kept = kept_fingerprints(self._identifier_source(files), private_folder(self.kept), reader)
        own = self.folder.path / IDENTIFIERS
        own.unlink(missing_ok=True)
        if kept is not None:
            os.link(kept.path, own)
            kept = KeptFingerprints(str(own), kept.digest, kept.count)
        self.folder.mark(IDENTIFIERS, {} if kept is None else asdict(kept))

    def reduce(self, sources: Sequence[SourceTable]) -> list[PartResult]:
        """Every row reduced, and every part of the release inspected and written; their results in order."""
        for each in sources:
            check_unchanged(each)  # those that were done before the run was cut off were of these files, too
        parts = [part for table in sources for part in parts_of(table)]
        written = {each["id"]: PartResult.from_json(each) for each in self.folder.marks("part")}
        reduced = {each["id"]: ReducedPart.from_json(each) for each in self.folder.marks("reduced")}
        if any(each.id not in written for each in parts):
            job = self._job(sources)
            self._reduce_parts(job, sources, parts, reduced)
            self._write_parts(job, parts, reduced, written)
        self._reduced = [reduced[each.id] for each in parts]
        return [written[each.id] for each in parts]

    def lost(self, table: str) -> Counter[str]:
        """How many values of each column had none in their form and leave as NULL."""
        found: Counter[str] = Counter()
        for each in self._reduced:
            if each.table == table:
                found.update(each.lost)
        return found

    def _reduce_parts(
        self,
        job: Job,
        sources: Sequence[SourceTable],
        parts: Sequence[Part],
        reduced: dict[str, ReducedPart],
    ) -> None:
        """Every part of the sources, reduced and spooled; what is on disk from before is not done again."""
        missing = [each for each in parts if each.id not in reduced or not reduced[each.id].is_there()]
        self.progress.stage("reducing", sum(each.rows for each in parts))
        self.progress.advance(sum(each.rows for each in parts) - sum(each.rows for each in missing))
        for result in self.runner.run(reduce_part, job, missing, rows=sum(each.rows for each in missing)):
            self._disk.sync_folder(Path(job.rows))
            self.folder.mark(f"reduced-{result.id}", result.to_json())
            reduced[result.id] = result
            self.progress.advance(result.rows)
        for each in sources:
            check_unchanged(each)

    def _write_parts(
        self,
        job: Job,
        parts: Sequence[Part],
        reduced: Mapping[str, ReducedPart],
        written: dict[str, PartResult],
    ) -> None:
        """Every part of the release: as many rows each as a part of the source, in the order of release."""
        files = {
            table: tuple(
                file for part in parts if part.table.name == table for file in reduced[part.id].files
            )
            for table in {each.table.name for each in parts}
        }
        missing = [
            ReleasePart(each.table, each.number, each.first, each.rows, each.id, files[each.table.name])
            for each in parts
            if each.id not in written
        ]
        self.progress.stage("inspecting and writing", sum(each.rows for each in parts))
        self.progress.advance(sum(each.rows for each in written.values()))
        for result in self.runner.run(
            write_release_part, job, missing, rows=sum(each.rows for each in missing)
        ):
            self._disk.sync_folder(Path(job.folder))
            self.folder.mark(f"part-{result.id}", result.to_json())
            written[result.id] = result
            self.progress.advance(result.rows)

    def _job(self, sources: Sequence[SourceTable]) -> Job:
        dataset = self.begun.catalogue.dataset(self.contract.dataset)
        store = DomainStore.of(self.config)
        domain = self.begun.domain
        secret = self.begun.secret
        if domain is not None and secret is None:
            secret = store.secret(domain, self.begun.state)
        schemas = {each.name: each.schema() for each in sources}
        plans = {
            each.stated.name: reduction_plan(each, dataset, schemas[each.stated.name], domain, secret)
            for each in self.tables
        }
        kept = self.folder.marked(IDENTIFIERS)
        inspected = inspections(
            InspectionInput(
                config=self.config,
                contract=self.contract,
                catalogue=self.begun.catalogue,
                domains=store,
                state=self.begun.state,
                domain=domain,
                identifiers=KeptFingerprints(**kept) if kept else None,
            )
        )
        return Job(
            folder=str(self.folder.folder(PARTS)),
            rows=str(self.folder.folder(ROWS)),
            output=self.contract.output,
            plans=plans,
            orders={each.stated.name: self._order(each, dataset, store) for each in self.tables},
            inspections=inspected,
            measured=self._measured(sources),
            tag_key=store.fingerprint_key(),
        )

    def _order(self, table: PlannedTable, dataset: Dataset, store: DomainStore) -> TableOrder:
        """By the domain of the recipient: its entity and the purpose; an epoch changes the pseudonyms."""
        key = order_key(
            store.fingerprint_key(), self.contract.recipient.entity, self.contract.purpose, table.stated.name
        )
        return TableOrder(key, leading_pseudonym(table.stated, dataset))

    def _measured(self, sources: Sequence[SourceTable]) -> dict[str, MeasuredTable]:
        """The tables that have rows, and quasi-identifiers to measure them over."""
        dataset = self.begun.catalogue.dataset(self.contract.dataset)
        found = {}
        for source in sources:
            stated = self.contract.table(source.name)
            if stated is not None and source.rows:
                table = measured_table(dataset, stated, source.schema())
                if table.quasi:
                    found[source.name] = table
        return found

    def judge(self, results: Sequence[PartResult]) -> None:
        """Raise `Stop` if inspection found what the contract does not allow."""
        found = findings((each.table, each.findings) for each in results)
        if found:
            listed = [asdict(each) for each in found]
            first = found[0]
            more = f" (and {len(found) - 1} more findings)" if len(found) > 1 else ""
            raise Stop(
                "inspection",
                f"column `{first.table}.{first.column}` holds {first.kind} in {first.rows:,} rows,"
                f" which the contract does not allow{more}",
                hint="send the column in another form, correct the data, or allow the kind in the contract",
                findings=listed,
            )

    def measure(self, sources: Sequence[SourceTable]) -> Measured:
        """The figures of the run; raises `Stop` if they do not permit a release."""
        marked = self.folder.marked("measure")
        if marked is not None:
            measured = Measured(marked["document"].encode(), marked["shown"], tuple(marked["stops"]))
        else:
            self.between = self._between(sources)
            self.progress.stage("measuring re-identification", -1)
            tables = self._measured(sources)
            measured = measure(
                MeasureInput(
                    config=self.config,
                    contract=self.contract,
                    catalogue=self.begun.catalogue,
                    run=self.folder.run,
                    tables=tables,
                    tags={
                        name: [Path(each.tags) for each in self._reduced if each.table == name]
                        for name in tables
                    },
                    kept=self.kept,
                    state=self.begun.state,
                    domain=self.begun.domain,
                    between=self.between,
                )
            )
            for each in sources:
                check_unchanged(each)
            self.folder.mark(
                "measure",
                {
                    "document": measured.document.decode(),
                    "shown": dict(measured.shown),
                    "stops": list(measured.stops),
                },
            )
            self.folder.clear(ROWS)
        if measured.stops:
            raise Stop(
                "measures",
                measured.stops[0],
                hint="send coarser forms or fewer columns",
                findings=[{"reason": each} for each in measured.stops],
            )
        return measured

    def _between(self, sources: Sequence[SourceTable]) -> Between:
        """Linkage with what other recipients hold or may get, by the record as it is now."""
        ledger = read_ledger(self.config.folder)
        others, unread = other_recipients(ledger.state, ledger.get_blob, self.contract)
        others += self.compared
        if not others:
            return Between(unmeasured=tuple(unread))
        given = LinkageInput(
            self.config, self.contract, self.begun.catalogue, others, self.folder, sources, self.progress
        )
        return linkage_between(given, unread)

    def used(self) -> Used:
        """What earlier runs took of the cap."""
        known = self.begun.state.transfers.get(self.contract.name)
        return used(self.contract, () if known is None else known.runs, self._clock.now())


__all__ = ["KEPT", "Progress", "Silent", "Work"]
