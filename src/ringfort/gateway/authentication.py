"""Who the client is: the exchange between the startup message and an open session.

SCRAM-SHA-256, and over TLS SCRAM-SHA-256-PLUS, bound to the certificate that this very connection was met
with. The exchange with an unknown user is the same as with a known one, with a verifier that nothing fits.
Parameters are judged after authentication, so that a refusal is on record with a principal.

The last SASL message is sent, `AuthenticationOk` is not: the session is not open yet.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ringfort.pgwire import backend
from ringfort.pgwire.errors import AuthenticationFailedError
from ringfort.pgwire.fields import FieldReader, string
from ringfort.pgwire.parameters import startup_user
from ringfort.pgwire.scram import ScramServer, Verifier, offered

if TYPE_CHECKING:
    from ringfort.gateway.conversation import Conversation
    from ringfort.gateway.gate import Peer
    from ringfort.pgwire.startup import StartupMessage


class Provisioner(Protocol):
    """The provisioner process, as `IpcClient` reaches it."""

    async def request(self, op: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Call `op`."""
        ...


@dataclass(frozen=True)
class Authenticated:
    """Who proved to be whom."""

    principal: str


class Authenticator:
    """Authenticates the clients of one worker."""

    def __init__(self, provisioner: Provisioner) -> None:
        self._provisioner = provisioner

    async def authenticate(
        self, conversation: Conversation, message: StartupMessage, peer: Peer
    ) -> Authenticated:
        """Who the client has proven to be; raises `AuthenticationFailedError`."""
        user = startup_user(message)
        if message.must_negotiate:
            conversation.write(
                backend.serialise_backend(
                    backend.NegotiateProtocolVersion(message.version, message.unknown_extensions)
                )
            )
        await self._password(conversation, user, peer)
        return Authenticated(user)

    async def _password(self, conversation: Conversation, user: str, peer: Peer) -> None:
        found = await self._provisioner.request("verifier", name=user)
        verifier = Verifier(
            int(found["iterations"]),
            b64decode(found["salt"]),
            b64decode(found["stored_key"]),
            b64decode(found["server_key"]),
        )
        end_point = b"" if peer.identity is None else peer.identity.end_point
        server = ScramServer(verifier, b64encode(os.urandom(18)).decode(), end_point=end_point)
        mechanisms = b"".join(string(each.encode()) for each in offered(end_point)) + b"\0"
        _ask(conversation, backend.AUTH_SASL, mechanisms)
        _, body = await conversation.message()
        mechanism, response = _initial_response(body)
        _ask(conversation, backend.AUTH_SASL_CONTINUE, server.first(response, mechanism))
        _, body = await conversation.message()
        _ask(conversation, backend.AUTH_SASL_FINAL, server.final(body))


def _ask(conversation: Conversation, code: int, data: bytes) -> None:
    conversation.write(backend.serialise_backend(backend.Authentication(code, data)))


def _initial_response(body: bytes) -> tuple[str, bytes]:
    """Mechanism and client-first-message in a SASLInitialResponse."""
    reader = FieldReader(body)
    mechanism = reader.string()
    response = reader.value()
    reader.finish()
    if response is None:
        raise AuthenticationFailedError("malformed message")
    return mechanism.decode("ascii", "replace"), response


__all__ = ["Authenticated", "Authenticator", "Provisioner"]
