"""Which tables lead to people, and the rule that holds in them: what is not recognised is protected.

A table leads to people if it has the data subject's key, refers to such a table, is referred to by the
table of the data subjects itself (what they are: a status, a department), is called like people or like a
special category, or holds direct identifiers. Where no data subject was found at all, every table may. In
such a table nothing is `none`, `interoperable` or `public` unless it is recognised as that
(`ringfort.catalog.harmless`), and in a table that is called like a special category nothing is. Where
people are patients, generic words (code, value, result) are about their health in every table that leads
to them. What is not recognised gets `protected` and `quasi`, which the shipped policies show to nobody raw
outside the region, and numbers that may be codes become categories, of which no band is told. Pure.
ADR 0033, 0038.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ringfort.catalog.column_words import is_table_of_people, shared_words, without
from ringfort.catalog.harmless import NUMERIC, is_harmless, is_trade
from ringfort.catalog.special import SUBJECTS, is_patient, says_of_patients, special_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from ringfort.catalog.detect import Finding
    from ringfort.catalog.sample import SampledColumn, SampledTable

_HEALTH = f"it says something of patients: {SUBJECTS['health']}"
_DOUBT = "it stands in a table about people and was not recognised as harmless"


def leads_to_people(
    tables: Sequence[SampledTable],
    findings: Mapping[tuple[str, str], Finding],
    references: AbstractSet[tuple[str, str]],
    subject: tuple[str, str] | None,
) -> frozenset[str]:
    """The names of the tables that lead to people; `references` are (table, table that it refers to)."""
    names = {each.name for each in tables}
    if subject is None:
        return frozenset(names)
    people = {subject[0], *filter(is_table_of_people, names), *filter(special_name, names)}
    found = set(people)
    while more := {source for source, target in references if target in found} - found:
        found |= more
    found |= {target for source, target in references if source in people}
    found |= {table for (table, _), finding in findings.items() if finding.identifiability == "direct"}
    found |= {
        each.name
        for each in tables
        if any(column.name == subject[1] for column in each.columns) and subject[1].casefold() != "id"
    }
    return frozenset(found)


def is_medical(tables: Sequence[SampledTable]) -> bool:
    """Whether people are patients here: something is called so, or a table is called like health."""
    return any(
        is_patient(table.name)
        or special_name(table.name) == "health"
        or any(is_patient(each.name) for each in table.columns)
        for table in tables
    )


class Protector:
    """The rule for the columns of one table about people; `medical`: they are patients."""

    def __init__(self, table: SampledTable, *, medical: bool = False) -> None:
        self._medical = medical
        self._shared = shared_words([each.name for each in table.columns])
        self._trade = is_trade(table.name, [each.name for each in table.columns])
        self._special = special_name(table.name)

    def protect(self, column: SampledColumn, finding: Finding) -> Finding:
        """`finding`, or a stricter one if it says `none` or `interoperable` of what is not recognised."""
        if finding.protection is None and finding.kind == "unknown" and column.base_type in NUMERIC:
            number = replace(
                finding, kind="number", protection="protected", identifiability="none", unsure=""
            )
            return number if self._is_harmless(column, number) else finding
        if finding.protection in {None, "restricted"}:
            return finding
        if self._special and finding.kind not in {"date", "timestamp", "country"}:
            why = f"it stands in a table about {SUBJECTS[self._special]}"
            return replace(finding, protection="restricted", identifiability="quasi", unsure=why)
        if self._medical and finding.identifiability != "direct" and says_of_patients(column.name):
            return replace(finding, protection="restricted", identifiability="quasi", unsure=_HEALTH)
        if finding.kind == "country":
            return replace(finding, protection="protected") if finding.unsure else finding
        if finding.identifiability != "none" and finding.protection == "protected":
            return finding
        if self._is_harmless(column, finding):
            return finding
        kind = finding.kind
        if kind in {"code", "flag"} or (kind in {"number", "amount"} and column.few_whole_numbers):
            kind = "category" if kind != "flag" else kind
        return replace(finding, kind=kind, protection="protected", identifiability="quasi", unsure=_DOUBT)

    def _is_harmless(self, column: SampledColumn, finding: Finding) -> bool:
        called = without(column.name, self._shared)
        return is_harmless(
            replace(column, name=called) if called != column.name else column, finding, trade=self._trade
        )


__all__ = ["Protector", "is_medical", "leads_to_people"]
