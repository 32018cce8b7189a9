"""The head of an HTTP/1 request, read strictly: one reading of the bytes, or none.

Request smuggling needs two parties that read the same bytes differently. So whatever RFC 9112 lets a lenient
reader repair is refused here: lines that end in a bare LF or CR, folded lines, space before a colon, fields
twice that must be there once, other control characters. And so is every request that announces a body, of
whatever length: this server takes none, and what nobody reads here would be read as the next request. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ringfort.record.errors import RecordError

MAX_HEAD_BYTES = 8_192
MAX_FIELDS = 64
END = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,4096}) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([!-~\x80-\xff]?(?:[ \t!-~\x80-\xff]*))")
_BODY = frozenset({"content-length", "transfer-encoding", "trailer", "te"})
_ONCE = frozenset({"host", "connection", "upgrade", "expect", "accept-encoding", "keep-alive"})


class BadRequestError(RecordError):
    """Bytes that are no request that this server reads."""


class MethodRefusedError(BadRequestError):
    """Another method than GET and HEAD; what follows may be a body."""


@dataclass(frozen=True)
class Request:
    """What was asked; field names in lower case, the values of one name joined by commas."""

    method: str
    target: str
    fields: dict[str, str]
    keep_alive: bool


def read_head(head: bytes) -> Request:
    """The request of a head, without the empty line that ends it; raises BadRequestError."""
    lines = head.split(b"\r\n")
    if len(lines) > MAX_FIELDS + 1:
        raise BadRequestError("too many fields")
    line = _REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise BadRequestError("the request line is malformed")
    if line[1] not in {b"GET", b"HEAD"}:
        raise MethodRefusedError("only GET and HEAD")
    fields: dict[str, str] = {}
    for each in lines[1:]:
        field = _FIELD.fullmatch(each)  # a folded line has no name, a bare CR or LF is no value
        if field is None:
            raise BadRequestError("a field is malformed")
        name, value = field[1].decode().lower(), field[2].decode("latin-1").strip(" \t")
        meant = name.replace("_", "-")  # what a proxy that takes one for the other would make of it
        if meant in _BODY:
            raise BadRequestError("a request here has no body, and announces none")
        if meant != name and meant in _ONCE:
            raise BadRequestError("a field is malformed")
        if name in fields and name in _ONCE:
            raise BadRequestError(f"`{name}` stands there twice")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    newer = line[3] == b"1"
    if newer and not fields.get("host"):
        raise BadRequestError("`host` is missing")
    if "expect" in fields:
        raise BadRequestError("nothing is expected of a request without a body")
    wishes = {each.strip().lower() for each in fields.get("connection", "").split(",")}
    keep = "close" not in wishes and (newer or "keep-alive" in wishes)
    return Request(line[1].decode(), line[2].decode(), fields, keep)


__all__ = ["END", "MAX_HEAD_BYTES", "BadRequestError", "MethodRefusedError", "Request", "read_head"]
