"""Lines about what strangers cause: the first at once, the rest as a count, and few in any time."""

import asyncio

import pytest

from ringfort.gateway.session_lines import without_values
from ringfort.logs.counted import MOST_KINDS, OTHER, Counted


def noted(kinds, seconds=60.0):
    """What is said at once of `kinds`, and what is said when the time is over."""
    said = []

    async def note():
        counted = Counted(lambda count, kind: said.append((count, kind)), seconds)
        for each in kinds:
            counted.note(each)
        at_once = list(said)
        counted.close()
        return at_once, said[len(at_once) :]

    return asyncio.run(note())


@pytest.mark.parametrize("count", [1, 2, 10_000])
def test_the_first_is_said_at_once_and_the_rest_as_a_count(count):
    at_once, later = noted(["wrong proof"] * count)
    assert at_once == [(1, "wrong proof")]
    assert later == ([(count - 1, "wrong proof")] if count > 1 else [])


def test_another_kind_is_not_hidden_by_a_flood_of_one():
    at_once, _ = noted([*["wrong proof"] * 1000, "expired certificate"])
    assert (1, "expired certificate") in at_once


def test_kinds_without_number_are_few_lines_and_no_event_is_lost():
    at_once, later = noted([f"kind {number}" for number in range(5_000)])
    assert len(at_once) <= MOST_KINDS + 1
    assert len(later) <= MOST_KINDS + 1
    assert later[-1][1] == OTHER
    assert sum(count for count, _ in at_once + later) == 5_000


def test_a_count_is_said_when_its_time_is_over_without_anything_new():
    async def note():
        said = asyncio.Queue()
        counted = Counted(lambda count, kind: said.put_nowait((count, kind)), 0.05)
        for _ in range(3):
            counted.note("wrong proof")
        return [await asyncio.wait_for(said.get(), 60) for _ in range(2)]

    assert asyncio.run(note()) == [(1, "wrong proof"), (2, "wrong proof")]


@pytest.mark.parametrize(
    "value", ["jan", "a`b", "``", "`", "two\nlines", "a` and `b", "password=x", "x" * 10_000, ""]
)
def test_the_words_of_a_refusal_lose_what_they_quote(value):
    words = without_values(f"too many sessions of `{value}`: 5 are open")
    assert words == "too many sessions of `...`: 5 are open"


def test_our_own_settings_are_named():
    assert without_values("`ringfort.ticket` is not valid") == "`ringfort.ticket` is not valid"
