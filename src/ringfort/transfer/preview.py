"""What a contract would send, without sending: forms, policies, rows; on demand the whole work.

A dry run reads, reduces, inspects and measures as a run does, under a secret made for it alone, so that its
pseudonyms lead nowhere, and deletes what it made. Neither shows a value of anybody, and neither is a run:
nothing is recorded, nothing may leave.

Linkage with other recipients is measured either way, where there are any: for that the columns that both are
shown are read, of up to `MOST_ROWS` rows unless it is a dry run.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ringfort.errors import RingfortError, UsageError, machine_fault
from ringfort.ledger.domains import domain_of
from ringfort.ledger.folds import Condition
from ringfort.policy.forms import Form
from ringfort.policy.vocabulary import entity_name
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.pseudonym import ROOT_BYTES, Domain
from ringfort.record.disk import OsDisk
from ringfort.record.reading import read_ledger
from ringfort.system import SystemClock
from ringfort.transfer.begin import Begun, Stop, require_approved, require_due
from ringfort.transfer.desk import TransferDesk, read_contract
from ringfort.transfer.extract import estimated_rows, extract, site_dsn
from ringfort.transfer.inspect import findings
from ringfort.transfer.linkage_figures import BETWEEN, Between
from ringfort.transfer.measured_rows import subject_column
from ringfort.transfer.other_recipients import other_recipients, stated_recipient
from ringfort.transfer.plan import planned_tables
from ringfort.transfer.recipient_linkage import LinkageInput, linkage_between, needed_columns
from ringfort.transfer.source import files_of, open_files
from ringfort.transfer.source_check import check_sources
from ringfort.transfer.state import EXTRACT, TransferFolder
from ringfort.transfer.work import Progress, Silent, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringfort.catalog.model import Catalogue
    from ringfort.config import Config
    from ringfort.ledger.folds import ControlState
    from ringfort.policy.contract import Contract
    from ringfort.policy.contract_check import ContractDecision
    from ringfort.transfer.other_recipients import OtherRecipient
    from ringfort.transfer.plan import PlannedTable
    from ringfort.transfer.runners import Runner
    from ringfort.transfer.source import SourceTable
    from ringfort.transfer.state import RunFolder


MOST_ROWS = 5_000_000
"""Rows that are read for linkage without a dry run."""


@dataclass
class Preview:
    """`against` is everything that stands against a run; `rows` is -1 where a site does not know."""

    contract: Contract
    columns: list[dict[str, Any]]
    rows: dict[str, int] = field(default_factory=dict)
    against: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)
    between: dict[str, Any] = field(default_factory=dict)
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        contract = self.contract
        return {
            "transfer": contract.name,
            "contract": contract.digest,
            "recipient": asdict(contract.recipient),
            "mechanism": contract.mechanism,
            "assessment": contract.assessment,
            "purpose": contract.purpose,
            "target": contract.target.address,
            "columns": self.columns,
            "rows": self.rows,
            "against": self.against,
            "notes": self.notes,
            "dry_run": self.dry_run,
            "findings": self.findings,
            "measures": self.measures,
            BETWEEN: self.between,
        }


def preview_transfer(
    config: Config,
    name: str,
    runner: Runner | None,
    progress: Progress | None = None,
    compare: Sequence[str] = (),
) -> Preview:
    """What a run would send; with a runner also what its inspection and measures would give.

    `compare` names contracts, or their files, with which linkage is measured beside those on record.

    Raises `ConfigurationError` and `UsageError` for a contract that cannot be read or decided on.
    """
    stated = read_contract(config.folder, name)
    desk = TransferDesk(config, read_ledger(config.folder), stated)
    decision = desk.decide()
    found = Preview(stated.contract, _columns(stated.contract, decision))
    found.against += [str(stated.error(each)) for each in decision.faults]
    if stated.contract.dataset in desk.bundle.settings.accept_stored_order:
        found.notes.append(
            f"the policy accepts stored order for dataset `{stated.contract.dataset}`: what the gateway shows"
            " can be joined by position, row by row, whatever the pseudonyms; files are sorted all the same"
        )
    _gather(found.against, lambda: require_approved(desk))
    _gather(found.against, lambda: require_due(desk))
    compared = tuple(stated_recipient(config.folder, each, stated.contract) for each in compare)
    derivation = _derivation(desk.state, stated.contract)
    if derivation != NEWEST and any(each["method"] == "ff1" for each in found.columns):
        found.notes.append(
            f"pseudonyms by `ff1` leave under derivation {derivation}, where patterns and kinds share"
            f" permutations: `ringfort domain rotate` begins an epoch of derivation {NEWEST}"
        )
    sources = len(found.against)
    if not decision.faults:
        _gather(found.against, lambda: check_sources(config, stated.contract, desk.catalogue))
    if not decision.faults and len(found.against) == sources:
        _gather(found.against, lambda: found.rows.update(_rows(config, stated.contract, desk)))
        if runner is not None:
            domain = Domain(stated.contract.recipient.entity, stated.contract.purpose, 0)
            _dry_run(config, found, runner, progress or Silent(), desk, domain, compared)
        else:
            _compare(config, found, progress or Silent(), desk, compared)
    return found


def _columns(contract: Contract, decision: ContractDecision) -> list[dict[str, Any]]:
    columns = []
    for table in contract.tables:
        for each in table.columns:
            known = decision.map.columns.get((contract.dataset, table.name, each.name))
            columns.append(
                {
                    "column": entity_name(table.name, each.name),
                    "form": str(each.form),
                    "method": each.method,
                    "permitted": str(Form.HIDDEN if known is None else known.form),
                    "policies": [] if known is None else list(known.policies),
                    "reason": "not in the catalogue" if known is None else known.reason,
                    "may_hold": list(each.allow),
                }
            )
    return columns


def _rows(config: Config, contract: Contract, desk: TransferDesk) -> dict[str, int]:
    tables = planned_tables(contract, desk.catalogue)
    if contract.source_country:
        return {
            each.stated.name: open_files(
                each.stated.name, files_of(config.folder / each.stated.files), len(each.columns)
            ).rows
            for each in tables
        }
    database = desk.catalogue.dataset(contract.dataset).database
    site = config.site_of(database)
    if site is None:
        return {}
    with site_dsn(config, site, database) as dsn:
        return estimated_rows(dsn, tables)


def _dry_run(  # noqa: PLR0917 - made in one place
    config: Config,
    found: Preview,
    runner: Runner,
    progress: Progress,
    desk: TransferDesk,
    domain: Domain,
    compared: tuple[OtherRecipient, ...],
) -> None:
    disk = OsDisk()
    state = desk.state
    found.dry_run = True
    with (
        contextlib.closing(runner),
        contextlib.closing(TransferFolder(config.folder, found.contract.name, disk)) as held,
    ):
        folder = held.trial()
        begun = Begun(
            found.contract, desk.catalogue, folder, state, Condition((), 0), domain, state.vkey,
            resumed=False, secret=EpochSecret(os.urandom(ROOT_BYTES), _derivation(state, found.contract)),
        )  # fmt: skip
        try:
            work = Work(config, begun, runner, progress, disk, SystemClock())
            work.compared = compared
            sources = work.extract()
            found.rows = {each.name: each.rows for each in sources}
            results = work.reduce(sources)
            found.findings = [
                asdict(each) for each in findings((each.table, each.findings) for each in results)
            ]
            found.notes += runner.notes
            _gather(found.against, lambda: work.judge(results))
            _gather(found.against, lambda: found.measures.update(work.measure(sources).shown))
            found.between = work.between.shown() if work.between else {}
        except Stop as why:
            found.against.append(why.message)
        except OSError as error:
            raise machine_fault(error, folder.path) from None
        finally:
            folder.remove()


def _derivation(state: ControlState, contract: Contract) -> int:
    """That of the epoch which a run would send pseudonyms of."""
    known = domain_of(state, contract.recipient.entity, contract.purpose)
    epoch = None if known is None else known.in_force
    return NEWEST if epoch is None else epoch.derivation


def _compare(
    config: Config, found: Preview, progress: Progress, desk: TransferDesk, compared: Sequence[OtherRecipient]
) -> None:
    """Measure linkage with other recipients, if there are any, and if there are not too many rows."""
    others, unread = other_recipients(desk.state, desk.ledger.get_blob, found.contract)
    others += compared
    tables = _compared_tables(found.contract, others, desk.catalogue)
    rows = sum(max(found.rows.get(each.stated.name, 0), 0) for each in tables)
    if not others or rows > MOST_ROWS:
        why = f"{rows:,} rows are compared by a run and by `--dry-run`"
        unread += [f"{each.contract.name}: {why}" for each in others]
        found.between = Between(unmeasured=tuple(unread)).shown() if unread else {}
        return
    try:
        with contextlib.closing(TransferFolder(config.folder, found.contract.name, OsDisk())) as held:
            folder = held.trial()
            try:
                sources = _sources(config, found.contract, desk.catalogue, tables, folder, progress)
                given = LinkageInput(
                    config, found.contract, desk.catalogue, others, folder, sources, progress
                )
                found.between = linkage_between(given, unread).shown()
            except OSError as error:
                raise machine_fault(error, folder.path) from None
            finally:
                folder.remove()
    except RingfortError as error:  # what else a preview shows stands
        unread += [f"{each.contract.name}: {error.message}" for each in others]
        found.between = Between(unmeasured=tuple(unread)).shown()


def _compared_tables(
    contract: Contract, others: Sequence[OtherRecipient], catalogue: Catalogue
) -> tuple[PlannedTable, ...]:
    """The tables that another is sent too: the columns that are compared, and the data subject's key."""
    dataset = catalogue.dataset(contract.dataset)
    needed = needed_columns(contract, others, dataset)
    made = []
    for each in planned_tables(contract, catalogue):
        if each.stated.name in needed:
            wanted = needed[each.stated.name] | {subject_column(dataset, each.catalogued)}
            columns = tuple(one for one in each.columns if one.stated.name in wanted)
            made.append(replace(each, columns=columns))
    return tuple(made)


def _sources(  # noqa: PLR0917 - made in one place
    config: Config,
    contract: Contract,
    catalogue: Catalogue,
    tables: Sequence[PlannedTable],
    folder: RunFolder,
    progress: Progress,
) -> tuple[SourceTable, ...]:
    """The rows of these tables, read by the rights and under the locks that a run has."""
    if contract.source_country:
        return tuple(
            open_files(each.stated.name, files_of(config.folder / each.stated.files), len(each.columns))
            for each in tables
        )
    database = catalogue.dataset(contract.dataset).database
    site = config.site_of(database)
    tables = [each for each in tables if each.columns]
    if site is None or not tables:
        return ()
    progress.stage("reading for linkage between recipients", -1)
    read = 0

    def advance(rows: int) -> None:
        nonlocal read
        read += rows
        if read > MOST_ROWS:  # a table without statistics
            raise UsageError(f"more than {MOST_ROWS:,} rows are compared by a run and by `--dry-run`")
        progress.advance(rows)

    with site_dsn(config, site, database) as dsn:
        return extract(dsn, catalogue.digest(), tables, folder.folder(EXTRACT), advance)


def _gather(problems: list[str], step: Callable[[], object]) -> None:
    """Do a step, and note what speaks against it."""
    try:
        step()
    except RingfortError as error:
        problems.append(error.message)


__all__ = ["Preview", "preview_transfer"]
