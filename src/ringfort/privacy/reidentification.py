"""How far people can be told apart in tables that are about to leave: figures for an assessment.

Evidence for an assessment, not a verdict: no figure here makes data anonymous. Tables are looked at in the
form in which they leave, over their quasi-identifiers. `tagged` turns rows into 64-bit keyed tags first
(`person`, `own`, `q0`, `q1`, ..., `s0`, ..., and `n`, how many such rows), so that neither memory nor spill
files hold a value; equal values have equal tags, NULL is a value like any. A `person` is the tag of the data
subject's key before reduction, so that it is the same in every release; where a table leads to no subject,
each row counts as a person.

A row whose subject key says nobody (NULL, NaN, an empty text) may be about anybody: `own` is a tag of that
row alone there, 0 for all others, and stands beside the quasi-identifiers wherever people are grouped. So
each such row is a group of one, and nobody's company.

`group_figures`, by DuckDB on a connection that the caller makes (memory limit, spill folder, threads):

- people by the size of their group (all who share the quasi-identifiers), and the rows in such groups;
- k, the people in the smallest group, and how many stand alone in a group of theirs;
- how many would stand alone if one quasi-identifier were left out, for each: which of them tells most;
- l of each sensitive column: the fewest different values in a group, and the rows in groups with only one.

Invariants: pure given connection and tables; the temporary tables that it leaves (`people`, `groups`) are for
`reidentification_attacks` and are replaced by the next call; figures do not depend on the order of rows. Two
values of a column are taken for one with a chance of 2^-64. Left out: t-closeness, distances between values
that are near each other. Source: Sweeney (k-anonymity), Machanavajjhala et al. (l-diversity), Article 29
Working Party, Opinion 05/2014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.cmac import Cmac
from ringfort.privacy.fingerprint import derived_key, tags_of
from ringfort.privacy.inspection_text import text_buffers
from ringfort.privacy.sql_text import cast_like_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

SIZES = (1, 2, 3, 5, 10, 20, 50, 100)
"""The least sizes of the groups that people are counted by; the last is open."""

PERSON, OWN = "person", "own"
_NULL = np.uint64(0x9E3779B97F4A7C15)
_SPARSE, _FEW = 16, 65_536  # different rows are counted if there can be no more than that for each, or in all


class Tagger:
    """Turns columns into 64-bit tags under one key: equal values of one column, equal tags."""

    def __init__(self, key: bytes) -> None:
        self._cmac = Cmac(derived_key(key, "measures"))

    def column(self, label: str, values: pa.Array) -> pa.UInt64Array:
        """Tags of a column; `label` keeps equal values of different columns apart."""
        places, tags = self.encoded(label, values)
        return pa.array(tags[places])

    def rows(self, label: str, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Tags of rows by their numbers, which differ from the tags of values."""
        own = self._values(f"row of {label}", pa.array([""])).tobytes()
        return self._cmac.integers(own, numbers).view(np.uint64)[:, 0]

    def encoded(self, label: str, values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """For each row a place, and the tag at each place; the last is that of NULL."""
        dictionary = pa.types.is_dictionary(values.type) and not values.dictionary.null_count
        encoded = values if dictionary else _flat(values).dictionary_encode()
        tags = np.append(self._values(label, encoded.dictionary), _NULL)  # equal values twice: equal tags
        indices = encoded.indices
        if indices.null_count:
            indices = indices.cast(pa.int64()).fill_null(len(tags) - 1)
        return indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False), tags

    def _values(self, label: str, values: pa.Array) -> NDArray[np.uint64]:
        texts = _as_text(values)
        data, offsets = text_buffers(texts)
        prefix = np.frombuffer(label.encode() + b"\0", np.uint8)
        size = len(prefix)
        places = offsets + size * np.arange(len(offsets))
        whole = np.empty(int(places[-1]), np.uint8)
        for at in range(size):
            whole[places[:-1] + at] = prefix[at]
        mine = np.ones(len(whole), np.bool_)
        mine[(places[:-1, None] + np.arange(size)).reshape(-1)] = False
        whole[mine] = data
        return tags_of(self._cmac, whole, places[:-1], np.diff(places))[0]


def _flat(values: pa.Array) -> pa.Array:
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        return values.dictionary_decode()
    if pa.types.is_nested(values.type):  # which have no dictionaries
        return pa.array([None if each is None else repr(each) for each in values.to_pylist()], pa.string())
    return values


def _as_text(values: pa.Array) -> pa.Array:
    """Any distinct values as texts that are as distinct."""
    arrow = values.type
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return values
    if pa.types.is_integer(arrow) or pa.types.is_boolean(arrow):
        return values.cast(pa.string())
    if pa.types.is_floating(arrow):
        return _float_text(values.to_numpy(zero_copy_only=False).astype(np.float64))
    if pa.types.is_fixed_size_binary(arrow) or pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow):
        return pa.array([each.hex() for each in values.to_pylist()], pa.string())
    if pa.types.is_date(arrow) or pa.types.is_timestamp(arrow) or pa.types.is_decimal(arrow):
        return cast_like_sql(values, "text").fill_null("")
    return pa.array([repr(each) for each in values.to_pylist()], pa.string())


def _float_text(values: NDArray[np.float64]) -> pa.StringArray:
    """Floats as texts; a whole one is the integer that another file may hold."""
    whole = np.isfinite(values) & (np.floor(values) == values) & (np.abs(values) < 2.0**63)
    texts = pa.array(np.where(whole, values, 0).astype(np.int64)).cast(pa.string())
    if whole.all():
        return texts
    odd = pa.array([repr(float(each)) for each in values[~whole]], pa.string())
    return pc.replace_with_mask(texts, pa.array(~whole), odd)


def without_subject(keys: pa.Array) -> NDArray[np.bool_]:
    """Which subject keys say nobody: NULL, NaN, a text or bytes with nothing (but blanks) in them."""
    plain = _flat(keys)
    missing = pc.is_null(plain, nan_is_null=pa.types.is_floating(plain.type))
    if pa.types.is_string_view(plain.type):
        plain = plain.cast(pa.string())
    if pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type):
        missing = pc.or_(missing, pc.equal(pc.utf8_trim_whitespace(plain.fill_null("")), ""))
    elif pa.types.is_binary(plain.type) or pa.types.is_large_binary(plain.type):
        missing = pc.or_(missing, pc.equal(pc.binary_length(plain.fill_null(b"")), 0))
    return np.asarray(missing.to_numpy(zero_copy_only=False), np.bool_)


def tagged(
    tagger: Tagger,
    quasi: Sequence[tuple[str, pa.Array]],
    sensitive: Sequence[tuple[str, pa.Array]],
    person: tuple[str, pa.Array] | None,
    first_row: int,
) -> pa.RecordBatch:
    """Rows as tags; each column comes with the label that says which it is. Rows without a person are people.

    `first_row` is the number of the first row in its table: it names the rows that nothing else names.
    Equal rows come out as one where that is cheap to do: `n` says of how many each was made.
    """
    rows = len(next(values for _, values in (*quasi, *sensitive, *([person] if person else []))))
    others = [tagger.encoded(*each) for each in (*quasi, *sensitive)]
    names = [
        PERSON, OWN,
        *(f"q{at}" for at in range(len(quasi))),
        *(f"s{at}" for at in range(len(sensitive))),
        "n",
    ]  # fmt: skip
    if person is None:
        everybody = np.arange(first_row, first_row + rows, dtype=np.uint64)
        columns = [everybody, np.zeros(rows, np.uint64), *(tags[places] for places, tags in others)]
        return _batch([*columns, np.ones(rows, np.int64)], names)
    missing = without_subject(person[1])
    encoded = [tagger.encoded(*person), *others]
    if not missing.any():
        return _batch(_named(encoded, rows), names)
    kept, lone = np.flatnonzero(~missing), np.flatnonzero(missing)
    named = _named([(places[kept], tags) for places, tags in encoded], len(kept))
    # drawn like the tags of people: samples of people are the least tags
    own = tagger.rows(person[0], lone + first_row)
    alone = [own, own, *(tags[places[lone]] for places, tags in others), np.ones(len(lone), np.int64)]
    return _batch([np.concatenate(each) for each in zip(named, alone, strict=True)], names)


def _named(encoded: Sequence[tuple[NDArray[np.int64], NDArray[np.uint64]]], rows: int) -> list[NDArray[Any]]:
    """The columns of rows that have a person."""
    possible = math.prod(len(tags) for _, tags in encoded)
    if possible <= max(_SPARSE * rows, _FEW):
        columns, counts = _counted(encoded, possible)
    else:
        columns, counts = [tags[places] for places, tags in encoded], np.ones(rows, np.int64)
    return [columns[0], np.zeros(len(counts), np.uint64), *columns[1:], counts]


def _batch(columns: Sequence[NDArray[Any]], names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(each) for each in columns], names=names)


def _counted(
    encoded: Sequence[tuple[NDArray[np.int64], NDArray[np.uint64]]], possible: int
) -> tuple[list[NDArray[np.uint64]], NDArray[np.int64]]:
    """The different rows, and how often each stands there, by counting numbers that stand for whole rows."""
    number = np.zeros(len(encoded[0][0]), np.int64)
    for places, tags in encoded:
        number *= len(tags)
        number += places
    counts = np.bincount(number, minlength=possible)
    left = np.flatnonzero(counts)
    found = counts[left]
    columns: list[NDArray[np.uint64]] = []
    for _, tags in reversed(encoded):
        left, place = np.divmod(left, len(tags))
        columns.insert(0, tags[place])
    return columns, found.astype(np.int64, copy=False)


@dataclass(frozen=True)
class Diversity:
    """Of one sensitive column: the fewest different values in a group, and rows in groups with only one."""

    l: int  # noqa: E741 - the field's own name for it
    rows_of_one_value: int


@dataclass(frozen=True)
class Groups:
    """Figures over the groups of people who share all quasi-identifiers.

    `sizes` are (least size, people, rows) for each of `SIZES`; a person who stands in several groups counts
    in each. `alone` are the people who have a group to themselves, `alone_without` those who still would if
    the quasi-identifier at that place were left out. `rows_of_nobody` are those whose subject key says
    nobody: each is among the people, the groups and the ones alone.
    """

    people: int
    rows: int
    groups: int
    k: int
    alone: int
    sizes: tuple[tuple[int, int, int], ...]
    alone_without: tuple[int, ...]
    diversity: tuple[Diversity, ...]
    rows_of_nobody: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "people": self.people,
            "rows": self.rows,
            "groups": self.groups,
            "k": self.k,
            "alone": self.alone,
            "rows_without_subject": self.rows_of_nobody,
            "sizes": [{"least": least, "people": people, "rows": rows} for least, people, rows in self.sizes],
            "alone_without": list(self.alone_without),
            "diversity": [
                {"l": each.l, "rows_of_one_value": each.rows_of_one_value} for each in self.diversity
            ],
        }


def group_figures(connection: DuckDBPyConnection, relation: str, quasi: int, sensitive: int) -> Groups:
    """The figures of a relation as `tagged` makes it with so many quasi-identifiers and sensitive columns."""
    shared = group_columns(quasi)
    # rows of nobody are groups of one already: only what is about somebody has to be grouped
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE people AS SELECT {shared}, person, sum(n)::BIGINT AS rows"
        f" FROM {relation} WHERE {OWN} = 0 GROUP BY {shared}, person"
        f" UNION ALL SELECT {shared}, person, n::BIGINT FROM {relation} WHERE {OWN} <> 0",
    )
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE groups AS SELECT {shared}, count(*) AS people,"
        f" sum(rows)::BIGINT AS rows, min(person) AS one FROM people WHERE {OWN} = 0 GROUP BY {shared}"
        f" UNION ALL SELECT {shared}, 1, rows, person FROM people WHERE {OWN} <> 0",
    )
    nobody = _one(connection, f"SELECT count(*) FROM people WHERE {OWN} <> 0")
    people = nobody + _one(
        connection, f"SELECT count(*) FROM (SELECT DISTINCT person FROM people WHERE {OWN} = 0)"
    )
    rows, groups, k = _row(
        connection, "SELECT coalesce(sum(rows), 0)::BIGINT, count(*), coalesce(min(people), 0) FROM groups"
    )
    alone = nobody + _one(
        connection, f"SELECT count(DISTINCT one) FROM groups WHERE people = 1 AND {OWN} = 0"
    )
    sizes = []
    for least, following in zip(SIZES, (*SIZES[1:], None), strict=True):
        upper = "" if following is None else f" AND people < {following}"
        counted = _row(
            connection,
            "SELECT coalesce(sum(people), 0)::BIGINT, coalesce(sum(rows), 0)::BIGINT FROM groups"
            f" WHERE people >= {least}{upper}",
        )
        sizes.append((least, counted[0], counted[1]))
    without = tuple(nobody + _alone_without(connection, quasi, at) for at in range(quasi))
    diversity = tuple(_diversity(connection, relation, shared, at) for at in range(sensitive))
    return Groups(people, rows, groups, k, alone, tuple(sizes), without, diversity, nobody)


def _alone_without(connection: DuckDBPyConnection, quasi: int, place: int) -> int:
    """How many of somebody's people stand alone without that quasi-identifier."""
    left = ", ".join(f"q{at}" for at in range(quasi) if at != place) or OWN
    return _one(
        connection,
        f"SELECT count(DISTINCT one) FROM (SELECT min(person) AS one FROM"
        f" (SELECT DISTINCT {left}, person FROM people WHERE {OWN} = 0) GROUP BY {left} HAVING count(*) = 1)",
    )


def _diversity(connection: DuckDBPyConnection, relation: str, shared: str, place: int) -> Diversity:
    found = _row(
        connection,
        "SELECT coalesce(min(kinds), 0), coalesce(sum(rows) FILTER (kinds = 1), 0)::BIGINT FROM"
        f" (SELECT count(*) AS kinds, sum(rows) AS rows FROM (SELECT {shared}, s{place},"
        f" sum(n)::BIGINT AS rows FROM {relation} GROUP BY {shared}, s{place}) GROUP BY {shared})",
    )
    return Diversity(found[0], found[1])


def group_columns(quasi: int, prefix: str = "") -> str:
    """The columns that people are grouped by, for SQL."""
    return ", ".join(f"{prefix}{each}" for each in [OWN, *(f"q{at}" for at in range(quasi))])


def _row(connection: DuckDBPyConnection, query: str) -> tuple[int, ...]:
    return tuple(int(each) for each in run(connection, query)[0])


def run(connection: DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query; a result that is left unread would block the connection."""
    return connection.execute(query).fetchall()


def _one(connection: DuckDBPyConnection, query: str) -> int:
    return _row(connection, query)[0]


__all__ = [
    "OWN",
    "PERSON",
    "SIZES",
    "Diversity",
    "Groups",
    "Tagger",
    "group_columns",
    "group_figures",
    "run",
    "tagged",
    "without_subject",
]
