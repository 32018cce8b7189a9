"""TLS as clients meet it: what is offered, and certificates that are renewed without a restart.

TLS 1.2 or newer, ALPN `postgresql`, no renegotiation, no compression. Certificate and key are files (or
texts, which never change); who renews them just replaces the files. They are looked at when a client
connects, at most once a second: what is new serves from the next handshake on, open connections keep what
they have. Files that cannot be used (half of them written, another key) leave the old ones in force; the log
says so once for each content.

With `client_ca` clients are asked for a certificate of those authorities and may leave it; that file is
watched like the others. No handshake is then shortened by an earlier one (resumption), for a certificate is
looked at in whole ones only: there are no tickets, and since OpenSSL keeps sessions for clients of TLS 1.2 in
the context, and Python cannot tell it not to, each handshake has a context of its own.

`end_point` is what a client binds its password to (`channel_binding`).
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from ringfort.errors import MissingEnvironmentError
from ringfort.gateway.channel_binding import server_end_point
from ringfort.private_files import read_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.gateway.settings import Tls

LOG = logging.getLogger(__name__)
ALPN = "postgresql"
CHECK_SECONDS = 1.0
_PEM = "-----BEGIN"
_Signature = tuple[tuple[int, int, int, int] | None, ...]


@dataclass(frozen=True)
class Identity:
    """What a handshake is made with; `end_point` is b"" where there is nothing to bind to.

    `make` gives a context for each handshake, where no two may share one.
    """

    context: ssl.SSLContext
    end_point: bytes
    make: Callable[[], ssl.SSLContext] | None = None

    def for_handshake(self) -> ssl.SSLContext:
        """The context of the next handshake."""
        return self.context if self.make is None else self.make()


class ServerTls:
    """The certificate in force; `say` is told about changes, a line each."""

    def __init__(
        self,
        tls: Tls,
        client_ca: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `MissingEnvironmentError` if the first certificate cannot be used."""
        self._tls = tls
        self._clock = clock
        self._client_ca = client_ca
        given = (tls.certificate, tls.key, client_ca)
        self._files = [Path(each) for each in given if each and not each.startswith(_PEM)]
        self._seen = self._signature()
        self._checked = clock()
        self._identity = _load(tls, client_ca) if tls.certificate else None

    def identity(self) -> Identity | None:
        """What the next handshake is made with; None if TLS is not offered."""
        now = self._clock()
        if self._files and now - self._checked >= CHECK_SECONDS:
            self._checked = now
            self._renew()
        return self._identity

    def _renew(self) -> None:
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature  # taken before reading: what is changed meanwhile is read again
        try:
            self._identity = _load(self._tls, self._client_ca)
        except MissingEnvironmentError as error:
            LOG.warning("%s; the one in force stays", error, extra={"event": "certificate-kept"})
        else:
            LOG.info("the TLS certificate was renewed", extra={"event": "certificate-renewed"})

    def _signature(self) -> _Signature:
        found: list[tuple[int, int, int, int] | None] = []
        for path in self._files:
            try:
                state = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((state.st_mtime_ns, state.st_size, state.st_ino, state.st_dev))
        return tuple(found)


def _load(tls: Tls, client_ca: str) -> Identity:
    try:
        certificate, key = _text(tls.certificate), _secret(tls.key)
        authorities = _text(client_ca)
        context = _context(certificate, key, authorities)
        end_point = server_end_point(x509.load_pem_x509_certificates(certificate)[0])
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or "not a PEM certificate"
        raise MissingEnvironmentError(
            f"the TLS certificate or key cannot be used: {reason}",
            hint="check `tls_certificate`, `tls_key` and the authorities of clients in ringfort.toml",
        ) from None
    if not authorities:
        return Identity(context, end_point)
    return Identity(context, end_point, lambda: _context(certificate, key, authorities))


def _context(certificate: bytes, key: bytes, authorities: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols([ALPN])
    _load_texts(context, certificate, key)
    if authorities:
        _ask_for_certificates(context, authorities)
    return context


def _ask_for_certificates(context: ssl.SSLContext, authorities: bytes) -> None:
    """A client may show a certificate; one that does not verify ends the handshake."""
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authorities.decode("ascii"))
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _text(source: str) -> bytes:
    return source.encode() if not source or source.startswith(_PEM) else Path(source).read_bytes()


def _secret(source: str) -> bytes:
    """A private key, as a text or from a file that nobody else may read."""
    return source.encode() if not source or source.startswith(_PEM) else read_private(Path(source))


def _load_texts(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL takes files only: give it one that is in memory and nameless, the same bytes that we read."""
    descriptor = os.memfd_create("ringfort-tls", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(key + b"\n" + certificate + b"\n")
        # an encrypted key fails with this password; without one OpenSSL would ask at the terminal
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    finally:
        os.close(descriptor)


__all__ = ["ALPN", "Identity", "ServerTls"]
