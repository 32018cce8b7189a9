"""Rows to transfer, as Parquet files cut into parts: what one worker reduces, inspects and writes at a time.

Rows come from a site (then `extract` has written them, in the region) or from Parquet files that are there.
All files of a table, sorted by name, are one sequence of rows; part and batch boundaries are fixed rows of
that sequence, so what leaves does not depend on how files or row groups are cut. Invariants: a batch of a
part has exactly `batch_rows` rows but for the last of the table; a file that is not the one that was looked
at first is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from ringfort.errors import CheckFailedError, MissingEnvironmentError, UsageError
from ringfort.transfer.arrow_types import plain_batch, plain_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PART_BATCHES = 8
_LONGEST = 160
_OURS = ("manifest.", "cosignature.")  # files of a release that stand beside the tables' folders
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{each}{at}" for each in ("COM", "LPT") for at in range(10))}
)
_MOST_CELLS = 4 * 1024 * 1024
_MOST_ROWS, _LEAST_ROWS = 131_072, 4_096
_FEW_BYTES = 4


class SourceChangedError(CheckFailedError):
    """What is read is not what it was when the run began."""

    default_sqlstate = "55000"  # object_not_in_prerequisite_state


@dataclass(frozen=True)
class SourceFile:
    """A Parquet file as it was when the run began."""

    path: str
    rows: int
    size: int
    modified: int
    """Nanoseconds, as the file system has it."""
    changed: int = 0
    """The same of the file's inode: renaming a file away and back, or setting `modified`, changes it."""
    number: int = 0
    """The inode's."""


@dataclass(frozen=True)
class SourceTable:
    """The rows of one table; `encoded` are columns of texts that repeat, which are read as dictionaries."""

    name: str
    files: tuple[SourceFile, ...]
    batch_rows: int
    encoded: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(each.rows for each in self.files)

    @property
    def part_rows(self) -> int:
        """How many rows a part has, but for the last."""
        return self.batch_rows * PART_BATCHES

    def schema(self) -> pa.Schema:
        """The schema of its rows, as they are read."""
        return plain_schema(self.stored_schema())

    def stored_schema(self) -> pa.Schema:
        """The schema of its files."""
        with opened(Path(self.files[0].path)) as file:
            return file.schema_arrow.remove_metadata()


@dataclass(frozen=True)
class Part:
    """Rows `first` to `first + rows` of a table; `number` counts a table's parts from 0."""

    table: SourceTable
    number: int
    first: int
    rows: int

    @property
    def id(self) -> str:
        """A file name for it, unique in its run."""
        return f"{safe_name(self.table.name)}-{self.number:05d}"


def safe_name(name: str) -> str:
    """A name of the catalogue as one component of a path, on any system: never special, too long, or ours.

    Reversible but for names that are too long, which end in a digest. Two names differ in more than case
    unless they do so themselves (`clashes`).
    """
    quoted = quote(name, safe="")
    if not quoted:
        return "%"  # which is no quoted name
    if quoted[0] == "." or quoted.endswith(".") or quoted.lower().startswith(_OURS):
        quoted = quoted.replace(".", "%2E")
    if quoted.partition(".")[0].upper() in _DEVICES:
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"
    if len(quoted) > _LONGEST:
        quoted = f"{quoted[: _LONGEST - 33]}~{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return quoted


def clashes(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names whose files would be the same where case makes no difference; None if there are none."""
    seen: dict[str, str] = {}
    for name in names:
        folded = safe_name(name).lower()
        if folded in seen:
            return seen[folded], name
        seen[folded] = name
    return None


def batch_rows(columns: int) -> int:
    """Rows of a batch of so many columns: a power of two, so that a batch stays in bounded memory."""
    rows = _MOST_ROWS
    while rows > _LEAST_ROWS and rows * columns > _MOST_CELLS:
        rows //= 2
    return rows


def parts_of(table: SourceTable) -> tuple[Part, ...]:
    """The parts of a table; one without rows if it has none, so that its files still say what it is."""
    starts = range(0, table.rows, table.part_rows) or range(1)
    return tuple(
        Part(table, number, first, min(table.part_rows, table.rows - first))
        for number, first in enumerate(starts)
    )


def files_of(path: Path) -> list[Path]:
    """The Parquet files of a file or folder, sorted by name; raises `UsageError` if there are none."""
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(each for each in path.rglob("*.parquet") if each.is_file())
    else:
        raise UsageError(
            f"there is nothing at `{path}`", hint="`source.files` names Parquet files or folders"
        )
    if not found or any(each.suffix.lower() != ".parquet" for each in found):
        raise UsageError(f"there is no Parquet file at `{path}`")
    return found


def open_files(name: str, paths: Sequence[Path], columns: int) -> SourceTable:
    """The table in these files; raises `UsageError` if one cannot be read or they differ in their columns."""
    files = []
    first: pa.Schema | None = None
    sizes: Counter[str] = Counter()
    for path in paths:
        before = path.stat() if path.exists() else None
        with opened(path) as file:
            schema, metadata = file.schema_arrow.remove_metadata(), file.metadata
        if first is None:
            first = schema
        elif not schema.equals(first):
            raise UsageError(f"`{path}` has other columns or types than `{paths[0]}`")
        sizes.update(_sizes(metadata))
        looked_at = SourceFile(str(path.absolute()), metadata.num_rows, *_identity(before or path.stat()))
        _check_unchanged(looked_at)  # what was opened is what was looked at
        files.append(looked_at)
    rows = sum(each.rows for each in files)
    # what repeats costs a few bits a row; where a writer gave its dictionary up, as much as the texts
    encoded = tuple(
        each.name
        for each in first or ()
        if (pa.types.is_string(each.type) or pa.types.is_large_string(each.type))
        and sizes[each.name] < _FEW_BYTES * rows
    )
    return SourceTable(name, tuple(files), batch_rows(columns), encoded)


def check_unchanged(table: SourceTable) -> None:
    """Raise `MissingEnvironmentError` if a file is not there, `SourceChangedError` if it is another."""
    for each in table.files:
        _check_unchanged(each)


def _check_unchanged(file: SourceFile) -> None:
    try:
        found = Path(file.path).stat()
    except OSError as error:
        raise _gone(file.path, error) from None
    if _identity(found) != (file.size, file.modified, file.changed, file.number):
        raise SourceChangedError(
            f"`{file.path}` has changed since the run began", hint="run the transfer again"
        )


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _gone(path: str, error: OSError) -> MissingEnvironmentError:
    why = (os.strerror(error.errno) if error.errno else "it cannot be read").lower()
    return MissingEnvironmentError(
        f"`{path}`, which the transfer reads, cannot be read: {why}",
        hint="put it back and run the transfer again: what had begun ends, since it may be another file by"
        " now, and the run after it begins anew; or give it up with `ringfort transfer abandon`",
    )


@contextlib.contextmanager
def _reading(file: SourceFile) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read to its end; an error's own words can hold values."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        _check_unchanged(file)
        if isinstance(error, OSError) and error.errno:
            raise _gone(file.path, error) from None
        raise UsageError(
            f"`{file.path}` is damaged: not all of its rows can be read",
            hint="give the run up with `ringfort transfer abandon`, write the file anew, then run anew",
        ) from None


def read_part(part: Part, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The part's rows, in batches of exactly `batch_rows` rows but for the last."""
    size = part.table.batch_rows
    waiting: list[pa.RecordBatch] = []
    held = 0
    for piece in _pieces(part, columns):
        if not held and piece.num_rows == size:
            yield piece  # the usual case: files are cut as we cut
            continue
        waiting.append(piece)
        held += piece.num_rows
        while held >= size:
            together = _together(waiting)
            yield together.slice(0, size)
            rest = together.slice(size)
            waiting, held = ([rest], rest.num_rows) if rest.num_rows else ([], 0)
    if held:
        yield _together(waiting)


def _pieces(part: Part, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The part's rows as they come; no piece has more rows than a batch."""
    begin = 0
    for each in part.table.files:
        start, stop = max(part.first - begin, 0), min(part.first + part.rows - begin, each.rows)
        begin += each.rows
        if start >= stop:
            continue
        yield from _of_file(each, part.table, columns, start, stop)


def _of_file(
    source: SourceFile, table: SourceTable, columns: Sequence[str], start: int, stop: int
) -> Iterator[pa.RecordBatch]:
    """Rows `start` to `stop` of a file."""
    size = table.batch_rows
    with _reading(source), pq.ParquetFile(source.path, read_dictionary=list(table.encoded)) as file:
        metadata = file.metadata
        groups: list[int] = []
        at = 0
        skip = 0
        for index in range(metadata.num_row_groups):
            rows = metadata.row_group(index).num_rows
            if at < stop and at + rows > start:
                if not groups:
                    skip = start - at
                groups.append(index)
            at += rows
        left = stop - start
        for batch in file.iter_batches(size, row_groups=groups, columns=list(columns)):
            piece = batch.slice(skip, left) if skip < batch.num_rows else batch.slice(batch.num_rows)
            skip = max(skip - batch.num_rows, 0)
            left -= piece.num_rows
            if piece.num_rows:
                yield plain_batch(piece)
            if not left:
                break


def _sizes(metadata: pq.FileMetaData) -> Counter[str]:
    """The bytes of each column before compression."""
    found: Counter[str] = Counter()
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            chunk = group.column(index)
            found[chunk.path_in_schema] += chunk.total_uncompressed_size
    return found


def _together(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def opened(path: Path) -> pq.ParquetFile:
    """A Parquet file; raises `UsageError` for what is none, `MissingEnvironmentError` if it is not there."""
    try:
        path.stat()
    except OSError as error:
        raise _gone(str(path), error) from None
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError):
        raise UsageError(f"`{path}` is no Parquet file that can be read") from None


__all__ = [
    "Part",
    "SourceChangedError",
    "SourceFile",
    "SourceTable",
    "batch_rows",
    "check_unchanged",
    "clashes",
    "files_of",
    "open_files",
    "opened",
    "parts_of",
    "read_part",
    "safe_name",
]
