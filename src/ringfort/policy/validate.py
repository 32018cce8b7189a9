"""Policies held against the words that exist: closed lists of values, country codes, the catalogue.

Cedar's own validation knows types, not values: to it, `resource.protection == "restrictd"` is a correct text
comparison, and the forbid that holds it would never fire. So every text that a policy compares with an
attribute of known values, and every dataset, table and column it names, is looked up here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ringfort.errors import ConfigurationError
from ringfort.policy.distinctions import nodes
from ringfort.policy.grant_rules import ACT_KINDS
from ringfort.policy.grant_rules import KINDS as GRANT_KINDS
from ringfort.policy.vocabulary import CLOSED_ATTRIBUTES, COUNTRY_ATTRIBUTES, entity_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ringfort.catalog.model import Catalogue
    from ringfort.policy.engine import Policy
    from ringfort.policy.settings import Purposes

ABOUT_COLUMNS = CLOSED_ATTRIBUTES | {"grants.kind": frozenset(GRANT_KINDS)}
ABOUT_GRANTS = {
    "kind": frozenset({*GRANT_KINDS, *ACT_KINDS, "transfer"}),
    "protection": CLOSED_ATTRIBUTES["protection"],
    "protections": CLOSED_ATTRIBUTES["protection"],
}
"""Attributes of a grant whose values form a closed list."""

_COMPARISONS = ("==", "!=", "contains", "containsAll", "containsAny")
_COUNTRY = re.compile(r"[A-Z]{2}")


def validate_literals(
    policies: Sequence[Policy],
    catalogue: Catalogue | None,
    folder: Path | None,
    closed: Mapping[str, frozenset[str]] = ABOUT_COLUMNS,
) -> list[ConfigurationError]:
    """Faults in the values that policies name; the catalogue's own names only if one is given.

    `closed`: attributes whose values form a closed list.
    """
    known = None if catalogue is None else _catalogue_names(catalogue)
    problems: list[ConfigurationError] = []
    for policy in policies:
        told: set[str] = set()
        for attribute, value in _compared(policy.tree):
            message = _value_fault(closed, attribute, value) or _name_fault(attribute, value, catalogue)
            if message and message[0] not in told:
                told.add(message[0])
                problems.append(_problem(policy, folder, json.dumps(value, ensure_ascii=False), *message))
        for kind, name in _entities(policy.tree):
            if known is None or kind not in known or name in known[kind] or name in told:
                continue
            told.add(name)
            near = sorted(known[kind])[:5]
            hint = f"catalogued: {', '.join(near)}" if near else "the catalogue is empty"
            what = f"the catalogue has no {kind.lower()} `{name}`"
            problems.append(
                _problem(policy, folder, f"{kind}::{json.dumps(name, ensure_ascii=False)}", what, hint)
            )
    return problems


def purpose_problems(
    policies: Sequence[Policy], purposes: Purposes, folder: Path | None
) -> list[ConfigurationError]:
    """Purposes that policies name and the closed list does not hold, or holds in another spelling."""
    problems: list[ConfigurationError] = []
    for policy in policies:
        for purpose in dict.fromkeys(_purposes(policy.tree)):
            fault = purposes.fault(purpose)
            if fault is not None:
                problems.append(_problem(policy, folder, json.dumps(purpose, ensure_ascii=False), *fault))
    return problems


def named_purposes(policies: Sequence[Policy]) -> tuple[str, ...]:
    """Every purpose that a policy names, sorted."""
    return tuple(sorted({each for policy in policies for each in _purposes(policy.tree) if each}))


def _purposes(tree: object) -> Iterator[str]:
    """Texts compared with a purpose, looked for among granted ones, or written in the record of a grant."""
    for attribute, value in _compared(tree):
        if attribute in {"purpose", "granted"}:
            yield value
    for node in nodes(tree):
        record = node.get("Record")
        if isinstance(record, dict):
            yield from _texts_of(record.get("purpose"))


def _value_fault(closed: Mapping[str, frozenset[str]], attribute: str, value: str) -> tuple[str, str] | None:
    known = closed.get(attribute)
    if known is not None and value not in known:
        return f"`{value}` is not a value of `{attribute}`", "known: " + ", ".join(sorted(known))
    if attribute in COUNTRY_ATTRIBUTES and not _COUNTRY.fullmatch(value):
        return f"`{value}` is not an ISO 3166-1 alpha-2 code", "for example IE; ZZ is the unproven country"
    return None


def _name_fault(attribute: str, value: str, catalogue: Catalogue | None) -> tuple[str, str] | None:
    if catalogue is None or attribute not in {"dataset", "table", "name"}:
        return None
    known = {
        "dataset": {dataset.name for dataset in catalogue.datasets},
        "table": {table.name for dataset in catalogue.datasets for table in dataset.tables},
        "name": {
            column.name
            for dataset in catalogue.datasets
            for table in dataset.tables
            for column in table.columns
        },
    }[attribute]
    if value in known:
        return None
    noun = "column" if attribute == "name" else attribute
    return f"the catalogue has no {noun} called `{value}`", "correct the name here or in catalog.toml"


def _catalogue_names(catalogue: Catalogue) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {"Dataset": set(), "Table": set(), "Column": set()}
    for dataset in catalogue.datasets:
        names["Dataset"].add(entity_name(dataset.name))
        for table in dataset.tables:
            names["Table"].add(entity_name(dataset.name, table.name))
            names["Column"].update(
                entity_name(dataset.name, table.name, column.name) for column in table.columns
            )
    return names


def _compared(tree: object) -> Iterator[tuple[str, str]]:
    """(attribute, text) for each text that is compared with an attribute."""
    for node in nodes(tree):
        for operator in _COMPARISONS:
            sides = node.get(operator)
            if isinstance(sides, dict) and {"left", "right"} <= set(sides):
                left, right = sides["left"], sides["right"]
                for one, other in ((left, right), (right, left)):
                    kind = _kind_of_record(other)
                    if kind and "grants" in _attributes_of(one):
                        yield "grants.kind", kind
                    for attribute in _attributes_of(one):
                        for value in _texts_of(other):
                            yield attribute, value


def _kind_of_record(node: object) -> str:
    """The text that a written record gives for `kind`, empty if none."""
    record = node.get("Record") if isinstance(node, dict) else None
    texts = _texts_of(record.get("kind")) if isinstance(record, dict) else []
    return texts[0] if texts else ""


def _attributes_of(node: object) -> list[str]:
    """The attribute that an operand reads, or those in a set of operands."""
    if isinstance(node, dict):
        access = node.get(".")
        if isinstance(access, dict) and isinstance(access.get("attr"), str):
            return [access["attr"]]
        if isinstance(node.get("Set"), list):
            return [name for each in node["Set"] for name in _attributes_of(each)]
    return []


def _texts_of(node: object) -> list[str]:
    if isinstance(node, dict):
        if isinstance(node.get("Value"), str):
            return [node["Value"]]
        if isinstance(node.get("Value"), list):
            return [each for each in node["Value"] if isinstance(each, str)]
        if isinstance(node.get("Set"), list):
            return [text for each in node["Set"] for text in _texts_of(each)]
    return []


def _entities(tree: object) -> Iterator[tuple[str, str]]:
    for node in nodes(tree):
        if isinstance(node.get("type"), str) and isinstance(node.get("id"), str):
            yield node["type"], node["id"]


def _problem(policy: Policy, folder: Path | None, needle: str, message: str, hint: str) -> ConfigurationError:
    source = policy.source
    path = Path(source.file) if folder is None else folder / source.file
    return ConfigurationError(
        f"policy `{policy.id}`: {message}", path=path, line=source.line_of(needle), hint=hint
    )
