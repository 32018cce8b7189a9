"""The walk over one parse tree: default-deny, node by node, by the table of statement_rules.py.

Iterative, so that a deep tree costs memory and not the interpreter's stack. A refusal is an exception. What
the walk finds on its way goes into the shape's blocks. What the table cannot say is checked by
statement_relations.py and statement_calls.py, and, once a statement is read whole, by statement_guard.py.

Every look at a literal that can decide sets `literal_dependent` before it decides, so a verdict without that
mark depends on nothing that `normalised_key` leaves out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ringfort.disclosure.statement_calls import CALL_CHECKS
from ringfort.disclosure.statement_guard import Guard, Notation
from ringfort.disclosure.statement_refusal import unsupported
from ringfort.disclosure.statement_relations import (
    RELATION_CHECKS,
    cte_name,
    note_single_setting,
    require_select,
)
from ringfort.disclosure.statement_rewrite import Replacements
from ringfort.disclosure.statement_rules import NAME, NODE, NODES, ROWS, SKIP
from ringfort.disclosure.statement_scope import Place, Scope

if TYPE_CHECKING:
    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_shape import Block
    from ringfort.disclosure.statement_surface import Surface

# most nodes of a statement are these, and there is nothing more to say of them
_LEAVES: Final = {kind: NODES[kind].keys() for kind in ("A_Const", "ParamRef", "A_Star", "String", "Integer")}
# the table as the walk reads it: all fields that may be there, and those among them that need a look
_ROWS: Final = {
    kind: (
        row.keys(),
        tuple((name, rule) for name, rule in row.items() if rule not in {SKIP, NAME, ROWS}),
    )
    for kind, row in NODES.items()
}
_CHECKS: Final = {**RELATION_CHECKS, **CALL_CHECKS}


class Walk:
    """Reads the trees of one statement. `literal_dependent` is valid whether or not a refusal was raised.

    `harmless` holds nodes that a check has found harmless where they stand, by identity; `replacements` what
    is to be replaced in the text.
    """

    def __init__(self, surface: Surface, replacements: Replacements | None = None) -> None:
        self.surface = surface
        self.literal_dependent = False
        self.guard = Guard()
        self.replacements = replacements if replacements is not None else Replacements()
        self.notation = Notation(surface.columns)
        self.harmless: list[Node] = []
        self.frees: list[tuple[str, str]] = []  # command tags of what takes names away, and the names
        self.views: dict[int, str] = {}  # relations of the surface, by identity of their nodes' fields
        self._todo: list[tuple[str, Node, Place]] = []

    def query(self, node: Node, block: Block) -> None:
        """Read a query; anything but a SELECT, VALUES or TABLE is refused."""
        require_select(node, "this is not a query that only reads")
        self.expressions(node, block)

    def expressions(self, value: Node | list[Node], block: Block) -> None:
        """Read one wrapped node or a list of them, then what can be checked only at the end."""
        self._push(value, Place(Scope(None, {}, 0), block, "output"))
        while self._todo:
            kind, fields, place = self._todo.pop()
            self._read(kind, fields, place)
        self.guard.check()
        self.notation.check()

    def _push(self, value: Node | list[Node], place: Place) -> None:
        todo = self._todo
        for node in reversed(value) if isinstance(value, list) else (value,):
            for kind, fields in node.items():
                if kind not in _LEAVES or not fields.keys() <= _LEAVES[kind]:
                    todo.append((kind, fields, place))

    def _read(self, kind: str, fields: Node, place: Place) -> None:
        row = _ROWS.get(kind)
        if row is None:
            raise unsupported(kind)
        known, rules = row
        if not fields.keys() <= known:
            raise unsupported(f"{kind}.{min(fields.keys() - known)}")
        select = kind == "SelectStmt"
        if select:
            place = self._select(fields, place)
        for name, rule in rules:
            value = fields.get(name)
            if value is None:
                continue
            if rule is NODE:
                self._push(value, place.part(name) if select else place)
            elif isinstance(rule, str):
                self._todo.append((rule, value, place))
            elif value not in rule:
                raise unsupported(f"{kind}.{name}")
        check = _CHECKS.get(kind)
        if check is not None:
            check(self, fields, place)

    def _select(self, fields: Node, place: Place) -> Place:
        """Open a block for a SELECT and read its WITH; gives the place of its parts."""
        block = place.block.open()
        scope = place.scope
        with_clause = fields.get("withClause")
        if with_clause is not None:
            scope = self._with(with_clause, scope, block)
        if self.surface.operate:
            note_single_setting(self, fields)
        if fields.get("op", "SETOP_NONE") != "SETOP_NONE":
            block.flags.add(fields["op"].removeprefix("SETOP_").lower())
        if "limitCount" in fields:
            block.flags.add("limit")
        if "distinctClause" in fields:
            block.flags.add("distinct")
        for target in fields.get("targetList", ()):
            column = target.get("ResTarget", {}).get("val", {}).get("ColumnRef")
            if column is not None and "A_Star" in column["fields"][-1]:
                block.add("output", "*")
        return Place(scope, block, "output")

    def _with(self, clause: Node, scope: Scope, block: Block) -> Scope:
        """Read the CTEs of a WITH; gives the scope of the query beneath it, as the server does."""
        if not clause.keys() <= {"ctes", "recursive", "location"}:
            raise unsupported("WithClause")
        names: dict[str, int] = {}
        for index, node in enumerate(clause["ctes"]):
            names.setdefault(cte_name(node), index)
        whole = Scope(scope, names, len(clause["ctes"]))
        for index, node in enumerate(clause["ctes"]):
            visible = whole if clause.get("recursive") else Scope(scope, names, index)
            self._push(node, Place(visible, block, "with"))
        return whole


__all__ = ["Walk"]
