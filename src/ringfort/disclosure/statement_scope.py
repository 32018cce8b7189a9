"""Where a node of a statement stands: the CTEs in scope, the shape's block, the clause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.disclosure.statement_rules import CLAUSES

if TYPE_CHECKING:
    from ringfort.disclosure.statement_shape import Block


class Scope:
    """The names that one WITH gives to what stands beneath it; linked, so that many cost no more each."""

    __slots__ = ("limit", "names", "outer")

    def __init__(self, outer: Scope | None, names: dict[str, int], limit: int) -> None:
        self.outer = outer
        self.names = names
        self.limit = limit  # only the CTEs before this position are visible

    def __contains__(self, name: str) -> bool:
        scope: Scope | None = self
        while scope is not None:
            if scope.names.get(name, scope.limit) < scope.limit:
                return True
            scope = scope.outer
        return False


class Place:
    """Where a node stands: the CTEs in scope, the shape's block, the clause."""

    __slots__ = ("block", "clause", "scope")

    def __init__(self, scope: Scope, block: Block, clause: str) -> None:
        self.scope = scope
        self.block = block
        self.clause = clause

    def part(self, name: str) -> Place:
        """The place of the part `name` of the SELECT whose place this is."""
        return Place(self.scope, self.block, CLAUSES[name])


__all__ = ["Place", "Scope"]
