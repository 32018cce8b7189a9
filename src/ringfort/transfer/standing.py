"""Whether a release that is on record may still leave: looked at right before it does.

Everything is taken from the record: contract, people, domain, policy and catalogue as they are in force now,
whatever the contract's file says by then. A release stands while

- the approval that it was recorded under stands, and no later one has come;
- recipient, owner and approver are registered as they were then;
- policy, catalogue and the recipient's pseudonymisation domain are those of then: not erased, not rotated;
- the time is not over by which the recipient must have deleted it;
- policy gives, at this moment, what the contract asks for.

`changed_since` is pure. What is not looked at: what has changed in the data since they were read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.errors import CheckFailedError
from ringfort.ledger.domains import ERASED, domain_key, domain_of
from ringfort.policy.contract import Contract
from ringfort.policy.contract_check import ContractRefusedError
from ringfort.transfer.desk import Recorded, TransferDesk

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ringfort.config import Config
    from ringfort.ledger.folds import ControlState
    from ringfort.ledger.transfers import TransferRun
    from ringfort.record.client import SyncLedger


@dataclass(frozen=True)
class Change:
    """What a release stood on and stands on no more: a word for the record, and a sentence."""

    outcome: str
    message: str


class NotStandingError(CheckFailedError):
    """A release that is on record may not leave."""

    default_sqlstate = "42501"  # insufficient_privilege

    def __init__(self, change: Change) -> None:
        super().__init__(change.message)
        self.change = change


def require_standing(
    config: Config, ledger: SyncLedger, run: TransferRun, name: str, now: Callable[[], datetime]
) -> None:
    """Raise `NotStandingError` unless the released run of transfer `name` may leave at this moment."""
    contract = recorded_contract(ledger, run)
    change = changed_since(ledger.state, name, contract, run, now())
    if change is not None:
        raise NotStandingError(change)
    try:
        TransferDesk(config, ledger, Recorded(contract), now).decide().require()
    except ContractRefusedError as error:
        raise NotStandingError(Change("refused", error.message)) from None


def recorded_contract(ledger: SyncLedger, run: TransferRun) -> Contract:
    """The contract that a run was recorded under; its file may say another thing by now, or be gone."""
    return Contract.from_json(ledger.get_blob(run.contract))


def changed_since(
    state: ControlState, name: str, contract: Contract, run: TransferRun, now: datetime
) -> Change | None:
    """The first thing that a released run stood on and that is another now, None if there is none."""
    known = state.transfers.get(name)
    if known is None or not known.approved:
        people = _people_change(state, contract, run)
        return people or Change("withdrawn", "its approval was withdrawn")
    if known.approved != run.contract or known.index > run.index:
        return Change("changed", "the transfer was approved anew after it was recorded")
    change = _people_change(state, contract, run) or _domain_change(state, contract, run)
    if change is not None:
        return change
    for key in ("policy", "catalogue"):
        if _changed(state, key, run):
            return Change("changed", f"another {key} has come into force")
    if run.delete_by is not None and now >= run.delete_by:
        return Change("retention", f"the recipient was to delete it by {run.delete_by:%Y-%m-%d %H:%M} UTC")
    return None


def _people_change(state: ControlState, contract: Contract, run: TransferRun) -> Change | None:
    for role, each in (
        ("recipient", contract.recipient.principal),
        ("owner", contract.owner),
        ("approver", contract.approver),
    ):
        if each not in state.principals:
            return Change("changed", f"its {role} `{each}` was removed")
        if _changed(state, f"principal:{each}", run):
            return Change("changed", f"its {role} `{each}` was registered anew")
    return None


def _domain_change(state: ControlState, contract: Contract, run: TransferRun) -> Change | None:
    recipient, purpose = contract.recipient.entity, contract.purpose
    if not _changed(state, domain_key(recipient, purpose), run):
        return None
    domain = domain_of(state, recipient, purpose)
    gone = domain is not None and any(each.status == ERASED for each in domain.epochs)
    what = "erased" if gone else "rotated"
    return Change("erased" if gone else "changed", f"the recipient's pseudonymisation domain was {what}")


def _changed(state: ControlState, key: str, run: TransferRun) -> bool:
    return state.changed.get(key, -1) > run.index


__all__ = [
    "Change",
    "NotStandingError",
    "changed_since",
    "recorded_contract",
    "require_standing",
]
