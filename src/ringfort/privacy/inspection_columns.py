"""Columns of any Arrow type as leaves for inspection: their distinct values, and which rows have them.

Texts come as strings, readable bytes as strings too, whole numbers of seven digits or more as numbers, bytes
that are no text as `bytes` (fixed size) or `unreadable`. Lists, structs and maps are taken apart. Types that
cannot hold personal data by value alone (booleans, dates, times, small numbers, fractions) give no leaf.
Invariants: total; a leaf's values are distinct and without nulls; a value that only a dictionary holds
is in it, since a file would hold it as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.inspection_numbers import MIN_NUMBER, as_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass
class Leaf:
    """Distinct values of (a part of) a column. `indices[i]` is the value of place `i`, -1 for none.

    `places`, where the part is nested, are the rows that the places belong to. `found` keeps, by kind of
    finding, which values were counted already.
    """

    kind: Literal["text", "number", "bytes", "unreadable"]
    values: pa.Array
    indices: Ints
    places: Ints | None = None
    path: str = ""
    found: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    _counts: Ints | None = None

    def counts(self) -> Ints:
        """How many places each value has."""
        if self._counts is None:
            self._counts = np.bincount(self.indices[self.indices >= 0], minlength=len(self.values))
        return self._counts

    def rows(self, chosen: NDArray[np.bool_]) -> int:
        """How many rows have one of the chosen values."""
        if self.places is None:
            return int(self.counts()[chosen].sum())
        here = self.indices >= 0
        here[here] = chosen[self.indices[here]]
        return len(np.unique(self.places[here]))


def leaves(values: pa.Array, places: Ints | None = None, path: str = "") -> Iterator[Leaf]:
    """The leaves of a column."""
    arrow = values.type
    if isinstance(arrow, pa.BaseExtensionType):
        yield from leaves(values.storage, places, path)
    elif pa.types.is_dictionary(arrow):
        yield from _dictionary(values, places, path)
    elif pa.types.is_struct(arrow):
        for name, child in zip((each.name for each in arrow), values.flatten(), strict=True):
            yield from leaves(child, places, f"{path}.{name}")
    elif pa.types.is_map(arrow):
        yield from _map(values, places, path)
    elif _is_list(arrow):
        yield from _nested(values, places, path)
    elif is_text(arrow):
        yield _encoded(
            "text",
            values if not pa.types.is_string_view(arrow) else values.cast(pa.large_string()),
            places,
            path,
        )
    elif pa.types.is_fixed_size_binary(arrow):
        yield _encoded("bytes", values, places, path)
    elif pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_binary_view(arrow):
        yield from _readable(values, places, path)
    elif pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        whole = as_whole(values)
        if whole is not None:
            yield _encoded("number", whole, places, path)
    elif not _harmless(arrow):
        yield Leaf("unreadable", pa.array([""]), np.where(_valid(values), 0, -1), places, path)


def is_text(arrow: pa.DataType) -> bool:
    """Whether values of this type are texts."""
    return bool(
        pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)
    )


def _harmless(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(arrow) or pa.types.is_temporal(arrow) or pa.types.is_null(arrow))


def _is_list(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(arrow)
        or pa.types.is_large_list(arrow)
        or pa.types.is_fixed_size_list(arrow)
        or pa.types.is_list_view(arrow)
        or pa.types.is_large_list_view(arrow)
    )


def _dictionary(values: pa.DictionaryArray, places: Ints | None, path: str) -> Iterator[Leaf]:
    """The dictionary's own leaves, told of by the rows that refer to them."""
    indices = values.indices
    if indices.null_count:
        indices = (
            indices.fill_null(-1)
            if pa.types.is_signed_integer(indices.type)
            else indices.cast(pa.int64()).fill_null(-1)
        )
    refers = indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    for leaf in leaves(values.dictionary, None, path):
        own = np.append(leaf.indices, -1)  # where a missing reference leads to
        if leaf.places is not None:  # a dictionary of lists: each row by itself
            yield from leaves(values.dictionary_decode(), places, path)
            return
        yield Leaf(leaf.kind, leaf.values, own[refers], places, path)


def _nested(values: pa.Array, places: Ints | None, path: str) -> Iterator[Leaf]:
    parents = np.asarray(pc.list_parent_indices(values), np.int64)
    rows = parents if places is None else places[parents]
    yield from leaves(pc.list_flatten(values), rows, f"{path}[]")


def _map(values: pa.MapArray, places: Ints | None, path: str) -> Iterator[Leaf]:
    """Keys and items as two lists; maps are rare enough for a value at a time."""
    entries = values.to_pylist()
    for at, child in enumerate((values.type.key_type, values.type.item_type)):
        part = [None if each is None else [pair[at] for pair in each] for each in entries]
        yield from _nested(pa.array(part, pa.list_(child)), places, f"{path}{{{at}}}")


def _readable(values: pa.Array, places: Ints | None, path: str) -> Iterator[Leaf]:
    """Bytes that are UTF-8 as text; the others as what cannot be read."""
    if not pa.types.is_large_binary(values.type):
        values = values.cast(pa.large_binary())
    try:
        yield _encoded("text", values.cast(pa.large_string()), places, path)
    except pa.ArrowInvalid:
        texts = [_utf8(each) for each in values.to_pylist()]
        yield _encoded("text", pa.array(texts, pa.large_string()), places, path)
        lost = np.array([text is None for text in texts], np.bool_) & _valid(values)
        yield Leaf("unreadable", pa.array([""]), np.where(lost, 0, -1), places, path)


def _utf8(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None


def _valid(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _encoded(
    kind: Literal["text", "number", "bytes"], values: pa.Array, places: Ints | None, path: str
) -> Leaf:
    encoded = values.dictionary_encode()
    indices = encoded.indices
    if indices.null_count:
        indices = indices.fill_null(-1)
    numbers = indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return Leaf(kind, encoded.dictionary, numbers, places, path)


__all__ = ["MIN_NUMBER", "Leaf", "is_text", "leaves"]
