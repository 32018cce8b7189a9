"""Whole columns of texts and numbers looked up among fingerprints of identifiers (see `fingerprint`).

Windows of one to eight adjacent words are cut out of all texts at once, hashed by one call for each number of
words, and searched by a bit map of first bits, then by the sorted 64-bit prefixes, then by all 128 bits.
Windows of words have the form that `folding.dropped` leaves: what it takes away is taken out of the texts
once, and the first letter of a window that begins with such a letter is put back.
Invariants: what is found in a text depends on that text alone; only row numbers, tags and kinds leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ringfort.privacy.cmac import Cmac
from ringfort.privacy.fingerprint import CHUNK, CODE_DIGITS, MAX_WORDS, MIN_CODE, MIN_DIGITS, cut
from ringfort.privacy.fingerprint_set import (
    CODES,
    DIGITS,
    HEAD,
    MAX_LENGTH,
    WORDS,
    derived_key,
    member,
    tags_of,
)
from ringfort.privacy.folding import dropped
from ringfort.privacy.inspection_text import Words, words
from ringfort.privacy.name_forms import without_asides

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ringfort.privacy.fingerprint_set import Fingerprints

    Ints = NDArray[np.int64]

_GAP_DIGITS, _GAP_CODES = 3, 2
_MAP_BITS = 22
_UUID_NODE = 12  # the last group of a UUID may be letters alone


@dataclass(frozen=True, eq=False)
class Matches:
    """What was looked up: row numbers, tags, and the kinds (into `Fingerprints.names`) of what matched.

    Where `group` is "", these are matches and nothing else. Else they are all values of the class and length
    that it names, -1 standing for no match, and `one_in` of arbitrary values one matches by chance.
    """

    group: str
    one_in: int
    rows: Ints
    tags: NDArray[np.uint64]
    kinds: Ints


class Matcher:
    """Looks whole columns of texts up in `Fingerprints`."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self.fingerprints = fingerprints
        key = fingerprints.key
        self._tags = [Cmac(derived_key(key, name)) for name in ("words", "digits", "codes")]
        self._head = Cmac(derived_key(key, "heads"))
        self._lengths = np.array(fingerprints.lengths, np.int64).reshape(3, -1) > 0
        self._longest = [int(np.flatnonzero(each).max(initial=0)) for each in self._lengths]
        self._near = _bitmap(fingerprints.high)
        self._near_heads = _bitmap(fingerprints.heads)

    def texts(self, texts: pa.Array) -> Iterator[Matches]:
        """Matches in plain texts (a string array without nulls); row numbers are positions in it."""
        if not len(self.fingerprints):
            return
        for start in range(0, len(texts), CHUNK):
            for each in self._texts(texts.slice(start, CHUNK)):
                yield Matches(each.group, each.one_in, each.rows + start, each.tags, each.kinds)

    def numbers(self, values: Ints) -> Iterator[Matches]:
        """Matches of whole numbers that are not negative; row numbers are positions in `values`."""
        least, most = 10 ** (MIN_DIGITS - 1), 10**18
        rows = (
            np.flatnonzero((values >= least) & (values < most))
            if self._longest[DIGITS]
            else np.empty(0, np.int64)
        )
        if len(rows):
            data, begins, sizes = cut(pa.array(values[rows]).cast(pa.string()))
            yield from self._looked_up(DIGITS, data, begins, sizes, rows, np.zeros(len(rows), np.bool_))

    def _texts(self, texts: pa.Array) -> Iterator[Matches]:
        found = words(texts)
        if not len(found):
            return
        last = _lasts(found.rows)
        sizes = np.diff(found.starts)
        if self._longest[WORDS]:
            yield from self._word_windows(_Forms(found), last)
            less = without_asides(found)
            if less is not None and len(less):
                yield from self._word_windows(_Forms(less), _lasts(less.rows))
        if self._longest[DIGITS]:
            follows = (found.digits == sizes) & (found.gaps <= _GAP_DIGITS)
            yield from self._windows(DIGITS, found, np.flatnonzero(found.digits == sizes), last, follows)
        if self._longest[CODES]:
            short = (found.digits > 0) | (sizes <= 4) | (sizes == _UUID_NODE)
            at = np.flatnonzero(short | (sizes >= MIN_CODE))
            yield from self._windows(CODES, found, at, last, short & (found.gaps <= _GAP_CODES))

    def _word_windows(self, forms: _Forms, last: Ints) -> Iterator[Matches]:
        """Runs of two words or more (one, for what needs no thought) that begin like an identifier."""
        at = np.flatnonzero(self._begins(forms, last))
        for count in range(1, MAX_WORDS + 1):
            end = at + count
            if count > 1 or self.fingerprints.sure:
                sizes = forms.sizes(at, end)
                fits = self._lengths[WORDS][np.minimum(sizes, MAX_LENGTH)] & (sizes <= MAX_LENGTH)
                rows = np.flatnonzero(fits)
                if len(rows):
                    chosen = at[rows]
                    data, offsets = forms.bytes(chosen, sizes[rows])
                    tags = tags_of(self._tags[WORDS], data, offsets[:-1], sizes[rows])
                    yield from self._certain(tags, forms.found.rows[chosen])
            at = at[(end < last[at]) & (forms.sizes(at, end) < self._longest[WORDS])]
            if not len(at):
                return

    def _begins(self, forms: _Forms, last: Ints) -> NDArray[np.bool_]:
        """Whether the letters from a word on are those with which an identifier begins."""
        prints = self.fingerprints
        found = np.zeros(len(forms.found), np.bool_)
        places = np.arange(len(found))
        left = forms.sizes(places, last)
        for size in prints.head_sizes:
            at = np.flatnonzero((left >= size) & ~found)
            # a head that is shorter than others is a whole identifier: it ends where a word does
            if size < HEAD:
                at = at[forms.ends_after(at, size)]
            if len(at):
                sizes = np.full(len(at), size, np.int64)
                data, offsets = forms.bytes(at, sizes)
                tags, _ = tags_of(self._head, data, offsets[:-1], sizes)
                likely = np.flatnonzero(self._near_heads[tags >> np.uint64(64 - _MAP_BITS)])
                found[at[likely[member(prints.heads, tags[likely])]]] = True
        return found

    def _certain(self, tags: tuple[NDArray[np.uint64], NDArray[np.uint64]], rows: Ints) -> Iterator[Matches]:
        """Matches of words, which need no thought about chance."""
        places = self._found(*tags)
        here = places >= 0
        if here.any():
            kinds = self.fingerprints.kinds[places[here]].astype(np.int64)
            yield Matches("", 0, rows[here], tags[0][here], kinds)

    def _windows(
        self, class_: int, found: Words, at: Ints, last: Ints, follows: NDArray[np.bool_]
    ) -> Iterator[Matches]:
        """Runs of 1 to `MAX_WORDS` words that begin at the words `at`; a word that `follows` may go on."""
        digits = np.concatenate([[0], np.cumsum(found.digits)])
        for count in range(1, MAX_WORDS + 1):
            end = at + count
            begins = found.starts[at]
            sizes = found.starts[end] - begins
            sure = found.plus[at]
            if class_ == DIGITS:  # 00 before a number is dialled, and not part of it
                zeros = (
                    (sizes > 2)
                    & (found.data[begins] == 0x30)
                    & (found.data[np.minimum(begins + 1, len(found.data) - 1)] == 0x30)
                )
                begins, sizes = begins + 2 * zeros, sizes - 2 * zeros
            fits = self._lengths[class_][np.minimum(sizes, MAX_LENGTH)] & (sizes <= self._longest[class_])
            if class_ == CODES:
                digit = digits[end] - digits[at]
                fits &= (digit >= CODE_DIGITS) & (digit < sizes)
            rows = np.flatnonzero(fits)
            if len(rows):
                yield from self._looked_up(
                    class_, found.data, begins[rows], sizes[rows], found.rows[at[rows]], sure[rows]
                )
            going = (end < last[at]) & (sizes < self._longest[class_])
            at = at[going]
            at = at[follows[at + count]]
            if not len(at):
                return

    def _looked_up(  # noqa: PLR0917 - columns of what is looked up
        self,
        class_: int,
        data: NDArray[np.uint8],
        begins: Ints,
        sizes: Ints,
        rows: Ints,
        sure: NDArray[np.bool_],
    ) -> Iterator[Matches]:
        prints = self.fingerprints
        fits = self._lengths[class_][np.minimum(sizes, MAX_LENGTH)] & (sizes <= MAX_LENGTH)
        begins, sizes, rows, sure = begins[fits], sizes[fits], rows[fits], sure[fits]
        high, low = tags_of(self._tags[class_], data, begins, sizes)
        places = self._found(high, low)
        kinds = np.where(places >= 0, prints.kinds[places].astype(np.int64), -1)
        certain = (kinds >= 0) & (sure | prints.sure)
        if certain.any():
            yield Matches("", 0, rows[certain], high[certain], kinds[certain])
        if prints.sure:
            return
        for length in np.unique(sizes[~sure]).tolist():
            chosen = (sizes == length) & ~sure
            group = f"{'digits' if class_ == DIGITS else 'codes'} {length}"
            yield Matches(group, prints.one_in(class_, length), rows[chosen], high[chosen], kinds[chosen])

    def _found(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> Ints:
        """The place of each 128-bit tag, -1 where there is none."""
        prints = self.fingerprints
        places = np.full(len(high), -1, np.int64)
        rows = np.flatnonzero(self._near[high >> np.uint64(64 - _MAP_BITS)])
        at = np.searchsorted(prints.high, high[rows])
        while len(rows):
            inside = at < len(prints.high)
            rows, at = rows[inside], at[inside]
            same = prints.high[at] == high[rows]
            rows, at = rows[same], at[same]
            right = prints.low[at] == low[rows]
            places[rows[right]] = at[right]
            rows, at = rows[~right], at[~right] + 1
        return places


class _Forms:
    """The words of texts in the form of names: `dropped` letters are out, but for the first of a window."""

    def __init__(self, found: Words) -> None:
        self.found = found
        out = dropped(found.data)
        out[found.starts[_firsts(found.rows)]] = False  # a text stands alone
        kept = np.zeros(len(out) + 1, np.int64)
        np.cumsum(~out, out=kept[1:])
        self._data = np.append(found.data[~out], np.uint8(0))
        self._starts = kept[found.starts]
        self._ends = np.zeros(len(self._data) + HEAD, np.bool_)
        self._ends[self._starts] = True
        self._back = np.append(out, False)[found.starts]
        self._first = np.append(found.data, np.uint8(0))[found.starts]

    def sizes(self, at: Ints, end: Ints) -> Ints:
        """The bytes of the words `at[i]` to `end[i]`."""
        sizes: Ints = self._starts[end] - self._starts[at] + self._back[at]
        return sizes

    def bytes(self, at: Ints, sizes: Ints) -> tuple[NDArray[np.uint8], Ints]:
        """So many bytes from these words on, one after the other, and where they are cut."""
        offsets = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        back = self._back[at]
        begins = self._starts[at] - back
        data = self._data[np.repeat(begins - offsets[:-1], sizes) + np.arange(offsets[-1])]
        data[offsets[:-1][back]] = self._first[at[back]]
        return data, offsets

    def ends_after(self, at: Ints, size: int) -> NDArray[np.bool_]:
        """Whether a word ends so many bytes after the beginning of each of these."""
        end = self._starts[at] - self._back[at] + size
        ends: NDArray[np.bool_] = self._ends[end]
        return ends


def _firsts(rows: Ints) -> Ints:
    """Where the words of each text begin."""
    new = np.ones(len(rows), np.bool_)
    new[1:] = rows[1:] != rows[:-1]
    return np.flatnonzero(new)


def _lasts(rows: Ints) -> Ints:
    """For each word where those of its text end."""
    firsts = np.append(_firsts(rows), len(rows))
    return np.repeat(firsts[1:], np.diff(firsts))


def _bitmap(tags: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which first bits occur: what is not in here needs no search."""
    near = np.zeros(1 << _MAP_BITS, np.bool_)
    near[tags >> np.uint64(64 - _MAP_BITS)] = True
    return near


__all__ = ["Matcher", "Matches"]
