"""Checks of the walk for what calls something: functions, operators, types, collations.

Only listed names of pg_catalog. Four kinds of call are judged by their literals, and set `literal_dependent`
before they are: set_config and current_setting by the parameter's name, texts that name an object by that
name, and functions of text search by the name of the configuration. What tells of objects by number or name
is noted for replacement.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ringfort.disclosure.catalog_relations import RELATIONS
from ringfort.disclosure.function_list import (
    CONFIGURATION_FUNCTIONS,
    FUNCTIONS,
    INFORMATION_SCHEMA_FUNCTIONS,
    LITERAL_FUNCTIONS,
    OPERATORS,
    REFERENCE_TYPES,
    STAND_INS,
    TYPES,
    why_refused,
)
from ringfort.disclosure.statement_constants import literal, plain, words
from ringfort.disclosure.statement_refusal import StatementRefusedError, unsupported
from ringfort.disclosure.statement_relations import CATALOG_SCHEMAS, require_select
from ringfort.disclosure.statement_settings import setting_refused, showing_refused, takes_any_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_scope import Place
    from ringfort.disclosure.statement_walk import Walk

# these print constants out of definitions of any table of the database: an operate session has some tables
PRINTING: Final = frozenset(
    {
        "pg_get_constraintdef",
        "pg_get_expr",
        "pg_get_function_arguments",
        "pg_get_indexdef",
        "pg_get_partkeydef",
        "pg_get_statisticsobjdef_columns",
    }
)
# what an operate session, for which nothing is replaced, may not call
_NOT_THEMSELVES: Final = (
    (REFERENCE_TYPES - {"regclass"})
    | {name for name in STAND_INS if name == "pg_describe_object" or why_refused(name)}
    | PRINTING
)
_CONSTANTS: Final = frozenset({"A_Const", "ParamRef"})
# how many arguments the functions of text search have with a configuration before the others
_WITH_CONFIGURATION: Final = {"json_to_tsvector": 3, "jsonb_to_tsvector": 3, "ts_headline": 4}
# found in pg_catalog or the profile's own schema; neither a number nor a name in another schema
_CONFIGURATION_NAME: Final = re.compile(r"(pg_catalog\.)?[a-z_][a-z0-9_]*", re.IGNORECASE | re.ASCII)


def _in_catalog(parts: list[str]) -> bool:
    """Whether a name can only be one of pg_catalog: qualified so, or found there first."""
    return len(parts) == 1 or (len(parts) == 2 and parts[0] == "pg_catalog")


# -- functions -----------------------------------------------------------------------------------------------


def _function(walk: Walk, fields: Node, place: Place) -> None:
    parts = words(fields["funcname"])
    name = parts[-1]
    if walk.surface.operate and _in_catalog(parts) and name in PRINTING:
        raise StatementRefusedError(
            "a function that prints constants out of definitions of other tables",
            hint=f"leave `{name}` out; pg_constraint, pg_index and pg_attribute tell which columns",
        )
    if _in_catalog(parts) and name in FUNCTIONS:
        place.block.add(place.clause, f"{name}()")
    elif _in_catalog(parts) and name in LITERAL_FUNCTIONS:
        walk.literal_dependent = True
        if not any(fields is call for call in walk.harmless):
            _literal_function(walk, name, fields)
        place.block.add(place.clause, f"{name}()")
    elif _in_catalog(parts) and name in STAND_INS and not (walk.surface.operate and name in _NOT_THEMSELVES):
        _stand_in(walk, name, fields)
        place.block.add(place.clause, f"{name}()")
    elif _in_catalog(parts) and name in CONFIGURATION_FUNCTIONS:
        _configuration_function(walk, name, fields)
        place.block.add(place.clause, f"{name}()")
    elif not (parts[0] == "information_schema" and name in INFORMATION_SCHEMA_FUNCTIONS and len(parts) == 2):
        why = why_refused(name)
        if why:
            raise StatementRefusedError(
                f"a function that is not on the list: {why}", hint=f"leave `{name}` out of the statement"
            )
        raise StatementRefusedError(
            "a function that is not on the list",
            hint=f"`{'.'.join(parts)}` is not one of the built-in functions that such a session may call",
        )


def _stand_in(walk: Walk, name: str, fields: Node) -> None:
    args = fields.get("args", [])
    kind = name.removeprefix("to_")
    if kind in REFERENCE_TYPES and len(args) == 1:
        _reference(walk, kind, args[0])
    if walk.surface.operate:
        return
    if name == "pg_typeof":
        walk.replacements.type_questions.append(fields)
    else:
        walk.replacements.functions.append(fields)


def _configuration_function(walk: Walk, name: str, fields: Node) -> None:
    """The server looks a configuration up by a text, a number, or a parameter, wherever one may stand.

    So where one stands is a plain name or a cast to regconfig. ts_headline of three arguments has one, or
    options at its end: without a name before the others its stand-in is called, which takes none.
    """
    args = fields.get("args", [])
    most = _WITH_CONFIGURATION.get(name, 2)
    if walk.surface.operate or (len(args) < most and not (name == "ts_headline" and len(args) == 3)):
        return
    walk.literal_dependent = True
    constant, cast = args[0].get("A_Const", {}), args[0].get("TypeCast")
    if "sval" in constant and _CONFIGURATION_NAME.fullmatch(constant["sval"].get("sval", "")):
        return
    if cast is not None and _type_name(cast["typeName"]) == "regconfig":
        return
    if len(args) == most:
        raise StatementRefusedError(
            "a text search configuration that is neither a plain name nor a cast to regconfig",
            hint="name one of the server's own, as in to_tsvector('english', ...), or write `$1::regconfig`",
        )
    walk.replacements.functions.append(fields)


def _literal_function(walk: Walk, name: str, fields: Node) -> None:
    args = fields.get("args", [])
    if not args or any("NamedArgExpr" in arg for arg in args):
        raise StatementRefusedError("a function whose arguments decide takes them by position", hint="")
    first = literal(args[0])
    if name == "set_config":
        _set_config(args, first)
    elif first is None:
        if walk.surface.operate:
            raise StatementRefusedError(
                "current_setting takes only a literal name here",
                hint="write the parameter's name into the text",
            )
        walk.replacements.functions.append(fields)
    else:
        refused = showing_refused(first)
        if refused is not None:
            raise StatementRefusedError(refused[0], hint=refused[1])


def _set_config(args: list[Node], name: str | None) -> None:
    """The value may be a parameter, which is a constant of the client's, too, where any value will do."""
    nodes = [plain(arg) for arg in args]
    if len(nodes) != 3 or name is None or any(not _CONSTANTS & node.keys() for node in nodes):
        raise StatementRefusedError(
            "set_config takes only literals here",
            hint="write name, value and is_local into the text, or use SET",
        )
    refused = setting_refused(name, literal(nodes[1]))
    if refused is None and "ParamRef" in nodes[1] and not takes_any_value(name):
        refused = ("set_config takes only a literal value here", "write the value into the text")
    if refused is not None:
        raise StatementRefusedError(refused[0], hint=refused[1])


# -- operators and collations --------------------------------------------------------------------------------


def _expression(walk: Walk, fields: Node, place: Place) -> None:
    kind = fields["kind"]
    if "BETWEEN" in kind:
        word = "between"
    else:
        word = _operator_name(fields["name"])
        if kind == "AEXPR_IN":
            word = "in" if word == "=" else "not in"
        _setting_beside_access_method(walk, word, fields)
    left = fields.get("lexpr", {}).get("ColumnRef")
    if left is not None and place.clause in {"where", "join", "having"}:
        last = left["fields"][-1].get("String", {}).get("sval", "")
        if last in walk.surface.columns:
            place.block.add(place.clause, f"{last} {word}")


def _setting_beside_access_method(walk: Walk, operator: str, fields: Node) -> None:
    """SQLAlchemy compares `pg_catalog.pg_am.amname` with the setting that a parameter names.

    That tells whether the setting's value is the name of an access method, and nothing else.
    """
    left = fields.get("lexpr", {}).get("ColumnRef", {}).get("fields", [])
    call = fields.get("rexpr", {}).get("FuncCall")
    if (
        operator in {"=", "<>"}
        and fields["kind"] == "AEXPR_OP"
        and call is not None
        and [part.get("String", {}).get("sval") for part in left] == ["pg_catalog", "pg_am", "amname"]
        and words(call["funcname"])[-1] == "current_setting"
    ):
        walk.harmless.append(call)


def _operator_name(parts: list[Node]) -> str:
    names = words(parts)
    if not _in_catalog(names) or names[-1] not in OPERATORS:
        raise StatementRefusedError(
            "an operator that is not on the list", hint="only PostgreSQL's built-in operators may be used"
        )
    return names[-1]


def _sort(walk: Walk, fields: Node, place: Place) -> None:
    del walk, place
    if "useOp" in fields:
        _operator_name(fields["useOp"])


def _sublink(walk: Walk, fields: Node, place: Place) -> None:
    del walk, place
    require_select(fields["subselect"], "a subquery may only read")
    if "operName" in fields:
        _operator_name(fields["operName"])


def _collation(walk: Walk, fields: Node, place: Place) -> None:
    del walk, place
    if not _in_catalog(words(fields["collname"])):
        raise StatementRefusedError(
            "a collation outside of pg_catalog", hint="leave the schema of the collation out"
        )


# -- types ---------------------------------------------------------------------------------------------------


def _type(walk: Walk, fields: Node, place: Place) -> None:
    del place
    naming = _type_name(fields) in REFERENCE_TYPES and not walk.surface.operate
    if naming and id(fields) not in walk.replacements.cast_types:
        raise StatementRefusedError(
            "a type that names objects is not available here",
            hint="cast to it, as in `oid::regclass`; use oid or text for parameters and columns",
        )


def _type_name(fields: Node) -> str:
    """The listed type's name, without the underscore of an array type."""
    parts = words(fields["names"])
    name = parts[-1].removeprefix("_")
    if not _in_catalog(parts) or name not in TYPES:
        raise StatementRefusedError(
            "a type that is not on the list", hint=f"`{'.'.join(parts)}` is not one of the types to use here"
        )
    for node in fields.get("typmods", ()):
        if "A_Const" not in node:
            raise unsupported("TypeName.typmods")
    return name


def _column_definition(walk: Walk, fields: Node, place: Place) -> None:
    del walk, place
    if _type_name(fields["typeName"]) in REFERENCE_TYPES:
        raise StatementRefusedError(
            "names of objects cannot be read out of JSON", hint="define the column as text"
        )


def _cast(walk: Walk, fields: Node, place: Place) -> None:
    del place
    name = _type_name(fields["typeName"])
    if name in REFERENCE_TYPES:
        _reference(walk, name, fields["arg"])
        if walk.surface.operate:
            return
        of_type = fields["typeName"]
        if of_type.keys() & {"typmods", "arrayBounds"} or words(of_type["names"])[-1] != name:
            raise StatementRefusedError(
                "a cast to an array of names of objects",
                hint=f"cast single values to `{name}`",
                sqlstate="0A000",
            )
        walk.replacements.cast(fields, name)


def _reference(walk: Walk, kind: str, arg: Node) -> None:
    """A text that names an object: only what the session may know of, or it is told so.

    The stand-in of the cast finds nothing else in any case, and says NULL.
    """
    constant = plain(arg)
    if "A_Const" not in constant:
        return
    walk.literal_dependent = True
    value = literal(constant)
    if value is None or kind not in {"regclass", "regnamespace"}:
        return
    if not _may_know(walk, kind, value):
        raise StatementRefusedError(
            f"`{kind}` of a name that is not visible to this session",
            hint="name one of your views, or a relation of pg_catalog",
            sqlstate="42P01",
        )


def _may_know(walk: Walk, kind: str, value: str) -> bool:
    if value == "-" or (value.isascii() and value.isdigit()):
        return True
    surface = walk.surface
    parts = value.replace('"', "").lower().split(".")
    if kind == "regnamespace":
        return len(parts) == 1 and parts[0] in {*CATALOG_SCHEMAS, surface.schema}
    known = {name.lower() for name in surface.relations}
    if len(parts) == 1:
        return parts[0] in known or ("pg_catalog", parts[0]) in RELATIONS
    return len(parts) == 2 and (
        (parts[0], parts[1]) in RELATIONS or (parts[0] == surface.schema and parts[1] in known)
    )


CALL_CHECKS: Final[dict[str, Callable[[Walk, Node, Place], None]]] = {
    "A_Expr": _expression,
    "CollateClause": _collation,
    "ColumnDef": _column_definition,
    "FuncCall": _function,
    "SortBy": _sort,
    "SubLink": _sublink,
    "TypeCast": _cast,
    "TypeName": _type,
}


__all__ = ["CALL_CHECKS"]
