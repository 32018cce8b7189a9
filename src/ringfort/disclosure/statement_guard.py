"""What an operate session may not touch of the catalogue, and function calls that look like columns.

Both are checked at the end of a statement, when all its relations are known.

*Guarded columns*: a statement that reads a relation with such columns may not name them anywhere, nor reach
them by `*`, as a whole row, by NATURAL JOIN or USING, or by renaming the relation's columns.

*Functional notation*: PostgreSQL reads `x.f` as `f(x)` where x has no column f, so that `t.pg_read_file`
calls a function if t is the result of a function in FROM that returns a scalar. A reference to such a result
must name one of its columns or a listed function. The result of anything else is a row, which only few
functions take; those that are not listed are refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.disclosure.function_list import FUNCTIONS, OUTPUT_COLUMNS, ROW_FUNCTIONS
from ringfort.disclosure.statement_refusal import StatementRefusedError

if TYPE_CHECKING:
    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_shape import Block


class Guard:
    """Columns of catalogue relations that may not be touched, by whatever way a row can be read."""

    def __init__(self) -> None:
        self.columns: set[str] = set()
        self.aliases: set[str] = set()
        self.blocks: list[Block] = []
        self.touched: set[str] = set()
        self.stars: list[Block] = []
        self.natural: list[Block] = []
        self.join_aliases: list[tuple[Block, Node]] = []

    def relation(self, fields: Node, columns: frozenset[str], block: Block) -> None:
        """A relation with such columns stands in the FROM of `block`."""
        alias = fields.get("alias", {})
        if "colnames" in alias:
            raise self._refusal()
        self.columns |= columns
        self.aliases.add(alias.get("aliasname", fields["relname"]))
        self.blocks.append(block)

    def check(self) -> None:
        """Raise if anything found on the walk can reach a guarded column."""
        if not self.columns:
            return
        inside = {id(block) for block in self.blocks}
        for block, alias in self.join_aliases:
            if id(block) in inside:
                if "colnames" in alias:
                    raise self._refusal()
                self.aliases.add(alias["aliasname"])
        if (
            self.touched & (self.columns | self.aliases)
            or any(id(block) in inside for block in self.stars)
            or any(id(block) in inside for block in self.natural)
        ):
            raise self._refusal()

    @staticmethod
    def _refusal() -> StatementRefusedError:
        return StatementRefusedError(
            "columns of a catalogue relation that hold values, statistics or definitions",
            hint="name the columns that you need; not `*`, whole rows or NATURAL JOIN",
        )


class Notation:
    """References that PostgreSQL may read as function calls."""

    def __init__(self, columns: frozenset[str]) -> None:
        self._columns = columns
        self._results: dict[str, set[str]] = {}
        self._references: list[tuple[str, str]] = []

    def function_result(self, name: str, columns: set[str]) -> None:
        """A function in FROM is visible as `name` and surely has `columns`.

        Where a name stands for several results, only what all of them have is sure.
        """
        known = self._results.get(name)
        self._results[name] = columns if known is None else known & columns

    def reference(self, qualifier: str, name: str) -> None:
        """`qualifier.name` stands in the statement."""
        self._references.append((qualifier, name))

    def field(self, name: str) -> None:
        """`(expression).name` stands in the statement; the expression may be anything."""
        if name not in OUTPUT_COLUMNS and name not in FUNCTIONS:
            raise self._refusal(f"`(...).{name}`")

    def check(self) -> None:
        """Raise if a reference can be a call of an unlisted function."""
        for qualifier, name in self._references:
            declared = self._results.get(qualifier)
            unknown = declared is not None and name not in declared | OUTPUT_COLUMNS | FUNCTIONS
            if unknown or (name in ROW_FUNCTIONS and name not in self._columns):
                raise self._refusal(f"`{qualifier}.{name}`")

    @staticmethod
    def _refusal(what: str) -> StatementRefusedError:
        return StatementRefusedError(
            "a reference that PostgreSQL may read as the call of a function that is not on the list",
            hint=f"{what}: name a declared column, without parentheses around the row",
        )


__all__ = ["Guard", "Notation"]
