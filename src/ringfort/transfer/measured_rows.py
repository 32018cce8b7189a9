"""Rows that are about to leave, as tags for the measures of re-identification: one Parquet file for a table.

Reduced files and the rows they were made of are read side by side, part by part, so that each reduced row
gets the tag of the data subject it is about, by the key that stands in the enclave. Tags are keyed by the
fingerprint key and labelled by table, column and form: the same column in the same form has the same tags in
every release, which is what linking two of them takes. Memory is a few batches for each thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ringfort.errors import CheckFailedError
from ringfort.privacy.reidentification import tagged
from ringfort.transfer.beside import beside
from ringfort.transfer.source import parts_of, read_part

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from ringfort.catalog.model import Dataset, Table
    from ringfort.policy.contract import Contract, ContractTable
    from ringfort.privacy.reidentification import Tagger
    from ringfort.transfer.source import Part, SourceTable


_BLOCKS = (1 << 20, 1 << 24, 1 << 28, (1 << 31) - 1)  # bytes; the last is the most that Arrow takes


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


def measured_table(
    contract: Contract, dataset: Dataset, stated: ContractTable, source: pa.Schema
) -> MeasuredTable:
    """What is measured of a table of the contract; the contract's words come before the catalogue's."""
    table = dataset.table(stated.name)
    sent = {each.name: each for each in stated.columns}
    quasi = stated.quasi_identifiers or tuple(
        each.name for each in table.columns if each.name in sent and each.identifiability == "quasi"
    )
    sensitive = tuple(each for each in stated.sensitive if each not in quasi)
    subject = _subject(dataset, table)
    subject = subject if subject in source.names else ""
    form = sent[subject].form if subject in sent else ""
    return MeasuredTable(
        stated.name,
        quasi,
        sensitive,
        subject,
        form == "pseudonym",
        tuple(f"{stated.name}.{each}:{sent[each].form}" for each in (*quasi, *sensitive)),
        f"person of {contract.dataset} {dataset.subject}",
    )


def _subject(dataset: Dataset, table: Table) -> str:
    """The table's own column that holds the data subject's key, "" if there is none."""
    place = dataset.subject_column()
    if place is None:
        return ""
    if table.name == place[0]:
        return place[1]
    hops = table.hops()
    if len(hops) == 1 and (hops[0].table, hops[0].target) == place:
        return hops[0].column
    return ""


def write_tags(  # noqa: PLR0917 - one caller
    tagger: Tagger,
    table: MeasuredTable,
    files: Sequence[Path],
    source: SourceTable,
    output: str,
    target: Path,
    threads: int,
) -> None:
    """Write the tags of a table's reduced rows to `target`, parts beside each other, in no order."""
    parts = zip(files, parts_of(source), strict=True)
    made = beside((_tags(tagger, table, file, part, output) for file, part in parts), threads)
    writer: pq.ParquetWriter | None = None
    try:
        for batch in made:
            if writer is None:
                writer = pq.ParquetWriter(target, batch.schema, compression="lz4")
            writer.write_batch(batch)
    finally:
        made.close()
        if writer is not None:
            writer.close()


def _tags(
    tagger: Tagger, table: MeasuredTable, file: Path, part: Part, output: str
) -> Generator[pa.RecordBatch, None, None]:
    """The tags of a part's reduced rows, batch by batch."""
    columns = (*table.quasi, *table.sensitive)
    row = part.first
    people = read_part(part, [table.subject]) if table.subject else None
    for batch in _reduced(file, output, columns, part.table.batch_rows):
        person = None if people is None else next(people).column(0)
        if person is not None and len(person) != batch.num_rows:
            raise CheckFailedError(f"the files of table `{table.name}` are not what was reduced")
        arrays = [(label, batch.column(each)) for label, each in zip(table.labels, columns, strict=True)]
        yield tagged(
            tagger,
            arrays[: len(table.quasi)],
            arrays[len(table.quasi) :],
            None if person is None else (table.person, person),
            row,
        )
        row += batch.num_rows


def _reduced(file: Path, output: str, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a reduced file, cut as the source is."""
    if output == "parquet":
        stored = pq.read_schema(file)
        plain = [each for each in columns if not pa.types.is_nested(stored.field(each).type)]
        with pq.ParquetFile(file, read_dictionary=plain) as opened:  # of texts; others are as they are
            yield from opened.iter_batches(rows, columns=list(columns))
        return
    waiting: pa.Table | None = None
    for batch in _csv_batches(file, columns):
        more = pa.Table.from_batches([batch])
        waiting = more if waiting is None else pa.concat_tables([waiting, more])
        while len(waiting) >= rows:
            yield waiting.slice(0, rows).combine_chunks().to_batches()[0]
            waiting = waiting.slice(rows)
    if waiting is not None and len(waiting):
        yield waiting.combine_chunks().to_batches()[0]


def _csv_batches(file: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file of ours; again with greater blocks where a row does not fit into one."""
    done = 0
    for block in _BLOCKS:
        skip = done
        try:
            with pa_csv.open_csv(
                file,
                read_options=pa_csv.ReadOptions(block_size=block, use_threads=False),
                # one column: a line without anything is a row, and its value is NULL
                parse_options=pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
                convert_options=pa_csv.ConvertOptions(
                    column_types={each: pa.large_string() for each in columns},
                    include_columns=list(columns),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    null_values=[""],
                ),
            ) as reader:
                for batch in reader:
                    left = batch.slice(min(skip, batch.num_rows))
                    skip -= batch.num_rows - left.num_rows
                    done += left.num_rows
                    if left.num_rows:
                        yield left
        except pa.ArrowInvalid:  # its words can hold values
            if block == _BLOCKS[-1]:
                raise CheckFailedError(f"`{file.name}` of the run cannot be read again") from None
            continue
        return


__all__ = ["MeasuredTable", "measured_table", "write_tags"]
