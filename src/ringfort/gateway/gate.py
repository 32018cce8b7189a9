"""From a new connection to its startup message, encrypted where it must be.

Nothing is believed before TLS is up (`tls=required`; `optional` admits plaintext from loopback only). TLS
starts after an SSLRequest or directly: a first byte of 0x16 is a handshake, for which ALPN `postgresql` must
then have been agreed on, as PostgreSQL 17 demands it, so that no client of another protocol is let talk. What
came behind an SSLRequest in plaintext is never read as if it had come through TLS: it ends the connection
(CVE-2021-23214, CVE-2021-23222).

Left out: who the client is (`authentication`), and what its parameters mean.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from cryptography import x509

from ringfort.gateway.conversation import ConnectionGoneError
from ringfort.gateway.tls_server import ALPN
from ringfort.pgwire.errors import ProtocolViolationError, StartupRefusedError
from ringfort.pgwire.startup import (
    CancelRequest,
    GssEncRequest,
    SslRequest,
    StartupMessage,
    parse_startup,
)

if TYPE_CHECKING:
    from ringfort.gateway.conversation import Conversation
    from ringfort.gateway.tls_server import Identity, ServerTls

HANDSHAKE_SECONDS = 10.0
_HANDSHAKE = 0x16  # TLS's content type; no startup packet is so long that it begins with it


@dataclass(frozen=True)
class Peer:
    """Where a client is: its address ("" for a local socket), and the certificate that it came to, if any.

    `certificate` is the one that the client has shown, verified in the handshake.
    """

    address: str
    identity: Identity | None
    certificate: x509.Certificate | None = None


def peer_address(conversation: Conversation) -> str:
    """The client's address as text, "" if it has none."""
    name = None if conversation.transport is None else conversation.transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) and name else ""


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own; a local socket counts."""
    if not address:
        return True
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


async def greet(
    conversation: Conversation, tls: ServerTls, *, required: bool
) -> tuple[StartupMessage | CancelRequest, Peer]:
    """Answer encryption requests and take the startup message; raises what `parse_startup` raises."""
    address = peer_address(conversation)
    asked: set[type] = set()
    identity: Identity | None = None
    if await conversation.peek() == _HANDSHAKE:
        identity = tls.identity()
        if identity is None:
            raise ConnectionGoneError  # PostgreSQL closes without a word, too: none would be understood
        await _start_tls(conversation, identity, direct=True)
    while True:
        packet = parse_startup(await conversation.startup_packet())
        if isinstance(packet, SslRequest | GssEncRequest):
            if identity is not None or type(packet) in asked:
                raise ProtocolViolationError("encryption was asked for again")
            asked.add(type(packet))
            if conversation.unread:
                raise ProtocolViolationError(
                    "received unencrypted data after an encryption request",
                    hint="this may be an attack by somebody between client and server",
                )
            offered = None if isinstance(packet, GssEncRequest) else tls.identity()
            if offered is None:
                conversation.write(b"N")
                continue
            await _start_tls(conversation, offered)
            identity = offered
            continue
        plain = identity is None and (required or not is_loopback(address))
        if isinstance(packet, StartupMessage) and plain:
            raise StartupRefusedError(
                "connections without TLS are not admitted", hint="set sslmode=require", sqlstate="28000"
            )
        return packet, Peer(address, identity, _shown(conversation))


def _shown(conversation: Conversation) -> x509.Certificate | None:
    """The certificate that the client has shown in a whole handshake; a shortened one proves nothing."""
    transport = conversation.transport
    encrypted = None if transport is None else transport.get_extra_info("ssl_object")
    shown = None if encrypted is None or encrypted.session_reused else encrypted.getpeercert(True)
    try:
        return x509.load_der_x509_certificate(shown) if shown else None
    except ValueError:  # OpenSSL is laxer than this
        raise ConnectionGoneError from None


async def _start_tls(conversation: Conversation, identity: Identity, *, direct: bool = False) -> None:
    plain = conversation.transport
    if plain is None:
        raise ConnectionGoneError
    # reading is paused: what the client sends next is read by the TLS layer and by nobody before it
    early = conversation.take_unread() if direct else b""
    if not direct:
        conversation.write(b"S")
    handshake = asyncio.ensure_future(
        asyncio.get_running_loop().start_tls(
            plain,
            conversation,
            identity.for_handshake(),
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
    )
    try:
        if early:
            await _feed(plain, early)
        transport = _agreed(await handshake, direct=direct)
    except BaseException as error:
        handshake.cancel()
        conversation.drop()  # nothing of ours may go out in plaintext where TLS is expected
        if isinstance(error, OSError):  # an SSLError is one
            raise ConnectionGoneError from None
        raise
    conversation.connection_made(transport)


def _agreed(transport: asyncio.Transport | None, *, direct: bool) -> asyncio.Transport:
    """The encrypted transport, if it was made and its handshake agreed on what it had to."""
    if transport is None:
        raise ConnectionGoneError
    if direct and transport.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
        transport.abort()
        raise ConnectionGoneError
    return transport


async def _feed(transport: asyncio.Transport, early: bytes) -> None:
    """Give what was read before TLS began to the TLS layer, ahead of everything that comes later.

    One turn of the loop from now `start_tls` has put its protocol in place and scheduled its start and the
    first read. What is scheduled here runs in the same turn as those, behind them and before any input.
    """
    await asyncio.sleep(0)

    def feed() -> None:
        protocol = cast(
            "asyncio.BufferedProtocol", transport.get_protocol()
        )  # both loops' TLS layers are one
        left = early
        while left:
            buffer = memoryview(protocol.get_buffer(len(left)))
            size = min(len(left), len(buffer))
            buffer[:size] = left[:size]
            left = left[size:]
            protocol.buffer_updated(size)

    asyncio.get_running_loop().call_soon(feed)


__all__ = ["Peer", "greet", "is_loopback", "peer_address"]
