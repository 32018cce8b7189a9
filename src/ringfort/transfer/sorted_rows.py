"""Reduced rows in the order of `row_order`, in bounded memory: an external sort with exact cuts.

    spool    rows of one task are gathered, sorted and written as a sorted file when they are many
    cut      where the rows of rank r begin in each sorted file, found by bisection over their keys
    windows  the rows between two ranks: slices of all sorted files, together a batch, sorted

Invariants: window i holds the rows of rank `i * size` to `(i + 1) * size` of all rows, so that neither which
task spooled a row, nor how many there were, nor how much memory they had, shows in what comes out; rows whose
keys are equal are equal in all columns and may be cut anywhere. A window takes the memory of one batch,
however many rows share a pseudonym; a spool what it is given. `settled` gives every column the one encoding
that its rows ask for. The files are Arrow IPC, uncompressed, and are read through the page cache.
"""

from __future__ import annotations

import itertools
import mmap
import os
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.errors import MissingEnvironmentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Places = NDArray[np.int64]

SPOOL_BYTES = 128 * 1024 * 1024
_SPARE_FILES = 256
_GATHERED = 1 << 20
_REPEATS = 2
"""A column of texts is written as a dictionary where a value stands that often on average, or more."""


@dataclass(frozen=True)
class SortedFile:
    """A file of sorted rows; the first two columns are their keys."""

    path: str
    rows: int
    size: int

    def is_there(self) -> bool:
        """Whether it is on disk, whole."""
        path = Path(self.path)
        return path.is_file() and path.stat().st_size == self.size


class Spool:
    """Gathers batches and their keys, and writes sorted files: as few as `memory` bytes allow."""

    def __init__(self, folder: Path, name: str, memory: int = SPOOL_BYTES) -> None:
        self._folder = folder
        self._name = name
        self._memory = memory
        self._batches: list[pa.RecordBatch] = []
        self._keys: list[tuple[Words, Words]] = []
        self._bytes = 0
        self.files: list[SortedFile] = []

    def add(self, batch: pa.RecordBatch, keys: tuple[Words, Words]) -> None:
        """Take a batch."""
        if not batch.num_rows:
            return
        self._batches.append(batch)
        self._keys.append(keys)
        self._bytes += batch.nbytes + 16 * batch.num_rows
        if self._bytes >= self._memory:
            self.flush()

    def flush(self) -> None:
        """Write what is gathered, sorted, and make it durable."""
        if not self._batches:
            return
        place, rest = (np.concatenate(each) for each in zip(*self._keys, strict=True))
        order = sort_by(place, rest)
        rows = _taken(self._batches, order)
        path = self._folder / f"{self._name}.{len(self.files)}.arrow"
        self._batches, self._keys, self._bytes = [], [], 0
        keyed = pa.RecordBatch.from_arrays(
            [pa.array(place[order]), pa.array(rest[order]), *rows.columns], names=["", "", *rows.schema.names]
        )
        temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        try:
            with new_file(temporary) as file:
                with pa.ipc.new_file(file, keyed.schema) as writer:
                    writer.write_batch(keyed)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        self.files.append(SortedFile(str(path), keyed.num_rows, size))


def new_file(path: Path) -> BinaryIO:
    """A new file that nobody else can read, open for writing; never follows a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def sort_by(place: Words, rest: Words) -> Places:
    """The order of rows by (place, rest)."""
    order, sorted_place = _sorted_within(None, 1, place)
    new = sorted_place[1:] != sorted_place[:-1]
    if new.all():
        return order
    group = np.zeros(len(order), np.uint64)
    np.cumsum(new, out=group[1:])
    again, _ = _sorted_within(group, int(group[-1]) + 1, rest[order])
    return order[again]


def _sorted_within(group: Words | None, groups: int, key: Words) -> tuple[Places, Words]:
    """The order of rows by (group, key), and the keys in it; `group` does not fall, None is one group.

    Numbers are sorted that hold the group, as much of the key as there is room for, and the row: several
    times as fast as sorting places of rows, since nothing is looked up. Keys that differ further on are rare,
    as keys are tags; they are put right where they stand.
    """
    index = np.uint64(max(len(key) - 1, 0).bit_length())
    above = np.uint64((groups - 1).bit_length())  # bits of the group
    mask = (np.uint64(1) << index) - np.uint64(1)
    packed = key >> above
    packed &= ~mask
    packed |= np.arange(len(key), dtype=np.uint64)
    if group is not None and above:
        packed |= group << (np.uint64(64) - above)
    packed.sort()
    order: Places = (packed & mask).view(np.int64)
    sorted_key = key[order]
    wrong = sorted_key[1:] < sorted_key[:-1]
    if wrong.any():
        packed >>= index
        wrong &= packed[1:] == packed[:-1]
        for run in np.unique(packed[1:][wrong]):  # rows that agree in all that there was room for
            first, last = packed.searchsorted(run, "left"), packed.searchsorted(run, "right")
            at = order[first:last]
            order[first:last] = at[np.argsort(key[at])]
            sorted_key[first:last] = key[order[first:last]]
    return order, sorted_key


def _taken(batches: Sequence[pa.RecordBatch], order: Places) -> pa.RecordBatch:
    """The rows of batches, together, in an order."""
    at = pa.array(order)
    columns = [_together([each.column(place) for each in batches]).take(at)
               for place in range(batches[0].num_columns)]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, names=batches[0].schema.names)


def _together(pieces: Sequence[pa.Array]) -> pa.Array:
    """One array of several, whose dictionaries may differ, or which may be dictionaries only in part."""
    if len(pieces) == 1:
        return pieces[0]
    encoded = [pa.types.is_dictionary(each.type) for each in pieces]
    if all(encoded):
        values = {id(each.dictionary): len(each.dictionary) for each in pieces}
        if sum(values.values()) <= sum(map(len, pieces)):
            return pa.chunked_array(pieces).unify_dictionaries().combine_chunks()
    if any(encoded):  # many values, few rows: looking all of them up would cost more than the rows
        pieces = [_plain(each) for each in pieces]
    return pa.concat_arrays(pieces)


def _plain(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


# -- reading ------------------------------------------------------------------------------------------------


class SortedFiles:
    """The sorted files of a table, open; rows are copied out of them as they are asked for."""

    def __init__(self, files: Iterable[SortedFile]) -> None:
        files = list(files)
        _allow_files(len(files))
        self._batches = [_mapped(each) for each in files]
        self._keys = [(each.column(0).to_numpy(), each.column(1).to_numpy()) for each in self._batches]

    def windows(self, first: int, rows: int, size: int) -> Iterator[pa.RecordBatch]:
        """The rows of rank `first` to `first + rows`, in batches of `size` rows but for the last."""
        if not rows:
            return
        ranks = [*range(first, first + rows, size), first + rows]
        borders = cuts(self._keys, ranks)
        for start, stop in itertools.pairwise(borders):
            yield self._window(start.tolist(), stop.tolist())

    def _window(self, start: list[int], stop: list[int]) -> pa.RecordBatch:
        pieces = [
            (batch.slice(one, other - one), place[one:other], rest[one:other])
            for batch, (place, rest), one, other in zip(self._batches, self._keys, start, stop, strict=True)
            if other > one
        ]
        order = sort_by(
            np.concatenate([each for _, each, _ in pieces]), np.concatenate([each for _, _, each in pieces])
        )
        batches = [each.select(range(2, each.num_columns)) for each, _, _ in pieces]
        return _taken(batches, order)


def _mapped(file: SortedFile) -> pa.RecordBatch:
    try:
        with Path(file.path).open("rb") as opened:
            whole = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        raise MissingEnvironmentError(
            f"cannot read `{file.path}`", hint="run the transfer again: it makes the file anew"
        ) from None
    return pa.ipc.open_file(pa.py_buffer(whole)).get_batch(0)


def _allow_files(count: int) -> None:
    """Let this process have that many files open, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def cuts(keys: Sequence[tuple[Words, Words]], ranks: Sequence[int]) -> Places:
    """Where each rank begins in each of several sorted lists of keys: shape (ranks, lists).

    A row sums to its rank; no key before a cut is greater than one after it.
    """
    wanted = np.array(ranks, np.int64)
    low = np.zeros(len(wanted), np.uint64)
    high = np.full(len(wanted), np.iinfo(np.uint64).max)
    # the least place at or below which there are more rows than the rank: the row of that rank has it
    while (low < high).any():
        middle = low + (high - low) // np.uint64(2)
        counted = np.zeros(len(wanted), np.int64)
        for place, _ in keys:
            counted += place.searchsorted(middle, "right")
        enough = counted > wanted
        high = np.where(enough, middle, high)
        low = np.where(enough, low, np.minimum(middle, high - np.uint64(1)) + np.uint64(1))
    begins = np.stack([place.searchsorted(low, "left") for place, _ in keys], axis=1).astype(np.int64)
    ends = np.stack([place.searchsorted(low, "right") for place, _ in keys], axis=1).astype(np.int64)
    return np.stack([
        _cut_among_equals(keys, begin, end, int(rank - begin.sum()))
        for begin, end, rank in zip(begins, ends, wanted, strict=True)
    ])  # fmt: skip


def _cut_among_equals(keys: Sequence[tuple[Words, Words]], begin: Places, end: Places, wanted: int) -> Places:
    """The cut after `wanted` of the rows from `begin` to `end`, which have one place."""
    found = begin.copy()
    if wanted <= 0:
        return found
    held = [(at, keys[at][1][begin[at] : end[at]]) for at in np.flatnonzero(end > begin).tolist()]
    total = sum(len(each) for _, each in held)
    if wanted >= total:
        return end.copy()
    if total <= _GATHERED:
        value = np.partition(np.concatenate([each for _, each in held]), wanted)[wanted]
    else:
        low, high = 0, int(np.iinfo(np.uint64).max)
        while low < high:
            middle = (low + high) // 2
            if sum(int(each.searchsorted(np.uint64(middle), "right")) for _, each in held) > wanted:
                high = middle
            else:
                low = middle + 1
        value = np.uint64(low)
    for at, each in held:
        found[at] += int(each.searchsorted(value, "left"))
    left = wanted - int((found - begin).sum())
    for at, each in held:  # rows with this key are equal: any of them will do
        taken = min(left, int(each.searchsorted(value, "right")) - int(found[at] - begin[at]))
        found[at] += taken
        left -= taken
    return found


# -- encodings ----------------------------------------------------------------------------------------------


@dataclass
class Settled:
    """Gives each column of texts one encoding, by its first batch: what a source used leaves no trace."""

    _encoded: dict[int, bool] = field(default_factory=dict)

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch, dictionaries in the order in which values first stand in it and without surplus."""
        arrays = [self._column(at, each) for at, each in enumerate(batch.columns)]
        return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)

    def _column(self, at: int, values: pa.Array) -> pa.Array:
        arrow = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if not (pa.types.is_string(arrow) or pa.types.is_binary(arrow)):
            return _plain(values)
        if self._encoded.get(at, True):
            encoded = _dense(values)
            if self._encoded.setdefault(at, len(encoded.dictionary) * _REPEATS <= len(encoded)):
                return encoded
        return _plain(values)


def _dense(values: pa.Array) -> pa.DictionaryArray:
    """As a dictionary of what occurs, each once, in the order in which it first occurs."""
    if not pa.types.is_dictionary(values.type):
        return values.dictionary_encode()
    if values.dictionary.null_count or len(values.dictionary) > len(values):
        return values.dictionary_decode().dictionary_encode()
    used = pc.unique(values.indices).drop_null()
    places = np.zeros(len(values.dictionary), np.int32)
    encoded = values.dictionary.take(used).dictionary_encode()
    places[used.to_numpy()] = encoded.indices.to_numpy(zero_copy_only=False)
    return pa.DictionaryArray.from_arrays(pa.array(places).take(values.indices), encoded.dictionary)


__all__ = ["SPOOL_BYTES", "Settled", "SortedFile", "SortedFiles", "Spool", "cuts", "new_file", "sort_by"]
