"""What a cast in PostgreSQL gives, for Arrow columns: `value::text`, `::numeric`, `::double precision`.

The texts are those of a session with `DateStyle` ISO, time zone UTC and `extra_float_digits` 1. A numeric
that no Arrow type holds stands as text, as PostgreSQL would write it. Values that PostgreSQL's type could not
hold, or where its cast would raise, become null. Left out: casts between other types.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.errors import UsageError
from ringfort.privacy.float_text import float_text
from ringfort.privacy.generalise_date import civil, days_of
from ringfort.privacy.text_columns import from_buffers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    _Days = NDArray[np.int64]
    _Mask = NDArray[np.bool_]

_CHUNK = 65_536
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_HIGH = np.array([at * 2 + sum(at >= group for group in (4, 6, 8, 10)) for at in range(16)])
_PLAIN_DAYS = (-719_162, 2_932_896)  # years 1 to 9999, which Arrow writes like PostgreSQL


def cast_like_sql(values: pa.Array | pa.ChunkedArray, cast: str) -> pa.Array:
    """The column as `value::CAST`; `cast` is `text`, `numeric`, `double precision`, or "" for none.

    Raises `UsageError` for another cast and for a column that has none to that type.
    """
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    chunks = chunks or [pa.array([], values.type)]
    pieces = [
        _piece(_plain(chunk.slice(start, _CHUNK)), cast)
        for chunk in chunks
        for start in range(0, max(len(chunk), 1), _CHUNK)
    ]
    return together(pieces)


def together(pieces: list[pa.Array]) -> pa.Array:
    """The pieces as one array, of text with wide offsets only if there is more than narrow ones can tell."""
    if pa.types.is_string(pieces[0].type) or pa.types.is_large_string(pieces[0].type):
        wide = sum(each.nbytes for each in pieces) >= 2**31
        pieces = [each.cast(pa.large_string() if wide else pa.string()) for each in pieces]
    return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)


def _plain(values: pa.Array) -> pa.Array:
    """Without dictionary, runs or views; of an extension type its storage, but a uuid stays one."""
    arrow = values.type
    if pa.types.is_dictionary(arrow):
        return _plain(values.dictionary.take(values.indices))
    if pa.types.is_run_end_encoded(arrow):
        return _plain(pc.run_end_decode(values))
    if isinstance(arrow, pa.BaseExtensionType):
        return _plain(cast("pa.ExtensionArray", values).storage)
    if pa.types.is_string_view(arrow):
        return values.cast(pa.large_string())
    return values


def _piece(values: pa.Array, target: str) -> pa.Array:
    if target == "":
        return values
    found = {"text": _text, "numeric": _numeric, "double precision": _float}.get(target)
    result = None if found is None else found(values)
    if result is None:
        raise UsageError(f"a column of Arrow type `{values.type}` has no cast to `{target}` here")
    return result


def _is_text(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))


# -- to text -----------------------------------------------------------------------------------------------


def _text(values: pa.Array) -> pa.Array | None:
    arrow = values.type
    if _is_text(arrow):
        return values
    if pa.types.is_integer(arrow) or pa.types.is_boolean(arrow) or pa.types.is_null(arrow):
        return values.cast(pa.string())
    if pa.types.is_decimal(arrow):
        return _by_shape(values, values.cast(pa.string()), "E", lambda number: format(number, "f"))
    if pa.types.is_floating(arrow):
        return _floats_text(values)
    if pa.types.is_date(arrow):
        return _days_text(values)
    if pa.types.is_timestamp(arrow):
        return _times_text(values)
    if pa.types.is_time(arrow):
        return _trim_fraction(values.cast(pa.time64("us"), safe=False).cast(pa.string()))
    if pa.types.is_fixed_size_binary(arrow) and arrow.byte_width == 16:
        return _uuids_text(values)
    if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_fixed_size_binary(arrow):
        return pa.array(
            [None if each is None else "\\x" + each.hex() for each in values.to_pylist()], pa.string()
        )
    return None


def _by_shape(values: pa.Array, texts: pa.Array, sign: str, exact: Callable[[Any], str]) -> pa.Array:
    """The texts, but made exactly where a sign in them tells that Arrow's way is not PostgreSQL's."""
    odd = pc.match_substring(texts, sign)
    if not pc.any(odd, min_count=0).as_py():
        return texts
    right = [exact(each) for each in values.filter(odd).to_pylist()]
    return pc.replace_with_mask(texts, odd.fill_null(False), pa.array(right, texts.type))


def _floats_text(values: pa.Array) -> pa.Array:
    """Between 0.0001 and 1e10 Arrow writes the same fewest digits, and none of them are halfway."""
    single = not pa.types.is_float64(values.type)
    values = values.cast(pa.float32()) if single else values
    numbers = np.abs(values.fill_null(1.0).to_numpy(zero_copy_only=False))
    plain = (numbers >= 1e-4) & (numbers < (1e6 if single else 1e10))
    if not len(values) or plain.all():
        return values.cast(pa.string())
    odd = pa.array(~plain)
    texts = [float_text(each, single=single) for each in values.filter(odd).to_pylist()]
    return pc.replace_with_mask(values.cast(pa.string()), odd, pa.array(texts, pa.string()))


def _days_text(values: pa.Array) -> pa.Array:
    days, finite = days_of(values)
    return _dated(values, days, finite, None, "")


def _times_text(values: pa.Array) -> pa.Array:
    days, finite = days_of(values)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[values.type.unit]
    raw = np.where(finite, values.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), 0)
    in_day = raw - days * 86_400 * per_second
    micros = in_day * (10**6 // per_second) if per_second <= 10**6 else in_day // 1000
    clock = _trim_fraction(pa.array(micros).cast(pa.time64("us")).cast(pa.string()))
    return _dated(values, days, finite, clock, "" if values.type.tz is None else "+00")


def _trim_fraction(clock: pa.Array) -> pa.Array:
    """`05:06:00.120000` as `05:06:00.12`."""
    fraction = pc.utf8_rtrim(pc.utf8_slice_codeunits(clock, 8), "0")
    fraction = pc.if_else(pc.equal(fraction, "."), "", fraction)
    return pc.binary_join_element_wise(pc.utf8_slice_codeunits(clock, 0, 8), fraction, "")


def _dated(values: pa.Array, days: _Days, finite: _Mask, clock: pa.Array | None, zone: str) -> pa.Array:
    """Days and, for a time, its clock as text; `BC` comes last."""
    plain = (days >= _PLAIN_DAYS[0]) & (days <= _PLAIN_DAYS[1])
    shown = pa.array(np.where(plain, days, 0).astype(np.int32)).cast(pa.date32()).cast(pa.string())
    ends: pa.Array | str = zone
    if not plain.all():
        years, months, month_days = (each[~plain] for each in civil(days))
        texts = [
            f"{year if year > 0 else 1 - year:04}-{month:02}-{day:02}"
            for year, month, day in zip(years.tolist(), months.tolist(), month_days.tolist(), strict=True)
        ]
        shown = pc.replace_with_mask(shown, pa.array(~plain), pa.array(texts, pa.string()))
        ends = pc.if_else(pa.array(days < _PLAIN_DAYS[0]), f"{zone} BC", zone)
    parts = [shown, ends] if clock is None else [shown, " ", clock, ends]
    shown = pc.binary_join_element_wise(*parts, "")
    if finite.all():
        return shown
    raw = values.view(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
    limits = np.iinfo(raw.type.to_pandas_dtype())
    nothing = pa.scalar(None, pa.string())
    below = pc.if_else(pc.equal(raw, limits.min), "-infinity", nothing)
    return pc.if_else(pa.array(finite), shown, pc.if_else(pc.equal(raw, limits.max), "infinity", below))


def _uuids_text(values: pa.Array) -> pa.Array:
    """Sixteen bytes as 32 hexadecimal digits in five groups."""
    count = len(values)
    data = values.buffers()[1]
    if data is None or not count:
        return pa.nulls(count, pa.string())
    raw = np.frombuffer(data, np.uint8)[values.offset * 16 :][: count * 16].reshape(count, 16)
    text = np.full((count, 36), ord("-"), np.uint8)
    text[:, _HIGH] = _HEX[raw >> 4]
    text[:, _HIGH + 1] = _HEX[raw & 15]
    offsets = np.arange(count + 1, dtype=np.int32) * 36
    return from_buffers(text.reshape(-1), offsets, values, pa.string())


# -- to numbers --------------------------------------------------------------------------------------------


def _numeric(values: pa.Array) -> pa.Array | None:
    arrow = values.type
    if pa.types.is_integer(arrow) or pa.types.is_decimal(arrow) or _is_text(arrow):
        return values
    if pa.types.is_null(arrow):
        return values.cast(pa.int64())
    if not pa.types.is_floating(arrow):
        return None
    digits = 15 if pa.types.is_float64(arrow) else 6  # PostgreSQL takes no more of a float
    return pa.array(
        [None if each is None else _numeric_of_float(each, digits) for each in values.to_pylist()],
        pa.string(),
    )


def _numeric_of_float(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return float_text(value)
    return format(Decimal(f"{value:.{digits}g}") + 0, "f")


def _float(values: pa.Array) -> pa.Array | None:
    arrow = values.type
    if pa.types.is_floating(arrow) or pa.types.is_null(arrow):
        return values.cast(pa.float64())
    if pa.types.is_integer(arrow):
        return values.cast(pa.float64(), safe=False)
    if pa.types.is_decimal(arrow) or _is_text(arrow):
        return pa.array(
            [None if each is None else _float_of(each) for each in values.to_pylist()], pa.float64()
        )
    return None


def _float_of(value: Decimal | str) -> float | None:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isinf(number) and "Inf" not in str(value) else number
