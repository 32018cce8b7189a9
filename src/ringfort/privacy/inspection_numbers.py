"""Numbers that could be personal data: whole ones of seven digits or more; Luhn over whole columns.

Invariants: total. A float counts where it is whole and below 2**53, a decimal where it is whole and fits 18
digits. Left out: numbers with a fraction, numbers that stand for something else (coordinates, serial dates).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.inspection_patterns import is_card_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_NUMBER = 1_000_000
_MAX_NUMBER = 10**18
_CARD_MIN = 10**13


def as_whole(values: pa.Array) -> pa.Int64Array | None:
    """The numbers from seven digits on as int64, null elsewhere; None if there is none."""
    arrow = values.type
    if pa.types.is_integer(arrow) and arrow.bit_width < 32:
        return None
    bound = pa.scalar(MIN_NUMBER - 1).cast(arrow) if not pa.types.is_decimal(arrow) else None
    if pa.types.is_decimal(arrow):
        return _decimals(values)
    most = pc.max(values)
    if bound is None or not most.is_valid or not most.as_py() > bound.as_py():
        return None
    if pa.types.is_floating(arrow):
        doubles = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            fits = (doubles >= MIN_NUMBER) & (doubles < 2.0**53) & (np.floor(doubles) == doubles)
        if not fits.any():
            return None
        return pa.array(np.where(fits, doubles, 0).astype(np.int64), pa.int64(), mask=~fits)
    top = min(_MAX_NUMBER * 10 - 1, 2**63 - 1)
    if pa.types.is_uint64(arrow):
        values = pc.if_else(pc.less_equal(values, pa.scalar(top, arrow)), values, pa.scalar(None, arrow))
    whole = values.cast(pa.int64())
    return pc.if_else(pc.greater_equal(whole, MIN_NUMBER), whole, pa.scalar(None, pa.int64()))


def _decimals(values: pa.Array) -> pa.Int64Array | None:
    if values.type.precision - values.type.scale < 7:
        return None
    texts = pc.replace_substring_regex(values.cast(pa.string()), r"\.0+$", "")
    fits = pc.fill_null(pc.match_substring_regex(texts, r"^\d{7,18}$"), fill_value=False)
    if not pc.any(fits, min_count=0).as_py():
        return None
    return pc.if_else(fits, texts, pa.scalar(None, pa.string())).cast(pa.int64())


def card_numbers(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of card numbers among whole numbers."""
    places = np.flatnonzero(values >= _CARD_MIN)
    rest, total, double = values[places].copy(), np.zeros(len(places), np.int64), False
    while rest.any():
        rest, digit = np.divmod(rest, 10)
        if double:
            digit = digit * 2 - 9 * (digit > 4)
        total += digit
        double = not double
    right: NDArray[np.int64] = places[total % 10 == 0]
    held = np.fromiter((is_card_number(str(each)) for each in values[right].tolist()), np.bool_, len(right))
    return right[held]


__all__ = ["MIN_NUMBER", "as_whole", "card_numbers"]
