"""The usual writings of people's names: which words of a name stand together, and in which order. Columnar.

A name comes as one text, or as columns of one table joined in their order. Its words are folded
(`inspection_text.words`); titles (`TITLES`) are left out where two words remain, and particles (`PARTICLES`)
belong to the part after them: `Jan van der Berg` has two parts. Its forms, each written without anything
between the words:

- the whole, from any word on and around to it: `Smith, Mary`, `Berg, Jan van der`;
- two to four parts: any two or more of them in their order, from any of them on and around;
- five parts or more: any two in either order, and any three that stand side by side, from any on;
- where there are particles, the same without them.

So a middle name, a second surname or a maiden name may be there or not, and may stand in a third column. The
first two of three parts or more may be given names alone, which say little: whoever uses the forms tells by
how often a word comes first in a name, and how often last (`first_and_last`). Parts of one letter or of
digits are in the whole only. In texts titles and initials (with a full stop) between parts are passed over
(`without_asides`). Left out: initials in place of a name, nicknames, one part alone, words that stand in
another order than these; a name has its first eight words.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ringfort.privacy.inspection_text import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

MAX_WORDS = 8
_ALL_SELECTIONS = 4
TITLES = (
    "mr mrs ms miss mx sir dame lord lady madam dr drs prof professor doctor rev fr sr jr ii iii iv phd md"
    " esq herr frau dipl ing mag med dott dottore dottoressa sig signor signora signore ssa monsieur madame"
    " mademoiselle mme mlle don dona donna senor senora sra srta pan pani mgr bc judr mudr phdr rndr csc"
    " hr fru froken dhr mevr mevrouw mw meneer kyrios kyria bay hanim dl dna dra eng inz"
    " κυριος κυρια κ δρ г н пан пані д р господин госпожа гн гжа др"  # noqa: RUF001 - Greek and Cyrillic
)
ASIDES = "dr drs mr mrs ms prof ing dott mag dipl sig sra hr fru mgr mme"
PARTICLES = (
    "van von vom vanden vander der den de del della dello degli dei delle des du da das do dos di la las le"
    " les lo los li el al ad as ar ash ul bin ibn bint ben bar abu abd abdul te ten ter tot thoe zu zum zur"
    " af av y e i und och og ui ni nic o mac mc mhic fitz st saint san santa sao sainte ap ferch"
    " ال بن ابن بنت ابو عبد אל בן בת אבו דה די δε ντε του де ван фон ле ла дер"
)


class Forms(NamedTuple):
    """Forms of names: of which name each is (its number), the bytes, their offsets, whether it is whole.

    `second` is set for what may be two given names and no more: where the last word of its second part
    begins, and its size.
    """

    rows: Ints
    data: Bytes
    offsets: Ints
    whole: bool
    second: tuple[Ints, Ints] | None


def name_forms(found: Words) -> Iterator[Forms]:
    """The forms of folded names, some at a time; one may come twice where parts of a name are alike."""
    found = _kept(found, _without_titles(found) & (_place(found) < MAX_WORDS))
    if not len(found):
        return
    particle = _is_one_of(found, PARTICLES)
    last = np.append(found.rows[1:] != found.rows[:-1], True)
    joined = particle & ~last  # to the word after it
    begins = np.ones(len(found), np.bool_)
    begins[1:] = ~joined[:-1]
    sizes = np.diff(found.starts)
    small = begins & ~joined & ((sizes <= _letter(found)) | (found.digits == sizes))
    odd = np.zeros(int(found.rows[-1]) + 1, np.bool_)
    odd[found.rows[small | particle]] = True
    yield from _turned(_kept(found, odd[found.rows]))
    yield from _selected(found, np.flatnonzero(begins), small)
    bare = np.zeros_like(odd)
    bare[found.rows[joined]] = True
    if bare.any():
        without = _kept(found, bare[found.rows] & ~particle)
        yield from _selected(without, np.arange(len(without)), small[bare[found.rows] & ~particle])


def without_asides(found: Words) -> Words | None:
    """Texts with titles (`ASIDES`) or initials with a full stop, without them; None if there is none."""
    sizes = np.diff(found.starts)
    follows = np.zeros(len(found), np.bool_)
    follows[:-1] = (found.rows[1:] == found.rows[:-1]) & (found.gaps[1:] > 1)
    aside = (follows & (sizes <= _letter(found)) & (found.digits == 0)) | _is_one_of(found, ASIDES)
    if not aside.any():
        return None
    said = np.zeros(int(found.rows[-1]) + 1, np.bool_)
    said[found.rows[aside]] = True
    return _kept(found, said[found.rows] & ~aside)


def _letter(found: Words) -> Ints:
    """The bytes of the first letter of each word."""
    lead = found.data[found.starts[:-1]]
    return np.where(lead < 0x80, 1, np.where(lead < 0xE0, 2, 3))


def first_and_last(found: Words) -> tuple[Ints, Ints]:
    """The first and the last word of each name that has two words or more."""
    first, counts = _groups(found.rows)
    several = counts > 1
    return first[several], (first + counts - 1)[several]


def _turned(found: Words) -> Iterator[Forms]:
    """The whole of each name, from each of its words on."""
    first, counts = _groups(found.rows)
    for count in np.unique(counts[counts > 1]).tolist():
        places = first[counts == count][:, None] + np.arange(count)
        for at in range(count):
            yield _arranged(found, places, places + 1, (*range(at, count), *range(at)))


def _selected(found: Words, starts: Ints, small: Flags) -> Iterator[Forms]:
    """Selections of parts, which begin at the words `starts`; those that begin with a `small` one are out."""
    ends = np.append(starts[1:], len(found))
    keep = ~small[starts]
    starts, ends = starts[keep], ends[keep]
    first, counts = _groups(found.rows[starts])
    for count in np.unique(counts[counts > 1]).tolist():
        places = first[counts == count][:, None] + np.arange(count)
        for order in selections(count):
            yield _arranged(found, starts[places], ends[places], order)


@cache
def selections(count: int) -> tuple[tuple[int, ...], ...]:
    """The orders in which the parts of a name with so many are written."""
    chosen = (
        [each for size in range(3, count + 1) for each in combinations(range(count), size)]
        if count <= _ALL_SELECTIONS
        else [tuple(range(count)), *(tuple(range(at, at + 3)) for at in range(count - 2))]
    )
    turned = {(*each[at:], *each[:at]) for each in chosen for at in range(len(each))}
    return tuple(sorted({*permutations(range(count), 2), *turned}))


def _arranged(found: Words, starts: Ints, ends: Ints, order: tuple[int, ...]) -> Forms:
    """Names by their parts (words `starts[i, j]` to `ends[i, j]`), with the parts in this order."""
    doubtful = set(order) == {0, 1} and starts.shape[1] > 2
    if doubtful:  # two that a hyphen joins are one given name
        apart = ~found.hyphen[starts[:, 1]]
        starts, ends = starts[apart], ends[apart]
    chosen = np.array(order)
    begin, end = found.starts[starts[:, chosen]], found.starts[ends[:, chosen]]
    sizes = end - begin
    offsets = np.zeros(sizes.size + 1, np.int64)
    np.cumsum(sizes.reshape(-1), out=offsets[1:])
    source = np.repeat(begin.reshape(-1) - offsets[:-1], sizes.reshape(-1)) + np.arange(offsets[-1])
    at = order.index(1) if doubtful else 0
    second = None
    if doubtful:
        last = np.diff(found.starts)[ends[:, 1] - 1]
        second = offsets[at + 1 :: 2] - last, last
    whole = len(order) == starts.shape[1]
    return Forms(found.rows[starts[:, 0]], found.data[source], offsets[:: len(order)], whole, second)


def _groups(rows: Ints) -> tuple[Ints, Ints]:
    """Where each run of equal numbers begins, and how long it is."""
    if not len(rows):
        return rows, rows
    first = np.flatnonzero(np.append(True, rows[1:] != rows[:-1]))
    return first, np.diff(np.append(first, len(rows)))


def _place(found: Words) -> Ints:
    """The place of each word within its name, from 0 on."""
    first, counts = _groups(found.rows)
    return np.arange(len(found)) - np.repeat(first, counts)


def _without_titles(found: Words) -> Flags:
    """Which words are no titles, in names in which two words remain; every word of the others."""
    title = _is_one_of(found, TITLES)
    if not title.any():
        return ~title
    remaining = np.bincount(found.rows, weights=~title)
    return ~title | (remaining[found.rows] < 2)


def _kept(found: Words, flags: Flags) -> Words:
    """Only these words."""
    if flags.all():
        return found
    sizes = np.diff(found.starts)
    starts = np.zeros(int(flags.sum()) + 1, np.int64)
    np.cumsum(sizes[flags], out=starts[1:])
    return Words(
        found.data[np.repeat(flags, sizes)], starts, found.rows[flags], found.digits[flags],
        found.gaps[flags], found.plus[flags], found.hyphen[flags],
    )  # fmt: skip


def _is_one_of(found: Words, listed: str) -> Flags:
    """Whether each word is one of those listed, told by its size and first eight bytes."""
    heads, sizes = _listed(listed)
    size = np.diff(found.starts)
    padded = np.append(found.data, np.zeros(8, np.uint8))
    likely = np.flatnonzero(np.isin(size, sizes))
    begins = found.starts[likely]
    eight = padded[begins[:, None] + np.arange(8)]
    eight[np.arange(8) >= size[likely][:, None]] = 0
    flags = np.zeros(len(found), np.bool_)
    flags[likely] = np.isin(eight.view(np.uint64).reshape(-1) ^ _spread(size[likely]), heads)
    return flags


@cache
def _listed(listed: str) -> tuple[NDArray[np.uint64], Ints]:
    words = [each.encode() for each in listed.split()]
    sizes = np.array([len(each) for each in words], np.int64)
    heads = np.frombuffer(b"".join(each[:8].ljust(8, b"\0") for each in words), np.uint64)
    return heads ^ _spread(sizes), np.unique(sizes)


def _spread(sizes: Ints) -> NDArray[np.uint64]:
    return sizes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


__all__ = [
    "MAX_WORDS",
    "PARTICLES",
    "TITLES",
    "Forms",
    "first_and_last",
    "name_forms",
    "selections",
    "without_asides",
]
