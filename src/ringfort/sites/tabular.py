"""Parquet and CSV files as batches of Arrow columns, with the PostgreSQL type of each.

Parquet keeps its own types. CSV has none: they are inferred by pyarrow from the whole file, and told; a
column stays text where a number would lose something (leading zeros, a plus sign, more digits than the type
holds). Unquoted nothing is NULL, `""` is the empty text. A CSV file is read into memory as a whole, for its
types depend on all of it. Leaves out compressed CSV and other encodings than UTF-8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ringfort.errors import UsageError
from ringfort.sites.copy_binary import LoadError, data_type_of
from ringfort.sites.csv_check import BLOCK_BYTES, check_csv, encoding_of, not_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BATCH_ROWS = 32_768
BATCH_BYTES = 16 * 1024 * 1024
MAX_COLUMNS = 1_600
MAX_NAME_BYTES = 63
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
_LOSSY = r"^\s*(\+|[-]?0[0-9])"
_LOSSY_FLOAT = r"^\s*(\+|[-]?0[0-9])|[0-9][0-9.]{16,}"


@dataclass(frozen=True)
class Tabular:
    """An open file: its rows and columns; `notes` are what a person should be told about how it was read."""

    path: Path
    rows: int
    schema: pa.Schema
    notes: tuple[str, ...]
    _table: pa.Table | None = None

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Name and PostgreSQL type of each column, in order."""
        return tuple((each.name, data_type_of(each.type)) for each in self.schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, in batches of bounded rows and bytes; raises `LoadError` if the file is damaged."""
        try:
            if self._table is not None:
                source: Iterator[pa.RecordBatch] = iter(self._table.to_batches(max_chunksize=BATCH_ROWS))
                yield from _bounded(source)
            else:
                with pq.ParquetFile(self.path) as file:
                    yield from _bounded(file.iter_batches(BATCH_ROWS))
        except (pa.ArrowException, OSError) as error:
            raise LoadError(
                f"cannot read `{self.path}` to its end: it is damaged", hint="get it anew"
            ) from error


def open_tabular(path: Path) -> Tabular:
    """Open `path` by its suffix `.parquet` or `.csv`; raises `UsageError` if it is no such file."""
    if not path.is_file():
        raise UsageError(f"there is no file `{path}`")
    suffix = path.suffix.lower()
    if suffix not in {".parquet", ".csv"}:
        raise UsageError(f"`{path.name}` is neither .parquet nor .csv", hint="convert it to Parquet or CSV")
    opened = _open_parquet(path) if suffix == ".parquet" else _open_csv(path)
    check_columns(opened)
    return opened


def _open_parquet(path: Path) -> Tabular:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow.remove_metadata()
            return Tabular(path, file.metadata.num_rows, schema, ())
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"`{path}` is no Parquet file that can be read", hint="check it with another tool"
        ) from error


def _open_csv(path: Path) -> Tabular:
    delimiter = _delimiter(path)
    checked = check_csv(path, delimiter)
    notes = list(checked.notes)
    notes += [] if delimiter == "," else [f"the columns are separated by `{delimiter}`".replace("\t", "tab")]
    table = _read_csv(path, delimiter, checked.longest_row)
    if checked.nul_line:
        _refuse_nul(table, checked.nul_line)
    names = table.column_names
    numbers = [
        each.name
        for each in table.schema
        if (pa.types.is_integer(each.type) or pa.types.is_floating(each.type)) and names.count(each.name) == 1
    ]
    raw = _read_csv(path, delimiter, checked.longest_row, as_text=numbers) if numbers else table
    for name in numbers:
        whole = pa.types.is_integer(table.schema.field(name).type)
        if _any(raw.column(name), _LOSSY if whole else _LOSSY_FLOAT):
            table = table.set_column(names.index(name), name, raw.column(name))
            notes.append(
                f"column `{name}` stays text: as numbers it would lose leading zeros, signs or digits"
            )
    types = ", ".join(f"`{each.name}` {data_type_of(each.type)}" for each in table.schema)
    notes.append(f"the types are inferred: {types}")
    return Tabular(path, table.num_rows, table.schema, tuple(notes), table)


def _delimiter(path: Path) -> str:
    """The separator: the one of `,`, `;`, tab, `|` that the first line has most of."""
    with path.open("rb") as file:
        head = file.readline(1024 * 1024)
    encoding = encoding_of(head)
    if encoding:
        raise not_utf8(path, encoding=encoding)
    line = re.split("[\r\n]", head.decode("utf-8-sig", "replace"), maxsplit=1)[0]
    if not line:
        raise UsageError(f"`{path}` has no first line with the names of the columns")
    unquoted = re.sub(r'"(?:[^"]|"")*"', "", line)
    return max(",;\t|", key=unquoted.count)


def _read_csv(path: Path, delimiter: str, row_bytes: int, *, as_text: Sequence[str] = ()) -> pa.Table:
    broken: list[int] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        broken.append(row.number if row.number is not None else 0)
        return "skip"

    try:
        table = pa_csv.read_csv(
            path,
            # a row must not go over more than two blocks
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=max(BLOCK_BYTES, row_bytes)),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(as_text, pa.string()),
                include_columns=list(as_text),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error) or "UTF-8" in str(error):
            raise not_utf8(path) from None
        raise UsageError(
            f"`{path}` is no CSV file that can be read", hint="check quotes and separators"
        ) from None
    if broken:
        first = f", the first is row {broken[0]}" if broken[0] else ""
        raise LoadError(
            f"{len(broken)} rows of `{path}` have too many or too few columns{first}; nothing was loaded",
            hint="correct them: a separator within a value needs quotes",
        )
    binary = [each.name for each in table.schema if pa.types.is_binary(each.type)]
    if binary:  # pyarrow falls back to bytes where text is not UTF-8
        raise not_utf8(path)
    return table


def _refuse_nul(table: pa.Table, line: int) -> None:
    for each in table.schema:
        if pa.types.is_string(each.type):
            count = pc.sum(pc.match_substring(table.column(each.name), "\0")).as_py()
            if count:
                raise LoadError(
                    f"column `{each.name}` holds NUL bytes in {count} rows, the first in line {line};"
                    " nothing was loaded",
                    hint="PostgreSQL cannot hold them: take them out",
                )
    raise LoadError(f"there is a NUL byte in line {line}; nothing was loaded", hint="take it out")


def _any(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, pattern)).as_py())


def check_columns(opened: Tabular) -> None:
    """Raise `LoadError` unless names and types of all columns can be those of a PostgreSQL table."""
    seen: set[str] = set()
    if not 1 <= len(opened.schema) <= MAX_COLUMNS:
        raise LoadError(f"`{opened.path}` has {len(opened.schema)} columns, possible are 1 to {MAX_COLUMNS}")
    for each in opened.schema:
        if not each.name or len(each.name.encode()) > MAX_NAME_BYTES or "\0" in each.name:
            raise LoadError(
                f"a column is called `{each.name[:80]}`",
                hint=f"column names need 1 to {MAX_NAME_BYTES} bytes",
            )
        if each.name in _SYSTEM_COLUMNS:
            raise LoadError(f"a column is called `{each.name}`, which is PostgreSQL's own", hint="rename it")
        if each.name in seen:
            raise LoadError(f"two columns are called `{each.name}`", hint="rename one")
        if not data_type_of(each.type):
            raise LoadError(
                f"column `{each.name}` has the type `{each.type}`, which cannot be loaded; nothing was loaded"
            )
        seen.add(each.name)


def _bounded(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        parts = max(1, min(batch.num_rows, -(-batch.nbytes // BATCH_BYTES)))
        size = -(-batch.num_rows // parts) if batch.num_rows else 1
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)
