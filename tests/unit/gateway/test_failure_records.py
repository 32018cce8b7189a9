"""Failed logins on record: one by one up to a rate, then counted, and no count is lost."""

import asyncio
import json

from ringfort.gateway import failure_records
from ringfort.gateway.failure_records import BURST, PER_SECOND, FailureRecords
from ringfort.ledger.entry import decode
from ringfort.record.stamps import SALT_BYTES


class Recorded:
    """Implements what is needed of the ledger: every entry is durable at once."""

    def __init__(self):
        self.reasons, self.facts = [], []

    async def put_traffic(self, data, evidence=b""):
        self.reasons.append(decode(data).reason)
        self.facts.append(json.loads(evidence[SALT_BYTES:]))

    def __getattr__(self, name):
        return self.put_traffic


def counted(ledger):
    """How many failures the record speaks of: each by itself, and those of summaries."""
    summed = [int(each["count"]) for each in ledger.facts if "count" in each]
    return len(ledger.reasons) - len(summed) + sum(summed), len(summed)


def failing(number, after=None):
    async def main():
        ledger = Recorded()
        records = FailureRecords(ledger, "worker-0")
        for each in range(number):
            await records.record("wrong password", {"user": f"u{each}"})
        if after is not None:
            await after(ledger, records)
        await records.close()
        return ledger

    return asyncio.run(main())


def test_few_failures_stand_one_by_one():
    ledger = failing(BURST // 2)
    assert counted(ledger) == (BURST // 2, 0)
    assert [each["user"] for each in ledger.facts] == [f"u{each}" for each in range(BURST // 2)]


def test_of_a_flood_some_are_recorded_and_all_are_counted():
    """As many people as there are addresses: entries are bounded, the number is not lost."""
    ledger = failing(20 * BURST)
    number, summaries = counted(ledger)
    assert (number, summaries) == (20 * BURST, 1)
    assert BURST <= len(ledger.reasons) < 10 * BURST
    assert not any("user" in each for each in ledger.facts if "count" in each)


def test_there_is_room_again_later_and_a_second_flood_has_a_summary_of_its_own():
    async def again(ledger, records):
        await records.close()
        records._looked -= BURST / PER_SECOND  # as if that much time had gone by
        for _ in range(5 * BURST):
            await records.record("wrong password", {"user": "v"})

    ledger = failing(5 * BURST, again)
    assert counted(ledger) == (10 * BURST, 2)
    assert sum(each.get("user") == "v" for each in ledger.facts) >= BURST


def test_a_summary_comes_by_itself(monkeypatch):
    monkeypatch.setattr(failure_records, "SUMMARY_SECONDS", 0.01)

    async def until_summed(ledger, _):
        while not any("count" in each for each in ledger.facts):  # noqa: ASYNC110 - a timer of the loop
            await asyncio.sleep(0.005)

    assert counted(failing(3 * BURST, until_summed))[0] == 3 * BURST


def test_nothing_left_out_is_no_entry():
    assert failing(0).reasons == []
