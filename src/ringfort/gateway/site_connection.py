"""A connection to a site's PostgreSQL as a profile role: TLS if the site has it, SCRAM-SHA-256 or nothing.

Over TLS the password's proof is bound to the site's certificate (-PLUS) whenever the site can.

The server must prove that it knows the password's verifier; a server that asks for cleartext or MD5 is
refused, and one that answers `N` to SSLRequest is never spoken to in plaintext if TLS was asked for.

`tls` is what the site's DSN says: `mode` is libpq's `sslmode`, `ca` its `sslrootcert` (a path, PEM text,
`system` or nothing). `disable` is plaintext; `require` without `ca` is encrypted and verifies nobody, with
`ca` it is `verify-ca`, as in libpq. Everything else, the modes in which libpq would fall back to plaintext
(`prefer`, `allow`) among them, is `verify-full`: what nobody chose is not the weaker choice. A host that
starts with `/` is the folder of a unix socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509

from ringfort.errors import RingfortError
from ringfort.gateway.channel_binding import server_end_point
from ringfort.gateway.conversation import ConnectionGoneError, Conversation
from ringfort.pgwire import backend
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.fields import INT32, message, string
from ringfort.pgwire.redaction import redact_error
from ringfort.pgwire.scram import ScramClient, salted_password
from ringfort.pgwire.startup import CancelRequest, SslRequest, StartupMessage, serialise_startup

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS = 10.0
_KINDS = b"RKSZEN"
_SALTED_MOST = 1_024


class SiteError(RingfortError):
    """The site could not be reached or did not let the profile role in."""

    default_sqlstate = "08006"  # connection_failure


@dataclass(frozen=True)
class SiteTarget:
    """Where a profile session connects. `tls_mode` and `tls_ca` as in the module's docstring."""

    host: str
    port: int
    database: str
    role: str
    password: str = field(repr=False)
    tls_mode: str = "disable"
    tls_ca: str = ""


@dataclass
class SiteSession:
    """An authenticated, idle site connection."""

    conversation: Conversation
    target: SiteTarget
    key: backend.BackendKeyData
    parameters: dict[bytes, bytes]
    pool_key: tuple[object, ...] = ()


class SaltedPasswords:
    """PBKDF2 once for each password and salt: it is most of what a connection costs."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes, int], bytes] = {}

    def get(self, password: str, salt: bytes, iterations: int) -> bytes:
        """The salted password."""
        key = (password, salt, iterations)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _SALTED_MOST:
                self._known.clear()
            found = self._known[key] = salted_password(password, salt, iterations)
        return found


def _tls_context(mode: str, ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode not in {"require", "verify-ca"} or ca == "system"
    if mode == "require" and not ca:
        context.verify_mode = ssl.CERT_NONE
    elif ca.startswith("-----BEGIN"):
        context.load_verify_locations(cadata=ca)
    elif ca in {"", "system"}:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca)
    return context


def _written(ca: str) -> int:
    """When the file of authorities was written: a new one is read without a restart."""
    try:
        return Path(ca).stat().st_mtime_ns if ca not in {"", "system"} and not ca.startswith("-----") else 0
    except OSError:
        return 0


class SiteConnector:
    """Opens site connections; keeps TLS contexts and salted passwords."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, str], tuple[int, ssl.SSLContext]] = {}
        self._salted = SaltedPasswords()

    async def connect(self, target: SiteTarget, settings: Mapping[str, str]) -> SiteSession:
        """A connection that is ready for its first statement; raises `SiteError`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                conversation = await self._transport(target)
                try:
                    return await self._authenticate(conversation, target, settings)
                except BaseException:
                    conversation.abort()
                    raise
        except (OSError, ssl.SSLError, ConnectionGoneError, TimeoutError, ProtocolViolationError) as error:
            why = error.message if isinstance(error, ProtocolViolationError) else type(error).__name__
            raise SiteError(f"the site cannot be reached: {why}", hint="try again in a moment") from None

    async def reach(self, target: SiteTarget) -> None:
        """Go as far as a session before it says who it is; raises `SiteError` with what an operator does."""
        hint = "see that the site is up, and what its connection string in secrets/ says"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                (await self._transport(target)).abort()
        except SiteError as error:
            hint = f"{error.hint}, or say sslmode=disable in its connection string in secrets/"
            raise SiteError(error.message, hint=hint) from None
        except ssl.SSLCertVerificationError as error:
            raise SiteError(
                f"the certificate of the site is not accepted: {error.verify_message}",
                hint="say sslmode=verify-full and sslrootcert=FILE in its connection string in secrets/",
            ) from None
        except (OSError, ConnectionGoneError, TimeoutError, ProtocolViolationError) as error:
            raise SiteError(
                f"the site cannot be reached as sessions reach it: {type(error).__name__}", hint=hint
            ) from None

    async def cancel(self, target: SiteTarget, key: backend.BackendKeyData) -> None:
        """Ask the site to cancel what the session with `key` does; failures are silent as in PostgreSQL."""
        with contextlib.suppress(
            OSError, ssl.SSLError, ConnectionGoneError, TimeoutError, ProtocolViolationError, SiteError
        ):
            async with asyncio.timeout(CONNECT_SECONDS):
                conversation = await self._transport(target)
                conversation.write(serialise_startup(CancelRequest(key.process, key.secret)))
                conversation.close()

    async def _transport(self, target: SiteTarget) -> Conversation:
        loop = asyncio.get_running_loop()
        conversation = Conversation(_KINDS, backend_limit())
        if target.host.startswith("/"):
            path = os.path.join(target.host, f".s.PGSQL.{target.port}")  # noqa: PTH118 - a socket's name
            await loop.create_unix_connection(lambda: conversation, path)
            return conversation
        await loop.create_connection(lambda: conversation, target.host, target.port)
        if target.tls_mode != "disable":
            try:
                await self._start_tls(conversation, target)
            except BaseException:
                conversation.abort()
                raise
        return conversation

    async def _start_tls(self, conversation: Conversation, target: SiteTarget) -> None:
        conversation.write(serialise_startup(SslRequest()))
        answer = await conversation.byte()
        if answer != b"S" or conversation.unread:
            raise SiteError("the site does not offer TLS", hint="turn TLS on at the site")
        key = (target.tls_mode, target.tls_ca)
        written, context = self._contexts.get(key, (-1, None))
        if context is None or written != _written(target.tls_ca):
            written = _written(target.tls_ca)
            context = _tls_context(*key)
            self._contexts[key] = written, context
        plain = conversation.transport
        if plain is None:
            raise ConnectionGoneError
        transport = await asyncio.get_running_loop().start_tls(
            plain, conversation, context, server_hostname=target.host if context.check_hostname else None
        )
        conversation.connection_made(cast("asyncio.Transport", transport))

    async def _authenticate(
        self, conversation: Conversation, target: SiteTarget, settings: Mapping[str, str]
    ) -> SiteSession:
        given = {"user": target.role, "database": target.database, **settings, "client_encoding": "UTF8"}
        pairs = tuple((name.encode(), value.encode()) for name, value in given.items())
        conversation.write(serialise_startup(StartupMessage(0, pairs)))
        client = ScramClient(b64encode(os.urandom(18)).decode(), end_point=_end_point(conversation))
        proven = False
        parameters: dict[bytes, bytes] = {}
        key = backend.BackendKeyData(0, bytes(4))
        while True:
            answer = await self._next(conversation)
            if isinstance(answer, backend.Authentication):
                proven = self._step(conversation, client, target.password, answer) or proven
            elif isinstance(answer, backend.ParameterStatus) and proven:
                parameters[answer.name] = answer.value
            elif isinstance(answer, backend.BackendKeyData) and proven:
                key = answer
            elif isinstance(answer, backend.ReadyForQuery) and proven and answer.status == b"I":
                return SiteSession(conversation, target, key, parameters)
            elif not isinstance(answer, backend.NoticeResponse):
                raise SiteError("the site answered out of order during startup")

    async def _next(self, conversation: Conversation) -> backend.BackendMessage:
        kind, body = await conversation.message()
        if kind == ord("E"):
            _, sqlstate, _ = redact_error(body)
            raise SiteError(
                "the site did not let the session in",
                hint="see the site's log",
                sqlstate=_startup_state(sqlstate),
            )
        return backend.parse_backend(kind, body)

    def _step(
        self, conversation: Conversation, client: ScramClient, password: str, request: backend.Authentication
    ) -> bool:
        """One step of SCRAM; whether the server has proven itself with it."""
        if request.code == backend.AUTH_SASL:
            chosen = client.choose(request.data.decode("ascii", "replace").split("\0"))
            if not chosen:
                raise SiteError(
                    "the site does not offer SCRAM-SHA-256", hint="use SCRAM-SHA-256 in pg_hba.conf"
                )
            first = client.first()
            conversation.write(message(b"p", string(chosen.encode()) + INT32.pack(len(first)) + first))
        elif request.code == backend.AUTH_SASL_CONTINUE:
            salt, iterations = client.challenge(request.data)
            conversation.write(message(b"p", client.final(self._salted.get(password, salt, iterations))))
        elif request.code == backend.AUTH_SASL_FINAL:
            client.verify(request.data)
            return True
        elif request.code != backend.AUTH_OK:
            raise SiteError(
                "the site asks for a password in a weak form", hint="use SCRAM-SHA-256 in pg_hba.conf"
            )
        return False


def _end_point(conversation: Conversation) -> bytes:
    """What a proof can be bound to: the certificate that the site has shown, b"" without TLS."""
    transport = conversation.transport
    encrypted = None if transport is None else transport.get_extra_info("ssl_object")
    shown = None if encrypted is None else encrypted.getpeercert(True)
    return server_end_point(x509.load_der_x509_certificate(shown)) if shown else b""


def backend_limit() -> int:
    """The longest message that a site may send before a session is open."""
    return 65_536


def _startup_state(sqlstate: str) -> str:
    """What a client may know of why the site said no: busy and starting are told, the rest is a failure."""
    return sqlstate if sqlstate[:2] in {"53", "57"} else "08006"


def read_target(opened: Mapping[str, Any]) -> SiteTarget:
    """The target in the provisioner's answer to `open`."""
    tls = opened.get("tls") or {}
    return SiteTarget(
        host=str(opened["host"]),
        port=int(opened["port"]),
        database=str(opened["database"]),
        role=str(opened["role"]),
        password=str(opened["password"]),
        tls_mode=str(tls.get("mode", "disable")),
        tls_ca=str(tls.get("ca", "")),
    )


__all__ = ["SiteConnector", "SiteError", "SiteSession", "SiteTarget", "read_target"]
