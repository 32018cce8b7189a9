"""Offline proofs that an entry is in a log, as C2SP tlog-proof writes them: `.tlog-proof` files."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.ledger.checkpoint import Checkpoint, open_checkpoint
from ringfort.ledger.errors import NoteError
from ringfort.ledger.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from ringfort.ledger.note import parse_note, strict_base64

if TYPE_CHECKING:
    from ringfort.ledger.note import VerifierKey

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES = 2 << 20
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class LogProof:
    """An entry's index, the hashes from its sibling upwards, the signed checkpoint, free extra data."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The proof's bytes; `parse_proof` is the inverse."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append("extra " + base64.b64encode(self.extra).decode())
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(each).decode() for each in self.hashes]
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint

    def verify(self, entry: bytes, key: VerifierKey) -> Checkpoint:
        """The checkpoint, after checking its signature and that `entry` is in it.

        Raises NoteError, MerkleError.
        """
        checkpoint = open_checkpoint(self.checkpoint, key)
        verify_inclusion(self.index, checkpoint.size, leaf_hash(entry), self.hashes, checkpoint.root)
        return checkpoint


def parse_proof(data: bytes) -> LogProof:
    """Parse a proof without verifying it; raises NoteError unless it is canonical."""
    if len(data) > MAX_PROOF_BYTES:
        raise NoteError("a proof longer than 2 MiB")
    head, separator, checkpoint = data.partition(b"\n\n")
    if not separator:
        raise NoteError("a proof has an empty line before its checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NoteError("a proof's lines are ASCII") from None
    if lines.pop(0) != HEADER:
        raise NoteError(f"a proof begins with `{HEADER}`")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = strict_base64(lines.pop(0).removeprefix("extra "))
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if found is None:
        raise NoteError("a proof names an index")
    hashes = tuple(strict_base64(each) for each in lines)
    if len(hashes) > 63 or any(len(each) != HASH_BYTES for each in hashes):
        raise NoteError("a proof has at most 63 hashes of 32 bytes")
    parse_note(checkpoint)
    return LogProof(int(found[1]), hashes, checkpoint, extra)
