"""How a run begins, goes on, or is stopped: what the ledger, the contract and the run's folder say together.

A new run begins only if the contract is the approved one, is due, has some of its cap left, and policy
gives what it asks for. One that was cut off goes on only if nothing that it was decided on has changed; if
something has, it is stopped on record and what it had made is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.errors import CheckFailedError, UsageError
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_transfers import TransferStarted
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import Condition
from ringfort.ledger.transfers import NOT_PUBLISHED, RELEASED, STARTED
from ringfort.policy.canonical import digest_of
from ringfort.policy.contract_check import ContractRefusedError
from ringfort.policy.decide import decision_input
from ringfort.policy.forms import Form
from ringfort.privacy.pseudonym import Domain
from ringfort.record.client import open_ledger
from ringfort.sites.domains import DomainStore
from ringfort.transfer.desk import ACTOR, Recorded, TransferDesk
from ringfort.transfer.ending import LOST, Ending
from ringfort.transfer.schedule import next_due, used
from ringfort.transfer.source_check import check_sources
from ringfort.transfer.standing import Change, recorded_contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ringfort.catalog.model import Catalogue
    from ringfort.config import Config
    from ringfort.ledger.folds import ControlState
    from ringfort.ledger.transfers import TransferRun
    from ringfort.policy.contract import Contract
    from ringfort.ports import Clock, Randomness
    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.transfer.desk import Stated
    from ringfort.transfer.state import RunFolder, TransferFolder


class Stop(CheckFailedError):  # noqa: N818 - it is told to people as `TransferStoppedError`
    """The run must not leave: `outcome` goes on record, `findings` with it."""

    def __init__(
        self, outcome: str, message: str, *, hint: str = "", findings: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.outcome = outcome
        self.findings = tuple(findings)


@dataclass(frozen=True)
class Begun:
    """A run that has begun. `state` is the control log as it saw it; `released` is set for one that left."""

    contract: Contract
    catalogue: Catalogue
    folder: RunFolder
    state: ControlState
    condition: Condition
    domain: Domain | None
    vkey: str
    resumed: bool
    released: TransferRun | None = None
    secret: EpochSecret | None = None
    """In place of the domain's own, where nothing is to leave."""

    @property
    def run(self) -> str:
        """The run's id."""
        return self.folder.run


def begin(
    config: Config, stated: Stated, held: TransferFolder, clock: Clock, randomness: Randomness
) -> Begun:
    """Go on with the run that was cut off, or begin a new one; what could not be ended before is ended."""
    Ending(config, stated.contract.name, clock).settle(held)
    with open_ledger(config.folder) as ledger:
        desk = TransferDesk(config, ledger, stated, clock.now)
        resumed = _resume(desk, held, clock)
        if resumed is not None:
            return resumed
        return _new(desk, held, randomness)


def stop(config: Config, transfer: str, run: str, why: Stop, clock: Clock) -> None:
    """Record that a run ended without a release."""
    Ending(config, transfer, clock).stop(run, Change(why.outcome, why.message), why.findings)


def _resume(desk: TransferDesk, held: TransferFolder, clock: Clock) -> Begun | None:
    """The run that was cut off, if there is one that may go on; leftovers of others are deleted.

    What was given up and waits for its target (`ending.settle`) is let be.
    """
    known = desk.transfer
    runs = {} if known is None else {each.id: each for each in known.runs}
    ending = Ending(desk.config, desk.contract.name, clock)
    found: Begun | None = None
    for folder in held.runs():
        run = runs.get(folder.run)
        marked = folder.marked("run")
        if run is not None and run.status == NOT_PUBLISHED:
            continue
        if run is None or marked is None or run.status not in {STARTED, RELEASED}:
            folder.remove()  # it never began, or is over
            continue
        found = _begun(desk, folder, marked, run)
        if run.status == RELEASED:
            return found
        why = _changed(desk, run, found.condition)
        if why:
            ending.append_stop(desk.ledger, run.id, Change("changed", why))
            folder.remove()
            found = None
    if found is None and known is not None:
        again = desk.transfer
        lost = None if again is None else again.open_run
        if lost is not None:
            ending.append_stop(desk.ledger, lost.id, LOST)
    return found


def _begun(desk: TransferDesk, folder: RunFolder, marked: Mapping[str, Any], run: TransferRun) -> Begun:
    contract = recorded_contract(desk.ledger, run)
    keys = TransferDesk(desk.config, desk.ledger, Recorded(contract), desk.now).condition().keys
    condition = Condition(keys, run.start_index + 1)
    epoch = marked["epoch"]
    domain = Domain(marked["recipient"], marked["purpose"], epoch) if epoch else None
    return Begun(
        contract, desk.catalogue, folder, desk.state.copy(), condition, domain, desk.state.vkey,
        resumed=True, released=run if run.status == RELEASED else None,
    )  # fmt: skip


def _changed(desk: TransferDesk, run: TransferRun, condition: Condition) -> str:
    """Why a run that was cut off may not go on, "" if it may."""
    known = desk.transfer
    if desk.contract.digest != run.contract or known is None or known.approved != run.contract:
        return "the contract or its approval has changed"
    try:
        desk.state.require(condition)
    except ConditionFailedError as error:
        return error.message
    return ""


def _new(desk: TransferDesk, held: TransferFolder, randomness: Randomness) -> Begun:
    contract = desk.contract
    require_approved(desk)
    require_due(desk)
    domain = None
    if any(column.form is Form.PSEUDONYM for table in contract.tables for column in table.columns):
        desk.decide().require()  # before a domain is made for it
        check_sources(desk.config, contract, desk.catalogue)
        domain = DomainStore.of(desk.config).ensure(desk.ledger, contract.recipient.entity, contract.purpose)
        desk = TransferDesk(desk.config, desk.ledger, desk.stated, desk.now)
    decision = desk.decide()
    decision.require()
    check_sources(desk.config, contract, desk.catalogue)
    now = desk.now()
    run = f"{now:%Y%m%dT%H%M%SZ}-{randomness.token(4).hex()}"
    folder = held.new_run(run)
    mark = {
        "contract": contract.digest,
        "epoch": 0 if domain is None else domain.epoch,
        "recipient": contract.recipient.entity if domain is None else domain.recipient,
        "purpose": contract.purpose if domain is None else domain.purpose,
    }
    folder.mark("run", mark)
    given = decision_input(desk.bundle, desk.catalogue, desk.config.region.countries, decision.request)
    entry = TransferStarted(
        time=format_time(now),
        actor=ACTOR,
        transfer=contract.name,
        run=run,
        contract=contract.digest,
        recipient=contract.recipient.entity,
        principal=contract.recipient.principal,
        purpose=contract.purpose,
        storage_country=decision.request.site_country,
        viewing_country=contract.recipient.country,
        input=digest_of(given),
        map=decision.map.digest(),
        policy=desk.bundle.digest,
        catalogue=desk.catalogue.digest(),
        evaluator=desk.bundle.evaluator,
    )
    keys = desk.condition().keys
    (index,) = desk.ledger.append(
        [entry], condition=desk.condition(), blobs=(contract.to_json(), given, decision.map.to_json())
    )
    return Begun(
        contract, desk.catalogue, folder, desk.state.copy(), Condition(keys, index + 1), domain,
        desk.state.vkey, resumed=False,
    )  # fmt: skip


def require_approved(desk: TransferDesk) -> None:
    """Raise `ContractRefusedError` unless exactly this contract is approved."""
    contract, known = desk.contract, desk.transfer
    ask = f"`ringfort transfer approve DIR {contract.name} --as {contract.approver}`"
    if known is None or not known.approved:
        raise ContractRefusedError(
            f"`{contract.name}` is not approved", hint=f"{contract.approver} runs {ask}"
        )
    if known.approved != contract.digest:
        raise ContractRefusedError(
            f"the contract of `{contract.name}` has changed since it was approved",
            hint=f"{contract.approver} looks at it and runs {ask}",
        )


def require_due(desk: TransferDesk) -> None:
    """Raise unless a run may be made now, and some of the cap is left."""
    contract, known = desk.contract, desk.transfer
    runs = () if known is None else known.runs
    due = next_due(contract, runs)
    if due is None:
        raise UsageError(
            f"`{contract.name}` was to be made once, and has been",
            hint="for another, write a contract under another name, or with another schedule, and have it"
            " approved",
        )
    if due > desk.now():
        raise UsageError(
            f"`{contract.name}` is not due before {due:%Y-%m-%d}", hint=f"its schedule is {contract.schedule}"
        )
    taken = used(contract, runs, desk.now())
    if taken.rows >= contract.cap_rows or (contract.cap_bytes and taken.bytes >= contract.cap_bytes):
        raise ContractRefusedError(
            f"the cap of `{contract.name}` is used up: {taken.rows:,} of {contract.cap_rows:,} rows",
            hint=f"it counts over each {contract.cap_per}",
        )


__all__ = ["Begun", "Stop", "begin", "require_approved", "require_due", "stop"]
