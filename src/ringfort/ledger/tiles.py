"""Tiles and entry bundles as C2SP tlog-tiles stores them: paths, widths, bytes.

A tile is up to 256 hashes of one level; a hash of level L+1 is the root of a full tile of level L. A bundle
is up to 256 entries, each behind a big-endian u16 length. Only canonical paths parse. Left out: who reads and
writes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.ledger.errors import TilesError
from ringfort.ledger.merkle import HASH_BYTES, CompactRange, root_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_BYTES
MAX_LEVEL = 63
MAX_ENTRY_BYTES = 65_535
MAX_BUNDLE_BYTES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)
ENTRIES = -1  # the "level" of entry bundles
_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True)
class TileAddress:
    """Which tile: `level` (ENTRIES for a bundle), `index` within the level, `width` 1 to 256 (256 = full)."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """The path below the log's prefix, such as `tile/0/x001/234/067.p/8`."""
        return tile_path(self.level, self.index, self.width)


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """The C2SP path of a tile or (level ENTRIES) of an entry bundle."""
    if not ENTRIES <= level <= MAX_LEVEL or index < 0 or not 1 <= width <= TILE_WIDTH:
        raise TilesError(f"no tile has level {level}, index {index}, width {width}")
    text = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        text = f"x{index % 1000:03d}/{text}"
    name = "entries" if level == ENTRIES else str(level)
    return f"tile/{name}/{text}" + ("" if width == TILE_WIDTH else f".p/{width}")


def parse_path(path: str) -> TileAddress:
    """The address that a path names; raises TilesError unless it is the canonical path of that address."""
    found = _PATH.fullmatch(path)
    if found is None or len(path) > 64:
        raise TilesError("not the path of a tile or entry bundle")
    level = ENTRIES if found["level"] == "entries" else int(found["level"])
    index = int(found["index"].replace("x", "").replace("/", ""))
    width = TILE_WIDTH if found["width"] is None else int(found["width"])
    address = TileAddress(level, index, width)
    if width > TILE_WIDTH or address.path != path:
        raise TilesError("not the canonical path of a tile or entry bundle")
    return address


def tiles_of(size: int) -> Iterator[TileAddress]:
    """Every tile of a tree of `size`, level by level, and no bundle."""
    level, count = 0, size
    while count:
        full, width = divmod(count, TILE_WIDTH)
        yield from (TileAddress(level, index) for index in range(full))
        if width:
            yield TileAddress(level, full, width)
        level, count = level + 1, full


def partial_tiles(size: int) -> Iterator[TileAddress]:
    """The partial tiles (at most one for each level) of a tree of `size`."""
    level, count = 0, size
    while count:
        count, width = divmod(count, TILE_WIDTH)
        if width:
            yield TileAddress(level, count, width)
        level += 1


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle; each at most 65,535 bytes."""
    parts: list[bytes] = []
    for each in entries:
        if len(each) > MAX_ENTRY_BYTES:
            raise TilesError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
        parts += (struct.pack(">H", len(each)), each)
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The first entries of a bundle that must hold exactly `width`.

    Raises TilesError naming what is wrong.
    """
    entries, problem = scan_bundle(data, width)
    if problem:
        raise TilesError(problem)
    return entries


def scan_bundle(data: bytes, width: int) -> tuple[list[bytes], str]:
    """Like `decode_bundle`, but gives what could be read and the problem, empty if there is none."""
    entries: list[bytes] = []
    position, end = 0, len(data)
    for number in range(width):
        if position + 2 > end:
            return entries, f"the bundle ends before entry {number} of {width}"
        length = (data[position] << 8) | data[position + 1]
        position += 2
        if position + length > end:
            return entries, f"entry {number} of the bundle is longer than what is left of it"
        entries.append(data[position : position + length])
        position += length
    return entries, "" if position == end else "the bundle goes on after its last entry"


def split_hashes(data: bytes) -> list[bytes]:
    """The hashes of a tile; raises TilesError if the length is not a multiple of 32."""
    if len(data) % HASH_BYTES:
        raise TilesError("a tile's length is a multiple of 32")
    return [data[each : each + HASH_BYTES] for each in range(0, len(data), HASH_BYTES)]


class TileReader:
    """Perfect subtree roots out of stored tiles of a tree of a given size, for building proofs.

    `read(path)` gives a resource or None. A partial tile that is gone is looked for in its full successor.
    Nothing here is verified: whoever uses a proof built from it verifies the proof.
    """

    def __init__(self, size: int, read: Callable[[str], bytes | None]) -> None:
        self.size = size
        self._read = read
        self._cache: dict[tuple[int, int], list[bytes]] = {}

    def tile(self, level: int, index: int) -> list[bytes]:
        """The hashes of a tile as wide as the tree's size makes it."""
        cached = self._cache.get((level, index))
        if cached is not None:
            return cached
        width = min(TILE_WIDTH, (self.size >> (8 * level)) - index * TILE_WIDTH)
        hashes = split_hashes(read_tile(self._read, level, index, width))
        self._cache[level, index] = hashes
        return hashes

    def __call__(self, height: int, index: int) -> bytes:
        """The root of the `index`-th perfect subtree of 2**height leaves."""
        level, rest = divmod(height, 8)
        first = index << rest
        tile = self.tile(level, first // TILE_WIDTH)
        offset = first % TILE_WIDTH
        hashes = tile[offset : offset + (1 << rest)]
        if len(hashes) != 1 << rest:
            raise TilesError("the tree has no such subtree")
        return root_of(hashes)


def read_tile(read: Callable[[str], bytes | None], level: int, index: int, width: int) -> bytes:
    """A tile of exactly `width` hashes; from the full tile if the partial one is gone."""
    path = tile_path(level, index, width)
    data = read(path)
    if data is None and width < TILE_WIDTH:
        data = read(tile_path(level, index))
        if data is not None and len(data) == TILE_BYTES:
            data = data[: width * HASH_BYTES]
    if data is None:
        raise TilesError(f"`{path}` is missing")
    if len(data) != width * HASH_BYTES:
        raise TilesError(f"`{path}` has not {width} hashes")
    return data


def read_bundle(read: Callable[[str], bytes | None], index: int, width: int) -> tuple[list[bytes], str]:
    """The entries of a bundle and what is wrong with it ("" if nothing).

    Partial ones fall back to the full.
    """
    path = tile_path(ENTRIES, index, width)
    data = read(path)
    if data is not None:
        entries, problem = scan_bundle(data, width)
        return entries, problem and f"{problem} (`{path}`)"
    if width < TILE_WIDTH:
        data = read(tile_path(ENTRIES, index))
        if data is not None:
            entries, problem = scan_bundle(data, TILE_WIDTH)
            return entries[:width], problem if len(entries) < width else ""
    return [], f"`{path}` is missing"


def resume_range(size: int, read: Callable[[str], bytes | None]) -> tuple[CompactRange, list[list[bytes]]]:
    """The compact range of a stored tree and the hashes of its partial tile for each level."""
    levels: list[list[bytes]] = []
    stack: list[bytes] = []
    level, count = 0, size
    while count:
        count, width = divmod(count, TILE_WIDTH)
        hashes = split_hashes(read_tile(read, level, count, width)) if width else []
        levels.append(hashes)
        part = CompactRange()
        for each in hashes:
            part.append(each)
        stack = part.stack + stack
        level += 1
    return CompactRange(size, stack), levels
