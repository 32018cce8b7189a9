"""Transfers as ledger and contracts tell them: approval, next run, cap, what is to be deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringfort.errors import RingfortError
from ringfort.ledger.transfers import NOT_PUBLISHED, RELEASED
from ringfort.record.reading import read_ledger
from ringfort.transfer.desk import contract_names, read_contract
from ringfort.transfer.schedule import next_due, overdue, used
from ringfort.transfer.standing import changed_since, recorded_contract
from ringfort.transfer.state import transfer_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ringfort.config import Config
    from ringfort.ledger.transfers import Transfer, TransferRun
    from ringfort.policy.contract import Contract
    from ringfort.record.reading import Reading


@dataclass(frozen=True)
class Listed:
    """One transfer, in words; `problem` is what is wrong with its file."""

    name: str
    contract: Contract | None
    known: Transfer | None
    now: datetime
    problem: str = ""
    fallen: Mapping[str, str] = field(default_factory=dict)
    """Runs that are recorded and may not be published any more, and why."""
    remaining: frozenset[str] = frozenset()
    """Runs that were given up and whose files at the target were not removed yet."""

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
        return [*found, *(self._line(each) for each in self.runs[-10:])]

    def _line(self, run: TransferRun) -> str:
        text = f"{run.id}  {run.status}" + (f" ({run.outcome})" if run.outcome else "")
        late = run.delete_by is not None and run.delete_by <= self.now
        if run.status == RELEASED:
            text += f", not published yet, {run.rows:,} rows for {run.recipient}; "
            if run.id in self.fallen:
                text += (
                    f"it will not be ({self.fallen[run.id]}): `ringfort transfer abandon` puts that on record"
                )
            else:
                text += "`ringfort transfer run` publishes it, `abandon` gives it up"
        elif run.status == NOT_PUBLISHED:
            text += f", {run.files:,} files with {run.rows:,} rows may have left to {run.recipient}"
            text = text if run.files else f"{run.id}  {run.status} ({run.outcome}), nothing of it had left"
        elif run.released is not None:
            text += f", {run.rows:,} rows to {run.recipient}"
        if run.deleted:
            text += f", deleted ({run.deleted})"
        elif run.delete_by is not None and (late or run.status != RELEASED):
            text += f", {'was to be' if late else 'to be'} deleted by {run.delete_by:%Y-%m-%d}"
        if run.id in self.remaining:
            text += "; `ringfort transfer abandon` removes what is at the target"
        return text

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
                    "will_not_be_published": self.fallen.get(each.id, ""),
                    "remains_at_target": each.id in self.remaining,
                    "files": each.files,
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
    reading = read_ledger(config.folder)
    known = dict(reading.state.transfers)
    found = []
    for name in sorted({*known, *contract_names(config.folder)}):
        contract, problem = None, ""
        if name in contract_names(config.folder):
            try:
                contract = read_contract(config.folder, name).contract
            except RingfortError as error:
                problem = error.message
        runs = known[name].runs if name in known else ()
        fallen, folder = _fallen(reading, name, runs, now), transfer_folder(config.folder, name)
        remaining = frozenset(
            each.id for each in runs if each.status == NOT_PUBLISHED and (folder / each.id).exists()
        )
        found.append(Listed(name, contract, known.get(name), now, problem, fallen, remaining))
    return found


def _fallen(reading: Reading, name: str, runs: Sequence[TransferRun], now: datetime) -> dict[str, str]:
    found = {}
    for run in runs:
        if run.status == RELEASED:
            change = changed_since(reading.state, name, recorded_contract(reading, run), run, now)
            if change is not None:
                found[run.id] = change.message
    return found


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


__all__ = ["Listed", "list_transfers"]
