"""What inspection is asked and what it answers: rules, findings, results that can be merged. Values only.

A result counts rows by (column, kind). A `Chance` keeps, of values that may match by chance (see
`fingerprint` and `inspection_patterns.Bare`), how many there were and a sample by keyed tags.

**What is a finding.** A match of a kind that the column's rule does not allow: one is enough. Where matches
happen by chance, once in `one_in` arbitrary values: if even a thousand times as many candidates as there are
would hardly match, one is enough; else the sample of up to 256 distinct candidates has to hold so many
matches that chance has less than one in a billion for it. `rows` is exact for one way of matching, and the
largest of them where several found the same kind.

Invariants: merging is associative and commutative; no value is in anything here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringfort.privacy.inspection_patterns import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ringfort.privacy.fingerprint import Fingerprints

SAMPLE = 256
BINARY = "binary"
CANARY = "canary"
PSEUDONYM = "pseudonym"
_NEGLIGIBLE = 1000
_UNLIKELY = 1e-9
_FEW_MATCHES = 8


def tolerable_kinds(known: Iterable[str] = ()) -> frozenset[str]:
    """The kinds of finding that a contract may tolerate in a column; canaries never are."""
    return frozenset({*KINDS, BINARY, PSEUDONYM, *(f"known_{each}" for each in known)})


@dataclass(frozen=True)
class ColumnRule:
    """What is in order in a column: kinds of finding, and (`opaque`) what cannot be read.

    That is bytes, and texts that are nothing but 22 or more letters and digits of base64url.
    """

    name: str
    allowed: frozenset[str] = frozenset()
    opaque: bool = False


@dataclass(frozen=True, eq=False)
class InspectionPlan:
    """What a table is inspected for. `id` is equal for equal plans: what is prepared once is found by it.

    `key`, 32 bytes, is for the tags of samples, so that they tell nothing to whoever sees a run's state.
    `pseudonyms` are 16-byte pseudonyms (as they would stand in any domain but the recipient's) of canaries.
    """

    id: str
    key: bytes = field(repr=False)
    columns: tuple[ColumnRule, ...]
    fingerprints: Fingerprints | None = field(default=None, repr=False)
    canaries: Fingerprints | None = field(default=None, repr=False)
    pseudonyms: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Finding:
    """Rows of a column with a kind of data that is not allowed there; 0 if only a dictionary has it."""

    column: str
    kind: str
    rows: int


@dataclass(frozen=True)
class Chance:
    """Values that could match by chance: how many rows have one, matching rows by kind, and a sample.

    The sample is of distinct values: the `SAMPLE` smallest tags, each with whether it matches and its rows.
    """

    candidates: int
    hits: Mapping[str, int]
    sample: Mapping[int, tuple[bool, int]]

    def merge(self, other: Chance) -> Chance:
        """Both together."""
        hits = dict(self.hits)
        for kind, rows in other.hits.items():
            hits[kind] = hits.get(kind, 0) + rows
        sample = dict(self.sample)
        for tag, (passed, rows) in other.sample.items():
            sample[tag] = (passed, rows + (sample[tag][1] if tag in sample else 0))
        return Chance(self.candidates + other.candidates, hits, _smallest(sample))

    def judged(self, one_in: int) -> dict[str, int]:
        """The rows of each kind that chance does not explain."""
        if self.candidates * _NEGLIGIBLE <= one_in:
            return dict(self.hits)
        matches = sum(passed for passed, _ in self.sample.values())
        if matches < _FEW_MATCHES or _tail(len(self.sample), matches, 1 / one_in) >= _UNLIKELY:
            return {}
        return dict(self.hits)


def _tail(tries: int, least: int, probability: float) -> float:
    """The probability of `least` or more successes."""
    return math.fsum(
        math.comb(tries, each) * probability**each * (1 - probability) ** (tries - each)
        for each in range(least, tries + 1)
    )


def _smallest(sample: dict[int, tuple[bool, int]]) -> dict[int, tuple[bool, int]]:
    return {tag: sample[tag] for tag in sorted(sample)[:SAMPLE]}


@dataclass(frozen=True)
class InspectionResult:
    """What inspection saw of some rows of one table; results of other rows of it can be merged."""

    rows: int = 0
    found: Mapping[tuple[str, str], int] = field(default_factory=dict)
    chances: Mapping[tuple[str, str, int], Chance] = field(default_factory=dict)

    def merge(self, other: InspectionResult) -> InspectionResult:
        """Both together; associative and commutative."""
        found, chances = dict(self.found), dict(self.chances)
        for key, rows in other.found.items():
            found[key] = found.get(key, 0) + rows
        for place, chance in other.chances.items():
            chances[place] = chances[place].merge(chance) if place in chances else chance
        return InspectionResult(self.rows + other.rows, found, chances)

    def findings(self) -> tuple[Finding, ...]:
        """What is not in order, by column and kind."""
        rows = dict(self.found)
        for (column, _, one_in), chance in self.chances.items():
            for kind, count in chance.judged(one_in).items():
                rows[column, kind] = max(rows.get((column, kind), 0), count)
        return tuple(Finding(column, kind, count) for (column, kind), count in sorted(rows.items()))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, for the state of a run; for the region only, since it holds the samples."""
        return {
            "rows": self.rows,
            "found": [[*key, rows] for key, rows in sorted(self.found.items())],
            "chances": [
                [*key, each.candidates, dict(each.hits), [[tag, *seen] for tag, seen in each.sample.items()]]
                for key, each in sorted(self.chances.items())
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InspectionResult:
        """The inverse of `to_json`."""
        found = {(column, kind): rows for column, kind, rows in data["found"]}
        chances = {
            (column, group, one_in): Chance(
                candidates, hits, {tag: (bool(passed), rows) for tag, passed, rows in sample}
            )
            for column, group, one_in, candidates, hits, sample in data["chances"]
        }
        return cls(data["rows"], found, chances)


__all__ = [
    "BINARY",
    "CANARY",
    "PSEUDONYM",
    "SAMPLE",
    "Chance",
    "ColumnRule",
    "Finding",
    "InspectionPlan",
    "InspectionResult",
    "tolerable_kinds",
]
