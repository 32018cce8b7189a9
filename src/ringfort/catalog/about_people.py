"""Which tables lead to people, and the rule that holds in them: what is not recognised is protected.

A table leads to people if it has the data subject's key, refers to such a table, is referred to by the
table of the data subjects itself (what they are: a status, a department), is called like people, or holds
direct identifiers. Where no data subject was found at all, every table may. In such a table nothing is
`none`, `interoperable` or `public` unless it is recognised as that (`ringfort.catalog.harmless`), and in a
table that is called like a special category nothing is. What is not gets `protected` and `quasi`, which the
shipped policies show to nobody raw outside the region, and numbers that may be codes become categories, of
which no band is told. Pure. ADR 0033.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ringfort.catalog.column_words import is_table_of_people
from ringfort.catalog.harmless import is_harmless, is_trade
from ringfort.catalog.special import SUBJECTS, special_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from ringfort.catalog.detect import Finding
    from ringfort.catalog.sample import SampledColumn, SampledTable

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
    people = {subject[0], *filter(is_table_of_people, names)}
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


class Protector:
    """The rule for the columns of one table about people."""

    def __init__(self, table: SampledTable) -> None:
        self._trade = is_trade(table.name, [each.name for each in table.columns])
        self._special = special_name(table.name)

    def protect(self, column: SampledColumn, finding: Finding) -> Finding:
        """`finding`, or a stricter one if it says `none` or `interoperable` of what is not recognised."""
        if finding.protection in {None, "restricted"}:
            return finding
        if self._special and finding.kind not in {"date", "timestamp", "country"}:
            why = f"it stands in a table about {SUBJECTS[self._special]}"
            return replace(finding, protection="restricted", identifiability="quasi", unsure=why)
        if finding.kind == "country":
            return replace(finding, protection="protected") if finding.unsure else finding
        if finding.identifiability != "none" and finding.protection == "protected":
            return finding
        if is_harmless(column, finding, trade=self._trade):
            return finding
        kind = finding.kind
        if kind in {"code", "flag"} or (kind in {"number", "amount"} and column.few_whole_numbers):
            kind = "category" if kind != "flag" else kind
        return replace(finding, kind=kind, protection="protected", identifiability="quasi", unsure=_DOUBT)


__all__ = ["Protector", "leads_to_people"]
