"""The statements themselves: one reader for each kind that is allowed, words for those that people will try.

Everything but a plain SELECT is marked `literal_dependent`: utility statements carry options, counts and
values in places where a cache key would lose them, and they are too few and too cheap to be worth a cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ringfort.disclosure import statement_operate as operate
from ringfort.disclosure.statement_refusal import StatementRefusedError
from ringfort.disclosure.statement_settings import setting_refused, showing_refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.disclosure.statement_rules import Node
    from ringfort.disclosure.statement_shape import Block
    from ringfort.disclosure.statement_walk import Walk

_CURSOR_HOLD: Final = 0x0020
# BINARY, SCROLL, NO SCROLL, INSENSITIVE, ASENSITIVE, and the planner's FAST_PLAN, which the grammar always
# sets
_CURSOR_KNOWN: Final = 0x0001 | 0x0002 | 0x0004 | 0x0008 | 0x0010 | 0x0100
_COPY_OPTIONS: Final = frozenset({"format", "delimiter", "null", "header", "quote", "escape", "force_quote"})
_TRANSACTIONS: Final = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_ROLLBACK_TO": "rollback_to",
}
_READ_ONLY_HINT: Final = "this session may only read"
_REFUSED: Final[dict[str, tuple[str, str]]] = {
    "InsertStmt": ("INSERT changes data", _READ_ONLY_HINT),
    "UpdateStmt": ("UPDATE changes data", _READ_ONLY_HINT),
    "DeleteStmt": ("DELETE changes data", _READ_ONLY_HINT),
    "MergeStmt": ("MERGE changes data", _READ_ONLY_HINT),
    "TruncateStmt": ("TRUNCATE changes data", _READ_ONLY_HINT),
    "ExplainStmt": (
        "EXPLAIN shows estimates and the definitions beneath the views",
        "measure with \\timing or the client's clock instead",
    ),
    "DoStmt": ("DO runs code", "send the queries themselves"),
    "CallStmt": ("CALL runs a procedure", "send the queries themselves"),
    "ListenStmt": ("LISTEN is not available", "poll with a query instead"),
    "NotifyStmt": ("NOTIFY reaches other sessions", _READ_ONLY_HINT),
    "LockStmt": ("LOCK is not available", "reads need no lock"),
    "CreateTableAsStmt": (
        "CREATE TABLE AS and SELECT INTO make a table",
        "use COPY (SELECT ...) TO STDOUT to take a result away",
    ),
    "CreateStmt": (
        "CREATE TABLE is not available, temporary ones neither",
        "use WITH ... AS (...) for intermediate results",
    ),
    "ViewStmt": ("CREATE VIEW is not available", "use WITH ... AS (...) for intermediate results"),
    "VacuumStmt": ("VACUUM and ANALYZE are not available", "statistics are kept by the operator"),
    "AlterRoleStmt": ("ALTER ROLE is not available", "ask the operator"),
    "AlterRoleSetStmt": ("ALTER ROLE is not available", "ask the operator"),
    "ConstraintsSetStmt": ("SET CONSTRAINTS is not available", "this session may only read"),
}


def read_statement(tree: Node, walk: Walk, block: Block) -> str:
    """Read one statement; its kind. Raises `StatementRefusedError`."""
    ((kind, fields),) = tree.items()
    if kind == "SelectStmt":
        walk.query(tree, block)
        return "read"
    walk.literal_dependent = True
    reader = operate.READERS.get(kind) if walk.surface.operate else None
    reader = reader or _READERS.get(kind)
    if reader is not None:
        return reader(fields, walk, block)
    if kind in _REFUSED:
        reason, hint = _REFUSED[kind]
        raise StatementRefusedError(reason, hint=hint)
    raise StatementRefusedError(
        f"a statement that is not on the list ({kind})",
        hint="this session may only read; see the documentation",
    )


def _only(fields: Node, kind: str, *names: str) -> None:
    """Refuse any field that is not one of `names`."""
    for name in fields:
        if name not in names and name != "location":
            raise StatementRefusedError(
                f"a part of the grammar that is not on the list ({kind}.{name})",
                hint="leave it out of the statement",
                sqlstate="0A000",
            )


def _copy(fields: Node, walk: Walk, block: Block) -> str:
    by_name = walk.surface.operate and "relation" in fields
    if fields.get("is_from") and not by_name:
        raise StatementRefusedError("COPY FROM changes data", hint=_READ_ONLY_HINT)
    if fields.get("is_program"):
        raise StatementRefusedError("COPY ... PROGRAM runs a program on the server", hint="use TO STDOUT")
    if fields.get("filename"):
        raise StatementRefusedError("COPY to a file of the server", hint="use TO STDOUT")
    if "relation" in fields and not by_name:
        raise StatementRefusedError(
            "COPY takes a query here, since views cannot be copied by name",
            hint="use COPY (SELECT ...) TO STDOUT",
            sqlstate="0A000",
        )
    if not by_name:
        _only(fields, "CopyStmt", "query", "options")
    known = operate.COPY_OPTIONS if by_name else _COPY_OPTIONS
    for option in fields.get("options", ()):
        name, value = _option(option)
        if name == "encoding":
            refused = setting_refused("client_encoding", _text(value))
            if refused is not None:
                raise StatementRefusedError(
                    "COPY writes UTF8 only", hint="leave ENCODING out", sqlstate="0A000"
                )
        elif name not in known:
            raise StatementRefusedError(
                "an option of COPY that is not on the list",
                hint="format, delimiter, null, header, quote, escape and force_quote may be used",
                sqlstate="0A000",
            )
    if by_name:
        return operate.copy_table(fields, walk, block)
    walk.query(fields["query"], block)
    return "copy_out"


def _declare(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "DeclareCursorStmt", "portalname", "options", "query")
    options = fields.get("options", 0)
    if options & _CURSOR_HOLD:
        raise StatementRefusedError(
            "a cursor WITH HOLD outlives its transaction",
            hint="declare it WITHOUT HOLD, inside of a transaction",
        )
    if options & ~_CURSOR_KNOWN:
        raise StatementRefusedError("an option of DECLARE that is not on the list", sqlstate="0A000")
    walk.query(fields["query"], block)
    block.flags.add("declare")
    return "cursor"


def _fetch(fields: Node, walk: Walk, block: Block) -> str:
    del walk
    _only(fields, "FetchStmt", "direction", "howMany", "portalname", "ismove")
    block.flags.add("move" if fields.get("ismove") else "fetch")
    return "cursor"


def _close(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "ClosePortalStmt", "portalname")
    name = fields.get("portalname", "")
    walk.frees.append(("CLOSE CURSOR" if name else "CLOSE CURSOR ALL", name))
    block.flags.add("close")
    return "cursor"


def _transaction(fields: Node, walk: Walk, block: Block) -> str:
    del walk
    _only(fields, "TransactionStmt", "kind", "options", "savepoint_name", "chain")
    word = _TRANSACTIONS.get(fields["kind"])
    if word is None:
        raise StatementRefusedError("two-phase commit is not available", hint="use COMMIT", sqlstate="0A000")
    _transaction_options(fields.get("options", []))
    block.flags.add(word)
    return "transaction"


def _transaction_options(options: list[Node]) -> None:
    for option in options:
        name, value = _option(option)
        if name not in {"transaction_isolation", "transaction_read_only", "transaction_deferrable"}:
            raise StatementRefusedError(
                "an option of a transaction that is not on the list", sqlstate="0A000"
            )
        refused = setting_refused(name, _text(value))
        if refused is not None:
            raise StatementRefusedError(refused[0], hint=refused[1], sqlstate="25006")


def _prepare(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "PrepareStmt", "name", "argtypes", "query")
    if "argtypes" in fields:
        walk.expressions(fields["argtypes"], block)
    walk.query(fields["query"], block)
    return "prepare"


def _execute(fields: Node, walk: Walk, block: Block) -> str:
    """What it runs was judged when it was prepared: nothing reaches the server unjudged."""
    _only(fields, "ExecuteStmt", "name", "params")
    if "params" in fields:
        walk.expressions(fields["params"], block)
    return "execute"


def _deallocate(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "DeallocateStmt", "name", "isall")
    name = fields.get("name", "")
    walk.frees.append(("DEALLOCATE" if name else "DEALLOCATE ALL", name))
    block.flags.add("deallocate")
    return "utility"


def _set(fields: Node, walk: Walk, block: Block) -> str:
    _only(fields, "VariableSetStmt", "kind", "name", "args", "is_local", "jumble_args")
    kind = fields["kind"]
    name = fields.get("name", "")
    if kind == "VAR_RESET_ALL":
        block.flags.add("reset_all")
        return "setting"
    if kind == "VAR_SET_MULTI":
        if name not in {"TRANSACTION", "SESSION CHARACTERISTICS"}:
            raise StatementRefusedError("snapshots of other sessions are not available", sqlstate="0A000")
        _transaction_options(fields["args"])
        block.flags.add("set_transaction")
        return "transaction"
    if kind == "VAR_SET_VALUE":
        values = [_text(arg) for arg in fields["args"]]
        if any(value is None for value in values):
            raise StatementRefusedError("SET takes only constants here", hint="write the value into the text")
        value: str | None = ", ".join(value for value in values if value is not None)
    elif kind in {"VAR_SET_DEFAULT", "VAR_RESET"}:
        value = None
    else:
        raise StatementRefusedError("SET ... FROM CURRENT is not available", sqlstate="0A000")
    refused = setting_refused(name, value)
    if name == "search_path" and value and value == walk.surface.schema:
        refused = None  # what it is already; JDBC's setSchema sends it
    if refused is not None:
        raise StatementRefusedError(refused[0], hint=refused[1])
    block.add("set", name.lower())
    return "setting"


def _show(fields: Node, walk: Walk, block: Block) -> str:
    del walk
    _only(fields, "VariableShowStmt", "name")
    refused = showing_refused(fields["name"])
    if refused is not None:
        raise StatementRefusedError(refused[0], hint=refused[1])
    block.add("show", fields["name"].lower())
    return "setting"


def _discard(fields: Node, walk: Walk, block: Block) -> str:
    """Settings fall back to those of the role, which are the profile's."""
    _only(fields, "DiscardStmt", "target")
    if fields.get("target", "DISCARD_ALL") == "DISCARD_ALL":
        walk.frees.append(("DISCARD ALL", ""))
    block.flags.add("discard")
    return "utility"


def _unlisten(fields: Node, walk: Walk, block: Block) -> str:
    """Sent by drivers when they reset a connection; nothing can be listening."""
    del walk
    _only(fields, "UnlistenStmt", "conditionname")
    block.flags.add("unlisten")
    return "utility"


_READERS: Final[dict[str, Callable[[Node, Walk, Block], str]]] = {
    "ClosePortalStmt": _close,
    "CopyStmt": _copy,
    "DeallocateStmt": _deallocate,
    "DeclareCursorStmt": _declare,
    "DiscardStmt": _discard,
    "ExecuteStmt": _execute,
    "FetchStmt": _fetch,
    "PrepareStmt": _prepare,
    "TransactionStmt": _transaction,
    "UnlistenStmt": _unlisten,
    "VariableSetStmt": _set,
    "VariableShowStmt": _show,
}


def _option(node: Node) -> tuple[str, Node]:
    """Name and value of a DefElem."""
    fields = node["DefElem"]
    _only(fields, "DefElem", "defname", "arg", "defaction")
    return fields["defname"], fields.get("arg", {})


def _text(node: Node) -> str | None:
    """A constant as text; None if it is none."""
    ((kind, fields),) = node.items() if node else (("", {}),)
    if kind == "TypeCast":  # SET TIME ZONE INTERVAL '1' HOUR
        return _text(fields["arg"])
    if kind == "A_Const":
        return _constant(fields)
    if kind == "String":
        return str(fields.get("sval", ""))
    if kind == "Integer":
        return str(fields.get("ival", 0))
    return None


def _constant(fields: dict[str, Any]) -> str | None:
    if "sval" in fields:
        return str(fields["sval"].get("sval", ""))
    if "ival" in fields:
        return str(fields["ival"].get("ival", 0))
    if "fval" in fields:
        return str(fields["fval"].get("fval", ""))
    if "boolval" in fields:
        return "on" if fields["boolval"].get("boolval") else "off"
    return None


__all__ = ["read_statement"]
