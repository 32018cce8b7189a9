"""Cosignatures as C2SP tlog-cosignature writes them: a witness states the largest tree it saw, and when.

Two types: Ed25519 over the note's text (04), and ML-DSA-44 over origin, size and root (06). Public logs and
witnesses still need the first; the second stands beside it. Left out: the witness itself, its memory, its
time.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from ringfort.ledger.checkpoint import Checkpoint, parse_text
from ringfort.ledger.errors import NoteError
from ringfort.ledger.note import (
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    Note,
    Signature,
    VerifierKey,
    check_name,
    verify_ed25519,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TIME = (1 << 63) - 1
_SIGNATURE_BYTES = {ED25519_COSIGNATURE: 64, MLDSA44_COSIGNATURE: 2420}


def ed25519_message(text: str, time: int) -> bytes:
    """What an Ed25519 cosigner signs: header, time in seconds since the epoch, the note's text."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def mldsa44_message(cosigner: str, checkpoint: Checkpoint, time: int) -> bytes:
    """What an ML-DSA-44 cosigner signs: a `cosigned_message` from leaf 0 to the checkpoint's size."""
    name, origin = cosigner.encode(), checkpoint.origin.encode()
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(name)]),
            name,
            struct.pack(">Q", time),
            bytes([len(origin)]),
            origin,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )


def cosign(text: str, name: str, seed: bytes, time: int, kind: int = ED25519_COSIGNATURE) -> Signature:
    """A cosignature line over a checkpoint's text by the key with this 32-byte seed."""
    checkpoint = parse_text(text)
    if not 0 <= time <= MAX_TIME:
        raise NoteError("a cosignature's time is out of range")
    if kind == ED25519_COSIGNATURE:
        private = Ed25519PrivateKey.from_private_bytes(seed)
        signed = private.sign(ed25519_message(text, time))
        public = private.public_key().public_bytes_raw()
    elif kind == MLDSA44_COSIGNATURE:
        quantum_safe = MLDSA44PrivateKey.from_seed_bytes(seed)
        signed = quantum_safe.sign(mldsa44_message(name, checkpoint, time))
        public = quantum_safe.public_key().public_bytes_raw()
    else:
        raise NoteError(f"no cosignature has the type {kind:02x}")
    key = VerifierKey(check_name(name), kind, public)
    return Signature(key.name, key.id, struct.pack(">Q", time) + signed)


def verify_cosignature(note: Note, signature: Signature, key: VerifierKey) -> int:
    """The time (seconds since the epoch) at which `key` cosigned the checkpoint.

    Raises NoteError if it did not.
    """
    if (signature.name, signature.key_id) != (key.name, key.id):
        raise NoteError("a cosignature by another key")
    if len(signature.data) != 8 + _SIGNATURE_BYTES.get(key.kind, -9):
        raise NoteError("a cosignature of the wrong length")
    time = int.from_bytes(signature.data[:8])
    if time > MAX_TIME:
        raise NoteError("a cosignature's time is out of range")
    signed = signature.data[8:]
    if key.kind == ED25519_COSIGNATURE:
        holds = verify_ed25519(key.public_key, ed25519_message(note.text, time), signed)
    else:
        holds = _verify_mldsa44(
            key.public_key, mldsa44_message(key.name, parse_text(note.text), time), signed
        )
    if not holds:
        raise NoteError("a cosignature by a known key does not verify")
    return time


def cosigners(note: Note, keys: Sequence[VerifierKey]) -> dict[str, int]:
    """Which of `keys` cosigned the checkpoint, by name, and when; raises NoteError if one of theirs fails."""
    known = {(each.name, each.id): each for each in keys}
    found: dict[str, int] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is not None:
            found[key.name] = verify_cosignature(note, signature, key)
    return found


def _verify_mldsa44(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        MLDSA44PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
