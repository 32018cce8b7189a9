"""The table of statement_rules.py against the grammar's own description of its nodes."""

# ruff: noqa: E501 - statements and lists read best whole

import pytest
from postgast import pg_query_pb2

from ringfort.disclosure.statement_rules import NAME, NODE, NODES, ROWS, SKIP

# fields that hold nodes and are read by the walk itself, or not at all because they are plain values
READ_ELSEWHERE = {
    ("SelectStmt", "withClause"),
    *(("A_Const", field) for field in ("ival", "fval", "boolval", "sval", "bsval")),
}
# what the table leaves out, and so refuses; a new field of a new grammar must be looked at before it is added here
LEFT_OUT = {
    "A_Indices": set(),
    "BooleanTest": {"xpr"},
    "BoolExpr": {"xpr"},
    "CaseExpr": {"xpr", "casetype", "casecollid"},
    "CaseWhen": {"xpr"},
    "CoalesceExpr": {"xpr", "coalescetype", "coalescecollid"},
    "ColumnDef": {
        "cooked_default",
        "collOid",
        "compression",
        "constraints",
        "fdwoptions",
        "generated",
        "identity",
        "identitySequence",
        "inhcount",
        "is_from_type",
        "is_not_null",
        "raw_default",
        "storage",
        "storage_name",
    },
    "CommonTableExpr": {
        "ctecolcollations",
        "ctecolnames",
        "ctecoltypes",
        "ctecoltypmods",
        "cterecursive",
        "cterefcount",
    },
    "CTECycleClause": {"cycle_mark_collation", "cycle_mark_neop", "cycle_mark_type", "cycle_mark_typmod"},
    "GroupingFunc": {"agglevelsup", "refs", "xpr"},
    "JoinExpr": {"rtindex"},
    "JsonBehavior": {"coerce"},
    "JsonFuncExpr": {"column_name"},
    "JsonReturning": {"typid", "typmod"},
    "JsonValueExpr": {"formatted_expr"},
    "MinMaxExpr": {"inputcollid", "minmaxcollid", "minmaxtype", "xpr"},
    "NamedArgExpr": {"xpr"},
    "NullTest": {"argisrow", "xpr"},
    "RangeVar": {"catalogname"},
    "ResTarget": {"indirection"},
    "RowExpr": {"colnames", "row_typeid", "xpr"},
    "SelectStmt": {"intoClause", "lockingClause"},
    "SQLValueFunction": {"type", "xpr"},
    "SubLink": {"subLinkId", "xpr"},
    "TypeName": {"pct_type", "setof", "typeOid"},
}


def fields_of(kind):
    return {field.json_name: field for field in getattr(pg_query_pb2, kind).DESCRIPTOR.fields}


@pytest.mark.parametrize("kind", sorted(NODES))
def test_the_table_names_every_field(kind):
    known = fields_of(kind)
    assert NODES[kind].keys() <= known.keys()
    assert known.keys() - NODES[kind].keys() == LEFT_OUT.get(kind, set())


@pytest.mark.parametrize("kind", sorted(NODES))
def test_nothing_that_holds_nodes_is_skipped(kind):
    for name, rule in NODES[kind].items():
        field = fields_of(kind)[name]
        message = field.message_type.name if field.message_type else None
        if (kind, name) in READ_ELSEWHERE:
            continue
        if rule in (SKIP, NAME):
            assert message is None, f"{kind}.{name}"
        elif rule in (NODE, ROWS):
            assert message == "Node", f"{kind}.{name}"
        elif isinstance(rule, str):
            assert message == rule, f"{kind}.{name}"
            assert rule in NODES
        elif field.enum_type is not None:
            assert rule < {value.name for value in field.enum_type.values}, f"{kind}.{name}"


def test_lists_of_names_hold_only_strings_in_the_grammar():
    rows = {(kind, name) for kind, row in NODES.items() for name, rule in row.items() if rule is ROWS}
    assert rows == {
        ("A_Expr", "name"),
        ("CollateClause", "collname"),
        ("ColumnRef", "fields"),
        ("FuncCall", "funcname"),
        ("JoinExpr", "usingClause"),
        ("SortBy", "useOp"),
        ("SubLink", "operName"),
        ("TypeName", "names"),
    }
