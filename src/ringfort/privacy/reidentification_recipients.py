"""How far two recipients could join what each was sent, by values that both are shown: figures, on tags.

Two releases of one table share no pseudonym where their domains differ, yet a time, an amount or a text that
both show leads from a row of the one to a row of the other. `common_form` says in which form two recipients
can compare a column: the coarser of two forms where it follows from the other, else none. `linked` counts
over columns in such forms, tagged as in `reidentification` (NULL is a value like any, both see it):

- rows: a combination of values that one row of each side has, and that no tag of a person contradicts;
- people: those to whom all rows with some combination belong, on both sides. Such a row, or the pseudonym
  that stands in it, leads to that person's on the other side.

`linked_histories` counts people by all rows that are theirs at once: the multiset of their combinations, over
several tables, stands for one person on both sides. Both must show which rows are one person's; how many rows
those are is then seen without any column.
`smallest_set` adds columns one by one, the most telling first, until they link nearly as much as all do.

Invariants: pure given connection and relations; the order of rows makes no difference; a relation may be
both sides. Combinations are told apart by 64 bits of a hash over tags: two of them are taken for one with
a chance of 2^-64, so memory does not grow with the number of columns. Left out: values that are near each
other, other columns or tables that hold the same values, people of whom a side has only some rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.privacy.pseudonym_shapes import SHAPES
from ringfort.privacy.reidentification import PERSON, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from duckdb import DuckDBPyConnection

MASKED_LEADS_ON = frozenset({"iban", "postcode", "ip_address", "birth_date", "date", "timestamp"})
"""Kinds whose generalisation follows from their mask: the year from the month, the country from both."""
MOST_TRIED = 16
_ENOUGH, _MOST_IN_SET = 0.9, 4


def common_form(
    kind: str, mine: tuple[str, str], theirs: tuple[str, str], *, one_domain: bool = False
) -> str:
    """The form in which two recipients can compare a column, "" if in none.

    Each is sent it in a form, by a method where that is `pseudonym`. `one_domain`: pseudonyms of the two are
    of one domain. Besides the forms of contracts there is `length`.
    """
    if "pseudonym" not in {mine[0], theirs[0]}:
        return _coarser(kind, mine[0], theirs[0])
    if mine == theirs and one_domain:
        return "pseudonym"
    shown = {method if form == "pseudonym" else form for form, method in (mine, theirs)} - {"raw"}
    return SHAPES.get(shown.pop(), "") if len(shown) == 1 else ""


def _coarser(kind: str, mine: str, theirs: str) -> str:
    if mine == theirs:
        return mine
    if "raw" in {mine, theirs}:
        return theirs if mine == "raw" else mine
    return "generalised" if {mine, theirs} == {"masked", "generalised"} and kind in MASKED_LEADS_ON else ""


@dataclass(frozen=True)
class Linked:
    """Of the rows and people of a release, those that lead to one row and one person of another."""

    rows: int
    people: int

    def share(self, rows: int, people: int) -> float:
        """The greater of the two shares of so many."""
        return max(self.rows / rows if rows else 0.0, self.people / people if people else 0.0)

    def to_json(self) -> dict[str, int]:
        """As a JSON object."""
        return {"rows": self.rows, "people": self.people}


@dataclass(frozen=True)
class Sides:
    """Two relations with a column `person` (NULL for nobody) and tags; `columns` pairs those to compare."""

    mine: str
    theirs: str
    columns: tuple[tuple[str, str], ...]

    def only(self, places: Iterable[int]) -> Sides:
        """The same by fewer columns."""
        return Sides(self.mine, self.theirs, tuple(self.columns[at] for at in places))

    @property
    def same(self) -> bool:
        """Whether it is one set of rows."""
        return self.mine == self.theirs and all(one == other for one, other in self.columns)


def totals(connection: DuckDBPyConnection, relation: str) -> Linked:
    """All rows and people of a relation."""
    found = run(connection, f"SELECT count(*), count(DISTINCT {PERSON}) FROM {relation}")[0]
    return Linked(int(found[0]), int(found[1]))


def people_table(connection: DuckDBPyConnection, name: str) -> None:
    """An empty table of people, for `linked` to fill."""
    run(connection, f"CREATE OR REPLACE TEMP TABLE {name} ({PERSON} UBIGINT)")


def people_within(connection: DuckDBPyConnection, relations: Sequence[str]) -> int:
    """The different people of several relations."""
    if not relations:
        return 0
    union = " UNION ".join(f"SELECT {PERSON} FROM {each} WHERE {PERSON} IS NOT NULL" for each in relations)
    return int(run(connection, f"SELECT count(DISTINCT {PERSON}) FROM ({union})")[0][0])


def linked(connection: DuckDBPyConnection, sides: Sides, into: str = "") -> Linked:
    """What these columns link; the people go `into` a table, if one is named."""
    if not sides.columns:
        return Linked(0, 0)
    mine = _classes(sides.mine, [one for one, _ in sides.columns])
    if sides.same:
        one_row, one_person = "n = 1", "people = 1"
        source = f"({mine})"
    else:
        one_row = "a.n = 1 AND b.n = 1 AND coalesce(a.one = b.one, true)"
        one_person = "a.people = 1 AND b.people = 1 AND a.one = b.one"
        theirs = _classes(sides.theirs, [other for _, other in sides.columns])
        source = f"({mine}) a JOIN ({theirs}) b ON a.k = b.k"
    one = "one" if sides.same else "a.one"
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE found AS SELECT ({one_row})::INT AS row_linked,"
        f" CASE WHEN {one_person} THEN {one} END AS {PERSON} FROM {source}",
    )
    rows, people = run(
        connection, f"SELECT coalesce(sum(row_linked), 0)::BIGINT, count(DISTINCT {PERSON}) FROM found"
    )[0]
    if into:
        run(
            connection,
            f"INSERT INTO {into} SELECT DISTINCT {PERSON} FROM found WHERE {PERSON} IS NOT NULL",
        )
    run(connection, "DROP TABLE found")
    return Linked(int(rows), int(people))


def _classes(relation: str, columns: Sequence[str]) -> str:
    """Combinations of values: their rows, and the person if it is one whose all of them are."""
    return (
        f"SELECT hash({', '.join(columns)}) AS k, count(*) AS n, min({PERSON}) AS one,"
        f" CASE WHEN count({PERSON}) = count(*) AND min({PERSON}) = max({PERSON}) THEN 1 ELSE 0 END AS people"
        f" FROM {relation} GROUP BY k"
    )


def most_telling(connection: DuckDBPyConnection, sides: Sides, most: int = MOST_TRIED) -> list[int]:
    """The places of the columns with the most different values (counted roughly), at most so many."""
    places = range(len(sides.columns))
    if len(places) <= most:
        return list(places)
    wanted = ", ".join(f"approx_count_distinct({one})" for one, _ in sides.columns)
    (counts,) = run(connection, f"SELECT {wanted} FROM {sides.mine}")
    return sorted(sorted(places, key=lambda at: (-int(counts[at]), at))[:most])


def smallest_set(
    connection: DuckDBPyConnection,
    sides: Sides,
    alone: Sequence[tuple[int, Linked]],
    whole: Linked,
    all_: Linked,
) -> tuple[tuple[int, ...], Linked]:
    """A few columns that link nine tenths of what all do, or the most that four of them link.

    `alone` are the columns to choose from, each with what it links by itself; `whole` is what all columns
    link, `all_` all rows and people.
    """

    def share(figures: Linked) -> float:
        return figures.share(all_.rows, all_.people)

    if not alone or not share(whole):
        return (), Linked(0, 0)
    first, best = max(alone, key=lambda each: (share(each[1]), -each[0]))
    chosen = [first]
    while share(best) < _ENOUGH * share(whole) and len(chosen) < _MOST_IN_SET:
        tried = [
            (at, linked(connection, sides.only([*chosen, at])))
            for at, _ in sorted(alone, key=lambda each: -share(each[1]))
            if at not in chosen
        ]
        if not tried:
            break
        following, figures = max(tried, key=lambda each: share(each[1]))
        chosen.append(following)
        best = figures
    return tuple(sorted(chosen)), best


def linked_histories(connection: DuckDBPyConnection, tables: Sequence[Sides]) -> int:
    """The people whom all their rows of these tables tell apart, on both sides, as one multiset."""
    if not tables:
        return 0
    mine = _histories([(each.mine, [one for one, _ in each.columns]) for each in tables])
    theirs = _histories([(each.theirs, [other for _, other in each.columns]) for each in tables])
    found: list[tuple[Any, ...]] = run(
        connection,
        f"SELECT count(*) FROM ({mine}) a JOIN ({theirs}) b ON a.k = b.k AND a.n = b.n AND a.one = b.one"
        " WHERE a.people = 1 AND b.people = 1",
    )
    return int(found[0][0])


def _histories(relations: Sequence[tuple[str, Sequence[str]]]) -> str:
    rows = " UNION ALL ".join(
        f"SELECT {PERSON}, hash({', '.join([str(at), *columns])}) AS h FROM {relation}"
        f" WHERE {PERSON} IS NOT NULL"
        for at, (relation, columns) in enumerate(relations)
    )
    return (
        f"SELECT k, n, count(*) AS people, min({PERSON}) AS one FROM"
        f" (SELECT {PERSON}, sum(h) AS k, count(*) AS n FROM ({rows}) GROUP BY {PERSON}) GROUP BY k, n"
    )


__all__ = [
    "MASKED_LEADS_ON",
    "MOST_TRIED",
    "Linked",
    "Sides",
    "common_form",
    "linked",
    "linked_histories",
    "most_telling",
    "people_table",
    "people_within",
    "smallest_set",
    "totals",
]
