"""The journal: the ledger's commit point. Groups of records, one write and one fdatasync each.

On disk: `journal/00000001.seg`, ... Segments are written full of zeros when they are made, so that a group's
sync needs no metadata commit. A segment is a header, groups one after another, then zeros:

    header  "RFJS" | version u32 | segment number u64 | number of its first group u64 | chain 32 | SHA-256 32
    group   "RFJG" | body length u32 | group number u64 | chain 32 | CRC-32 of these 48 bytes
            | body | SHA-256 32 over all before it

`chain` is the SHA-256 that ends the group before, so groups can be neither left out nor reordered.

Recovery is strict. A disk persists whole sectors: a group whose write was cut by a crash has at least one
sector that is still zero, and nothing after it. Only such a *torn tail* is cleared; it was never
acknowledged. Anything else that does not verify was written and has changed since: recovery refuses it. Left
out: what records mean.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ringfort.record.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ringfort.record.disk import Disk, OpenFile

SECTOR = 512
SEGMENT_BYTES = 32 << 20
_SEGMENT_HEADER = struct.Struct(">4sIQQ32s")
_GROUP_FACTS = struct.Struct(">4sIQ32s")
_GROUP_HEADER = struct.Struct(">4sIQ32sI")
SEGMENT_HEADER_BYTES = _SEGMENT_HEADER.size + 32
GROUP_OVERHEAD = _GROUP_HEADER.size + 32
MAX_GROUP_BYTES = 1 << 30
_SEGMENT_MAGIC, _GROUP_MAGIC, _VERSION = b"RFJS", b"RFJG", 1
_ORIGIN_CHAIN = bytes(32)
_ZEROS = bytes(1 << 16)
_sha256 = hashlib.sha256


@dataclass(frozen=True)
class Group:
    """A group as it was found: its number, its body, and the chain after it."""

    number: int
    body: bytes
    chain: bytes


@dataclass
class SegmentScan:
    """What one segment holds: its groups, where they end, and whether a torn group follows."""

    number: int
    first_group: int
    start_chain: bytes
    chain: bytes
    groups: list[Group] = field(default_factory=list)
    end: int = SEGMENT_HEADER_BYTES
    torn: bool = False


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"{number:08d}.seg"


def segment_numbers(names: Sequence[str]) -> list[int]:
    """The segments among file names; raises JournalError if one is missing between two others."""
    numbers = sorted(int(each[:8]) for each in names if len(each) == 12 and each.endswith(".seg"))
    for one, other in itertools.pairwise(numbers):
        if other != one + 1:
            raise JournalError(f"journal segment `{segment_name(one + 1)}` is missing")
    return numbers


def scan_segment(data: bytes, number: int) -> SegmentScan:
    """Read one segment's bytes; raises JournalError unless every byte is accounted for."""
    name = segment_name(number)
    header = data[: _SEGMENT_HEADER.size]
    if len(data) < SEGMENT_HEADER_BYTES or _sha256(header).digest() != data[len(header) : len(header) + 32]:
        raise JournalError(f"the header of journal segment `{name}` is damaged")
    magic, version, own_number, first_group, chain = _SEGMENT_HEADER.unpack(header)
    if magic != _SEGMENT_MAGIC or version != _VERSION or own_number != number:
        raise JournalError(f"journal segment `{name}` is not what its name says")
    scan = SegmentScan(number, first_group, chain, chain)
    expected = first_group
    while True:
        position = scan.end
        end = _group_end(data, position, expected, scan.chain)
        if end is None:
            scan.torn = _torn(data, position, name, expected)
            return scan
        body = data[position + _GROUP_HEADER.size : end - 32]
        scan.groups.append(Group(expected, body, data[end - 32 : end]))
        scan.chain = data[end - 32 : end]
        scan.end = end
        expected += 1


def _group_end(data: bytes, position: int, number: int, chain: bytes) -> int | None:
    """Where the valid group at `position` ends; None if there is no valid group."""
    if position + GROUP_OVERHEAD > len(data):
        return None
    magic, length, own_number, own_chain, _ = _GROUP_HEADER.unpack_from(data, position)
    end: int = position + GROUP_OVERHEAD + length
    if magic != _GROUP_MAGIC or own_number != number or own_chain != chain or end > len(data):
        return None
    if _sha256(memoryview(data)[position : end - 32]).digest() != data[end - 32 : end]:
        return None
    return end


def _torn(data: bytes, position: int, name: str, number: int) -> bool:
    """Whether a torn group stands at `position` (False: only zeros); raises JournalError if it is neither."""
    written = _written(data)
    if written <= position:
        return False
    if not _later_group(data, position, number):
        header = data[position : position + _GROUP_HEADER.size]
        if _zero_sector(data, position, position + len(header)):
            return True
        # The header is whole: it tells how far the group was to reach, unless it was changed since.
        facts = header[: _GROUP_FACTS.size]
        if header[:4] == _GROUP_MAGIC and zlib.crc32(facts).to_bytes(4) == header[len(facts) :]:
            end = position + GROUP_OVERHEAD + int.from_bytes(header[4:8])
            if written <= end <= len(data) and _zero_sector(data, position, end):
                return True
    raise JournalError(
        f"journal segment `{name}` is damaged at byte {position}: what stands there is no group and was not"
        " cut off by a crash",
        hint="the storage lost or changed acknowledged entries; keep the folder as it is and restore a copy"
        " whose journal verifies",
    )


def _written(data: bytes) -> int:
    """Where the zeros at the end begin; a segment is prepared with zeros, which are most of it for long."""
    end = len(data)
    while end > 0:
        start = max(0, end - len(_ZEROS))
        piece = data[start:end]
        if piece != _ZEROS[: len(piece)]:
            return start + len(piece.rstrip(b"\0"))
        end = start
    return 0


def _zero_sector(data: bytes, start: int, end: int) -> bool:
    """Whether the part of some sector that lies between `start` and `end` is all zeros."""
    while start < end:
        sector_end = min(end, (start // SECTOR + 1) * SECTOR)
        if not data[start:sector_end].strip(b"\0"):
            return True
        start = sector_end
    return False


def _later_group(data: bytes, position: int, number: int) -> bool:
    """Whether a whole group with a number from `number` on stands anywhere behind `position`."""
    view = memoryview(data)
    while (position := data.find(_GROUP_MAGIC, position + 1)) >= 0:
        if position + GROUP_OVERHEAD > len(data):
            return False
        _, length, own_number, _, _ = _GROUP_HEADER.unpack_from(data, position)
        end = position + GROUP_OVERHEAD + length
        if (
            own_number >= number
            and end <= len(data)
            and (_sha256(view[position : end - 32]).digest() == data[end - 32 : end])
        ):
            return True
    return False


def _segment_header(number: int, first_group: int, chain: bytes) -> bytes:
    header = _SEGMENT_HEADER.pack(_SEGMENT_MAGIC, _VERSION, number, first_group, chain)
    return header + _sha256(header).digest()


class Journal:
    """The journal of one ledger, open for appending. Not for use by several threads, `prepare` excepted."""

    def __init__(self, disk: Disk, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._disk = disk
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._file: OpenFile | None = None
        self._segment = 0
        self._segment_size = 0
        self._offset = 0
        self._last_group: dict[int, int] = {}  # segment -> its last group, for segments that are kept
        self._failed = ""
        self.chain = _ORIGIN_CHAIN
        self.number = 0
        """The number of the last group; the first is 1."""
        self.was_torn = False
        """Whether `recover` found a group that was not written whole."""

    @property
    def spare(self) -> Path:
        """Where the next segment waits, zeroed beforehand."""
        return self._folder / "spare"

    @property
    def first_segment(self) -> int:
        """The oldest segment that is kept."""
        return min(self._last_group, default=0)

    def recover(self) -> list[Group]:
        """Read everything that is kept, clear a torn tail, be ready to append; raises JournalError."""
        disk = self._disk
        disk.make_folder(self._folder)
        for name in disk.names(self._folder):
            if name.endswith(".new"):
                disk.remove(self._folder / name)
        numbers = segment_numbers(disk.names(self._folder))
        groups: list[Group] = []
        for number in numbers:
            path = self._folder / segment_name(number)
            data = disk.read(path) or b""
            scan = scan_segment(data, number)
            last = number == numbers[-1]
            if groups or number != numbers[0]:
                self._require_follows(scan)
            if scan.torn and not last:
                raise JournalError(f"journal segment `{path.name}` is damaged at byte {scan.end}")
            groups += scan.groups
            self.chain = scan.chain
            self.number = scan.first_group + len(scan.groups) - 1
            self._last_group[number] = self.number
            if last:
                self._file = disk.open(path)
                self._segment, self._segment_size, self._offset = number, len(data), scan.end
                self.was_torn = scan.torn
                if scan.torn:
                    self._file.write(scan.end, bytes(len(data) - scan.end))
                    self._file.sync()
        return groups

    def _require_follows(self, scan: SegmentScan) -> None:
        if scan.start_chain != self.chain or scan.first_group != self.number + 1:
            raise JournalError(
                f"journal segment `{segment_name(scan.number)}` does not follow from the one before"
            )

    def append(self, body: bytes) -> int:
        """Write one group and make it durable; gives its number.

        After a JournalError nothing can be appended.
        """
        if self._failed:
            raise JournalError(self._failed)
        number = self.number + 1
        facts = _GROUP_FACTS.pack(_GROUP_MAGIC, len(body), number, self.chain)
        head = b"".join((facts, zlib.crc32(facts).to_bytes(4), body))
        digest = _sha256(head).digest()
        try:
            if self._file is None or self._offset + len(head) + 32 > self._segment_size:
                self._rotate(len(head) + 32)
            if self._file is None:
                raise JournalError("the journal has no segment")
            self._file.write(self._offset, head + digest)
            self._file.sync()
        except OSError as error:
            self._failed = f"the journal cannot be written: {(error.strerror or 'error').lower()}"
            raise JournalError(
                self._failed,
                hint="free space or replace the disk, then start again; nothing was acknowledged",
            ) from error
        self._offset += len(head) + 32
        self.chain, self.number = digest, number
        self._last_group[self._segment] = number
        return number

    def _rotate(self, need: int) -> None:
        """Start the next segment, from the spare one if it is there."""
        disk, number = self._disk, self._segment + 1
        size = max(self._segment_bytes, SEGMENT_HEADER_BYTES + need)
        source = self.spare
        if size != self._segment_bytes or disk.size(source) != size:
            source = self._folder / "fresh"  # not the spare's name: another thread may be making that one
            disk.create_zeroed(source, size)
        fresh = disk.open(source)
        fresh.write(0, _segment_header(number, self.number + 1, self.chain))
        fresh.sync()
        disk.rename(source, self._folder / segment_name(number))
        disk.sync_folder(self._folder)
        if self._file is not None:
            self._file.close()
        self._file = fresh
        self._segment, self._segment_size, self._offset = number, size, SEGMENT_HEADER_BYTES
        self._last_group[number] = self.number

    def wants_spare(self) -> bool:
        """Whether the present segment is half full."""
        return self._offset * 2 > self._segment_size

    def prepare(self) -> None:
        """Make the next segment's file beforehand; may run in another thread."""
        if "spare" not in self._disk.names(self._folder):
            self._disk.create_zeroed(self.spare, self._segment_bytes)

    def release(self, group: int) -> None:
        """Remove segments whose groups are all <= `group`; the present one stays."""
        removable = [
            number for number, last in self._last_group.items() if last <= group and number != self._segment
        ]
        for number in sorted(removable):
            self._disk.remove(self._folder / segment_name(number))
            del self._last_group[number]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
