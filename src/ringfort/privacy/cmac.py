"""AES-CMAC (RFC 4493, SP 800-38B for the longer keys) over many messages at once: numpy in, numpy out.

A tag is the full 128 bits. Rows are sorted by their number of blocks, longest first, so that the rows which
still have a block at some position are a prefix: one AES-ECB call per block position does them all. Blocks
are gathered through a view of the text in which the item at byte `i` is the 16 bytes from `i` on.

Invariants: the result for a row depends on the key and that row's bytes alone, and equals the tag that any
other RFC 4493 implementation gives. Memory beyond input and output stays at a few chunks of `CHUNK` rows.
Left out: verification of tags (nobody sends us one) and truncated tags. Source: RFC 4493 sections 2.3, 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK = 16
KEY_BYTES = 16  # of pseudonyms
KEY_SIZES = (16, 24, 32)
CHUNK = 32_768  # of messages; fewer cost more calls, more fall out of the processor's caches
BLOCK_CHUNK = 65_536  # of single blocks
FEW_BLOCKS = 8
LONG_BLOCKS = 256  # messages longer than this many blocks go one by one: nothing is gained by columns

_BLOCK_TYPE = np.dtype("V16")


class Cmac:
    """AES-CMAC under one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) not in KEY_SIZES:
            raise ValueError("the key must be 16, 24 or 32 bytes")
        self._cipher = algorithms.AES(key)
        self._ecb = Cipher(self._cipher, modes.ECB())  # noqa: S305 - the block cipher itself, chained by CMAC
        zero = self._ecb.encryptor().update(bytes(BLOCK))
        first = double(zero)
        second = double(first)
        self._first = np.frombuffer(first, np.uint64)
        # for the last block by the number of its message bytes: what stays, and what is added
        keep = np.zeros((BLOCK + 1, BLOCK), np.uint8)
        add = np.zeros((BLOCK + 1, BLOCK), np.uint8)
        for size in range(BLOCK + 1):
            keep[size, :size] = 0xFF
            padding = bytes(size) + b"\x80" + bytes(BLOCK) if size < BLOCK else bytes(BLOCK)
            subkey = first if size == BLOCK else second
            add[size] = [one ^ other for one, other in zip(padding[:BLOCK], subkey, strict=True)]
        self._keep = keep.view(_BLOCK_TYPE).reshape(-1)
        self._add = add.view(_BLOCK_TYPE).reshape(-1)

    def blocks(self, messages: NDArray[np.uint8], room: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Tags of messages that are exactly one block: shape (n, 16) to shape (n, 16).

        `room`, if given, takes the tags: at least 16 (n + 1) contiguous bytes, of which the last 16 stay.
        """
        words = np.ascontiguousarray(messages).view(np.uint64)
        return self._single(words[:, 0], words[:, 1], room)

    def integers(
        self, label: bytes, values: NDArray[np.int64], room: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Tags of `label (8 bytes) | value as int8, big-endian`: shape (n,) to shape (n, 16).

        `room` as for `blocks`.
        """
        if len(label) != BLOCK // 2:
            raise ValueError("the label must be 8 bytes")
        return self._single(np.frombuffer(label, np.uint64)[0], values, room)

    def _single(
        self, high: NDArray[np.uint64] | np.uint64, low: NDArray[Any], room: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        """`high` is one word for all rows and `low` numbers, or both are columns of words as they are."""
        count = len(low)
        tags = np.empty((count + 1) * BLOCK, np.uint8) if room is None else room
        block = np.empty((min(count, BLOCK_CHUNK), 2), np.uint64)
        encryptor = self._ecb.encryptor()
        if isinstance(high, np.uint64):
            block[:, 0] = high ^ self._first[0]
            numbers = block[:, 1].view(">i8")
            mask = self._first[1:].view(">i8").astype(np.int64)[0]
            spare = np.empty(len(block), np.int64)
        for start in range(0, count, BLOCK_CHUNK):
            rows = min(BLOCK_CHUNK, count - start)
            words = low[start : start + rows]
            if isinstance(high, np.uint64):
                np.bitwise_xor(words, mask, out=spare[:rows])
                numbers[:rows] = spare[:rows]  # copied with their bytes in the other order
            else:
                np.bitwise_xor(high[start : start + rows], self._first[0], out=block[:rows, 0])
                np.bitwise_xor(words, self._first[1], out=block[:rows, 1])
            encryptor.update_into(block[:rows].data.cast("B"), tags.data[start * BLOCK :])
        return tags[: count * BLOCK].reshape(count, BLOCK)

    def words(self, columns: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
        """Tags of messages of as many 8-byte words as there are columns, one message a row: shape (n, 2).

        An odd number of words is filled up with a word of zeros.
        """
        count = len(columns[0])
        tags = np.empty((count + 1, 2), np.uint64)  # `update_into` asks for a spare row
        block = np.empty((min(count, CHUNK), 2), np.uint64)
        encryptor = self._ecb.encryptor()
        last = len(columns) - 2 + len(columns) % 2
        for start in range(0, count, CHUNK):
            rows = min(CHUNK, count - start)
            for first in range(0, len(columns), 2):
                for half in (0, 1):
                    mine = block[:rows, half]
                    if first + half < len(columns):
                        mine[:] = columns[first + half][start : start + rows]
                    else:
                        mine[:] = 0
                    if first:
                        mine ^= tags[start : start + rows, half]
                    if first == last:
                        mine ^= self._first[half]
                encryptor.update_into(block[:rows].data.cast("B"), tags.data.cast("B")[start * BLOCK :])
        return tags[:-1]

    def open_integers(
        self, label: bytes, tags: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The inverse of `integers`: values, and for each row whether the tag was one of this key and label.

        A message of a single whole block is one AES call, which whoever holds the key can undo.
        """
        count = len(tags)
        plain = np.frombuffer(
            self._ecb.decryptor().update(np.ascontiguousarray(tags).tobytes()), np.uint64
        ).reshape(count, 2)
        valid = (plain[:, 0] ^ self._first[0]) == np.frombuffer(label, np.uint64)[0]
        values = (plain[:, 1] ^ self._first[1]).view(">i8").astype(np.int64)
        return values, valid

    def open_blocks(self, tags: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The inverse of `blocks`: any 16 bytes are the tag of some block, so nothing tells a wrong key."""
        plain = np.frombuffer(
            self._ecb.decryptor().update(np.ascontiguousarray(tags).tobytes()), np.uint64
        ).reshape(len(tags), 2)
        return (plain ^ self._first).view(np.uint8).reshape(len(tags), BLOCK)

    def messages(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Tags of messages of any length: row `i` is `data[offsets[i]:offsets[i + 1]]`.

        `offsets` has shape (n + 1,) and never falls; the result has shape (n, 16).
        """
        count = len(offsets) - 1
        tags = np.empty((count, BLOCK), np.uint8)
        for start in range(0, count, CHUNK):
            self.chunk(data, offsets[start : start + CHUNK + 1], tags[start : start + CHUNK])
        return tags

    def chunk(
        self, data: NDArray[np.uint8], offsets: NDArray[np.signedinteger[Any]], tags: NDArray[np.uint8]
    ) -> None:
        """`messages` for at most `CHUNK` rows, into `tags`, contiguous, of shape (n, 16)."""
        first, last = int(offsets[0]), int(offsets[-1])
        text = data[first : last + BLOCK]  # whole blocks can be read from every byte on
        if len(text) < last - first + BLOCK:
            text = np.zeros(last - first + BLOCK, np.uint8)
            text[:-BLOCK] = data[first:last]
        self.rows(text, offsets[:-1].astype(np.int64) - first, np.diff(offsets).astype(np.int64), tags)

    def rows(
        self,
        text: NDArray[np.uint8],
        starts: NDArray[np.int64],
        sizes: NDArray[np.int64],
        tags: NDArray[np.uint8],
    ) -> None:
        """Into `tags` those of `sizes[i]` bytes from `starts[i]` on; `text` has 16 bytes more at its end."""
        blocks = np.maximum((sizes + (BLOCK - 1)) >> 4, 1)
        if int(blocks.max(initial=0)) > LONG_BLOCKS:
            for row in np.flatnonzero(blocks > LONG_BLOCKS):
                one = CMAC(self._cipher)
                one.update(text[int(starts[row]) : int(starts[row] + sizes[row])].tobytes())
                tags[row] = np.frombuffer(one.finalize(), np.uint8)
            blocks[blocks > LONG_BLOCKS] = 0
        order, ending = _longest_first(blocks)
        if len(order):
            state = self._columns(text, np.take(starts, order), np.take(sizes, order), ending)
            tags.view(_BLOCK_TYPE).reshape(-1)[order] = state

    def _columns(
        self,
        text: NDArray[np.uint8],
        starts: NDArray[np.int64],
        sizes: NDArray[np.int64],
        ending: NDArray[np.int64],
    ) -> NDArray[np.void]:
        """Tags of rows sorted by their number of blocks, longest first; `ending[b]` rows have `b` blocks."""
        active = len(starts)
        at_byte = np.ndarray((len(text) - BLOCK + 1,), _BLOCK_TYPE, buffer=text, strides=(1,))
        state = np.empty((active + 1, BLOCK // 8), np.uint64)  # `update_into` asks for a spare row
        encryptor = self._ecb.encryptor()
        for position in range(1, len(ending)):
            # numpy's `take` would copy the whole of an overlapping view: here indexing is the faster gather
            block = at_byte[starts[:active]].view(np.uint64).reshape(active, 2)
            going_on = active - int(ending[position])
            if going_on < active:
                left = sizes[going_on:active] - (position - 1) * BLOCK
                last = block[going_on:]
                last &= np.take(self._keep, left).view(np.uint64).reshape(-1, 2)
                last ^= np.take(self._add, left).view(np.uint64).reshape(-1, 2)
            if position > 1:
                block ^= state[:active]
            encryptor.update_into(block.data.cast("B"), state.data.cast("B"))
            active = going_on
            starts[:active] += BLOCK
        return state[:-1].view(_BLOCK_TYPE).reshape(-1)


def _longest_first(blocks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows with blocks, those with most first, and how many rows have 0, 1, 2, ... blocks."""
    longest = int(blocks.max(initial=0))
    if longest <= FEW_BLOCKS:  # looking once for each number is faster than sorting
        narrow = blocks.astype(np.uint8)
        found = [np.flatnonzero(narrow == each) for each in range(1, longest + 1)]
        ending = np.array([0, *map(len, found)])
        return np.concatenate(found[::-1]) if found else np.empty(0, np.int64), ending
    key = (LONG_BLOCKS - blocks).astype(np.uint16)
    order = np.argsort(key, kind="stable")
    ending = np.bincount(blocks)
    return order[: len(order) - int(ending[0])], ending


def double(block: bytes) -> bytes:
    """Doubling in GF(2^128), RFC 4493 section 2.3."""
    number = int.from_bytes(block, "big") << 1
    if number >> 128:
        number = (number & ((1 << 128) - 1)) ^ 0x87
    return number.to_bytes(BLOCK, "big")


__all__ = ["BLOCK", "BLOCK_CHUNK", "CHUNK", "KEY_BYTES", "Cmac", "double"]
