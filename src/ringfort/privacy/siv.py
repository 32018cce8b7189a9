"""AES-SIV (RFC 5297) over columns of text, as base64url: deterministic, for text that must come back.

A value's pseudonym is `base64url(V | C)` with padding (RFC 4648 section 5): V is the synthetic IV, 16 bytes,
which is a MAC of the value and decides the key stream, C the value's bytes enciphered. So equal texts are
equal, others differ, and what was altered or is of another key does not open. The associated data is one
empty string, so that a Tink keyset of type AesSivKey, output prefix RAW, gives the same bytes.

Text is enciphered as it is, byte for byte, without normalisation: it must come back as it was. Hence two
writings of one name in Unicode are two pseudonyms here, and one under the method `cmac`.

Values of a chunk go together: MACs as in `privacy.cmac`, key stream in one AES call, base64 by table.
Invariants: the result is that of `cryptography`'s AESSIV, value by value. Nothing raises over a value.
Left out: hiding the length, which shows to within two bytes. Source: RFC 5297 sections 2.4 to 2.7.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from typing import TYPE_CHECKING

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from ringfort.privacy import arrow_values as buffers
from ringfort.privacy.cmac import BLOCK, Cmac, double

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import pyarrow as pa
    from numpy.typing import NDArray

KEY_BYTES = 64
CHUNK = 4_096
CHUNK_BYTES = 1 << 21  # a chunk has fewer rows where they are long; one row may be longer
_SPARE = np.uint64(int.from_bytes(bytes.fromhex("7fffffff7fffffff"), "little"))  # RFC 5297 section 2.5
_ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", np.uint8)
_PAIRS = np.stack([np.repeat(_ALPHABET, 64), np.tile(_ALPHABET, 64)], axis=1).copy().view(np.uint16)[:, 0]
_EQUALS = ord("=")


class Siv:
    """AES-SIV under one key (64 bytes in Ringfort; 32 and 48 as well) with fixed associated data."""

    def __init__(self, key: bytes, associated: Sequence[bytes] = (b"",)) -> None:
        self._siv = AESSIV(key)
        self._associated = list(associated)
        half = len(key) // 2
        self._cmac = Cmac(key[:half])
        self._ecb = Cipher(algorithms.AES(key[half:]), modes.ECB())  # noqa: S305 - counted up by SIV itself
        state = self._mac(bytes(BLOCK))
        for each in self._associated:
            state = bytes(a ^ b for a, b in zip(double(state), self._mac(each), strict=True))
        self._end = np.frombuffer(state, np.uint64)
        # of a text shorter than a block, by its size: what stays, and what is added
        doubled = np.frombuffer(double(state), np.uint8)
        keep = np.tri(BLOCK + 1, BLOCK, -1, np.uint8) * np.uint8(0xFF)
        add = np.tile(doubled, (BLOCK + 1, 1))
        add[np.arange(BLOCK), np.arange(BLOCK)] ^= 0x80
        self._keep = keep.view(np.uint64)
        self._add = add.view(np.uint64)

    def _mac(self, message: bytes) -> bytes:
        return self._cmac.messages(np.frombuffer(message, np.uint8), np.array([0, len(message)])).tobytes()

    def column(self, values: pa.Array | pa.ChunkedArray) -> pa.StringArray:
        """Pseudonyms of a column of text: null where it is null."""
        return buffers.each_text(values, self._column)

    def _column(self, values: pa.Array) -> pa.StringArray:
        valid = buffers.valid_rows(values)
        if valid is not None:
            values = values.drop_null()
        data, offsets = buffers.text(values)
        return buffers.spread(*self.seal(data, offsets), valid)

    def open_column(self, pseudonyms: pa.Array | pa.ChunkedArray) -> pa.StringArray:
        """The values behind a column of pseudonyms, null for what is none of this key. One by one."""
        return buffers.each_text(pseudonyms, self._open_column)

    def _open_column(self, pseudonyms: pa.Array) -> pa.StringArray:
        valid = buffers.valid_rows(pseudonyms)
        data, offsets = buffers.text(pseudonyms)
        rows = [data[int(one) : int(other)].tobytes() for one, other in itertools.pairwise(offsets)]
        found = [self.open(each) for each in rows]
        real = np.array([each is not None for each in found], np.bool_)
        if valid is not None:
            real &= valid
        kept = [each for each, good in zip(found, real.tolist(), strict=True) if each is not None and good]
        ends = np.cumsum([0, *map(len, kept)], dtype=np.int64)
        return buffers.spread(np.frombuffer(b"".join(kept), np.uint8), ends, real)

    def seal(
        self, data: NDArray[np.uint8], offsets: NDArray[Any]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Characters and offsets (n + 1) of the base64url texts of rows `data[offsets[i]:offsets[i + 1]]`."""
        sizes = np.diff(offsets).astype(np.int64)
        ends = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum((sizes + (BLOCK + 2)) // 3 * 4, out=ends[1:])
        out = buffers.room(int(ends[-1]))
        for row, stop in buffers.spans(offsets, CHUNK, CHUNK_BYTES):
            text = np.zeros(int(offsets[stop] - offsets[row]) + 2 * BLOCK, np.uint8)
            text[: -2 * BLOCK] = data[int(offsets[row]) : int(offsets[stop])]
            starts = offsets[row:stop].astype(np.int64) - int(offsets[row])
            self._chunk(text, starts, sizes[row:stop], out[int(ends[row]) : int(ends[stop])])
        return out, ends

    def _chunk(
        self,
        text: NDArray[np.uint8],
        starts: NDArray[np.int64],
        sizes: NDArray[np.int64],
        out: NDArray[np.uint8],
    ) -> None:
        tags = self._tags(text, starts, sizes)
        blocks = (sizes + (BLOCK - 1)) // BLOCK
        # one slot of 16 bytes for the tag of a row, then one for each block of its text
        first = np.zeros(len(sizes), np.int64)
        np.cumsum(blocks[:-1] + 1, out=first[1:])
        total = int(blocks.sum()) + len(sizes)
        slots = np.empty((total + 1, 2), np.uint64)
        row = np.repeat(np.arange(len(sizes)), blocks + 1)
        place = np.arange(total) - first[row] - 1  # -1 for the tag
        counters = _items(tags, row)
        counters[:, 1] &= _SPARE
        counters[:, 1] = (counters[:, 1].byteswap() + place.astype(np.uint64)).byteswap()
        self._ecb.encryptor().update_into(counters.data.cast("B"), slots.data.cast("B"))
        at_byte = _at_byte(text)
        left = np.clip(sizes[row] - place * BLOCK, 0, BLOCK)
        slots[:-1] ^= at_byte[np.maximum(starts[row] + place * BLOCK, 0)].view(np.uint64).reshape(-1, 2)
        slots[:-1] &= _items(self._keep, left)
        slots[first] = tags
        # one behind the other, each row a multiple of three bytes long: what an item writes beyond its row's
        # end is overwritten by the next row's tag
        ends = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum((sizes + (BLOCK + 2)) // 3 * 3, out=ends[1:])
        stream = np.zeros(int(ends[-1]) + 2 * BLOCK, np.uint8)
        _at_byte(stream)[ends[row] + (place + 1) * BLOCK] = slots[:-1].view(f"V{BLOCK}").reshape(-1)
        _encode(stream, ends, (sizes + BLOCK) % 3, out)

    def _tags(
        self, text: NDArray[np.uint8], starts: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """`V` of each row, shape (n, 2): S2V of RFC 5297 section 2.4."""
        tags = np.empty((len(sizes), BLOCK), np.uint8)
        at_byte = _at_byte(text)
        short = np.flatnonzero(sizes < BLOCK)
        if len(short):
            left = sizes[short]
            block = at_byte[starts[short]].view(np.uint64).reshape(-1, 2)
            block = (block & _items(self._keep, left)) ^ _items(self._add, left)
            tags[short] = self._cmac.blocks(block.view(np.uint8).reshape(-1, BLOCK))
        long = np.flatnonzero(sizes >= BLOCK)
        if len(long):
            changed = text.copy()
            at_byte = _at_byte(changed)
            ends = starts[long] + sizes[long] - BLOCK
            block = at_byte[ends].view(np.uint64).reshape(-1, 2) ^ self._end
            at_byte[ends] = block.view(f"V{BLOCK}").reshape(-1)
            found = np.empty((len(long), BLOCK), np.uint8)
            self._cmac.rows(changed, starts[long], sizes[long], found)
            tags[long] = found
        return tags.view(np.uint64)

    def open(self, text: bytes) -> bytes | None:
        """The value behind a pseudonym; None for whatever is none of this key."""
        try:
            sealed = base64.b64decode(text, altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(sealed) != text:
                return None
            return self._siv.decrypt(sealed, self._associated)
        except (binascii.Error, ValueError, InvalidTag):
            return None


def _at_byte(text: NDArray[np.uint8]) -> NDArray[np.void]:
    """A view whose item i is the 16 bytes from byte i on."""
    return np.ndarray((len(text) - BLOCK + 1,), np.dtype(f"V{BLOCK}"), buffer=text, strides=(1,))


def _items(table: NDArray[np.uint64], at: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Rows of a table (n, 2), taken as single items: much faster than row by row."""
    return np.take(table.view(f"V{BLOCK}").reshape(-1), at).view(np.uint64).reshape(-1, 2)


def _encode(
    stream: NDArray[np.uint8], ends: NDArray[np.int64], tails: NDArray[np.int64], out: NDArray[np.uint8]
) -> None:
    """base64url with padding of rows that end at `ends`, multiples of three bytes filled up with zeros.

    `tails` says how many of a row's last three bytes are its own, 0 for all; `stream` goes on after the end.
    """
    count = int(ends[-1]) // 3
    threes = np.ndarray((count,), ">u4", buffer=stream, strides=(3,)).astype(np.uint32)
    pairs = out.view(np.uint16).reshape(-1, 2)
    pairs[:, 0] = np.take(_PAIRS, threes >> np.uint32(20))
    threes >>= np.uint32(8)
    threes &= np.uint32(0xFFF)
    pairs[:, 1] = np.take(_PAIRS, threes)
    last = ends[1:] // 3 * 4
    out[last[tails != 0] - 1] = _EQUALS
    out[last[tails == 1] - 2] = _EQUALS


__all__ = ["KEY_BYTES", "Siv"]
