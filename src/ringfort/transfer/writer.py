"""The one writer of files that leave: Parquet or CSV, the same bytes for the same batches, whoever writes.

Parquet: one row group for each batch, zstd, dictionaries where they help, no Arrow schema of our own in the
file (types are Parquet's, so that every tool reads the same). CSV: RFC 4180 with LF at the end of a line,
UTF-8, a header line; texts stand in quotes, line breaks in them as they are; NULL is nothing (in a file of
one column an empty line) and an empty text is `""`. The bytes are the same for one version of pyarrow; the
manifest names it.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ringfort.errors import UsageError
from ringfort.policy.contract import OUTPUTS
from ringfort.privacy.sql_text import cast_like_sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARQUET: dict[str, Any] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 1,
    "data_page_size": 1024 * 1024,
    "store_schema": False,
    "write_statistics": True,
}
"""The settings that every Parquet file of a transfer is written with."""


class HashingFile:
    """A new file that is hashed as it is written; `close` makes it durable. Never follows a link."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        self._digest = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        done = 0
        while done < len(view):
            done += self._file.write(view[done:])
        self.size += len(view)
        return len(view)

    def flush(self) -> None:
        """Nothing is held back."""

    def tell(self) -> int:
        """How much is written."""
        return self.size

    def writable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """No."""
        return False

    def seekable(self) -> bool:
        """No."""
        return False

    def close(self) -> None:
        """Make it durable and close it."""
        if not self.closed:
            self.closed = True
            try:
                os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def abort(self) -> None:
        """Close it as it is."""
        self.closed = True
        self._file.close()

    @property
    def digest(self) -> str:
        """SHA-256 of what was written, hexadecimal."""
        return self._digest.hexdigest()


def write_part(path: Path, output: str, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> HashingFile:
    """Write the batches of one part as a new file; gives its length and digest once it is durable.

    `schema` is used where there is no batch at all.
    """
    if output not in OUTPUTS:
        raise UsageError(f"`{output}` is no format of files")
    file = HashingFile(path)
    try:
        if output == "parquet":
            _parquet(file, batches, schema)
        else:
            _csv(file, batches, schema)
        file.close()
    except BaseException:
        file.abort()
        raise
    return file


def _parquet(file: HashingFile, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
    writer: pq.ParquetWriter | None = None
    sink = pa.PythonFile(file, mode="w")
    try:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            if writer is None:
                writer = pq.ParquetWriter(sink, table.schema.remove_metadata(), **PARQUET)
            writer.write_table(table, row_group_size=max(batch.num_rows, 1))
        if writer is None:
            writer = pq.ParquetWriter(sink, schema.remove_metadata(), **PARQUET)
    finally:
        if writer is not None:
            writer.close()


def _csv(file: HashingFile, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
    options = pa_csv.WriteOptions(include_header=False, batch_size=4_096)
    first = True
    for batch in batches:
        if first:
            _header(file, batch.schema.names)
            first = False
        pa_csv.write_csv(_texts(batch), pa.PythonFile(file, mode="w"), options)
    if first:
        _header(file, schema.names)


def written(output: str, batch: pa.RecordBatch) -> None:
    """Write a batch to nowhere; raises what writing it raises."""
    sink = pa.BufferOutputStream()
    if output == "parquet":
        with pq.ParquetWriter(sink, batch.schema, **PARQUET) as writer:
            writer.write_table(pa.Table.from_batches([batch]))
    else:
        pa_csv.write_csv(_texts(batch), sink)


def _header(file: HashingFile, names: list[str]) -> None:
    line = ",".join('"' + each.replace('"', '""') + '"' for each in names) + "\n"
    file.write(line.encode())


def _texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Columns that Arrow writes no CSV of as PostgreSQL writes them; bytes as hexadecimal digits."""
    arrays = []
    for column in batch.columns:
        values = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        arrow = values.type
        if (
            isinstance(arrow, pa.BaseExtensionType)
            or pa.types.is_decimal256(arrow)
            or pa.types.is_time(arrow)
        ):
            values = cast_like_sql(values, "text")
        elif (
            pa.types.is_fixed_size_binary(arrow)
            or pa.types.is_binary(arrow)
            or pa.types.is_large_binary(arrow)
        ):
            values = pa.array(
                [None if each is None else each.hex() for each in values.to_pylist()], pa.large_string()
            )
        arrays.append(values)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


__all__ = ["PARQUET", "HashingFile", "write_part", "written"]
