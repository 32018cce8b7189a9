"""What an operate session may send beside everything that a profile session may: it changes granted tables.

INSERT, UPDATE, DELETE, TRUNCATE, COPY of a table to STDOUT and from STDIN, CREATE INDEX, ANALYZE, and those
commands of ALTER TABLE that stay within the table. Names, expressions, functions, types and operators in them
are judged as everywhere: default-deny, and a relation must be one of the session's tables. So DO, CREATE
FUNCTION, COPY of files and programs, SET ROLE, ALTER SYSTEM and every other statement stay refused.

Left out, and refused: WITH before a statement that writes, MERGE, DEFAULT as a value, new tables, foreign
keys, owners, triggers, rules, tablespaces, partitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ringfort.disclosure.statement_refusal import StatementRefusedError, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_shape import Block
    from ringfort.disclosure.statement_walk import Walk

WRITE, COPY_IN = "write", "copy_in"
COPY_OPTIONS: Final = frozenset(
    {"format", "delimiter", "null", "header", "quote", "escape", "force_quote", "force_not_null",
     "force_null", "freeze", "on_error", "log_verbosity", "default"}
)  # fmt: skip
_COLUMN_COMMANDS: Final = frozenset(
    {"AT_DropColumn", "AT_SetNotNull", "AT_DropNotNull", "AT_DropConstraint", "AT_ValidateConstraint"}
)
_INDEX_METHODS: Final = frozenset({"btree", "hash", "gin", "gist", "brin", "spgist"})


def _only(fields: Node, kind: str, *names: str) -> None:
    for name in fields:
        if name not in names and name != "location":
            raise unsupported(f"{kind}.{name}")


def _target(fields: Node, walk: Walk, block: Block) -> None:
    """The table that is changed: one of the session's, never a relation of the catalogue."""
    _only(fields, "RangeVar", "schemaname", "relname", "inh", "relpersistence", "alias")
    schema, name, surface = fields.get("schemaname", ""), fields["relname"], walk.surface
    mine = schema == surface.schema if schema else not name.startswith("pg_")
    if not mine or name not in surface.relations or fields.get("relpersistence", "p") != "p":
        raise StatementRefusedError(
            "a table that this session's grants do not cover",
            hint=f"`{schema + '.' if schema else ''}{name}`: ask for a grant that covers it",
            sqlstate="42P01",
        )
    block.add("into", name)
    if "alias" in fields:
        _only(fields["alias"], "Alias", "aliasname")


def _expressions(fields: Node, walk: Walk, block: Block, *names: str) -> None:
    for name in names:
        if name in fields:
            walk.expressions(fields[name], block)


def _returning(fields: Node, walk: Walk, block: Block) -> None:
    clause = fields.get("returningClause", {})
    _only(clause, "ReturningClause", "exprs")
    _expressions(clause, walk, block, "exprs")


def _columns(nodes: list[Node], walk: Walk, block: Block) -> None:
    for node in nodes:
        fields = node["ResTarget"]
        _only(fields, "ResTarget", "name")
        if fields["name"] in walk.surface.columns:
            block.add("columns", fields["name"])


def _insert(fields: Node, walk: Walk, block: Block) -> str:
    _only(
        fields,
        "InsertStmt",
        "relation",
        "cols",
        "selectStmt",
        "onConflictClause",
        "returningClause",
        "override",
    )
    if fields.get("override", "OVERRIDING_NOT_SET") != "OVERRIDING_NOT_SET":
        raise unsupported("InsertStmt.override")
    _target(fields["relation"], walk, block)
    _columns(fields.get("cols", []), walk, block)
    if "selectStmt" in fields:
        walk.query(fields["selectStmt"], block)
    conflict = fields.get("onConflictClause", {})
    _only(conflict, "OnConflictClause", "action", "infer", "targetList", "whereClause")
    infer = conflict.get("infer", {})
    _only(infer, "InferClause", "indexElems", "whereClause", "conname")
    _index_elements(infer.get("indexElems", []), walk, block)
    _expressions(infer, walk, block, "whereClause")
    _expressions(conflict, walk, block, "targetList", "whereClause")
    _returning(fields, walk, block)
    block.flags.add("insert")
    return WRITE


def _update(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "UpdateStmt", "relation", "targetList", "whereClause", "fromClause", "returningClause")
    _target(fields["relation"], walk, block)
    _expressions(fields, walk, block, "fromClause", "targetList", "whereClause")
    _returning(fields, walk, block)
    block.flags.add("update")
    return WRITE


def _delete(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "DeleteStmt", "relation", "usingClause", "whereClause", "returningClause")
    _target(fields["relation"], walk, block)
    _expressions(fields, walk, block, "usingClause", "whereClause")
    _returning(fields, walk, block)
    block.flags.add("delete")
    return WRITE


def _truncate(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "TruncateStmt", "relations", "restart_seqs", "behavior")
    if fields.get("behavior", "DROP_RESTRICT") != "DROP_RESTRICT":
        raise StatementRefusedError(
            "TRUNCATE ... CASCADE empties tables that are not named", hint="name every table"
        )
    for node in fields["relations"]:
        _target(node["RangeVar"], walk, block)
    block.flags.add("truncate")
    return WRITE


def copy_table(fields: Node, walk: Walk, block: Block) -> str:
    """COPY of a table by name, to STDOUT or from STDIN; its options are judged by the caller."""
    _only(fields, "CopyStmt", "relation", "attlist", "is_from", "options", "whereClause")
    _target(fields["relation"], walk, block)
    _expressions(fields, walk, block, "whereClause")
    block.flags.add("copy")
    return COPY_IN if fields.get("is_from") else "copy_out"


def _index_elements(nodes: list[Node], walk: Walk, block: Block) -> None:
    for node in nodes:
        fields = node["IndexElem"]
        _only(fields, "IndexElem", "name", "expr", "ordering", "nulls_ordering")
        _expressions(fields, walk, block, "expr")


def _index(fields: Node, walk: Walk, block: Block) -> str:
    _only(
        fields, "IndexStmt", "idxname", "relation", "accessMethod", "indexParams", "indexIncludingParams",
        "whereClause", "unique", "concurrent", "if_not_exists", "nulls_not_distinct",
    )  # fmt: skip
    if fields.get("accessMethod", "btree") not in _INDEX_METHODS:
        raise unsupported("IndexStmt.accessMethod")
    _target(fields["relation"], walk, block)
    for name in ("indexParams", "indexIncludingParams"):
        _index_elements(fields.get(name, []), walk, block)
    _expressions(fields, walk, block, "whereClause")
    block.flags.add("create_index")
    return WRITE


def _alter(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "AlterTableStmt", "relation", "cmds", "objtype", "missing_ok")
    if fields.get("objtype") != "OBJECT_TABLE":
        raise unsupported("AlterTableStmt.objtype")
    _target(fields["relation"], walk, block)
    for node in fields["cmds"]:
        _command(node["AlterTableCmd"], walk, block)
    block.flags.add("alter_table")
    return WRITE


def _command(fields: Node, walk: Walk, block: Block) -> None:
    _only(fields, "AlterTableCmd", "subtype", "name", "def", "behavior", "missing_ok")
    if fields.get("behavior", "DROP_RESTRICT") != "DROP_RESTRICT":
        raise StatementRefusedError(
            "CASCADE takes away what is not named", hint="drop what depends on it first"
        )
    kind, definition = fields["subtype"], fields.get("def", {})
    if kind in _COLUMN_COMMANDS and not definition:
        return
    if kind == "AT_ColumnDefault":
        if definition:
            walk.expressions(definition, block)
        return
    if kind in {"AT_AddColumn", "AT_AlterColumnType"} and "ColumnDef" in definition:
        column = definition["ColumnDef"]
        _only(
            column, "ColumnDef", "colname", "typeName", "is_local", "constraints", "raw_default", "collClause"
        )
        walk.expressions({"TypeName": column["typeName"]}, block)
        if "collClause" in column:
            walk.expressions({"CollateClause": column["collClause"]}, block)
        _expressions(column, walk, block, "raw_default")
        for each in column.get("constraints", []):
            _constraint(each["Constraint"], walk, block)
        return
    if kind == "AT_AddConstraint" and "Constraint" in definition:
        _constraint(definition["Constraint"], walk, block)
        return
    raise unsupported(f"AlterTableCmd.{kind}")


def _constraint(fields: Node, walk: Walk, block: Block) -> None:
    _only(
        fields, "Constraint", "contype", "conname", "is_enforced", "initially_valid", "skip_validation",
        "raw_expr", "keys", "nulls_not_distinct",
    )  # fmt: skip
    known = {
        "CONSTR_NOTNULL",
        "CONSTR_NULL",
        "CONSTR_DEFAULT",
        "CONSTR_CHECK",
        "CONSTR_UNIQUE",
        "CONSTR_PRIMARY",
    }
    if fields["contype"] not in known:
        raise unsupported(f"Constraint.{fields['contype']}")
    _expressions(fields, walk, block, "raw_expr")


def _analyze(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "VacuumStmt", "rels")
    if not fields.get("rels"):
        raise StatementRefusedError("ANALYZE of the whole database", hint="name the tables")
    for node in fields["rels"]:
        relation = node["VacuumRelation"]
        _only(relation, "VacuumRelation", "relation", "va_cols")
        _target(relation["relation"], walk, block)
    block.flags.add("analyze")
    return WRITE


READERS: Final[dict[str, Callable[[Node, Walk, Block], str]]] = {
    "AlterTableStmt": _alter,
    "DeleteStmt": _delete,
    "IndexStmt": _index,
    "InsertStmt": _insert,
    "TruncateStmt": _truncate,
    "UpdateStmt": _update,
    "VacuumStmt": _analyze,
}


__all__ = ["COPY_IN", "COPY_OPTIONS", "READERS", "WRITE", "copy_table"]
