"""What the FROM of a query offers to sort by: the names that are visible there, and the views behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.disclosure.statement_constants import words
from ringfort.disclosure.statement_order_nodes import Expression, by_bytes, by_value, column, star
from ringfort.disclosure.statement_refusal import StatementRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_surface import Shown


@dataclass(frozen=True)
class Source:
    """A name that is visible in a query; `view` where it stands for a view whose columns are known."""

    name: str
    view: Shown | None = None


class Sources:
    """The visible names of one FROM. `views` names the relations of the statement that are views."""

    def __init__(self, select: Node, views: Mapping[int, Shown]) -> None:
        self.all: list[Source] = []
        todo = list(reversed(select.get("fromClause", [])))
        while todo:
            ((kind, fields),) = todo.pop().items()
            alias = fields.get("alias", {})
            name = alias.get("aliasname", "")
            if kind == "JoinExpr" and not name:
                todo += [fields["rarg"], fields["larg"]]
                continue
            view = None
            if kind == "RangeVar":
                name = name or fields["relname"]
                view = None if "colnames" in alias else views.get(id(fields))
            elif kind == "RangeFunction" and not name and len(fields["functions"]) == 1:
                call = fields["functions"][0]["List"]["items"][0]
                name = words(call["FuncCall"]["funcname"])[-1] if "FuncCall" in call else ""
            self.all.append(Source(name, view))

    def rows(self) -> list[Expression]:
        """All columns of all of them. Raises where one has no name of its own."""
        names = [each.name for each in self.all]
        if "" in names or len(set(names)) != len(names):
            raise StatementRefusedError(
                "a part of FROM without a name of its own, by which rows would have to be put in order",
                hint="give each subquery, function and table in FROM an alias of its own",
                sqlstate="0A000",
            )
        return [star(name) for name in names]

    def pseudonyms(self) -> list[Expression]:
        """The pseudonyms of the views among them."""
        return [column(each.name, name) for each in self.all if each.view for name in each.view.pseudonyms]

    def pseudonyms_of(self, fields: list[Node]) -> list[Expression]:
        """The pseudonyms among the columns of `name.*`."""
        name = fields[0].get("String", {}).get("sval") if len(fields) == 2 else None
        return [
            column(each.name, pseudonym)
            for each in self.all
            if each.view is not None and each.name == name
            for pseudonym in each.view.pseudonyms
        ]

    def is_pseudonym(self, node: Node) -> bool:
        """Whether an expression is a column of pseudonyms of a view."""
        names = self._names(node)
        if not 1 <= len(names) <= 2:
            return False
        return any(
            each.view is not None and names[-1] in each.view.pseudonyms
            for each in self.all
            if len(names) == 1 or each.name == names[0]
        )

    def sorted_by(self, items: Sequence[Expression], first: Sequence[Expression] = ()) -> list[Expression]:
        """The sorts that tell apart all rows that differ in `items`: pseudonyms first, which sort quickly.

        `first` are pseudonyms that a `*` among the items holds. Two pseudonyms that are equal are the same
        bytes, so that nothing else is needed where nothing else stands.
        """
        keys = [each for each in items if self.is_pseudonym(each.node)]
        sorts = [by_value(each) for each in (*first, *keys)]
        return sorts if len(keys) == len(items) else [*sorts, by_bytes(items)]

    def has_column(self, name: str) -> bool | None:
        """Whether one of them has a column `name`; None if that is not known."""
        known = [each.view for each in self.all if each.view is not None]
        if any(name in view.columns for view in known):
            return True
        return False if len(known) == len(self.all) else None

    @staticmethod
    def _names(node: Node) -> list[str]:
        fields = node.get("ColumnRef", {}).get("fields", [])
        return [part["String"]["sval"] if "String" in part else "" for part in fields]


__all__ = ["Source", "Sources"]
