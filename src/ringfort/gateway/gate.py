"""From a new connection to an authenticated principal: TLS, startup packet, SCRAM.

Nothing is believed before TLS is up (`tls=required`; `optional` admits plaintext from loopback only), and
nothing that came behind an SSLRequest in plaintext is ever read as if it had come through TLS: it ends the
connection (CVE-2021-23214). The exchange with an unknown user is the same as with a known one, with a
verifier that nothing fits. Parameters are judged after authentication, so that a refusal is on record with
a principal.

Left out: throttling of guesses, client certificates, tokens, direct TLS.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ringfort.errors import MissingEnvironmentError
from ringfort.gateway.conversation import ConnectionGoneError
from ringfort.pgwire import backend
from ringfort.pgwire.errors import AuthenticationFailedError, ProtocolViolationError, StartupRefusedError
from ringfort.pgwire.fields import FieldReader, string
from ringfort.pgwire.parameters import startup_user
from ringfort.pgwire.scram import MECHANISM, ScramServer, Verifier
from ringfort.pgwire.startup import (
    CancelRequest,
    GssEncRequest,
    SslRequest,
    StartupMessage,
    parse_startup,
)

if TYPE_CHECKING:
    from ringfort.gateway.conversation import Conversation
    from ringfort.gateway.settings import Tls

HANDSHAKE_SECONDS = 10.0


class Provisioner(Protocol):
    """The provisioner process, as `IpcClient` reaches it."""

    async def request(self, op: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Call `op`."""
        ...


@dataclass(frozen=True)
class Peer:
    """Where a client is: its address ("" for a local socket), and whether it came through TLS."""

    address: str
    encrypted: bool


def server_context(tls: Tls) -> ssl.SSLContext | None:
    """The context that clients are met with, None if there is no certificate."""
    if not tls.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        if tls.certificate.startswith("-----BEGIN"):
            _load_texts(context, tls)
        else:
            context.load_cert_chain(tls.certificate, tls.key or None)
    except (OSError, ssl.SSLError) as error:
        raise MissingEnvironmentError(
            f"the TLS certificate or key cannot be used: {getattr(error, 'strerror', '') or error}",
            hint="check `tls_certificate` and `tls_key` in ringfort.toml",
        ) from None
    return context


def _load_texts(context: ssl.SSLContext, tls: Tls) -> None:
    """OpenSSL takes files only: give it one that is in memory and nameless."""
    descriptor = os.memfd_create("ringfort-tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{tls.key}\n{tls.certificate}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


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
    conversation: Conversation, context: ssl.SSLContext | None, *, required: bool
) -> tuple[StartupMessage | CancelRequest, Peer]:
    """Answer encryption requests and take the startup message; raises what `parse_startup` raises."""
    address = peer_address(conversation)
    asked: set[type] = set()
    encrypted = False
    while True:
        packet = parse_startup(await conversation.startup_packet())
        if isinstance(packet, SslRequest | GssEncRequest):
            if encrypted or type(packet) in asked:
                raise ProtocolViolationError("encryption was asked for again")
            asked.add(type(packet))
            if conversation.unread:
                raise ProtocolViolationError(
                    "received unencrypted data after an encryption request",
                    hint="this may be an attack by somebody between client and server",
                )
            if isinstance(packet, GssEncRequest) or context is None:
                conversation.write(b"N")
                continue
            await _start_tls(conversation, context)
            encrypted = True
            continue
        if isinstance(packet, StartupMessage) and not encrypted and (required or not is_loopback(address)):
            raise StartupRefusedError(
                "connections without TLS are not admitted", hint="set sslmode=require", sqlstate="28000"
            )
        return packet, Peer(address, encrypted)


async def _start_tls(conversation: Conversation, context: ssl.SSLContext) -> None:
    plain = conversation.transport
    if plain is None:
        raise ConnectionGoneError
    # reading is paused: what the client sends next is read by the TLS layer and by nobody before it
    conversation.write(b"S")
    try:
        transport = await asyncio.get_running_loop().start_tls(
            plain, conversation, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
    except (OSError, ssl.SSLError):
        raise ConnectionGoneError from None
    if transport is None:
        raise ConnectionGoneError
    conversation.connection_made(transport)


async def authenticate(conversation: Conversation, message: StartupMessage, provisioner: Provisioner) -> str:
    """The name of the principal who proved a password; raises `AuthenticationFailedError`.

    The last SASL message is sent, `AuthenticationOk` is not: the session is not open yet.
    """
    user = startup_user(message)
    _negotiate(conversation, message)
    found = await provisioner.request("verifier", name=user)
    verifier = Verifier(
        int(found["iterations"]),
        b64decode(found["salt"]),
        b64decode(found["stored_key"]),
        b64decode(found["server_key"]),
    )
    server = ScramServer(verifier, b64encode(os.urandom(18)).decode())
    _ask(conversation, backend.AUTH_SASL, string(MECHANISM.encode()) + b"\0")
    _, body = await conversation.message()
    reply = server.first(_initial_response(body))
    _ask(conversation, backend.AUTH_SASL_CONTINUE, reply)
    _, body = await conversation.message()
    _ask(conversation, backend.AUTH_SASL_FINAL, server.final(body))
    return user


def _negotiate(conversation: Conversation, message: StartupMessage) -> None:
    if message.must_negotiate:
        conversation.write(
            backend.serialise_backend(
                backend.NegotiateProtocolVersion(message.version, message.unknown_extensions)
            )
        )


def _ask(conversation: Conversation, code: int, data: bytes) -> None:
    conversation.write(backend.serialise_backend(backend.Authentication(code, data)))


def _initial_response(body: bytes) -> bytes:
    """The client-first-message in a SASLInitialResponse."""
    reader = FieldReader(body)
    mechanism = reader.string()
    if mechanism != MECHANISM.encode():
        raise AuthenticationFailedError("another mechanism")
    response = reader.value()
    reader.finish()
    if response is None:
        raise AuthenticationFailedError("malformed message")
    return response


__all__ = ["Peer", "Provisioner", "authenticate", "greet", "is_loopback", "peer_address", "server_context"]
