r"""Sealed releases: files that open only with a share of the recipient *and* a share of the overseer.

Two random shares of 32 bytes are made for a run; the file key is HKDF-SHA256 of both. Each is wrapped by
HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) to one holder, bound to transfer, run, contract and
holder. One share says nothing about the key, so without the overseer's there is no use, whatever the
recipient was sent. When the overseer cosigns, it opens its share and wraps it anew to the recipient's key,
in a note that it signs.

    file key     HKDF-SHA256(salt none, ikm = recipient's share | overseer's share, info = label | context)
    one file     HKDF-SHA256(salt none, ikm = file key, info = label | path), AES-256-GCM in chunks of 64 KiB
    sealed file  "RFSEAL1\n", then the chunks; nonce = chunk number (11 bytes) | 1 in the last chunk, else 0

Chunks are those of the STREAM construction (as in age): none can be cut off, swapped or repeated unseen. Both
shares live in memory only while the files are sealed; nothing that is kept can open them here.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfort.errors import UsageError
from ringfort.ledger.entry import canonical
from ringfort.ledger.errors import LedgerError
from ringfort.ledger.note import VerifierKey, open_note, parse_note, sign_note
from ringfort.policy.canonical import parse_canonical
from ringfort.policy.contract import seal_key_fault
from ringfort.transfer.manifest import ReleaseError, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from ringfort.ledger.note import NoteSigner
    from ringfort.policy.contract import Seal
    from ringfort.ports import Randomness
    from ringfort.transfer.manifest import Manifest, Release

SUITE = "HPKE X25519 HKDF-SHA256 AES-256-GCM; AES-256-GCM STREAM 64 KiB"
SUFFIX = ".sealed"
COSIGNATURE = "cosignature.note"
HOLDERS = ("recipient", "overseer")
_COSIGNED = "ringfort-transfer-cosignature/1"
_MAGIC = b"RFSEAL1\n"
_CHUNK = 64 * 1024
_TAG = 16
_SHARE = b"ringfort transfer share v1"
_RELEASED = b"ringfort transfer released share v1"
_KEY = b"ringfort transfer file key v1\0"
_FILE = b"ringfort transfer file v1\0"


class Sealer:
    """The shares of one run, while its files are sealed."""

    def __init__(self, seal: Seal, context: bytes, randomness: Randomness) -> None:
        shares = [randomness.token(32), randomness.token(32)]
        self._key = _file_key(shares, context)
        keys = (seal.recipient, seal.overseer)
        for holder, key in zip(HOLDERS, keys, strict=True):
            if fault := seal_key_fault(key):  # a contract that was approved before keys were looked at
                raise UsageError(
                    f"the contract's `seal.{holder}` {fault}",
                    hint=f"the {holder} makes one with `ringfort transfer key FILE`; then abandon the run",
                )
        self.capsules = {
            "suite": SUITE,
            **{
                holder: {"key": key, "share": _wrap(share, key, _SHARE, context + holder.encode())}
                for holder, key, share in zip(HOLDERS, keys, shares, strict=True)
            },
        }

    def seal(self, path: str, source: BinaryIO) -> Iterator[bytes]:
        """The sealed file, piece by piece; `path` is its name in the release."""
        aead = AESGCM(_derive(self._key, _FILE + path.encode()))
        yield _MAGIC
        chunk, number = source.read(_CHUNK), 0
        while True:
            after = source.read(_CHUNK) if len(chunk) == _CHUNK else b""
            yield aead.encrypt(_nonce(number, last=not after), chunk, None)
            if not after:
                return
            chunk, number = after, number + 1


def context_of(transfer: str, run: str, contract: str) -> bytes:
    """What shares are bound to."""
    return canonical({"transfer": transfer, "run": run, "contract": contract})


def cosign(release: Release, overseer_key: bytes, signer: NoteSigner) -> bytes:
    """The overseer's cosignature: a signed note with its share, wrapped to the recipient.

    `release` has been checked. Raises `ReleaseError` if it is not sealed for this key.
    """
    seal = _sealed(release.manifest)
    share = _open_share(release.manifest, "overseer", overseer_key)
    document = {
        **_cosigned_facts(release),
        "share": _wrap(share, seal["recipient"]["key"], _RELEASED, digest_of(release.note).encode()),
    }
    return sign_note(f"{_COSIGNED}\n{canonical(document).decode()}\n", [signer])


def check_cosignature(release: Release, data: bytes, overseer: VerifierKey | None) -> list[str]:
    """Check an overseer's cosignature; gives what could not be verified, for want of a key.

    Without `overseer` only that it is of this release; with it, that this key signed it. Raises
    `ReleaseError`.
    """
    _sealed(release.manifest)
    try:
        note = open_note(data, [overseer])[0] if overseer is not None else parse_note(data)
    except LedgerError as error:
        raise ReleaseError(f"`{COSIGNATURE}` is {error.message}") from None
    head, _, body = note.text.partition("\n")
    try:
        document = parse_canonical(body.removesuffix("\n").encode())
        stated = {each: value for each, value in document.items() if each != "share"}
        share = document["share"]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ReleaseError(f"`{COSIGNATURE}` is not of this format") from None
    if head != _COSIGNED or not isinstance(share, str) or stated != _cosigned_facts(release):
        raise ReleaseError(f"`{COSIGNATURE}` is of another release, or of another format")
    known = None if overseer is None else (overseer.name, overseer.id)
    others = sorted({each.name for each in note.signatures if (each.name, each.key_id) != known})
    if known is None:
        names = ", ".join(f"`{each}`" for each in others)
        return [f"`{COSIGNATURE}`, signed by {names} as it says: give --overseer with their verifier key"]
    return [f"the signature of `{each}` in `{COSIGNATURE}`" for each in others]


def _cosigned_facts(release: Release) -> dict[str, object]:
    """What a cosignature says beside the share."""
    return {
        "transfer": release.manifest.transfer,
        "run": release.manifest.run,
        "manifest": digest_of(release.note),
        "index": release.index,
    }


class Opener:
    """Opens the files of a sealed release: with the recipient's key and the overseer's cosignature."""

    def __init__(
        self, release: Release, recipient_key: bytes, cosignature: bytes, overseer: VerifierKey
    ) -> None:
        manifest = release.manifest
        try:
            note, _ = open_note(cosignature, [overseer])
        except LedgerError as error:
            raise ReleaseError(f"the cosignature is {error.message}") from None
        head, _, body = note.text.partition("\n")
        try:
            document = parse_canonical(body.removesuffix("\n").encode())
            if head != _COSIGNED or document["manifest"] != digest_of(release.note):
                raise ReleaseError("the cosignature is of another release")
            wrapped = document["share"]
        except (ValueError, TypeError, KeyError):
            raise ReleaseError("the cosignature is not of this format") from None
        shares = [
            _open_share(manifest, "recipient", recipient_key),
            _unwrap(wrapped, recipient_key, _RELEASED, digest_of(release.note).encode()),
        ]
        self._key = _file_key(shares, context_of(manifest.transfer, manifest.run, manifest.contract))

    def open(self, path: str, source: BinaryIO) -> Iterator[bytes]:
        """What was sealed as `path`, piece by piece; raises `ReleaseError` where one does not hold."""
        aead = AESGCM(_derive(self._key, _FILE + path.encode()))
        if source.read(len(_MAGIC)) != _MAGIC:
            raise ReleaseError(f"`{path}` is not a sealed file")
        chunk, number = source.read(_CHUNK + _TAG), 0
        while True:
            after = source.read(_CHUNK + _TAG)
            try:
                yield aead.decrypt(_nonce(number, last=not after), chunk, None)
            except (InvalidTag, ValueError):
                raise ReleaseError(f"`{path}` was sealed for other keys or has been changed") from None
            if not after:
                return
            chunk, number = after, number + 1


def public_key(private: bytes) -> str:
    """The public half of an X25519 key, as contracts name it."""
    raw = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    return base64.b64encode(raw).decode()


def _sealed(manifest: Manifest) -> Mapping[str, Any]:
    seal = manifest.seal
    if seal is None:
        raise ReleaseError("the release is not sealed")
    try:
        if seal["suite"] != SUITE or any(set(seal[each]) != {"key", "share"} for each in HOLDERS):
            raise ReleaseError("the release is sealed in a way that is not known here")
        keys = [seal[each]["key"] for each in HOLDERS]
        if any(not isinstance(each, str) for each in keys):
            raise ReleaseError("the release is sealed in a way that is not known here")
    except (KeyError, TypeError):
        raise ReleaseError("the release is sealed in a way that is not known here") from None
    for holder, key in zip(HOLDERS, keys, strict=True):
        if fault := seal_key_fault(key):
            raise ReleaseError(f"the key of the {holder} whom the release is sealed for {fault}")
    if keys[0] == keys[1]:
        raise ReleaseError("the release is sealed for one key, not for two holders")
    return seal


def _open_share(manifest: Manifest, holder: str, private: bytes) -> bytes:
    seal = _sealed(manifest)
    if public_key(private) != seal[holder]["key"]:
        raise ReleaseError(f"this is not the key of the {holder} whom the release is sealed for")
    context = context_of(manifest.transfer, manifest.run, manifest.contract)
    return _unwrap(seal[holder]["share"], private, _SHARE, context + holder.encode())


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _wrap(share: bytes, key: str, label: bytes, context: bytes) -> str:
    public = X25519PublicKey.from_public_bytes(base64.b64decode(key))
    return base64.b64encode(_suite().encrypt(share, public, info=label + b"\0" + context)).decode()


def _unwrap(wrapped: object, private: bytes, label: bytes, context: bytes) -> bytes:
    try:
        raw = base64.b64decode(wrapped, validate=True) if isinstance(wrapped, str) else b""
        key = X25519PrivateKey.from_private_bytes(private)
        share = _suite().decrypt(raw, key, info=label + b"\0" + context)
    except (InvalidTag, ValueError):
        raise ReleaseError("a share was wrapped for another key or release") from None
    if len(share) != 32:
        raise ReleaseError("a share has another length")
    return share


def _file_key(shares: list[bytes], context: bytes) -> bytes:
    return _derive(shares[0] + shares[1], _KEY + context)


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


__all__ = [
    "COSIGNATURE",
    "HOLDERS",
    "SUFFIX",
    "SUITE",
    "Opener",
    "Sealer",
    "check_cosignature",
    "context_of",
    "cosign",
    "public_key",
]
