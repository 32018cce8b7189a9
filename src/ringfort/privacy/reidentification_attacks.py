"""Attacks on what is about to leave, carried out and counted: singling out, and linking two releases.

Both work on the tables that `reidentification.group_figures` made, on tags alone. What is counted comes with
Wilson's 95 % interval; samples are drawn by keyed tags, so the same release gives the same figures.

**Singling out.** The attacker knows the quasi-identifiers of a real person as they stand in the enclave and
reduces them as the release does (forms are no secret). A sample of people is held out of the set: they are
the baseline. For a person in the set the attack succeeds if exactly one person fits; for one who was held
out "exactly one fits" is a wrong answer that the attacker cannot tell from a right one. The risk is how much
more often it succeeds for people in the set, of the cases that the baseline leaves (Giomi et al.,
Anonymeter): `(targets - baseline) / (1 - baseline)`.

**Linking.** What this recipient got before is kept as tags (`kept`). People who fit alone in both releases,
by the quasi-identifiers that both have, are claimed to be the same; the enclave knows whether they are.
Beside it stand the people who are in both at all, and whether the pseudonyms of the two link them without
any attack.

A row whose subject key says nobody is a target for whom nobody else fits; in linking it takes no part, since
the enclave does not know whom a claim about it would be right about.

Canaries (people who exist to be noticed) are counted apart: how many are in the set, how many stand alone.
Left out: attackers who know quasi-identifiers only roughly, several rows of a person taken together,
inference of sensitive values beyond l.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.privacy.reidentification import OWN, PERSON, group_columns, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

SAMPLE = 2000
_FEWEST = 20
_Z = 1.959963984540054  # 95 %, two sides


@dataclass(frozen=True)
class Rate:
    """Successes among tries, with the 95 % interval of their share."""

    tries: int
    successes: int

    @property
    def share(self) -> float:
        """The share of successes; 0 without tries."""
        return self.successes / self.tries if self.tries else 0.0

    def interval(self) -> tuple[float, float]:
        """Wilson's score interval; everything without tries."""
        if not self.tries:
            return 0.0, 1.0
        square = _Z * _Z / self.tries
        middle = (self.share + square / 2) / (1 + square)
        spread = (
            _Z
            / (1 + square)
            * math.sqrt(self.share * (1 - self.share) / self.tries + square / (4 * self.tries))
        )
        return max(middle - spread, 0.0), min(middle + spread, 1.0)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        low, high = self.interval()
        return {
            "tries": self.tries, "successes": self.successes, "share": round(self.share, 6),
            "low": round(low, 6), "high": round(high, 6),
        }  # fmt: skip


@dataclass(frozen=True)
class SinglingOut:
    """Of people in the set, and of people held out of it, those for whom exactly one person fits."""

    targets: Rate
    baseline: Rate

    @property
    def risk(self) -> float:
        """How much more often it succeeds than by chance, 0 to 1."""
        if self.baseline.share >= 1:
            return 0.0
        return max((self.targets.share - self.baseline.share) / (1 - self.baseline.share), 0.0)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "targets": self.targets.to_json(), "baseline": self.baseline.to_json(),
            "risk": round(self.risk, 6),
        }  # fmt: skip


@dataclass(frozen=True)
class Linkage:
    """Of people in two releases: those claimed to be the same, and those who are.

    `common` people are in both; `shared` of the quasi-identifiers are in both; `by_pseudonym` says that both
    carry pseudonyms of one domain, which link all of `common` without an attack.
    """

    common: int
    claims: Rate
    shared: int
    by_pseudonym: bool

    @property
    def linked(self) -> Rate:
        """Of the common people, those linked rightly."""
        return Rate(self.common, min(self.claims.successes, self.common))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "common_people": self.common, "shared_quasi_identifiers": self.shared,
            "claims": self.claims.to_json(), "linked": self.linked.to_json(),
            "linked_by_pseudonym": self.by_pseudonym,
        }  # fmt: skip


def singling_out(connection: DuckDBPyConnection, quasi: int, sample: int = SAMPLE) -> SinglingOut:
    """The attack on the release whose `people` are at hand: half of a sample is held out of it."""
    _people(connection)
    people = _count(connection, "everybody")
    size = min(sample, people // 4)
    if size < _FEWEST or not quasi:
        return SinglingOut(Rate(0, 0), Rate(0, 0))
    shared = group_columns(quasi)
    same = " AND ".join(f"here.{each} = other.{each}" for each in shared.split(", "))
    run(
        connection,
        "CREATE OR REPLACE TEMP TABLE chosen AS SELECT person, row_number() OVER (ORDER BY person) % 2 = 0"
        f" AS held FROM (SELECT person FROM everybody ORDER BY person LIMIT {2 * size})",
    )
    # one known row of each, and for each group how many of its people were held out
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE known AS SELECT * EXCLUDE (place) FROM (SELECT {shared}, person, held,"
        f" row_number() OVER (PARTITION BY person ORDER BY {shared}) AS place FROM people"
        " JOIN chosen USING (person)) WHERE place = 1",
    )
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE gone AS SELECT {shared}, count(*) AS held FROM people"
        f" JOIN chosen USING (person) WHERE chosen.held GROUP BY {shared}",
    )
    found = run(
        connection,
        "SELECT here.held, count(*), count(*) FILTER (fitting.people - coalesce(other.held, 0) = 1)"
        f" FROM known here JOIN groups fitting ON {same.replace('other.', 'fitting.')}"
        f" LEFT JOIN gone other ON {same} GROUP BY here.held",
    )
    rates = {bool(held): Rate(int(tries), int(successes)) for held, tries, successes in found}
    _drop(connection, "chosen", "known", "gone", "everybody")
    return SinglingOut(rates.get(False, Rate(0, 0)), rates.get(True, Rate(0, 0)))


def linkage(
    connection: DuckDBPyConnection,
    kept: str,
    shared: Sequence[tuple[int, int]],
    *,
    by_pseudonym: bool,
) -> Linkage:
    """Link the release at hand with an earlier one, the relation `kept`, whose columns are named alike.

    `shared` pairs the places of quasi-identifiers that both have: here, and in `kept`, which has people with
    a subject only.
    """
    common = _one(
        connection,
        f"SELECT count(*) FROM (SELECT DISTINCT person FROM people WHERE {OWN} = 0)"
        f" SEMI JOIN (SELECT DISTINCT person FROM {kept}) USING (person)",
    )
    if not shared:
        return Linkage(common, Rate(0, 0), 0, by_pseudonym)
    here = ", ".join(f"q{at} AS c{place}" for place, (at, _) in enumerate(shared))
    there = ", ".join(f"q{at} AS c{place}" for place, (_, at) in enumerate(shared))
    columns = ", ".join(f"c{place}" for place in range(len(shared)))
    alone = (
        "(SELECT {columns}, min(person) AS one FROM (SELECT DISTINCT {chosen}, person FROM {relation}"
        " {named})"
        " GROUP BY {columns} HAVING count(*) = 1)"
    )
    first = alone.format(columns=columns, chosen=here, relation="people", named=f"WHERE {OWN} = 0")
    second = alone.format(columns=columns, chosen=there, relation=kept, named="")
    ((tries, successes),) = run(
        connection,
        f"SELECT count(*), count(*) FILTER (a.one = b.one) FROM {first} a JOIN {second} b USING ({columns})",
    )
    return Linkage(common, Rate(int(tries), int(successes)), len(shared), by_pseudonym)


def canaries_alone(connection: DuckDBPyConnection, canaries: Sequence[int]) -> Rate:
    """Of the canaries among the people at hand, those who have a group to themselves."""
    if not canaries:
        return Rate(0, 0)
    marks = ", ".join(f"{int(each)}::UBIGINT" for each in canaries)
    inside = _one(connection, f"SELECT count(DISTINCT person) FROM people WHERE person IN ({marks})")
    alone = _one(connection, f"SELECT count(DISTINCT one) FROM groups WHERE people = 1 AND one IN ({marks})")
    return Rate(inside, alone)


def _people(connection: DuckDBPyConnection) -> None:
    run(connection, f"CREATE OR REPLACE TEMP TABLE everybody AS SELECT DISTINCT {PERSON} FROM people")


def _count(connection: DuckDBPyConnection, relation: str) -> int:
    return _one(connection, f"SELECT count(*) FROM {relation}")


def _one(connection: DuckDBPyConnection, query: str) -> int:
    return int(run(connection, query)[0][0])


def _drop(connection: DuckDBPyConnection, *tables: str) -> None:
    for each in tables:
        run(connection, f"DROP TABLE IF EXISTS {each}")


__all__ = ["SAMPLE", "Linkage", "Rate", "SinglingOut", "canaries_alone", "linkage", "singling_out"]
