"""The walk over one parse tree: default-deny, node by node, by the table of statement_rules.py.

Iterative, so that a deep tree costs memory and not the interpreter's stack. A refusal is an exception. What
the walk finds on its way goes into the shape's blocks. Checked here beyond the table:

- relations: a CTE in scope (as the server scopes it), a view of the surface, or a listed catalogue relation;
- functions, operators, types and collations: listed names of pg_catalog only;
- columns of catalogue relations that may not be touched, by name, `*`, whole row, NATURAL JOIN or USING;
- literals that decide: `set_config`, `current_setting`, names of objects cast to reg types. Each such look
  sets `literal_dependent`, before it decides, and constants and parameters are treated alike everywhere else,
  so that a verdict without that mark depends on nothing that `normalised_key` leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.disclosure.catalog_relations import RELATIONS
from ringfort.disclosure.function_list import (
    FUNCTIONS,
    INFORMATION_SCHEMA_FUNCTIONS,
    LITERAL_FUNCTIONS,
    OPERATORS,
    REFERENCE_TYPES,
    TYPES,
    why_refused,
)
from ringfort.disclosure.statement_refusal import StatementRefusedError
from ringfort.disclosure.statement_rules import CLAUSES, NAME, NODE, NODES, ROWS, SKIP, UNSUPPORTED
from ringfort.disclosure.statement_settings import setting_refused, showing_refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_shape import Block

_CATALOG_SCHEMAS = frozenset({"pg_catalog", "information_schema"})
_LITERALS = frozenset({"A_Const", "ParamRef"})
# most nodes of a statement are these, and there is nothing more to say of them
_LEAVES = {kind: NODES[kind].keys() for kind in ("A_Const", "ParamRef", "A_Star", "String", "Integer")}
# the table as the walk reads it: all fields that may be there, and those among them that need a look
_ROWS = {
    kind: (
        row.keys(),
        tuple((name, rule) for name, rule in row.items() if rule not in {SKIP, NAME, ROWS}),
    )
    for kind, row in NODES.items()
}


@dataclass(frozen=True)
class Surface:
    """What a session can name: the views of its profile.

    `relations`: names of the views; `schema`: the profile's schema, which may qualify them; `columns`: names
    of the views' columns, used for shapes only.
    """

    relations: frozenset[str]
    schema: str = ""
    columns: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, frozenset[str], frozenset[str]]:
        """What verdicts may be cached by."""
        return (self.schema, self.relations, self.columns)

    def to_json(self) -> dict[str, Any]:
        """As the parser process takes it."""
        return {
            "relations": sorted(self.relations),
            "schema": self.schema,
            "columns": sorted(self.columns),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Surface:
        """The inverse of `to_json`; `schema` and `columns` may be missing."""
        return cls(
            relations=frozenset(value["relations"]),
            schema=str(value.get("schema", "")),
            columns=frozenset(value.get("columns", ())),
        )


class _Scope:
    """The names that one WITH gives to what stands beneath it; linked, so that many cost no more each."""

    __slots__ = ("limit", "names", "outer")

    def __init__(self, outer: _Scope | None, names: dict[str, int], limit: int) -> None:
        self.outer = outer
        self.names = names
        self.limit = limit  # only the CTEs before this position are visible

    def __contains__(self, name: str) -> bool:
        scope: _Scope | None = self
        while scope is not None:
            if scope.names.get(name, scope.limit) < scope.limit:
                return True
            scope = scope.outer
        return False


class _Place:
    """Where a node stands: the CTEs in scope, the shape's block, the clause."""

    __slots__ = ("block", "clause", "scope")

    def __init__(self, scope: _Scope, block: Block, clause: str) -> None:
        self.scope = scope
        self.block = block
        self.clause = clause

    def part(self, name: str) -> _Place:
        """The place of the part `name` of the SELECT whose place this is."""
        return _Place(self.scope, self.block, CLAUSES[name])


class Walk:
    """Reads the trees of one statement. `literal_dependent` is valid whether or not a refusal was raised."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.literal_dependent = False
        self._todo: list[tuple[str, Node, _Place]] = []
        self._guard = _Guard()
        self._special: dict[str, Callable[[Node, _Place], None]] = {
            "A_Expr": self._operator,
            "A_Indirection": self._indirection,
            "CollateClause": self._collation,
            "ColumnRef": self._column,
            "CommonTableExpr": self._common_table,
            "FuncCall": self._function,
            "JoinExpr": self._join,
            "RangeFunction": self._range_function,
            "RangeVar": self._relation,
            "SortBy": self._sort,
            "SubLink": self._sublink,
            "TypeCast": self._cast,
            "ColumnDef": self._column_definition,
            "TypeName": self._type,
        }

    def query(self, node: Node, block: Block) -> None:
        """Read a query; anything but a SELECT, VALUES or TABLE is refused."""
        self._require_select(node, "this is not a query that only reads")
        self.expressions(node, block)

    def expressions(self, value: Node | list[Node], block: Block, clause: str = "output") -> None:
        """Read one wrapped node or a list of them, then check what may not be touched."""
        self._push(value, _Place(_Scope(None, {}, 0), block, clause))
        while self._todo:
            kind, fields, place = self._todo.pop()
            self._read(kind, fields, place)
        self._guard.check()

    # the table

    def _push(self, value: Node | list[Node], place: _Place) -> None:
        todo = self._todo
        for node in reversed(value) if isinstance(value, list) else (value,):
            for kind, fields in node.items():
                if kind not in _LEAVES or not fields.keys() <= _LEAVES[kind]:
                    todo.append((kind, fields, place))

    def _read(self, kind: str, fields: Node, place: _Place) -> None:
        row = _ROWS.get(kind)
        if row is None:
            raise _unsupported(kind)
        known, rules = row
        if not fields.keys() <= known:
            raise _unsupported(f"{kind}.{min(fields.keys() - known)}")
        if kind == "SelectStmt":
            place = self._select(fields, place)
        for name, rule in rules:
            value = fields.get(name)
            if value is None:
                continue
            if rule is NODE:
                self._push(value, place if kind != "SelectStmt" else place.part(name))
            elif isinstance(rule, str):
                self._todo.append((rule, value, place))
            elif value not in rule:
                raise _unsupported(f"{kind}.{name}")
        special = self._special.get(kind)
        if special is not None:
            special(fields, place)

    def _select(self, fields: Node, place: _Place) -> _Place:
        """Open a block for a SELECT and read its WITH; gives the place of its parts."""
        block = place.block.open()
        scope = place.scope
        with_clause = fields.get("withClause")
        if with_clause is not None:
            scope = self._with(with_clause, scope, block)
        if fields.get("op", "SETOP_NONE") != "SETOP_NONE":
            block.flags.add(fields["op"].removeprefix("SETOP_").lower())
        if "limitCount" in fields:
            block.flags.add("limit")
        if "distinctClause" in fields:
            block.flags.add("distinct")
        if any("A_Star" in last for last in _last_fields(fields.get("targetList", ()))):
            block.add("output", "*")
        return _Place(scope, block, "output")

    def _with(self, clause: Node, scope: _Scope, block: Block) -> _Scope:
        """Read the CTEs of a WITH; gives the scope of the query beneath it, as the server does."""
        if not clause.keys() <= {"ctes", "recursive", "location"}:
            raise _unsupported("WithClause")
        names: dict[str, int] = {}
        for index, node in enumerate(clause["ctes"]):
            names.setdefault(_cte_name(node), index)
        whole = _Scope(scope, names, len(clause["ctes"]))
        for index, node in enumerate(clause["ctes"]):
            visible = whole if clause.get("recursive") else _Scope(scope, names, index)
            self._push(node, _Place(visible, block, "with"))
        return whole

    def _require_select(self, node: Node, reason: str) -> None:
        kind = next(iter(node), "")
        if kind != "SelectStmt":
            special = UNSUPPORTED.get(kind)
            raise StatementRefusedError(
                special[0] if special else reason,
                hint=special[1] if special else "this session may only read",
            )

    # names

    def _common_table(self, fields: Node, place: _Place) -> None:
        del place
        self._require_select(fields["ctequery"], "a common table expression may only read")

    def _relation(self, fields: Node, place: _Place) -> None:
        schema = fields.get("schemaname", "")
        name = fields["relname"]
        if not schema and name in place.scope:
            return
        surface = self.surface
        listed = not schema and not name.startswith("pg_")
        if name in surface.relations and (listed or (schema and schema == surface.schema)):
            place.block.add("from", name)
            return
        catalog = schema or "pg_catalog"
        guarded = RELATIONS.get((catalog, name))
        if guarded is None:
            raise _no_relation(schema, name)
        place.block.add("from", f"{catalog}.{name}")
        if guarded:
            self._guard.relation(fields, guarded, place.block)

    def _join(self, fields: Node, place: _Place) -> None:
        block = place.block
        if fields.get("isNatural"):
            self._guard.natural.append(block)
            block.flags.add("natural_join")
        for node in fields.get("usingClause", ()):
            word = node["String"].get("sval", "")
            self._guard.touched.add(word)
            self._note_column(word, place, "join")
        if "alias" in fields:
            self._guard.join_aliases.append((block, fields["alias"]))

    def _column(self, fields: Node, place: _Place) -> None:
        parts = fields["fields"]
        last = parts[-1]
        if "A_Star" in last:
            if len(parts) == 1:
                self._guard.stars.append(place.block)
            else:
                self._guard.touched.add(parts[-2]["String"]["sval"])
            return
        name = last["String"]["sval"]
        self._guard.touched.add(name)
        self._note_column(name, place, place.clause)

    def _indirection(self, fields: Node, place: _Place) -> None:
        del place
        for node in fields["indirection"]:
            if "String" in node:
                self._guard.touched.add(node["String"]["sval"])

    def _note_column(self, name: str, place: _Place, clause: str) -> None:
        if name in self.surface.columns:
            place.block.add(clause, name)

    def _operator(self, fields: Node, place: _Place) -> None:
        kind = fields["kind"]
        if "BETWEEN" in kind:
            word = "between"
        else:
            word = self._operator_name(fields["name"])
            if kind == "AEXPR_IN":
                word = "in" if word == "=" else "not in"
        left = fields.get("lexpr", {}).get("ColumnRef")
        if left is not None and place.clause in {"where", "join", "having"}:
            last = left["fields"][-1].get("String", {}).get("sval", "")
            if last in self.surface.columns:
                place.block.add(place.clause, f"{last} {word}")

    def _operator_name(self, parts: list[Node]) -> str:
        words = _words(parts)
        name = words[-1]
        if len(words) > 2 or (len(words) == 2 and words[0] != "pg_catalog") or name not in OPERATORS:
            raise StatementRefusedError(
                "an operator that is not on the list", hint="only PostgreSQL's built-in operators may be used"
            )
        return name

    def _sort(self, fields: Node, place: _Place) -> None:
        del place
        if "useOp" in fields:
            self._operator_name(fields["useOp"])

    def _sublink(self, fields: Node, place: _Place) -> None:
        del place
        self._require_select(fields["subselect"], "a subquery may only read")
        if "operName" in fields:
            self._operator_name(fields["operName"])

    def _collation(self, fields: Node, place: _Place) -> None:
        del place
        parts = _words(fields["collname"])
        if len(parts) > 2 or (len(parts) == 2 and parts[0] != "pg_catalog"):
            raise StatementRefusedError(
                "a collation outside of pg_catalog", hint="leave the schema of the collation out"
            )

    # functions

    def _function(self, fields: Node, place: _Place) -> None:
        parts = _words(fields["funcname"])
        name = parts[-1]
        schema = parts[0] if len(parts) == 2 else "pg_catalog" if len(parts) == 1 else ""
        if schema == "pg_catalog" and name in FUNCTIONS:
            place.block.add(place.clause, f"{name}()")
            return
        if schema == "pg_catalog" and name in LITERAL_FUNCTIONS:
            self.literal_dependent = True
            self._literal_function(name, fields.get("args", []))
            place.block.add(place.clause, f"{name}()")
            return
        if schema == "information_schema" and name in INFORMATION_SCHEMA_FUNCTIONS:
            return
        why = why_refused(name)
        if why:
            raise StatementRefusedError(
                f"a function that is not on the list: {why}", hint=f"leave `{name}` out of the statement"
            )
        raise StatementRefusedError(
            "a function that is not on the list",
            hint=f"`{'.'.join(parts)}` is not one of the built-in functions that such a session may call",
        )

    def _literal_function(self, name: str, args: list[Node]) -> None:
        first = _literal(args[0]) if args else None
        if name == "set_config":
            self._set_config(args, first)
        elif name == "current_setting":
            if first is None:
                raise StatementRefusedError(
                    "current_setting takes only a literal name here",
                    hint="write the parameter's name into the text",
                )
            refused = showing_refused(first)
            if refused is not None:
                raise StatementRefusedError(refused[0], hint=refused[1])
        else:
            self._reference(name.removeprefix("to_"), args[0] if args else {})

    def _set_config(self, args: list[Node], name: str | None) -> None:
        constants = len(args) == 3 and all("A_Const" in _uncast(arg) for arg in args)
        if not constants or name is None:
            raise StatementRefusedError(
                "set_config takes only literals here",
                hint="write name, value and is_local into the text, or use SET",
            )
        refused = setting_refused(name, _literal(args[1]))
        if refused is not None:
            raise StatementRefusedError(refused[0], hint=refused[1])

    def _range_function(self, fields: Node, place: _Place) -> None:
        """Only plain function calls: the grammar also admits COALESCE and the like here."""
        del place
        for item in fields["functions"]:
            if "List" not in item:
                raise _unsupported("RangeFunction.functions")

    # types

    def _type(self, fields: Node, place: _Place) -> None:
        del place
        self._type_name(fields)

    def _type_name(self, fields: Node) -> str:
        parts = _words(fields["names"])
        name = parts[-1]
        known = name in TYPES or (name.startswith("_") and name[1:] in TYPES)
        if not known or len(parts) > 2 or (len(parts) == 2 and parts[0] != "pg_catalog"):
            raise StatementRefusedError(
                "a type that is not on the list",
                hint=f"`{'.'.join(parts)}` is not one of the types to use here",
            )
        for node in fields.get("typmods", ()):
            if not _LITERALS & node.keys():
                raise _unsupported("TypeName.typmods")
        return name

    def _column_definition(self, fields: Node, place: _Place) -> None:
        del place
        name = self._type_name(fields["typeName"])
        if name.removeprefix("_") in REFERENCE_TYPES:
            raise StatementRefusedError(
                "names of objects cannot be read out of JSON", hint="define the column as text"
            )

    def _cast(self, fields: Node, place: _Place) -> None:
        del place
        name = self._type_name(fields["typeName"]).removeprefix("_")
        if name in REFERENCE_TYPES:
            self._reference(name, fields["arg"])

    def _reference(self, kind: str, arg: Node) -> None:
        """A text that names an object: only what the session may know of."""
        node = _uncast(arg)
        if not _LITERALS & node.keys():
            return
        self.literal_dependent = True
        value = _literal(node)
        if kind not in {"regclass", "regnamespace"}:
            return
        if value is None or not self._may_know(kind, value):
            raise StatementRefusedError(
                f"`{kind}` of a name that is not visible to this session",
                hint="name one of your views, or a relation of pg_catalog",
                sqlstate="42P01",
            )

    def _may_know(self, kind: str, value: str) -> bool:
        if value.isascii() and value.isdigit():
            return True
        parts = value.replace('"', "").lower().split(".") if '""' not in value else []
        if kind == "regnamespace":
            return len(parts) == 1 and parts[0] in {*_CATALOG_SCHEMAS, self.surface.schema}
        if len(parts) == 1:
            known = {name.lower() for name in self.surface.relations}
            return parts[0] in known or ("pg_catalog", parts[0]) in RELATIONS
        if len(parts) == 2 and parts[0] == self.surface.schema:
            return parts[1] in {name.lower() for name in self.surface.relations}
        return len(parts) == 2 and (parts[0], parts[1]) in RELATIONS


class _Guard:
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


def _cte_name(node: Node) -> str:
    name = node.get("CommonTableExpr", {}).get("ctename", "")
    if not name or name.startswith("pg_"):
        raise StatementRefusedError(
            "a common table expression may not be called like a relation of the catalogue",
            hint="names that start with `pg_` are reserved",
        )
    return str(name)


def _words(parts: list[Node]) -> list[str]:
    return [part["String"]["sval"] for part in parts]


def _uncast(node: Node) -> Node:
    """The node without casts around it."""
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    return node


def _literal(node: Node) -> str | None:
    """The text of a constant, cast or not; None for NULL, a parameter or anything else."""
    constant = _uncast(node).get("A_Const")
    if constant is None or constant.get("isnull"):
        return None
    if "boolval" in constant:
        return "on" if constant["boolval"].get("boolval") else "off"
    if "ival" in constant:
        return str(constant["ival"].get("ival", 0))
    return str(
        constant.get("sval", constant.get("fval", {})).get("sval", constant.get("fval", {}).get("fval", ""))
    )


def _last_fields(targets: list[Node]) -> list[Node]:
    refs = (target.get("ResTarget", {}).get("val", {}).get("ColumnRef") for target in targets)
    return [ref["fields"][-1] for ref in refs if ref is not None]


def _no_relation(schema: str, name: str) -> StatementRefusedError:
    full = f"{schema}.{name}" if schema else name
    if schema in _CATALOG_SCHEMAS or (not schema and name.startswith("pg_")):
        return StatementRefusedError(
            "a catalogue relation that is not on the list",
            hint=f"`{full}` holds statistics, definitions, credentials or other sessions' doings",
        )
    hint = f"`{full}` is not one of the views of this session"
    if schema:
        hint += "; name a view without its schema"
    return StatementRefusedError(
        "a relation that is not visible to this session", hint=hint, sqlstate="42P01"
    )


def _unsupported(what: str) -> StatementRefusedError:
    special = UNSUPPORTED.get(what)
    if special is not None:
        return StatementRefusedError(special[0], hint=special[1], sqlstate="0A000")
    return StatementRefusedError(
        f"a part of the grammar that is not on the list ({what})",
        hint="leave it out of the statement",
        sqlstate="0A000",
    )


__all__ = ["Surface", "Walk"]
