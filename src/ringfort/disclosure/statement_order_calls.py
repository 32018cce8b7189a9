"""Orders inside of one query: of what aggregates take in, and of the rows that window functions number.

An aggregate whose result depends on the order of its input gets one: by its arguments, behind what the client
asked for. A window function that tells rows apart which its window's order does not gets all columns of the
rows behind that order, in its own OVER; those that tell only peers apart (rank and its kin) keep theirs. A
frame that ends with peers (the default one) would change with the order: what reads such a frame by position
is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ringfort.disclosure.function_list import AGGREGATES
from ringfort.disclosure.statement_constants import words
from ringfort.disclosure.statement_order_nodes import Expression, by_value, joined, varies
from ringfort.disclosure.statement_refusal import StatementRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringfort.disclosure.statement_edits import Edits, Part
    from ringfort.disclosure.statement_order_sources import Sources
    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_spans import Spans

ORDERED: Final = frozenset(
    {"array_agg", "string_agg"}
    | {f"{kind}_agg{strict}" for kind in ("json", "jsonb") for strict in ("", "_strict")}
    | {
        f"{kind}_object_agg{unique}{strict}"
        for kind in ("json", "jsonb")
        for unique in ("", "_unique")
        for strict in ("", "_strict")
    }
)
"""Aggregates whose result depends on the order of their input."""
ARBITRARY: Final = frozenset({"any_value"})
"""Aggregates that take whatever comes first, and no order."""
PEERS: Final = frozenset({"rank", "dense_rank", "percent_rank", "cume_dist"})
"""Window functions that give peers the same."""
NUMBERING: Final = frozenset({"row_number", "ntile", "lag", "lead"})
"""Window functions that look at the order and at no frame."""
FRAMED: Final = frozenset({"first_value", "last_value", "nth_value"})
"""Window functions that look at the order within a frame."""

_NONDEFAULT, _RANGE, _ROWS, _GROUPS, _BETWEEN = 0x1, 0x2, 0x4, 0x8, 0x10
_FROM_FIRST, _TO_LAST, _FROM_CURRENT, _TO_CURRENT = 0x20, 0x100, 0x200, 0x400
_EXCLUDE, _EXCLUDE_PEERS = 0x38000, 0x30000
_DEFAULT_FRAME: Final = _RANGE | _FROM_FIRST | _TO_CURRENT
_WHOLE: Final = _NONDEFAULT | _RANGE | _BETWEEN | _FROM_FIRST | _TO_LAST
_QUERIES: Final = frozenset({"subselect", "JsonArrayQueryConstructor"})
_WHOLE_TEXT: Final = " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"


def name_of(call: Node) -> str:
    """The function's name."""
    return words(call["funcname"])[-1]


def is_aggregate(call: Node) -> bool:
    """Whether a call sums its query's rows up."""
    return "over" not in call and name_of(call) in AGGREGATES


def is_grouped(select: Node, found: Sequence[Node]) -> bool:
    """Whether the rows of a query are groups, by its clauses or by the calls of its level."""
    return bool({"groupClause", "havingClause"} & select.keys()) or any(map(is_aggregate, found))


def selected(select: Node) -> list[Node]:
    """The calls of a select list, but for those in subqueries."""
    found: list[Node] = []
    todo: list[Any] = [select.get("targetList", [])]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            if "FuncCall" in value:
                found.append(value["FuncCall"])
            todo += [
                each for key, each in value.items() if key not in {"subselect", "JsonArrayQueryConstructor"}
            ]
    return found


def needs_order(call: Node) -> bool:
    """Whether the answer of an aggregate depends on the order of what it takes in."""
    return name_of(call) in ORDERED and "over" not in call


def fill_aggregate(call: Node, sources: Sources, spans: Spans, edits: Edits) -> None:
    """Give an aggregate its order: by its arguments. With DISTINCT it sorts by all of them in any case."""
    if call.get("agg_distinct"):
        return
    if call.get("func_variadic") or any("NamedArgExpr" in each for each in call.get("args", ())):
        raise StatementRefusedError(
            "an aggregate whose arguments cannot be put in order",
            hint="write its arguments by position, without VARIADIC",
            sqlstate="0A000",
        )
    opening, closing = spans.call(call)
    end = spans.until(opening + 1, frozenset({"order"}))
    first = opening + 1 + (spans.word(opening + 1) == "all")
    texts = spans.listed(first, end)
    values = [
        Expression((text,), node) for text, node in zip(texts, call["args"], strict=True) if varies(node)
    ]
    if not values:
        return
    fill = sources.sorted_by(values)
    ordered = "agg_order" in call
    edits.behind(spans.tokens.end(closing - 1), ", " if ordered else " ORDER BY ", *joined(fill))
    call["agg_order"] = [*call.get("agg_order", ()), *(each.node for each in fill)]


class Windows:
    """The windows of one query: their definitions, and what rows are put in order by."""

    def __init__(self, select: Node, rows: Sequence[Expression], spans: Spans, edits: Edits) -> None:
        self._named = {
            node["WindowDef"]["name"]: node["WindowDef"] for node in select.get("windowClause", ())
        }
        self._rows = rows
        self._spans = spans
        self._edits = edits

    def sorts(self, call: Node) -> bool:
        """Whether the window of a call has a partition or an order, so that its rows are sorted for it."""
        partition, order = self._clauses(call["over"])
        return bool(partition or order)

    def needs_order(self, call: Node) -> bool:
        """Whether what a call gives depends on the order of peers."""
        name = name_of(call)
        over = call["over"]
        used = over.get("name") or over.get("refname")
        if name in PEERS or (used and used not in self._named):
            return False
        if name in NUMBERING | FRAMED | ORDERED:
            return True
        return bool(self._frame(call["over"]) & _ROWS)

    def fill(self, call: Node) -> None:
        """Give the window of a call its order."""
        over = call["over"]
        partition, order = self._clauses(over)
        options = self._frame(over)
        framed = name_of(call) not in NUMBERING
        whole = False
        if framed and not order and not options & _ROWS:
            whole = True
            if options & _EXCLUDE:
                raise _unplaced(name_of(call))
        elif framed:
            self._check(name_of(call), options)
        fill = [by_value(each) for each in self._rows[:-1]] + [self._rows[-1]]
        frame = over if "name" not in over else self._definition(over["name"])
        self._write(over, whole=whole, framed=framed, fill=fill)
        filled = {key: value for key, value in over.items() if key not in {"name", "refname"}}
        if partition:
            filled["partitionClause"] = partition
        filled["orderClause"] = [*order, *(each.node for each in fill)]
        filled["frameOptions"] = _WHOLE if whole else options if framed else _DEFAULT_FRAME
        for key in ("startOffset", "endOffset"):
            filled.pop(key, None)
            if framed and not whole and key in frame:
                filled[key] = frame[key]
        over.clear()
        over.update(filled)

    @staticmethod
    def _check(name: str, options: int) -> None:
        """Refuse a frame that would be another with a complete order."""
        if options & _ROWS:
            if options & _EXCLUDE_PEERS:
                raise _unplaced(name)
            return
        first, last = bool(options & _FROM_FIRST), bool(options & _TO_LAST)
        fits = first and last
        if name == "first_value":
            fits = first and (last or bool(options & _TO_CURRENT))
        elif name == "last_value":
            fits = last and (first or bool(options & _FROM_CURRENT))
        if options & _EXCLUDE or not fits:
            raise _unplaced(name)

    def _definition(self, name: str) -> Node:
        """A window by its name; an empty one if there is none: then the server refuses the statement."""
        definition: Node = self._named.get(name, {})
        return definition

    def _clauses(self, over: Node) -> tuple[list[Node], list[Node]]:
        """Partition and order, those of the windows that it refers to included."""
        partition, order = over.get("partitionClause", []), over.get("orderClause", [])
        name = over.get("refname") or over.get("name")
        seen: set[str] = set()
        while name and name not in seen:
            seen.add(name)
            definition = self._definition(name)
            partition = partition or definition.get("partitionClause", [])
            order = order or definition.get("orderClause", [])
            name = definition.get("refname")
        return partition, order

    def _frame(self, over: Node) -> int:
        if "name" in over:
            over = self._definition(over["name"])
        options: int = over.get("frameOptions", _DEFAULT_FRAME)
        return options

    def _texts(self, name: str) -> dict[str, Part]:
        """The texts of a named window's partition and order, wherever they stand, and of its own frame."""
        out: dict[str, Part] = {}
        seen: set[str] = set()
        first = True
        while name and name not in seen:
            seen.add(name)
            definition = self._definition(name)
            parts = self._spans.window(definition)
            for key in ("partition", "order", "frame"):
                if key in parts and key not in out and (first or key != "frame"):
                    out[key] = self._spans.span(*parts[key])
            first = False
            name = definition.get("refname", "")
        return out

    def _write(self, over: Node, *, whole: bool, framed: bool, fill: list[Expression]) -> None:
        tokens, edits, spans = self._spans.tokens, self._edits, self._spans
        items = joined(fill)
        if "name" in over:
            texts = self._texts(over["name"])
            new: list[Part] = ["("]
            if "partition" in texts:
                new += ["PARTITION BY ", texts["partition"], " "]
            new.append("ORDER BY ")
            if "order" in texts:
                new += [texts["order"], ", "]
            new += items
            if whole:
                new.append(_WHOLE_TEXT)
            elif framed and "frame" in texts:
                new += [" ", texts["frame"]]
            at = tokens.at(over.get("location", 0))
            edits.replace(tokens.start(at), tokens.end(at), *new, ")")
            return
        parts = spans.window(over)
        texts = self._texts(over["refname"]) if "refname" in over else {}
        if "refname" in parts:
            at = parts["refname"][0]
            head: list[Part] = []
            if "partition" in texts:
                head += ["PARTITION BY ", texts["partition"], " "]
            if "order" in texts:
                head += ["ORDER BY ", texts["order"], ", ", *items, " "]
            edits.replace(tokens.start(at), tokens.end(at), *head)
        if "frame" in parts and (whole or not framed):
            edits.replace(*spans.span(*parts["frame"]))
        end = parts["frame"][0] if "frame" in parts else parts["end"][0]
        if "order" not in texts:
            edits.behind(tokens.end(end - 1), ", " if "order" in parts else " ORDER BY ", *items, " ")
        if whole:
            edits.behind(tokens.end(end - 1), _WHOLE_TEXT)


def _unplaced(name: str) -> StatementRefusedError:
    return StatementRefusedError(
        "a window frame that depends on the order of equal rows",
        hint=f"give `{name}` a frame of ROWS, or RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING, "
        "without EXCLUDE",
        sqlstate="0A000",
    )


__all__ = [
    "ARBITRARY",
    "FRAMED",
    "NUMBERING",
    "ORDERED",
    "PEERS",
    "Windows",
    "fill_aggregate",
    "is_aggregate",
    "is_grouped",
    "name_of",
    "needs_order",
    "selected",
]
