"""Who the client is: the exchange between the startup message and an open session.

SCRAM-SHA-256, and over TLS SCRAM-SHA-256-PLUS, bound to the certificate that this very connection was met
with. The exchange with an unknown user is the same as with a known one, with a verifier that nothing fits.
A client certificate that is registered for the name given (a credential on record) is as good as a password,
or demanded beside one, as `[gateway.client_certificates]` says. A principal with a token on record is asked
for a password in cleartext, over TLS only, and the password is a signed token (`tokens`). A token, believed
or not, goes to the evidence and nowhere else. How often may be tried is for the provisioner to say, which is
asked at each attempt and told how it went.
Parameters are judged after authentication, so that a refusal is on record with a principal.

The last SASL message is sent, `AuthenticationOk` is not: the session is not open yet.
"""

from __future__ import annotations

import contextlib
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.hazmat.primitives.serialization import Encoding

from ringfort.errors import RingfortError
from ringfort.gateway.authentication_certificate import certificate_country, certificate_names
from ringfort.gateway.tokens import MOST_BYTES, TokenRefusedError
from ringfort.ledger.entry import Viewer
from ringfort.pgwire import backend
from ringfort.pgwire.errors import AuthenticationFailedError, StartupRefusedError
from ringfort.pgwire.fields import FieldReader, string
from ringfort.pgwire.parameters import startup_user
from ringfort.pgwire.scram import ScramServer, Verifier, offered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cryptography import x509

    from ringfort.config import ClientCertificatesConfig
    from ringfort.gateway.conversation import Conversation
    from ringfort.gateway.gate import Peer
    from ringfort.gateway.tokens_keys import Tokens
    from ringfort.pgwire.startup import StartupMessage


_TOO_MANY = ("too many failed attempts", "wait some minutes, then try again")


class Provisioner(Protocol):
    """The provisioner process, as `IpcClient` reaches it."""

    async def request(self, op: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Call `op`."""
        ...


@dataclass(frozen=True)
class Authenticated:
    """Who proved to be whom; `viewer`: what the proof says about where they are.

    `credentials` were used (method, subject): a session opens only if they are on record still.
    """

    principal: str
    viewer: tuple[Viewer, ...] = ()
    credentials: tuple[tuple[str, str], ...] = ()


class TooManyFailuresError(AuthenticationFailedError):
    """Nothing is tried at present; on record once for each delay."""

    default_sqlstate = "28000"

    def __init__(self) -> None:
        super().__init__("too many failures")
        self.message, self.hint = _TOO_MANY


class CertificateMissingError(AuthenticationFailedError):
    """A certificate is required, and none that stands for this name was shown; the name may not exist."""

    default_sqlstate = "28000"

    def __init__(self) -> None:
        super().__init__("no certificate")
        self.message = "a client certificate that is registered for this user is required"
        self.hint = "set sslcert and sslkey; `ringfort principal credential` registers a certificate"


def _too_many_failures() -> StartupRefusedError:
    """The same to the client, and on record already."""
    return StartupRefusedError(_TOO_MANY[0], hint=_TOO_MANY[1], sqlstate="28000")


class Authenticator:
    """Authenticates the clients of one worker."""

    def __init__(
        self,
        provisioner: Provisioner,
        credentials: Callable[[], Mapping[tuple[str, str], str]],
        certificates: ClientCertificatesConfig,
        tokens: Tokens | None,
        accepted: Callable[[str, dict[str, str]], Awaitable[None]],
    ) -> None:
        """`credentials` are those on record; `accepted(method, facts)` puts one that was used on record."""
        self._provisioner = provisioner
        self._credentials = credentials
        self._certificates = certificates
        self._tokens = tokens
        self._accepted = accepted

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
        registered = self._credentials()
        subject, token = registered.get((user, "certificate")), registered.get((user, "token"))
        certificate = self._certificate(subject, peer)
        if certificate is None and self._certificates.certificate == "required":
            raise CertificateMissingError
        viewer: tuple[Viewer, ...] = ()
        credentials = []
        if certificate is not None:
            credentials.append(("certificate", str(subject)))
            country = certificate_country(certificate)
            viewer = (Viewer("certificate", country),) if country else ()
        if certificate is None or self._certificates.certificate == "required":
            if token is not None and self._tokens is not None and peer.identity is not None:
                credentials.append(("token", token))
            else:
                token = None
            viewer += await self._password_or_token(conversation, user, token, peer)
        if certificate is not None:
            shown = b64encode(certificate.public_bytes(Encoding.DER)).decode()
            facts = {"user": user, "address": peer.address, "certificate": shown}
            await self._accepted("certificate", facts)
        return Authenticated(user, viewer, tuple(credentials))

    def _certificate(self, registered: str | None, peer: Peer) -> x509.Certificate | None:
        """The client's certificate, if it carries the name that is registered."""
        shown = peer.certificate
        if not self._certificates.ca or shown is None or registered is None:
            return None
        return shown if registered in certificate_names(shown) else None

    async def _password_or_token(
        self, conversation: Conversation, user: str, registered: str | None, peer: Peer
    ) -> tuple[Viewer, ...]:
        """Take a token that names `registered`, or a password; gives what a token says about the place."""
        tokens = None if registered is None else self._tokens
        found = await self._provisioner.request("verifier", name=user, address=peer.address)
        if found.get("throttled"):
            raise TooManyFailuresError if found.get("first") else _too_many_failures()
        outcome = "abandoned"  # who goes away before the proof has guessed nothing
        viewer: tuple[Viewer, ...] = ()
        try:
            if tokens is None:
                await self._scram(conversation, found, peer)
            else:
                viewer = await self._token(conversation, tokens, user, str(registered), peer)
            outcome = "succeeded"
        except AuthenticationFailedError:
            outcome = "failed"
            raise
        finally:
            await self._tell(found.get("attempt"), outcome)
        return viewer

    async def _token(
        self, conversation: Conversation, tokens: Tokens, user: str, registered: str, peer: Peer
    ) -> tuple[Viewer, ...]:
        """Ask for a password in cleartext, inside TLS, and take a token for it."""
        _ask(conversation, backend.AUTH_CLEARTEXT, b"")
        _, body = await conversation.message()
        reader = FieldReader(body)
        text = reader.string().decode("ascii", "replace")
        reader.finish()
        try:
            token = await tokens.check(text, registered)
        except TokenRefusedError as error:
            raise AuthenticationFailedError(error.reason, {"token": text[:MOST_BYTES]}) from None
        await self._accepted("token", {"user": user, "address": peer.address, "token": text})
        return (Viewer("token", token.country),) if tokens.says_country else ()

    async def _tell(self, attempt: object, outcome: str) -> None:
        """How the attempt went. Waited for: the next one must be judged after it."""
        if attempt is not None:
            with contextlib.suppress(RingfortError):  # unheard, it counts as no attempt at all
                await self._provisioner.request("attempted", attempt=attempt, outcome=outcome)

    @staticmethod
    async def _scram(conversation: Conversation, found: dict[str, Any], peer: Peer) -> None:
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
