"""What a set of policies can tell apart, read from their text: so that equal questions are asked once.

A policy that only ever compares `resource.kind` with the text "key" cannot tell an e-mail address from a
phone number. Two values that no policy can tell apart get the same key here, and whatever Cedar answers for
one holds for the other.

Sound, not complete: only plain comparisons of an attribute with written texts (`==`, `!=`, and `contains` of
a written set) narrow an attribute down to those texts; any other use keeps all its values apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Distinctions:
    """Texts that attributes are compared with, attributes used otherwise, and entities named, by type."""

    compared: Mapping[str, frozenset[str]]
    free: frozenset[str]
    entities: Mapping[str, frozenset[str]]

    def attribute(self, name: str, value: str) -> str | None:
        """A key for `value` of the attribute `name`: None for all values that no policy can tell apart."""
        if name in self.free or value in self.compared.get(name, frozenset()):
            return value
        return None

    def entity(self, entity_type: str, entity_id: str) -> str | None:
        """A key for an entity: None for all of its type that no policy names."""
        return entity_id if entity_id in self.entities.get(entity_type, frozenset()) else None


def distinctions(trees: Sequence[object]) -> Distinctions:
    """What policies, given in Cedar's JSON form, can tell apart."""
    compared: dict[str, set[str]] = {}
    entities: dict[str, set[str]] = {}
    used: dict[str, int] = {}
    plain: dict[str, int] = {}
    for node in nodes(trees):
        if isinstance(node.get("attr"), str):
            used[node["attr"]] = used.get(node["attr"], 0) + 1
        if isinstance(node.get("type"), str) and isinstance(node.get("id"), str):
            entities.setdefault(node["type"], set()).add(node["id"])
        for attribute, texts in _plain_comparisons(node):
            plain[attribute] = plain.get(attribute, 0) + 1
            compared.setdefault(attribute, set()).update(texts)
    return Distinctions(
        compared={name: frozenset(texts) for name, texts in compared.items()},
        free=frozenset(name for name, count in used.items() if count != plain.get(name, 0)),
        entities={name: frozenset(ids) for name, ids in entities.items()},
    )


def nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Every object within a JSON value, outer before inner, in order."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(reversed(list(node.values())))
        elif isinstance(node, list | tuple):
            pending.extend(reversed(node))


def _plain_comparisons(node: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for operator in ("==", "!=", "contains"):
        sides = node.get(operator)
        if not isinstance(sides, dict) or set(sides) != {"left", "right"}:
            continue
        left, right = sides["left"], sides["right"]
        pairs = [(right, left)] if operator == "contains" else [(left, right), (right, left)]
        for access, written in pairs:
            attribute, texts = _attribute(access), _texts(written, of_set=operator == "contains")
            if attribute is not None and texts is not None:
                yield attribute, texts


def _attribute(node: object) -> str | None:
    """The attribute that a node reads from a variable, such as `resource.kind`."""
    access = node.get(".") if isinstance(node, dict) and len(node) == 1 else None
    if isinstance(access, dict) and set(access) == {"left", "attr"} and set(access["left"]) == {"Var"}:
        return str(access["attr"])
    return None


def _texts(node: object, *, of_set: bool) -> list[str] | None:
    if not isinstance(node, dict) or len(node) != 1:
        return None
    if of_set:
        members = node.get("Set")
        if not isinstance(members, list):
            return None
        found = [_texts(each, of_set=False) for each in members]
        return None if None in found else [text for each in found if each for text in each]
    value = node.get("Value")
    return [value] if isinstance(value, str) else None
