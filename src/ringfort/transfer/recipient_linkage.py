"""Linkage between recipients: what of a release could be joined with what another recipient was sent.

For each other recipient (`other_recipients`) and each table that both contracts send, the columns that both
are shown in comparable form are read once from this transfer's source, brought to that form, and tagged; the
figures are those of `privacy.reidentification_recipients`. What another recipient holds is taken to be what
its contract sends of the rows at hand, of its own files where it names others. Every row is counted: memory
is one batch and what DuckDB is allowed, tags spill to the run's folder.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ringfort.disclosure.forms_sql import rendering
from ringfort.errors import RingfortError
from ringfort.paths import private_folder
from ringfort.policy.forms import Form
from ringfort.privacy.pseudonym_shapes import SHAPES, shape
from ringfort.privacy.reidentification import PERSON, Tagger, without_subject
from ringfort.privacy.reidentification_recipients import (
    Sides,
    common_form,
    linked,
    linked_histories,
    most_telling,
    people_table,
    people_within,
    smallest_set,
    totals,
)
from ringfort.sites.domains import DomainStore
from ringfort.transfer.linkage_figures import Between, Pair, Shared, SharedTable, TableLinkage
from ringfort.transfer.measured_rows import person_label, subject_column
from ringfort.transfer.measures_database import measures_database, relation
from ringfort.transfer.other_recipients import one_domain
from ringfort.transfer.reduce import ColumnPlan, ReductionPlan, reduce_batch
from ringfort.transfer.sorted_rows import new_file
from ringfort.transfer.source import files_of, open_files, parts_of, read_part, safe_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ringfort.catalog.model import Catalogue, Column, Dataset
    from ringfort.config import Config
    from ringfort.policy.contract import Contract, ContractColumn, ContractTable
    from ringfort.transfer.other_recipients import OtherRecipient
    from ringfort.transfer.source import SourceTable
    from ringfort.transfer.state import RunFolder
    from ringfort.transfer.work import Progress

_FOLDER = "linkage"
_LINKED = "linked_people"


@dataclass(frozen=True)
class LinkageInput:
    """`sources` are the rows of the contract's tables; tags are kept in the run's folder meanwhile."""

    config: Config
    contract: Contract
    catalogue: Catalogue
    others: Sequence[OtherRecipient]
    run: RunFolder
    sources: Sequence[SourceTable]
    progress: Progress


def shared_tables(contract: Contract, other: Contract, dataset: Dataset) -> tuple[SharedTable, ...]:
    """The tables and columns that recipients of these two contracts can compare."""
    found = []
    known_tables = {each.name: each for each in dataset.tables}
    for mine in contract.tables:
        theirs, table = other.table(mine.name), known_tables.get(mine.name)
        if theirs is None or table is None:
            continue
        columns = {each.name: each for each in table.columns}
        shared = []
        for column in mine.columns:
            known, beside = columns.get(column.name), theirs.column(column.name)
            if known is None or beside is None or not (_renders(column, known) and _renders(beside, known)):
                continue
            form = common_form(
                known.kind, _sent(column), _sent(beside), one_domain=one_domain(contract, other)
            )
            if form:
                shared.append(Shared(column.name, form))
        subject = subject_column(dataset, table)
        histories = bool(subject) and _tells_whose(mine, subject) and _tells_whose(theirs, subject)
        if shared or histories:  # how many rows somebody has is seen without any column
            found.append(SharedTable(mine.name, tuple(shared), histories))
    return tuple(found)


def _sent(column: ContractColumn) -> tuple[str, str]:
    return str(column.form), column.method


def _renders(column: ContractColumn, known: Column) -> bool:
    if column.form not in {Form.MASKED, Form.GENERALISED}:
        return True
    return rendering(column.form, known.kind, known.data_type).form is column.form


def _tells_whose(table: ContractTable, subject: str) -> bool:
    column = table.column(subject)
    return column is not None and column.form in {Form.RAW, Form.PSEUDONYM}


def needed_columns(
    contract: Contract, others: Sequence[OtherRecipient], dataset: Dataset
) -> dict[str, set[str]]:
    """Of each table the columns that are compared with any of the others."""
    needed: dict[str, set[str]] = {}
    for other in others:
        for table in shared_tables(contract, other.contract, dataset):
            needed.setdefault(table.name, set()).update(each.name for each in table.columns)
    return needed


def linkage_between(given: LinkageInput, unmeasured: Sequence[str] = ()) -> Between:
    """The figures of a contract's rows and every other recipient; tags are deleted whatever happens.

    `unmeasured` is whom there are no figures of already. A run that was cut off measures anew.
    """
    given.run.clear(_FOLDER)
    given.progress.stage("measuring linkage between recipients", sum(each.rows for each in given.sources))
    try:
        return _between(given, list(unmeasured))
    finally:
        with contextlib.suppress(OSError):
            given.run.clear(_FOLDER)


def _between(given: LinkageInput, unmeasured: list[str]) -> Between:
    dataset = given.catalogue.dataset(given.contract.dataset)
    plans = [(each, shared_tables(given.contract, each.contract, dataset)) for each in given.others]
    wanted: dict[str, set[Shared]] = {}
    for _, tables in plans:
        for table in tables:
            wanted.setdefault(table.name, set()).update(table.columns)
    folder = given.run.folder(_FOLDER)
    tagger = Tagger(DomainStore.of(given.config).fingerprint_key())
    mine: dict[str, _TaggedTable] = {}
    for source in given.sources:
        if source.name in wanted:
            columns = sorted(wanted[source.name], key=lambda each: (each.name, each.form))
            mine[source.name] = _tag(given, dataset, tagger, source, columns, folder / safe_name(source.name))
    pairs = []
    with measures_database(given.config, folder) as connection:
        for number, (other, tables) in enumerate(plans):
            here = [each for each in tables if each.name in mine]
            try:
                theirs = _theirs(given, dataset, tagger, other, here, folder / f"other-{number}")
            except RingfortError as error:
                unmeasured.append(f"{other.contract.name}: {error.message}")
                continue
            pairs.append(_pair(connection, other, here, mine, theirs))
    return Between(tuple(pairs), tuple(unmeasured))


@dataclass(frozen=True)
class _TaggedTable:
    """A table's tags: a file, and the column of each (column, form) in it."""

    path: Path
    columns: Mapping[Shared, str]


def _tag(  # noqa: PLR0917 - called in two places
    given: LinkageInput,
    dataset: Dataset,
    tagger: Tagger,
    source: SourceTable,
    columns: Sequence[Shared],
    path: Path,
) -> _TaggedTable:
    """Write the tags of all rows of a table as `path`."""
    table = dataset.table(source.name)
    known = {each.name: each for each in table.columns}
    held = source.schema().names
    subject = subject_column(dataset, table)
    subject = subject if subject in held else ""
    read = sorted({each.name for each in columns} | ({subject} if subject else set()))
    names = {each: f"t{at}" for at, each in enumerate(columns)}
    schema = pa.schema([(PERSON, pa.uint64()), *((each, pa.uint64()) for each in names.values())])
    with new_file(path) as file, pq.ParquetWriter(file, schema, compression="lz4") as writer:
        for part in parts_of(source):
            for batch in read_part(part, read):
                people = (
                    _people(tagger, person_label(dataset), batch.column(subject))
                    if subject
                    else pa.nulls(batch.num_rows, pa.uint64())
                )
                tags = [
                    tagger.column(
                        f"{source.name}.{each.name}:{each.form}",
                        _brought(each, known[each.name], batch.column(each.name)),
                    )
                    for each in columns
                ]
                writer.write_batch(pa.RecordBatch.from_arrays([people, *tags], schema=schema))
                given.progress.advance(batch.num_rows)
    return _TaggedTable(path, names)


def _people(tagger: Tagger, label: str, keys: pa.Array) -> pa.Array:
    nobody = pa.array(np.asarray(without_subject(keys)))
    return pc.if_else(nobody, pa.scalar(None, pa.uint64()), tagger.column(label, keys))


def _brought(shared: Shared, known: Column, values: pa.Array) -> pa.Array:
    """A column in the form in which it can be compared."""
    if shared.form in {"raw", "pseudonym"}:  # pseudonyms of one domain are equal where values are
        return values
    if shared.form in SHAPES.values():
        return shape(shared.form, known.kind, values)
    found = rendering(Form(shared.form), known.kind, known.data_type)
    plan = ColumnPlan(shared.name, "render", known.kind, found.function, found.cast)
    batch = pa.RecordBatch.from_arrays([values], names=[shared.name])
    return reduce_batch(ReductionPlan((plan,)), batch).column(0)


def _theirs(  # noqa: PLR0917 - one caller
    given: LinkageInput,
    dataset: Dataset,
    tagger: Tagger,
    other: OtherRecipient,
    tables: Sequence[SharedTable],
    folder: Path,
) -> dict[str, _TaggedTable]:
    """Tags of the tables that the other contract takes from files that are not the ones at hand."""
    found = {}
    for table in tables:
        stated, mine = other.contract.table(table.name), given.contract.table(table.name)
        if stated is None or mine is None or not stated.files or stated.files == mine.files:
            continue
        source = open_files(table.name, files_of(given.config.folder / stated.files), len(table.columns))
        place = private_folder(folder) / safe_name(table.name)
        found[table.name] = _tag(given, dataset, tagger, source, table.columns, place)
    return found


def _pair(
    connection: Any,  # noqa: ANN401 - of DuckDB
    other: OtherRecipient,
    tables: Sequence[SharedTable],
    mine: Mapping[str, _TaggedTable],
    theirs: Mapping[str, _TaggedTable],
) -> Pair:
    people_table(connection, _LINKED)
    everybody: list[str] = []
    figures, histories = [], []
    for number, table in enumerate(tables):
        here, there = f"mine{number}", f"mine{number}"
        relation(connection, here, mine[table.name].path)
        others = mine[table.name]
        if table.name in theirs:
            there, others = f"theirs{number}", theirs[table.name]
            relation(connection, there, others.path)
        columns = tuple((mine[table.name].columns[each], others.columns[each]) for each in table.columns)
        sides = Sides(here, there, columns)
        everybody.append(here)
        figures.append(_table(connection, table, sides))
        if table.histories:
            histories.append(sides)
    all_people, people = people_within(connection, everybody), people_within(connection, [_LINKED])
    by_history = linked_histories(connection, histories) if histories else None
    return Pair(other, tuple(figures), all_people, people, by_history)


def _table(connection: Any, table: SharedTable, sides: Sides) -> TableLinkage:  # noqa: ANN401
    all_ = totals(connection, sides.mine)
    whole = linked(connection, sides, _LINKED)
    alone = [(at, linked(connection, sides.only([at]))) for at in most_telling(connection, sides)]
    smallest, by_smallest = smallest_set(connection, sides, alone, whole, all_)
    return TableLinkage(table, all_, whole, tuple(alone), smallest, by_smallest)


__all__ = ["LinkageInput", "linkage_between", "needed_columns", "shared_tables"]
