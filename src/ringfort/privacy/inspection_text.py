r"""Texts as inspection reads them: whole Arrow columns of them in one plain way of writing.

`plain` takes away what only changes how a text looks: compatibility forms (NFKC: full-width and mathematical
letters and digits), invisible characters (zero-width, soft hyphen, direction marks), digits of other scripts,
Unicode's many hyphens. `readings` adds what a text says when it is decoded: percent signs, HTML entities and
backslash escapes, the values of a JSON document one after the other, addresses written as `name [at] host
[dot] org`, words that only invisible characters divide, host names in punycode, e-mail addresses without
their `+tag`, and base64 and hexadecimal runs whose bytes are printable text, twice over. `words` gives the
folded words (see `folding`) of every text as one buffer, which is what fingerprints are
taken of.

Invariants: total, no text makes it raise; the result for a text depends on that text alone. ASCII without
escapes, which is nearly everything, is never touched by Python.
Left out: letters of one script that look like those of another, leetspeak, spelling, compression, encryption,
encodings other than those above, an encoded run cut into pieces by other text, and runs beyond `MAX_DECODED`
bytes.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.folding import SEQUENCES, folded
from ringfort.privacy.inspection_decoded import MAX_DECODED, decoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTH = 2

_INVISIBLE = r"[\p{Cf}\x{034F}\x{115F}\x{1160}\x{3164}\x{FE00}-\x{FE0F}]+"
_DIVIDED = rf"\p{{L}}{_INVISIBLE}\p{{L}}"
_HYPHENS = r"[\x{2010}-\x{2015}\x{2212}\x{2E3A}\x{2E3B}]"
_OTHER_DIGITS = r"[^\P{Nd}0-9]"

# the first bits of every printable ASCII byte are 0: one in eight random groups of base64 is like that
_BASE64_GROUP = r"[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_\-]"
_BASE64 = rf"(?:^|[^A-Za-z0-9+/_\-])(?:{_BASE64_GROUP}){{3,}}[A-Za-z0-9+/_\-]{{0,3}}={{0,2}}"
_HEX = r"(?:[2-7][0-9A-Fa-f][ :]?){7,}"
_ESCAPE = r"%[0-9A-Fa-f]{2}|&#?[A-Za-z0-9]{2,8};|\\[uUx][0-9A-Fa-f]{2}"
_SPELT = (
    r"(?i:[\[({<]\s{0,3}(?:at|dot|punkt|punto|point|arroba|@|\.)\s{0,3}[\])}>]|\s(?:at|dot)\s.{0,40}\sdot\s)"
)
_JSON = r"^\s*[\[{]\s*[\[{\"]"
_ADDRESS = r"\+[^@\s+]{1,64}@|(?i:xn--)"
_HIDDEN = f"{_ADDRESS}|{_ESCAPE}|{_SPELT}|{_BASE64}|{_HEX}|{_JSON}"

_APOSTROPHES = np.zeros(256, np.bool_)
_APOSTROPHES[[0x27, 0x60]] = True
_WORD = np.zeros(256, np.bool_)
_WORD[ord("0") : ord("9") + 1] = _WORD[ord("a") : ord("z") + 1] = _WORD[0x80:] = True
_DIGIT = np.zeros(256, np.bool_)
_DIGIT[ord("0") : ord("9") + 1] = True


def plain(values: pa.Array) -> pa.Array:
    """Texts in one plain way of writing; `values` is a string array without nulls, the result is as long."""
    if _ascii_only(values):
        return values
    odd = np.flatnonzero(~_mask(pc.string_is_ascii(values)))
    texts = pc.utf8_normalize(values.take(pa.array(odd)), "NFKC")
    texts = pc.replace_substring_regex(texts, _INVISIBLE, "")
    texts = pc.replace_substring_regex(texts, _HYPHENS, "-")
    foreign = _mask(pc.match_substring_regex(texts, _OTHER_DIGITS))
    if foreign.any():
        texts = pa.array(
            [
                _ascii_digits(text) if other else text
                for text, other in zip(texts.to_pylist(), foreign, strict=True)
            ],
            values.type,
        )
    return _replaced(values, odd, texts)


def readings(values: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Plain texts and what else they say when decoded, with for each the row of `values` that it belongs to.

    `values` is a string array without nulls; the first `len(values)` readings are its own plain texts.
    """
    first = plain(values)
    texts, owners = [first], [np.arange(len(first), dtype=np.int64)]
    if not _ascii_only(values):  # what is invisible between two words may be all that divides them
        rows = np.flatnonzero(_mask(pc.match_substring_regex(values, _DIVIDED)))
        if len(rows):
            texts.append(plain(pc.replace_substring_regex(values.take(pa.array(rows)), _INVISIBLE, " ")))
            owners.append(rows)
    level, owner = first, owners[0]
    for _ in range(DEPTH):
        rows = np.flatnonzero(_mask(pc.match_substring_regex(level, _HIDDEN)))
        found = [
            (row, text)
            for row, hidden in zip(rows.tolist(), level.take(pa.array(rows)).to_pylist(), strict=True)
            for text in decoded(hidden)
        ]
        if not found:
            break
        owner = owner[np.array([row for row, _ in found], np.int64)]
        level = plain(pa.array([text for _, text in found], values.type))
        texts.append(level)
        owners.append(owner)
    return pa.concat_arrays(texts), np.concatenate(owners)


@dataclass(frozen=True)
class Words:
    """The words of many texts: `data[starts[i]:starts[i + 1]]` is word `i`, of text `rows[i]`.

    `digits[i]` counts its digits, `gaps[i]` the bytes between it and the word before in the same text (255 at
    most, and for the first), `plus[i]` says that a plus sign stands right before it, `hyphen[i]` a hyphen.
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    digits: NDArray[np.int64]
    gaps: NDArray[np.int64]
    plus: NDArray[np.bool_]
    hyphen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)


def words(values: pa.Array) -> Words:
    """The folded words of plain texts; `values` is a string array without nulls."""
    data, offsets = text_buffers(_folded(values))
    apostrophe = _APOSTROPHES.take(data)
    if apostrophe.any():
        offsets = offsets - _counted(apostrophe)[offsets]
        data = data[~apostrophe]
    member = _WORD.take(data)
    previous = np.empty_like(member)
    previous[:1] = False
    previous[1:] = member[:-1]
    inside = offsets[:-1][np.diff(offsets) > 0]
    previous[inside] = False
    begins = np.flatnonzero(member & ~previous)
    kept = _counted(member)
    starts = np.append(kept[begins], kept[-1])
    rows = np.repeat(np.arange(len(values)), np.diff(np.searchsorted(begins, offsets)))
    ends = begins + np.diff(starts)
    gaps = np.full(len(begins), 255, np.int64)
    same = rows[1:] == rows[:-1]
    gaps[1:][same] = np.minimum(begins[1:] - ends[:-1], 255)[same]
    at_start = begins == offsets[rows]
    before = np.where(at_start, 0, data[np.maximum(begins - 1, 0)]) if len(begins) else np.zeros(0, np.uint8)
    clean = data[member]
    digits = np.diff(_counted(_DIGIT.take(clean))[starts])
    return Words(clean, starts, rows, digits, gaps, before == ord("+"), before == ord("-"))


def _counted(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many flags are set before each position; one longer than `flags`."""
    before = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=before[1:])
    return before


def _folded(values: pa.Array) -> pa.Array:
    if _ascii_only(values):
        return pc.ascii_lower(values)
    odd = np.flatnonzero(~_mask(pc.string_is_ascii(values)))
    texts = values.take(pa.array(odd))
    for sequence, instead in SEQUENCES:
        texts = pc.replace_substring_regex(texts, sequence, instead)
    data, offsets = folded(*text_buffers(texts))
    wide = pa.large_string()
    made = pa.Array.from_buffers(wide, len(odd), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return _replaced(pc.ascii_lower(values), odd, made.cast(values.type))


def _replaced(values: pa.Array, rows: NDArray[np.int64], texts: pa.Array) -> pa.Array:
    """`values` with those at `rows` replaced by `texts`."""
    source = np.arange(len(values), dtype=np.int64)
    source[rows] = len(values) + np.arange(len(rows))
    return pa.concat_arrays([values, texts]).take(pa.array(source))


def _ascii_digits(text: str) -> str:
    return "".join(
        str(unicodedata.digit(each)) if unicodedata.category(each) == "Nd" else each for each in text
    )


def _ascii_only(values: pa.Array) -> bool:
    data, _ = text_buffers(values)
    return not len(data) or int(data.max()) < 0x80


def _mask(values: pa.Array) -> NDArray[np.bool_]:
    return cast("NDArray[np.bool_]", values.to_numpy(zero_copy_only=False))


def text_buffers(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a string array and the offsets into them, from 0 on."""
    width = np.int64 if pa.types.is_large_string(values.type) else np.int32
    _, offset_buffer, data_buffer = values.buffers()
    if offset_buffer is None or not len(offset_buffer):
        return np.empty(0, np.uint8), np.zeros(len(values) + 1, np.int64)
    offsets = np.frombuffer(offset_buffer, width)[values.offset : values.offset + len(values) + 1].astype(
        np.int64
    )
    data = np.empty(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return data[int(offsets[0]) : int(offsets[-1])], offsets - offsets[0]


__all__ = ["DEPTH", "MAX_DECODED", "Words", "decoded", "plain", "readings", "text_buffers", "words"]
