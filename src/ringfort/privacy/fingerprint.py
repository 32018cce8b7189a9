r"""Keyed fingerprints of direct identifiers, made of whole columns.

A fingerprint is AES-CMAC (RFC 4493, 128 bits) of an identifier in its plain form: its folded words without
anything between them (`inspection_text.words`, `folding`), so that case, accents, spaces and punctuation make
no difference. There are three classes, each under a key of its own, derived from one fingerprint key:

    words    names in their usual writings (`name_forms`), addresses and e-mail addresses (these with and
             without a `+tag`): at least two words and five letters, at most eight words (longer ones by their
             first eight), without the letters that differ between writings (`folding.dropped`)
    digits   seven digits or more and nothing else, such as telephone and card numbers; one with a country
             calling code also as it is dialled within its country, and with the `(0)` that people add
    codes    letters with four digits or more, six characters in all: IBANs, national numbers, UUIDs

In a text every run of up to eight adjacent words is looked up: those that begin like an identifier (`heads`,
64-bit tags of the first eight bytes, however these are divided into words) for words, those of digits for
digits, those of a length that occurs for codes (`fingerprint_match`). The 64-bit prefixes are searched first,
and all 128 bits decide.

**What is left out so that it drowns nothing** (counted by `Built.left_out`): single words (a first name,
`May`), what is shorter than said, numbers of digits alone that are keys, IP addresses (patterns find them),
and what too many rows have: more than 20 and more than one in a thousand (placeholders such as `not known`),
of selected parts of names one in ten thousand; and the first two parts of a longer name where the second is
a given name: it comes first in names more often than last, or is a common one (`Mary Jane` of Mary Jane
Smith). A match of words is a match. Of digits and codes some match by chance if there are many, so matches
carry `one_in`, how many arbitrary numbers of that length there are to one of ours, ten times too careful;
what follows from that is judged over the whole column (`inspection_result.Chance`).

**Kept up to date.** `finish(base)` adds what was taken in to a set from before. What it held it still holds;
rows that it has seen may be taken in again. What is too common is judged by the new rows alone then, so that
a row which changes often does not count as many.

Invariants: pure; memory is about 17 bytes for each fingerprint beside the batch at hand, and some 50 while
they are made; fingerprints tell nothing to whoever lacks the key. Left out: identifiers within a word, names
in scripts without spaces inside a sentence, misspellings, nicknames, initials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.catalog.words import given_names
from ringfort.privacy.cmac import Cmac
from ringfort.privacy.fingerprint_set import (
    CODES,
    DIGITS,
    FINGERPRINT_KEY_BYTES,
    HEAD,
    MAX_LENGTH,
    WORDS,
    Fingerprints,
    added,
    derived_key,
    distinct,
    member,
    tags_of,
)
from ringfort.privacy.folding import dropped
from ringfort.privacy.inspection_decoded import internationalised
from ringfort.privacy.inspection_text import text_buffers, words
from ringfort.privacy.name_forms import MAX_WORDS, first_and_last, name_forms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ringfort.privacy.inspection_text import Words
    from ringfort.privacy.name_forms import Forms

    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]
    Counted = tuple[NDArray[np.uint64], Ints]

CHUNK = 16_384  # texts looked at together
MIN_DIGITS, MIN_CODE, CODE_DIGITS = 7, 6, 4
_TAKEN_IN = 65_536
_MIN_LETTERS = 5
_PLACEHOLDER_ROWS, _PLACEHOLDER_ONE_IN, _SELECTION_ONE_IN = 20, 1000, 10_000
_BY_WORDS = frozenset({"name", "address", "email"})
_UNMATCHED = frozenset({"ip_address"})
_CALLING_CODE = r"^(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9][0-9])([0-9]{6,12})$"
_DTYPES = (np.uint64, np.uint64, np.uint8, np.uint8, np.uint16, np.uint16, np.bool_, np.uint64)
_TAGGED = r"^([^@+]+)\+[^@]*@"


@dataclass(frozen=True)
class Built:
    """What a builder made: the fingerprints, how many values were read, how many were left out and why."""

    fingerprints: Fingerprints
    values: int
    left_out: Mapping[str, int]


class _Found(NamedTuple):
    """Fingerprints as they were taken in: columns of one length."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    names: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    sizes: NDArray[np.uint16]
    digits: NDArray[np.uint16]
    whole: NDArray[np.bool_]
    second: NDArray[np.uint64]  # the word that would have to be a surname, 0 for none


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
        self._often: dict[str, int] = {}  # how many columns of a row may say the same
        self._found: list[_Found] = []
        self._heads: list[NDArray[np.uint64]] = []
        self._head_sizes: set[int] = set()
        self._first: list[Counted] = []  # words that come first in names, and last
        self._last: list[Counted] = []
        self._short = 0

    def add(self, kind: str, values: pa.Array | pa.ChunkedArray) -> None:
        """Take in a column of identifiers of a catalogue kind: texts, whole numbers or UUIDs."""
        if kind in _UNMATCHED:
            return
        for texts in _as_texts(values):
            self._rows[kind] = self._rows.get(kind, 0) + len(texts)
            for start in range(0, len(texts), _TAKEN_IN):
                piece = texts.slice(start, _TAKEN_IN)
                self._add(kind, piece)
                if kind == "email":
                    for other in _other_addresses(piece):
                        self._add(kind, other)

    def add_rows(self, columns: Sequence[tuple[str, pa.Array]]) -> None:
        """Take in rows of a table: columns by their kinds. Those of names are also taken joined."""
        for kind, values in columns:
            self.add(kind, values)
        self.add_parts("name", [values for kind, values in columns if kind == "name"])
        kinds = [kind for kind, _ in columns]
        for kind in kinds:
            often = kinds.count(kind)
            self._often[kind] = max(self._often.get(kind, 1), often + (often > 1))

    def add_parts(self, kind: str, columns: Sequence[pa.Array]) -> None:
        """Take in names whose parts are columns of one table, in their order; a part may be missing."""
        if len(columns) < 2:
            return
        texts = [next(_as_texts(each, keep=True)) for each in columns]
        several = pc.greater_equal(_present(texts), 2)
        # only where something is to be joined: of rows of nulls alone pyarrow gives nothing, not a null
        parts = [each.filter(several) for each in texts]
        self.add(kind, pc.binary_join_element_wise(*parts, " ", null_handling="skip"))

    def finish(self, base: Fingerprints | None = None) -> Built:
        """The fingerprints of everything taken in, and of `base`, which was made under the same key."""
        if base is not None:
            for name in base.names:
                self._named(name.removeprefix(self._prefix))
        given = self._given()
        if base is not None:
            given = added(base.given, given)
        made, common, left_out = self._counted(base, given)
        rows = dict(base.rows) if base is not None else {}
        for kind, count in self._rows.items():
            rows[kind] = rows.get(kind, 0) + count
        lengths = np.zeros((3, MAX_LENGTH + 1), np.int64)
        code_digits = np.zeros(MAX_LENGTH + 1, np.int64)
        heads = distinct(_joined(self._heads, np.uint64))
        high, low, kinds = made.high, made.low, made.names
        if base is not None:
            lengths += np.array(base.lengths, np.int64)
            code_digits += np.array(base.code_digits, np.int64)
            heads, common = added(base.heads, heads), added(base.common, common)
            code = np.array(
                [self._names.index(each.removeprefix(self._prefix)) for each in base.names], np.uint8
            )
            at = np.searchsorted(base.high, high)
            high, low = np.insert(base.high, at, high), np.insert(base.low, at, low)
            kinds = np.insert(code[base.kinds] if len(base) else base.kinds, at, kinds)
        np.add.at(lengths, (made.classes, made.sizes), 1)
        codes = made.classes == CODES
        np.add.at(code_digits, made.sizes[codes], made.digits[codes])
        sizes = self._head_sizes | set(base.head_sizes if base is not None else ())
        prints = Fingerprints(
            self._key, high, low, kinds, heads, common, given,
            tuple(self._prefix + each if not self._sure else each for each in self._names),
            tuple(sorted(sizes)), tuple(tuple(each) for each in lengths.tolist()),
            tuple(code_digits.tolist()), rows, self._sure,
        )  # fmt: skip
        return Built(prints, sum(self._rows.values()), left_out)

    def _counted(
        self, base: Fingerprints | None, given: NDArray[np.uint64]
    ) -> tuple[_Found, NDArray[np.uint64], dict[str, int]]:
        """What is new, sorted and distinct; the tags of what is too common; what was left out."""
        columns = [_joined([each[at] for each in self._found], dtype) for at, dtype in enumerate(_DTYPES)]
        self._found = []
        if len(given):
            said = ~member(given, columns[7])
            columns = [each[said] for each in columns]
        order = _sorted(columns[0], columns[1], columns[2])
        ordered: list[Any] = [each[order] for each in columns]
        found = _Found(*ordered)
        new = np.ones(len(order), np.bool_)
        new[1:] = (found.high[1:] != found.high[:-1]) | (found.low[1:] != found.low[:-1])
        first = np.flatnonzero(new)
        often = np.diff(np.append(first, len(order)))
        whole = np.logical_or.reduceat(found.whole, first) if len(first) else np.zeros(0, np.bool_)
        most = np.zeros((2, len(self._names) + 1), np.int64)
        for at, kind in enumerate(self._names):
            rows = self._rows.get(kind, 0) + (0 if base is None else base.rows.get(kind, 0))
            least = _PLACEHOLDER_ROWS * self._often.get(kind, 1)
            most[:, at] = max(least, rows // _SELECTION_ONE_IN), max(least, rows // _PLACEHOLDER_ONE_IN)
        rare = (often <= most[whole.astype(np.int64), found.names[first]]) | self._sure
        left_out = {"too short": self._short, "placeholders": int(often[~rare].sum())}
        common = distinct(found.high[first[~rare]])
        kept = first[rare]
        if base is not None:
            kept = kept[~base.holds(found.high[kept], found.low[kept])]
            common = common[~member(base.high, common)]
        chosen: list[Any] = [each[kept] for each in found]
        return _Found(*chosen), common, left_out

    def _given(self) -> NDArray[np.uint64]:
        """The words that come first in names more often than last, or that are common as given names."""
        if not self._first:
            return np.empty(0, np.uint64)
        listed = words(pa.array(sorted(given_names())))
        common = np.unique(tags_of(self._head, listed.data, listed.starts[:-1], np.diff(listed.starts))[0])
        tags = np.concatenate([common, *(each for each, _ in (*self._first, *self._last))])
        counts = np.concatenate(
            [
                np.zeros(len(common), np.int64),
                *(each for _, each in self._first),
                *(-each for _, each in self._last),
            ]
        )
        distinct, at = np.unique(tags, return_inverse=True)
        more = np.bincount(at, weights=counts)
        given: NDArray[np.uint64] = distinct[(more > 0) | ((more == 0) & np.isin(distinct, common))]
        return given

    def _named(self, kind: str) -> int:
        if kind not in self._names:
            self._names.append(kind)
        return self._names.index(kind)

    def _add(self, kind: str, texts: pa.Array) -> None:
        found = words(texts)
        name = self._named(kind)
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
        for class_, chosen in ((DIGITS, whole), (CODES, code)):
            rows = np.flatnonzero(chosen)
            if len(rows):
                self._take(name, class_, found.data, start[rows], size[rows], digit[rows])
        if kind == "name":
            self._take_names(name, found, wordy)
        elif wordy.any():
            data, offsets = _gathered(found.data, start[wordy], size[wordy])
            self._take_words(name, data, offsets, np.arange(len(offsets) - 1))
        if kind == "phone" and whole.any():
            self._dialled(name, *_gathered(found.data, start[whole], size[whole]))

    def _take_names(self, name: int, found: Words, wordy: NDArray[np.bool_]) -> None:
        """Names in their usual writings, each once for each row."""
        every = [each for each in name_forms(found) if len(each.rows)]
        if not every:
            return
        sizes = np.concatenate([np.diff(each.offsets) for each in every])
        offsets = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        rows = np.concatenate([each.rows for each in every])
        whole = np.concatenate([np.full(len(each.rows), each.whole) for each in every])
        second = np.concatenate([self._second(each) for each in every])
        data = np.concatenate([each.data for each in every])
        chosen = np.flatnonzero(wordy[rows])
        self._take_words(name, data, offsets, chosen, rows[chosen], (whole[chosen], second[chosen]))
        for kept, at in zip((self._first, self._last), first_and_last(found), strict=True):
            tags, _ = tags_of(self._head, found.data, found.starts[at], np.diff(found.starts)[at])
            kept.append(np.unique(tags, return_counts=True))

    def _second(self, forms: Forms) -> NDArray[np.uint64]:
        if forms.second is None:
            return np.zeros(len(forms.rows), np.uint64)
        return tags_of(self._head, forms.data, *forms.second)[0]

    def _take_words(  # noqa: PLR0917 - one column for each
        self, name: int, data: Bytes, offsets: Ints, chosen: Ints, rows: Ints | None = None,
        more: tuple[NDArray[np.bool_], NDArray[np.uint64]] | None = None,
    ) -> None:  # fmt: skip
        """The chosen forms of words, without what differs between writings, each once for a row."""
        digits = np.zeros(len(data) + 1, np.int64)
        np.cumsum((data >= ord("0")) & (data <= ord("9")), out=digits[1:])
        fits = (np.diff(offsets) - np.diff(digits[offsets]) >= _MIN_LETTERS)[chosen]
        chosen = chosen[fits]
        if not len(chosen):
            return
        out = dropped(data)
        out[offsets[chosen]] = False
        kept = np.zeros(len(data) + 1, np.int64)
        np.cumsum(~out, out=kept[1:])
        data = data[~out]
        begins, sizes = kept[offsets[chosen]], kept[offsets[chosen + 1]] - kept[offsets[chosen]]
        tags = tags_of(self._tags[WORDS], data, begins, sizes)
        if rows is not None and more is not None:
            mixed = tags[0] ^ (rows[fits].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
            # whole ones first
            order = np.argsort(~more[0][fits], kind="stable")
            once = order[np.unique(mixed[order], return_index=True)[1]]
            tags, begins, sizes = (tags[0][once], tags[1][once]), begins[once], sizes[once]
            more = more[0][fits][once], more[1][fits][once]
        heads = np.minimum(sizes, HEAD)
        self._head_sizes |= set(np.unique(heads).tolist())
        self._heads.append(distinct(tags_of(self._head, data, begins, heads)[0]))
        self._kept(name, WORDS, tags, sizes, np.zeros(len(sizes), np.int64), more)

    def _dialled(self, name: int, data: Bytes, offsets: Ints) -> None:
        """The other ways to write numbers that begin with a country calling code."""
        texts = pa.Array.from_buffers(
            pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        )
        texts = pc.replace_substring_regex(texts, "^00", "")
        texts = texts.filter(pc.match_substring_regex(texts, _CALLING_CODE))
        for other in (
            texts,
            *(pc.replace_substring_regex(texts, _CALLING_CODE, each) for each in (r"0\2", r"\10\2")),
        ):
            if len(other):
                digits, begins, sizes = cut(other)
                self._take(name, DIGITS, digits, begins, sizes, sizes)

    def _take(  # noqa: PLR0917 - one column for each
        self, name: int, class_: int, data: Bytes, begins: Ints, sizes: Ints, digits: Ints
    ) -> None:
        self._kept(name, class_, tags_of(self._tags[class_], data, begins, sizes), sizes, digits, None)

    def _kept(  # noqa: PLR0917 - one column for each
        self, name: int, class_: int, tags: tuple[NDArray[np.uint64], NDArray[np.uint64]], sizes: Ints,
        digits: Ints, more: tuple[NDArray[np.bool_], NDArray[np.uint64]] | None,
    ) -> None:  # fmt: skip
        count = len(sizes)
        whole, second = more or (np.ones(count, np.bool_), np.zeros(count, np.uint64))
        self._found.append(
            _Found(
                *tags, np.full(count, name, np.uint8), np.full(count, class_, np.uint8),
                sizes.astype(np.uint16), digits.astype(np.uint16),
                whole, second,
            )
        )  # fmt: skip


def _sorted(high: NDArray[np.uint64], low: NDArray[np.uint64], names: NDArray[np.uint8]) -> Ints:
    """The order by `high`, then `low`, then `names`; only what shares a `high` is looked at more closely."""
    order = np.argsort(high)
    ordered = high[order]
    same = np.zeros(len(order), np.bool_)
    same[1:] = ordered[1:] == ordered[:-1]
    same[:-1] |= same[1:]
    places = np.flatnonzero(same)
    among = order[places]
    order[places] = among[np.lexsort((names[among], low[among], high[among]))]
    return order


def cut(texts: pa.Array) -> tuple[Bytes, Ints, Ints]:
    """The bytes of texts, where each begins and its size."""
    data, offsets = text_buffers(texts)
    return data, offsets[:-1], np.diff(offsets)


def _gathered(data: Bytes, begins: Ints, sizes: Ints) -> tuple[Bytes, Ints]:
    """Pieces of `data` one after the other, and where they are cut then."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return data[np.repeat(begins - offsets[:-1], sizes) + np.arange(offsets[-1])], offsets


def _present(columns: Sequence[pa.Array]) -> pa.Array:
    """How many of the columns have a value that is more than spaces, in each row."""
    counts = np.zeros(len(columns[0]), np.int64)
    for each in columns:
        counts += np.asarray(
            pc.fill_null(pc.match_substring_regex(each, r"\S"), False).to_numpy(zero_copy_only=False),
            np.int64,
        )
    return pa.array(counts)


def _other_addresses(texts: pa.Array) -> Iterator[pa.Array]:
    """E-mail addresses as they are without a `+tag`, and with their host names in their own letters."""
    tagged = texts.filter(pc.match_substring_regex(texts, _TAGGED))
    if len(tagged):
        yield pc.replace_substring_regex(tagged, _TAGGED, r"\1@")
    encoded = texts.filter(pc.match_substring(texts, "xn--", ignore_case=True))
    if len(encoded):
        yield pa.array([internationalised(each) for each in encoded.to_pylist()], texts.type)


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
    "CHUNK", "CODES", "CODE_DIGITS", "DIGITS", "FINGERPRINT_KEY_BYTES", "MAX_LENGTH", "MAX_WORDS", "MIN_CODE",
    "MIN_DIGITS", "WORDS", "Built", "FingerprintBuilder", "Fingerprints", "cut", "derived_key", "tags_of",
]  # fmt: skip
