"""Texts of a chunk of a column, and those of their characters that are enciphered, in one stream.

The characters in between (blanks, hyphens, brackets) stay where they are. A row that a format cannot take is
dropped: it becomes null and none of its bytes is kept.

Invariants: what is not dropped keeps its length, and the class of each of its characters (digit, capital,
small letter) and its place. Left out: what the formats are: `privacy.formats`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ringfort.privacy import mixed
from ringfort.privacy.epoch_keys import FIRST
from ringfort.privacy.ff1 import FF1

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BAD, KEPT, DIGIT, CAPITAL, SMALL, PLUS, EXTENSION = range(7)
ZERO, NINE, LARGE_A, TO_SMALL = ord("0"), ord("9"), ord("A"), 0x20
TWEAK_BYTES = 8
_PATTERN = np.arange(256, dtype=np.uint8)
_PATTERN[ord("0") : ord("9") + 1] = ord("0")
_PATTERN[ord("A") : ord("Z") + 1] = ord("A")
_PATTERN[ord("a") : ord("z") + 1] = ord("a")
FEWEST_DIGITS, MOST_DIGITS = 6, 36  # a million values; halves that FF1 takes in columns


def table(kept: str, *classes: int, **others: int) -> NDArray[np.uint8]:
    """The class of each byte: `kept` as it is, of `classes` the usual characters; all else is bad."""
    found = np.full(256, BAD, np.uint8)
    found[list(kept.encode("ascii"))] = KEPT
    members = {DIGIT: b"0123456789", CAPITAL: bytes(range(65, 91)), SMALL: bytes(range(97, 123))}
    for each in classes:
        found[list(members[each])] = each
    for characters, each in others.items():
        found[list(characters.encode("ascii"))] = each
    return found


@dataclass(frozen=True)
class Ciphers:
    """FF1 under one key: of decimal digits, and of binary strings for those with letters.

    `derivation` of the epoch says what the tweak is: from the second on the whole pattern of a value.
    """

    decimal: FF1
    binary: FF1
    derivation: int

    @classmethod
    def of(cls, key: bytes, derivation: int) -> Ciphers:
        """Both under `key`: the radix is part of what FF1 enciphers under, so they do not interfere."""
        return cls(FF1(key), FF1(key, 2), derivation)

    @property
    def whole_pattern(self) -> bool:
        """Whether the tweak is the whole pattern."""
        return self.derivation > FIRST


class Rows:
    """The texts `data[offsets[i]:offsets[i + 1]]`; `stream` has their digits and letters, as characters.

    Row i has `stream[starts[i]:starts[i + 1]]`. `good` says which rows are not dropped.
    """

    def __init__(
        self,
        data: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        good: NDArray[np.bool_],
        classes: NDArray[np.uint8],
    ) -> None:
        self.data, self.offsets, self.good = data, offsets, good
        self._places: NDArray[np.bool_] | None = None
        self.classes: NDArray[np.uint8] | None = None  # None if all characters are digits
        if ((data - np.uint8(ZERO)) <= NINE - ZERO).all():
            self.stream, self.starts = data, offsets
            return
        self.classes = classes[data]
        self.drop_at(self.classes == BAD)
        self._places = (self.classes >= DIGIT) & (self.classes <= SMALL)
        before = np.zeros(len(data) + 1, np.int64)
        np.cumsum(self._places, out=before[1:])
        self.before = before  # how many characters of the stream come before each byte
        self.starts = before[offsets]
        self.stream = data[self._places]

    def drop_at(self, bytes_: NDArray[np.bool_]) -> None:
        """Drop the rows in which one of these bytes lies."""
        self.good[self.rows_of(np.flatnonzero(bytes_))] = False

    def rows_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows in which these bytes lie."""
        return np.searchsorted(self.offsets, places, side="right") - 1

    def matrix(self, at: NDArray[np.int64], length: int) -> NDArray[np.uint8]:
        """`length` characters of the stream from each of `at` on: shape (rows, length)."""
        if len(at) * length == len(self.stream):  # rows do not overlap: it is all there is
            return self.stream.reshape(len(at), length).copy()
        return self._window(length)[at].view(np.uint8).reshape(len(at), length)

    def patterns(self, rows: NDArray[np.int64], length: int) -> bytes | NDArray[np.uint8]:
        """The patterns of these rows, texts of `length` bytes: one for all if they are equal, else for each.

        A digit is `0`, a capital `A`, a small letter `a`, every other character is itself.
        """
        if self.classes is None:
            return b"0" * length
        first = slice(int(self.offsets[rows[0]]), int(self.offsets[rows[0]]) + length)
        classes = self._texts(self.classes, rows, length).reshape(-1)
        if (classes[length:] == classes[:-length]).all():  # the class says all but what characters stay
            kept = np.flatnonzero(self.classes[first] == KEPT)
            texts = self._texts(self.data, rows, length) if len(kept) else self.data[None, first]
            if all((texts[:, place] == texts[0, place]).all() for place in kept.tolist()):
                return _PATTERN.take(self.data[first]).tobytes()
        return _PATTERN.take(self._texts(self.data, rows, length))

    def _texts(self, source: NDArray[np.uint8], rows: NDArray[np.int64], length: int) -> NDArray[np.uint8]:
        """What `source` has at the bytes of these rows, texts of `length` bytes: shape (rows, length)."""
        if len(rows) * length == len(source):  # it is all there is
            return source.reshape(len(rows), length)
        windows = np.ndarray((len(source) - length + 1,), f"V{length}", buffer=source, strides=(1,))
        return windows[self.offsets[rows]].view(np.uint8).reshape(len(rows), length)

    def write(self, at: NDArray[np.int64], characters: NDArray[np.uint8]) -> None:
        """The inverse of `matrix`."""
        length = characters.shape[1]
        if len(at) * length == len(self.stream):
            self.stream[:] = characters.reshape(-1)
            return
        self._window(length)[at] = np.ascontiguousarray(characters).view(f"V{length}").reshape(-1)

    def _window(self, length: int) -> NDArray[np.void]:
        return np.ndarray(
            (max(len(self.stream) - length + 1, 0),), f"V{length}", buffer=self.stream, strides=(1,)
        )

    def finished(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Bytes and sizes of all rows, those dropped without any."""
        if self._places is not None:
            self.data[self._places] = self.stream
        sizes = np.diff(self.offsets)
        if self.good.all():
            return self.data, sizes
        kept = self.data[np.repeat(self.good, sizes)]
        return kept, np.where(self.good, sizes, 0)


def encipher_digits(
    rows: Rows,
    cipher: FF1,
    at: NDArray[np.int64],
    lengths: NDArray[np.int64],
    tweaks: NDArray[np.uint8] | bytes,
    *,
    inverse: bool,
    no_leading_zero: bool = False,
) -> None:
    """Encipher, or decipher, decimal digits of the stream: `lengths[i]` from `at[i]` on, under `tweaks[i]`.

    `no_leading_zero` walks on until the first digit is not zero, as it was not before.
    """
    for length, some in by_value(lengths):
        given = tweaks if isinstance(tweaks, bytes) else tweaks[some]
        work = cipher.decipher if inverse else cipher.encipher
        found = work(rows.matrix(at[some], length), given)
        again = np.flatnonzero((found[:, 0] == 0) & no_leading_zero)
        while len(again):
            moved = work(found[again], given if isinstance(given, bytes) else given[again])
            found[again] = moved
            again = again[moved[:, 0] == 0]
        found |= ZERO
        rows.write(at[some], found)


def encipher_characters(
    characters: NDArray[np.uint8], ciphers: Ciphers, tweaks: NDArray[np.uint8] | bytes, *, inverse: bool
) -> NDArray[np.uint8]:
    """Rows of digits and letters to the same classes at the same places; all with as many letters."""
    letters = characters > NINE
    small = (characters & TO_SMALL) * letters
    if letters.any():
        values = np.where(letters, (characters & ~np.uint8(TO_SMALL)) - LARGE_A, characters & 0x0F)
        found = mixed.encipher(ciphers.binary, values, letters, tweaks, inverse=inverse)
    else:
        work = ciphers.decimal.decipher if inverse else ciphers.decimal.encipher
        found = work(characters & np.uint8(0x0F), tweaks)
    result: NDArray[np.uint8] = found + np.where(letters, np.uint8(LARGE_A), np.uint8(ZERO)) + small
    return result


def takes(digits: int, letters: int) -> bool:
    """Whether a body of so many digits and letters can be enciphered: a million values or more, bounded."""
    return mixed.fits(digits, letters) if letters else FEWEST_DIGITS <= digits <= MOST_DIGITS


def by_value(values: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each value that occurs, and where."""
    if not len(values):
        return
    if (values == values[0]).all():
        yield int(values[0]), np.arange(len(values))
        return
    order = np.argsort(values, kind="stable")
    found, first = np.unique(values[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, first[1:]), strict=True)


__all__ = [
    "CAPITAL",
    "DIGIT",
    "EXTENSION",
    "PLUS",
    "SMALL",
    "TWEAK_BYTES",
    "Ciphers",
    "Rows",
    "by_value",
    "encipher_characters",
    "encipher_digits",
    "table",
    "takes",
]
