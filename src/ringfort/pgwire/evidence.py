"""The exact bytes of a statement as evidence: text, parameter types, Bind values and formats, row count.

Layout (version 1), unambiguous and with one encoding for each statement:

    simple     "Q" | SQL text
    extended   "E" | u32 length | SQL text | Parse's parameter types as sent (u16 count, u32 each)
                   | u32 length | Bind's body from the parameter formats on, as sent | i32 Execute's row count
    parse      "P" | u32 length | SQL text | Parse's parameter types as sent (a refused Parse)

The 32-byte salt in front of it and the digest over both are the edge's business.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.fields import UINT32, FieldReader


@dataclass(frozen=True)
class StatementEvidence:
    """What a statement said; `bind` and `rows` are empty for a simple Query."""

    kind: str  # "simple", "extended" or "parse"
    sql: bytes
    types: bytes = b""
    bind: bytes = b""
    rows: bytes = b""


def simple(sql: bytes) -> bytes:
    """Evidence of a Query."""
    return b"Q" + sql


def prefix(sql: bytes, types: bytes) -> bytes:
    """The part of an extended statement's evidence that its Parse fixes."""
    return b"E" + UINT32.pack(len(sql)) + sql + types


def bound(start: bytes, bind: bytes) -> bytes:
    """`prefix` and a Bind's body from its parameter formats on; Execute's row count is to follow."""
    return start + UINT32.pack(len(bind)) + bind


def parse_text(sql: bytes, types: bytes) -> bytes:
    """Evidence of a Parse that was refused."""
    return b"P" + UINT32.pack(len(sql)) + sql + types


def read_evidence(data: bytes) -> StatementEvidence:
    """The statement that `data` (without salt) describes; raises `ProtocolViolationError` if malformed."""
    reader = FieldReader(data)
    kind = reader.take(1)
    if kind == b"Q":
        return StatementEvidence("simple", reader.rest())
    if kind not in {b"E", b"P"}:
        raise ProtocolViolationError("unknown kind of statement evidence")
    sql = reader.take(reader.uint32())
    start = reader.position
    for _ in range(reader.uint16()):
        reader.uint32()
    types = reader.body[start : reader.position]
    if kind == b"P":
        reader.finish()
        return StatementEvidence("parse", sql, types)
    bind = reader.take(reader.uint32())
    rows = reader.take(4)
    reader.finish()
    return StatementEvidence("extended", sql, types, bind, rows)


__all__ = ["StatementEvidence", "bound", "parse_text", "prefix", "read_evidence", "simple"]
