"""What lies in the buffers of Arrow arrays, as numpy arrays, without a copy where that can be.

Slices and nulls are taken care of here and nowhere else: what is under a null may be anything, so whoever
computes from these arrays must blank those rows. Total over values: what overflows is saturated, what is
finer than a microsecond is rounded down, nothing raises with a value in its text.
Left out: nested types. Source: the Arrow columnar format, version 1.5.
"""

from __future__ import annotations

import contextlib
import itertools
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

UUID_BYTES = 16
_ASCII = 127
_INT4_MAX = 2**31 - 1
_INT8 = np.iinfo(np.int64)
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000}


def plain_type(arrow: pa.DataType) -> pa.DataType:
    """The type of the values themselves: of a dictionary, of runs, of an extension type's storage."""
    while True:
        if pa.types.is_dictionary(arrow) or pa.types.is_run_end_encoded(arrow):
            arrow = arrow.value_type
        elif isinstance(arrow, pa.BaseExtensionType):
            arrow = arrow.storage_type
        else:
            return arrow


def is_text(arrow: pa.DataType) -> bool:
    """Whether it is string, large string or string view."""
    return bool(
        pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)
    )


def plain_chunks(values: pa.Array | pa.ChunkedArray) -> Iterator[tuple[pa.Array, pa.Array | None]]:
    """The chunks: plain values, and for dictionaries and runs which of them each row is (else None).

    A value that no row refers to may be among those of a dictionary, unless it has more values than rows.
    """
    if isinstance(values, pa.ChunkedArray):
        if pa.types.is_dictionary(values.type):
            with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
                values = values.unify_dictionaries()
        chunks: list[Any] = values.chunks
    else:
        chunks = [values]
    for chunk in chunks:
        found, indices = _apart(chunk)
        if indices is not None and len(found) > len(indices):
            found, indices = _not_viewed(found).take(indices), None
        yield found, indices


def _apart(values: Any) -> tuple[pa.Array, pa.Array | None]:  # noqa: ANN401 - any Arrow array
    indices = None
    while True:
        if isinstance(values.type, pa.BaseExtensionType):
            values = values.storage
            continue
        if pa.types.is_dictionary(values.type):
            inner, values = values.indices, values.dictionary
        elif pa.types.is_run_end_encoded(values.type):
            rows = np.arange(values.offset, values.offset + len(values))
            ends = values.run_ends.to_numpy()
            inner, values = pa.array(np.searchsorted(ends, rows, side="right")), values.values
        else:
            return values, indices
        indices = inner if indices is None else inner.take(indices)


def room(size: int) -> NDArray[np.uint8]:
    """So many bytes of Arrow's own memory, which it gives out again warm, where numpy's is always new."""
    return np.frombuffer(pa.allocate_buffer(size), np.uint8)


def slices(values: pa.Array, rows: int) -> Iterator[tuple[int, pa.Array]]:
    """Consecutive slices of at most so many rows, each with its first row's number."""
    for start in range(0, len(values), rows):
        yield start, values.slice(start, rows)


def spans(offsets: NDArray[Any], rows: int, size: int) -> Iterator[tuple[int, int]]:
    """Consecutive rows, from one up to another: at most so many, and so many bytes unless it is one row."""
    start, count = 0, len(offsets) - 1
    while start < count:
        last = min(int(offsets[start]) + size, int(offsets[-1]))
        # a key of another type than the offsets' would have all of them converted
        limit = int(np.searchsorted(offsets, offsets.dtype.type(last), side="right")) - 1
        stop = max(start + 1, min(limit, start + rows, count))
        yield start, stop
        start = stop


def valid_rows(values: pa.Array) -> NDArray[np.bool_] | None:
    """Which rows are not null, None if all are."""
    if not values.null_count:
        return None
    found: NDArray[np.bool_] = values.is_valid().to_numpy(zero_copy_only=False)
    return found


def fixed(values: pa.Array, dtype: Any) -> NDArray[Any]:  # noqa: ANN401 - any numpy dtype
    """The rows of a fixed-width array as items of `dtype`, which has its width."""
    item = np.dtype(dtype)
    data = values.buffers()[1]
    if data is None:
        return np.zeros(len(values), item)
    return np.frombuffer(data, item, count=len(values), offset=values.offset * item.itemsize)


def fixed_rows(values: pa.Array) -> NDArray[np.uint8]:
    """The rows of an array of 16-byte values: shape (n, 16)."""
    return fixed(values, "V16").view(np.uint8).reshape(-1, UUID_BYTES)


def text(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Bytes and offsets, n + 1 of them, int32 or int64: row i is `data[offsets[i]:offsets[i + 1]]`."""
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    width = np.int64 if pa.types.is_large_string(values.type) else np.int32
    _, offset_buffer, data_buffer = values.buffers()
    if offset_buffer is None or not offset_buffer.size:
        return np.empty(0, np.uint8), np.zeros(len(values) + 1, np.int64)
    offsets = np.frombuffer(
        offset_buffer, width, count=len(values) + 1, offset=values.offset * np.dtype(width).itemsize
    )
    data = np.empty(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return data, offsets


def normalised(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """`text` in Unicode's normal form C; what is no UTF-8 stays as it is."""
    data, offsets = text(values)
    if data[int(offsets[0]) : int(offsets[-1])].max(initial=0) <= _ASCII:
        return data, offsets
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    try:
        return text(pc.utf8_normalize(values, "NFC"))
    except pa.ArrowInvalid:
        rows = [data[int(one) : int(other)].tobytes() for one, other in itertools.pairwise(offsets)]
        kept = [_normalised(each) for each in rows]
        ends = np.cumsum([0, *map(len, kept)], dtype=np.int64)
        return np.frombuffer(b"".join(kept), np.uint8), ends


def _normalised(value: bytes) -> bytes:
    try:
        return unicodedata.normalize("NFC", value.decode("utf-8")).encode("utf-8")
    except UnicodeDecodeError:
        return value


def each_text(values: pa.Array | pa.ChunkedArray, made: Callable[[pa.Array], pa.StringArray]) -> pa.Array:
    """A column of text from a column: `made` of its chunks, of a dictionary's values only once.

    What `made` gets is never a dictionary and never a string view. Raises `UsageError` if the result is too
    large for one array of type `string`.
    """
    out, known = [], None
    for found, indices in plain_chunks(values):
        if indices is None:
            out.append(made(_not_viewed(found)))
        else:
            if known is None or not known[0].equals(found):
                known = (found, made(_not_viewed(found)))
            out.append(known[1].take(indices))
    try:
        return pa.concat_arrays(out) if out else pa.array([], pa.string())
    except pa.ArrowInvalid:
        raise too_long() from None


def _not_viewed(values: pa.Array) -> pa.Array:
    return values.cast(pa.large_string()) if pa.types.is_string_view(values.type) else values


def text_array(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], valid: NDArray[np.bool_] | None
) -> pa.StringArray:
    """An array of type `string`; rows that are not valid have no bytes."""
    if int(offsets[-1]) > _INT4_MAX:
        raise too_long()
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.StringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data), bitmap
    )


def spread(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], valid: NDArray[np.bool_] | None
) -> pa.StringArray:
    """An array of type `string` whose valid rows are these texts, in order, and whose other rows are null."""
    if valid is None:
        return text_array(data, offsets, None)
    ends = np.zeros(len(valid) + 1, np.int64)
    np.cumsum(valid, out=ends[1:])
    return text_array(data, offsets[ends], valid)


def too_long() -> UsageError:
    """The error for more text than one array holds."""
    return UsageError("the column has more than 2 GiB of text", hint="take it in several batches")


def floats(values: pa.Array) -> NDArray[np.float64]:
    """Half, single and double floats as doubles."""
    width = {"halffloat": np.float16, "float": np.float32}.get(str(values.type), np.float64)
    return fixed(values, width).astype(np.float64, copy=False)


def integers(values: pa.Array) -> NDArray[Any]:
    """Whole numbers as int64; uint64 stays uint64, since it may not fit."""
    arrow = values.type
    sign = "i" if pa.types.is_signed_integer(arrow) else "u"
    found = fixed(values, f"{sign}{arrow.bit_width // 8}")
    return found if found.dtype == np.uint64 else found.astype(np.int64, copy=False)


def days(values: pa.Array) -> NDArray[np.int64]:
    """Days since 1970-01-01 of date32 and date64."""
    if values.type == pa.date32():
        return fixed(values, np.int32).astype(np.int64)
    found: NDArray[np.int64] = fixed(values, np.int64) // 86_400_000
    return found


def microseconds(values: pa.Array) -> NDArray[np.int64]:
    """Microseconds since 1970-01-01 of timestamps: those of nanoseconds rounded down, as far as int8 goes."""
    found = fixed(values, np.int64)
    if values.type.unit == "ns":
        return found // 1_000
    factor = _MICROSECONDS.get(values.type.unit, 1)
    if factor == 1:
        return found
    limit = _INT8.max // factor
    scaled = np.clip(found, -limit, limit) * factor
    return np.where(found > limit, _INT8.max, np.where(found < -limit, _INT8.min, scaled))


def decimals(values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which decimals are certainly whole numbers within int64, and what they are there.

    The rest may be fractions, too large, or whole numbers that are stored with too many digits to tell here.
    """
    arrow = values.type
    words = arrow.bit_width // 64
    if words:
        parts = fixed(values, f"V{8 * words}").view(np.int64).reshape(-1, words)
        low = parts[:, 0]
        fits = (parts[:, 1:] == (low >> 63)[:, None]).all(axis=1)
    else:
        low = fixed(values, np.int32).astype(np.int64)
        fits = np.ones(len(low), np.bool_)
    if arrow.scale == 0:
        return np.where(fits, low, 0), fits
    if not 0 < arrow.scale <= 18:
        whole = fits & (low == 0)
        return np.zeros(len(low), np.int64), whole
    unit = 10**arrow.scale
    quotient = low // unit
    whole = fits & (quotient * unit == low)
    return np.where(whole, quotient, 0), whole


__all__ = [
    "UUID_BYTES",
    "days",
    "decimals",
    "each_text",
    "fixed",
    "fixed_rows",
    "floats",
    "integers",
    "is_text",
    "microseconds",
    "normalised",
    "plain_chunks",
    "plain_type",
    "room",
    "slices",
    "spans",
    "spread",
    "text",
    "text_array",
    "too_long",
    "valid_rows",
]
