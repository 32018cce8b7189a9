"""Lists of words that are held against the names of columns, compiled once.

An entry is `word` (one of the name's words, or two or three of them written together), `=word` (the whole
name), `word*` (one of its words begins so) or `*word*` (it stands anywhere in the name). Umlauts are
compared in both spellings: `ae` is `a`, `oe` is `o`, `ue` is `u`, and words also without a number at their
end (`telefono2`). Names are bounded, and so is the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from ringfort.catalog.words import fold, ordered_words, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGRAPHS = (("ae", "a"), ("oe", "o"), ("ue", "u"))
_DIGITS = "0123456789"


def plain(word: str) -> str:
    """A folded word with umlauts in one spelling."""
    for digraph, letter in _DIGRAPHS:
        word = word.replace(digraph, letter)
    return word


@dataclass(frozen=True)
class NameWords:
    """The words of a column's name: one by one, and two or three written together.

    `bare` are those one by one, without numbers at their ends.
    """

    single: tuple[str, ...]
    together: frozenset[str]
    joined: str
    bare: tuple[str, ...]


@lru_cache(maxsize=65_536)
def name_words(name: str) -> NameWords:
    """The words of `name`, in one spelling."""
    single = tuple(map(plain, tokens(name)))
    pairs = {left + right for left, right in pairwise(single)}
    triples = {"".join(single[at : at + 3]) for at in range(len(single) - 2)}
    joined = "".join(single)
    bare = tuple(word.rstrip(_DIGITS) or word for word in single)
    doubles = {left + right for left, right in pairwise(bare)}
    together = frozenset({*single, *bare, *pairs, *doubles, *triples, joined, joined.rstrip(_DIGITS)})
    return NameWords(single, together, joined, bare)


@dataclass(frozen=True)
class Patterns:
    """A compiled list."""

    words: frozenset[str]
    whole: frozenset[str]
    beginnings: tuple[str, ...]
    parts: tuple[str, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> Patterns:
        """Compile entries as they stand in a list."""
        words, whole, beginnings, parts = set(), set(), set(), set()
        for entry in entries:
            bare = plain(fold(entry.strip("=*")).replace(" ", ""))
            if entry.startswith("*"):
                parts.add(bare)
            elif entry.endswith("*"):
                beginnings.add(bare)
            elif entry.startswith("="):
                whole.add(bare)
            else:
                words.add(bare)
        kinds = (frozenset(words), frozenset(whole), tuple(sorted(beginnings)), tuple(sorted(parts)))
        return cls(*kinds)

    def match(self, name: NameWords) -> bool:
        """Whether a name has one of these words."""
        return (
            name.joined in self.whole
            or not self.words.isdisjoint(name.together)
            or (bool(self.beginnings) and any(map(self._begins, (*name.single, name.joined))))
            or any(part in name.joined for part in self.parts)
        )

    def _begins(self, word: str) -> bool:
        return word.startswith(self.beginnings)

    def match_word(self, word: str) -> bool:
        """Whether a single folded word is one of these."""
        word = plain(word)
        return word in self.words or word.startswith(self.beginnings)


@lru_cache
def listed(file_name: str, section: str) -> Patterns:
    """The entries of one section of a file of words."""
    return Patterns.of(ordered_words(file_name, section))
