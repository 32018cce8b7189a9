"""Envelope encryption of secrets at rest: the form of a wrapped secret, and a key-encryption key in a file.

A wrapped secret is one line, `ringfort-wrapped/1 KEK-ID BASE64`, where the base64 holds
`nonce (12) | ciphertext | tag (16)` of AES-256-GCM (NIST SP 800-38D). Associated data: the form's name, the
id of the key-encryption key and the name that the secret is stored under, so that no wrapped secret passes
for another, under another name or another key. Invariants: a nonce is random and new for each wrap (a key
wraps thousands of secrets, not billions); what does not authenticate gives an error and no byte.
Left out: the token as a store (`sites.pkcs11`), and which store a deployment uses (`sites.custody`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import read_private, write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfort.ports import KeyEncryptionKey

FORM = "ringfort-wrapped/1"
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MAX_SECRET_BYTES = 4096
_ID_LABEL = b"ringfort-kek-id/1"


@dataclass(frozen=True)
class Wrapped:
    """A wrapped secret as it is stored: under which key, and the encrypted bytes."""

    kek: str
    data: bytes


def is_wrapped(stored: bytes) -> bool:
    """Whether bytes claim to be a wrapped secret."""
    return stored.startswith(FORM.encode() + b" ")


def write_wrapped(kek: KeyEncryptionKey, name: str, secret: bytes) -> bytes:
    """`secret`, to be stored under `name`."""
    if not 0 < len(secret) <= MAX_SECRET_BYTES:
        raise UsageError(f"a secret has 1 to {MAX_SECRET_BYTES} bytes")
    data = kek.wrap(secret, context(kek.id, name))
    return b" ".join((FORM.encode(), kek.id.encode(), base64.b64encode(data))) + b"\n"


def parse_wrapped(stored: bytes, name: str) -> Wrapped:
    """Read the line, strictly; raises `MissingEnvironmentError`."""
    try:
        form, kek, data = stored.decode("ascii").removesuffix("\n").split(" ")
        wrapped = Wrapped(kek, base64.b64decode(data, validate=True))
    except (UnicodeDecodeError, ValueError, binascii.Error):
        form, wrapped = "", Wrapped("", b"")
    if form != FORM or not NONCE_BYTES + TAG_BYTES < len(wrapped.data) <= MAX_SECRET_BYTES + 64:
        raise MissingEnvironmentError(
            f"the secret `{name}` is not in a form that is known", hint="restore it from a backup"
        )
    return wrapped


def context(kek: str, name: str) -> bytes:
    """What a wrapped secret is bound to."""
    parts = (FORM.encode(), kek.encode(), name.encode())
    return b"".join(len(each).to_bytes(2, "big") + each for each in parts)


def not_unwrapped() -> MissingEnvironmentError:
    """The error for bytes that do not authenticate."""
    return MissingEnvironmentError(
        "a wrapped secret does not open under this key-encryption key: it was changed, or stands under "
        "another name",
        hint="restore the secret from a backup made together with the key",
    )


class FileKeyEncryptionKey:
    """A 32-byte key in a 0600 file. Whoever has this file *and* the wrapped secrets has the secrets."""

    def __init__(self, key: bytes, randomness: Callable[[int], bytes] = os.urandom) -> None:
        if len(key) != KEY_BYTES:
            raise UsageError(f"a key-encryption key has {KEY_BYTES} bytes")
        self._cipher = AESGCM(key)
        self._randomness = randomness
        self._id = "file:" + hashlib.sha256(_ID_LABEL + key).hexdigest()[:32]

    @classmethod
    def read(cls, path: Path) -> FileKeyEncryptionKey:
        """The key in `path`, base64; raises `MissingEnvironmentError`."""
        try:
            key = base64.b64decode(read_private(path).strip(), validate=True)
        except (ValueError, binascii.Error):
            key = b""
        if len(key) != KEY_BYTES:
            raise MissingEnvironmentError(
                f"`{path}` holds no key-encryption key", hint="restore it from a backup"
            )
        return cls(key)

    @classmethod
    def create(cls, path: Path) -> FileKeyEncryptionKey:
        """Make a new key in `path`; raises `UsageError` if there is one."""
        key = os.urandom(KEY_BYTES)
        write_private(path, base64.b64encode(key) + b"\n", replace=False)
        return cls(key)

    @property
    def id(self) -> str:
        """`file:` and 128 bits of a digest of the key."""
        return self._id

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """`nonce | ciphertext | tag`."""
        nonce = self._randomness(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The secret; raises `MissingEnvironmentError` if anything is not as it was."""
        try:
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise not_unwrapped() from None


__all__ = [
    "FileKeyEncryptionKey",
    "Wrapped",
    "context",
    "is_wrapped",
    "not_unwrapped",
    "parse_wrapped",
    "write_wrapped",
]
