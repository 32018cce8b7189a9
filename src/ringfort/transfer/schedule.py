"""When a transfer is due, how much of its cap is used, what the recipient must have deleted. Pure.

Periods are calendar days, ISO weeks, months and years in UTC: a run that is late one week is due again at the
beginning of the next, and never drifts. All of it is counted over the runs that the ledger knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringfort.ledger.transfers import TransferRun
    from ringfort.policy.contract import Contract


@dataclass(frozen=True)
class Used:
    """What released runs took of a cap."""

    rows: int
    bytes: int


def period_start(period: str, moment: datetime) -> datetime:
    """The beginning of the day, week, month or year that `moment` is in."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period in {"week", "weekly"}:
        return day - timedelta(days=day.weekday())
    if period in {"month", "monthly"}:
        return day.replace(day=1)
    if period == "year":
        return day.replace(month=1, day=1)
    return day


def next_start(period: str, moment: datetime) -> datetime:
    """The beginning of the day, week or month after the one that `moment` is in."""
    start = period_start(period, moment)
    if period == "weekly":
        return start + timedelta(days=7)
    if period == "monthly":
        return period_start("month", start + timedelta(days=32))
    return start + timedelta(days=1)


def next_due(contract: Contract, runs: Sequence[TransferRun]) -> datetime | None:
    """From when a run may be made; the first moment there is if at any time, None if never again."""
    released = [each.released for each in runs if each.released is not None]
    if not released or contract.schedule == "on-demand":
        return datetime.min.replace(tzinfo=UTC)
    if contract.schedule == "once":
        return None
    return next_start(contract.schedule, max(released))


def used(contract: Contract, runs: Sequence[TransferRun], now: datetime) -> Used:
    """What was released in the period that the cap counts over; of a cap for each run nothing."""
    if contract.cap_per == "run":
        return Used(0, 0)
    since = None if contract.cap_per == "contract" else period_start(contract.cap_per, now)
    counted = [
        each for each in runs if each.released is not None and (since is None or each.released >= since)
    ]
    return Used(sum(each.rows for each in counted), sum(each.bytes for each in counted))


def overdue(runs: Sequence[TransferRun], now: datetime) -> tuple[TransferRun, ...]:
    """Runs that the recipient must have deleted by now and has not confirmed."""
    return tuple(
        each for each in runs if each.delete_by is not None and each.delete_by <= now and not each.deleted
    )


__all__ = ["Used", "next_due", "next_start", "overdue", "period_start", "used"]
