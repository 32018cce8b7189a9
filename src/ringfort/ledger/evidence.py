"""The evidence store's records and the chain over them: what can be checked without the key that opens them.

A segment holds records, one for each sealed group: `"RFEV" | length u32 | group number u64 | sealed group |
SHA-256 32` over all before it. The groups of a *stream* (a folder of segments) are chained: the chain after a
record is SHA-256(chain before || the record's SHA-256), beginning with 32 zero bytes. `EvidenceCommitted` in
the control log names, for each stream, its last group and the chain there; so a group that is missing, more,
exchanged or at another place leads to another chain. `StreamCheck` holds a stream against everything that was
committed of it. Pure. Left out: what is sealed (see `record.evidence`).
"""

from __future__ import annotations

import copy
import hashlib
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.ledger.entry import EvidenceStream

ORIGIN_CHAIN = bytes(32)
DIGEST_BYTES = 32
_RECORD = struct.Struct(">4sIQ")
_MAGIC = b"RFEV"
_sha256 = hashlib.sha256


@dataclass(frozen=True)
class GroupRecord:
    """One record of a segment: its group's number, the sealed group, the record's SHA-256."""

    number: int
    sealed: bytes = field(repr=False)
    digest: bytes = field(repr=False)


@dataclass(frozen=True)
class StoredGroup:
    """A group as it was found: its number, its record's digest, and where it stands."""

    number: int
    digest: bytes
    where: str


def encode_record(number: int, sealed: bytes) -> bytes:
    """One record of an evidence segment."""
    head = _RECORD.pack(_MAGIC, len(sealed), number) + sealed
    return head + _sha256(head).digest()


def record_digest(number: int, sealed: bytes) -> bytes:
    """The SHA-256 that ends a record."""
    return hashlib.sha256(_RECORD.pack(_MAGIC, len(sealed), number) + sealed).digest()


def scan_records(data: bytes) -> tuple[list[GroupRecord], int]:
    """The records of a segment and where they end; what follows does not verify."""
    records: list[GroupRecord] = []
    position = 0
    while position + _RECORD.size + DIGEST_BYTES <= len(data):
        magic, length, number = _RECORD.unpack_from(data, position)
        end = position + _RECORD.size + length + DIGEST_BYTES
        if magic != _MAGIC or end > len(data):
            break
        digest = hashlib.sha256(memoryview(data)[position : end - DIGEST_BYTES]).digest()
        if digest != data[end - DIGEST_BYTES : end]:
            break
        records.append(GroupRecord(number, data[position + _RECORD.size : end - DIGEST_BYTES], digest))
        position = end
    return records, position


def chained(chain: bytes, digest: bytes) -> bytes:
    """The chain after one more record."""
    return _sha256(chain + digest).digest()


@dataclass(frozen=True)
class Commitment:
    """What control entry `index` commits of one stream; `dropped`: the entry says that it was deleted."""

    index: int
    stream: EvidenceStream
    dropped: bool = False


class StreamCheck:
    """Holds the groups of one stream, in the order in which they are stored, against its commitments.

    Both may still come while it is looked at: groups wait until a commitment covers them. The first group
    that is out of order, and the first commitment that does not hold, are named in `problem`; nothing more is
    looked at then.
    """

    def __init__(self) -> None:
        self.problem = ""
        self.groups = 0
        """Groups that a commitment covers and that are as it says."""
        self.before = 0
        """Groups from before there were commitments: nothing says what they were."""
        self.last = 0
        """The number of the last group that came."""
        self._due: list[Commitment] = []
        self._sound = 0
        self._chain, self._count = ORIGIN_CHAIN, 0
        self._waiting: list[StoredGroup] = []

    @property
    def waiting(self) -> int:
        """Groups that no commitment covers so far."""
        return len(self._waiting)

    def copy(self) -> StreamCheck:
        """The same, to look ahead with."""
        return copy.deepcopy(self)

    def commit(self, commitments: Iterable[Commitment]) -> None:
        """Commitments that come after those known so far."""
        self._due += sorted(commitments, key=lambda each: each.stream.last)

    def feed(self, group: StoredGroup) -> None:
        """The next group."""
        if self.problem:
            return
        if group.number <= self.last:
            self.problem = (
                f"group {group.number} stands after group {self.last} (`{group.where}`): the evidence was"
                " reordered or mixed with other"
            )
            return
        self.last = group.number
        self._waiting.append(group)
        if self._due and group.number >= self._due[0].stream.last:
            self.settle(final=False)

    def settle(self, *, final: bool) -> None:
        """Hold what came against what is due; with `final` no more groups come for what is due now."""
        while self._due and not self.problem:
            wanted = self._due[0].stream
            if not final and self.last < wanted.last:
                return
            covered = [each for each in self._waiting if each.number <= wanted.last]
            del self._waiting[: len(covered)]
            for group in covered:
                if group.number <= wanted.after:
                    self.before += 1
                else:
                    self._chain, self._count = chained(self._chain, group.digest), self._count + 1
            self._hold(self._due.pop(0))

    def _hold(self, commitment: Commitment) -> None:
        wanted = commitment.stream
        if (self._chain.hex(), self._count) == (wanted.chain, wanted.groups):
            self.groups, self._sound = self._count, wanted.last
            return
        entry = f"control entry {commitment.index}"
        where = f"between group {self._sound or wanted.after} and group {wanted.last}"
        if self._count < wanted.groups:
            missing = wanted.groups - self._count
            self.problem = (
                f"{missing:,} of {wanted.groups:,} groups that {entry} commits are missing, {where}"
            )
        elif self._count > wanted.groups:
            self.problem = f"there are more groups than {entry} commits, {where}"
        else:
            self.problem = f"the groups {where} are not those that {entry} commits"


__all__ = [
    "ORIGIN_CHAIN",
    "Commitment",
    "GroupRecord",
    "StoredGroup",
    "StreamCheck",
    "chained",
    "encode_record",
    "record_digest",
    "scan_records",
]
