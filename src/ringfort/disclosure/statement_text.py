"""From the text of a statement to PostgreSQL's own parse tree. The only importer of postgast.

libpg_query 18 is the server's grammar; its JSON output is read here into plain dicts: `{"NodeType":
{fields}}`, default values (0, false, empty lists) left out, enumerations by name.

Invariants: what is read here is what the server would read, or the text is refused. Texts with NUL or that
are no UTF-8 are refused, as are texts over the cap and trees of more than 1,024 JSON levels, orjson's limit
(about 500 chained operators). Identifiers of more than 63 bytes are cut by the grammar exactly as by the
server. `standard_conforming_strings` is on for every profile session and SET refuses to turn it off;
client_encoding is UTF8 and SET refuses others: both are assumed here.

Hostile texts can make the C library overflow its stack: call `parse` only in the parser process.
"""

from __future__ import annotations

import ctypes
import importlib
import re
from typing import TYPE_CHECKING, Any

import orjson
from postgast.native import lib

from ringfort.disclosure.statement_refusal import StatementRefusedError

_SCAN_RESULT: Any = importlib.import_module("postgast.pg_query_pb2").ScanResult  # its stub is no Python

if TYPE_CHECKING:
    from ringfort.disclosure.statement_rules import Node

MAX_TEXT_BYTES = 256 * 1024
# PostgreSQL's scanner takes quadratic time over `/*/*/*...` and `+++...`: 256 KiB cost 50 s of CPU
_OPERATOR_RUN_BYTES = 4096
_OPERATOR_RUN = re.compile(rb"(?<![-~!@#^&|`?+*/%<>=])[-~!@#^&|`?+*/%<>=]{4097}")


def parse(sql: str) -> list[Node]:
    """The statements of `sql` as parse trees, each `{"NodeType": {fields}}`; an empty text gives none.

    Raises `StatementRefusedError` if the text has a syntax error, or cannot be read as the server would.
    """
    try:
        text = sql.encode("utf-8")
    except UnicodeEncodeError:
        raise StatementRefusedError(
            "the text of the statement is not valid UTF-8", hint="send UTF-8", sqlstate="22021"
        ) from None
    if len(text) > MAX_TEXT_BYTES:
        raise StatementRefusedError(
            f"the text of the statement is longer than {MAX_TEXT_BYTES} bytes",
            hint="send values as parameters or split the statement",
            sqlstate="54000",
        )
    if b"\0" in text:
        raise StatementRefusedError("the text of the statement holds a NUL byte", sqlstate="22021")
    if _OPERATOR_RUN.search(text):
        raise StatementRefusedError(
            f"a run of more than {_OPERATOR_RUN_BYTES} operator characters", sqlstate="54001"
        )
    result = lib.pg_query_parse(text)
    try:
        if result.error:
            raise _grammar_error(result.error.contents)
        document = result.parse_tree
    finally:
        lib.pg_query_free_parse_result(result)
    try:
        tree = orjson.loads(document)
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error) or "ecursion" in str(error):
            raise _too_deep() from None
        raise StatementRefusedError(
            "the parse tree of the statement cannot be read", sqlstate="0A000"
        ) from None
    return [raw["stmt"] for raw in tree["stmts"] if raw.get("stmt")]


def scan(text: bytes) -> list[tuple[int, int, int]]:
    """The tokens of a text that `parse` has read: first byte, byte behind, class of keyword; comments too."""
    result = lib.pg_query_scan(text)
    try:
        if result.error:
            raise ValueError("the text has no tokens")
        tokens = _SCAN_RESULT.FromString(ctypes.string_at(result.pbuf.data, result.pbuf.len)).tokens
    finally:
        lib.pg_query_free_scan_result(result)
    return [(token.start, token.end, token.keyword_kind) for token in tokens]


def _grammar_error(error: Any) -> StatementRefusedError:  # noqa: ANN401 - a ctypes structure
    """A syntax error in our own words; what the grammar said may quote the client, so it is the hint."""
    said = (error.message or b"").decode("utf-8", "replace")[:300]
    if "stack depth" in said or "memory exhausted" in said:
        return _too_deep()
    position = f" (byte {error.cursorpos})" if error.cursorpos > 0 else ""
    return StatementRefusedError("syntax error", hint=f"{said}{position}", sqlstate="42601")


def _too_deep() -> StatementRefusedError:
    return StatementRefusedError(
        "the statement is nested too deeply",
        hint="use IN (...), = ANY (array) or fewer levels of subqueries",
        sqlstate="54001",
    )


__all__ = ["MAX_TEXT_BYTES", "parse", "scan"]
