"""Arrow columns to PostgreSQL's binary COPY format, a batch at a time, columnar.

Types are kept exactly: what PostgreSQL can hold arrives bit for bit, what it cannot hold is refused with the
column and the number of rows, never the value. Two things are said rather than refused: nanoseconds that are
cut to microseconds, and unsigned or nested types that become the next type that holds them (`data_type_of`).
PostgreSQL manual: COPY, Binary Format; the field formats are those of each type's receive function.
"""

from __future__ import annotations

import decimal
import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
_EPOCH_DAYS = 10_957  # 1970-01-01 to 2000-01-01
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_FIRST_TIMESTAMP, _END_TIMESTAMP = -211_813_488_000_000_000, 9_223_371_331_200_000_000
_FIRST_DATE, _END_DATE = -2_451_545, 2_145_031_949
_DAY = 86_400_000_000
_WIDE = decimal.Context(prec=200)


class LoadError(CheckFailedError):
    """The data cannot be loaded; nothing was."""

    default_sqlstate = "22000"  # data_exception


@dataclass(frozen=True)
class _Fixed:
    """`data` is rows x width bytes."""

    data: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Varying:
    """Row i is `data[starts[i] : starts[i] + lengths[i]]`, after `prefix`."""

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


@dataclass
class Encoder:
    """Encodes batches of one schema; `notes` gathers what a person should be told."""

    schema: pa.Schema
    notes: list[str] = field(default_factory=list)

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The tuples of `batch`, without header and trailer; raises `LoadError`."""
        rows = batch.num_rows
        columns = [self._column(each, batch.column(index)) for index, each in enumerate(self.schema)]
        valid = [np.asarray(pc.is_valid(each)) for each in batch.columns]
        lengths = [
            np.where(ok, column.data.shape[1], 0) if isinstance(column, _Fixed) else column.lengths * ok
            for column, ok in zip(columns, valid, strict=True)
        ]
        sizes = np.full(rows, 2 + 4 * len(columns), np.int64)
        for each in lengths:
            sizes += each
        position = np.cumsum(sizes) - sizes
        out = np.empty(int(sizes.sum()), np.uint8)
        _scatter(
            out, position, np.frombuffer(struct.pack(">h", len(columns)), np.uint8)[None, :].repeat(rows, 0)
        )
        position += 2
        for column, length, ok in zip(columns, lengths, valid, strict=True):
            announced = np.where(ok, length, -1).astype(">i4").view(np.uint8).reshape(rows, 4)
            _scatter(out, position, announced)
            position += 4
            if isinstance(column, _Fixed):
                _scatter(out, position[ok], column.data[ok])
            else:
                _scatter_varying(out, position, column, length)
            position += length
        return out.tobytes()

    def _column(self, schema_field: pa.Field, array: pa.Array) -> _Fixed | _Varying:
        kind = schema_field.type
        if pa.types.is_dictionary(kind):
            array, kind = array.dictionary_decode(), kind.value_type
        if isinstance(kind, pa.BaseExtensionType):
            array, kind = array.storage, kind.storage_type
        encode = _encoder_of(kind)
        if encode is None:
            raise _refuse(schema_field.name, f"has the type `{kind}`, which cannot be loaded")
        return encode(self, schema_field.name, array)

    def note(self, text: str) -> None:
        """Keep `text` once."""
        if text not in self.notes:
            self.notes.append(text)


def data_type_of(kind: pa.DataType) -> str:
    """The PostgreSQL type for an Arrow type, as `format_type` writes it; "" if there is none."""
    if pa.types.is_dictionary(kind):
        return data_type_of(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return "uuid" if kind.extension_name == "arrow.uuid" else data_type_of(kind.storage_type)
    if pa.types.is_decimal(kind):
        plain = 0 <= kind.scale <= kind.precision
        return f"numeric({kind.precision},{kind.scale})" if plain else "numeric"
    if pa.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp without time zone"
    return next((name for test, name, _ in _TYPES if test(kind)), "")


def _encoder_of(kind: pa.DataType) -> Callable[[Encoder, str, Any], _Fixed | _Varying] | None:
    return next((encode for test, _, encode in _TYPES if test(kind)), None)


def _refuse(column: str, message: str, hint: str = "") -> LoadError:
    return LoadError(f"column `{column}` {message}; nothing was loaded", hint=hint)


def _scatter(
    out: npt.NDArray[np.uint8], position: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]
) -> None:
    for index in range(data.shape[1]):
        out[position + index] = data[:, index]


def _scatter_varying(
    out: npt.NDArray[np.uint8],
    position: npt.NDArray[np.int64],
    column: _Varying,
    lengths: npt.NDArray[np.int64],
) -> None:
    before = np.cumsum(lengths) - lengths
    steps = np.arange(int(lengths.sum()), dtype=np.int64)
    out[np.repeat(position - before, lengths) + steps] = column.data[
        np.repeat(column.starts - before, lengths) + steps
    ]


def _numbers(array: Any, dtype: str) -> npt.NDArray[Any]:  # noqa: ANN401 - pyarrow has no types
    """The values of a fixed-width array as numpy, nulls as zero."""
    return np.asarray(array.fill_null(0) if array.null_count else array).astype(dtype)


def _fixed(values: npt.NDArray[Any], dtype: str) -> _Fixed:
    return _Fixed(values.astype(dtype).view(np.uint8).reshape(len(values), np.dtype(dtype).itemsize))


def _integer(dtype: str) -> Callable[[Encoder, str, Any], _Fixed]:
    return lambda _encoder, _name, array: _fixed(_numbers(array, dtype), dtype)


def _floating(dtype: str) -> Callable[[Encoder, str, Any], _Fixed]:
    return lambda _encoder, _name, array: _fixed(np.asarray(array.fill_null(0.0)), dtype)


def _boolean(_encoder: Encoder, _name: str, array: Any) -> _Fixed:  # noqa: ANN401 - pyarrow has no types
    return _fixed(np.asarray(array.fill_null(fill_value=False)), "u1")


def _null(_encoder: Encoder, _name: str, array: Any) -> _Fixed:  # noqa: ANN401 - pyarrow has no types
    return _Fixed(np.zeros((len(array), 0), np.uint8))


def _bytes(_encoder: Encoder, _name: str, array: Any) -> _Varying:  # noqa: ANN401 - pyarrow has no types
    if pa.types.is_fixed_size_binary(array.type):
        array = array.cast(pa.binary())
    array = array.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    if data is None or offsets is None:
        zeros = np.zeros(len(array), np.int64)
        return _Varying(np.zeros(0, np.uint8), zeros, zeros)
    bounds = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    return _Varying(np.frombuffer(data, np.uint8), bounds[:-1], np.diff(bounds))


def _text(encoder: Encoder, name: str, array: Any) -> _Varying:  # noqa: ANN401 - pyarrow has no types
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        rows = sum(not _is_utf8(each) for each in array.cast(pa.large_binary()).to_pylist())
        raise _refuse(name, f"holds text that is not UTF-8 in {rows} rows", "convert the file") from None
    column = _bytes(encoder, name, array)
    used = (
        column.data[column.starts[0] : column.starts[-1] + column.lengths[-1]] if len(array) else column.data
    )
    if len(used) and not used.all():
        rows = sum("\0" in each for each in array.cast(pa.large_utf8()).to_pylist() if each is not None)
        if rows:
            raise _refuse(
                name, f"holds NUL bytes in {rows} rows, which PostgreSQL text cannot", "remove them"
            )
    return column


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _timestamp(encoder: Encoder, name: str, array: Any) -> _Fixed:  # noqa: ANN401 - pyarrow has no types
    values = _microseconds(encoder, name, array)
    first, end = (_FIRST_TIMESTAMP + _EPOCH_DAYS * _DAY, _END_TIMESTAMP)
    epoch = _EPOCH_DAYS * _DAY
    _check_range(name, values, first, min(end + epoch, 2**63), "timestamps")
    return _fixed(values - epoch, ">i8")


def _time(encoder: Encoder, name: str, array: Any) -> _Fixed:  # noqa: ANN401 - pyarrow has no types
    values = _microseconds(encoder, name, array)
    _check_range(name, values, 0, _DAY + 1, "times of day")
    return _fixed(values, ">i8")


def _duration(encoder: Encoder, name: str, array: Any) -> _Fixed:  # noqa: ANN401 - pyarrow has no types
    values = _microseconds(encoder, name, array)
    data = np.zeros(len(values), np.dtype([("time", ">i8"), ("day", ">i4"), ("month", ">i4")]))
    data["time"] = values
    return _Fixed(data.view(np.uint8).reshape(len(values), 16))


def _microseconds(encoder: Encoder, name: str, array: Any) -> npt.NDArray[np.int64]:  # noqa: ANN401 - see above
    """Ticks of any unit as microseconds; refuses overflow, tells of nanoseconds that are cut."""
    unit = array.type.unit
    width = pa.int32() if array.type.bit_width == 32 else pa.int64()
    ticks: npt.NDArray[np.int64] = _numbers(array.cast(width), "i8")
    if unit == "ns":
        if (ticks % 1_000).any():
            encoder.note(f"column `{name}`: nanoseconds are cut to microseconds")
        ticks //= 1_000
        return ticks
    factor = _MICROSECONDS[unit]
    _check_range(name, ticks, -(2**63 // factor), 2**63 // factor, "times")
    ticks *= factor
    return ticks


def _date(_encoder: Encoder, name: str, array: Any) -> _Fixed:  # noqa: ANN401 - pyarrow has no types
    if pa.types.is_date64(array.type):
        days = np.floor_divide(_numbers(array.cast(pa.int64()), "i8"), 86_400_000)
    else:
        days = _numbers(array.cast(pa.int32()), "i8")
    _check_range(name, days, _FIRST_DATE + _EPOCH_DAYS, min(_END_DATE + _EPOCH_DAYS, 2**31), "dates")
    return _fixed(days - _EPOCH_DAYS, ">i4")


def _check_range(name: str, values: npt.NDArray[np.int64], first: int, end: int, what: str) -> None:
    wrong = int(np.count_nonzero((values < max(first, -(2**63))) | (values > min(end - 1, 2**63 - 1))))
    if wrong:
        raise _refuse(name, f"holds {what} beyond PostgreSQL's range in {wrong} rows", "correct them")


def _decimal(_encoder: Encoder, _name: str, array: Any) -> _Varying:  # noqa: ANN401 - pyarrow has no types
    scale = array.type.scale if pa.types.is_decimal(array.type) else 0
    return _joined(
        b"" if each is None else _numeric(int(each.scaleb(scale, _WIDE)) if scale else int(each), scale)
        for each in array.to_pylist()
    )


def _numeric(unscaled: int, scale: int) -> bytes:
    """The receive format of numeric: base-10000 digits, `unscaled` x 10^-scale."""
    shown = max(scale, 0)
    groups = -(-shown // 4)
    value = abs(unscaled) * 10 ** (groups * 4 - scale)
    digits: list[int] = []
    while value:
        value, digit = divmod(value, 10_000)
        digits.append(digit)
    weight = len(digits) - groups - 1
    while digits and digits[0] == 0:
        digits.pop(0)
    digits.reverse()
    if not digits:
        weight = 0
    sign = 0x4000 if unscaled < 0 else 0
    return struct.pack(f">HhHH{len(digits)}H", len(digits), weight, sign, shown, *digits)


def _nested(_encoder: Encoder, name: str, array: Any) -> _Varying:  # noqa: ANN401 - pyarrow has no types
    texts: list[bytes] = []
    wrong = 0
    for scalar in array:
        try:
            text = json.dumps(scalar.as_py(), ensure_ascii=False, allow_nan=False, default=_as_json)
        except (TypeError, ValueError):  # a NaN, text that is not UTF-8, keys that are no text
            text, wrong = "", wrong + 1
        wrong += "\\u0000" in text
        texts.append(b"\x01" + text.encode())
    if wrong:
        raise _refuse(name, f"holds values that PostgreSQL's jsonb cannot in {wrong} rows")
    return _joined(texts)


def _as_json(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else str(value)


def _joined(parts: Iterable[bytes]) -> _Varying:
    values = list(parts)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    data = np.frombuffer(b"".join(values), np.uint8)
    return _Varying(data, np.cumsum(lengths) - lengths, lengths)


_Test = Any
_TYPES: tuple[tuple[_Test, str, Callable[[Encoder, str, Any], _Fixed | _Varying]], ...] = (
    (pa.types.is_boolean, "boolean", _boolean),
    (lambda kind: kind in {pa.int8(), pa.uint8(), pa.int16()}, "smallint", _integer(">i2")),
    (lambda kind: kind in {pa.uint16(), pa.int32()}, "integer", _integer(">i4")),
    (lambda kind: kind in {pa.uint32(), pa.int64()}, "bigint", _integer(">i8")),
    (pa.types.is_uint64, "numeric", _decimal),
    (lambda kind: kind in {pa.float16(), pa.float32()}, "real", _floating(">f4")),
    (pa.types.is_float64, "double precision", _floating(">f8")),
    (pa.types.is_decimal, "numeric", _decimal),
    (
        lambda kind: (
            pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        ),
        "text",
        _text,
    ),
    (
        lambda kind: (
            pa.types.is_binary(kind)
            or pa.types.is_large_binary(kind)
            or pa.types.is_binary_view(kind)
            or pa.types.is_fixed_size_binary(kind)
        ),
        "bytea",
        _bytes,
    ),
    (pa.types.is_timestamp, "timestamp without time zone", _timestamp),
    (pa.types.is_date, "date", _date),
    (pa.types.is_time, "time without time zone", _time),
    (pa.types.is_duration, "interval", _duration),
    (pa.types.is_nested, "jsonb", _nested),
    (pa.types.is_null, "text", _null),
)
