"""Functions called in the notation of a column, where that would leave an order open.

PostgreSQL reads `p.json_agg` as `json_agg(p)` if p has no such column: an aggregate that takes rows as they
come, in which nothing can be filled in. So a name of these functions behind a dot is allowed only where it
surely is a column: of a view that shows it, or of a subquery that selects it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ringfort.disclosure.function_list import TELLING_FUNCTIONS
from ringfort.disclosure.statement_constants import words
from ringfort.disclosure.statement_order_calls import ORDERED
from ringfort.disclosure.statement_refusal import StatementRefusedError
from ringfort.disclosure.statement_rewrite import column_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfort.disclosure.statement_order_levels import Tables
    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_surface import Shown

_NAMES: Final = ORDERED | TELLING_FUNCTIONS.keys()


def check_notation(select: Node, views: Mapping[int, Shown], tables: Tables) -> None:
    """Raise if a reference of this level of a query may be such a call. `tables` are the CTEs in scope."""
    todo: list[Any] = [value for key, value in select.items() if key not in {"withClause", "larg", "rarg"}]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            for kind, fields in value.items():
                if kind == "ColumnRef":
                    names = [part.get("String", {}).get("sval", "") for part in fields["fields"]]
                    if len(names) > 1 and names[-1] in _NAMES:
                        _check(select, names[-2], names[-1], views, tables)
                elif kind == "A_Indirection":
                    for part in fields["indirection"]:
                        if part.get("String", {}).get("sval") in _NAMES:
                            raise _refusal(part["String"]["sval"])
                if kind != "SelectStmt":
                    todo.append(fields)


def _check(select: Node, source: str, name: str, views: Mapping[int, Shown], tables: Tables) -> None:
    todo = list(select.get("fromClause", []))
    while todo:
        ((kind, fields),) = todo.pop().items()
        alias = fields.get("alias", {})
        if kind == "JoinExpr" and not alias:
            todo += [fields["larg"], fields["rarg"]]
        elif alias.get("aliasname", fields.get("relname", "")) == source:
            if "colnames" in alias:
                known = words(alias["colnames"])
            elif kind == "RangeVar" and id(fields) in views:
                known = list(views[id(fields)].columns)
            elif kind == "RangeVar" and "schemaname" not in fields:
                known = _selected((tables.get(fields["relname"]) or (None,))[0])
            else:
                known = _selected(fields.get("subquery", {}).get("SelectStmt"))
            if name in known:
                return
    raise _refusal(name)


def _selected(query: Node | None) -> list[str]:
    """The names that a query surely selects."""
    while query is not None and "larg" in query:
        query = query["larg"]
    targets = [each["ResTarget"] for each in (query or {}).get("targetList", ())]
    return [each.get("name") or column_name(each["val"]) for each in targets]


def _refusal(name: str) -> StatementRefusedError:
    return StatementRefusedError(
        f"`{name}` behind a dot, which PostgreSQL may read as the call of a function",
        hint=f"give the column another name, or write {name}(...)",
        sqlstate="0A000",
    )


__all__ = ["check_notation"]
