"""Looks a CSV file over before it is read: what a reader would take in silently is refused, with its line.

RFC 4180 in UTF-8: a value that holds quotes, separators or line breaks stands in quotes, a quote within it
is doubled. Line ends may be LF, CRLF or CR, mixed as they come; blank lines are no rows. Refused are a quote
that is not closed where its value ends (a reader would take everything up to the next quote for one value), a
quote within a value that has none around it, rows with more or fewer columns than the first, values and rows
over a bound, and bytes that are not UTF-8. NUL bytes are located, for who reads the columns. The file is read
in blocks, so that memory is bounded. No value is ever part of a message.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ringfort.errors import UsageError
from ringfort.sites.copy_binary import LoadError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_FIELD_BYTES = 100 * 1024 * 1024
MAX_ROW_BYTES = 1_000 * 1024 * 1024  # PostgreSQL's own bound is a little more
MANY_LINES = 100
"""A value over more lines than this is read, and named: an opened quote may have swallowed them."""
BLOCK_BYTES = 4 * 1024 * 1024
_LF, _CR, _QUOTE = b'\n\r"'
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class CheckedCsv:
    """What was found in a file that can be read: the first NUL's line (0: none), the longest row."""

    notes: tuple[str, ...] = ()
    nul_line: int = 0
    longest_row: int = 0


def check_csv(path: Path, delimiter: str) -> CheckedCsv:
    """Raise `UsageError` or `LoadError` if `path` cannot be read right."""
    scan = _Scan(path, ord(delimiter))
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        before, block = b"", file.read(BLOCK_BYTES)
        while block:
            following = file.read(BLOCK_BYTES)
            _check_encoding(scan, decoder, block, last=not following)
            scan.take(before, block, following[:1])
            before, block = block[-1:], following
    scan.finish()
    lines, begins = scan.longest
    note = f"the value in quotes that begins in line {begins} goes over {lines:,} lines: is it one?"
    return CheckedCsv((note,) if lines > MANY_LINES else (), scan.nul_line, scan.longest_row)


def encoding_of(head: bytes) -> str:
    """The encoding that a byte order mark or the spread of NUL bytes says, "" if it may be UTF-8."""
    for mark, name in _WIDE_MARKS.items():
        if head.startswith(mark):
            return name
    odd, even = head[1:200:2].count(0), head[0:200:2].count(0)
    return "UTF-16" if max(odd, even) > len(head[:200]) // 4 else ""


def not_utf8(path: Path, line: int | None = None, encoding: str = "") -> UsageError:
    """The error for a file that is not UTF-8; `line` is where that shows first."""
    where = f": line {line} cannot be read" if line else ""
    said = f" but {encoding}" if encoding else ""
    return UsageError(
        f"`{path}` is not UTF-8{said}{where}",
        hint=f"convert it: iconv -f {encoding or 'WINDOWS-1252'} -t UTF-8 {path.name} > utf8.csv",
    )


@dataclass
class _Scan:
    """What is known where a block begins."""

    path: Path
    delimiter: int
    offset: int = 0
    line: int = 1  # at `offset`
    start: int = 0  # where the text begins, after a byte order mark
    quoted: bool = False  # whether the number of quotes so far is odd
    opened_line: int = 0  # of the last quote that begins a value
    opened: bool = False  # whether that value is still open
    longest: tuple[int, int] = (0, 0)  # lines, first line
    field_begins: int = 0
    row_begins: int = 0
    row_line: int = 1
    separators: int = 0  # in the row at hand
    columns: int = 0  # of the first row, 0 before its end
    ragged: int = 0
    first_ragged: tuple[int, int] = (0, 0)  # line, columns
    nul_line: int = 0
    longest_row: int = 0

    def take(self, before: bytes, block: bytes, after: bytes) -> None:
        """The next block, with the byte before it and the byte after it."""
        if self.offset == 0 and block.startswith(codecs.BOM_UTF8):
            self.start = self.field_begins = self.row_begins = len(codecs.BOM_UTF8)
        data = np.frombuffer(block, np.uint8)
        around = np.frombuffer((before or b"\n") + block + (after or b"\n"), np.uint8)
        breaks = np.flatnonzero((data == _LF) | ((data == _CR) & (around[2:] != _LF)))
        if not self.nul_line and 0 in block:
            self.nul_line = self._line_of(breaks, block.index(0))
        quotes = np.flatnonzero(data == _QUOTE)
        self._quotes(around, quotes, breaks)
        self._rows(data, quotes, breaks)
        self.quoted ^= bool(len(quotes) & 1)
        self.line += len(breaks)
        self.offset += len(data)

    def finish(self) -> None:
        """The end of the file."""
        if self.opened or self.quoted:
            raise self._unclosed(self.opened_line)
        self._longest_row(self.offset - self.row_begins)
        if self.offset > self.row_begins:
            self._row(self.separators + 1, self.row_line)
        if self.ragged:
            line, columns = self.first_ragged
            raise LoadError(
                f"{self.ragged} rows of `{self.path}` have too many or too few columns; the first begins in"
                f" line {line} and has {columns}, the names are {self.columns}; nothing was loaded",
                hint="correct them: a separator within a value needs quotes around the value",
            )

    def _quotes(self, around: NDArray[np.uint8], quotes: NDArray[np.intp], breaks: NDArray[np.intp]) -> None:
        """A quote that opens begins a value, one that closes ends it, and within it they stand in pairs."""
        if not len(quotes):
            return
        opening = (np.arange(len(quotes)) + self.quoted) % 2 == 0
        previous, following = around[quotes], around[quotes + 2]
        edges = np.array([self.delimiter, _LF, _CR, _QUOTE], np.uint8)
        right = np.where(opening, np.isin(previous, edges), np.isin(following, edges))
        right |= opening & (quotes + self.offset == self.start)
        wrong = len(quotes) if right.all() else int(np.argmin(right))
        begins = quotes[:wrong][(opening & (previous != _QUOTE))[:wrong]]
        ends = quotes[:wrong][(~opening & (following != _QUOTE))[:wrong]]
        first_lines = self._lines_of(breaks, begins)
        if self.opened:
            first_lines = np.concatenate([[self.opened_line], first_lines])
        spans = self._lines_of(breaks, ends) - first_lines[: len(ends)] + 1
        if len(spans) and spans.max() > self.longest[0]:
            self.longest = (int(spans.max()), int(first_lines[int(spans.argmax())]))
        self.opened = len(first_lines) > len(ends)
        if len(first_lines):
            self.opened_line = int(first_lines[-1])
        if wrong == len(quotes):
            return
        if opening[wrong]:
            line = self._line_of(breaks, int(quotes[wrong]))
            raise UsageError(
                f"`{self.path}` has a quote in line {line} within a value that does not begin with one",
                hint='put the value into quotes and write each quote within it twice: "5"" pipe"',
            )
        raise self._unclosed(self.opened_line)

    def _rows(self, data: NDArray[np.uint8], quotes: NDArray[np.intp], breaks: NDArray[np.intp]) -> None:
        """Count the columns of each row that ends here, and the bytes of each value."""
        ends_row = (data == _LF) | (data == _CR)
        edges = np.flatnonzero(ends_row | (data == self.delimiter))
        if len(quotes) or self.quoted:
            edges = edges[(np.searchsorted(quotes, edges) + self.quoted) % 2 == 0]
        places = edges + self.offset
        begins = np.concatenate([[self.field_begins], places + 1])
        sizes = np.concatenate([places, [self.offset + len(data)]]) - begins
        if sizes.max() > MAX_FIELD_BYTES:
            at = max(int(begins[int(sizes.argmax())]) - self.offset, 0)
            line = self.opened_line if self.opened else self._line_of(breaks, at)
            raise LoadError(
                f"`{self.path}` has a value of more than {MAX_FIELD_BYTES:,} bytes, about line {line};"
                " nothing was loaded",
                hint="look whether a quote is not closed there",
            )
        self.field_begins = int(begins[-1])
        row_ends = np.flatnonzero(ends_row[edges])
        if not len(row_ends):
            self.separators += len(edges)
            self._longest_row(self.offset + len(data) - self.row_begins)
            return
        counts = np.diff(row_ends, prepend=-1)  # separators + 1
        counts[0] += self.separators
        lengths = np.diff(places[row_ends], prepend=self.row_begins - 1) - 1
        self._longest_row(int(lengths.max()))
        lines = np.concatenate([[self.row_line], self._lines_of(breaks, edges[row_ends[:-1]] + 1)])
        real = np.flatnonzero(lengths > 0)  # the others are blank, or between CR and LF
        if len(real) and not self.columns:
            self._row(int(counts[real[0]]), int(lines[real[0]]))
        odd = real[counts[real] != self.columns]
        if len(odd):
            self.first_ragged = (
                self.first_ragged if self.ragged else (int(lines[odd[0]]), int(counts[odd[0]]))
            )
            self.ragged += len(odd)
        self.separators = len(edges) - 1 - int(row_ends[-1])
        self.row_begins = int(places[row_ends[-1]]) + 1
        self.row_line = self._line_of(breaks, int(edges[row_ends[-1]]) + 1)

    def _longest_row(self, size: int) -> None:
        self.longest_row = max(self.longest_row, size)
        if size > MAX_ROW_BYTES:
            raise LoadError(
                f"`{self.path}` has a row of more than {MAX_ROW_BYTES:,} bytes, from line {self.row_line} on;"
                " nothing was loaded",
                hint="look whether a quote is not closed there",
            )

    def _row(self, columns: int, line: int) -> None:
        if not self.columns:
            self.columns = columns
        elif columns != self.columns:
            self.first_ragged = self.first_ragged if self.ragged else (line, columns)
            self.ragged += 1

    def _line_of(self, breaks: NDArray[np.intp], at: int) -> int:
        return self.line + int(np.searchsorted(breaks, at))

    def _lines_of(self, breaks: NDArray[np.intp], at: NDArray[np.intp]) -> NDArray[np.intp]:
        return self.line + np.searchsorted(breaks, at)

    def _unclosed(self, line: int) -> UsageError:
        return UsageError(
            f"`{self.path}` has a quote that is not closed where its value ends: it opens in line {line}",
            hint='close it, or write a quote within a value twice: "5"" pipe"',
        )


def _check_encoding(scan: _Scan, decoder: codecs.IncrementalDecoder, block: bytes, *, last: bool) -> None:
    pending = len(decoder.getstate()[0])
    try:
        decoder.decode(block, last)
    except UnicodeDecodeError as error:
        before = block[: max(error.start - pending, 0)].replace(b"\r\n", b"\n")
        raise not_utf8(scan.path, scan.line + before.count(b"\n") + before.count(b"\r")) from None
