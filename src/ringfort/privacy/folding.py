r"""Letters folded so that one word has one form: a function of each character, and one of adjacent letters.

**`folded`**, a character at a time: compatibility decomposition (NFKD), case folding, no combining marks, no
format characters, no apostrophes (`APOSTROPHES`) and no other modifier letters (tatweel among them); letters
that Unicode does not decompose by `letters.txt`, which names its sources; decimal digits of every script as
ASCII, hyphens as one. What is no letter and no number then is a space. Two sequences come before: Catalan
`l·l` is `ll`, and the Armenian ligature `ew` and its capitals are one.

**`dropped`**, for names, addresses and e-mail addresses once their words stand together: `e` after `a`, `o`,
`u` (Müller, Mueller, Muller; Søren, Soeren; Æsir), `a` after `a` (Åse, Aase), `j` after `d` (Đorđe, Djordje)
and `a` after `m` (MacDonald, McDonald). It looks at the letter before and at nothing else, so where words are
divided makes no difference. It makes a few other names meet (Joel, Jol): that is the price.

Invariants: total; `folded` of a text depends on its characters alone.
Left out: transliteration from one script to another, letters that only look alike, Irish dots (ponc
séimhithe) against `h`, `ij` against `y`. Unicode: UAX 15, CaseFolding.txt, Unicode of the running Python.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]

APOSTROPHES = frozenset(
    "\u0027\u0060\u00b4\u0384\u055a\u055b\u055c\u055e\u05f3\u05f4\u07f4\u07f5\u1fbd\u1fbf\u1fef\u1ffd\u1ffe"
    "\u2018\u2019\u201a\u201b\u2032\u2035\ua78b\ua78c\uff07\uff40"
)
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")  # letters that nobody sees
_MODIFIERS = frozenset({"Lm", "Sk"})
SEQUENCES = (
    (r"([lL])[\x{00B7}\x{2027}\x{22C5}]([lL])", r"\1\2"),
    (r"[\x{013F}\x{0140}]", "l"),
    (r"[\x{0565}\x{0535}][\x{057E}\x{054E}]|\x{0587}", "\u0565\u0582"),
)
_LAST = 0x10FFFF
_BEFORE, _AFTER = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
for _bit, (_first, _then) in enumerate((("aou", "e"), ("am", "a"), ("d", "j"))):
    _BEFORE[[ord(each) for each in _first]] |= 1 << _bit
    _AFTER[ord(_then)] |= 1 << _bit


@cache
def _letters() -> dict[str, str]:
    text = resources.files("ringfort.privacy").joinpath("letters.txt").read_text(encoding="utf-8")
    lines = (each.partition(" ") for each in text.splitlines() if not each.startswith("#"))
    return {letter: instead for letter, _, instead in lines}


def folded_character(character: str) -> str:
    """What one character is folded to: letters and digits, a space, or nothing."""
    if character in APOSTROPHES or character in _FILLERS:
        return ""
    found = []
    for each in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold()):
        category = unicodedata.category(each)
        if category[0] == "M" or category == "Cf" or category in _MODIFIERS or each in APOSTROPHES:
            continue
        if category == "Nd":
            found.append(str(unicodedata.digit(each)))
        elif category[0] in "LN":
            found.append(_letters().get(each, each))
        elif category == "Pd":
            found.append("-")
        else:
            found.append(" ")
    # an accent that stands alone decomposes into a space and a mark
    return "" if found == [" "] and unicodedata.category(character) in _MODIFIERS else "".join(found)


class _Folder:
    """What characters are folded to, as columns; a character is looked at once."""

    def __init__(self) -> None:
        self._index = np.full(_LAST + 1, -1, np.int32)
        self._pool = bytearray()
        self._starts: list[int] = [0]

    def fold(self, data: Bytes, offsets: Ints) -> tuple[Bytes, Ints]:
        """Texts in UTF-8, cut at `offsets`, folded; and where they are cut then."""
        points = np.frombuffer(data.tobytes().decode("utf-8", "replace").encode("utf-32-le"), np.uint32)
        at = np.zeros(len(data) + 1, np.int64)
        np.cumsum((data & 0xC0) != 0x80, out=at[1:])
        ids = self._index[points]
        if len(ids) and ids.min() < 0:
            for each in np.unique(points[ids < 0]).tolist():
                self._pool += folded_character(chr(each)).encode()
                self._index[each] = len(self._starts) - 1
                self._starts.append(len(self._pool))
            ids = self._index[points]
        starts = np.array(self._starts, np.int64)
        sizes = np.diff(starts)[ids]
        ends = np.zeros(len(ids) + 1, np.int64)
        np.cumsum(sizes, out=ends[1:])
        source = np.repeat(starts[ids] - ends[:-1], sizes) + np.arange(ends[-1])
        return np.frombuffer(bytes(self._pool), np.uint8)[source], ends[at[offsets]]


@cache
def _folder() -> _Folder:
    return _Folder()


def folded(data: Bytes, offsets: Ints) -> tuple[Bytes, Ints]:
    """Texts in UTF-8 that lie one after the other, cut at `offsets` (from 0 on), folded likewise."""
    return _folder().fold(data, offsets)


def dropped(data: Bytes) -> NDArray[np.bool_]:
    """Which bytes of folded letters are not part of a name's form; the first of any run of them always is."""
    found = np.zeros(len(data), np.bool_)
    found[1:] = (_BEFORE.take(data[:-1]) & _AFTER.take(data[1:])) != 0
    return found


__all__ = ["APOSTROPHES", "SEQUENCES", "dropped", "folded", "folded_character"]
