"""Signed notes as C2SP signed-note writes them: text, an empty line, signature lines; verifier keys.

Parsing is strict: only the canonical form is accepted (base64 is decoded, encoded again and compared). The
algorithm is open: a key carries its type, a verifier is looked up by it. Signatures of unknown keys are
ignored; a signature by a known key that does not verify refuses the whole note. Left out: which keys to
trust.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ringfort.ledger.errors import NoteError
from ringfort.public_keys import ed25519_fault

if TYPE_CHECKING:
    from collections.abc import Sequence

ED25519 = 0x01
ED25519_COSIGNATURE = 0x04
MLDSA44_COSIGNATURE = 0x06
KEY_BYTES = {ED25519: 32, ED25519_COSIGNATURE: 32, MLDSA44_COSIGNATURE: 1312}
MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 100
_NAME = re.compile(r"[^\s+\x00-\x1f]{1,255}")
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_DASH = "\N{EM DASH}"


def strict_base64(text: str) -> bytes:
    """Decode canonical standard base64 (RFC 4648 section 4); raises NoteError for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise NoteError("not canonical base64")
    return data


def key_id(name: str, kind: int, public_key: bytes) -> bytes:
    """The 4-byte key id: SHA-256(name || 0A || type || public key)[:4]."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public_key).digest()[:4]


@dataclass(frozen=True)
class VerifierKey:
    """A public key with its name and signature type; `text` is its vkey form."""

    name: str
    kind: int
    public_key: bytes

    @property
    def id(self) -> bytes:
        """The 4-byte key id that signature lines carry."""
        return key_id(self.name, self.kind, self.public_key)

    @property
    def text(self) -> str:
        """`name+hex8+base64(type || public key)`."""
        material = base64.b64encode(bytes([self.kind]) + self.public_key).decode()
        return f"{self.name}+{self.id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Parse a vkey; raises NoteError unless it is canonical, of a known type and its id is right."""
        found = _VKEY.fullmatch(text)
        if found is None:
            raise NoteError("not a verifier key", hint="it reads name+8 hexadecimal digits+base64")
        name, claimed, material = found.groups()
        data = strict_base64(material)
        made = cls(check_name(name), data[0], data[1:])
        if made.kind not in KEY_BYTES:
            raise NoteError(f"a verifier key of the unknown type {made.kind:02x}")
        if len(made.public_key) != KEY_BYTES[made.kind]:
            raise NoteError("a verifier key of the wrong length")
        if made.kind in {ED25519, ED25519_COSIGNATURE} and (fault := ed25519_fault(made.public_key)):
            raise NoteError(f"a verifier key that {fault}")
        if made.id.hex() != claimed:
            raise NoteError("a verifier key whose id does not match its content")
        return made

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (without key id) is this key's over a note's text; plain note types only."""
        return self.kind == ED25519 and verify_ed25519(self.public_key, message, signature)


@dataclass(frozen=True)
class Signature:
    """One signature line: the key's name, its 4-byte id, and the bytes that follow."""

    name: str
    key_id: bytes
    data: bytes

    @property
    def line(self) -> str:
        """The line with its newline."""
        return f"{_DASH} {self.name} {base64.b64encode(self.key_id + self.data).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A parsed, not yet verified note: `text` ends in a newline."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note's bytes; `parse_note` is the inverse."""
        return (self.text + "\n" + "".join(each.line for each in self.signatures)).encode()


class NoteSigner(Protocol):
    """What signs a note's text: the log's own key, or a cosigner's."""

    @property
    def key(self) -> VerifierKey:
        """The public half."""
        ...

    def sign(self, text: str) -> Signature:
        """The signature line for `text`."""
        ...


class Ed25519Signer:
    """Signs note texts with Ed25519 (type 01), deterministically."""

    def __init__(self, name: str, seed: bytes) -> None:
        if len(seed) != 32:
            raise NoteError("an Ed25519 seed has 32 bytes")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = VerifierKey(check_name(name), ED25519, self._private.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        """The signature line for `text`."""
        return Signature(self.key.name, self.key.id, self._private.sign(text.encode()))


def check_name(name: str) -> str:
    """A key name: not empty, no space, no plus sign; raises NoteError."""
    if not _NAME.fullmatch(name):
        raise NoteError("a key name has 1 to 255 characters, no space and no plus sign")
    return name


def check_text(text: str) -> str:
    """A note text: ends in a newline, no other control character; raises NoteError."""
    if not text.endswith("\n"):
        raise NoteError("a note's text ends in a newline")
    if any(each < " " and each != "\n" for each in text):
        raise NoteError("a note holds no control character but newline")
    return text


def sign_note(text: str, signers: Sequence[NoteSigner]) -> bytes:
    """`text` signed by each signer, as bytes."""
    return Note(check_text(text), tuple(each.sign(text) for each in signers)).encode()


def parse_note(data: bytes) -> Note:
    """Parse a note without verifying it; raises NoteError unless it is canonical."""
    if len(data) > MAX_NOTE_BYTES:
        raise NoteError("a note longer than 1 MiB")
    try:
        whole = check_text(data.decode())
    except UnicodeDecodeError:
        raise NoteError("a note is UTF-8") from None
    split = whole.rfind("\n\n")
    if split < 0:
        raise NoteError("a note has an empty line before its signatures")
    text, lines = whole[: split + 1], whole[split + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"a note with more than {MAX_SIGNATURES} signatures")
    return Note(text, tuple(_parse_line(each) for each in lines))


def _parse_line(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH:
        raise NoteError("a malformed signature line")
    data = strict_base64(parts[2])
    if len(data) < 5:
        raise NoteError("a signature line without a signature")
    return Signature(check_name(parts[1]), data[:4], data[4:])


def open_note(data: bytes, keys: Sequence[VerifierKey]) -> tuple[Note, tuple[VerifierKey, ...]]:
    """Parse and verify a note; gives it and the keys (at least one) whose signatures verified.

    Raises NoteError if none of `keys` signed it, or if a signature by one of them does not verify.
    """
    note = parse_note(data)
    message = note.text.encode()
    known = {(each.name, each.id): each for each in keys}
    verified: list[VerifierKey] = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not key.verify(message, signature.data):
            raise NoteError("a signature by a known key does not verify")
        if key not in verified:
            verified.append(key)
    if not verified:
        raise NoteError("not signed by a known key")
    return note, tuple(verified)


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature (RFC 8032) holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
