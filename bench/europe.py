"""Pseudonyms for everybody in Europe: 150 million ids of eight bytes, seconds and memory, one thread.

    python bench/europe.py [--quick] [--json FILE]

Twice: as one column that stands in memory, and in batches whose pseudonyms are dropped, as a transfer does.
Ids are made in chunks and their making is not counted. The peer is DuckDB's sha256 over a part of the ids.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from harness import Report, Series, ended_quietly, options
from privacy import DUCKDB, KEY, OURS, duckdb_column, installed, status
from ringfort.privacy.pseudonym import Pseudonymiser

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLE = 150_000_000
BATCH = 1_000_000


def ids(count: int) -> Iterator[pa.Int64Array]:
    """Distinct ids in no order, in batches."""
    rng = np.random.default_rng(5)
    for start in range(0, count, BATCH):
        found = np.arange(start, min(start + BATCH, count))
        rng.shuffle(found)
        yield pa.array(found * 7 + 10**9)


def peak_begins() -> int:
    """The resident set now; its peak is counted from here on."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def in_batches(report: Report, count: int, kernel: Pseudonymiser) -> None:
    before = peak_begins()
    seconds = 0.0
    for batch in ids(count):
        begun = time.perf_counter()
        kernel.column(batch)
        seconds += time.perf_counter() - begun
    added(report, f"{count:,} int64 in batches of {BATCH:,}", count, seconds, (status("VmHWM") - before, 0))


def at_once(report: Report, count: int, kernel: Pseudonymiser) -> None:
    values = pa.chunked_array(list(ids(count)))
    before = peak_begins()
    begun = time.perf_counter()
    made = kernel.column(values)
    seconds = time.perf_counter() - begun
    both = values.nbytes + made.nbytes
    peak = status("VmHWM") - before + values.nbytes
    added(report, f"{count:,} int64 as one column", count, seconds, (peak, both))


def added(report: Report, name: str, count: int, seconds: float, memory: tuple[int, int]) -> None:
    """One line; `memory` is the peak, and input and output together (0 if they never stand together)."""
    peak, both = memory
    series = Series(name, "s, million rows/s and MB")
    series.add("seconds", seconds)
    series.add("million rows/s", count / seconds / 1e6)
    series.add("peak memory", peak / 1e6)
    if both:
        series.add("input and output", both / 1e6)
    report.add(series, [("peak memory", "input and output")])


def peer(report: Report, count: int, kernel: Pseudonymiser) -> None:
    """The same part of the ids by both."""
    values = pa.chunked_array(list(ids(count))).combine_chunks()
    written = values.cast(pa.string())
    series = Series(f"{count:,} int64", "million rows/s")
    for _ in range(3):
        for name, work in ((OURS, lambda: kernel.column(values)), (DUCKDB, duckdb_column(written))):
            begun = time.process_time()
            work()
            series.add(name, count / (time.process_time() - begun) / 1e6)
    report.add(series, [(OURS, DUCKDB)])


def main() -> None:
    given = options((__doc__ or "").splitlines()[0]).parse_args()
    count = PEOPLE // 10 if given.quick else PEOPLE
    report = Report(given.json)
    kernel = Pseudonymiser(KEY, "number")
    with ended_quietly():
        in_batches(report, count, kernel)
        at_once(report, count, kernel)
        if installed("duckdb", "DuckDB"):
            peer(report, count // 50, kernel)
    report.close()


if __name__ == "__main__":
    main()
