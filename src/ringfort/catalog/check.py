"""Whether a catalogue hangs together: references point at something, names are possible.

Pure; gives problems as values with the key path in `catalog.toml`, so that the loader can name file and
line.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.catalog.model import IDENTIFIABILITIES, KINDS, PROTECTIONS
from ringfort.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from ringfort.catalog.model import Catalogue, Column, Dataset, Table

MAX_IDENTIFIER_BYTES = 63  # NAMEDATALEN - 1


@dataclass(frozen=True)
class Problem:
    """What is wrong, where (keys of `catalog.toml`), and what to do."""

    keys: tuple[str, ...]
    message: str
    hint: str = ""


def problems(catalogue: Catalogue) -> list[Problem]:
    """Everything that is wrong with `catalogue`, in its order; empty if nothing is."""
    found = list(_unique("dataset", (each.name for each in catalogue.datasets), ()))
    places = Counter(
        (dataset.database, table.schema, table.name)
        for dataset in catalogue.datasets
        for table in dataset.tables
    )
    for dataset in catalogue.datasets:
        found += _dataset(dataset)
        found += [
            Problem(
                ("dataset", dataset.name, "table", table.name),
                f"table `{table.schema}.{table.name}` of database `{dataset.database}` is in two datasets",
                "keep it in one",
            )
            for table in dataset.tables
            if places[dataset.database, table.schema, table.name] > 1
        ]
    found += _views(catalogue)
    return found


def _views(catalogue: Catalogue) -> Iterator[Problem]:
    """Views of one database need names of their own, and a name that is in use stays its table's."""
    taken: dict[tuple[str, str], Table] = {}
    every = [(dataset, table) for dataset in catalogue.datasets for table in dataset.tables]
    # who states its name, or lies where it has always been looked for, keeps it; then the order of the file
    for dataset, table in sorted(every, key=lambda each: (not each[1].view, each[1].schema != "public")):
        other = taken.setdefault((dataset.database, table.seen_as), table)
        if other is table or (other.schema, other.name) == (table.schema, table.name):
            continue  # a table that stands in two datasets is a problem of its own
        line = json.dumps(
            other_view(table.schema, table.name, taken_in(catalogue, dataset.database)), ensure_ascii=False
        )
        yield Problem(
            ("dataset", dataset.name, "table", table.name, *(("view",) if table.view else ())),
            f"`{table.schema}.{table.name}` and `{other.schema}.{other.name}` would both be seen as"
            f" `{table.seen_as}`",
            f"under [dataset.{dataset.name}.table.{table.name}] write view = {line}; or name the other"
            " one, if that came later: the view that is there keeps its name",
        )


def taken_in(catalogue: Catalogue, database: str) -> set[str]:
    """The names of the views of a database."""
    return {
        each.seen_as
        for dataset in catalogue.datasets
        if dataset.database == database
        for each in dataset.tables
    }


def other_view(schema: str, name: str, taken: AbstractSet[str]) -> str:
    """A name for the view of a table whose own is taken or reserved: with its schema, and short enough."""
    view = f"{schema}_{name}"
    return short_name(f"schema_{view}" if is_reserved(view) else view, taken)


def is_reserved(view: str) -> bool:
    """Whether no statement could name such a view: `pg_...` means the server's catalogue."""
    return view.startswith("pg_")


def short_name(name: str, taken: AbstractSet[str] = frozenset()) -> str:
    """`name`, or if it is too long or taken, its beginning and a digest of the whole."""
    if len(name.encode()) <= MAX_IDENTIFIER_BYTES and name not in taken:
        return name
    mark = "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: MAX_IDENTIFIER_BYTES - len(mark)].decode("utf-8", "ignore") + mark


def _dataset(dataset: Dataset) -> Iterator[Problem]:
    keys = ("dataset", dataset.name)
    yield from _name(dataset.name, keys, "dataset")
    yield from _name(dataset.database, (*keys, "database"), "database")
    yield from _unique("table", (each.name for each in dataset.tables), keys)
    if dataset.subject:
        place = dataset.subject_column()
        if place is None or _find(dataset, *place) is None:
            yield Problem(
                (*keys, "subject"),
                f"`subject` is `{dataset.subject}`, which is no column of the dataset",
                "write it as `table.column`",
            )
    for table in dataset.tables:
        yield from _table(dataset, table)


def _table(dataset: Dataset, table: Table) -> Iterator[Problem]:
    keys = ("dataset", dataset.name, "table", table.name)
    yield from _name(table.name, keys, "table")
    yield from _name(table.schema, (*keys, "schema"), "schema")
    if table.view:
        yield from _name(table.view, (*keys, "view"), "view")
    yield from _unique("column", (each.name for each in table.columns), keys)
    names = {each.name for each in table.columns}
    for each in table.primary_key:
        if each not in names:
            yield Problem(
                (*keys, "primary_key"), f"`primary_key` names `{each}`, which is no column of the table"
            )
    yield from _subject_path(dataset, table, (*keys, "subject_path"))
    for column in table.columns:
        yield from _column(dataset, column, (*keys, "column", column.name))


def _subject_path(dataset: Dataset, table: Table, keys: tuple[str, ...]) -> Iterator[Problem]:
    try:
        hops = dataset.hops(table)
    except UsageError as error:
        yield Problem(keys, error.message, error.hint)
        return
    at = table.name
    for hop in hops:
        if _find(dataset, at, hop.column) is None:
            yield Problem(keys, f"`subject_path` names `{hop.column}`, which is no column of `{at}`")
            return
        if _find(dataset, hop.table, hop.target) is None:
            yield Problem(
                keys, f"`subject_path` names `{hop.table}.{hop.target}`, which is no column of the dataset"
            )
            return
        at = hop.table
    if hops and f"{hops[-1].table}.{hops[-1].target}" != dataset.subject:
        yield Problem(keys, "`subject_path` does not end at the `subject` of the dataset")


def _column(dataset: Dataset, column: Column, keys: tuple[str, ...]) -> Iterator[Problem]:
    yield from _name(column.name, keys, "column")
    if not column.data_type:
        yield Problem(keys, "the column lacks `type`", 'for example type = "bigint"')
    if (column.protection is None) != (column.identifiability is None):
        yield Problem(
            keys,
            "`protection` and `identifiability` go together",
            "set both, or neither to hide it from everyone",
        )
    for key, value, known in (
        ("protection", column.protection, PROTECTIONS),
        ("identifiability", column.identifiability, IDENTIFIABILITIES),
        ("kind", column.kind, sorted(KINDS)),
    ):
        if value is not None and value not in known:
            yield Problem(
                (*keys, key), f"`{key}` is `{value}`, which is not known", "known: " + ", ".join(known)
            )
    if column.identity_space == "":
        yield Problem((*keys, "identity_space"), "an identity space must have a name")
    if column.references is None:
        return
    target = _find(dataset, *column.references)
    if target is None:
        yield Problem(
            (*keys, "references"),
            f"`references` is `{'.'.join(column.references)}`, which is no column of the dataset",
        )
    elif target.identity_space != column.identity_space:
        yield Problem(
            (*keys, "identity_space"),
            f"the identity space differs from that of `{'.'.join(column.references)}`",
            "a foreign key has the identity space of the key that it refers to",
        )


def _find(dataset: Dataset, table: str, column: str) -> Column | None:
    return next(
        (each for own in dataset.tables if own.name == table for each in own.columns if each.name == column),
        None,
    )


def _name(name: str, keys: tuple[str, ...], what: str) -> Iterator[Problem]:
    if not name or "\0" in name or len(name.encode("utf-8", "replace")) > MAX_IDENTIFIER_BYTES:
        yield Problem(keys, f"the {what} name must have 1 to {MAX_IDENTIFIER_BYTES} bytes and no NUL")


def _unique(what: str, names: Iterable[str], keys: tuple[str, ...]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem((*keys, what, name), f"{what} `{name}` stands here {count} times")
