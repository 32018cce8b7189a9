"""Who the client is: the exchange between the startup message and an open session.

SCRAM-SHA-256, and over TLS SCRAM-SHA-256-PLUS, bound to the certificate that this very connection was met
with. The exchange with an unknown user is the same as with a known one, with a verifier that nothing fits.
A client certificate that is registered for the name given (a credential on record) is as good as a password,
or demanded beside one, as `[gateway.client_certificates]` says. A principal with a token on record is asked
for a password in cleartext, over TLS only, and the password is a signed token (`tokens`). A token, believed
or not, goes to the evidence and nowhere else. How often may be tried is for the provisioner to say, which is
asked at each attempt and told how it went. It also holds the verifiers: the SCRAM exchange is passed on to it
and ends there, so that a worker never has anything that a password could be guessed against for everybody.
A certificate is looked at for its dates here, too: a handshake may be older than the moment. What was proven
ends with the certificate or token (`Authenticated.until`), and the session with it.
Parameters are judged after authentication, so that a refusal is on record with a principal.

The last SASL message is sent, `AuthenticationOk` is not: the session is not open yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
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
from ringfort.pgwire.scram import MAX_MESSAGE, offered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cryptography import x509

    from ringfort.config import ClientCertificatesConfig
    from ringfort.gateway.conversation import Conversation
    from ringfort.gateway.gate import Peer
    from ringfort.gateway.tokens_keys import Tokens
    from ringfort.pgwire.startup import StartupMessage


_MECHANISM_BYTES = 64
BUSY_SECONDS = 10.0
BUSY_FIRST, BUSY_LONGEST = 0.02, 0.5
_TOO_MANY = ("too many failed attempts", "wait some minutes, then try again")


class Provisioner(Protocol):
    """The provisioner process, as `IpcClient` reaches it."""

    async def request(self, op: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Call `op`."""
        ...


@dataclass(frozen=True)
class Authenticated:
    """Who proved to be whom; `viewer`: what the proof says about where they are.

    `credentials` were used (method, subject): a session opens only if they are on record still. `until`: when
    the first of them ends, in seconds since 1970; None if none does.
    """

    principal: str
    viewer: tuple[Viewer, ...] = ()
    credentials: tuple[tuple[str, str], ...] = ()
    until: float | None = None


@dataclass(frozen=True)
class Proof:
    """What a certificate or token says of the viewer's place, and when it ends (seconds since 1970)."""

    viewer: tuple[Viewer, ...] = ()
    until: float | None = None


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
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`credentials` are those on record; `accepted(method, facts)` puts one that was used on record."""
        self._wall = wall
        self._random = random.SystemRandom().random
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
            begun = await self._begin("attempt", name=None, address=peer.address)
            await self._tell(begun.get("attempt"), "failed")
            raise CertificateMissingError
        proofs = []
        credentials = []
        if certificate is not None:
            credentials.append(("certificate", str(subject)))
            country = certificate_country(certificate)
            proofs.append(Proof((Viewer("certificate", country),) if country else (), _ends(certificate)))
        if certificate is None or self._certificates.certificate == "required":
            if token is not None and self._tokens is not None and peer.identity is not None:
                credentials.append(("token", token))
            else:
                token = None
            proofs.append(await self._password_or_token(conversation, user, token, peer))
        if certificate is not None:
            shown = b64encode(certificate.public_bytes(Encoding.DER)).decode()
            facts = {"user": user, "address": peer.address, "certificate": shown}
            await self._accepted("certificate", facts)
        viewer = tuple(source for each in proofs for source in each.viewer)
        until = min((each.until for each in proofs if each.until is not None), default=None)
        return Authenticated(user, viewer, tuple(credentials), until)

    def _certificate(self, registered: str | None, peer: Peer) -> x509.Certificate | None:
        """The client's certificate, if it carries the name that is registered."""
        shown = peer.certificate
        if not self._certificates.ca or shown is None or registered is None:
            return None
        if not _begins(shown) <= self._wall() < _ends(shown):
            return None
        return shown if registered in certificate_names(shown) else None

    async def _password_or_token(
        self, conversation: Conversation, user: str, registered: str | None, peer: Peer
    ) -> Proof:
        """Take a token that names `registered`, or a password; gives what a token says."""
        if registered is None or self._tokens is None:
            await self._scram(conversation, user, peer)
            return Proof()
        return await self._token(conversation, self._tokens, user, registered, peer)

    async def _token(
        self, conversation: Conversation, tokens: Tokens, user: str, registered: str, peer: Peer
    ) -> Proof:
        """Ask for a password in cleartext, inside TLS, and take a token for it."""
        _ask(conversation, backend.AUTH_CLEARTEXT, b"")
        _, body = await conversation.message()
        reader = FieldReader(body)
        text = reader.string().decode("ascii", "replace")
        reader.finish()
        begun = await self._begin("attempt", name=user, address=peer.address)
        outcome = "abandoned"  # a token that cannot be checked at present was no guess
        try:
            token = await tokens.check(text, registered)
            outcome = "succeeded"
        except TokenRefusedError as error:
            outcome = "failed"
            raise AuthenticationFailedError(error.reason, {"token": text[:MOST_BYTES]}) from None
        finally:
            await self._tell(begun.get("attempt"), outcome)
        await self._accepted("token", {"user": user, "address": peer.address, "token": text})
        return Proof((Viewer("token", token.country),) if tokens.says_country else (), token.until)

    async def _scram(self, conversation: Conversation, user: str, peer: Peer) -> None:
        """Pass a SCRAM exchange on to the provisioner, which alone knows verifiers."""
        end_point = b"" if peer.identity is None else peer.identity.end_point
        mechanisms = b"".join(string(each.encode()) for each in offered(end_point)) + b"\0"
        _ask(conversation, backend.AUTH_SASL, mechanisms)
        _, body = await conversation.message()
        mechanism, response = _initial_response(body)
        begun = await self._begin(
            "scram-first",
            name=user,
            address=peer.address,
            mechanism=mechanism,
            message=_text(response[: MAX_MESSAGE + 1]),  # what is too long is refused, and counted, there
            end_point=_text(end_point),
        )
        attempt = begun.get("attempt")
        ended = False  # who goes away before the proof has guessed nothing
        try:
            _ask(conversation, backend.AUTH_SASL_CONTINUE, _message(begun))
            _, body = await conversation.message()
            ended = True
            final = _text(body[: MAX_MESSAGE + 1])
            answer = await self._provisioner.request("scram-final", attempt=attempt, message=final)
            _ask(conversation, backend.AUTH_SASL_FINAL, _message(answer))
        finally:
            if not ended:
                await self._tell(attempt, "abandoned")

    async def _begin(self, op: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Begin an attempt; waits while as many are in flight as may be."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BUSY_SECONDS
        pause = BUSY_FIRST
        while True:
            answer = await self._provisioner.request(op, **fields)
            if answer.get("throttled"):
                raise TooManyFailuresError if answer.get("first") else _too_many_failures()
            if not answer.get("busy"):
                return answer
            if loop.time() + pause > deadline:
                raise StartupRefusedError(
                    "too many attempts to log in at once", hint="try again in a moment", sqlstate="28000"
                )
            await asyncio.sleep(pause * (0.5 + self._random()))
            pause = min(2 * pause, BUSY_LONGEST)

    async def _tell(self, attempt: object, outcome: str) -> None:
        """How the attempt went. Waited for: the next one must be judged after it."""
        if attempt is not None:
            with contextlib.suppress(RingfortError):  # unheard, it counts as in flight until it lapses
                await self._provisioner.request("attempted", attempt=attempt, outcome=outcome)


def _begins(certificate: x509.Certificate) -> float:
    return certificate.not_valid_before_utc.timestamp()


def _ends(certificate: x509.Certificate) -> float:
    """The last second in which it is valid is a part of its life (RFC 5280 section 4.1.2.5)."""
    return certificate.not_valid_after_utc.timestamp() + 1


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _message(answer: dict[str, Any]) -> bytes:
    """The provisioner's message for the client; raises `AuthenticationFailedError` if it refused."""
    if "refused" in answer:
        raise AuthenticationFailedError(str(answer["refused"]))
    return b64decode(str(answer["message"]))


def _ask(conversation: Conversation, code: int, data: bytes) -> None:
    conversation.write(backend.serialise_backend(backend.Authentication(code, data)))


def _initial_response(body: bytes) -> tuple[str, bytes]:
    """Mechanism and client-first-message in a SASLInitialResponse."""
    reader = FieldReader(body)
    mechanism = reader.string()
    response = reader.value()
    reader.finish()
    return mechanism[:_MECHANISM_BYTES].decode("ascii", "replace"), response or b""


__all__ = ["Authenticated", "Authenticator", "Provisioner"]
