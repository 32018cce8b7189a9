"""A seeded synthetic population: people of Europe and elsewhere, and what they did on a video service.

`generate` gives five Arrow tables (`people`, `videos`, `views`, `messages`, `payments`; columns, keys and SQL
in `population_schema`, all of it offered here). The same number of people and the same seed give the same
bytes, on any day and in any process: nothing asks for the time, and history ends at `UNTIL`. There is no I/O
here.

Nobody in it exists. Names combine Faker's lists; e-mail addresses stand under reserved names (RFC 2606).
Phone numbers, IBANs and IP addresses are well formed and drawn at random; that one of them is in use
somewhere cannot be excluded, so nothing may ever be sent to them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from ringfort.demo import population_activity, population_people
from ringfort.demo.population_schema import (
    FOREIGN_KEYS,
    PRIMARY_KEYS,
    SCHEMAS,
    ForeignKey,
    ddl,
    foreign_key_ddl,
    index_ddl,
)
from ringfort.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from ringfort.demo.population_numbers import Ints

__all__ = [
    "FOREIGN_KEYS",
    "MAX_PEOPLE",
    "PRIMARY_KEYS",
    "SCHEMAS",
    "UNTIL",
    "ForeignKey",
    "ddl",
    "foreign_key_ddl",
    "generate",
    "index_ddl",
    "row_counts",
]

SINCE = datetime(2019, 3, 1, tzinfo=UTC)
UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
MAX_PEOPLE = 2_000_000  # beyond, the smallest countries run out of phone numbers


def row_counts(people: int) -> dict[str, int]:
    """How many rows each table has for so many people."""
    return {
        "people": people,
        "videos": max(1, people // 2),
        "views": people * 10,
        "messages": people * 2 if people > 1 else 0,
        "payments": people,
    }


def generate(people: int, seed: int, progress: Callable[[int], None] | None = None) -> dict[str, pa.Table]:
    """The population: one table for each name of `row_counts`, with the schema that `SCHEMAS` gives.

    `progress` is called with the number of rows made so far, of all tables together; the last call has the
    sum of `row_counts(people)`. Raises `UsageError` if `people` is not between 1 and `MAX_PEOPLE`.
    """
    if not 1 <= people <= MAX_PEOPLE:
        raise UsageError(
            f"a population of `{people}` people cannot be made",
            hint=f"choose a number from 1 to {MAX_PEOPLE}",
        )
    if seed < 0:
        raise UsageError(f"the seed `{seed}` is negative", hint="choose a whole number from 0")
    report = progress or (lambda _: None)
    counts = row_counts(people)
    # A generator of its own for each table: a change in one leaves the others as they were.
    streams = dict(zip(counts, np.random.default_rng(seed).spawn(len(counts)), strict=True))
    until = _microseconds(UNTIL)
    joined = _joined(people, streams["people"])
    drawn = population_people.draw_people(joined, seed, streams["people"], report)
    tables = {"people": population_people.to_table(drawn)}
    made = people

    def add(name: str, table: pa.Table) -> None:
        nonlocal made
        tables[name] = table
        made += table.num_rows
        report(made)

    draw = population_activity
    add("videos", draw.draw_videos(drawn, counts["videos"], until, streams["videos"]))
    add("views", draw.draw_views(drawn, tables["videos"], counts["views"], until, streams["views"]))
    add("messages", draw.draw_messages(drawn, counts["messages"], until, streams["messages"]))
    add("payments", draw.draw_payments(drawn, counts["payments"], until, streams["payments"]))
    return tables


def _joined(people: int, rng: np.random.Generator) -> Ints:
    """When each person joined, ascending: more and more people, few of them at night."""
    floor = np.full(people, _microseconds(SINCE), dtype=np.int64)
    joined: Ints = np.sort(population_activity.moments(floor, _microseconds(UNTIL), 0.6, rng), kind="stable")
    return joined


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
