"""FF1 over strings whose positions are digits or letters: the places stay, what stands there changes.

A string with d digits and l letters, in whatever order, is one number N below S = 10**d * 26**l: the first
position is the most significant, letters count from A = 0. It is enciphered as the binary string of minimal
length for S (FF1 with radix 2), again and again until the result is below S (cycle walking: fewer than two
rounds on average). That is a permutation of the numbers below S, because FF1 is one of the binary strings.

Invariants: `encipher` with `inverse` undoes `encipher`; rows do not depend on one another.
Left out: S below a million or above 2**128 (`fits`). Source: SP 800-38G; cycle walking: J. Black, P. Rogaway,
"Ciphers with Arbitrary Finite Domains", 2002.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ringfort.privacy.ff1 import MINIMUM_DOMAIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ringfort.privacy.ff1 import FF1

DIGITS, LETTERS = 10, 26
_U = np.uint64
_LOW = _U(0xFFFFFFFF)
_HALF = _U(32)
Number = tuple["NDArray[np.uint64]", "NDArray[np.uint64]"]  # high and low 64 bits


def domain(digits: int, letters: int) -> int:
    """How many strings there are: `S`."""
    size: int = DIGITS**digits * LETTERS**letters
    return size


def fits(digits: int, letters: int) -> bool:
    """Whether strings with so many digits and letters can be enciphered here."""
    return digits + letters <= 128 and MINIMUM_DOMAIN <= domain(digits, letters) <= 2**128


def encipher(
    ff1: FF1,
    values: NDArray[np.uint8],
    letters: NDArray[np.bool_],
    tweak: bytes | NDArray[np.uint8],
    *,
    inverse: bool,
) -> NDArray[np.uint8]:
    """Rows of digits 0 to 9 and letters 0 to 25, which of them is which in `letters`; both (rows, length).

    `ff1` is of radix 2. All rows have the same number of letters. `tweak` as for FF1.
    """
    length = values.shape[1]
    if not len(values):
        return values.copy()
    many = int(letters[0].sum())
    size = domain(length - many, many)
    bits = (size - 1).bit_length()
    radices = [_radix(letters[:, column]) for column in range(length)]
    number = _zero(len(values))
    for column, radix in enumerate(radices):
        number = _times(number, radix, values[:, column].astype(np.uint64))
    number = _walk(ff1, number, size, bits, tweak, inverse=inverse)
    out = np.empty_like(values)
    for column in reversed(range(length)):
        number, out[:, column] = _divided(number, radices[column])
    return out


def _walk(
    ff1: FF1, number: Number, size: int, bits: int, tweak: bytes | NDArray[np.uint8], *, inverse: bool
) -> Number:
    number = _step(ff1, number, bits, tweak, inverse=inverse)
    outside = np.flatnonzero(_beyond(number, size))
    while len(outside):
        given = tweak if isinstance(tweak, bytes) else tweak[outside]
        moved = _step(ff1, (number[0][outside], number[1][outside]), bits, given, inverse=inverse)
        number[0][outside], number[1][outside] = moved
        outside = outside[_beyond(moved, size)]
    return number


def _step(ff1: FF1, number: Number, bits: int, tweak: bytes | NDArray[np.uint8], *, inverse: bool) -> Number:
    """FF1 of the binary strings of so many bits, most significant first."""
    high, low = number
    second = bits - bits // 2
    if second == 64:
        return ff1.halves(high, low, bits, tweak, inverse=inverse)
    up = _U(64 - second)
    first, last = (high << up) | (low >> _U(second)), low & _U((1 << second) - 1)
    first, last = ff1.halves(first, last, bits, tweak, inverse=inverse)
    return first >> up, last | (first << _U(second))


def _beyond(number: Number, size: int) -> NDArray[np.bool_]:
    if size == 2**128:
        return np.zeros(len(number[0]), np.bool_)
    high, low = _U(size >> 64), _U(size & (2**64 - 1))
    found: NDArray[np.bool_] = (number[0] > high) | ((number[0] == high) & (number[1] >= low))
    return found


def _radix(letters: NDArray[np.bool_]) -> np.uint64 | NDArray[np.uint64]:
    """The radix of a position: one for all rows, which is faster, if it is."""
    if letters.all():
        return _U(LETTERS)
    if not letters.any():
        return _U(DIGITS)
    return np.where(letters, _U(LETTERS), _U(DIGITS))


def _zero(rows: int) -> Number:
    return np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)


def _times(number: Number, factor: np.uint64 | NDArray[np.uint64], plus: NDArray[np.uint64]) -> Number:
    high, low = number
    right = (low & _LOW) * factor + plus
    left = (low >> _HALF) * factor + (right >> _HALF)
    return high * factor + (left >> _HALF), (left << _HALF) | (right & _LOW)


def _divided(number: Number, divisor: np.uint64 | NDArray[np.uint64]) -> tuple[Number, NDArray[np.uint64]]:
    high, low = number
    first = high // divisor
    rest = ((high - first * divisor) << _HALF) | (low >> _HALF)
    second = rest // divisor
    rest = ((rest - second * divisor) << _HALF) | (low & _LOW)
    third = rest // divisor
    return (first, (second << _HALF) | third), rest - third * divisor


__all__ = ["DIGITS", "LETTERS", "domain", "encipher", "fits"]
