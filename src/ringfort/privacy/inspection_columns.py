"""Columns of any Arrow type as leaves for inspection: their distinct values, and which rows have them.

Texts come as strings, readable bytes as strings too, whole numbers of seven digits or more as numbers, bytes
that are no text as `bytes` (fixed size) or `unreadable`. Lists, structs and maps are taken apart. Types that
cannot hold personal data by value alone (booleans, dates, times, small numbers, fractions) give no leaf.
Invariants: total; a leaf's values are distinct and without nulls; a value that only a dictionary holds
is in it, since a file would hold it as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.inspection_numbers import MIN_NUMBER, as_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass
class Leaf:
    """Distinct values of (a part of) a column, which has so many places; bytes are as they stand.

    `places`, where the part is nested, are the rows that the places belong to. `found` keeps, by kind of
    finding, which values were counted already. Which place has which value is worked out when it is asked
    for: in columns where nothing is found it never is.
    """

    kind: Literal["text", "number", "bytes", "unreadable"]
    values: pa.Array
    size: int
    make: Callable[[], Ints]
    places: Ints | None = None
    path: str = ""
    found: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    @cached_property
    def indices(self) -> Ints:
        """The value of each place, -1 for none."""
        return self.make()

    @cached_property
    def _all_counts(self) -> Ints:
        return np.bincount(self.indices[self.indices >= 0], minlength=len(self.values))

    def counts(self) -> Ints:
        """How many places each value has."""
        return self._all_counts

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
        yield Leaf(
            "bytes",
            values,
            len(values),
            lambda: np.where(_valid(values), np.arange(len(values)), -1),
            places,
            path,
        )
    elif pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_binary_view(arrow):
        yield from _readable(values, places, path)
    elif pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        whole = as_whole(values)
        if whole is not None:
            yield _encoded("number", whole, places, path)
    elif not _harmless(arrow):
        yield Leaf(
            "unreadable", pa.array([""]), len(values), lambda: np.where(_valid(values), 0, -1), places, path
        )


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
    for leaf in leaves(values.dictionary, None, path):
        if leaf.places is not None:  # a dictionary of lists: each row by itself
            yield from leaves(values.dictionary_decode(), places, path)
            return
        yield Leaf(leaf.kind, leaf.values, len(values), partial(_referred, values, leaf), places, path)


def _referred(values: pa.DictionaryArray, leaf: Leaf) -> Ints:
    """The value of each place of a dictionary's column, by the leaf of its dictionary."""
    return np.append(leaf.indices, -1)[_filled(values.indices)]  # -1: where a missing reference leads to


def _filled(indices: pa.Array) -> Ints:
    if indices.null_count:
        indices = indices.cast(pa.int64()).fill_null(-1)
    filled: Ints = indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return filled


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
        yield Leaf("unreadable", pa.array([""]), len(values), lambda: np.where(lost, 0, -1), places, path)


def _utf8(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None


def _valid(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _encoded(kind: Literal["text", "number"], values: pa.Array, places: Ints | None, path: str) -> Leaf:
    encoded = values.dictionary_encode()
    return Leaf(kind, encoded.dictionary, len(values), partial(_filled, encoded.indices), places, path)


__all__ = ["MIN_NUMBER", "Leaf", "is_text", "leaves"]
