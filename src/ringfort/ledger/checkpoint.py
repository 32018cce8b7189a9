"""Checkpoints as C2SP tlog-checkpoint writes them: origin, tree size, root hash, signed as a note.

Only the canonical form parses; extension lines are refused, since no monitor audits them. The key's name is
the origin. Left out: cosignatures (see `cosignature`).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.ledger.errors import NoteError
from ringfort.ledger.merkle import EMPTY_ROOT, HASH_BYTES
from ringfort.ledger.note import NoteSigner, VerifierKey, open_note, parse_note, sign_note, strict_base64

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SIZE = (1 << 63) - 1
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_ORIGIN = re.compile(r"[^\s+\x00-\x1f]{1,255}")


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: the log's origin, its size in entries and its 32-byte root hash."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def sign(self, signers: Sequence[NoteSigner]) -> bytes:
        """The signed checkpoint."""
        return sign_note(self.text, signers)


def parse_text(text: str) -> Checkpoint:
    """The checkpoint in a note's text; raises NoteError unless it is canonical."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteError("a checkpoint has three lines")
    origin, size_text, root_text = lines[:3]
    if not _ORIGIN.fullmatch(origin):
        raise NoteError("a checkpoint's origin has no space and no plus sign")
    if not _DECIMAL.fullmatch(size_text) or int(size_text) > MAX_SIZE:
        raise NoteError("a checkpoint's size is a decimal number without leading zeros")
    root = strict_base64(root_text)
    if len(root) != HASH_BYTES:
        raise NoteError("a checkpoint's root hash has 32 bytes")
    made = Checkpoint(origin, int(size_text), root)
    if made.size == 0 and made.root != EMPTY_ROOT:
        raise NoteError("the root of an empty tree is SHA-256 of nothing")
    return made


def parse_unverified(data: bytes) -> Checkpoint:
    """The checkpoint in a note, signatures not looked at: only to find out which key to ask for."""
    return parse_text(parse_note(data).text)


def open_checkpoint(data: bytes, key: VerifierKey) -> Checkpoint:
    """Parse and verify a checkpoint of the log whose origin is the key's name; raises NoteError."""
    note, _ = open_note(data, [key])
    made = parse_text(note.text)
    if made.origin != key.name:
        raise NoteError("a checkpoint of another log")
    return made
