"""Messages that a client sends after startup: dataclasses, strict parse and serialise, inverse.

PostgreSQL documentation, "Message Formats", protocol 3.0. What PostgreSQL would call an invalid message
format is a `ProtocolViolationError` here. The `read_` functions are the quick way for the relay: they
check the whole message in place and give only what is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.fields import INT16, INT32, UINT16, UINT32, FieldReader, message, string, value

if TYPE_CHECKING:
    from collections.abc import Callable

STATEMENT = b"S"
PORTAL = b"P"
KINDS = b"QPBDECSHXFdcf"  # after startup; there is also `p`, an answer to an authentication request


@dataclass(frozen=True)
class Query:
    """`Q`: a text of one or more statements."""

    sql: bytes


@dataclass(frozen=True)
class Parse:
    """`P`: prepare `sql` under `name` (empty: the unnamed statement)."""

    name: bytes
    sql: bytes
    parameter_types: tuple[int, ...] = ()


@dataclass(frozen=True)
class Bind:
    """`B`: make `portal` from `statement` with these parameters; formats are 0 text, 1 binary."""

    portal: bytes
    statement: bytes
    parameter_formats: tuple[int, ...] = ()
    parameters: tuple[bytes | None, ...] = ()
    result_formats: tuple[int, ...] = ()


@dataclass(frozen=True)
class Describe:
    """`D`: describe a statement (`S`) or portal (`P`)."""

    kind: bytes
    name: bytes


@dataclass(frozen=True)
class Close:
    """`C`: close a statement (`S`) or portal (`P`)."""

    kind: bytes
    name: bytes


@dataclass(frozen=True)
class Execute:
    """`E`: run a portal; at most `rows` rows (0: all)."""

    portal: bytes
    rows: int = 0


@dataclass(frozen=True)
class Sync:
    """`S`: the end of an extended-query segment."""


@dataclass(frozen=True)
class Flush:
    """`H`: send what is pending."""


@dataclass(frozen=True)
class Terminate:
    """`X`: the end of the session."""


@dataclass(frozen=True)
class FunctionCall:
    """`F`: call a function by its OID; parsed only to be refused."""

    body: bytes


@dataclass(frozen=True)
class CopyData:
    """`d`: a piece of COPY data."""

    data: bytes


@dataclass(frozen=True)
class CopyDone:
    """`c`: the end of COPY data."""


@dataclass(frozen=True)
class CopyFail:
    """`f`: COPY data broke off, with the client's reason."""

    reason: bytes


@dataclass(frozen=True)
class AuthenticationAnswer:
    """`p`: a password, SASLInitialResponse or SASLResponse; which one, only the conversation tells."""

    body: bytes


FrontendMessage = (
    Query
    | Parse
    | Bind
    | Describe
    | Close
    | Execute
    | Sync
    | Flush
    | Terminate
    | FunctionCall
    | CopyData
    | CopyDone
    | CopyFail
    | AuthenticationAnswer
)


def _parse(reader: FieldReader) -> Parse:
    name, sql = reader.string(), reader.string()
    return Parse(name, sql, tuple(reader.uint32() for _ in range(_count(reader, 4))))


def _count(reader: FieldReader, size: int) -> int:
    """A count of items of at least `size` bytes each, checked against what is left."""
    count = reader.uint16()
    if count * size > reader.end - reader.position:
        raise ProtocolViolationError("insufficient data left in message")
    return count


def _formats(reader: FieldReader) -> tuple[int, ...]:
    return tuple(reader.int16() for _ in range(_count(reader, 2)))


def _bind(reader: FieldReader) -> Bind:
    portal, statement = reader.string(), reader.string()
    formats = _formats(reader)
    parameters = tuple(reader.value() for _ in range(_count(reader, 4)))
    return Bind(portal, statement, formats, parameters, _formats(reader))


def _target(reader: FieldReader) -> tuple[bytes, bytes]:
    kind = reader.take(1)
    if kind not in {STATEMENT, PORTAL}:
        raise ProtocolViolationError("invalid subtype of message")
    return kind, reader.string()


def _nothing(kind: Callable[[], FrontendMessage]) -> Callable[[FieldReader], FrontendMessage]:
    return lambda _: kind()


_PARSERS: dict[int, Callable[[FieldReader], FrontendMessage]] = {
    ord("Q"): lambda reader: Query(reader.string()),
    ord("P"): _parse,
    ord("B"): _bind,
    ord("D"): lambda reader: Describe(*_target(reader)),
    ord("C"): lambda reader: Close(*_target(reader)),
    ord("E"): lambda reader: Execute(reader.string(), reader.int32()),
    ord("S"): _nothing(Sync),
    ord("H"): _nothing(Flush),
    ord("X"): _nothing(Terminate),
    ord("F"): lambda reader: FunctionCall(reader.rest()),
    ord("d"): lambda reader: CopyData(reader.rest()),
    ord("c"): _nothing(CopyDone),
    ord("f"): lambda reader: CopyFail(reader.string()),
    ord("p"): lambda reader: AuthenticationAnswer(reader.rest()),
}


def parse_frontend(kind: int, body: bytes) -> FrontendMessage:
    """The message of type byte `kind` with `body`; raises `ProtocolViolationError` if it is malformed."""
    parser = _PARSERS.get(kind)
    if parser is None:
        raise ProtocolViolationError("invalid message type")
    reader = FieldReader(body)
    parsed = parser(reader)
    reader.finish()
    return parsed


def _int16s(values: tuple[int, ...]) -> bytes:
    return UINT16.pack(len(values)) + b"".join(map(INT16.pack, values))


def serialise_frontend(item: FrontendMessage) -> bytes:  # noqa: PLR0911, C901 - one line per message type
    """The framed message; the inverse of `parse_frontend`."""
    match item:
        case Query(sql):
            return message(b"Q", string(sql))
        case Parse(name, sql, types):
            packed = UINT16.pack(len(types)) + b"".join(map(UINT32.pack, types))
            return message(b"P", string(name) + string(sql) + packed)
        case Bind(portal, statement, formats, parameters, results):
            packed = UINT16.pack(len(parameters)) + b"".join(map(value, parameters))
            return message(
                b"B", string(portal) + string(statement) + _int16s(formats) + packed + _int16s(results)
            )
        case Describe(kind, name):
            return message(b"D", kind + string(name))
        case Close(kind, name):
            return message(b"C", kind + string(name))
        case Execute(portal, rows):
            return message(b"E", string(portal) + INT32.pack(rows))
        case Sync():
            return message(b"S", b"")
        case Flush():
            return message(b"H", b"")
        case Terminate():
            return message(b"X", b"")
        case FunctionCall(body):
            return message(b"F", body)
        case CopyData(data):
            return message(b"d", data)
        case CopyDone():
            return message(b"c", b"")
        case CopyFail(reason):
            return message(b"f", string(reason))
        case AuthenticationAnswer(body):
            return message(b"p", body)


def read_bind(data: bytes, start: int, end: int) -> tuple[bytes, bytes, int]:
    """Check the Bind in `data[start:end]`: portal, statement, where the parameter formats start."""
    stop = data.find(0, start, end)
    last = data.find(0, stop + 1, end) if stop >= 0 else -1
    if last < 0:
        raise ProtocolViolationError("invalid string in message")
    position = last + 1
    # parameter formats, parameters, result formats; slices beyond the end come out short and are caught below
    formats = int.from_bytes(data[position : position + 2], "big")
    position += 2 + 2 * formats
    if position + 2 > end:
        raise ProtocolViolationError("insufficient data left in message")
    count = (data[position] << 8) | data[position + 1]
    position += 2
    for _ in range(count):
        if position + 4 > end:
            raise ProtocolViolationError("insufficient data left in message")
        size: int = INT32.unpack_from(data, position)[0]
        position += 4
        if size > 0:
            position += size
        elif size < -1:
            raise ProtocolViolationError("invalid parameter length in message")
    if position + 2 > end or position + 2 + 2 * ((data[position] << 8) | data[position + 1]) != end:
        raise ProtocolViolationError("invalid message format")
    return data[start:stop], data[stop + 1 : last], last + 1


def read_parse(data: bytes, start: int, end: int) -> tuple[bytes, bytes, bytes]:
    """The Parse in `data[start:end]`: name, SQL text, and its parameter types as sent."""
    stop = data.find(0, start, end)
    last = data.find(0, stop + 1, end) if stop >= 0 else -1
    if last < 0:
        raise ProtocolViolationError("invalid string in message")
    types = data[last + 1 : end]
    if len(types) < 2 or len(types) != 2 + 4 * int.from_bytes(types[:2], "big"):
        raise ProtocolViolationError("invalid message format")
    return data[start:stop], data[stop + 1 : last], types


def read_execute(data: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    """The Execute in `data[start:end]`: portal and the row count as sent."""
    stop = data.find(0, start, end)
    if stop < 0 or stop + 5 != end:
        raise ProtocolViolationError("invalid message format")
    return data[start:stop], data[stop + 1 : end]


def read_target(data: bytes, start: int, end: int) -> tuple[int, bytes]:
    """The Describe or Close in `data[start:end]`: `S` or `P` as a number, and the name."""
    if end - start < 2 or data[start] not in b"SP" or data.find(0, start + 1, end) != end - 1:
        raise ProtocolViolationError("invalid message format")
    return data[start], data[start + 1 : end - 1]


def read_query(data: bytes, start: int, end: int) -> bytes:
    """The text of the Query in `data[start:end]`: one NUL, at its end."""
    if data.find(0, start, end) != end - 1:
        raise ProtocolViolationError("invalid message format")
    return data[start : end - 1]


__all__ = [
    "KINDS",
    "PORTAL",
    "STATEMENT",
    "AuthenticationAnswer",
    "Bind",
    "Close",
    "CopyData",
    "CopyDone",
    "CopyFail",
    "Describe",
    "Execute",
    "Flush",
    "FrontendMessage",
    "FunctionCall",
    "Parse",
    "Query",
    "Sync",
    "Terminate",
    "parse_frontend",
    "read_bind",
    "read_execute",
    "read_parse",
    "read_query",
    "read_target",
    "serialise_frontend",
]
