"""Value tests: people's names, dates of birth, gender, age. Total functions."""

from __future__ import annotations

import re

from ringfort.catalog.words import fold, given_names, word_list

_NAME = re.compile(r"[^\W\d_][^\d_@/\\:;!?#%*+=<>|\[\]{}]{1,60}")
_YEAR = re.compile(r"(\d{4})(-\d{2}-\d{2})?")


def is_person_name(text: str) -> bool:
    """Whether `text` has the shape of a person's name and a common given name among its words."""
    value = text.strip()
    words = fold(value).split()
    if not 1 <= len(words) <= 5 or _NAME.fullmatch(value) is None:
        return False
    return not given_names().isdisjoint(words)


def could_be_name(text: str) -> bool:
    """Whether `text` has the shape of a name, of anybody from anywhere."""
    return 1 <= len(text.split()) <= 6 and not any(each.isdigit() for each in text) and "@" not in text


def birth_year(text: str) -> int | None:
    """The year of an ISO date or of a year alone, if somebody who lives may have been born in it."""
    found = _YEAR.match(text.strip())
    year = int(found[1]) if found else 0
    return year if 1900 <= year <= 2100 else None


def is_gender(text: str) -> bool:
    """Whether `text` is a word or letter for a gender or a salutation."""
    words = fold(text).split()
    return bool(words) and word_list("value_words.txt", "genders").issuperset(words)


def is_gender_code(text: str) -> bool:
    """Whether `text` is a number for a sex: 0, 1, 2, 9 (ISO/IEC 5218), or 3 for another."""
    return text.strip().removesuffix(".0") in {"0", "1", "2", "3", "9"}


def is_plain_gender(text: str) -> bool:
    """Whether `text` is one of the common two genders: what a column of genders has."""
    return fold(text) in word_list("value_words.txt", "plain genders")


def is_age(text: str) -> bool:
    """Whether `text` is a plausible age in whole years."""
    value = text.strip()
    return value.isascii() and value.isdigit() and int(value[:4]) <= 125
