"""What of a server's ErrorResponse or NoticeResponse reaches the client.

A database echoes values in error texts: `ssn::int` quotes the value, a unique violation names it in DETAIL,
`ssn::regclass` reports it as an unknown relation. Such bytes are counted in no row limit and read by no
policy. The rule, for every message that comes from the site:

- SQLSTATE, severity and position in the client's own text are passed.
- The message text and hint are passed if they were made while PostgreSQL analysed the client's own text:
  class 42 or 0A *with* a position (an error raised while running, such as a failing cast to `regclass`, has
  none), or if the SQLSTATE is one whose texts are fixed or name only what the client wrote (`_PASSED`).
- Otherwise the text is replaced by the condition's name, and the hint says that it was withheld.
- DETAIL, CONTEXT, internal query and position, schema, table, column, data type and constraint names, and the
  server's source position are never passed.
- A notice is passed under the same rule, else dropped.
- A response without a SQLSTATE (compare CVE-2026-6664) or a severity gets `XX000` and `ERROR`.

The log of the site's server still holds the whole text, in the region, for those who operate it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ringfort.pgwire.backend import ErrorResponse, NoticeResponse, read_fields, serialise_backend
from ringfort.pgwire.fields import FieldReader

if TYPE_CHECKING:
    from typing import Final

_SQLSTATE = re.compile(rb"[0-9A-Z]{5}")
_SEVERITIES = frozenset({b"ERROR", b"FATAL", b"PANIC", b"WARNING", b"NOTICE", b"DEBUG", b"INFO", b"LOG"})
_POSITION = re.compile(rb"[0-9]{1,10}")
_LONGEST = 2_000
# Said where the server says nothing: the same whether the name is hidden or was never there.
_HINTS: Final = {
    "42703": b"a column that is hidden from you does not exist for you; `ringfort policy explain` says why",
}
WITHHELD: Final = b"the server's own text is withheld: it may carry values"

# Texts that are fixed or name only settings, commands and names that the client wrote itself.
_PASSED = frozenset(
    {
        "08P01",  # bind message supplies n parameters ...
        "0B000",
        "22012",  # division by zero
        "25001",
        "25006",  # cannot execute ... in a read-only transaction
        "25P01",
        "25P02",  # current transaction is aborted ...
        "25P03",
        "26000",  # prepared statement "name" does not exist
        "3B001",
        "40001",
        "40P01",
        "42P05",  # prepared statement "name" already exists
        "53000",
        "53100",
        "53200",
        "53300",
        "53400",
        "54000",
        "54001",
        "54011",
        "54023",
        "55P03",
        "57014",  # canceling statement due to ...
        "57P01",
        "57P02",
        "57P03",
        "57P05",
    }
)
_ANALYSIS_CLASSES = frozenset({"42", "0A"})

# PostgreSQL documentation, appendix "Error Codes": condition names, and class titles for the rest.
_CONDITIONS = {
    "21000": "cardinality violation",
    "22001": "string data right truncation",
    "22003": "numeric value out of range",
    "22004": "null value not allowed",
    "22007": "invalid datetime format",
    "22008": "datetime field overflow",
    "2200H": "sequence generator limit exceeded",
    "22011": "substring error",
    "22021": "character not in repertoire",
    "22023": "invalid parameter value",
    "22025": "invalid escape sequence",
    "2201B": "invalid regular expression",
    "2201E": "invalid argument for logarithm",
    "2201F": "invalid argument for power function",
    "2201W": "invalid row count in limit clause",
    "2201X": "invalid row count in result offset clause",
    "2202E": "array subscript error",
    "22030": "duplicate json object key value",
    "22032": "invalid json text",
    "22P02": "invalid text representation",
    "22P03": "invalid binary representation",
    "22P05": "untranslatable character",
    "23502": "not null violation",
    "23503": "foreign key violation",
    "23505": "unique violation",
    "23514": "check violation",
    "34000": "invalid cursor name",
    "42501": "insufficient privilege",
    "42601": "syntax error",
    "42703": "undefined column",
    "42704": "undefined object",
    "42804": "datatype mismatch",
    "42883": "undefined function",
    "42P01": "undefined table",
    "42P02": "undefined parameter",
}
_CLASSES = {
    "01": "warning",
    "08": "connection exception",
    "0A": "feature not supported",
    "20": "case not found",
    "21": "cardinality violation",
    "22": "data exception",
    "23": "integrity constraint violation",
    "24": "invalid cursor state",
    "25": "invalid transaction state",
    "28": "invalid authorization specification",
    "2B": "dependent privilege descriptors still exist",
    "2F": "routine exception",
    "34": "invalid cursor name",
    "38": "external routine exception",
    "39": "external routine invocation exception",
    "3B": "savepoint exception",
    "3D": "invalid catalog name",
    "3F": "invalid schema name",
    "40": "transaction rollback",
    "42": "syntax error or access rule violation",
    "44": "with check option violation",
    "53": "insufficient resources",
    "54": "program limit exceeded",
    "55": "object not in prerequisite state",
    "57": "operator intervention",
    "58": "system error",
    "F0": "configuration file error",
    "P0": "procedural error",
    "XX": "internal error",
}


def condition_name(sqlstate: str) -> str:
    """PostgreSQL's name of the condition, or of its class."""
    return _CONDITIONS.get(sqlstate) or _CLASSES.get(sqlstate[:2], "error")


def _may_pass(fields: dict[str, bytes], sqlstate: str) -> bool:
    if sqlstate in _PASSED:
        return True
    return sqlstate[:2] in _ANALYSIS_CLASSES and bool(_POSITION.fullmatch(fields.get("P", b"")))


def _kept(fields: dict[str, bytes], default_severity: bytes) -> tuple[dict[str, bytes], str, bool]:
    """The fields that are passed, the SQLSTATE, and whether the server's text is among them."""
    raw = fields.get("C", b"")
    sqlstate = raw.decode() if _SQLSTATE.fullmatch(raw) else "XX000"
    severity = fields.get("V", b"")
    if severity not in _SEVERITIES:
        severity = default_severity
    kept = {"S": severity, "V": severity, "C": sqlstate.encode()}
    passed = _may_pass(fields, sqlstate)
    if passed:
        kept["M"] = fields.get("M", b"")[:_LONGEST] or condition_name(sqlstate).encode()
        hint = fields.get("H", b"")[:_LONGEST] or _HINTS.get(sqlstate, b"")
        if hint:
            kept["H"] = hint
    else:
        kept["M"] = condition_name(sqlstate).encode()
        kept["H"] = WITHHELD
    if _POSITION.fullmatch(fields.get("P", b"")):
        kept["P"] = fields["P"]
    return kept, sqlstate, passed


def redact_error(body: bytes) -> tuple[bytes, str, bool]:
    """A framed ErrorResponse that may be passed on, its SQLSTATE, and whether it ends the session.

    `body` is an ErrorResponse's body; raises `ProtocolViolationError` if it is malformed.
    """
    reader = FieldReader(body)
    fields = read_fields(reader)
    reader.finish()
    kept, sqlstate, _ = _kept(fields, b"ERROR")
    return serialise_backend(ErrorResponse(kept)), sqlstate, kept["V"] in {b"FATAL", b"PANIC"}


def redact_notice(body: bytes) -> bytes:
    """A framed NoticeResponse that may be passed on, or nothing; as `redact_error`."""
    reader = FieldReader(body)
    fields = read_fields(reader)
    reader.finish()
    kept, _, passed = _kept(fields, b"NOTICE")
    return serialise_backend(NoticeResponse(kept)) if passed else b""


__all__ = ["WITHHELD", "condition_name", "redact_error", "redact_notice"]
