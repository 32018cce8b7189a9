"""Small readings of parse tree nodes: names and constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfort.disclosure.statement_rules import Node

_TEXT_TYPES = (["text"], ["pg_catalog", "text"], ["varchar"], ["pg_catalog", "varchar"])


def words(parts: list[Node]) -> list[str]:
    """The texts of a list of String nodes."""
    return [part["String"]["sval"] for part in parts]


def plain(node: Node) -> Node:
    """The node without a cast to text around it; other casts could change the value, and stay."""
    cast = node.get("TypeCast")
    if cast is not None:
        target = cast["typeName"]
        if words(target["names"]) in _TEXT_TYPES and not target.keys() & {"typmods", "arrayBounds"}:
            inner: Node = cast["arg"]
            return inner
    return node


def literal(node: Node) -> str | None:
    """The text of a constant, cast to text or not; None for NULL, a parameter or anything else."""
    constant = plain(node).get("A_Const")
    if constant is None or constant.get("isnull"):
        return None
    if "boolval" in constant:
        return "on" if constant["boolval"].get("boolval") else "off"
    if "ival" in constant:
        return str(constant["ival"].get("ival", 0))
    for kind in ("sval", "fval", "bsval"):
        if kind in constant:
            return str(constant[kind].get(kind, ""))
    return None


__all__ = ["literal", "plain", "words"]
