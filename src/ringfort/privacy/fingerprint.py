r"""Keyed fingerprints of direct identifiers, and whole columns of texts and numbers matched against them.

A fingerprint is AES-CMAC (RFC 4493, 128 bits) of an identifier in its plain form: its folded words without
anything between them (`inspection_text.words`), so that case, accents, spaces and punctuation make no
difference. There are three classes, each under a key of its own, derived from one fingerprint key:

    words    names, addresses, e-mail addresses: at least two words and five letters, at most eight words
             (longer ones by their first eight)
    digits   seven digits or more and nothing else, such as telephone and card numbers; one with a country
             calling code also as it is dialled within its country, and with the `(0)` that people add
    codes    letters with four digits or more, six characters in all: IBANs, national numbers, UUIDs

In a text every run of up to eight adjacent words is looked up: those that begin like an identifier
(`heads`, 64-bit tags of first words) for words, those of digits for digits, those of a length that occurs for
codes (`fingerprint_match`). The 64-bit prefixes are searched first, and all 128 bits decide.

**What is left out so that it drowns nothing** (counted by `Built.left_out`): single words (a first name,
`May`), what is shorter than said, identifiers that more than one row in a thousand has and more than 20 rows
have (placeholders such as `not known`), numbers of digits alone that are keys, IP addresses (patterns find
them). A match of words is a match. Of digits and codes some match by chance if there are many, so matches
carry `one_in`, how many arbitrary numbers of that length there are to one of ours, ten times too careful;
what follows from that is judged over the whole column (`inspection_result.Chance`).

Invariants: pure; memory is about 17 bytes for each fingerprint beside the batch at hand, and some 150 while
they are made; fingerprints tell nothing to whoever lacks the key. Left out: identifiers within a word, names
in scripts without spaces inside a sentence, misspellings, nicknames, initials.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfort.errors import CheckFailedError, UsageError
from ringfort.privacy.cmac import KEY_BYTES, Cmac
from ringfort.privacy.inspection_text import Words, plain, text_buffers, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Tags = tuple[NDArray[np.uint64], NDArray[np.uint64]]

FINGERPRINT_KEY_BYTES = 32
MAX_WORDS = 8
MAX_LENGTH = 256  # bytes of an identifier's plain form
CHUNK = 16_384  # texts looked at together
WORDS, DIGITS, CODES = range(3)
CAREFUL = 10
_FORMAT = "ringfort-fingerprints/1"
_MIN_LETTERS, MIN_DIGITS, MIN_CODE, CODE_DIGITS = 5, 7, 6, 4
_PLACEHOLDER_ROWS, _PLACEHOLDER_ONE_IN = 20, 1000
_BY_WORDS = frozenset({"name", "address", "email"})
_UNMATCHED = frozenset({"ip_address"})
_CALLING_CODE = r"^(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9][0-9])([0-9]{6,12})$"


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Fingerprints as sorted columns; `kinds[i]` indexes `names`, the kinds of finding.

    `heads` are the sorted tags of first words. `lengths[c]` counts the identifiers of class `c` by the bytes
    of their plain form, `code_digits` sums the digits of the codes of each length. `sure` is true if a match
    needs no thought about chance, as with canaries.
    """

    key: bytes = field(repr=False)
    high: NDArray[np.uint64] = field(repr=False)
    low: NDArray[np.uint64] = field(repr=False)
    kinds: NDArray[np.uint8] = field(repr=False)
    heads: NDArray[np.uint64] = field(repr=False)
    names: tuple[str, ...]
    lengths: tuple[tuple[int, ...], ...]
    code_digits: tuple[int, ...]
    sure: bool = False

    def __len__(self) -> int:
        return len(self.high)

    def one_in(self, class_: int, length: int) -> int:
        """How many arbitrary values of this class and length there are to one of ours; 0 if there is none."""
        count = self.lengths[class_][length] if length <= MAX_LENGTH else 0
        if not count:
            return 0
        digits = length if class_ == DIGITS else self.code_digits[length] // count
        return max(int(10**digits) // (count * CAREFUL), 1)

    def to_bytes(self) -> bytes:
        """The set as bytes, without its key, with an HMAC-SHA256 under it."""
        head = json.dumps(
            {
                "format": _FORMAT, "count": len(self.high), "heads": len(self.heads), "names": self.names,
                "lengths": self.lengths, "code_digits": self.code_digits, "sure": self.sure,
            }
        ).encode()  # fmt: skip
        body = b"".join(each.tobytes() for each in (self.high, self.low, self.heads, self.kinds))
        data = len(head).to_bytes(4) + head + body
        return data + hmac.digest(derived_key(self.key, "file"), data, "sha256")

    @classmethod
    def from_bytes(cls, data: bytes, key: bytes) -> Fingerprints:
        """The inverse of `to_bytes`; raises `CheckFailedError` on anything that this key did not write."""
        body, tag = data[:-32], data[-32:]
        if not hmac.compare_digest(hmac.digest(derived_key(key, "file"), body, "sha256"), tag):
            raise CheckFailedError("the fingerprints were made under another key or have been changed")
        start = 4 + int.from_bytes(body[:4])
        head = json.loads(body[4:start])
        if head["format"] != _FORMAT:
            raise CheckFailedError("the fingerprints are of another version")
        count, heads = head["count"], head["heads"]
        numbers = np.frombuffer(body, np.uint64, 2 * count + heads, start).copy()
        return cls(
            key, numbers[:count], numbers[count : 2 * count],
            np.frombuffer(body, np.uint8, count, start + numbers.nbytes).copy(), numbers[2 * count :],
            tuple(head["names"]), tuple(map(tuple, head["lengths"])), tuple(head["code_digits"]),
            head["sure"],
        )  # fmt: skip


@dataclass(frozen=True)
class Built:
    """What a builder made: the fingerprints, how many values were read, how many were left out and why."""

    fingerprints: Fingerprints
    values: int
    left_out: Mapping[str, int]


class FingerprintBuilder:
    """Takes columns of identifiers, a batch at a time, and makes `Fingerprints` of them."""

    def __init__(self, key: bytes, *, prefix: str = "known_", sure: bool = False) -> None:
        self._key = key
        self._tags = [Cmac(derived_key(key, name)) for name in ("words", "digits", "codes")]
        self._head = Cmac(derived_key(key, "heads"))
        self._prefix = prefix
        self._sure = sure
        self._names: list[str] = []
        self._rows: dict[str, int] = {}
        self._found: list[tuple[int, int, Tags, Ints, Ints]] = []  # name, class, tags, lengths, digits
        self._heads: list[NDArray[np.uint64]] = []
        self._short = 0

    def add(self, kind: str, values: pa.Array | pa.ChunkedArray) -> None:
        """Take in a column of identifiers of a catalogue kind: texts, whole numbers or UUIDs."""
        if kind in _UNMATCHED:
            return
        for texts in _as_texts(values):
            for start in range(0, len(texts), CHUNK):
                self._add(kind, texts.slice(start, CHUNK))

    def add_parts(self, kind: str, columns: list[pa.Array]) -> None:
        """Take in names whose parts are columns of one table, in their order and with the last part first."""
        texts = [next(_as_texts(each, keep=True)) for each in columns]
        if len(texts) > 1:
            self.add(kind, pc.binary_join_element_wise(*texts, " "))
            self.add(kind, pc.binary_join_element_wise(texts[-1], *texts[:-1], " "))

    def finish(self) -> Built:
        """The fingerprints of everything taken in."""
        counts = np.zeros((3, MAX_LENGTH + 1), np.int64)
        code_digits = np.zeros(MAX_LENGTH + 1, np.int64)
        high = _joined([tags[0] for _, _, tags, _, _ in self._found], np.uint64)
        low = _joined([tags[1] for _, _, tags, _, _ in self._found], np.uint64)
        names = _joined([np.full(len(sizes), at, np.uint8) for at, _, _, sizes, _ in self._found], np.uint8)
        classes = _joined([np.full(len(sizes), at, np.uint8) for _, at, _, sizes, _ in self._found], np.uint8)
        sizes = _joined([each for _, _, _, each, _ in self._found], np.int64)
        digits = _joined([each for _, _, _, _, each in self._found], np.int64)
        order = np.lexsort((names, low, high))
        high, low, names = high[order], low[order], names[order]
        new = np.ones(len(high), np.bool_)
        new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        first = np.flatnonzero(new)
        often = np.diff(np.append(first, len(high)))
        most = np.array(
            [max(_PLACEHOLDER_ROWS, self._rows[each] // _PLACEHOLDER_ONE_IN) for each in self._names] or [0]
        )
        kept = first[often <= most[names[first]]] if not self._sure else first
        np.add.at(counts, (classes[order[kept]], sizes[order[kept]]), 1)
        codes = kept[classes[order[kept]] == CODES]
        np.add.at(code_digits, sizes[order[codes]], digits[order[codes]])
        left_out = {
            "too short": self._short,
            "placeholders": int(often.sum()) - int(often[np.isin(first, kept)].sum()),
        }
        made = Fingerprints(
            self._key, high[kept], low[kept], names[kept], np.unique(_joined(self._heads, np.uint64)),
            tuple(self._prefix + each if not self._sure else each for each in self._names),
            tuple(tuple(each) for each in counts.tolist()), tuple(code_digits.tolist()), self._sure,
        )  # fmt: skip
        return Built(made, sum(self._rows.values()), left_out)

    def _add(self, kind: str, texts: pa.Array) -> None:
        found = words(plain(texts))
        self._rows[kind] = self._rows.get(kind, 0) + len(texts)
        if kind not in self._names:
            self._names.append(kind)
        name = self._names.index(kind)
        counts = (
            np.bincount(found.rows, minlength=len(texts)) if len(found) else np.zeros(len(texts), np.int64)
        )
        ends = np.cumsum(counts)
        begins = ends - counts
        ends = np.minimum(ends, begins + MAX_WORDS)
        start, stop = found.starts[begins], found.starts[ends]
        size = stop - start
        digits = np.concatenate([[0], np.cumsum(found.digits)])
        digit = digits[ends] - digits[begins]
        fits = size <= MAX_LENGTH
        whole = fits & (digit == size) & (size >= MIN_DIGITS) & (kind != "key" or self._sure)
        wordy = fits & ~whole & (size - digit >= _MIN_LETTERS) & (np.minimum(counts, MAX_WORDS) >= 2)
        wordy &= kind in _BY_WORDS
        code = fits & ~whole & ~wordy & (digit < size) & (digit >= CODE_DIGITS) & (size >= MIN_CODE)
        self._short += int(len(texts) - whole.sum() - wordy.sum() - code.sum())
        for class_, chosen in ((WORDS, wordy), (DIGITS, whole), (CODES, code)):
            rows = np.flatnonzero(chosen)
            if len(rows):
                self._take(name, class_, found.data, start[rows], size[rows], digit[rows])
        rows = np.flatnonzero(wordy)
        if len(rows):
            head = begins[rows]
            self._heads.append(
                np.unique(tags_of(self._head, found.data, found.starts[head], np.diff(found.starts)[head])[0])
            )
        if kind == "phone":
            self._dialled(name, found, start, size, np.flatnonzero(whole))

    def _dialled(self, name: int, found: Words, start: Ints, size: Ints, rows: Ints) -> None:
        """The other ways to write numbers that begin with a country calling code."""
        numbers = [
            bytes(found.data[begin : begin + length]).decode()
            for begin, length in zip(start[rows].tolist(), size[rows].tolist(), strict=True)
        ]
        texts = pa.array(numbers, pa.string())
        texts = pc.replace_substring_regex(texts, "^00", "")
        texts = texts.filter(pc.match_substring_regex(texts, _CALLING_CODE))
        for other in (
            texts,
            *(pc.replace_substring_regex(texts, _CALLING_CODE, each) for each in (r"0\2", r"\10\2")),
        ):
            if len(other):
                data, begins, sizes = cut(other)
                self._take(name, DIGITS, data, begins, sizes, sizes)

    def _take(  # noqa: PLR0917 - one column for each
        self, name: int, class_: int, data: NDArray[np.uint8], begins: Ints, sizes: Ints, digits: Ints
    ) -> None:
        self._found.append((name, class_, tags_of(self._tags[class_], data, begins, sizes), sizes, digits))


def derived_key(key: bytes, name: str) -> bytes:
    """An AES-128 key for one use, from the fingerprint key."""
    if len(key) != FINGERPRINT_KEY_BYTES:
        raise UsageError(f"the fingerprint key must be {FINGERPRINT_KEY_BYTES} bytes")
    info = b"ringfort-fingerprint/1|" + name.encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def tags_of(cmac: Cmac, data: NDArray[np.uint8], begins: Ints, sizes: Ints) -> Tags:
    """Tags of `data[begins[i]:begins[i] + sizes[i]]`, as two halves."""
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    if len(sizes) and not (begins[0] + ends[:-1] == begins).all():
        data = data[np.repeat(begins - ends[:-1], sizes) + np.arange(ends[-1])]
    elif len(sizes):
        data = data[int(begins[0]) : int(begins[0] + ends[-1])]
    halves = cmac.messages(data, ends).view(np.uint64)
    return halves[:, 0].copy(), halves[:, 1].copy()


def cut(texts: pa.Array) -> tuple[NDArray[np.uint8], Ints, Ints]:
    """The bytes of texts, where each begins and its size."""
    data, offsets = text_buffers(texts)
    return data, offsets[:-1], np.diff(offsets)


def _joined(arrays: list[NDArray[Any]], kind: type[Any]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, kind)


def _as_texts(values: pa.Array | pa.ChunkedArray, *, keep: bool = False) -> Iterator[pa.Array]:
    """The identifiers of a column as string arrays, without nulls unless they are to be kept."""
    for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
        piece = chunk if keep else chunk.drop_null()
        if isinstance(piece.type, pa.BaseExtensionType):
            piece = piece.storage
        if pa.types.is_dictionary(piece.type):
            piece = piece.dictionary_decode()
        arrow = piece.type
        if pa.types.is_fixed_size_binary(arrow):
            yield _hexadecimal(piece)
        elif pa.types.is_floating(arrow):
            whole = piece.filter(pc.equal(pc.floor(piece), piece))
            small = whole.filter(pc.less(pc.abs(whole), 2.0**53))
            yield small.cast(pa.int64()).cast(pa.string())
        elif pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
            yield piece
        else:
            yield piece.cast(pa.string())


def _hexadecimal(values: pa.FixedSizeBinaryArray) -> pa.StringArray:
    width = values.type.byte_width
    data = b"" if values.buffers()[1] is None else values.buffers()[1].to_pybytes()
    data = data[values.offset * width : (values.offset + len(values)) * width]
    offsets = np.arange(len(values) + 1, dtype=np.int32) * (2 * width)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(data.hex().encode()))


__all__ = [
    "CHUNK",
    "CODES",
    "DIGITS",
    "FINGERPRINT_KEY_BYTES",
    "MAX_LENGTH",
    "MAX_WORDS",
    "WORDS",
    "Built",
    "FingerprintBuilder",
    "Fingerprints",
    "cut",
    "derived_key",
    "tags_of",
]
