"""The packets that a connection starts with: StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.

They have no type byte: Int32 length, Int32 code, body. PostgreSQL documentation, "Message Formats".
PostgreSQL takes at most 10,000 bytes here (MAX_STARTUP_PACKET_LENGTH), and so do we.

Versions 3.0 and 3.2 are spoken; they differ in the cancel key alone: 4 bytes in 3.0, 4 to 256 in 3.2. Who
asks for a later minor version, or for a protocol extension (`_pq_.*`), is told with NegotiateProtocolVersion
what there is, and decides whether to go on. 3.1 was never published and is as 3.0.

Left out: what the parameters mean (`parameters.py`) and the answers to SSLRequest, which are single bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfort.pgwire.errors import ProtocolViolationError, StartupRefusedError
from ringfort.pgwire.fields import UINT32, FieldReader, string

MAX_STARTUP_PACKET = 10_000
PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = 3 << 16 | 2
CANCEL_REQUEST = 80_877_102
SSL_REQUEST = 80_877_103
GSSENC_REQUEST = 80_877_104
LATEST_MINOR = 2
SHORT_KEY = 4  # the length of a cancel key in 3.0, and the shortest in 3.2
LONGEST_KEY = 256
_PROTOCOL_EXTENSION = b"_pq_."


@dataclass(frozen=True)
class SslRequest:
    """The client asks for TLS."""


@dataclass(frozen=True)
class GssEncRequest:
    """The client asks for GSSAPI encryption."""


@dataclass(frozen=True)
class CancelRequest:
    """The client asks to cancel what the session with this key is doing."""

    process: int
    secret: bytes


@dataclass(frozen=True)
class StartupMessage:
    """Protocol version and parameters, in the order in which they came."""

    minor: int
    parameters: tuple[tuple[bytes, bytes], ...]

    @property
    def unknown_extensions(self) -> tuple[bytes, ...]:
        """Names of protocol extensions (`_pq_.*`) that were asked for; none is known."""
        return tuple(name for name, _ in self.parameters if name.startswith(_PROTOCOL_EXTENSION))

    @property
    def version(self) -> int:
        """The version that is spoken with this client, as a startup packet writes it."""
        return PROTOCOL_3_0 | min(self.minor, LATEST_MINOR)

    @property
    def must_negotiate(self) -> bool:
        """Whether the client asked for what there is not, and must be told with NegotiateProtocolVersion."""
        return self.minor > LATEST_MINOR or bool(self.unknown_extensions)

    @property
    def long_keys(self) -> bool:
        """Whether the client takes cancel keys of more than 4 bytes."""
        return self.version >= PROTOCOL_3_2


StartupPacket = SslRequest | GssEncRequest | CancelRequest | StartupMessage


def split_packet(data: bytes) -> tuple[bytes, bytes] | None:
    """The first packet's body and what stands behind it; None while the packet is incomplete.

    Raises `ProtocolViolationError` as soon as the length cannot be right, before anything is awaited.
    """
    if len(data) < 4:
        # the first byte of a length of at most 10,000 is zero: refuse TLS or HTTP spoken here early
        if data and data[0] != 0:
            raise ProtocolViolationError("invalid length of startup packet")
        return None
    length: int = UINT32.unpack_from(data)[0]
    if not 8 <= length <= MAX_STARTUP_PACKET:
        raise ProtocolViolationError("invalid length of startup packet")
    if len(data) < length:
        return None
    return data[4:length], data[length:]


def parse_startup(body: bytes) -> StartupPacket:
    """The packet whose body (without the length) is `body`."""
    reader = FieldReader(body)
    code = reader.uint32()
    if code == SSL_REQUEST:
        reader.finish()
        return SslRequest()
    if code == GSSENC_REQUEST:
        reader.finish()
        return GssEncRequest()
    if code == CANCEL_REQUEST:
        process, secret = reader.uint32(), reader.rest()
        if not SHORT_KEY <= len(secret) <= LONGEST_KEY:
            raise ProtocolViolationError("invalid length of cancel request")
        return CancelRequest(process, secret)
    if code >> 16 != 3:
        raise StartupRefusedError(
            f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: server supports 3.0 to 3.2",
            hint="use a client that speaks PostgreSQL's protocol 3",
        )
    parameters: list[tuple[bytes, bytes]] = []
    seen: set[bytes] = set()
    while True:
        name = reader.string()
        if not name:
            break
        if name in seen:
            raise ProtocolViolationError("a startup parameter is given twice")
        seen.add(name)
        parameters.append((name, reader.string()))
    reader.finish()
    return StartupMessage(code & 0xFFFF, tuple(parameters))


def serialise_startup(packet: StartupPacket) -> bytes:
    """The packet with its length; the inverse of `split_packet` and `parse_startup`."""
    match packet:
        case SslRequest():
            body = UINT32.pack(SSL_REQUEST)
        case GssEncRequest():
            body = UINT32.pack(GSSENC_REQUEST)
        case CancelRequest(process, secret):
            body = UINT32.pack(CANCEL_REQUEST) + UINT32.pack(process) + secret
        case StartupMessage(minor, parameters):
            body = UINT32.pack(PROTOCOL_3_0 | minor)
            body += b"".join(string(name) + string(value) for name, value in parameters) + b"\0"
    return UINT32.pack(len(body) + 4) + body


__all__ = [
    "LATEST_MINOR",
    "LONGEST_KEY",
    "MAX_STARTUP_PACKET",
    "PROTOCOL_3_0",
    "PROTOCOL_3_2",
    "SHORT_KEY",
    "CancelRequest",
    "GssEncRequest",
    "SslRequest",
    "StartupMessage",
    "StartupPacket",
    "parse_startup",
    "serialise_startup",
    "split_packet",
]
