"""Queries that can be put in order only from outside: SELECT * FROM (query) AS ringfort_rows ORDER BY ...

For set operations and SELECT DISTINCT *, whose ORDER BY takes nothing but names and positions, order and
limit move outside. WITH TIES keeps its own, since a longer order would have other ties: what it is ordered by
is named once more outside, by position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ringfort.disclosure.statement_order_nodes import (
    WRAPPER,
    Expression,
    by_bytes,
    by_value,
    column,
    holds,
    is_star,
    joined,
    number,
    star,
    unplaced,
    wrapped,
)
from ringfort.disclosure.statement_rewrite import same_tree

if TYPE_CHECKING:
    from ringfort.disclosure.statement_edits import Edits
    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_spans import Spans

_SUBQUERIES: Final = frozenset({"SubLink"})
_DIRECTIONS: Final = {"SORTBY_ASC": " ASC", "SORTBY_DESC": " DESC", "SORTBY_DEFAULT": ""}
_NULLS: Final = {
    "SORTBY_NULLS_FIRST": " NULLS FIRST",
    "SORTBY_NULLS_LAST": " NULLS LAST",
    "SORTBY_NULLS_DEFAULT": "",
}


def wrap(select: Node, spans: Spans, edits: Edits) -> None:
    """Put a query into another one, which takes over its order and limit."""
    if not takes_order(select):
        raise unplaced("ORDER BY an expression beside DISTINCT *", "order by names of columns")
    outside = {"sortClause", "limitCount", "limitOffset", "limitOption"} & select.keys()
    limits = [select.get("limitCount"), select.get("limitOffset")]
    if "withClause" in select and holds(limits, _SUBQUERIES):
        raise unplaced("a subquery in LIMIT", "write the number")
    tokens = spans.tokens
    start, end = spans.region(_keyword(select, "larg", spans), _keyword(select, "rarg", spans))
    fill = by_bytes([star(WRAPPER)])
    behind = tokens.end(end - 1)
    edits.open(tokens.start(start), behind, "SELECT * FROM (")
    if "sortClause" in select:
        edits.behind(behind, f") AS {WRAPPER}")
        edits.behind(tokens.end(spans.order_end(end) - 1), ", ", *fill.parts)
    else:
        edits.behind(behind, f") AS {WRAPPER} ORDER BY ", *fill.parts)
    inner = {key: value for key, value in select.items() if key not in outside}
    inner["limitOption"] = "LIMIT_OPTION_DEFAULT"
    outer = wrapped(inner) | {key: select[key] for key in outside}
    outer["sortClause"] = [*select.get("sortClause", ()), fill.node]
    _become(select, outer)


def takes_order(select: Node) -> bool:
    """Whether what a query is ordered by holds outside of it, too: it is names and positions."""
    return all(_is_name_or_position(each["SortBy"]["node"]) for each in select.get("sortClause", ()))


def wrap_ties(select: Node, spans: Spans, edits: Edits) -> None:
    """Put a query WITH TIES into another one, which orders what it selects once more."""
    fill = by_bytes([star(WRAPPER)])
    order = [_outside(select, node["SortBy"]) for node in select.get("sortClause", ())]
    tokens = spans.tokens
    start, end = spans.region(_keyword(select, "larg", spans), _keyword(select, "rarg", spans))
    behind = tokens.end(spans.until(end, frozenset()) - 1)
    edits.open(tokens.start(start), behind, "SELECT * FROM (")
    edits.behind(behind, f") AS {WRAPPER} ORDER BY ", *joined([*order, fill]))
    outer = wrapped(dict(select))
    outer["sortClause"] = [*(each.node for each in order), fill.node]
    _become(select, outer)


def _keyword(select: Node, side: str, spans: Spans) -> int:
    """The first or last SELECT, TABLE or VALUES of a query, by `side`."""
    inner: Node | None = select
    while inner is not None:
        select = inner
        inner = select.get(side) or _wrapped(select)
    return spans.values_keyword(select) if "valuesLists" in select else spans.keyword(select)


def _wrapped(select: Node) -> Node | None:
    """What was put into a query that does not stand in the text."""
    targets, tables = select.get("targetList", ()), select.get("fromClause", ())
    if len(targets) != 1 or len(tables) != 1 or "location" in targets[0]["ResTarget"]:
        return None
    table = tables[0].get("RangeSubselect", {})
    if table.get("alias", {}).get("aliasname") != WRAPPER:
        return None
    query: Node = table["subquery"]["SelectStmt"]
    return query


def _outside(select: Node, item: Node) -> Expression:
    """A sort of the select list as a sort by position, which holds outside, too."""
    if item["sortby_dir"] in _DIRECTIONS and "larg" not in select:
        targets = [each["ResTarget"] for each in select.get("targetList", ())]
        position = _position(targets, item["node"])
        made = None
        if position and not any(map(is_star, targets[:position])):
            made = by_value(number(position))
        elif any(_is_whole(each) for each in targets):
            # all that a name alone can mean is selected, and outside it means that
            fields = item["node"].get("ColumnRef", {}).get("fields", [])
            if len(fields) == 1 and "String" in fields[0]:
                made = by_value(column(fields[0]["String"]["sval"]))
        if made is not None:
            words = _DIRECTIONS[item["sortby_dir"]] + _NULLS[item["sortby_nulls"]]
            node = {"SortBy": made.node["SortBy"] | {k: item[k] for k in ("sortby_dir", "sortby_nulls")}}
            return Expression((*made.parts, words), node)
    raise unplaced("WITH TIES ordered by what is not selected", "select what it is ordered by")


def _is_whole(target: Node) -> bool:
    """Whether an item of a select list is `*`."""
    return is_star(target) and len(target["val"]["ColumnRef"]["fields"]) == 1


def _position(targets: list[Node], node: Node) -> int:
    """Which item of the select list is sorted by, as the server looks it up: by number, name, expression."""
    constant = node.get("A_Const", {})
    if "ival" in constant:
        position: int = constant["ival"].get("ival", 0)
        return position if 0 < position <= len(targets) else 0
    fields = node.get("ColumnRef", {}).get("fields", [])
    if len(fields) == 1:
        name = fields[0].get("String", {}).get("sval")
        for at, target in enumerate(targets):
            if target.get("name") == name:
                return at + 1
    return next((at + 1 for at, each in enumerate(targets) if same_tree(each["val"], node)), 0)


def _is_name_or_position(node: Node) -> bool:
    return "ival" in node.get("A_Const", {}) or len(node.get("ColumnRef", {}).get("fields", ())) == 1


def _become(select: Node, outer: Node) -> None:
    select.clear()
    select.update(outer)


__all__ = ["takes_order", "wrap", "wrap_ties"]
