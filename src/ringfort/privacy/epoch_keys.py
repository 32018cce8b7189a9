"""The secret of an epoch, and every key that derives from it: by one of two derivations. Pure.

An epoch has the derivation that is on record with it (`ledger.domains.Epoch`), for good: what was released
under the first is made and led back under the first. A secret carries its derivation, so no key can be
derived in another way than the record says; and the derivation is in the label of the secret itself, so that
a wrong one gives another secret, whose key id is not the one on record.

    derivation 2, all epochs that begin now: every method and kind of value has a key of its own,
        key = HKDF-SHA256(secret, salt none,
                          info = b"ringfort-pseudonym/2" | recipient, purpose, epoch, space, method, kind)
        where `kind` is the type of the message for `cmac`, the catalogue's kind for `ff1`, empty for `siv`
        and for the key id, whose method is `key-id` and whose space is empty
    derivation 1, epochs from before: a label for each method,
        cmac    b"ringfort-pseudonym/1"        | recipient, purpose, epoch, space, type
        ff1     b"ringfort-pseudonym-ff1/1"    | recipient, purpose, epoch, space: all kinds have one key
        siv     b"ringfort-pseudonym-siv/1"    | recipient, purpose, epoch, space
        key id  b"ringfort-pseudonym-key-id/1" | recipient, purpose, epoch

All fields as `pseudonym.encode_fields` writes them: no two lists encode alike. What else differs between the
two is the tweak of FF1, see `privacy.formats`. Sources: RFC 5869; NIST SP 800-108 Revision 1 on labels.
Left out: where a secret comes from (`domain_secrets`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfort.derivations import DERIVATIONS
from ringfort.errors import UsageError
from ringfort.privacy.cmac import KEY_BYTES
from ringfort.privacy.pseudonym import ROOT_BYTES, encode_fields

if TYPE_CHECKING:
    from ringfort.privacy.pseudonym import Domain, PseudonymType

FIRST, NEWEST = DERIVATIONS[0], DERIVATIONS[-1]
KEY_ID = "key-id"
_LABEL = b"ringfort-pseudonym/2"


@dataclass(frozen=True)
class EpochSecret:
    """The 32 bytes of one epoch of a domain, and how keys derive from them; never printed."""

    value: bytes = field(repr=False)
    derivation: int

    def __post_init__(self) -> None:
        if len(self.value) != ROOT_BYTES:
            raise UsageError(f"the secret of a domain must be {ROOT_BYTES} bytes")
        require_known(self.derivation)


def require_known(derivation: int) -> None:
    """Raise unless this code knows the derivation."""
    if derivation not in DERIVATIONS:
        raise UsageError(
            f"derivation {derivation} of pseudonymisation keys is not known",
            hint="use the version of Ringfort that wrote it, or a newer one",
        )


def derive_key(secret: EpochSecret, domain: Domain, identity_space: str, kind: PseudonymType) -> bytes:
    """The AES-128 key of `cmac` for one identity space and type within an epoch."""
    return _key(secret, domain, identity_space, "cmac", kind, KEY_BYTES)


def method_key(  # noqa: PLR0917 - what a key is of
    secret: EpochSecret, domain: Domain, identity_space: str, method: str, kind: str, size: int
) -> bytes:
    """The key of `ff1` for one identity space and catalogue kind, or of `siv` for a space (`kind` empty)."""
    return _key(secret, domain, identity_space, method, kind, size)


def key_id(secret: EpochSecret, domain: Domain) -> str:
    """An id for the keys of an epoch under this secret: 32 hexadecimal digits.

    It is an output of the same derivation under another label, so it tells nothing about any key, and
    nothing about the domain to whoever lacks the secret; it changes when the secret or the derivation does.
    """
    return _key(secret, domain, "", KEY_ID, "", KEY_BYTES).hex()


def _key(  # noqa: PLR0917 - what a key is of
    secret: EpochSecret, domain: Domain, space: str, method: str, kind: str, size: int
) -> bytes:
    if secret.derivation == FIRST:
        info = _first_info(domain, space, method, kind)
    else:
        info = _LABEL + domain.encoded() + encode_fields(space, method, kind)
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(secret.value)


def _first_info(domain: Domain, space: str, method: str, kind: str) -> bytes:
    if method == "cmac":
        return b"ringfort-pseudonym/1" + domain.encoded() + encode_fields(space, kind)
    label = f"ringfort-pseudonym-{method}/1".encode() + domain.encoded()
    return label if method == KEY_ID else label + encode_fields(space)


__all__ = ["FIRST", "NEWEST", "EpochSecret", "derive_key", "key_id", "method_key", "require_known"]
