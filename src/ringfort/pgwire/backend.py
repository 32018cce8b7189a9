"""Messages that a server sends: dataclasses with strict parse and serialise, each other's inverse.

PostgreSQL documentation, "Message Formats" and "Error and Notice Message Fields", protocol 3.0 to 3.2. The
relay does not parse rows with this (`scanner.py` counts them as they pass); it uses it for what it makes
itself and for the messages whose content matters: errors, notices, parameter status, authentication.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.fields import INT16, INT32, UINT16, UINT32, FieldReader, message, string, value
from ringfort.pgwire.startup import LONGEST_KEY, SHORT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

AUTH_OK, AUTH_CLEARTEXT, AUTH_MD5, AUTH_SASL, AUTH_SASL_CONTINUE, AUTH_SASL_FINAL = 0, 3, 5, 10, 11, 12
KINDS = b"RKSZTDCIEN123nstdcHGWAVv"


@dataclass(frozen=True)
class Authentication:
    """`R`: an authentication request `code` and its data."""

    code: int
    data: bytes = b""


@dataclass(frozen=True)
class BackendKeyData:
    """`K`: what a cancel request must name; `secret` has 4 bytes in protocol 3.0, 4 to 256 in 3.2."""

    process: int
    secret: bytes


@dataclass(frozen=True)
class ParameterStatus:
    """`S`: a run-time parameter's value."""

    name: bytes
    value: bytes


@dataclass(frozen=True)
class ReadyForQuery:
    """`Z`: `I` idle, `T` in a transaction block, `E` in a failed one."""

    status: bytes


@dataclass(frozen=True)
class Column:
    """One column of a RowDescription."""

    name: bytes
    table: int = 0
    number: int = 0
    type: int = 25
    size: int = -1
    modifier: int = -1
    format: int = 0


@dataclass(frozen=True)
class RowDescription:
    """`T`: the columns of the rows to come."""

    columns: tuple[Column, ...]


@dataclass(frozen=True)
class DataRow:
    """`D`: a row."""

    values: tuple[bytes | None, ...]


@dataclass(frozen=True)
class CommandComplete:
    """`C`: a statement is done."""

    tag: bytes


@dataclass(frozen=True)
class EmptyQueryResponse:
    """`I`: the text held no statement."""


@dataclass(frozen=True)
class ErrorResponse:
    """`E`: fields by their one-letter code, in order."""

    fields: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class NoticeResponse:
    """`N`: as `ErrorResponse`."""

    fields: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Simple:
    """A message without a body: `1` `2` `3` `n` `s` `c`."""

    kind: bytes


@dataclass(frozen=True)
class ParameterDescription:
    """`t`: the parameter types of a statement."""

    types: tuple[int, ...]


@dataclass(frozen=True)
class CopyData:
    """`d`: a piece of COPY data."""

    data: bytes


@dataclass(frozen=True)
class CopyResponse:
    """`H` (out), `G` (in) or `W` (both): COPY starts."""

    kind: bytes
    format: int
    columns: tuple[int, ...]


@dataclass(frozen=True)
class NotificationResponse:
    """`A`: a NOTIFY."""

    process: int
    channel: bytes
    payload: bytes


@dataclass(frozen=True)
class FunctionCallResponse:
    """`V`: a function's result."""

    value: bytes | None


@dataclass(frozen=True)
class NegotiateProtocolVersion:
    """`v`: the newest version that is spoken, and what was not understood.

    The documentation calls the number a minor version; PostgreSQL sends the whole one (3 << 16 | minor), and
    libpq takes nothing else.
    """

    version: int
    unknown: tuple[bytes, ...]


BackendMessage = (
    Authentication
    | BackendKeyData
    | ParameterStatus
    | ReadyForQuery
    | RowDescription
    | DataRow
    | CommandComplete
    | EmptyQueryResponse
    | ErrorResponse
    | NoticeResponse
    | Simple
    | ParameterDescription
    | CopyData
    | CopyResponse
    | NotificationResponse
    | FunctionCallResponse
    | NegotiateProtocolVersion
)


def _count(reader: FieldReader, size: int) -> int:
    count = reader.uint16()
    if count * size > reader.end - reader.position:
        raise ProtocolViolationError("insufficient data left in message")
    return count


def _columns(reader: FieldReader) -> RowDescription:
    return RowDescription(
        tuple(
            Column(
                reader.string(),
                reader.uint32(),
                reader.int16(),
                reader.uint32(),
                reader.int16(),
                reader.int32(),
                reader.int16(),
            )
            for _ in range(_count(reader, 19))
        )
    )


def read_fields(reader: FieldReader) -> dict[str, bytes]:
    """The fields of an ErrorResponse or NoticeResponse; a code that is given twice is refused."""
    fields: dict[str, bytes] = {}
    while True:
        code = reader.byte()
        if code == 0:
            return fields
        name = chr(code)
        if name in fields:
            raise ProtocolViolationError("an error field is given twice")
        fields[name] = reader.string()


def _copy(kind: bytes) -> Callable[[FieldReader], BackendMessage]:
    def parse(reader: FieldReader) -> BackendMessage:
        overall = reader.byte()
        return CopyResponse(kind, overall, tuple(reader.int16() for _ in range(_count(reader, 2))))

    return parse


def _key(reader: FieldReader) -> bytes:
    secret = reader.rest()
    if not SHORT_KEY <= len(secret) <= LONGEST_KEY:
        raise ProtocolViolationError("invalid length of a cancel key")
    return secret


def _negotiated(reader: FieldReader) -> int:
    count = reader.int32()
    if not 0 <= count <= reader.end - reader.position:
        raise ProtocolViolationError("insufficient data left in message")
    return count


def _simple(kind: bytes) -> Callable[[FieldReader], BackendMessage]:
    return lambda _: Simple(kind)


def _ready(reader: FieldReader) -> BackendMessage:
    status = reader.take(1)
    if status not in {b"I", b"T", b"E"}:
        raise ProtocolViolationError("invalid transaction status")
    return ReadyForQuery(status)


_PARSERS: dict[int, Callable[[FieldReader], BackendMessage]] = {
    ord("R"): lambda reader: Authentication(reader.int32(), reader.rest()),
    ord("K"): lambda reader: BackendKeyData(reader.uint32(), _key(reader)),
    ord("S"): lambda reader: ParameterStatus(reader.string(), reader.string()),
    ord("Z"): _ready,
    ord("T"): _columns,
    ord("D"): lambda reader: DataRow(tuple(reader.value() for _ in range(_count(reader, 4)))),
    ord("C"): lambda reader: CommandComplete(reader.string()),
    ord("I"): lambda _: EmptyQueryResponse(),
    ord("E"): lambda reader: ErrorResponse(read_fields(reader)),
    ord("N"): lambda reader: NoticeResponse(read_fields(reader)),
    ord("t"): lambda reader: ParameterDescription(tuple(reader.uint32() for _ in range(_count(reader, 4)))),
    ord("d"): lambda reader: CopyData(reader.rest()),
    ord("H"): _copy(b"H"),
    ord("G"): _copy(b"G"),
    ord("W"): _copy(b"W"),
    ord("A"): lambda reader: NotificationResponse(reader.uint32(), reader.string(), reader.string()),
    ord("V"): lambda reader: FunctionCallResponse(reader.value()),
    ord("v"): lambda reader: NegotiateProtocolVersion(
        reader.int32(), tuple(reader.string() for _ in range(_negotiated(reader)))
    ),
    **{ord(kind): _simple(kind.encode()) for kind in "123nsc"},
}


def parse_backend(kind: int, body: bytes) -> BackendMessage:
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


def _field_bytes(fields: dict[str, bytes]) -> bytes:
    return b"".join(code.encode("latin-1") + string(text) for code, text in fields.items()) + b"\0"


def _column_bytes(column: Column) -> bytes:
    return (
        string(column.name)
        + UINT32.pack(column.table)
        + INT16.pack(column.number)
        + UINT32.pack(column.type)
        + INT16.pack(column.size)
        + INT32.pack(column.modifier)
        + INT16.pack(column.format)
    )


def serialise_backend(item: BackendMessage) -> bytes:  # noqa: PLR0911, PLR0912, C901 - one line per message type
    """The framed message; the inverse of `parse_backend`."""
    match item:
        case Authentication(code, data):
            return message(b"R", INT32.pack(code) + data)
        case BackendKeyData(process, secret):
            return message(b"K", UINT32.pack(process) + secret)
        case ParameterStatus(name, text):
            return message(b"S", string(name) + string(text))
        case ReadyForQuery(status):
            return message(b"Z", status)
        case RowDescription(columns):
            return message(b"T", UINT16.pack(len(columns)) + b"".join(map(_column_bytes, columns)))
        case DataRow(values):
            return message(b"D", UINT16.pack(len(values)) + b"".join(map(value, values)))
        case CommandComplete(tag):
            return message(b"C", string(tag))
        case EmptyQueryResponse():
            return message(b"I", b"")
        case ErrorResponse(fields):
            return message(b"E", _field_bytes(fields))
        case NoticeResponse(fields):
            return message(b"N", _field_bytes(fields))
        case Simple(kind):
            return message(kind, b"")
        case ParameterDescription(types):
            return message(b"t", UINT16.pack(len(types)) + b"".join(map(UINT32.pack, types)))
        case CopyData(data):
            return message(b"d", data)
        case CopyResponse(kind, overall, columns):
            return message(kind, bytes([overall]) + _int16s(columns))
        case NotificationResponse(process, channel, payload):
            return message(b"A", UINT32.pack(process) + string(channel) + string(payload))
        case FunctionCallResponse(data):
            return message(b"V", value(data))
        case NegotiateProtocolVersion(version, unknown):
            return message(
                b"v", INT32.pack(version) + INT32.pack(len(unknown)) + b"".join(map(string, unknown))
            )


def error_response(
    severity: str, sqlstate: str, text: str, *, detail: str = "", hint: str = "", position: bytes = b""
) -> bytes:
    """A framed ErrorResponse of our own; `severity` is `ERROR` or `FATAL`."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": text, "D": detail, "H": hint}
    packed = {code: part.replace("\0", "").encode() for code, part in fields.items() if part}
    if position:
        packed["P"] = position
    return serialise_backend(ErrorResponse(packed))


__all__ = [
    "AUTH_CLEARTEXT",
    "AUTH_MD5",
    "AUTH_OK",
    "AUTH_SASL",
    "AUTH_SASL_CONTINUE",
    "AUTH_SASL_FINAL",
    "KINDS",
    "Authentication",
    "BackendKeyData",
    "BackendMessage",
    "Column",
    "CommandComplete",
    "CopyData",
    "CopyResponse",
    "DataRow",
    "EmptyQueryResponse",
    "ErrorResponse",
    "FunctionCallResponse",
    "NegotiateProtocolVersion",
    "NoticeResponse",
    "NotificationResponse",
    "ParameterDescription",
    "ParameterStatus",
    "ReadyForQuery",
    "RowDescription",
    "Simple",
    "error_response",
    "parse_backend",
    "read_fields",
    "serialise_backend",
]
