"""A mark of how far the journal was acknowledged, in a file beside it: a lower bound, and an orderly end.

After each group is durable, and before anybody is answered, the group's number and chain are written to
`acknowledged`, without a sync: the budget of a group is one. So the mark survives the death of the process,
and after a loss of power it may be older than the journal, never newer. A journal that ends before its mark
has lost what was acknowledged. An orderly end writes `closed` and syncs: then nothing at all may be missing
or left over. Whoever can write the folder can set both back together; that cannot be told apart.

One line of 100 bytes: `running` or `closed `, the number in 20 digits, the chain in hexadecimal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.record.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

    from ringfort.record.disk import Disk, OpenFile

NAME = "acknowledged"
_LINE = re.compile(rb"(running|closed ) ([0-9]{20}) ([0-9a-f]{64}) {6}\n")


@dataclass(frozen=True)
class Mark:
    """The journal reached at least group `number`, with `chain` after it, and was closed there or not."""

    number: int
    chain: bytes
    closed: bool


class MarkError(RecordError):
    """What stands in a mark's place is none; it lies within one sector, which no crash cuts."""


def read_mark(disk: Disk, folder: Path) -> Mark | None:
    """The mark of a ledger folder, None if there is none or nothing was noted; raises MarkError."""
    data = disk.read(folder / NAME)
    if not (data or b"").strip(b"\0"):
        return None
    line = _LINE.fullmatch(data or b"")
    if line is None:
        raise MarkError("the mark of what was acknowledged last has been changed")
    return Mark(int(line[2]), bytes.fromhex(line[3].decode()), line[1] == b"closed ")


class MarkFile:
    """The mark of the ledger that this process writes."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._file: OpenFile | None = None

    def open(self) -> None:
        """Begin to note."""
        fresh = self._disk.size(self._folder / NAME) < 0
        self._file = self._disk.open(self._folder / NAME)
        if fresh:
            self._disk.sync_folder(self._folder)

    def note(self, number: int, chain: bytes) -> None:
        """The journal is durable up to group `number`."""
        if self._file is not None:
            self._file.write(0, _line(b"running", number, chain))

    def close(self, number: int, chain: bytes, *, orderly: bool) -> None:
        """The journal ends here; `orderly` if all of it is published."""
        if self._file is not None:
            if orderly:
                self._file.write(0, _line(b"closed ", number, chain))
                self._file.sync()
            self._file.close()
            self._file = None


def _line(state: bytes, number: int, chain: bytes) -> bytes:
    return b"%b %020d %b      \n" % (state, number, chain.hex().encode())


__all__ = ["NAME", "Mark", "MarkError", "MarkFile", "read_mark"]
