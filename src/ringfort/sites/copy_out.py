"""Tables out of PostgreSQL as Arrow batches: COPY BINARY, decoded a batch at a time, columnar.

PostgreSQL sends one message for each row; within a batch every column is gathered by numpy from all rows at
once. What has an Arrow type of its own travels in its binary format; anything else (numeric, inet, enums,
arrays, jsonb, ...) is asked for as the text that PostgreSQL writes. Infinite dates and times are the lowest
and highest value of their type. Invariants: a message that is not what the format says is refused, never
guessed; identifiers go through `psycopg.sql`. PostgreSQL manual: COPY, Binary Format; the field formats are
those of each type's send function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from psycopg import sql

from ringfort.disclosure.forms_sql import bare_type, type_class
from ringfort.errors import CheckFailedError
from ringfort.sites.copy_binary import HEADER, TRAILER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    import psycopg

BATCH_ROWS = 65_536
BATCH_BYTES = 64 * 1024 * 1024
_DAYS = 10_957  # 1970-01-01 to 2000-01-01
_MICROSECONDS = _DAYS * 86_400_000_000


class CopyError(CheckFailedError):
    """What the site sent is not what was asked for."""

    default_sqlstate = "08P01"  # protocol_violation


@dataclass(frozen=True)
class _Fixed:
    """A type of fixed width: numpy's name for what is sent, the Arrow type it becomes."""

    wire: str
    arrow: pa.DataType
    shift: int = 0  # from PostgreSQL's epoch to 1970; the ends of the range are infinities and stay


_FIXED: dict[str, _Fixed] = {
    "boolean": _Fixed("u1", pa.bool_()),
    "smallint": _Fixed(">i2", pa.int16()),
    "integer": _Fixed(">i4", pa.int32()),
    "bigint": _Fixed(">i8", pa.int64()),
    "real": _Fixed(">f4", pa.float32()),
    "double precision": _Fixed(">f8", pa.float64()),
    "date": _Fixed(">i4", pa.date32(), _DAYS),
    "timestamp without time zone": _Fixed(">i8", pa.timestamp("us"), _MICROSECONDS),
    "timestamp with time zone": _Fixed(">i8", pa.timestamp("us", "UTC"), _MICROSECONDS),
    "uuid": _Fixed("V16", pa.binary(16)),
}


@dataclass(frozen=True)
class SiteColumn:
    """A column to read: its name, and its type as `format_type` writes it."""

    name: str
    data_type: str

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that its values arrive in."""
        fixed = _FIXED.get(bare_type(self.data_type))
        if fixed is not None:
            return fixed.arrow
        return pa.binary() if self.data_type == "bytea" else pa.string()

    @property
    def expression(self) -> sql.Composable:
        """What is asked for: the column, or the text that PostgreSQL writes for it."""
        name = sql.Identifier(self.name)
        if bare_type(self.data_type) in _FIXED or self.data_type == "bytea":
            return name
        if type_class(self.data_type) == "inet":  # its cast to text says more than its output does
            return sql.SQL("CASE WHEN {0} IS NOT NULL THEN pg_catalog.format('%s', {0}) END").format(name)
        return sql.SQL("{}::pg_catalog.text").format(name)


def read_batches(
    cursor: psycopg.Cursor[Any],
    schema: str,
    table: str,
    columns: Sequence[SiteColumn],
    condition: sql.Composable | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of a table in batches of bounded rows and bytes, in the cursor's transaction.

    With a condition only those for which it is true.

    Raises `CopyError` and what psycopg raises; the words of either hold no value.
    """
    query = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT BINARY)").format(
        sql.SQL(", ").join(each.expression for each in columns),
        sql.Identifier(schema, table),
        sql.SQL("") if condition is None else sql.SQL(" WHERE {}").format(condition),
    )
    decoder = Decoder(columns)
    rows: list[bytes] = []
    size = 0
    begun = False
    with cursor.copy(query) as copy:
        for message in copy:
            data = bytes(message)
            if not begun:
                if not data.startswith(HEADER):
                    raise CopyError("the site sent no binary copy")
                data, begun = data[len(HEADER) :], True
            if not data or data == TRAILER:
                continue
            rows.append(data)
            size += len(data)
            if len(rows) == BATCH_ROWS or size >= BATCH_BYTES:
                yield decoder.decode(rows)
                rows, size = [], 0
    if rows:
        yield decoder.decode(rows)


class Decoder:
    """Decodes rows, each one message of a binary copy without header and trailer."""

    def __init__(self, columns: Sequence[SiteColumn]) -> None:
        self._columns = tuple(columns)
        self.schema = pa.schema([pa.field(each.name, each.arrow) for each in columns])

    def decode(self, rows: Sequence[bytes]) -> pa.RecordBatch:
        """The batch of these rows; raises `CopyError` unless every row is exactly as long as its fields."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        # four bytes more, so that the fields' lengths and fixed widths can be gathered without a check each
        data = np.frombuffer(b"".join(rows) + bytes(20), np.uint8)
        ends = np.cumsum(lengths)
        at = ends - lengths
        if len(rows) and not bool((_integers(data, at, 2) == len(self._columns)).all()):
            raise CopyError("the site sent rows with another number of columns")
        at = at + 2
        arrays = []
        for column in self._columns:
            if bool((at + 4 > ends).any()):
                raise CopyError("the site sent a row that ends early")
            length = _integers(data, at, 4)
            at = at + 4
            valid = length >= 0
            length = np.where(valid, length, 0)
            if bool((at + length > ends).any()):
                raise CopyError("the site sent a row that ends early")
            arrays.append(_array(column, data, at, length, valid))
            at = at + length
        if bool((at != ends).any()):
            raise CopyError("the site sent a row that goes on after its last column")
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _integers(data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int64]:
    """Big-endian signed integers at these places."""
    raw = np.ascontiguousarray(data[at[:, None] + np.arange(width)])
    return raw.view(f">i{width}").reshape(-1).astype(np.int64)


def _array(
    column: SiteColumn,
    data: npt.NDArray[np.uint8],
    at: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_],
) -> pa.Array:
    fixed = _FIXED.get(bare_type(column.data_type))
    if fixed is None:
        return _varying(column.arrow, data, at, length, valid)
    dtype = np.dtype(fixed.wire)
    if bool((length[valid] != dtype.itemsize).any()):
        raise CopyError(f"the site sent values of another type for column `{column.name}`")
    raw = np.ascontiguousarray(data[at[:, None] + np.arange(dtype.itemsize)])
    nulls = ~valid
    if fixed.wire == "V16":
        mask = None if valid.all() else pa.array(valid).buffers()[1]
        return pa.FixedSizeBinaryArray.from_buffers(fixed.arrow, len(at), [mask, pa.py_buffer(raw.tobytes())])
    values = raw.view(dtype).reshape(-1)
    if fixed.arrow == pa.bool_():
        return pa.array(values.astype(bool), mask=nulls)
    native = values.astype(dtype.newbyteorder("="))
    if not fixed.shift:
        return pa.array(native, fixed.arrow, mask=nulls)
    bounds = np.iinfo(native.dtype)
    infinite = (native == bounds.max) | (native == bounds.min)
    with np.errstate(over="ignore"):
        shifted = np.where(infinite, native, native + native.dtype.type(fixed.shift))
    storage = pa.array(shifted, mask=nulls)
    return storage.view(fixed.arrow)


def _varying(
    arrow: pa.DataType,
    data: npt.NDArray[np.uint8],
    at: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_],
) -> pa.Array:
    offsets = np.zeros(len(at) + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    # byte i of the column comes from its row's start in `data`, moved by what lies before it in the column
    source = np.repeat(at - offsets[:-1], length)
    source += np.arange(offsets[-1])
    values = data[source]
    mask = None if valid.all() else pa.array(valid).buffers()[1]
    wide = pa.large_binary() if arrow == pa.binary() else pa.large_string()
    made = pa.Array.from_buffers(
        wide, len(at), [mask, pa.py_buffer(offsets), pa.py_buffer(values)], null_count=-1
    )
    return made.cast(arrow)


__all__ = ["CopyError", "Decoder", "SiteColumn", "read_batches"]
