"""When a run is due, what a cap has left, what is overdue: calendar periods over the ledger's runs."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.transfer_deployment import CONTRACT, NAME

from ringfort.ledger.transfers import TransferRun
from ringfort.policy.contract_source import parse_contract
from ringfort.transfer.schedule import next_due, overdue, used

BASE = parse_contract(CONTRACT, Path(f"{NAME}.toml"))[0]


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def run(released, rows=10, **changes):
    moment = at(released) if released else None
    made = TransferRun("r", "c", "Acme", "US", "p", "c", "e", at("2026-01-01"), 1)
    return replace(made, released=moment, rows=rows, bytes=rows, delete_by=moment, **changes)


@pytest.mark.parametrize(
    ("schedule", "released", "due"),
    [
        ("daily", "2026-02-28T23:59:59", "2026-03-01"),
        ("weekly", "2026-11-22T10:00:00", "2026-11-23"),
        ("weekly", "2026-11-23T00:00:00", "2026-11-30"),
        ("monthly", "2026-01-31T10:00:00", "2026-02-01"),
        ("monthly", "2026-12-01T00:00:00", "2027-01-01"),
    ],
)
def test_a_run_is_due_with_the_next_period(schedule, released, due):
    assert next_due(replace(BASE, schedule=schedule), [run("2025-01-01"), run(released)]) == at(due)


def test_on_demand_and_the_first_run_are_due_at_once_and_once_never_again():
    assert next_due(BASE, [run("2026-11-22")]) < at("2000-01-01")
    assert next_due(replace(BASE, schedule="once"), [run("")]) < at("2000-01-01")
    assert next_due(replace(BASE, schedule="once"), [run("2026-11-22")]) is None


@pytest.mark.parametrize(("per", "rows"), [("run", 0), ("month", 10), ("year", 30), ("contract", 70)])
def test_a_cap_counts_over_its_period(per, rows):
    runs = [run("2025-12-31T23:59:59", 40), run("2026-01-01", 20), run("2026-11-01", 10), run("", 99)]
    taken = used(replace(BASE, cap_per=per), runs, at("2026-11-22"))
    assert (taken.rows, taken.bytes) == (rows, rows)


def test_what_is_not_confirmed_in_time_is_overdue():
    runs = [run("2026-01-01"), run("2026-01-02", deleted="DEL-1"), run(""), run("2027-01-01")]
    assert overdue(runs, at("2026-11-22")) == (runs[0],)
