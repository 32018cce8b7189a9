"""Steps on Arrow columns of text that masks and generalisations are made of.

All take `string` or `large_string` and give nulls where there were nulls. Regular expressions are those of
`form_rules`, read by RE2. Invariants: a column that `clean` gave is valid UTF-8 without NUL, so nothing after
it can raise. Left out: cases of letters beyond ASCII, as in collation "C".
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.form_rules import TEXT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

_DIGITS = frozenset(b"0123456789")
_CAPITALS = frozenset(range(ord("A"), ord("Z") + 1))
_SMALL = frozenset(range(ord("a"), ord("z") + 1))


def clean(values: pa.Array) -> pa.Array:
    """The column without what no PostgreSQL text can hold: such values (bad UTF-8, NUL) become empty."""
    data, _ = buffers(values)
    try:
        values.validate(full=True)
        if not np.any(data == 0):
            return values
    except pa.ArrowInvalid:
        pass
    kept = [_storable(each) for each in values.cast(_binary(values.type)).to_pylist()]
    return pa.array(kept, values.type)


def _storable(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _binary(text: pa.DataType) -> pa.DataType:
    return pa.large_binary() if pa.types.is_large_string(text) else pa.binary()


def cut(values: pa.Array, characters: int = TEXT_LIMIT) -> pa.Array:
    """The first so many characters: PostgreSQL's `left`."""
    if longest(values) <= characters:  # bytes are never fewer than characters
        return values
    return pc.utf8_slice_codeunits(values, 0, characters)


def longest(values: pa.Array) -> int:
    """The bytes of the longest value, nulls included as they lie in memory."""
    _, offsets = buffers(values)
    return int(np.diff(offsets).max(initial=0))


def buffers(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """The bytes from the first value's first to the last value's last, and the offsets, as they are."""
    width = np.int64 if pa.types.is_large_string(values.type) else np.int32
    _, offset_buffer, data_buffer = values.buffers()
    if offset_buffer is None or not len(offset_buffer) or not len(values):
        return np.empty(0, np.uint8), np.zeros(len(values) + 1, width)
    offsets = np.frombuffer(offset_buffer, width)[values.offset : values.offset + len(values) + 1]
    data = np.empty(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return data[int(offsets[0]) : int(offsets[-1])], offsets


def digits(values: pa.Array) -> pa.Array:
    """The ASCII digits of each value."""
    return _kept(values, *_tables(_DIGITS, frozenset()))


def compact(values: pa.Array) -> pa.Array:
    """The ASCII letters, as capitals, and digits of each value."""
    return _kept(values, *_tables(_DIGITS | _CAPITALS, _SMALL))


def without_blanks(values: pa.Array) -> pa.Array:
    """Each value without blanks and hyphens, ASCII letters as capitals."""
    return _kept(values, *_tables(frozenset(range(256)) - frozenset(b" -") - _SMALL, _SMALL))


def ascii_alone(values: pa.Array) -> pa.Array:
    """Whether each value is of ASCII characters alone."""
    data, _ = buffers(values)
    if not np.any(data >= 0x80):
        return pa.array(np.ones(len(values), np.bool_))
    return pc.string_is_ascii(values)


@cache
def _tables(same: frozenset[int], to_upper: frozenset[int]) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    keep = np.zeros(256, np.bool_)
    keep[list(same | to_upper)] = True
    becomes = np.arange(256, dtype=np.uint8)
    becomes[list(to_upper)] -= 32
    return keep, becomes


def _kept(values: pa.Array, keep: NDArray[np.bool_], becomes: NDArray[np.uint8]) -> pa.Array:
    data, offsets = buffers(values)
    kept = keep[data]
    before = np.zeros(len(data) + 1, offsets.dtype)
    np.cumsum(kept, out=before[1:])
    return from_buffers(becomes[data[kept]], before[offsets - offsets[0]], values)


def from_buffers(
    data: NDArray[np.uint8], offsets: NDArray[Any], like: pa.Array, arrow: pa.DataType | None = None
) -> pa.Array:
    """A text column from bytes and offsets, null where `like` is; of the type of `like` or the one given."""
    validity = like.is_valid().buffers()[1] if like.null_count else None
    texts = [validity, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(arrow or like.type, len(like), texts)


def sizes(values: pa.Array) -> pa.Array:
    """Length in bytes, which for ASCII is the length in characters."""
    return pc.binary_length(values)


def between(numbers: pa.Array, limits: tuple[int, int]) -> pa.Array:
    """Whether each number lies within limits, both included."""
    return pc.and_(pc.greater_equal(numbers, limits[0]), pc.less_equal(numbers, limits[1]))


def matches(values: pa.Array, pattern: str) -> pa.Array:
    """Whether the pattern is found."""
    return pc.match_substring_regex(values, pattern)


def groups(values: pa.Array, pattern: str) -> list[pa.Array]:
    """The groups of the leftmost match, each null where the pattern is not found; an idle group is empty."""
    named = _named(pattern)
    found = pc.extract_regex(values, named)
    return [pc.struct_field(found, index) for index in range(found.type.num_fields)]


@cache
def _named(pattern: str) -> str:
    """The pattern with a name for each group: Arrow asks for names, PostgreSQL has none."""
    count = 0
    parts = []
    for piece in re.findall(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?:|.", pattern, re.DOTALL):
        if piece == "(":
            count += 1
            parts.append(f"(?P<g{count}>")
        else:
            parts.append(piece)
    return "".join(parts)


def joined(*parts: pa.Array | str, like: pa.Array) -> pa.Array:
    """The parts of each row one after the other; null where one is null. The type is that of `like`."""
    scalars = [pa.scalar(each, like.type) if isinstance(each, str) else each for each in parts]
    return pc.binary_join_element_wise(*scalars, pa.scalar("", like.type))


def ends(values: pa.Array, characters: int) -> pa.Array:
    """The last characters: PostgreSQL's `right`."""
    return pc.utf8_slice_codeunits(values, -characters)


def starts(values: pa.Array, characters: int) -> pa.Array:
    """The first characters: PostgreSQL's `left`."""
    return pc.utf8_slice_codeunits(values, 0, characters)


def only(condition: pa.Array, values: pa.Array | str, like: pa.Array) -> pa.Array:
    """The values where the condition holds, null elsewhere."""
    chosen = pa.scalar(values, like.type) if isinstance(values, str) else values
    return pc.if_else(condition, chosen, pa.scalar(None, like.type))


def elsewhere(
    values: pa.Array, texts: pa.Array, where: pa.Array, kernel: Callable[[pa.Array], pa.Array]
) -> pa.Array:
    """The values, but what the kernel makes of the texts where a condition holds."""
    where = where.fill_null(False)
    if not pc.any(where, min_count=0).as_py():
        return values
    return pc.replace_with_mask(values, where, kernel(texts.filter(where)))


def first(options: Iterable[pa.Array], otherwise: str, like: pa.Array) -> pa.Array:
    """In each row the first option that is not null, else the word; null where `like` is."""
    found = pc.coalesce(*options, pa.scalar(otherwise, like.type))
    if not like.null_count:
        return cast("pa.Array", found)
    return only(like.is_valid(), found, like)
