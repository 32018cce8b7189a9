"""Columns of numeral strings to numbers and back: numpy in, numpy out.

Eight decimal digits at a time are read and written as one 64-bit word: neighbours are joined, ones to tens,
pairs to hundreds, fours to ten thousands, by multiplying the whole word. Other radices go numeral by numeral.

Invariants: `put` is the inverse of `number` for numbers below radix**digits; both need that to be below
2**64. Decimal digits may be numbers 0 to 9 or their ASCII characters; `put` writes numbers.
Left out: checking that numerals are below the radix: who calls knows. Source: the method is common knowledge,
see D. Lemire, "Quickly parsing eight digits", 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD = 8
_U = np.uint64


def number(
    numerals: NDArray[np.unsignedinteger], start: int, stop: int, radix: int = 10
) -> NDArray[np.uint64]:
    """The numerals of columns `start` to `stop` of a matrix (rows, length), most significant first."""
    total = np.zeros(len(numerals), np.uint64)
    if radix != 10 or numerals.dtype != np.uint8:
        for column in range(start, stop):
            total *= _U(radix)
            total += numerals[:, column]
        return total
    while start < stop:
        width = (stop - start - 1) % WORD + 1
        total *= _U(10**width)
        total += _read(numerals, start, width)
        start += width
    return total


def put(
    numerals: NDArray[np.unsignedinteger], start: int, stop: int, radix: int, values: NDArray[np.uint64]
) -> None:
    """Write numbers as the numerals of columns `start` to `stop`."""
    rest = values
    if radix != 10 or numerals.dtype != np.uint8:
        for column in reversed(range(start, stop)):
            quotient = rest // _U(radix)
            numerals[:, column] = rest - quotient * _U(radix)
            rest = quotient
        return
    while start < stop:
        width = min(WORD, stop - start)
        stop -= width
        word = rest
        if start < stop:
            rest = word // _U(10**WORD)
            word = word - rest * _U(10**WORD)
        _write(numerals, stop, width, word)


def _read(numerals: NDArray[np.unsignedinteger], start: int, width: int) -> NDArray[np.uint64]:
    """Up to eight decimal digits as numbers."""
    words = np.zeros((len(numerals), 1), "<u8")
    items = words.view(np.uint8)
    # the digits as one item each, at the end of the word: zeros stand before them
    items[:, WORD - width :].view(f"V{width}")[:] = numerals[:, start : start + width].view(f"V{width}")
    found: NDArray[np.uint64] = words[:, 0]
    found &= _U(0x0F0F0F0F0F0F0F0F)
    found *= _U(10 << 8 | 1)
    found >>= _U(8)
    found &= _U(0x00FF00FF00FF00FF)
    found *= _U(100 << 16 | 1)
    found >>= _U(16)
    found &= _U(0x0000FFFF0000FFFF)
    found *= _U(10_000 << 32 | 1)
    found >>= _U(32)
    return found


def _write(numerals: NDArray[np.unsignedinteger], start: int, width: int, values: NDArray[np.uint64]) -> None:
    """Numbers below 10**width, width up to eight, as decimal digits."""
    fours = values // _U(10_000)
    word = values - fours * _U(10_000)
    word <<= _U(32)
    word |= fours
    high = word * _U(10_486)  # a hundredth of a number below 10,000: times 10,486, divided by 2**20
    high >>= _U(20)
    high &= _U(0x0000007F0000007F)
    word -= high * _U(100)
    word <<= _U(16)
    word |= high
    high = word * _U(103)  # a tenth of a number below 100: times 103, divided by 2**10
    high >>= _U(10)
    high &= _U(0x000F000F000F000F)
    word -= high * _U(10)
    word <<= _U(8)
    word |= high
    items = word.astype("<u8", copy=False).view(np.uint8).reshape(-1, WORD)
    numerals[:, start : start + width].view(f"V{width}")[:] = items[:, WORD - width :].view(f"V{width}")


__all__ = ["number", "put"]
