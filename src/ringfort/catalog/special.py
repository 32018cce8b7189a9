"""Special categories of personal data (GDPR articles 9 and 10), by names of columns and by values.

Coded values say nothing by themselves (`hiv_status` of 0 and 1): there the name decides. Where it says
nothing, values do: results of tests, religions, parties, codes of diseases and medicines. Pure and total.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ringfort.catalog.column_patterns import Patterns, listed, name_words
from ringfort.catalog.words import fold, ordered_words, word_lines, word_sections

if TYPE_CHECKING:
    from ringfort.catalog.sample import SampledColumn

SUBJECTS = {
    "health": "health",
    "ethnicity": "ethnic origin",
    "religion": "religion or belief",
    "politics": "political opinion",
    "union": "trade union membership",
    "genetic": "genetic data",
    "biometric": "biometric data",
    "sexuality": "sex life or orientation",
    "criminal": "convictions and offences",
    "need": "a person's need of protection",
}
_FILE, _VALUES = "special.txt", "special_values.txt"
_MOST, _SOME = 0.9, 0.2
_ICD_10 = re.compile(r"[A-TV-Z]\d[0-9AB](\.[0-9A-Z]{1,4})?")
_ATC = re.compile(r"[A-DGHJ-NPRSV]\d{2}[A-Z]{2}\d{2}")
_BLOOD_GROUP = re.compile(r"(a|b|ab|o|0)\s*(rh\s*)?([+-]|pos(itive?)?|neg(ative?)?)", re.IGNORECASE)


@lru_cache(maxsize=65_536)
def special_name(name: str) -> str:
    """What special category `name` says, "" if none."""
    words = name_words(name)
    return next((subject for subject, patterns in _names().items() if patterns.match(words)), "")


def is_patient(name: str) -> bool:
    """Whether a table's or column's name says patients."""
    return listed(_VALUES, "patients").match(name_words(name))


def says_of_patients(name: str) -> bool:
    """Whether a name is one of those generic words by which something is recorded of a patient: `value`."""
    return listed(_VALUES, "said of patients").match(name_words(name))


def special_values(column: SampledColumn) -> str:
    """What special category the sampled values say, "" if none."""
    values = {fold(value): count for value, count in column.counts}
    seen = sum(values.values())
    if not seen:
        return ""
    shares = {
        subject: sum(count for value, count in values.items() if value in listed) / seen
        for subject, listed in _listed().items()
    }
    if shares.pop("results") >= _MOST and not _plain_results().isdisjoint(values):
        return "health"
    for subject, share in shares.items():
        least = 2 if subject == "politics" else 1
        if share >= _MOST and len(values) > least:
            return subject
    if _by_shape(column):
        return "health"
    if _share_of_words(column, "medical words") >= _SOME:
        return "health"
    return "criminal" if _share_of_words(column, "crimes") >= _SOME else ""


def _by_shape(column: SampledColumn) -> bool:
    for pattern, least in ((_ICD_10, 3), (_ATC, 2), (_BLOOD_GROUP, 2)):
        found = [(value, count) for value, count in column.counts if pattern.fullmatch(value.strip())]
        if len(found) < least or sum(count for _, count in found) < _MOST * column.seen:
            continue
        if pattern is not _ICD_10 or any("." in value for value, _ in found) or _says_code(column.name):
            return True
    return False


def _says_code(name: str) -> bool:
    return name_words(name).joined in {"code", "codes", "dx", "dxcode", "icd", "kod", "cod", "koodi", "код"}


def _share_of_words(column: SampledColumn, section: str) -> float:
    """The part of the different values that hold one of a list's words."""
    patterns = listed(_VALUES, section)
    values = [value for value, _ in column.counts[:300]]
    return sum(any(map(patterns.match_word, fold(value).split())) for value in values) / max(len(values), 1)


@lru_cache
def _names() -> dict[str, Patterns]:
    compiled = {}
    for subject in word_sections(_FILE):
        words = [word for word in ordered_words(_FILE, subject) if not word.endswith(":")]
        compiled[subject] = Patterns.of(words)
    return compiled


@lru_cache
def _listed() -> dict[str, frozenset[str]]:
    sections = ("results", "religion", "sexuality", "politics", "ethnicity")
    return {section: frozenset(map(fold, word_lines(_VALUES, section))) for section in sections}


@lru_cache
def _plain_results() -> frozenset[str]:
    return frozenset(map(fold, word_lines(_VALUES, "plain results")))


__all__ = ["SUBJECTS", "is_patient", "says_of_patients", "special_name", "special_values"]
