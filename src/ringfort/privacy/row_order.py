"""The order in which rows are released: by pseudonym and keyed hash, so that it tells nothing of the source.

Every row has two 64-bit numbers, `place` and `rest`, and rows stand in the order of (place, rest):

- `rest` is half of AES-CMAC over all columns of the row, under a key of one recipient, purpose and table;
- `place` are the first 8 bytes of the row's leading pseudonym where those are uniform (`cmac`), a CMAC of it
  where they are not (`ff1`, `siv`); of a row whose leading column is NULL, and where no column leads, it is
  the other half of the row's own CMAC.

Invariants: both depend on the row in the form in which it leaves, and on the key, alone; rows that differ in
a bit of any column differ in (place, rest), but for a chance of 2^-64 for two rows of one pseudonym and
2^-128 for others; how a column is encoded (dictionary, offset, width of offsets) makes no difference. Takes
every Arrow type that a column can have: nested ones by their parts. Left out: sorting (`sorted_rows`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.cmac import Cmac
from ringfort.privacy.fingerprint import derived_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Words = list[NDArray[np.uint64]]
    Keys = tuple[NDArray[np.uint64], NDArray[np.uint64]]

_WORD = 8
_LONGEST = 32  # fixed bytes that are taken as they are; longer ones by their tag


def order_key(key: bytes, recipient: str, purpose: str, table: str) -> bytes:
    """The key of an order, from the fingerprint key: no two recipients, purposes or tables have one."""
    return derived_key(key, "order " + json.dumps([recipient, purpose, table]))


class RowOrder:
    """Gives rows their places. `lead` is the column of the leading pseudonym, "" if none leads."""

    def __init__(self, key: bytes, lead: str = "") -> None:
        self._cmac = Cmac(key)
        self._lead = lead

    def keys(self, batch: pa.RecordBatch) -> Keys:
        """`place` and `rest` of each row of a batch that may leave."""
        words = self._columns(batch.columns, batch.num_rows)
        tags = self._cmac.words(words)
        if not self._lead:
            return tags[:, 0].copy(), tags[:, 1].copy()
        lead = batch.column(self._lead)
        place = self._place(lead)
        if lead.null_count:
            place = np.where(_valid(lead), place, tags[:, 0])
        return place, tags[:, 1].copy()

    def _place(self, lead: pa.Array) -> NDArray[np.uint64]:
        storage = _storage(lead)
        if pa.types.is_fixed_size_binary(storage.type) and storage.type.byte_width == 2 * _WORD:
            return _bytes(storage, 2 * _WORD).view(">u8")[:, 0].astype(np.uint64)
        return self._cmac.words(self._words(storage))[:, 0].copy()

    def _columns(self, columns: Sequence[pa.Array], rows: int) -> Words:
        """The words of rows: those of each column, then a bit a column that says whether it is NULL."""
        words: Words = []
        nulls = [np.zeros(rows, np.uint64) for _ in range(0, max(len(columns), 1), 64)]
        for number, column in enumerate(columns):
            words += self._words(column)
            if column.null_count:
                missing = (~_valid(column)).astype(np.uint64)
                nulls[number // 64] |= missing << np.uint64(number % 64)
        return [*words, *nulls]

    def _words(self, values: pa.Array) -> Words:
        """Words that are equal where values are, bit by bit; zero where a value is NULL."""
        values = _storage(values)
        arrow = values.type
        if pa.types.is_dictionary(arrow):
            if not len(values.dictionary):
                return self._words(values.dictionary_decode())
            indices = values.indices.fill_null(0) if values.indices.null_count else values.indices
            at = indices.to_numpy(zero_copy_only=False)
            found = [each[at] for each in self._words(values.dictionary)]
        elif pa.types.is_null(arrow):
            return []
        elif pa.types.is_boolean(arrow):
            found = [values.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)]
        elif pa.types.is_struct(arrow):
            found = self._columns([values.field(at) for at in range(arrow.num_fields)], len(values))
        elif _is_list(arrow):
            found = self._lists(values)
        elif _width(arrow):
            found = _fixed(values, _width(arrow))
        else:
            found = self._tags(*_varying(values))
        if values.null_count:
            valid = _valid(values)
            found = [np.where(valid, each, np.uint64(0)) for each in found]
        return found

    def _lists(self, values: pa.Array) -> Words:
        """A tag over the words of the items."""
        arrow = values.type
        if pa.types.is_fixed_size_list(arrow):
            size = arrow.list_size
            items = values.values.slice(values.offset * size, len(values) * size)
            offsets = np.arange(len(values) + 1, dtype=np.int64) * size
        else:
            if not (pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_map(arrow)):
                values = values.cast(pa.large_list(arrow.value_type))
            offsets = values.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
            items = values.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
            offsets = offsets - offsets[0]
        words = self._columns([items], len(items))
        data = np.stack(words, axis=1).reshape(-1).view(np.uint8) if len(items) else np.empty(0, np.uint8)
        return self._tags(data, offsets * (_WORD * len(words)))

    def _tags(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Words:
        tags = self._cmac.messages(data, offsets).view(np.uint64)
        return [tags[:, 0], tags[:, 1]]


def _storage(values: pa.Array) -> pa.Array:
    while isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_run_end_encoded(values.type):
        return _storage(pc.run_end_decode(values))
    if pa.types.is_dictionary(values.type) and values.dictionary.null_count:
        return _storage(values.dictionary_decode())
    return values


def _valid(values: pa.Array) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.is_valid(values).to_numpy(zero_copy_only=False)
    return found


def _is_list(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(arrow)
        or pa.types.is_large_list(arrow)
        or pa.types.is_map(arrow)
        or pa.types.is_fixed_size_list(arrow)
        or pa.types.is_list_view(arrow)
        or pa.types.is_large_list_view(arrow)
    )


def _width(arrow: pa.DataType) -> int:
    """The bytes of a value of a type whose values all have as many, 0 for others."""
    if pa.types.is_fixed_size_binary(arrow):
        return int(arrow.byte_width) if arrow.byte_width <= _LONGEST else 0
    if pa.types.is_decimal(arrow) or pa.types.is_primitive(arrow) or arrow == pa.month_day_nano_interval():
        return int(arrow.bit_width) // 8
    return 0


def _bytes(values: pa.Array, width: int) -> NDArray[np.uint8]:
    """The bytes of values of one width: shape (n, width)."""
    buffer = values.buffers()[1]
    if buffer is None:
        return np.zeros((len(values), width), np.uint8)
    whole = np.frombuffer(buffer, np.uint8)
    return whole[values.offset * width : (values.offset + len(values)) * width].reshape(len(values), width)


def _fixed(values: pa.Array, width: int) -> Words:
    data = _bytes(values, width)
    if width in {1, 2, 4, 8}:
        return [np.ascontiguousarray(data).view(f"u{width}")[:, 0].astype(np.uint64)]
    if width % _WORD:
        data = np.pad(data, ((0, 0), (0, _WORD - width % _WORD)))
    words = np.ascontiguousarray(data).view(np.uint64)
    return [words[:, at] for at in range(words.shape[1])]


def _varying(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of texts, bytes or anything else, and offsets into them."""
    arrow = values.type
    if pa.types.is_binary_view(arrow) or pa.types.is_string_view(arrow):
        values = values.cast(pa.large_binary())
    elif pa.types.is_fixed_size_binary(arrow):
        width = arrow.byte_width
        return _bytes(values, width).reshape(-1), np.arange(len(values) + 1, dtype=np.int64) * width
    elif not (
        pa.types.is_string(arrow)
        or pa.types.is_large_string(arrow)
        or pa.types.is_binary(arrow)
        or pa.types.is_large_binary(arrow)
    ):
        values = pa.array([repr(each) for each in values.to_pylist()], pa.large_string())
    kind: Any = (
        np.int64
        if pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
        else np.int32
    )
    _, offset_buffer, data_buffer = values.buffers()
    if offset_buffer is None or not len(values):
        return np.empty(0, np.uint8), np.zeros(len(values) + 1, np.int64)
    offsets = np.frombuffer(offset_buffer, kind)[values.offset : values.offset + len(values) + 1]
    data = np.empty(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return data[int(offsets[0]) : int(offsets[-1])], offsets.astype(np.int64) - int(offsets[0])


__all__ = ["RowOrder", "order_key"]
