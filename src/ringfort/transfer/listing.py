"""Transfers as ledger and contracts tell them: approval, next run, cap, what is to be deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.errors import RingfortError
from ringfort.record.reading import read_ledger
from ringfort.transfer.desk import contract_names, read_contract
from ringfort.transfer.schedule import next_due, overdue, used

if TYPE_CHECKING:
    from datetime import datetime

    from ringfort.config import Config
    from ringfort.ledger.transfers import Transfer, TransferRun
    from ringfort.policy.contract import Contract


@dataclass(frozen=True)
class Listed:
    """One transfer, in words; `problem` is what is wrong with its file."""

    name: str
    contract: Contract | None
    known: Transfer | None
    now: datetime
    problem: str = ""

    @property
    def runs(self) -> tuple[TransferRun, ...]:
        """Every run of it."""
        return () if self.known is None else self.known.runs

    @property
    def approval(self) -> str:
        """Whether the contract that stands in the file may run."""
        if self.problem:
            return "invalid"
        if self.contract is None:
            return "without a contract"
        if self.known is None or not self.known.approved:
            return "not approved"
        if self.known.approved != self.contract.digest:
            return "changed since it was approved"
        return f"approved by {self.known.approver}"

    @property
    def due(self) -> str:
        """When it may be run."""
        if self.contract is None:
            return "never due"
        at = next_due(self.contract, self.runs)
        if at is None:
            return "made once"
        return "due" if at <= self.now else f"due {at:%Y-%m-%d}"

    @property
    def used(self) -> str:
        """How much of the cap is used."""
        if self.contract is None:
            return f"{sum(each.rows for each in self.runs):,} rows released"
        taken = used(self.contract, self.runs, self.now)
        return f"{taken.rows:,} of {self.contract.cap_rows:,} rows per {self.contract.cap_per}"

    @property
    def overdue(self) -> tuple[TransferRun, ...]:
        """What the recipient should have deleted."""
        return overdue(self.runs, self.now)

    @property
    def lines(self) -> list[str]:
        """Its problem, and its runs, the last ten."""
        found = [self.problem] if self.problem else []
        for run in self.runs[-10:]:
            text = f"{run.id}  {run.status}" + (f" ({run.outcome})" if run.outcome else "")
            if run.released is not None and run.delete_by is not None:
                text += f", {run.rows:,} rows to {run.recipient}"
                if run.deleted:
                    text += f", deleted ({run.deleted})"
                else:
                    late = "was to be deleted" if run.delete_by <= self.now else "to be deleted"
                    text += f", {late} by {run.delete_by:%Y-%m-%d}"
            found.append(text)
        return found

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        at = None if self.contract is None else next_due(self.contract, self.runs)
        return {
            "transfer": self.name,
            "approval": self.approval,
            "problem": self.problem,
            "next_due": None if at is None else _iso(max(at, self.now)),
            "cap_rows": 0 if self.contract is None else self.contract.cap_rows,
            "used_rows": 0 if self.contract is None else used(self.contract, self.runs, self.now).rows,
            "overdue": [each.id for each in self.overdue],
            "runs": [
                {
                    "run": each.id,
                    "status": each.status,
                    "outcome": each.outcome,
                    "rows": each.rows,
                    "bytes": each.bytes,
                    "index": each.index,
                    "released": _iso(each.released),
                    "delete_by": _iso(each.delete_by),
                    "deleted": each.deleted,
                }
                for each in self.runs
            ],
        }


def list_transfers(config: Config, now: datetime) -> list[Listed]:
    """Every transfer that has a file or a record, by name."""
    known = dict(read_ledger(config.folder).state.transfers)
    found = []
    for name in sorted({*known, *contract_names(config.folder)}):
        contract, problem = None, ""
        if name in contract_names(config.folder):
            try:
                contract = read_contract(config.folder, name).contract
            except RingfortError as error:
                problem = error.message
        found.append(Listed(name, contract, known.get(name), now, problem))
    return found


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


__all__ = ["Listed", "list_transfers"]
