"""A transfer's contract, brought together with what is in force: the ground that every command stands on.

Policy, catalogue and principals are those that the control log names, never the files of a folder; the
contract is the file, and counts only as far as its digest is approved. Every append demands that nothing of
what was read has changed since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ringfort.catalog.model import Catalogue
from ringfort.errors import ConfigurationError, UsageError
from ringfort.ledger.domains import domain_key
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_transfers import TransferApproved, TransferDeleted
from ringfort.ledger.folds import Condition
from ringfort.policy.bundle import PolicyBundle
from ringfort.policy.canonical import digest_of
from ringfort.policy.contract import NAME, Contract
from ringfort.policy.contract_check import (
    ContractDecision,
    ContractFault,
    ContractRefusedError,
    Place,
    approval_request,
    check_contract,
)
from ringfort.policy.contract_source import load_contract
from ringfort.policy.grants import decide_grant, grant_input
from ringfort.policy.people import managers_above, people_keys, registered
from ringfort.policy.request import Principal
from ringfort.privacy.stated_text import stated
from ringfort.system import operator_name
from ringfort.transfer.plan import rendering_faults
from ringfort.transfer.publish import check_target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfort.config import Config
    from ringfort.ledger.folds import ControlState
    from ringfort.ledger.transfers import Transfer
    from ringfort.policy.bundle import CompiledBundle
    from ringfort.record.client import SyncLedger
    from ringfort.toml_source import TomlDocument

FOLDER = "transfers"
ACTOR = "transfer"


@dataclass(frozen=True)
class Stated:
    """A contract as its file states it."""

    contract: Contract
    document: TomlDocument

    def error(self, fault: ContractFault) -> ConfigurationError:
        """A fault with file and line."""
        return self.document.error(fault.message, *fault.keys, hint=fault.hint)


def contract_names(deployment: Path) -> list[str]:
    """The transfers that have a file, sorted."""
    folder = deployment / FOLDER
    if not folder.is_dir():
        return []
    return sorted(each.stem for each in folder.glob("*.toml"))


def read_contract(deployment: Path, name: str) -> Stated:
    """The contract `transfers/NAME.toml`; raises `UsageError` for a name that none can have."""
    if not NAME.fullmatch(name):
        raise UsageError(f"`{name}` is not the name of a transfer", hint="use a-z, 0-9 and -, at most 63")
    path = deployment / FOLDER / f"{name}.toml"
    if path.is_symlink() or not path.is_file():
        known = ", ".join(contract_names(deployment)) or "none"
        raise UsageError(f"there is no contract `{path}`", hint=f"contracts: {known}")
    return Stated(*load_contract(path))


def written(moment: datetime) -> dict[str, str]:
    """What every entry of a command says: when it was written, and by what."""
    return {"time": format_time(moment), "actor": ACTOR}


@dataclass(frozen=True)
class Recorded:
    """A contract as the ledger holds it, whatever its file says by now."""

    contract: Contract


class TransferDesk:
    """One contract on one open ledger; `since` is the control size that everything was read at."""

    def __init__(
        self,
        config: Config,
        ledger: SyncLedger,
        stated: Stated | Recorded,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.stated = stated
        self.contract = stated.contract
        self.now = now
        self.since = ledger.state.size
        state = ledger.state
        if not state.policy or not state.catalogue:
            raise UsageError(
                "no policy or no catalogue is in force", hint="run `ringfort policy apply`, or `ringfort up`"
            )
        self.bundle: CompiledBundle = PolicyBundle.from_bytes(ledger.get_blob(state.policy)).compile()
        self.catalogue = Catalogue.from_json(ledger.get_blob(state.catalogue))
        if self.bundle.evaluator != state.evaluator:
            raise UsageError(
                "the policy in force was activated for another evaluator", hint="run `ringfort policy apply`"
            )

    @property
    def state(self) -> ControlState:
        """The control log folded."""
        return self.ledger.state

    @property
    def transfer(self) -> Transfer | None:
        """What the ledger knows of this transfer."""
        return self.state.transfers.get(self.contract.name)

    def decide(self) -> ContractDecision:
        """What policy says of the contract, with every fault of it, those of rendering too."""
        found = check_contract(
            self.contract,
            bundle=self.bundle,
            catalogue=self.catalogue,
            region=self.config.region.countries,
            principals={
                each.name: Principal(each.name, each.country, each.employer, each.role)
                for each in self.state.principals.values()
            },
            place=self.place(),
            time=format_time(self.now()),
        )
        more = rendering_faults(self.contract, self.catalogue)
        try:
            check_target(self.contract.target, self.config.folder)
        except UsageError as error:
            more.append(ContractFault(error.message, ("target", "address"), error.hint))
        if self.transfer is None or self.transfer.approved != self.contract.digest:
            more += _word_faults(self.contract)  # what is approved is on record already
        return ContractDecision(found.request, found.map, (*found.faults, *more))

    def place(self) -> Place:
        """Where the data is read."""
        if self.contract.source_country:
            return Place("", self.contract.source_country)
        database = self.catalogue.dataset(self.contract.dataset).database
        site = self.config.site_of(database)
        if site is None:
            raise UsageError(
                f"no site holds database `{database}` of dataset `{self.contract.dataset}`",
                hint="add it to a site in ringfort.toml, or name `source.files` in the contract",
            )
        return Place(site.name, site.country)

    def condition(self) -> Condition:
        """Nothing of what was read has changed."""
        contract = self.contract
        people = {contract.recipient.principal, contract.owner, contract.approver}
        keys = ["policy", "catalogue", f"transfer:{contract.name}"]
        keys += sorted(f"principal:{each}" for each in people)
        keys.append(domain_key(contract.recipient.entity, contract.purpose))
        return Condition(tuple(keys), self.since)

    # -- acts --------------------------------------------------------------------------------------

    def approve(self, who: str) -> None:
        """The approver agrees to exactly this contract; who it is has been proven before."""
        contract = self.contract
        if who != contract.approver:
            raise ContractRefusedError(
                f"`{contract.name}` names `{contract.approver}` as its approver",
                hint="that person approves, or the contract names another",
            )
        decision = self.decide()
        decision.require()
        request = approval_request(
            contract,
            approver=registered(self.state, who),
            approver_managers=managers_above(self.state, who),
            owner=registered(self.state, contract.owner),
            owner_managers=managers_above(self.state, contract.owner),
            time=format_time(self.now()),
        )
        answer = decide_grant(self.bundle, self.catalogue, self.config.region.countries, request)
        if not answer.permitted:
            raise ContractRefusedError(
                f"policy does not permit `{who}` to approve: {answer.reason}",
                hint="policy/grants.cedar says who may",
            )
        blob = grant_input(self.bundle, self.catalogue, self.config.region.countries, request)
        entry = TransferApproved(
            **written(self.now()),
            transfer=contract.name,
            contract=contract.digest,
            recipient=contract.recipient.principal,
            owner=contract.owner,
            approver=who,
            input=digest_of(blob),
        )
        people = people_keys(self.state, (who, contract.owner))
        condition = Condition((*self.condition().keys, *people), self.since)
        self.ledger.append([entry], condition=condition, blobs=(contract.to_json(), blob))


def confirm_deleted(ledger: SyncLedger, transfer: str, run: str, reference: str) -> None:
    """Record that the recipient confirmed the deletion of a run; `reference` says where that stands."""
    known = ledger.state.transfers.get(transfer)
    found = None if known is None else known.run(run)
    if found is None or found.released is None:
        raise UsageError(f"`{transfer}` released no run `{run}`", hint="`ringfort transfer list` shows them")
    if found.deleted:
        raise UsageError(f"the deletion of `{run}` is confirmed already")
    if not reference:
        raise UsageError("where the confirmation stands is missing", hint="give --reference")
    reference = stated(reference, "reference")
    entry = TransferDeleted(
        time=format_time(datetime.now(UTC)),
        actor=ACTOR,
        transfer=transfer,
        run=run,
        reference=reference,
        by=operator_name(),
    )
    ledger.append([entry], condition=Condition((f"transfer:{transfer}",), ledger.state.size))


def _word_faults(contract: Contract) -> list[ContractFault]:
    """What the contract says in words that may not be put on record, where its blob is kept for good."""
    faults = []
    for keys, text in (
        (("purpose",), contract.purpose),
        (("recipient", "entity"), contract.recipient.entity),
        (("legal", "assessment"), contract.assessment),
        ((), contract.name),
    ):
        name = ".".join(keys) or "name of the contract"
        try:
            if stated(text, name) != text:
                hint = "write it without compatibility characters and blanks at its ends"
                faults.append(ContractFault(f"the {name} is not in its canonical form", keys, hint))
        except UsageError as error:
            faults.append(ContractFault(error.message, keys, error.hint))
    return faults


__all__ = [
    "ACTOR",
    "FOLDER",
    "Recorded",
    "Stated",
    "TransferDesk",
    "confirm_deleted",
    "contract_names",
    "read_contract",
    "written",
]
