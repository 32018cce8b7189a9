"""The words and the trees of a filled order: each expression as text to insert and as the tree it parses to.

`pg_catalog.*<` compares rows by the bytes of their values: it takes every type, raises on no value, and finds
equal only what a client cannot tell apart either (1.0 and 1.00 differ, as do -0 and 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ringfort.disclosure.statement_refusal import StatementRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ringfort.disclosure.statement_edits import Part
    from ringfort.disclosure.statement_rules import Node

WRAPPER: Final = "ringfort_rows"
_UNSORTABLE: Final = frozenset({"xid", "cid"})
_VARIES: Final = frozenset({"ColumnRef", "FuncCall", "SubLink"})


@dataclass(frozen=True)
class Expression:
    """What stands in a list: its text and its tree."""

    parts: tuple[Part, ...]
    node: Node


def string(value: str) -> Node:
    """A String node."""
    return {"String": {"sval": value}}


def quoted(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def column(*names: str) -> Expression:
    """A column, by its qualified name."""
    return Expression(
        (".".join(quoted(name) for name in names),),
        {"ColumnRef": {"fields": [string(name) for name in names]}},
    )


def star(name: str) -> Expression:
    """All columns of what is visible as `name`."""
    return Expression((f"{quoted(name)}.*",), {"ColumnRef": {"fields": [string(name), {"A_Star": {}}]}})


def number(value: int) -> Expression:
    """A position in a select list."""
    return Expression((str(value),), {"A_Const": {"ival": {"ival": value}}})


def by_value(expression: Expression) -> Expression:
    """A sort by the type's own order."""
    return Expression(
        expression.parts,
        {
            "SortBy": {
                "node": expression.node,
                "sortby_dir": "SORTBY_DEFAULT",
                "sortby_nulls": "SORTBY_NULLS_DEFAULT",
            }
        },
    )


def by_bytes(expressions: Sequence[Expression]) -> Expression:
    """A sort by the bytes of all these together."""
    row = {"RowExpr": {"args": [each.node for each in expressions], "row_format": "COERCE_EXPLICIT_CALL"}}
    return Expression(
        ("ROW(", *joined(expressions), ") USING OPERATOR(pg_catalog.*<)"),
        {
            "SortBy": {
                "node": row,
                "sortby_dir": "SORTBY_USING",
                "sortby_nulls": "SORTBY_NULLS_DEFAULT",
                "useOp": [string("pg_catalog"), string("*<")],
            }
        },
    )


def joined(expressions: Iterable[Expression]) -> list[Part]:
    """The texts of a list, with commas."""
    out: list[Part] = []
    for each in expressions:
        if out:
            out.append(", ")
        out += each.parts
    return out


def wrapped(inner: Node) -> Node:
    """SELECT * FROM (inner) AS ringfort_rows."""
    return {
        "targetList": [{"ResTarget": {"val": {"ColumnRef": {"fields": [{"A_Star": {}}]}}}}],
        "fromClause": [
            {"RangeSubselect": {"subquery": {"SelectStmt": inner}, "alias": {"aliasname": WRAPPER}}}
        ],
        "limitOption": "LIMIT_OPTION_DEFAULT",
        "op": "SETOP_NONE",
    }


def varies(node: Node) -> bool:
    """Whether an expression can differ from row to row; constants are also of types that do not compare."""
    return holds(node, _VARIES)


def objects(
    value: Any,  # noqa: ANN401 - JSON values
    closed: Callable[[Node], bool] = lambda _: False,
) -> Iterator[Node]:
    """The objects in a tree, each once; none that is `closed`, and nothing within such a one."""
    todo = [value]
    seen: set[int] = set()  # filled orders share their nodes: copies of copies would double with each level
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, list):
            todo += each
        elif isinstance(each, dict) and not closed(each):
            yield each
            todo += each.values()


def names_schemas(value: Any) -> bool:  # noqa: ANN401 - JSON values
    """Whether a column in there is named with a schema, so that its relation must be that one."""
    return any(len(each.get("ColumnRef", {}).get("fields", ())) > 2 for each in objects(value))


def names_row(value: Any, name: str, columns: Sequence[str]) -> bool:  # noqa: ANN401 - JSON values
    """Whether `name` may be named for its whole rows: alone, or as `name.*` within an expression."""
    for each in objects(value, _is_starred_item):
        fields = each.get("ColumnRef", {}).get("fields", ())
        if fields and fields[0].get("String", {}).get("sval") == name:
            whole = len(fields) == 1 and name not in columns
            if whole or (len(fields) == 2 and "A_Star" in fields[1]):
                return True
    return False


def _is_starred_item(node: Node) -> bool:
    return "val" in node.get("ResTarget", {}) and is_star(node["ResTarget"])


def holds_unsortable(value: Any) -> bool:  # noqa: ANN401 - JSON values
    """Whether a cast in there gives a type that DISTINCT takes and ORDER BY does not."""
    names = (each.get("TypeCast", {}).get("typeName", {}).get("names", [{}]) for each in objects(value))
    return any(each[-1].get("String", {}).get("sval") in _UNSORTABLE for each in names)


def is_star(target: Node) -> bool:
    """Whether an item of a select list is `*` or `name.*`."""
    fields = target["val"].get("ColumnRef", {}).get("fields", [])
    return bool(fields) and "A_Star" in fields[-1]


def unplaced(what: str, hint: str = "") -> StatementRefusedError:
    """A refusal of what would need an order that cannot be filled in."""
    return StatementRefusedError(
        f"an order that is missing here cannot be filled in: {what}",
        hint=hint or "order by the columns of the select list, and give expressions in GROUP BY in full",
        sqlstate="0A000",
    )


def holds(value: Any, kinds: frozenset[str]) -> bool:  # noqa: ANN401 - JSON values
    """Whether a node of one of these kinds stands anywhere in there."""
    return not all(kinds.isdisjoint(each) for each in objects(value))


__all__ = [
    "WRAPPER",
    "Expression",
    "by_bytes",
    "by_value",
    "column",
    "holds",
    "holds_unsortable",
    "is_star",
    "joined",
    "names_row",
    "names_schemas",
    "number",
    "objects",
    "quoted",
    "star",
    "string",
    "unplaced",
    "varies",
    "wrapped",
]
