"""SCRAM-SHA-256 and -PLUS (RFC 5802, 5929, 7677), both sides, as PostgreSQL speaks it. Pure: nonces come in.

PostgreSQL's dialect: the user name in the exchange is ignored (the startup packet names the user), so an
empty one is sent; the password goes through SASLprep as `saslprep.py` says; SASL messages hold at most
1,024 bytes.

The server side compares in constant time and takes the same steps for a made-up verifier (`mock_verifier`) as
for a real one, so that an unknown user cannot be told from a wrong password, neither by answer nor by cost.

-PLUS binds the proof to the server's certificate (`tls-server-end-point`, the hash that the caller computes),
so that a man in the middle with a certificate of his own cannot pass the exchange on. A server with a binding
offers both mechanisms; a client that could bind but says that it was not offered (`y`) has been lied to, and
is refused (RFC 5802 section 6). Left out: other kinds of binding, and the `m=` extension.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.pgwire.errors import AuthenticationFailedError, ProtocolViolationError
from ringfort.pgwire.saslprep import saslprep

if TYPE_CHECKING:
    from collections.abc import Collection

MECHANISM = "SCRAM-SHA-256"
MECHANISM_PLUS = "SCRAM-SHA-256-PLUS"
BINDING = "tls-server-end-point"
DEFAULT_ITERATIONS = 4096
MAX_ITERATIONS = 1_000_000
MAX_MESSAGE = 1024
_DIGEST = 32
_SALT = 16
_NONCE = re.compile(r"[!-+\--~]{1,512}")
_CLIENT_FIRST = re.compile(
    r"(?P<gs2>(?:n|y|p=[A-Za-z0-9.-]+),(?:a=[^,]*)?,)(?P<bare>n=[^,]*,r=(?P<nonce>[^,]*))"
)
_CLIENT_FINAL = re.compile(
    r"(?P<without>c=(?P<binding>[^,]*),r=(?P<nonce>[^,]*)),p=(?P<proof>[A-Za-z0-9+/=]*)"
)
_SERVER_FIRST = re.compile(
    r"r=(?P<nonce>[^,]*),s=(?P<salt>[A-Za-z0-9+/=]*),i=(?P<iterations>[1-9][0-9]{0,6})"
)


@dataclass(frozen=True)
class Verifier:
    """What a server keeps of a password: it can check a proof and cannot make one."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(_DIGEST, "big")


def salted_password(password: str | bytes, salt: bytes, iterations: int) -> bytes:
    """PBKDF2-HMAC-SHA-256 over the prepared password: the slow step, worth keeping for a fixed salt."""
    return hashlib.pbkdf2_hmac("sha256", saslprep(password), salt, iterations)


def verifier_of_salted(salted: bytes, salt: bytes, iterations: int) -> Verifier:
    """The verifier that belongs to a salted password."""
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    return Verifier(iterations, salt, stored, _hmac(salted, b"Server Key"))


def build_verifier(password: str | bytes, salt: bytes, iterations: int = DEFAULT_ITERATIONS) -> Verifier:
    """A verifier for `password`; `salt` is 16 random bytes."""
    return verifier_of_salted(salted_password(password, salt, iterations), salt, iterations)


def mock_verifier(user: str, secret: bytes, iterations: int = DEFAULT_ITERATIONS) -> Verifier:
    """A verifier that no password fits, the same at every attempt for the same `user`.

    `secret` is a key of this deployment: without it, nobody can tell the salt from a real one.
    """
    name = user.encode()
    return Verifier(
        iterations,
        _hmac(secret, b"salt\0" + name)[:_SALT],
        _hmac(secret, b"stored key\0" + name),
        _hmac(secret, b"server key\0" + name),
    )


def _base64(text: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise AuthenticationFailedError("malformed message") from None
    if b64encode(raw).decode() != text:
        raise AuthenticationFailedError("malformed message")
    return raw


def _decode(message: bytes) -> str:
    if len(message) > MAX_MESSAGE:
        raise AuthenticationFailedError("message too long")
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise AuthenticationFailedError("malformed message") from None


def offered(end_point: bytes) -> tuple[str, ...]:
    """The mechanisms that a server with this binding (b"" for none) offers, the best first."""
    return (MECHANISM_PLUS, MECHANISM) if end_point else (MECHANISM,)


class ScramServer:
    """One exchange at the gate: `first`, then `final`. `nonce` is printable ASCII without a comma.

    `end_point` is the binding of the connection's own certificate, b"" without TLS.
    """

    def __init__(self, verifier: Verifier, nonce: str, *, end_point: bytes = b"") -> None:
        self._verifier = verifier
        self._nonce = nonce
        self._end_point = end_point
        self._bound = b""
        self._gs2 = ""
        self._first = ""

    def first(self, client_first: bytes, mechanism: str = MECHANISM) -> bytes:
        """The server-first-message; raises `AuthenticationFailedError`."""
        if mechanism not in offered(self._end_point):
            raise AuthenticationFailedError("another mechanism")
        match = _CLIENT_FIRST.fullmatch(_decode(client_first))
        if match is None or not _NONCE.fullmatch(match["nonce"]):
            raise AuthenticationFailedError("malformed message")
        flag, identity = match["gs2"][:-1].split(",")
        if identity:
            # PostgreSQL: an authorization identity is not supported
            raise AuthenticationFailedError("authorization identity")
        self._bind(mechanism, flag)
        self._gs2 = match["gs2"]
        self._nonce = match["nonce"] + self._nonce
        salt = b64encode(self._verifier.salt).decode()
        reply = f"r={self._nonce},s={salt},i={self._verifier.iterations}"
        self._first = f"{match['bare']},{reply}"
        return reply.encode()

    def _bind(self, mechanism: str, flag: str) -> None:
        """Check what the client says about channel binding against what was offered and chosen."""
        if mechanism == MECHANISM_PLUS:
            if flag != f"p={BINDING}":
                raise AuthenticationFailedError("another channel binding")
            self._bound = self._end_point
        elif flag.startswith("p="):
            raise AuthenticationFailedError("channel binding without its mechanism")
        elif flag == "y" and self._end_point:
            raise AuthenticationFailedError("channel binding was taken out of the offer")

    def final(self, client_final: bytes) -> bytes:
        """The server-final-message; raises `AuthenticationFailedError` if the proof is wrong."""
        match = _CLIENT_FINAL.fullmatch(_decode(client_final))
        if match is None:
            raise AuthenticationFailedError("malformed message")
        binding, proof = _base64(match["binding"]), _base64(match["proof"])
        if len(proof) != _DIGEST:
            raise AuthenticationFailedError("malformed message")
        text = f"{self._first},{match['without']}".encode()
        signature = _hmac(self._verifier.stored_key, text)
        key = hashlib.sha256(_xor(proof, signature)).digest()
        # every comparison is made, whatever the others say
        good = hmac.compare_digest(key, self._verifier.stored_key)
        good &= hmac.compare_digest(match["nonce"].encode(), self._nonce.encode())
        good &= hmac.compare_digest(binding, self._gs2.encode() + self._bound)
        if not good:
            raise AuthenticationFailedError("wrong proof")
        return b"v=" + b64encode(_hmac(self._verifier.server_key, text))


class ScramClient:
    """One exchange toward a site: `choose`, `first`, `challenge`, `final`, `verify`.

    `end_point` is the binding of the certificate that the site showed, b"" if there is none to bind to.
    """

    def __init__(self, nonce: str, user: str = "", *, end_point: bytes = b"") -> None:
        self._nonce = nonce
        self._bare = f"n={user},r={nonce}"
        self._end_point = end_point
        self._header = b"n,,"
        self._bound = b""
        self._text = b""
        self._server_key = b""

    def choose(self, mechanisms: Collection[str]) -> str:
        """The best of the server's `mechanisms`, "" if there is none; -PLUS whenever both sides can.

        A server that cannot is told that we could (`y`), so that it refuses if somebody changed its offer.
        """
        if self._end_point and MECHANISM_PLUS in mechanisms:
            self._header, self._bound = f"p={BINDING},,".encode(), self._end_point
            return MECHANISM_PLUS
        self._header = b"y,," if self._end_point else b"n,,"
        return MECHANISM if MECHANISM in mechanisms else ""

    def first(self) -> bytes:
        """The client-first-message."""
        return self._header + self._bare.encode()

    def challenge(self, server_first: bytes) -> tuple[bytes, int]:
        """Salt and iterations of the server-first-message; raises `ProtocolViolationError`.

        The iteration count is bounded: a hostile server must not make us compute for hours.
        """
        text = server_first.decode("utf-8", "replace")
        match = _SERVER_FIRST.fullmatch(text)
        if len(server_first) > MAX_MESSAGE or match is None:
            raise ProtocolViolationError("malformed SCRAM message from the site")
        nonce, iterations = match["nonce"], int(match["iterations"])
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ProtocolViolationError("SCRAM nonce mismatch from the site")
        if iterations > MAX_ITERATIONS:
            raise ProtocolViolationError("the site asks for too many SCRAM iterations")
        try:
            salt = b64decode(match["salt"], validate=True)
        except (Base64Error, ValueError):
            raise ProtocolViolationError("malformed SCRAM message from the site") from None
        binding = b64encode(self._header + self._bound).decode()
        self._text = f"{self._bare},{text},c={binding},r={nonce}".encode()
        return salt, iterations

    def final(self, salted: bytes) -> bytes:
        """The client-final-message, from `salted_password(password, salt, iterations)`."""
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), self._text)
        self._server_key = _hmac(salted, b"Server Key")
        without = self._text[self._text.rindex(b",c=") + 1 :]
        return without + b",p=" + b64encode(_xor(client_key, signature))

    def verify(self, server_final: bytes) -> None:
        """Check that the server knows the verifier; raises `ProtocolViolationError` if not."""
        expected = b"v=" + b64encode(_hmac(self._server_key, self._text))
        if not self._server_key or not hmac.compare_digest(server_final, expected):
            raise ProtocolViolationError("the site could not prove that it knows the password")


__all__ = [
    "BINDING",
    "DEFAULT_ITERATIONS",
    "MAX_MESSAGE",
    "MECHANISM",
    "MECHANISM_PLUS",
    "ScramClient",
    "ScramServer",
    "Verifier",
    "build_verifier",
    "mock_verifier",
    "offered",
    "salted_password",
    "verifier_of_salted",
]
