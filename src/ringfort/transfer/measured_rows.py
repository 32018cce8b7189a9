"""Rows that are about to leave, as tags for the measures of re-identification: a Parquet file for each part.

Tags are made where rows are reduced, so that each reduced row gets the tag of the data subject it is about,
by the key that stands in the enclave: once rows are sorted for release nothing leads from one to the other.
Tags are keyed by the fingerprint key and labelled by table, column and form: the same column in the same form
has the same tags in every release, which is what linking two of them takes. Memory is one batch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

import pyarrow.parquet as pq

from ringfort.privacy.reidentification import OWN, PERSON, Tagger, tagged
from ringfort.transfer.sorted_rows import new_file

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from ringfort.catalog.model import Dataset, Table
    from ringfort.policy.contract import ContractTable


@dataclass(frozen=True)
class MeasuredTable:
    """What is measured of a table: columns, and the source's column that leads to the subject ("" for none).

    `by_pseudonym` says that this column leaves as a pseudonym.
    """

    name: str
    quasi: tuple[str, ...]
    sensitive: tuple[str, ...]
    subject: str
    by_pseudonym: bool
    labels: tuple[str, ...]
    """Of the quasi-identifiers, then of the sensitive columns."""
    person: str
    """The label of people: equal wherever the same data subjects stand."""


def measured_table(dataset: Dataset, stated: ContractTable, source: pa.Schema) -> MeasuredTable:
    """What is measured of a table of the contract; the contract's words come before the catalogue's."""
    table = dataset.table(stated.name)
    sent = {each.name: each for each in stated.columns}
    quasi = stated.quasi_identifiers or tuple(
        each.name for each in table.columns if each.name in sent and each.identifiability == "quasi"
    )
    sensitive = tuple(each for each in stated.sensitive if each not in quasi)
    subject = subject_column(dataset, table)
    subject = subject if subject in source.names else ""
    form = sent[subject].form if subject in sent else ""
    return MeasuredTable(
        stated.name,
        quasi,
        sensitive,
        subject,
        form == "pseudonym",
        tuple(f"{stated.name}.{each}:{sent[each].form}" for each in (*quasi, *sensitive)),
        person_label(dataset),
    )


def person_label(dataset: Dataset) -> str:
    """What tags of a dataset's people are made with, so that all tags of one person are equal."""
    return f"person of {dataset.name} {dataset.subject}"


def subject_column(dataset: Dataset, table: Table) -> str:
    """The table's own column that holds the data subject's key, "" if there is none."""
    place = dataset.subject_column()
    if place is None:
        return ""
    if table.name == place[0]:
        return place[1]
    hops = dataset.hops(table)
    if len(hops) == 1 and (hops[0].table, hops[0].target) == place:
        return hops[0].column
    return ""


class TagFile:
    """Writes the tags of one part's rows as they are reduced; durable when it is closed without a fault."""

    def __init__(self, path: Path, key: bytes, table: MeasuredTable, first_row: int) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        self._tagger = Tagger(key)
        self._table = table
        self._row = first_row
        self._file: BinaryIO | None = None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        """It has no file before the first rows come."""
        return self

    def add(self, source: pa.RecordBatch, reduced: pa.RecordBatch) -> None:
        """Take rows as they stand in the enclave, and as they are about to leave."""
        table = self._table
        columns = (*table.quasi, *table.sensitive)
        arrays = [(label, reduced.column(each)) for label, each in zip(table.labels, columns, strict=True)]
        batch = tagged(
            self._tagger,
            arrays[: len(table.quasi)],
            arrays[len(table.quasi) :],
            (table.person, source.column(table.subject)) if table.subject else None,
            self._row,
        )
        self._row += reduced.num_rows
        if self._writer is None:
            self._file = new_file(self._temporary)
            repeating = [each for each in batch.schema.names if each not in {PERSON, OWN}]
            self._writer = pq.ParquetWriter(  # tags are noise: looking for what repeats in them is in vain
                self._file, batch.schema, compression="none", write_statistics=False, use_dictionary=repeating
            )
        self._writer.write_batch(batch)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Make it durable under its name, or leave nothing."""
        if self._writer is None or self._file is None:
            return
        try:
            with self._file:
                self._writer.close()
                self._file.flush()
                os.fsync(self._file.fileno())
            if kind is None:
                self._temporary.replace(self.path)
        finally:
            self._temporary.unlink(missing_ok=True)


__all__ = ["MeasuredTable", "TagFile", "measured_table", "subject_column"]
