"""Checks of the walk for what names relations and columns.

A relation is a CTE in scope, as the server scopes it, or a view of the surface, or a listed catalogue
relation, which is then replaced by its copy (an operate session reads the relation itself). The server looks
an unqualified name up in pg_catalog first, then in the profile's schema, so a name that starts with `pg_` is
always the catalogue's, and no CTE may be called like that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ringfort.disclosure.catalog_relations import OPERATE_RELATIONS, RELATIONS, SYSTEM_COLUMNS
from ringfort.disclosure.function_list import NAMED_SCALAR_FUNCTIONS
from ringfort.disclosure.statement_constants import literal, words
from ringfort.disclosure.statement_refusal import StatementRefusedError, unsupported
from ringfort.disclosure.statement_rules import UNSUPPORTED
from ringfort.disclosure.statement_settings import showing_refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_scope import Place
    from ringfort.disclosure.statement_walk import Walk

CATALOG_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema"})


def require_select(node: Node, reason: str) -> None:
    """Refuse anything but a SELECT, VALUES or TABLE."""
    kind = next(iter(node), "")
    if kind != "SelectStmt":
        special = UNSUPPORTED.get(kind, (reason, "this session may only read"))
        raise StatementRefusedError(special[0], hint=special[1])


def cte_name(node: Node) -> str:
    """The name of a common table expression; refused if it could hide a catalogue relation."""
    name = str(node.get("CommonTableExpr", {}).get("ctename", ""))
    if not name or name.startswith("pg_"):
        raise StatementRefusedError(
            "a common table expression may not be called like a relation of the catalogue",
            hint="names that start with `pg_` are reserved",
        )
    return name


def _common_table(walk: Walk, fields: Node, place: Place) -> None:
    del walk, place
    require_select(fields["ctequery"], "a common table expression may only read")


def _sub_select(walk: Walk, fields: Node, place: Place) -> None:
    del walk, place
    require_select(fields["subquery"], "a subquery may only read")


def _relation(walk: Walk, fields: Node, place: Place) -> None:
    schema = fields.get("schemaname", "")
    name = fields["relname"]
    if not schema and name in place.scope:
        return
    surface = walk.surface
    of_surface = schema == surface.schema if schema else not name.startswith("pg_")
    if of_surface and name in surface.relations:
        place.block.add("from", name)
        walk.views[id(fields)] = name
        return
    catalog = schema or "pg_catalog"
    if (catalog, name) not in (OPERATE_RELATIONS if surface.operate else RELATIONS):
        raise _no_relation(schema, name)
    place.block.add("from", f"{catalog}.{name}")
    if not surface.operate:
        walk.replacements.relations.append(fields)
        return
    guarded = OPERATE_RELATIONS[catalog, name]
    if guarded and not any(fields is relation for relation in walk.harmless):
        walk.guard.relation(fields, guarded, place.block)


def _no_relation(schema: str, name: str) -> StatementRefusedError:
    full = f"{schema}.{name}" if schema else name
    if schema in CATALOG_SCHEMAS or (not schema and name.startswith("pg_")):
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


def _range_function(walk: Walk, fields: Node, place: Place) -> None:
    del place
    alias = fields.get("alias", {})
    declared = set(words(alias.get("colnames", [])))
    declared |= {node["ColumnDef"]["colname"] for node in fields.get("coldeflist", [])}
    for item in fields["functions"]:
        call, *definitions = item.get("List", {}).get("items", [{}])
        if "FuncCall" not in call:  # the grammar also admits COALESCE, CAST and the like here
            raise unsupported("RangeFunction.functions")
        function = words(call["FuncCall"]["funcname"])[-1]
        columns = set(declared)
        for node in definitions:
            columns |= {column["ColumnDef"]["colname"] for column in node.get("List", {}).get("items", [])}
        visible = alias.get("aliasname", function)
        if not columns and function not in NAMED_SCALAR_FUNCTIONS:
            columns = {visible}  # the one column of a scalar result is called like the result
        walk.notation.function_result(visible, columns)


def _join(walk: Walk, fields: Node, place: Place) -> None:
    block = place.block
    if fields.get("isNatural"):
        walk.guard.natural.append(block)
        block.flags.add("natural_join")
    for name in words(fields.get("usingClause", [])):
        walk.guard.touched.add(name)
        note_column(walk, name, place, "join")
    if "alias" in fields:
        walk.guard.join_aliases.append((block, fields["alias"]))


def _column(walk: Walk, fields: Node, place: Place) -> None:
    parts = fields["fields"]
    last = parts[-1]
    qualifier = parts[-2]["String"]["sval"] if len(parts) > 1 else ""
    if not walk.surface.operate and len(parts) > 2 and parts[-3]["String"]["sval"] in CATALOG_SCHEMAS:
        if len(parts) > 3:
            raise unsupported("RangeVar.catalogname")
        walk.replacements.columns.append(fields)
    if "A_Star" in last:
        if qualifier:
            walk.guard.touched.add(qualifier)
        else:
            walk.guard.stars.append(place.block)
        return
    name = last["String"]["sval"]
    walk.guard.touched.add(name)
    if name in SYSTEM_COLUMNS:
        walk.replacements.system = True
    if qualifier:
        walk.notation.reference(qualifier, name)
    note_column(walk, name, place, place.clause)


def _indirection(walk: Walk, fields: Node, place: Place) -> None:
    del place
    for node in fields["indirection"]:
        if "String" in node:
            name = node["String"]["sval"]
            walk.guard.touched.add(name)
            walk.notation.field(name)


def note_column(walk: Walk, name: str, place: Place, clause: str) -> None:
    """Let the shape tell of a column that the surface knows."""
    if name in walk.surface.columns:
        place.block.add(clause, name)


def note_single_setting(walk: Walk, select: Node) -> None:
    """JDBC reads `max_index_keys` by name from pg_settings, which is SHOW of that parameter."""
    tables = select.get("fromClause", [])
    where = select.get("whereClause", {}).get("A_Expr", {})
    if len(tables) != 1 or where.get("kind") != "AEXPR_OP" or words(where["name"]) != ["="]:
        return
    table = tables[0].get("RangeVar", {})
    column = where.get("lexpr", {}).get("ColumnRef", {}).get("fields", [])
    constant = where.get("rexpr", {})
    if (
        table.get("relname") == "pg_settings"
        and table.get("schemaname", "pg_catalog") == "pg_catalog"
        and "A_Const" in constant
        and [part.get("String", {}).get("sval") for part in column] == ["name"]
    ):
        walk.literal_dependent = True
        name = literal(constant)
        if name is not None and showing_refused(name) is None:
            walk.harmless.append(table)


RELATION_CHECKS: Final[dict[str, Callable[[Walk, Node, Place], None]]] = {
    "A_Indirection": _indirection,
    "ColumnRef": _column,
    "CommonTableExpr": _common_table,
    "JoinExpr": _join,
    "RangeFunction": _range_function,
    "RangeSubselect": _sub_select,
    "RangeVar": _relation,
}


__all__ = [
    "CATALOG_SCHEMAS",
    "RELATION_CHECKS",
    "cte_name",
    "note_column",
    "note_single_setting",
    "require_select",
]
