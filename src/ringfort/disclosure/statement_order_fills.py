"""What the rows of one query are put in order by, and where that stands in its text.

Rows of a FROM are told apart by all of its columns, groups by what they are grouped by, rows of a result by
all that is selected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ringfort.disclosure.statement_order_calls import is_grouped, selected
from ringfort.disclosure.statement_order_nodes import (
    Expression,
    by_bytes,
    column,
    holds,
    is_star,
    joined,
    unplaced,
    varies,
)
from ringfort.disclosure.statement_order_sources import Sources
from ringfort.disclosure.statement_rewrite import same_tree
from ringfort.disclosure.statement_spans import Spans

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfort.disclosure.statement_edits import Edits
    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_surface import Shown

_SUBQUERIES: Final = frozenset({"SubLink"})


class Fills:
    """The orders of the queries of one statement. `views` as `Orders` has them."""

    def __init__(self, views: Mapping[int, Shown], edits: Edits) -> None:
        self._views = views
        self._edits = edits
        self._spans = Spans(edits)
        self.literal_dependent = False

    def rows(self, select: Node) -> list[Expression]:
        """What the rows of FROM are sorted by."""
        sources = Sources(select, self._views)
        return [*sources.pseudonyms(), by_bytes(sources.rows())]

    def columns(self, select: Node) -> list[Expression]:
        """All columns of the one view that a query reads; none if it reads anything else."""
        sources = Sources(select, self._views).all
        if len(sources) != 1 or sources[0].view is None:
            return []
        return [column(sources[0].name, each) for each in sources[0].view.columns]

    def grouped_rows(self, select: Node) -> list[Expression] | None:
        """What the groups of a query are sorted by: that by which they are grouped. None for a single one."""
        nodes = select.get("groupClause")
        if nodes is None:
            return None
        texts = self._spans.group_items(self._spans.keyword(select))
        if len(texts) != len(nodes) or holds(nodes, frozenset({"GroupingSet"})):
            raise unplaced("a window over grouping sets")
        sources = Sources(select, self._views)
        items = [
            self._grouped_by(select, sources, Expression((text,), node))
            for text, node in zip(texts, nodes, strict=True)
        ]
        items = [each for each in items if varies(each.node)]
        return [by_bytes(items)] if items else None

    def _grouped_by(self, select: Node, sources: Sources, item: Expression) -> Expression:
        """An item of GROUP BY as an expression: it may be a position or an alias of the select list."""
        constant = item.node.get("A_Const", {})
        targets = [each["ResTarget"] for each in select["targetList"]]
        if "ival" in constant:
            self.literal_dependent = True
            position = constant["ival"].get("ival", 0)
            if not 0 < position <= len(targets) or any(map(is_star, targets[:position])):
                raise unplaced("GROUP BY a position")
            return Expression((self._spans.targets(select)[position - 1],), targets[position - 1]["val"])
        fields = item.node.get("ColumnRef", {}).get("fields", [])
        if len(fields) == 1:
            name = fields[0]["String"]["sval"]
            named = [at for at, each in enumerate(targets) if each.get("name") == name]
            if named and not same_tree(targets[named[0]]["val"], item.node):
                known = sources.has_column(name)
                if known is None:
                    raise unplaced("GROUP BY a name that may be a column or an alias")
                if not known:
                    return Expression((self._spans.targets(select)[named[0]],), targets[named[0]]["val"])
        return item

    def selected(self, select: Node) -> list[Expression]:
        """The order by all that a query selects."""
        targets = [each["ResTarget"] for each in select["targetList"]]
        sources = Sources(select, self._views)
        grouped = "groupClause" in select
        if holds(select["targetList"], _SUBQUERIES) and not is_grouped(select, selected(select)):
            fill = sources.sorted_by(sources.rows(), sources.pseudonyms())
            # DISTINCT ON comes before functions that return sets, unless these are sorted by
            return fill + self._calls_of(select) if any(select.get("distinctClause", ())) else fill
        texts = [] if targets[0].get("location", 0) < 0 else self._spans.targets(select)
        items: list[Expression] = []
        stars: list[Expression] = []
        for at, target in enumerate(targets):
            if is_star(target):
                fields = target["val"]["ColumnRef"]["fields"]
                if len(fields) == 1:
                    items += sources.rows()
                    stars += [] if grouped else sources.pseudonyms()
                else:
                    items.append(Expression((texts[at],), target["val"]))
                    stars += [] if grouped else sources.pseudonyms_of(fields)
                continue
            if varies(target["val"]):
                items.append(Expression((texts[at],), target["val"]))
        return sources.sorted_by(items, stars, targets)

    def _calls_of(self, select: Node) -> list[Expression]:
        """A sort by the items of a select list that call something."""
        targets = [each["ResTarget"] for each in select["targetList"]]
        items = [
            Expression((text,), target["val"])
            for text, target in zip(self._spans.targets(select), targets, strict=True)
            if holds(target["val"], frozenset({"FuncCall"}))
        ]
        return [by_bytes(items)] if items else []

    def append(self, select: Node, fill: list[Expression], *, arm: bool = False) -> None:
        """Put `fill` behind what a SELECT is ordered by already. `arm`: it is one of a set operation."""
        if not fill:
            return
        spans, tokens, edits = self._spans, self._spans.tokens, self._edits
        keyword = spans.keyword(select)
        end = spans.leaf_end(keyword)
        texts = joined(fill)
        if "sortClause" in select:
            edits.behind(tokens.end(spans.order_end(end) - 1), ", ", *texts)
        else:
            if arm:
                edits.open(tokens.start(keyword), tokens.end(end - 1), "(")
            edits.behind(tokens.end(end - 1), " ORDER BY ", *texts, ")" if arm else "")
        select["sortClause"] = [*select.get("sortClause", ()), *(each.node for each in fill)]


__all__ = ["Fills"]
