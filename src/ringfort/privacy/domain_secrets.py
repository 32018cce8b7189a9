"""From the root secret and an epoch's own random value to the secret of that epoch. Pure.

    secret = HKDF-SHA256(root, salt = the epoch's random 32 bytes,
                         info = b"ringfort-domain-secret/" | derivation in decimal digits
                              | recipient, purpose, epoch (`Domain.encoded`),
                         32 bytes)

Neither of the two gives anything without the other (RFC 5869: a secret salt makes the extractor a PRF under
either input). So destroying the random value is crypto-erasure of the epoch although the root stays, and a
random value that leaks gives nothing without the root. The derivation is the one on record with the epoch:
under another one the secret is another. Keys of columns are derived from it in `privacy.epoch_keys`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfort.errors import UsageError
from ringfort.privacy.epoch_keys import EpochSecret, require_known
from ringfort.privacy.pseudonym import ROOT_BYTES

if TYPE_CHECKING:
    from ringfort.privacy.pseudonym import Domain

SALT_BYTES = 32
SECRET_BYTES = 32
_LABEL = "ringfort-domain-secret/"
_FINGERPRINT_LABEL = b"ringfort-fingerprint/1"


def domain_secret(root: bytes, salt: bytes, domain: Domain, derivation: int) -> EpochSecret:
    """The secret of an epoch; raises `UsageError` if root or salt are not of their length."""
    require_known(derivation)
    if len(salt) != SALT_BYTES:
        raise UsageError(f"the random value of an epoch has {SALT_BYTES} bytes")
    value = _hkdf(root, salt, f"{_LABEL}{derivation}".encode() + domain.encoded())
    return EpochSecret(value, derivation)


def fingerprint_key(root: bytes) -> bytes:
    """The 32-byte key of fingerprints of direct identifiers, which no domain can make."""
    return _hkdf(root, None, _FINGERPRINT_LABEL)


def _hkdf(root: bytes, salt: bytes | None, info: bytes) -> bytes:
    if len(root) != ROOT_BYTES:
        raise UsageError(f"the root secret must be {ROOT_BYTES} bytes")
    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=salt, info=info).derive(root)


__all__ = ["SALT_BYTES", "SECRET_BYTES", "domain_secret", "fingerprint_key"]
