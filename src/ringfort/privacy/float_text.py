"""Floats as PostgreSQL writes them, with `extra_float_digits` above 0.

Written are the fewest digits that lie nearer to the number than to any other float: unlike Python and numpy,
PostgreSQL takes no text that lies halfway to the next float (its Ryu accepts no bounds). One value at a time.
Source: PostgreSQL `src/common/d2s.c` and `f2s.c`, and `float8out`.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

_DIGITS = {True: 9, False: 17}  # are always enough
_PLAIN = {True: 6, False: 15}  # from this exponent on with an `e`


def float_text(value: float, *, single: bool = False) -> str:
    """The text of a `double precision`, or of a `real`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return f"{sign}0"
    digits, exponent = _shortest(abs(value), single=single)
    if not -4 <= exponent < _PLAIN[single]:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return sign + whole + ("." + fraction if fraction else "")


def _shortest(value: float, *, single: bool) -> tuple[str, int]:
    """Digits, and the decimal exponent of the first."""
    number = np.float32(value) if single else np.float64(value)
    text = np.format_float_scientific(number, unique=True, trim="-")
    mantissa, _, exponent = text.partition("e")
    count = len(mantissa.replace(".", ""))
    if _halfway(value, text, single=single):
        texts = (f"{value:.{precision}e}" for precision in range(count, _DIGITS[single]))
        text = next(each for each in texts if _reads_back(each, value, single=single))
        mantissa, _, exponent = text.partition("e")
    return mantissa.replace(".", "").rstrip("0") or "0", int(exponent)


def _reads_back(text: str, value: float, *, single: bool) -> bool:
    found = float(np.float32(text)) if single else float(text)
    return found == value and not _halfway(value, text, single=single)


def _halfway(value: float, text: str, *, single: bool) -> bool:
    """Whether the text lies exactly between the float and one of its neighbours."""
    mantissa, exponent = math.frexp(value)
    bits, least = (24, -149) if single else (53, -1074)
    step = max(exponent - bits, least)
    below = step - 1 if mantissa == 0.5 and step > least else step
    off = Fraction(text) - Fraction(value)
    return off == Fraction(2) ** (step - 1) or -off == Fraction(2) ** (below - 1)


__all__ = ["float_text"]
