"""Words as the scan compares them: folded (no case, no accents), split at every boundary that people use.

The word lists are data files beside this module: `[section]`, then one name a line, or many a line.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib import resources

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")
_APOSTROPHES = re.compile("['`\\u2019\\u00b4]")
_NOT_DECOMPOSED = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "Ø": "O",
        "Æ": "AE",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "ð": "d",
        "æ": "ae",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "þ": "th",
    }
)


def fold(text: str) -> str:
    """`text` without case, accents and punctuation: its words with single spaces between."""
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text)).translate(_NOT_DECOMPOSED)
    return " ".join(
        _WORD.findall("".join(each for each in plain if not unicodedata.combining(each)).casefold())
    )


@lru_cache(maxsize=65_536)
def tokens(name: str) -> tuple[str, ...]:
    """The words of a column or table name: `CustomerID`, `customer_id` and `customer id` give the same."""
    return tuple(fold(_CAMEL.sub(" ", name)).split())


def singular(word: str) -> str:
    """A table's word as its key column would have it: `customers` -> `customer`, `people` -> `person`."""
    irregular = {"people": "person", "persons": "person", "children": "child", "addresses": "address"}
    if word in irregular:
        return irregular[word]
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if word.endswith(ending) and len(word) > max(len(ending) + 1, 3) and not word.endswith("ss"):
            return word[: -len(ending)] + instead
    return word


@lru_cache
def word_list(file_name: str, section: str) -> frozenset[str]:
    """The words of one section of a data file of this package, folded."""
    return frozenset(map(fold, ordered_words(file_name, section)))


def word_lists(file_name: str) -> dict[str, frozenset[str]]:
    """All sections of a data file, in its order."""
    return {section: word_list(file_name, section) for section in _sections(file_name)}


def ordered_words(file_name: str, section: str) -> list[str]:
    """The words of one section in their order."""
    return " ".join(_sections(file_name)[section]).split()


def word_lines(file_name: str, section: str) -> list[str]:
    """The lines of one section, each an entry of its own."""
    return list(_sections(file_name)[section])


def word_sections(file_name: str) -> tuple[str, ...]:
    """The sections of a data file, in its order."""
    return tuple(_sections(file_name))


@lru_cache
def countries() -> frozenset[str]:
    """Folded names of countries in many languages, and the ISO 3166-1 alpha-3 codes, which are as telling."""
    return frozenset(map(fold, _sections("countries.txt")["names"])) | word_list("countries.txt", "alpha-3")


def country_codes() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes (and `UK`, `EL`), folded."""
    return word_list("countries.txt", "alpha-2")


@lru_cache
def no_countries() -> frozenset[str]:
    """Folded words that stand where a country is not known or is none, such as `unspecified`."""
    return frozenset(map(fold, _sections("countries.txt")["unknown"]))


def given_names() -> frozenset[str]:
    """Folded given names."""
    return word_list("given_names.txt", "names")


@lru_cache
def _sections(file_name: str) -> dict[str, list[str]]:
    """The lines of each section, without comments and blanks."""
    text = resources.files("ringfort.catalog").joinpath("word_lists", file_name).read_text(encoding="utf-8")
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            sections[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            sections[next(reversed(sections))].append(line)
    return sections
