"""Walk one published log from its first entry to a checkpoint, recomputing every tile on the way.

What is compared: each entry's hash with its level-0 tile, each tile of every level with the one that the
entries make, left-over partial tiles with the beginning of the tile they grew into, the root with the
checkpoint's. The first thing that does not hold ends the walk, with the index of the entry concerned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.ledger.errors import LedgerError, TilesError
from ringfort.ledger.merkle import HASH_BYTES, leaf_hash, root_of
from ringfort.ledger.sequencer import Sequencer
from ringfort.ledger.tiles import (
    ENTRIES,
    TILE_WIDTH,
    TileAddress,
    encode_bundle,
    parse_path,
    read_bundle,
    read_tile,
    split_hashes,
    tile_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.ledger.checkpoint import Checkpoint
    from ringfort.ports import LedgerStore


@dataclass(frozen=True)
class Problem:
    """What does not hold: in which log, at which entry (None: no single one), in which resource, why."""

    log: str
    index: int | None
    resource: str
    why: str

    def __str__(self) -> str:
        where = self.log if self.index is None else f"{self.log}, entry {self.index}"
        return f"{where}: {self.why}" + (f" (`{self.resource}`)" if self.resource else "")


class ProblemFoundError(LedgerError):
    """Ends a walk with its problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class LogWalk:
    """The walk over one log.

    `on_entry(index, data, leaf hash)` raises LedgerError for an entry it refuses.
    """

    def __init__(
        self,
        store: LedgerStore,
        log: str,
        on_entry: Callable[[int, bytes, bytes], None],
        names: Callable[[str], list[str]] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.log = log
        self._store = store
        self._on_entry = on_entry
        self._names = names
        self._progress = progress
        self._made = Sequencer()

    def _read(self, path: str) -> bytes | None:
        return self._store.read(f"{self.log}/{path}")

    def extend(self, checkpoint: Checkpoint) -> None:
        """Go on to a checkpoint that is not smaller than the last one; raises ProblemFoundError."""
        size = checkpoint.size
        while self._made.size < size:
            index = self._made.size // TILE_WIDTH
            self._bundle(index, min(TILE_WIDTH, size - index * TILE_WIDTH), checkpoint)
            if self._progress is not None:
                self._progress(self.log, self._made.size, size)
        for path, data in self._made.drain().items():
            self._compare(path, data)
        if self._made.root() != checkpoint.root:
            raise self._found(None, "checkpoint", "the entries do not lead to the checkpoint's root hash")

    def _found(self, index: int | None, resource: str, why: str) -> ProblemFoundError:
        return ProblemFoundError(Problem(self.log, index, f"{self.log}/{resource}", why))

    def _bundle(self, number: int, width: int, checkpoint: Checkpoint) -> None:
        """Take in the entries of one bundle that have not been taken in yet."""
        first = number * TILE_WIDTH
        bundle_path = tile_path(ENTRIES, number, width)
        entries, problem = read_bundle(self._read, number, width)
        leaves = [leaf_hash(each) for each in entries]
        tile_problem = ""
        hashes: list[bytes] = []
        try:
            hashes = split_hashes(read_tile(self._read, 0, number, width))
        except TilesError as error:
            tile_problem = error.message
        for offset, (leaf, stored) in enumerate(zip(leaves, hashes, strict=False)):
            if leaf != stored:
                entry_is_right = not problem and self._leads_up(number, leaves, checkpoint)
                if entry_is_right:
                    path = tile_path(0, number, width)
                    raise self._found(first + offset, path, "the hash in the tile is not that of the entry")
                raise self._found(first + offset, bundle_path, "the entry does not have the hash in its tile")
        if problem:
            raise self._found(first + len(entries), bundle_path, problem)
        if tile_problem:
            raise self._found(first, tile_path(0, number, width), tile_problem)
        for offset in range(self._made.size - first, width):
            try:
                self._on_entry(first + offset, entries[offset], leaves[offset])
            except ProblemFoundError:
                raise
            except LedgerError as error:
                raise self._found(first + offset, bundle_path, error.message) from None
            self._made.append(entries[offset])
        self._left_over(TileAddress(ENTRIES, number, width), entries=entries)
        self._left_over(TileAddress(0, number, width), data=b"".join(hashes))
        for path, data in self._made.drain(partial=False).items():
            self._compare(path, data)

    def _leads_up(self, number: int, leaves: list[bytes], checkpoint: Checkpoint) -> bool:
        """Whether these leaf hashes, not those in the tile, are what the tree above was built from."""
        if len(leaves) == TILE_WIDTH:
            try:
                above, offset = divmod(number, TILE_WIDTH)
                width = min(TILE_WIDTH, checkpoint.size // TILE_WIDTH - above * TILE_WIDTH)
                stored = read_tile(self._read, 1, above, width)
            except TilesError:
                return False
            return root_of(leaves) == stored[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
        tree = self._made.tree()
        for leaf in leaves[self._made.size - number * TILE_WIDTH :]:
            tree.append(leaf)
        return tree.size == checkpoint.size and tree.root() == checkpoint.root

    def _compare(self, path: str, data: bytes) -> None:
        """Compare a stored tile with the one that the entries make."""
        address = parse_path(path)
        if address.level == ENTRIES:
            return  # read from there
        try:
            stored = read_tile(self._read, address.level, address.index, address.width)
        except TilesError as error:
            raise self._found(self._covered(address, 0), path, error.message) from None
        if stored != data:
            bad = next(
                each
                for each in range(address.width)
                if stored[each * HASH_BYTES : (each + 1) * HASH_BYTES]
                != data[each * HASH_BYTES : (each + 1) * HASH_BYTES]
            )
            why = "a hash in the tile is not the one that the entries from here on make"
            raise self._found(self._covered(address, bad), path, why)
        if address.level:
            self._left_over(address, data=data)

    @staticmethod
    def _covered(address: TileAddress, offset: int) -> int:
        """The first entry under a hash of a tile."""
        return int((address.index * TILE_WIDTH + offset) << (8 * address.level))

    def _left_over(
        self, address: TileAddress, *, data: bytes = b"", entries: list[bytes] | None = None
    ) -> None:
        """Compare the partial forms that lie beside a tile (or bundle) with its beginning."""
        if self._names is None:
            return
        full = tile_path(address.level, address.index)
        for name in self._names(f"{self.log}/{full}.p"):
            if name.endswith(".new"):
                continue  # a write that a crash cut off
            path = f"{full}.p/{name}"
            try:
                width = parse_path(path).width
            except TilesError:
                raise self._found(
                    self._covered(address, 0) if address.level > 0 else address.index * TILE_WIDTH,
                    path,
                    "a file that does not belong here",
                ) from None
            stored = self._read(path)
            if stored is None:
                continue  # removed meanwhile: the full tile is there
            common = min(width, address.width)
            if entries is not None:
                expected, stored = (
                    encode_bundle(entries[:common]),
                    stored[: len(encode_bundle(entries[:common]))],
                )
            else:
                expected = data[: common * HASH_BYTES]
                if len(stored) != width * HASH_BYTES:
                    stored = b""
                stored = stored[: common * HASH_BYTES]
            if stored != expected:
                at = next(
                    (n for n, pair in enumerate(zip(expected, stored, strict=False)) if pair[0] != pair[1]),
                    min(len(expected), len(stored)),
                )
                offset = _entry_at(entries, at) if entries is not None else at // HASH_BYTES
                first = (
                    self._covered(address, offset)
                    if address.level > 0
                    else (address.index * TILE_WIDTH + offset)
                )
                raise self._found(first, path, "an earlier partial form differs from the tile it grew into")


def _entry_at(entries: list[bytes], position: int) -> int:
    """Which entry of a bundle the byte at `position` belongs to."""
    end = 0
    for number, entry in enumerate(entries):
        end += 2 + len(entry)
        if position < end:
            return number
    return len(entries) - 1


__all__ = ["LogWalk", "Problem", "ProblemFoundError"]
