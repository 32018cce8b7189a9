"""Who else holds, or is to get, rows of a contract's dataset: with whom linkage is measured.

The rule. A recipient is a legal entity and a purpose: it has one domain of pseudonyms. Every *other* one
counts, also another purpose of the same entity, once for each contract over the same dataset

- of which a release stands: it is on record, and its deletion is not;
- or that is approved, and so may be released at any time.

What a recipient holds is known by contract, not by row: releases are deleted here once they have left.
Contracts come from the record, which keeps each that was approved; `stated_recipient` takes a file instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ringfort.errors import RingfortError, UsageError
from ringfort.policy.contract import Contract
from ringfort.policy.contract_source import load_contract
from ringfort.transfer.desk import read_contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.ledger.folds import ControlState


@dataclass(frozen=True)
class OtherRecipient:
    """A contract of another recipient. `releases` are its runs that stand; `stated`: it was asked for."""

    contract: Contract
    releases: tuple[str, ...] = ()
    approved: bool = False
    stated: bool = False

    @property
    def holds(self) -> str:
        """What there is of it, in words."""
        if self.releases:
            return f"{len(self.releases)} releases stand" if len(self.releases) > 1 else "1 release stands"
        return "approved" if self.approved else "compared on request"


def other_recipients(
    state: ControlState, get_blob: Callable[[str], bytes], mine: Contract
) -> tuple[list[OtherRecipient], list[str]]:
    """Those of the rule above, by name and contract; and the transfers whose contract cannot be read."""
    found: list[OtherRecipient] = []
    unread: list[str] = []
    for name in sorted(state.transfers):
        transfer = state.transfers[name]
        standing: dict[str, list[str]] = {} if not transfer.approved else {transfer.approved: []}
        for run in transfer.runs:
            if run.held:
                standing.setdefault(run.contract, []).append(run.id)
        for digest, runs in standing.items():
            try:
                contract = Contract.from_json(get_blob(digest))
            except (RingfortError, ValueError):
                unread.append(name)
                continue
            if contract.dataset == mine.dataset and _recipient(contract) != _recipient(mine):
                found.append(OtherRecipient(contract, tuple(runs), digest == transfer.approved))
    return found, unread


def stated_recipient(deployment: Path, stated: str, mine: Contract) -> OtherRecipient:
    """The contract of this name or file, to compare with; raises `UsageError` if it is of another dataset."""
    path = Path(stated)
    is_path = path.suffix == ".toml" or len(path.parts) > 1
    if is_path and not path.is_file():
        raise UsageError(f"there is no contract `{path}`", hint="give a contract's name, or its file")
    contract = load_contract(path)[0] if is_path else read_contract(deployment, stated).contract
    if contract.dataset != mine.dataset:
        raise UsageError(
            f"`{contract.name}` is of dataset `{contract.dataset}`, not of `{mine.dataset}`",
            hint="linkage is measured between two contracts over one dataset",
        )
    return OtherRecipient(contract, stated=True)


def one_domain(mine: Contract, theirs: Contract) -> bool:
    """Whether pseudonyms of the two are of one domain."""
    return _recipient(mine) == _recipient(theirs)


def _recipient(contract: Contract) -> tuple[str, str]:
    return contract.recipient.entity, contract.purpose


__all__ = ["OtherRecipient", "one_domain", "other_recipients", "stated_recipient"]
