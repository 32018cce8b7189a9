"""What the FROM of a query offers to sort by: the names that are visible there, and the views behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.disclosure.statement_constants import words
from ringfort.disclosure.statement_order_nodes import Expression, by_bytes, by_value, column, is_star, star
from ringfort.disclosure.statement_refusal import StatementRefusedError
from ringfort.disclosure.statement_rewrite import column_name, same_tree

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

    def sorted_by(
        self,
        items: Sequence[Expression],
        first: Sequence[Expression] = (),
        targets: Sequence[Node] = (),
    ) -> list[Expression]:
        """The sorts that tell apart all rows that differ in `items`: pseudonyms first, which sort quickly.

        `first` are pseudonyms that a `*` among the items holds. Two pseudonyms that are equal are the same
        bytes, so that nothing else is needed where nothing else stands. `targets` is the select list if the
        sorts stand in ORDER BY of a query: a name alone means the item of that name, which must be this.
        """
        keys = [each for each in items if self.is_pseudonym(each.node) and means_itself(each.node, targets)]
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


def means_itself(node: Node, targets: Sequence[Node]) -> bool:
    """Whether a column in ORDER BY is that column, and not another item of the select list of that name."""
    fields = node["ColumnRef"]["fields"]
    if not targets or len(fields) > 1:
        return True
    name = fields[0]["String"]["sval"]
    if any(is_star(target) for target in targets):
        return False
    called = [each for each in targets if (each.get("name") or column_name(each["val"])) == name]
    return bool(called) and all(same_tree(each["val"], node) for each in called)


__all__ = ["Source", "Sources", "means_itself"]
