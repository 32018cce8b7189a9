"""Tables of things that lead to nobody: goods, places, words of lists. There labels and numbers are harmless.

A table is one of things if its name consists of listed words (and of the word that most tables of the schema
begin with); `ringfort.catalog.scan` asks only for tables that do not lead to people
(`ringfort.catalog.about_people`). A table in which somebody is named in any way, a customer, a user, an
author, is none. In it nothing that was found to be personal by its values is touched, and free text and
what is not recognised stays as it is. Pure. ADR 0038.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ringfort.catalog.column_patterns import listed, name_words, plain
from ringfort.catalog.column_words import is_of_somebody, shared_prefix
from ringfort.catalog.detect_people import is_person_name
from ringfort.catalog.harmless import FILE, NUMERIC
from ringfort.catalog.special import special_name
from ringfort.catalog.words import singular, tokens

if TYPE_CHECKING:
    from collections.abc import Collection

    from ringfort.catalog.detect import Finding
    from ringfort.catalog.sample import SampledColumn, SampledTable

_NUMBERS = frozenset({"amount", "number", "category", "unknown", "code"})
_LABELS = frozenset({"category", "code", "unknown"})
_FEW_NAMES = 0.1
_PLURALS = ("s", "es", "n", "en", "e", "r", "i", "x", "k", "d", "t")
_STEM = 4


def is_of_things(table: SampledTable, tables: Collection[str]) -> bool:
    """Whether a table's name says things, and none of its columns' names says somebody."""
    prefix = shared_prefix(frozenset(tables))
    words = [word for word in tokens(table.name) if word not in prefix]
    if not words or any(is_of_somebody(each.name) for each in table.columns):
        return False
    return _is_thing("".join(words)) or all(map(_is_thing, words))


def _is_thing(word: str) -> bool:
    """Whether a word is listed, in the singular or with a plural's ending of the region's languages."""
    known = listed(FILE, "things").words
    word = plain(word)
    stems = (word.removesuffix(ending) for ending in _PLURALS if word.endswith(ending))
    return not known.isdisjoint(
        {word, plain(singular(word)), *(each for each in stems if len(each) >= _STEM)}
    )


class Things:
    """The rule for the columns of one table of things."""

    def protect(self, column: SampledColumn, finding: Finding) -> Finding:
        """`finding`, or that it is harmless where a table of things makes it so."""
        if (
            special_name(column.name)
            or finding.protection == "restricted"
            or finding.identifiability == "direct"
        ):
            return finding
        base = column.base_type
        if (
            finding.kind in {"date", "timestamp"}
            or base == "boolean"
            or (base in NUMERIC and finding.kind in _NUMBERS)
        ):
            return replace(finding, protection="interoperable", identifiability="none", unsure="")
        if finding.kind in _LABELS and _says_label(column.name) and not _could_be_people(column):
            return replace(
                finding, kind="category", protection="interoperable", identifiability="none", unsure=""
            )
        return finding


def _says_label(name: str) -> bool:
    return listed(FILE, "labels").match(name_words(name))


def _could_be_people(column: SampledColumn) -> bool:
    """Whether some of the values are names of people; a list of countries or of colours has few such."""
    values = [value for value, _ in column.counts[:300]]
    return sum(map(is_person_name, values)) > _FEW_NAMES * max(len(values), 1)


__all__ = ["Things", "is_of_things"]
