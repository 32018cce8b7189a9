"""The missing orders of a statement, filled in: an answer that does not depend on where rows lie.

The nth row of a table is the same person in every profile, so an order that nobody asked for joins what
pseudonyms keep apart. Wherever an answer depends on the order in which rows come, that order is filled in: in
the outermost result (of a cursor, PREPARE and COPY, too), in a subquery with LIMIT, OFFSET or DISTINCT ON, in
ARRAY(SELECT ...), in aggregates that keep an order, in windows that number rows. Given orders stay and are
completed behind. What is filled in: pseudonyms first, then the bytes of all that is selected
(`pg_catalog.*<`): rows that are equal in those cannot be told apart. For windows, and where the select list
holds subqueries, all columns of FROM.

| the query                                   | becomes                                                      |
|---------------------------------------------|--------------------------------------------------------------|
| SELECT a, b FROM t ... [ORDER BY a]         | ... ORDER BY [a,] ROW(a, b) USING OPERATOR(pg_catalog.*<)    |
| SELECT DISTINCT a, b ...                    | ... ORDER BY ..., 1, 2: no two rows are equal in these       |
| q UNION ALL r, SELECT DISTINCT *, WITH TIES | SELECT * FROM (q UNION ALL r) AS ringfort_rows ORDER BY ...  |
| array_agg(x)                                | array_agg(x ORDER BY ROW(x) USING OPERATOR(pg_catalog.*<))   |
| row_number() OVER w                         | row_number() OVER (PARTITION BY ... ORDER BY ..., ROW(t.*))  |
| SELECT * FROM (SELECT ... ORDER BY a) AS s  | the inner order is completed; the outer query takes it over  |
| SELECT a FROM t [WHERE ...] LIMIT n         | SELECT a FROM rf_..._ordered.t ... LIMIT n (views.py)        |

Functions that tell in which turn a row was read are refused (telling_functions.txt), and so is what cannot be
placed. Statements that read no view, or only views whose stored order the policy accepts, stay as they are.

Invariants: the caller parses the new text and compares it with the tree that was changed here, so what was
placed wrongly is refused and never sent. What depends on a literal sets `literal_dependent`. Left out: sums
of floating point numbers, whose last digits depend on the order; which of several spellings of equal values
(1.0 and 1.00) stands for a group. ADR 0021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ringfort.disclosure import statement_order_calls as calls
from ringfort.disclosure.function_list import TELLING_FUNCTIONS
from ringfort.disclosure.statement_order_fills import Fills
from ringfort.disclosure.statement_order_levels import Around, Tables, check_own, scope
from ringfort.disclosure.statement_order_nodes import (
    Expression,
    by_value,
    holds,
    holds_unsortable,
    is_star,
    names_row,
    names_schemas,
    number,
    quoted,
    unplaced,
)
from ringfort.disclosure.statement_order_notation import check_notation
from ringfort.disclosure.statement_order_sources import Sources
from ringfort.disclosure.statement_order_wrap import takes_order, wrap, wrap_ties
from ringfort.disclosure.statement_refusal import StatementRefusedError
from ringfort.disclosure.statement_spans import Spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ringfort.disclosure.statement_edits import Edits
    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_surface import Shown

_TIES: Final = "LIMIT_OPTION_WITH_TIES"
_SUBQUERIES: Final = frozenset({"SubLink"})
_OWN_ORDER: Final = frozenset(
    {"sortClause", "groupClause", "havingClause", "distinctClause", "windowClause", "larg"}
)
_CONSTRUCTORS: Final = frozenset({"JsonArrayAgg", "JsonObjectAgg"})


class Orders:
    """Fills the orders of one statement: changes its tree, and notes the edits of its text.

    `views`: the relations of the statement that are views of the surface, by identity of their nodes' fields.
    """

    def __init__(self, views: Mapping[int, Shown], edits: Edits) -> None:
        self._views = views
        self._edits = edits
        self._spans = Spans(edits)
        self._fills = Fills(views, edits)
        self._filled: set[int] = set()
        self._arms: set[int] = set()
        self._nested: set[int] = set()  # queries that are asked anew for each row of another
        self._around: dict[int, Around] = {}
        self._literal_dependent = False

    @property
    def literal_dependent(self) -> bool:
        """Whether what was filled in depends on a literal."""
        return self._literal_dependent or self._fills.literal_dependent

    def fill(self, tree: Node) -> None:
        """Fill the orders of a statement of the allow-list."""
        ((kind, fields),) = tree.items()
        query = fields if kind == "SelectStmt" else fields.get("query", {}).get("SelectStmt")
        if query is None:
            raise unplaced("this kind of statement")
        found = self._read(query, {})
        single = "groupClause" not in query and (
            "havingClause" in query or any(calls.is_aggregate(call) for call in found)
        )
        if not single and not self._takes_over(query, {}):
            self._order(query)

    # -- reading -----------------------------------------------------------------------------------------

    def _read(self, select: Node, tables: Tables) -> list[Node]:
        """Fill all that stands inside of a query, but for its own order; the calls of its own level."""
        tables = self._with(select, tables)
        check_notation(select, self._views, tables)
        for arm in self._arms_of(select):
            self._arms.add(id(arm))
            self._nest(select, arm)
            self._inside(arm, self._read(arm, tables), tables)
        found: list[Node] = []
        for subquery, ordered in self._level(select, found):
            anew = id(subquery) in self._nested
            self._nest(select, subquery)
            if anew:
                self._around[id(subquery)] += ((select, tables),)
            inner = self._read(subquery, tables)
            self._inside(subquery, inner, tables, ordered=ordered)
        self._calls(select, found, tables)
        return found

    def _inside(self, select: Node, found: list[Node], tables: Tables, *, ordered: bool = False) -> None:
        """The order of a subquery, if anything depends on it."""
        del found
        limited = "limitCount" in select or "limitOffset" in select or any(select.get("distinctClause", [{}]))
        if (limited or ordered) and not self._takes_over(select, tables):
            self._order(select, visible=ordered)

    def _with(self, select: Node, tables: Tables) -> Tables:
        """Fill what stands in the CTEs of a query; all that are visible in it."""
        visible = scope(select, tables)
        for node in select.get("withClause", {}).get("ctes", ()):
            query = node["CommonTableExpr"]["ctequery"]["SelectStmt"]
            found = visible[node["CommonTableExpr"]["ctename"]]
            within = visible if found is None else found[1]
            self._nest(select, query)
            self._inside(query, self._read(query, within), within)
        return visible

    def _nest(self, select: Node, inner: Node) -> None:
        """What stands in a query that is asked anew is asked anew, too."""
        if id(select) in self._nested:
            self._nested.add(id(inner))
        self._around[id(inner)] = self._around.get(id(select), ())

    def _arms_of(self, select: Node) -> list[Node]:
        """The arms of a set operation, those of arms without a clause of their own included."""
        out: list[Node] = []
        todo = [select[side] for side in ("rarg", "larg") if side in select]
        while todo:
            arm = todo.pop()
            plain = not arm.keys() & {"sortClause", "limitCount", "limitOffset", "withClause"}
            if plain and "larg" in arm:
                todo += [arm["rarg"], arm["larg"]]
            else:
                out.append(arm)
        return out

    def _level(self, select: Node, found: list[Node]) -> Iterator[tuple[Node, bool]]:
        """The subqueries that stand in a query, and whether their order shows; its calls go to `found`."""
        todo: list[Any] = [
            value for key, value in select.items() if key not in {"withClause", "larg", "rarg"}
        ]
        while todo:
            value = todo.pop()
            if isinstance(value, list):
                todo += value
                continue
            if not isinstance(value, dict):
                continue
            if not _CONSTRUCTORS.isdisjoint(value):
                raise StatementRefusedError(
                    "JSON_ARRAYAGG and JSON_OBJECTAGG are not available where orders are filled in",
                    hint="use json_agg or json_object_agg",
                    sqlstate="0A000",
                )
            link = value.get("SubLink")
            if link is not None:
                kind = link["subLinkType"]
                todo += [link[key] for key in ("testexpr",) if key in link]
                query = link["subselect"]["SelectStmt"]
                self._nested.add(id(query))
                if kind == "EXISTS_SUBLINK":
                    self._filled.add(id(query))  # whether there are rows depends on no order
                yield query, kind == "ARRAY_SUBLINK"
                continue
            constructor = value.get("JsonArrayQueryConstructor")
            if constructor is not None:
                query = constructor["query"]["SelectStmt"]
                self._nested.add(id(query))
                yield query, True
                continue
            table = value.get("RangeSubselect")
            if table is not None:
                query = table["subquery"]["SelectStmt"]
                if "lateral" in table:
                    self._nested.add(id(query))
                yield query, False
                continue
            call = value.get("FuncCall")
            if call is not None:
                self._check(call)
                found.append(call)
            todo += value.values()

    @staticmethod
    def _check(call: Node) -> None:
        name = calls.name_of(call)
        hint = TELLING_FUNCTIONS.get(name)
        if hint is not None:
            raise StatementRefusedError(
                f"`{name}` tells in which turn rows are read or how they are stored",
                hint=hint,
                sqlstate="0A000",
            )

    # -- aggregates and windows --------------------------------------------------------------------------

    def _calls(self, select: Node, found: list[Node], tables: Tables) -> None:
        windowed = [call for call in found if "over" in call]
        unordered = [call for call in found if calls.needs_order(call)]
        if not windowed and not unordered:
            return
        edits, spans = self._edits, self._spans
        source = self._source(select, tables)
        if source is not None and "groupClause" not in select:
            sorting = [
                call for call in found if "over" not in call and {"agg_order", "agg_distinct"} & call.keys()
            ]
            plain = calls.Windows(select, (), spans, edits)
            if not sorting and not any(plain.sorts(call) for call in windowed):
                self._check_own(select, found, tables)
                self._order(source[0], visible=True)
                return
        for call in unordered:
            calls.fill_aggregate(call, Sources(select, self._views), spans, edits)
        if windowed and "fromClause" in select:
            windows: calls.Windows | None = calls.Windows(select, (), spans, edits)
            needing = [call for call in windowed if windows.needs_order(call)]  # type: ignore[union-attr]
            if not needing:
                return
            if not {"groupClause", "havingClause"} & select.keys():
                self._check_own(select, found, tables)
            grouped = calls.is_grouped(select, found)
            rows = self._fills.grouped_rows(select) if grouped else self._fills.rows(select)
            if rows is None:
                return
            windows = calls.Windows(select, rows, spans, edits)
            for call in needing:
                windows.fill(call)

    def _check_own(self, select: Node, found: list[Node], tables: Tables) -> None:
        """Raise if what an aggregate sums up may be the rows of a query around this one."""
        around = self._around.get(id(select), ())
        check_own([call for call in found if calls.is_aggregate(call)], select, self._views, tables, around)

    # -- orders that are taken over ----------------------------------------------------------------------

    def _source(self, select: Node, tables: Tables) -> tuple[Node, Tables] | None:
        """The ordered subquery that a query reads and nothing else, so that its rows come in that order.

        With the CTEs that are visible in there: a name may mean another one, or a view.
        """
        items = select.get("fromClause", [])
        if len(items) != 1 or holds(select.get("whereClause"), _SUBQUERIES):
            return None
        inner = items[0].get("RangeSubselect", {}).get("subquery", {}).get("SelectStmt")
        relation = items[0].get("RangeVar")
        within = tables
        if relation is not None and "schemaname" not in relation:
            inner, within = tables.get(relation["relname"]) or (None, tables)
        if inner is None or not ("sortClause" in inner or self._takes_over(inner, within)):
            return None
        return inner, within

    def _takes_over(self, select: Node, tables: Tables) -> bool:
        """Whether the rows of a query come in the order of the one that it reads, which is then completed."""
        if _OWN_ORDER & select.keys():
            return False
        source = self._source(select, scope(select, tables))
        if source is None:
            return False
        if any("over" in call or calls.is_aggregate(call) for call in calls.selected(select)):
            return False
        self._order(source[0], visible=True)
        return True

    # -- filling -----------------------------------------------------------------------------------------

    def _order(self, select: Node, *, visible: bool = True) -> None:
        """Complete the order of a query. `visible`: its rows are seen in it, not only chosen by it."""
        ties = select.get("limitOption") == _TIES
        if id(select) in self._filled:
            return
        if not ties or visible:  # what is chosen WITH TIES depends on no order; what is seen later may
            self._filled.add(id(select))
        if ties and ("limitOffset" in select or any(select.get("distinctClause", ()))):
            raise StatementRefusedError(
                "WITH TIES beside OFFSET or DISTINCT ON leaves open which of equal rows are left out",
                hint="leave that out, or say ROWS ONLY",
                sqlstate="0A000",
            )
        if ties:
            if visible:
                self._literal_dependent = True
                wrap_ties(select, self._spans, self._edits)
            return
        if "larg" in select:
            wrap(select, self._spans, self._edits)
            return
        if "fromClause" not in select or "targetList" not in select:
            return
        first = None
        if "limitCount" in select and id(select) not in self._nested and not names_schemas(select):
            first = self._first_rows(select)
        if first is not None and not self._names_row(select, first):
            self._read_in_order(first)
            return
        arm = id(select) in self._arms
        distinct = select.get("distinctClause")
        if distinct is not None and not any(distinct):
            starred = any(is_star(each["ResTarget"]) for each in select["targetList"])
            columns = self._fills.columns(select) if starred and not takes_order(select) else []
            if columns:
                self._fills.append(select, [by_value(each) for each in columns], arm=arm)
                return
            if starred or holds_unsortable(select["targetList"]):
                wrap(select, self._spans, self._edits)
                return
            positions = [number(at + 1) for at in range(len(select["targetList"]))]
            self._fills.append(select, [by_value(each) for each in positions], arm=arm)
            return
        keyword = self._spans.keyword(select)
        fill: list[Expression] = []
        if distinct is not None:
            texts = self._spans.distinct_on(keyword)
            fill += [by_value(Expression((text,), node)) for text, node in zip(texts, distinct, strict=True)]
        self._fills.append(select, fill + self._fills.selected(select), arm=arm)

    def _first_rows(self, select: Node) -> Node | None:
        """The view whose first rows a query takes and nothing else, if it is there in order, too."""
        items = select.get("fromClause", [])
        if _OWN_ORDER & select.keys() or len(items) != 1 or holds(select.get("whereClause"), _SUBQUERIES):
            return None
        if any("over" in call or calls.is_aggregate(call) for call in calls.selected(select)):
            return None
        relation: Node | None = items[0].get("RangeVar")
        if relation is not None:
            view = self._views.get(id(relation))
            return relation if view is not None and view.ordered and "schemaname" not in relation else None
        inner = items[0].get("RangeSubselect", {})
        query = inner.get("subquery", {}).get("SelectStmt", {})
        if not query or "lateral" in inner or {"limitCount", "limitOffset", "withClause"} & query.keys():
            return None
        return self._first_rows(query)

    def _names_row(self, select: Node, relation: Node) -> bool:
        """Whether whole rows are named: the catalogue's copies show their type, not the ordered view's."""
        alias = relation.get("alias", {})
        shown = () if "colnames" in alias else self._views[id(relation)].columns
        return names_row(select, alias.get("aliasname", relation["relname"]), shown)

    def _read_in_order(self, relation: Node) -> None:
        """Read a view from where its rows come in order: the outer query takes the order over."""
        tokens = self._spans.tokens
        at = tokens.at(relation.get("location", 0))
        schema = self._views[id(relation)].ordered
        name = f"{quoted(schema)}.{quoted(relation['relname'])}"
        self._edits.replace(tokens.start(at), tokens.end(at), name)
        relation["schemaname"] = schema


def fill_orders(tree: Node, views: Mapping[int, Shown], edits: Edits) -> bool:
    """Fill the orders of a statement; whether that depended on a literal."""
    try:
        orders = Orders(views, edits)
        orders.fill(tree)
    except (LookupError, ValueError):
        raise unplaced("its place in the text was not found", "write the statement more plainly") from None
    except RecursionError:
        raise StatementRefusedError(
            "the statement is nested too deeply", hint="split it", sqlstate="54001"
        ) from None
    return orders.literal_dependent


__all__ = ["Orders", "fill_orders"]
