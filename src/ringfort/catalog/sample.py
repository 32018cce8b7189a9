"""What the catalogue scan looks at: tables with a sample of their values, as text.

Values are PostgreSQL's own text output (dates in ISO style), nulls kept, long values cut: one form for
every type, so that no type is too strange to be looked at. Read from a database by
`ringfort.sites.introspect`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DISTINCT = 1_000
MAX_CODES = 20
_MODIFIER = re.compile(r"\([^()]*\)")


@dataclass(frozen=True)
class SampledColumn:
    """A column: its PostgreSQL type, sampled values (an Arrow array of text), what the statistics say.

    `distinct` is the estimated number of different values in the whole table, `nulls` the estimated part of
    nulls, None if unknown: what a sample shows goes before. `references` is a declared foreign key:
    (schema, table, column).
    """

    name: str
    data_type: str
    values: pa.Array
    nullable: bool = True
    distinct: float | None = None
    references: tuple[str, str, str] | None = None
    nulls: float | None = None

    @cached_property
    def _counter(self) -> Counter[str]:
        return Counter(each for each in self.values.to_pylist() if isinstance(each, str) and each.strip())

    @cached_property
    def counts(self) -> list[tuple[str, int]]:
        """Up to 1,000 different values with how often each was sampled, frequent ones first."""
        return self._counter.most_common(MAX_DISTINCT)

    @cached_property
    def seen(self) -> int:
        """How many sampled values are neither null nor blank, of those that `counts` has."""
        return sum(count for _, count in self.counts)

    @cached_property
    def sampled(self) -> int:
        """How many sampled values are neither null nor blank."""
        return self._counter.total()

    @cached_property
    def different(self) -> int:
        """How many different values were sampled."""
        return len(self._counter)

    def repeats(self, rows: int) -> float:
        """How often a value comes on average: by the sample, unless there are statistics for all `rows`.

        Absent statistics say nothing: an unknown number is never taken for a small one.
        """
        if self.distinct is None or self.distinct < 1 or rows <= self.sampled:
            return self.sampled / max(self.different, 1)
        return max(rows, self.sampled) / max(self.distinct, self.different)

    @cached_property
    def few_whole_numbers(self) -> bool:
        """Whether the values may be codes of something: few different whole numbers that repeat."""
        if not 0 < self.different <= MAX_CODES or self.repeats(-1) < 2:
            return False
        return all(value.removesuffix(".0").lstrip("-").isdigit() for value, _ in self.counts)

    @property
    def base_type(self) -> str:
        """The type without its modifier: `numeric` of `numeric(10,2)`."""
        return _MODIFIER.sub("", self.data_type)


@dataclass(frozen=True)
class SampledTable:
    """A table, its number of rows (estimated; -1 if unknown) and its keys."""

    schema: str
    name: str
    columns: tuple[SampledColumn, ...]
    rows: int = -1
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = field(default=())


def sampled(name: str, columns: Mapping[str, tuple[str, list[Any]]], **rest: Any) -> SampledTable:  # noqa: ANN401
    """A `SampledTable` of plain values: column name -> (PostgreSQL type, values)."""
    made = []
    rows = 0
    for column, (data_type, values) in columns.items():
        texts = [None if each is None else str(each) for each in values]
        array = pa.array(texts, pa.string())
        nulls = array.null_count / max(len(texts), 1)
        made.append(
            SampledColumn(column, data_type, array, distinct=float(len({*texts} - {None})), nulls=nulls)
        )
        rows = max(rows, len(texts))
    return SampledTable("public", name, tuple(made), rows=rows, **rest)
