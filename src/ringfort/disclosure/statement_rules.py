"""The grammar of what may be read, as a table: node types, their fields, and what may stand there.

A node type that is not in `NODES`, or a field that its row does not name, is refused, so a new PostgreSQL
grammar can only make statements refused that were allowed, never the other way round. Left out on purpose:
SELECT's `intoClause` and `lockingClause`, `%TYPE` and SETOF in type names, XML, TABLESAMPLE, XMLTABLE,
JSON_TABLE, and everything that the grammar never sets in a raw tree (`typeOid`, `xpr`, ...).

The rest of the checking, where a name decides, is in statement_walk.py.
"""

from __future__ import annotations

from typing import Any, Final

Node = dict[str, Any]
"""Fields of a node by name, or one wrapped node: `{"NodeType": {fields}}`."""

SKIP: Final = "skip"
"""A position, a flag or a number that decides nothing."""
NAME: Final = "name"
"""An identifier that the client made up (an alias, a cursor): it names nothing that exists."""
NODE: Final = "node"
"""A wrapped node or a list of wrapped nodes, each read by its own row."""
ROWS: Final = "rows"
"""A list of String nodes that the walk looks at itself (`FuncCall.funcname` and the like)."""

Rule = str | frozenset[str]
"""One of the above, the type of a struct that stands there unwrapped, or the values of an enumeration."""


def _one_of(*values: str) -> frozenset[str]:
    return frozenset(values)


_FORM = _one_of("COERCE_EXPLICIT_CALL", "COERCE_EXPLICIT_CAST", "COERCE_SQL_SYNTAX", "COERCE_IMPLICIT_CAST")

SELECT: Final[dict[str, Rule]] = {
    "distinctClause": NODE,
    "targetList": NODE,
    "fromClause": NODE,
    "whereClause": NODE,
    "groupClause": NODE,
    "groupDistinct": SKIP,
    "havingClause": NODE,
    "windowClause": NODE,
    "valuesLists": NODE,
    "sortClause": NODE,
    "limitOffset": NODE,
    "limitCount": NODE,
    "limitOption": _one_of("LIMIT_OPTION_DEFAULT", "LIMIT_OPTION_COUNT", "LIMIT_OPTION_WITH_TIES"),
    "withClause": SKIP,  # read first: its names are the scope of all the others
    "op": _one_of("SETOP_NONE", "SETOP_UNION", "SETOP_INTERSECT", "SETOP_EXCEPT"),
    "all": SKIP,
    "larg": "SelectStmt",
    "rarg": "SelectStmt",
}

CLAUSES: Final[dict[str, str]] = {
    "distinctClause": "distinct",
    "targetList": "output",
    "valuesLists": "output",
    "fromClause": "from",
    "whereClause": "where",
    "groupClause": "group",
    "havingClause": "having",
    "windowClause": "window",
    "sortClause": "order",
    "limitOffset": "limit",
    "limitCount": "limit",
}
"""What a part of a SELECT is called in a shape."""

NODES: Final[dict[str, dict[str, Rule]]] = {
    "SelectStmt": SELECT,
    "CommonTableExpr": {
        "ctename": NAME,
        "aliascolnames": NODE,
        "ctematerialized": SKIP,
        "ctequery": NODE,
        "search_clause": "CTESearchClause",
        "cycle_clause": "CTECycleClause",
        "location": SKIP,
    },
    "CTESearchClause": {
        "search_col_list": NODE,
        "search_breadth_first": SKIP,
        "search_seq_column": NAME,
        "location": SKIP,
    },
    "CTECycleClause": {
        "cycle_col_list": NODE,
        "cycle_mark_column": NAME,
        "cycle_mark_value": NODE,
        "cycle_mark_default": NODE,
        "cycle_path_column": NAME,
        "location": SKIP,
    },
    # from
    "RangeVar": {
        "schemaname": NAME,
        "relname": NAME,
        "inh": SKIP,
        "relpersistence": _one_of("p"),
        "alias": "Alias",
        "location": SKIP,
    },
    "Alias": {"aliasname": NAME, "colnames": NODE},
    "RangeSubselect": {"lateral": SKIP, "subquery": NODE, "alias": "Alias"},
    "RangeFunction": {
        "lateral": SKIP,
        "ordinality": SKIP,
        "is_rowsfrom": SKIP,
        "functions": NODE,
        "alias": "Alias",
        "coldeflist": NODE,
    },
    "ColumnDef": {
        "colname": NAME,
        "typeName": "TypeName",
        "is_local": SKIP,
        "collClause": "CollateClause",
        "location": SKIP,
    },
    "JoinExpr": {
        "jointype": _one_of("JOIN_INNER", "JOIN_LEFT", "JOIN_FULL", "JOIN_RIGHT"),
        "isNatural": SKIP,
        "larg": NODE,
        "rarg": NODE,
        "usingClause": ROWS,
        "join_using_alias": "Alias",
        "quals": NODE,
        "alias": "Alias",
    },
    # expressions
    "ResTarget": {"name": NAME, "val": NODE, "location": SKIP},
    "ColumnRef": {"fields": ROWS, "location": SKIP},
    "ParamRef": {"number": SKIP, "location": SKIP},
    "A_Const": {
        "ival": SKIP,
        "fval": SKIP,
        "boolval": SKIP,
        "sval": SKIP,
        "bsval": SKIP,
        "isnull": SKIP,
        "location": SKIP,
    },
    "A_Expr": {
        "kind": _one_of(
            "AEXPR_OP",
            "AEXPR_OP_ANY",
            "AEXPR_OP_ALL",
            "AEXPR_DISTINCT",
            "AEXPR_NOT_DISTINCT",
            "AEXPR_NULLIF",
            "AEXPR_IN",
            "AEXPR_LIKE",
            "AEXPR_ILIKE",
            "AEXPR_SIMILAR",
            "AEXPR_BETWEEN",
            "AEXPR_NOT_BETWEEN",
            "AEXPR_BETWEEN_SYM",
            "AEXPR_NOT_BETWEEN_SYM",
        ),
        "name": ROWS,
        "lexpr": NODE,
        "rexpr": NODE,
        "rexpr_list_start": SKIP,
        "rexpr_list_end": SKIP,
        "location": SKIP,
    },
    "TypeCast": {"arg": NODE, "typeName": "TypeName", "location": SKIP},
    "TypeName": {"names": ROWS, "typmods": NODE, "typemod": SKIP, "arrayBounds": NODE, "location": SKIP},
    "CollateClause": {"arg": NODE, "collname": ROWS, "location": SKIP},
    "FuncCall": {
        "funcname": ROWS,
        "args": NODE,
        "agg_order": NODE,
        "agg_filter": NODE,
        "over": "WindowDef",
        "agg_within_group": SKIP,
        "agg_star": SKIP,
        "agg_distinct": SKIP,
        "func_variadic": SKIP,
        "funcformat": _FORM,
        "location": SKIP,
    },
    "NamedArgExpr": {"arg": NODE, "name": NAME, "argnumber": SKIP, "location": SKIP},
    "WindowDef": {
        "name": NAME,
        "refname": NAME,
        "partitionClause": NODE,
        "orderClause": NODE,
        "frameOptions": SKIP,
        "startOffset": NODE,
        "endOffset": NODE,
        "location": SKIP,
    },
    "SortBy": {"node": NODE, "sortby_dir": SKIP, "sortby_nulls": SKIP, "useOp": ROWS, "location": SKIP},
    "A_Indices": {"is_slice": SKIP, "lidx": NODE, "uidx": NODE},
    "A_Indirection": {"arg": NODE, "indirection": NODE},
    "A_ArrayExpr": {"elements": NODE, "list_start": SKIP, "list_end": SKIP, "location": SKIP},
    "A_Star": {},
    "SubLink": {
        "subLinkType": _one_of(
            "EXISTS_SUBLINK",
            "ALL_SUBLINK",
            "ANY_SUBLINK",
            "EXPR_SUBLINK",
            "ARRAY_SUBLINK",
            "ROWCOMPARE_SUBLINK",
        ),
        "testexpr": NODE,
        "operName": ROWS,
        "subselect": NODE,
        "location": SKIP,
    },
    "CaseExpr": {"arg": NODE, "args": NODE, "defresult": NODE, "location": SKIP},
    "CaseWhen": {"expr": NODE, "result": NODE, "location": SKIP},
    "CoalesceExpr": {"args": NODE, "location": SKIP},
    "MinMaxExpr": {"op": SKIP, "args": NODE, "location": SKIP},
    "NullTest": {"arg": NODE, "nulltesttype": SKIP, "location": SKIP},
    "BooleanTest": {"arg": NODE, "booltesttype": SKIP, "location": SKIP},
    "BoolExpr": {"boolop": _one_of("AND_EXPR", "OR_EXPR", "NOT_EXPR"), "args": NODE, "location": SKIP},
    "RowExpr": {"args": NODE, "row_format": _FORM, "location": SKIP},
    "GroupingFunc": {"args": NODE, "location": SKIP},
    "GroupingSet": {"kind": SKIP, "content": NODE, "location": SKIP},
    "SQLValueFunction": {"op": SKIP, "typmod": SKIP, "location": SKIP},
    # lists and values
    "List": {"items": NODE},
    "String": {"sval": NAME},
    "Integer": {"ival": SKIP},
    # SQL/JSON
    "JsonIsPredicate": {
        "expr": NODE,
        "format": "JsonFormat",
        "item_type": SKIP,
        "unique_keys": SKIP,
        "location": SKIP,
    },
    "JsonFormat": {"format_type": SKIP, "encoding": SKIP, "location": SKIP},
    "JsonReturning": {"format": "JsonFormat"},
    "JsonOutput": {"typeName": "TypeName", "returning": "JsonReturning"},
    "JsonValueExpr": {"raw_expr": NODE, "format": "JsonFormat"},
    "JsonKeyValue": {"key": NODE, "value": "JsonValueExpr"},
    "JsonObjectConstructor": {
        "exprs": NODE,
        "output": "JsonOutput",
        "absent_on_null": SKIP,
        "unique": SKIP,
        "location": SKIP,
    },
    "JsonArrayConstructor": {"exprs": NODE, "output": "JsonOutput", "absent_on_null": SKIP, "location": SKIP},
    "JsonArrayQueryConstructor": {
        "query": NODE,
        "output": "JsonOutput",
        "format": "JsonFormat",
        "absent_on_null": SKIP,
        "location": SKIP,
    },
    "JsonAggConstructor": {
        "output": "JsonOutput",
        "agg_filter": NODE,
        "agg_order": NODE,
        "over": "WindowDef",
        "location": SKIP,
    },
    "JsonObjectAgg": {
        "constructor": "JsonAggConstructor",
        "arg": "JsonKeyValue",
        "absent_on_null": SKIP,
        "unique": SKIP,
    },
    "JsonArrayAgg": {"constructor": "JsonAggConstructor", "arg": "JsonValueExpr", "absent_on_null": SKIP},
    "JsonParseExpr": {"expr": "JsonValueExpr", "output": "JsonOutput", "unique_keys": SKIP, "location": SKIP},
    "JsonScalarExpr": {"expr": NODE, "output": "JsonOutput", "location": SKIP},
    "JsonSerializeExpr": {"expr": "JsonValueExpr", "output": "JsonOutput", "location": SKIP},
    "JsonArgument": {"val": "JsonValueExpr", "name": NAME},
    "JsonBehavior": {"btype": SKIP, "expr": NODE, "location": SKIP},
    "JsonFuncExpr": {
        "op": _one_of("JSON_EXISTS_OP", "JSON_QUERY_OP", "JSON_VALUE_OP"),
        "context_item": "JsonValueExpr",
        "pathspec": NODE,
        "passing": NODE,
        "output": "JsonOutput",
        "on_empty": "JsonBehavior",
        "on_error": "JsonBehavior",
        "wrapper": SKIP,
        "quotes": SKIP,
        "location": SKIP,
    },
}

UNSUPPORTED: Final[dict[str, tuple[str, str]]] = {
    "SelectStmt.intoClause": ("SELECT INTO makes a table", "leave INTO out: nothing can be written here"),
    "SelectStmt.lockingClause": (
        "row locks (FOR UPDATE, FOR SHARE) are not available",
        "leave the clause out",
    ),
    "RangeVar.catalogname": (
        "a relation is named with a database",
        "leave the database out: a session reaches only the one that it is connected to",
    ),
    "RangeTableSample": ("TABLESAMPLE is not available", "use ORDER BY gen_random_uuid() LIMIT n"),
    "RangeTableFunc": ("XMLTABLE is not available", "XML functions are refused"),
    "XmlExpr": ("XML functions are not available", "XML functions are refused"),
    "XmlSerialize": ("XML functions are not available", "XML functions are refused"),
    "JsonTable": ("JSON_TABLE is not available", "use jsonb_to_recordset(...) or jsonb_path_query(...)"),
    "CurrentOfExpr": ("WHERE CURRENT OF is not available", "nothing can be written here"),
    "SetToDefault": ("DEFAULT is not available here", "nothing can be written here"),
    "InsertStmt": ("INSERT changes data", "this session may only read"),
    "UpdateStmt": ("UPDATE changes data", "this session may only read"),
    "DeleteStmt": ("DELETE changes data", "this session may only read"),
    "MergeStmt": ("MERGE changes data", "this session may only read"),
}
"""What people will try: a reason and a hint of their own instead of the name of a node."""


__all__ = ["CLAUSES", "NAME", "NODE", "NODES", "ROWS", "SELECT", "SKIP", "UNSUPPORTED", "Node", "Rule"]
