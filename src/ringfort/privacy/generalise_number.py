"""Numbers as bands, ages and whole degrees, as columns: what `ringfort.band_numeric_v2` and the like give.

For `double precision` a column of floats is taken. For `numeric` whole numbers, decimals, or text as
PostgreSQL writes a numeric (which knows no limit of digits, `NaN` and the infinities); other text becomes
null. Decimals are judged by their exact whole part, never as floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.errors import UsageError
from ringfort.privacy import form_rules as rules
from ringfort.privacy.text_columns import groups, sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMERIC = r"^(-?)([0-9]+)(?:\.([0-9]*))?$"
_LARGE = 2**62  # stands for all larger magnitudes: above every band and age
_AGE_LIMIT = 150
_DEGREE = pa.decimal128(3, 0)


def band_float(values: pa.Array) -> pa.Array:
    """The 1-2-5 band of a float's magnitude, with its sign."""
    numbers, valid = _floats(values)
    with np.errstate(invalid="ignore"):
        magnitudes = np.abs(numbers)
        places = np.searchsorted(np.array(rules.BANDS, np.float64), magnitudes, side="right")
    return _banded(places, numbers < 0, ~np.isfinite(numbers), valid)


def band_numeric(values: pa.Array) -> pa.Array:
    """The 1-2-5 band of a numeric's magnitude, with its sign."""
    whole = _whole(values)
    places = np.searchsorted(np.array(rules.BANDS, np.int64), whole.magnitude, side="right")
    return _banded(places, whole.negative, whole.odd, whole.valid)


def _banded(
    places: NDArray[Any],
    negative: NDArray[np.bool_],
    odd: NDArray[np.bool_],
    valid: NDArray[np.bool_],
) -> pa.Array:
    count = len(rules.BAND_LABELS)
    index = np.where(negative, places - 1 + count, places - 1)
    index = np.where(odd, 2 * count, index)
    return _band_labels().take(pa.array(index.astype(np.int64), mask=~valid))


@cache
def _band_labels() -> pa.Array:
    return pa.array(
        [*rules.BAND_LABELS, *(f"minus {label}" for label in rules.BAND_LABELS), "unknown"], pa.string()
    )


def age_float(values: pa.Array) -> pa.Array:
    """Ten years of age."""
    numbers, valid = _floats(values)
    with np.errstate(invalid="ignore"):
        good = (numbers >= 0) & (numbers < _AGE_LIMIT)
    years = np.where(good, np.floor(np.where(good, numbers, 0)), _LARGE).astype(np.int64)
    return _aged(years, good, valid)


def age_numeric(values: pa.Array) -> pa.Array:
    """Ten years of age."""
    whole = _whole(values)
    return _aged(whole.magnitude, ~whole.odd & ~whole.negative, whole.valid)


def _aged(years: NDArray[np.int64], good: NDArray[np.bool_], valid: NDArray[np.bool_]) -> pa.Array:
    index = np.where(good & (years < _AGE_LIMIT), np.minimum(years // 10, 9), 10)
    return _age_labels().take(pa.array(index, mask=~valid))


@cache
def _age_labels() -> pa.Array:
    return pa.array([*(f"{low}-{low + 9}" for low in range(0, 90, 10)), "90 or more", "other"], pa.string())


def degree_float(values: pa.Array) -> pa.Array:
    """Whole degrees, downwards, as float64; null for what is no degree."""
    numbers, valid = _floats(values)
    with np.errstate(invalid="ignore"):
        good = valid & (numbers >= rules.DEGREES[0]) & (numbers < rules.DEGREES[1])
    return pa.array(np.floor(np.where(good, numbers, 0.0)) + 0.0, pa.float64(), mask=~good)


def degree_numeric(values: pa.Array) -> pa.Array:
    """Whole degrees, downwards: integers in their type, decimals without scale, text for text.

    Null for what is no degree.
    """
    arrow = values.type
    whole = _whole(values)
    floor = np.where(whole.negative, -whole.magnitude - whole.fraction, whole.magnitude)
    good = whole.valid & ~whole.odd & (floor >= rules.DEGREES[0]) & (floor < rules.DEGREES[1])
    degrees = pa.array(np.where(good, floor, 0), pa.int64(), mask=~good)
    if pa.types.is_decimal(arrow):
        return degrees.cast(pa.decimal128(19, 0)).cast(_DEGREE)
    return degrees.cast(arrow)


@dataclass(frozen=True)
class _Whole:
    """Exact numbers by what forms ask: whole part of the magnitude (capped), more than that, sign, odd."""

    magnitude: NDArray[np.int64]
    fraction: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    odd: NDArray[np.bool_]  # NaN and the infinities
    valid: NDArray[np.bool_]


def _whole(values: pa.Array) -> _Whole:
    arrow = values.type
    if pa.types.is_integer(arrow):
        return _of_integers(values)
    if pa.types.is_decimal(arrow):
        return _of_decimals(values)
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return _of_texts(values)
    raise UsageError(f"values of type `{arrow}` are no numeric")


def _of_integers(values: pa.Array) -> _Whole:
    numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
    negative = numbers < 0
    if numbers.dtype == np.uint64:
        numbers = np.minimum(numbers, np.uint64(_LARGE))
    magnitude = np.abs(np.clip(numbers.astype(np.int64), -_LARGE, _LARGE))
    nothing = np.zeros(len(numbers), np.bool_)
    return _Whole(magnitude, nothing, negative, nothing, _valid(values))


def _of_decimals(values: pa.Array) -> _Whole:
    arrow = values.type
    unscaled, fits = _unscaled(values.fill_null(Decimal(0)) if values.null_count else values)
    if arrow.scale < 0 or not fits.all():
        texts = [None if each is None else format(each, "f") for each in values.to_pylist()]
        return _of_texts(pa.array(texts, pa.large_string()))
    unit = 10 ** min(arrow.scale, 18)
    magnitude = np.zeros_like(unscaled) if arrow.scale > 18 else np.abs(unscaled) // unit
    fraction = unscaled != 0 if arrow.scale > 18 else np.abs(unscaled) != magnitude * unit
    nothing_odd = np.zeros(len(unscaled), np.bool_)
    return _Whole(magnitude, fraction, unscaled < 0, nothing_odd, _valid(values))


def _unscaled(values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The low 64 bits of decimals, and whether they are all of it."""
    width = values.type.byte_width
    data = np.frombuffer(values.buffers()[1], np.uint8)[values.offset * width :][: len(values) * width]
    if width == 4:
        return data.view("<i4").astype(np.int64), np.ones(len(values), np.bool_)
    words = data.view("<i8").reshape(len(values), width // 8)
    low = np.ascontiguousarray(words[:, 0])
    fits = (low != np.iinfo(np.int64).min) & (words[:, 1:] == (low >> 63)[:, None]).all(axis=1)
    return low, fits


def _of_texts(values: pa.Array) -> _Whole:
    sign, whole, fraction = groups(values, _NUMERIC)
    odd = pc.is_in(values, value_set=pa.array(["NaN", "Infinity", "-Infinity"], values.type))
    whole = pc.utf8_ltrim(whole.fill_null(""), "0")
    size = sizes(whole).to_numpy(zero_copy_only=False)
    short = pc.if_else(pa.array((size > 0) & (size <= 18)), whole, pa.scalar("0", values.type))
    magnitude = np.where(size > 18, _LARGE, short.cast(pa.int64()).to_numpy(zero_copy_only=False))
    empty = pa.scalar("", values.type)
    some = pc.not_equal(pc.utf8_ltrim(fraction.fill_null(""), "0"), empty).to_numpy(zero_copy_only=False)
    zero = (magnitude == 0) & ~some
    negative = pc.equal(sign.fill_null(""), "-").to_numpy(zero_copy_only=False) & ~zero
    odd = odd.to_numpy(zero_copy_only=False)
    return _Whole(magnitude, some, negative, odd, odd | _valid(sign))


def _floats(values: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if not pa.types.is_floating(values.type):
        raise UsageError(f"values of type `{values.type}` are no floats")
    numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
    return numbers, _valid(values)


def _valid(values: pa.Array) -> NDArray[np.bool_]:
    return cast("NDArray[np.bool_]", values.is_valid().to_numpy(zero_copy_only=False))
