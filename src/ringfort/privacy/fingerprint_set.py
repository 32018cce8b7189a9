"""A set of keyed fingerprints: sorted columns, and the same as bytes (see `fingerprint` for what is in it).

Invariants: pure; 17 bytes for each fingerprint; nothing to whoever lacks the key. A set says by its format
how texts were folded: one of another version is not read.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfort.errors import CheckFailedError, UsageError
from ringfort.privacy.cmac import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ringfort.privacy.cmac import Cmac

    Ints = NDArray[np.int64]
    Tags = tuple[NDArray[np.uint64], NDArray[np.uint64]]

FINGERPRINT_KEY_BYTES = 32
MAX_LENGTH = 256  # bytes of an identifier's plain form
WORDS, DIGITS, CODES = range(3)
CAREFUL = 10
HEAD = 8
"""Bytes of a form of words by which it is told that one may begin at a word of a text."""
VERSION = "ringfort-fingerprints/2"


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Fingerprints as sorted columns; `kinds[i]` indexes `names`, the kinds of finding.

    `heads` are the sorted tags of the first `HEAD` bytes of forms of words, `head_sizes` their sizes.
    `lengths[c]` counts the identifiers of class `c` by the bytes of their plain form, `code_digits` sums the
    digits of the codes of each length. `common` are the sorted tags that too many rows have to be
    fingerprints, `given` those of words that are given names, `rows` the values that were read of each kind.
    `sure` is true if a match needs no thought about chance, as with canaries.
    """

    key: bytes = field(repr=False)
    high: NDArray[np.uint64] = field(repr=False)
    low: NDArray[np.uint64] = field(repr=False)
    kinds: NDArray[np.uint8] = field(repr=False)
    heads: NDArray[np.uint64] = field(repr=False)
    common: NDArray[np.uint64] = field(repr=False)
    given: NDArray[np.uint64] = field(repr=False)
    names: tuple[str, ...]
    head_sizes: tuple[int, ...]
    lengths: tuple[tuple[int, ...], ...]
    code_digits: tuple[int, ...]
    rows: Mapping[str, int]
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

    def holds(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these tags are in the set, or were left out of it as too common."""
        found = np.zeros(len(high), np.bool_)
        if len(self.high):
            at = np.minimum(np.searchsorted(self.high, high), len(self.high) - 1)
            found = (self.high[at] == high) & (self.low[at] == low)
        return found | member(self.common, high)

    def to_bytes(self) -> bytes:
        """The set as bytes, without its key, with an HMAC-SHA256 under it."""
        columns = (self.high, self.low, self.heads, self.common, self.given, self.kinds)
        head = json.dumps(
            {
                "format": VERSION, "sizes": [len(each) for each in columns], "names": self.names,
                "head_sizes": self.head_sizes, "lengths": self.lengths, "code_digits": self.code_digits,
                "rows": dict(self.rows), "sure": self.sure,
            }
        ).encode()  # fmt: skip
        data = b"".join((len(head).to_bytes(4), head, *(each.tobytes() for each in columns)))
        return data + hmac.digest(derived_key(self.key, "file"), data, "sha256")

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, key: bytes) -> Fingerprints:
        """The inverse of `to_bytes`; raises `CheckFailedError` on anything that this key did not write."""
        whole = memoryview(data)
        body, tag = whole[:-32], whole[-32:]
        if not hmac.compare_digest(hmac.digest(derived_key(key, "file"), body, "sha256"), tag):
            raise CheckFailedError("the fingerprints were made under another key or have been changed")
        at = 4 + int.from_bytes(body[:4])
        head = json.loads(bytes(body[4:at]))
        if head["format"] != VERSION:
            raise CheckFailedError("the fingerprints are of another version")
        columns = []
        for size in head["sizes"][:-1]:
            columns.append(np.frombuffer(body[at : at + 8 * size], np.uint64).copy())
            at += 8 * size
        high, low, heads, common, given = columns
        return cls(
            key, high, low, np.frombuffer(body[at:], np.uint8).copy(), heads, common, given,
            tuple(head["names"]), tuple(head["head_sizes"]), tuple(map(tuple, head["lengths"])),
            tuple(head["code_digits"]), head["rows"], head["sure"],
        )  # fmt: skip


def distinct(tags: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The tags sorted, each once."""
    ordered = np.sort(tags)
    new = np.ones(len(ordered), np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def member(tags: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of the wanted are among the tags, which are sorted."""
    if not len(tags):
        return np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(tags, wanted), len(tags) - 1)
    found: NDArray[np.bool_] = tags[at] == wanted
    return found


def added(tags: NDArray[np.uint64], more: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Two sorted columns of distinct tags as one."""
    new = more[~member(tags, more)]
    return np.insert(tags, np.searchsorted(tags, new), new)


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


__all__ = [
    "CAREFUL", "CODES", "DIGITS", "FINGERPRINT_KEY_BYTES", "HEAD", "MAX_LENGTH", "VERSION", "WORDS",
    "Fingerprints", "added", "derived_key", "distinct", "member", "tags_of",
]  # fmt: skip
