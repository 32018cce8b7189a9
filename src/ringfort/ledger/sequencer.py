"""Entries in order -> tree, tiles, entry bundles: the pure step between a journal and a published log.

A `Sequencer` is the mutable state of one log: it takes entries one by one (about 2 microseconds each), knows
the root at any moment, and hands out, once, the resources that have to be stored before a checkpoint of its
present size may be published. It never looks at what an entry means. Left out: durability, time, signatures.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ringfort.ledger.errors import TilesError
from ringfort.ledger.merkle import CompactRange, fold_roots
from ringfort.ledger.tiles import (
    ENTRIES,
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    read_bundle,
    resume_range,
    tile_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_sha256 = hashlib.sha256


class Sequencer:
    """The growing end of one log."""

    __slots__ = ("_bundle", "_drained", "_levels", "_ready", "_stack", "size")

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[bytes] = []
        self._levels: list[list[bytes]] = []  # the partial tile of each level
        self._bundle: list[bytes] = []  # the partial bundle: length, entry, length, entry...
        self._ready: dict[str, bytes] = {}  # full tiles and bundles not handed out yet
        self._drained = 0

    @classmethod
    def resume(cls, size: int, read: Callable[[str], bytes | None]) -> Sequencer:
        """Take up a stored log of `size`; raises TilesError if a tile or bundle that is needed is missing.

        The caller compares `root()` with the checkpoint: nothing is trusted that does not lead to it.
        """
        made = cls()
        tree, made._levels = resume_range(size, read)
        made.size, made._stack, made._drained = size, tree.stack, size
        full, width = divmod(size, TILE_WIDTH)
        if width:
            entries, problem = read_bundle(read, full, width)
            if problem:
                raise TilesError(problem)
            hashes = [_sha256(b"\x00" + each).digest() for each in entries]
            if hashes != made._levels[0]:
                raise TilesError(f"`{tile_path(ENTRIES, full, width)}` does not match its tile")
            for each in entries:
                made._bundle += (len(each).to_bytes(2), each)
        return made

    def append(self, entry: bytes) -> int:
        """Add an entry; gives its index."""
        length = len(entry)
        if length > MAX_ENTRY_BYTES:
            raise TilesError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
        node = _sha256(b"\x00" + entry).digest()
        index = size = self.size
        stack = self._stack
        self._bundle += (length.to_bytes(2), entry)
        if not self._levels:
            self._levels.append([])
        self._levels[0].append(node)
        height = 0
        while size & 1:
            node = _sha256(b"\x01" + stack.pop() + node).digest()
            size >>= 1
            height += 1
            if not height & 7:
                self._complete(height >> 3, index >> height, node)
        stack.append(node)
        self.size = index + 1
        return index

    def _complete(self, level: int, index: int, root: bytes) -> None:
        """A tile of `level - 1` with this index has become full; its root belongs to `level`."""
        below = self._levels[level - 1]
        self._ready[tile_path(level - 1, index)] = b"".join(below)
        below.clear()
        if level == 1:
            self._ready[tile_path(ENTRIES, index)] = b"".join(self._bundle)
            self._bundle.clear()
        if len(self._levels) == level:
            self._levels.append([])
        self._levels[level].append(root)

    def root(self) -> bytes:
        """The root hash of all entries so far."""
        return fold_roots(self._stack)

    def tree(self) -> CompactRange:
        """A copy of the compact range."""
        return CompactRange(self.size, self._stack)

    def drain(self, *, partial: bool = True) -> dict[str, bytes]:
        """What to store before a checkpoint of the present size: newly full tiles and bundles, partial ones.

        Paths are relative to the log. The caller keeps them until they are durable: they are handed out once.
        Without `partial` only those that have become full.
        """
        ready, self._ready = self._ready, {}
        if partial and self._drained != self.size:
            count = self.size
            for level, hashes in enumerate(self._levels):
                count, width = divmod(count, TILE_WIDTH)
                if width:
                    ready[tile_path(level, count, width)] = b"".join(hashes)
                    if level == 0:
                        ready[tile_path(ENTRIES, count, width)] = b"".join(self._bundle)
            self._drained = self.size
        return ready
