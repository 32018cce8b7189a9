"""Which query an aggregate in a subquery belongs to: PostgreSQL decides by the columns that stand in it.

`(SELECT array_agg(p.name) FROM (SELECT 1 ORDER BY 1) s)` sums up the rows of the query around it if `p` is
there. So the subquery is neither grouped by it nor do its rows come in the order of `s`. Where that matters,
an aggregate counts as the subquery's own only if a column of it surely is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ringfort.disclosure.statement_constants import words
from ringfort.disclosure.statement_order_nodes import holds, is_star, objects
from ringfort.disclosure.statement_refusal import StatementRefusedError
from ringfort.disclosure.statement_rewrite import column_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_surface import Shown

Tables = dict[str, Any]
"""CTE -> its query and the CTEs that are visible in there; None where it is recursive."""

_DEEPEST: Final = 20
_MOST_COLUMNS: Final = 1_664  # that a row can have
_MOST_SOURCES: Final = 1_000  # that are looked at for one aggregate; what is behind them is not known
Around = tuple[tuple[Any, Tables], ...]
"""The queries around a subquery whose columns it may name, each with the CTEs that are visible in it."""


def surely_own(call: Node, select: Node, views: Mapping[int, Shown], tables: Tables, around: Around) -> bool:
    """Whether an aggregate that stands in a query is one of that query, and not of one around it."""
    inside = {key: value for key, value in call.items() if key not in {"over", "funcname"}}
    if not around or not holds(inside, frozenset({"ColumnRef"})):
        return True
    left = [_MOST_SOURCES]
    known = list(_offered(select, views, tables, left))
    sources = {each.name for each in known}
    outer = [each for query, within in around for each in _offered(query, views, within, left)]

    def is_own(name: str) -> bool:
        """A column of this query, or nothing around it has: columns there come before rows of this one."""
        if any(name in each.columns for each in known):
            return True
        if not all(each.complete and name not in each.columns for each in outer):
            return False
        return name in sources or all(name != each.name for each in outer)

    return any(names[-2] in sources if len(names) > 1 else is_own(names[0]) for names in _references(inside))


def check_own(
    calls: list[Node], select: Node, views: Mapping[int, Shown], tables: Tables, around: Around
) -> None:
    """Raise if one of the aggregates may belong to a query around this one."""
    if not all(surely_own(call, select, views, tables, around) for call in calls):
        raise StatementRefusedError(
            "an aggregate in a subquery that may be one of the query around it",
            hint="write its columns as `s.column`, with the alias of the subquery's own FROM",
            sqlstate="0A000",
        )


def scope(select: Node, tables: Tables) -> Tables:
    """The CTEs that are visible in a query: those around it, and its own."""
    clause = select.get("withClause")
    if clause is None:
        return tables
    named = [(node["CommonTableExpr"]["ctename"], node["CommonTableExpr"]) for node in clause["ctes"]]
    if clause.get("recursive"):
        return tables | dict.fromkeys(name for name, _ in named)
    for name, cte in named:
        tables = tables | {name: (cte["ctequery"]["SelectStmt"], tables)}
    return tables


def _references(value: Any) -> Iterator[list[str]]:  # noqa: ANN401 - JSON values
    """The columns in an expression, but for those in subqueries: these have a FROM of their own."""
    for each in objects(value, lambda node: "SubLink" in node):
        if "ColumnRef" in each:
            yield [part.get("String", {}).get("sval", "") for part in each["ColumnRef"]["fields"]]


@dataclass(frozen=True)
class _Offer:
    """A visible name of a FROM, and the columns that it surely has; `complete`: it has no others."""

    name: str
    columns: list[str]
    complete: bool


def _offered(
    select: Node, views: Mapping[int, Shown], tables: Tables, left: list[int], depth: int = 0
) -> Iterator[_Offer]:
    todo = list(select.get("fromClause", []))
    while todo:
        ((kind, fields),) = todo.pop().items()
        alias = fields.get("alias", {})
        if kind == "JoinExpr" and not alias:
            todo += [fields["larg"], fields["rarg"]]
            continue
        columns: list[str] = []
        complete = False
        query, within = fields.get("subquery", {}).get("SelectStmt"), tables
        if kind == "RangeVar" and id(fields) in views:
            columns, complete = list(views[id(fields)].columns), True
        elif kind == "RangeVar" and "schemaname" not in fields:
            query, within = tables.get(fields["relname"]) or (None, tables)
        left[0] -= 1
        if query is not None and depth < _DEEPEST and left[0] > 0:
            columns, complete = _selected(query, views, within, left, depth + 1)
        renamed = words(alias.get("colnames", []))
        name = alias.get("aliasname", fields.get("relname", ""))
        yield _Offer(name, renamed + columns[len(renamed) :], complete and "join_using_alias" not in fields)


def _selected(
    query: Node, views: Mapping[int, Shown], tables: Tables, left: list[int], depth: int
) -> tuple[list[str], bool]:
    """The names that a query selects, as far as they are sure, and whether these are all."""
    while "larg" in query:
        query = query["larg"]
    names: list[str] = []
    complete = "targetList" in query
    for target in (each["ResTarget"] for each in query.get("targetList", ())):
        if not complete:
            break
        name = target.get("name") or column_name(target["val"])
        if is_star(target):
            wanted = [part.get("String", {}).get("sval") for part in target["val"]["ColumnRef"]["fields"]]
            for each in _offered(query, views, scope(query, tables), left, depth):
                if wanted[:-1] in ([], [each.name]):
                    names += each.columns
                    complete = complete and each.complete and len(names) <= _MOST_COLUMNS
            complete = complete and len(wanted) < 3
        elif name:
            names.append(name)
        else:
            complete = False
    return (names, True) if complete and len(names) <= _MOST_COLUMNS else ([], False)


__all__ = ["Around", "Tables", "check_own", "scope", "surely_own"]
