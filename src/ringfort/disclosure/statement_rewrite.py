"""Filtered copies in the place of catalogue relations: what a statement becomes on its way to the server.

The walk notes which nodes of the tree are to be replaced; `Rewriting` replaces them at their place in the
text, changes the tree in the same way (statement_order.py does so with orders that are missing), and parses
the new text again. Only if that gives the very tree that was meant, locations apart, the text is used: a
place that was found wrongly refuses the statement, and never changes its meaning.

| in the text                 | becomes                                                                    |
|-----------------------------|----------------------------------------------------------------------------|
| `[pg_catalog.]pg_class`     | `ringfort_catalog.pg_class`; no alias is needed, the name is the same      |
| `pg_catalog.pg_class.oid`   | `ringfort_catalog.pg_class.oid`                                            |
| `[pg_catalog.]format_type(` | `ringfort_catalog.format_type(`, likewise all `STAND_INS`                  |
| `x::regclass`, CAST, typed  | `ringfort_catalog.regclass(x)`: of a name its number, of a number its name |
| `pg_typeof(x)`              | `pg_catalog.format_type(pg_typeof(x), NULL)`: a text                       |

A constant that is cast to `regclass` and then shown, or cast to text, gives its name. A column of a result
that would be called otherwise than before gets an alias. If the statement names `tableoid` or `xmin`, the
copies with those columns are taken.

Invariants: pure; texts and locations are UTF-8 bytes, as the grammar counts them. Left out: texts of other
than the types that the table names; what cannot be placed is refused. DESIGN section 5, ADR 0008.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ringfort.disclosure.catalog_relations import COPIES, SYSTEM_COPIES
from ringfort.disclosure.statement_constants import words
from ringfort.disclosure.statement_edits import Edits
from ringfort.disclosure.statement_refusal import StatementRefusedError

if TYPE_CHECKING:
    from ringfort.disclosure.statement_rules import Node

_POSITIONS: Final = frozenset(
    {"location", "stmt_location", "stmt_len", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"}
)
_TEXT_NAMES: Final = frozenset({"text", "varchar", "name", "bpchar"})


class Replacements:
    """What the walk found to be replaced, by identity of the nodes' fields."""

    def __init__(self) -> None:
        self.relations: list[Node] = []
        self.columns: list[Node] = []
        self.functions: list[Node] = []
        self.type_questions: list[Node] = []
        self.casts: dict[int, tuple[Node, str]] = {}
        self.cast_types: set[int] = set()
        self.system = False

    def cast(self, fields: Node, kind: str) -> None:
        """A cast to a type whose values print as names of objects."""
        self.casts[id(fields)] = (fields, kind)
        self.cast_types.add(id(fields["typeName"]))

    def __bool__(self) -> bool:
        return bool(self.relations or self.functions or self.casts or self.type_questions)


class Rewriting:
    """One text on its way to become another. Changes are made to the trees and to the text alike."""

    def __init__(self, sql: str, trees: list[Node]) -> None:
        self._trees = trees
        self.edits = Edits(sql.encode("utf-8"))

    def replace(self, wanted: Replacements) -> None:
        """Replace everything that `wanted` names."""
        try:
            _Change(wanted, self.edits).apply(self._trees)
        except (LookupError, ValueError):
            raise _misplaced() from None

    def text(self) -> str:
        """The new text. Raises `StatementRefusedError` if it does not say what was meant."""
        from ringfort.disclosure.statement_text import parse  # noqa: PLC0415 - workers never load the C grammar

        try:
            new = self.edits.text().decode("utf-8")
            meant = parse(new)
        except StatementRefusedError as refusal:
            if refusal.sqlstate == "42601":
                raise _misplaced() from None
            raise
        except (LookupError, ValueError):
            raise _misplaced() from None
        if not same_tree(self._trees, meant):
            raise _misplaced()
        return new

    def template(self) -> tuple[str | int, ...]:
        """The new text with the constants of the old one left open; empty if that cannot be."""
        try:
            return tuple(self.edits.template())
        except (LookupError, ValueError):
            return ()


def same_tree(one: Any, other: Any) -> bool:  # noqa: ANN401 - JSON values
    """Whether two trees are the same, positions in the text apart. Iterative: trees are deep."""
    todo = [(one, other)]
    while todo:
        left, right = todo.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            names = left.keys() - _POSITIONS
            if names != right.keys() - _POSITIONS:
                return False
            todo += [(left[name], right[name]) for name in names]
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            todo += zip(left, right, strict=True)
        elif type(left) is not type(right) or left != right:
            return False
    return True


def _misplaced() -> StatementRefusedError:
    return StatementRefusedError(
        "what must be replaced or filled in could not be placed in the text of this statement",
        hint="write names without U& escapes, casts to regclass as CAST(... AS regclass), and orders in full",
        sqlstate="0A000",
    )


def _string(value: str) -> Node:
    return {"String": {"sval": value}}


def _call(name: list[str], args: list[Node]) -> Node:
    return {
        "FuncCall": {
            "funcname": [_string(part) for part in name],
            "args": args,
            "funcformat": "COERCE_EXPLICIT_CALL",
        }
    }


def _subquery(value: Node) -> Node:
    select = {
        "targetList": [{"ResTarget": {"val": value}}],
        "limitOption": "LIMIT_OPTION_DEFAULT",
        "op": "SETOP_NONE",
    }
    return {"SubLink": {"subLinkType": "EXPR_SUBLINK", "subselect": {"SelectStmt": select}}}


def column_name(node: Node) -> str:
    """What the server calls a column of a result made by `node`; "" where a type's name stands in."""
    while "TypeCast" in node or "CollateClause" in node:
        ((kind, fields),) = node.items()
        inner = fields["arg"]
        name = column_name(inner)
        if name or kind == "CollateClause":
            return name
        return words(fields["typeName"]["names"])[-1]
    ((kind, fields),) = node.items()
    if kind == "ColumnRef":
        last = fields["fields"][-1]
        return str(last.get("String", {}).get("sval", ""))
    if kind == "FuncCall":
        return words(fields["funcname"])[-1]
    if kind == "SubLink" and fields["subLinkType"] == "EXPR_SUBLINK":
        items = fields["subselect"]["SelectStmt"].get("targetList", [])
        item = items[0]["ResTarget"] if items else {}
        return str(item.get("name", "")) or column_name(item["val"]) if "val" in item else ""
    return ""


class _Change:
    """Changes the trees and the text alike."""

    def __init__(self, wanted: Replacements, edits: Edits) -> None:
        self._wanted = wanted
        self._edits = edits
        self._schema = SYSTEM_COPIES if wanted.system else COPIES
        self._questions = {id(fields) for fields in wanted.type_questions}

    def apply(self, trees: list[Node]) -> None:
        """Change everything."""
        for fields in self._wanted.relations:
            self._name(
                fields.get("location", 0), 2 if "schemaname" in fields else 1, self._schema, fields["relname"]
            )
            fields["schemaname"] = self._schema
        for fields in self._wanted.columns:
            self._first_name(fields.get("location", 0), self._schema)
            fields["fields"][0] = _string(self._schema)
        for fields in self._wanted.functions:
            name = words(fields["funcname"])
            self._name(fields.get("location", 0), len(name), COPIES, name[-1])
            fields["funcname"] = [_string(COPIES), _string(name[-1])]
        if self._wanted.casts or self._questions:
            self._wrapped(trees)

    def _name(self, start: int, parts: int, schema: str, name: str) -> None:
        tokens = self._edits.tokens
        first = tokens.at(start)
        end = tokens.end(first + 2 * (parts - 1))
        quoted = name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
        self._edits.replace(start, end, f"{schema}.{quoted}")

    def _first_name(self, start: int, schema: str) -> None:
        tokens = self._edits.tokens
        self._edits.replace(start, tokens.end(tokens.at(start)), schema)

    def _wrapped(self, trees: list[Node]) -> None:
        """Casts and questions for a type: nodes that become others, wherever they stand."""
        shown = self._shown_items(trees)
        todo: list[tuple[Any, bool]] = [(trees, False)]  # and whether a name is wanted of what stands there
        items: list[tuple[Node, str]] = []
        inner: list[tuple[Node, bool]] = []
        while todo:
            value, named = todo.pop()
            if isinstance(value, list):
                todo += [(each, False) for each in value]
            if not isinstance(value, dict):
                continue
            for key, fields in value.items():
                if isinstance(fields, list):
                    todo.append((fields, False))
                elif isinstance(fields, dict):
                    if id(fields) in self._wanted.casts or id(fields) in self._questions:
                        inner.append((value, named))
                    within = ""  # the field of which a name is wanted
                    if key == "ResTarget":
                        if "name" not in fields and "val" in fields:
                            items.append((fields, column_name(fields["val"])))
                        within = "val" if id(fields) in shown else ""
                    elif key == "TypeCast" and words(fields["typeName"]["names"])[-1] in _TEXT_NAMES:
                        within = "arg"
                    todo += [(each, name == within) for name, each in fields.items()]
        ends: dict[int, int] = {}
        for wrapper, named in inner:
            if "TypeCast" in wrapper:
                self._cast(wrapper, ends, named=named)
            else:
                self._type_question(wrapper, ends)
        for fields, name in items:
            self._keep_name(fields, name, ends)

    def _shown_items(self, trees: list[Node]) -> set[int]:
        """The items of the outermost select lists."""
        found: set[int] = set()
        todo = [tree["SelectStmt"] for tree in trees if "SelectStmt" in tree]
        while todo:
            select = todo.pop()
            found |= {id(item["ResTarget"]) for item in select.get("targetList", ()) if "ResTarget" in item}
            todo += [select[side] for side in ("larg", "rarg") if side in select]
        return found

    def _cast(self, wrapper: Node, ends: dict[int, int], *, named: bool) -> None:
        fields = wrapper.pop("TypeCast")
        _, kind = self._wanted.casts[id(fields)]
        arg = fields["arg"]
        twice = named and ("ParamRef" in arg or "sval" in arg.get("A_Const", {}))
        function = f"{COPIES}.{kind}("
        opening, closing = (function * 2, "))") if twice else (function, ")")
        once = bool(arg.keys() & {"A_Const", "ParamRef"})
        if once:  # a subquery, so that it is asked once and not for each row
            opening, closing = f"(SELECT {opening}", f"{closing})"
        tokens = self._edits.tokens
        edits = self._edits
        of_type = fields["typeName"]
        first = tokens.at(of_type.get("location", 0))
        last = first + 2 * (len(of_type["names"]) - 1)
        location = fields.get("location", 0)
        if location < 0:  # regclass 'pg_class'
            edits.replace(tokens.start(first), tokens.end(last), opening)
            edits.open(tokens.end(last + 1), 0, closing)
            end = tokens.end(last + 1)
        elif tokens.text(tokens.at(location)) == b"::":
            sign = tokens.at(location)
            edits.open(tokens.start(tokens.operand(sign - 1)), tokens.end(last), opening)
            edits.replace(tokens.start(sign), tokens.end(last), closing)
            end = tokens.end(last)
        else:  # CAST(... AS regclass)
            cast = tokens.at(location)
            if tokens.text(cast).lower() != b"cast" or tokens.text(first - 1).lower() != b"as":
                raise ValueError("no cast stands there")
            edits.replace(tokens.start(cast), tokens.end(cast), opening[:-1])
            edits.replace(tokens.start(first - 1), tokens.end(last), closing[:-1])
            end = tokens.end(last + 1)
        call = _call([COPIES, kind], [arg])
        if twice:
            call = _call([COPIES, kind], [call])
        if once:
            call = _subquery(call)
        wrapper.update(call)
        ends[id(wrapper)] = end

    def _type_question(self, wrapper: Node, ends: dict[int, int]) -> None:
        fields = wrapper["FuncCall"]
        tokens = self._edits.tokens
        start = fields.get("location", 0)
        close = tokens.closing(tokens.at(start) + 2 * len(fields["funcname"]) - 1)
        end = tokens.end(close)
        self._edits.open(start, end, "pg_catalog.format_type(")
        self._edits.open(end, 0, ", NULL)")
        inner = dict(wrapper)
        wrapper.clear()
        wrapper.update(_call(["pg_catalog", "format_type"], [inner, {"A_Const": {"isnull": True}}]))
        ends[id(wrapper)] = end

    def _keep_name(self, item: Node, name: str, ends: dict[int, int]) -> None:
        """An alias where the column of a result would now be called otherwise."""
        value = item["val"]
        if not name or column_name(value) == name:
            return
        tokens = self._edits.tokens
        outer = []
        while "TypeCast" in value:
            outer.append(value["TypeCast"])
            value = value["TypeCast"]["arg"]
        if id(value) not in ends:
            return
        end = ends[id(value)]
        for cast in outer:
            of_type = cast["typeName"]
            first = tokens.at(of_type.get("location", 0))
            last = first + 2 * (len(of_type["names"]) - 1)
            if cast.get("location", 0) < 0 or tokens.text(tokens.at(cast["location"])) != b"::":
                last += 1  # the parenthesis of CAST
            end = max(end, tokens.end(last))
        self._edits.behind(end, ' AS "' + name.replace('"', '""') + '"')
        self._edits.aliased.add(id(item))
        item["name"] = name


__all__ = ["Replacements", "Rewriting", "column_name", "same_tree"]
