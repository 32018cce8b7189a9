"""The evidence store: what replay needs and is sensitive, sealed so that even the writer cannot read it.

A piece of evidence is `salt (32 bytes) || plaintext`; a traffic entry holds its SHA-256. The writer has the
public half of an X25519 key only. Each of its runs makes one data key, wraps it by HPKE (RFC 9180: X25519,
HKDF-SHA256, AES-256-GCM) and seals each journal group's evidence under it with AES-256-GCM:

    sealed group   capsule (HPKE encapsulation and wrapped key, 80 bytes) | nonce 12 | ciphertext
    plaintext      (length u32 | evidence)*            associated data: "ringfort-evidence" and the shard

The nonce counts the groups that one data key has sealed. On disk `evidence/STREAM/NUMBER.seg` holds records
(see `ledger.evidence`); a file is named after its first group. A stream is named after the shard today.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from ringfort.ledger.evidence import GroupRecord, scan_records
from ringfort.record.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ringfort.ports import Randomness
    from ringfort.record.disk import Disk, OpenFile

LOG = logging.getLogger(__name__)
SALT_BYTES = 32
CAPSULE_BYTES = 32 + 32 + 16
SEGMENT_BYTES = 64 << 20
_NONCE_BYTES = 12
_INFO = b"ringfort evidence data key v1"
_LENGTH = struct.Struct(">I")


class EvidenceError(RecordError):
    """Evidence that cannot be opened or is not what was sealed."""


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _associated(shard: str) -> bytes:
    return b"ringfort-evidence\0" + shard.encode()


def digest(evidence: bytes) -> str:
    """What an entry holds for a piece of evidence: hexadecimal SHA-256 of `salt || plaintext`."""
    return hashlib.sha256(evidence).hexdigest()


class Sealer:
    """Seals groups for the holder of the private key; holds a data key of its own for one run."""

    def __init__(self, public_key: bytes, randomness: Randomness) -> None:
        key = randomness.token(32)
        self._aead = AESGCM(key)
        self._capsule = _suite().encrypt(key, X25519PublicKey.from_public_bytes(public_key), info=_INFO)
        self._sealed = 0

    def seal(self, shard: str, pieces: Sequence[bytes]) -> bytes:
        """The sealed group of these pieces of evidence."""
        self._sealed += 1
        parts: list[bytes] = []
        for each in pieces:
            parts += (_LENGTH.pack(len(each)), each)
        nonce = self._sealed.to_bytes(_NONCE_BYTES)
        return self._capsule + nonce + self._aead.encrypt(nonce, b"".join(parts), _associated(shard))


class Opener:
    """Opens sealed groups with the private key."""

    def __init__(self, private_key: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(private_key)
        self._keys: dict[bytes, AESGCM] = {}

    def open(self, shard: str, sealed: bytes) -> list[bytes]:
        """The pieces of evidence in a sealed group.

        Raises EvidenceError if it was not sealed for this key.
        """
        capsule = sealed[:CAPSULE_BYTES]
        rest = sealed[CAPSULE_BYTES:]
        try:
            aead = self._keys.get(capsule)
            if aead is None:
                aead = AESGCM(_suite().decrypt(capsule, self._private, info=_INFO))
                self._keys[capsule] = aead
            plain = aead.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _associated(shard))
        except (InvalidTag, ValueError):
            raise EvidenceError("the evidence was sealed for another key or has been changed") from None
        pieces: list[bytes] = []
        position = 0
        while position < len(plain):
            (length,) = _LENGTH.unpack_from(plain, position)
            position += _LENGTH.size
            pieces.append(plain[position : position + length])
            position += length
        return pieces


def public_half(private_key: bytes) -> bytes:
    """The raw public key of a raw X25519 private key."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


class EvidenceStore:
    """Evidence segments on disk, one folder for each traffic shard. Appended to by one writer."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._open: dict[str, tuple[OpenFile, int]] = {}

    def shards(self) -> list[str]:
        """The shards that have evidence."""
        return self._disk.names(self._folder)

    def recover(self, rebuilt: Callable[[str, int], bool] = lambda _stream, _last: True) -> dict[str, int]:
        """The last durable group number of each stream, torn ends cut off.

        What does not verify is cut off only if `rebuilt(stream, last)` says that every group after `last`,
        the last one that does, comes again: else it was durable and was changed, which is left to be seen.
        """
        last: dict[str, int] = {}
        for shard in self.shards():
            folder = self._folder / shard
            for name in self._disk.names(folder):
                if name.endswith(".new"):
                    self._disk.remove(folder / name)
            last[shard] = 0
            for name in reversed(self._names(shard)):
                data = self._disk.read(folder / name) or b""
                records, end = scan_records(data)
                if records:
                    last[shard] = records[-1].number
                if end != len(data) or not data:
                    self._cut(shard, name, records, data[:end], rebuilt)
                if records:
                    break
        return last

    def _cut(
        self,
        shard: str,
        name: str,
        records: list[GroupRecord],
        sound: bytes,
        rebuilt: Callable[[str, int], bool],
    ) -> None:
        folder = self._folder / shard
        if not rebuilt(shard, records[-1].number if records else int(name[:16]) - 1):
            LOG.warning(
                "an evidence segment is damaged and stays as it is", extra={"event": "evidence-damaged"}
            )
            return
        if records:
            self._disk.write_whole(folder / name, sound)
        else:
            self._disk.remove(folder / name)
        self._disk.sync_folder(folder)

    def append(self, shard: str, records: Sequence[tuple[int, bytes]]) -> None:
        """Append records (number of the group, encoded record), in order, and make them durable."""
        folder = self._folder / shard
        file, offset = self._open.get(shard, (None, 0))
        if file is None or offset > SEGMENT_BYTES:
            if file is not None:
                file.close()
            self._disk.make_folder(folder)
            file, offset = self._disk.open(folder / f"{records[0][0]:016d}.seg"), 0
            self._disk.sync_folder(folder)
        data = b"".join(record for _, record in records)
        file.write(offset, data)
        file.sync()
        self._open[shard] = (file, offset + len(data))

    def groups(self, shard: str) -> Iterator[tuple[int, bytes]]:
        """The sealed groups of a shard; raises EvidenceError where a segment does not verify."""
        for name in self._names(shard):
            data = self._disk.read(self._folder / shard / name) or b""
            records, end = scan_records(data)
            yield from ((each.number, each.sealed) for each in records)
            if end != len(data):
                raise EvidenceError(f"evidence segment `{shard}/{name}` is damaged at byte {end}")

    def find(self, opener: Opener, wanted: str) -> bytes | None:
        """The evidence (`salt || plaintext`) with this digest, looked for in every shard.

        None if it is not held.
        """
        for shard in reversed(self.shards()):
            for _, sealed in self.groups(shard):
                for piece in opener.open(shard, sealed):
                    if digest(piece) == wanted:
                        return piece
        return None

    def remove(self, shard: str) -> None:
        """Delete a stream's segments."""
        folder = self._folder / shard
        for name in self._disk.names(folder):
            self._disk.remove(folder / name)
        if self._disk.names(self._folder):
            self._disk.sync_folder(folder)
        self._disk.remove_folder(folder)

    def close(self) -> None:
        """Close open files."""
        for file, _ in self._open.values():
            file.close()
        self._open.clear()

    def _names(self, shard: str) -> list[str]:
        return [each for each in self._disk.names(self._folder / shard) if each.endswith(".seg")]
