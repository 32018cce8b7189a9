"""Which public keys of Curve25519 can be used: X25519 (RFC 7748) and Ed25519 (RFC 8032). Arithmetic only.

A key that nobody can hold is refused where it is named, not when it is used. `x25519_fault` and
`ed25519_fault` say what is wrong with 32 bytes, in words that follow "the key"; "" is a key that can be used.
Refused are

- another length;
- another spelling of a point than the one (a coordinate of 2^255 - 19 or more, a top bit that means nothing),
  so that two texts are never one key;
- what is no point of the curve (Ed25519: X25519 knows none);
- points of small order: an X25519 secret made with one is zero whoever asks, and an Ed25519 signature under
  one can hold for a text that nobody signed.

Left out: whether somebody holds the private half, and who.
"""

from __future__ import annotations

KEY_BYTES = 32
_PRIME = 2**255 - 19
_TOP_BIT = 1 << 255
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
_SMALL_U = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""Coordinates of the points of order 1, 2, 4 and 8 of Curve25519 and its twist."""
_SMALL_Y = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)
"""Those of edwards25519."""
_LENGTH = f"does not have {KEY_BYTES} bytes"
_SPELLING = "is not spelled as keys are (RFC 7748 and RFC 8032 have one spelling for each)"
_SMALL = "is one that nobody can hold (a point of small order)"


def x25519_fault(key: bytes) -> str:
    """Why an X25519 public key cannot be used, "" if it can."""
    if len(key) != KEY_BYTES:
        return _LENGTH
    coordinate = int.from_bytes(key, "little")
    if coordinate % _TOP_BIT % _PRIME in _SMALL_U:
        return _SMALL
    return _SPELLING if coordinate >= _PRIME else ""


def ed25519_fault(key: bytes) -> str:
    """Why an Ed25519 public key cannot be used, "" if it can."""
    if len(key) != KEY_BYTES:
        return _LENGTH
    y = int.from_bytes(key, "little") % _TOP_BIT
    if y % _PRIME in _SMALL_Y:
        return _SMALL
    if y >= _PRIME:
        return _SPELLING
    # x^2 = (y^2 - 1) / (d y^2 + 1); the divisor is never zero, and x is not, for that has small order
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME
    return "" if pow(square, (_PRIME - 1) // 2, _PRIME) == 1 else "is no point of the curve"


__all__ = ["KEY_BYTES", "ed25519_fault", "x25519_fault"]
