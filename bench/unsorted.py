"""What a transfer's sorting costs: the same work in the stored order, and a plain copy that is sorted.

`as_they_lie` does the parts of a run in the stored order: read, reduced, tagged, inspected and written, with
what a run uses for each. Such files would join the tables of two recipients row by row, so no command makes
them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from ringfort.transfer.beside import beside
from ringfort.transfer.calls import in_process
from ringfort.transfer.inspect import start_inspection
from ringfort.transfer.measured_rows import TagFile
from ringfort.transfer.reduce import check_texts, reduce_batch
from ringfort.transfer.sorted_rows import Settled
from ringfort.transfer.source import Part, read_part
from ringfort.transfer.writer import write_part

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from ringfort.transfer.part import Job


def processor_seconds() -> float:
    """Of this process and the children that have ended."""
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


class CapturedError(Exception):
    """What was wanted of a run is at hand: it need not go on."""


class Capture:
    """A runner that does nothing but keep what the first stage of a run would do."""

    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.job: Any = None
        self.parts: Sequence[Any] = ()

    def run(
        self,
        _function: object,
        common: Job,
        items: Sequence[Any],
        *,
        rows: int,  # noqa: ARG002
    ) -> Generator[Any, None, None]:
        """Keep the job and the parts."""
        self.job, self.parts = common, items
        raise CapturedError
        yield

    def close(self) -> None:
        """Nothing was begun."""


def as_they_lie(captured: Capture, folder: Path) -> tuple[float, float]:
    """Seconds, and processor seconds, of the work on rows without sorting them."""
    folder.mkdir()
    job = replace(captured.job, folder=str(folder), rows=str(folder))
    clock, processor = time.perf_counter(), processor_seconds()
    list(in_process(part_as_it_lies, job, captured.parts))
    found = time.perf_counter() - clock, processor_seconds() - processor
    shutil.rmtree(folder)
    return found


def part_as_it_lies(job: Job, part: Part) -> int:
    """The rows of a part: reduced, tagged, inspected and written where they stand."""
    table = part.table.name
    plan, measured = job.plans[table], job.measured[table]
    inspector, settled = start_inspection(job.inspections.get(table)), Settled()
    with contextlib.ExitStack() as stack:
        path = Path(job.rows) / f"{part.id}.tags.parquet"
        tags = stack.enter_context(TagFile(path, job.tag_key, measured, part.first))

        def reduced() -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
            for batch in read_part(part, plan.names):
                check_texts(batch)
                yield batch, reduce_batch(plan, batch)

        def looked_at() -> Iterator[pa.RecordBatch]:
            for batch, made in reduced():
                tags.add(batch, made)
                shown = settled.batch(made)
                inspector.look(shown)
                yield shown

        target = Path(job.folder) / part.id
        write_part(target, job.output, beside([looked_at()], 1), pa.schema([]))
    return part.rows


def sorted_copy(source: Path, target: Path, order: str) -> tuple[float, float]:
    """Seconds, and processor seconds, that DuckDB takes to copy the files in the order of a column."""
    target.mkdir()
    clock, processor = time.perf_counter(), processor_seconds()
    with duckdb.connect(":memory:") as connection:
        connection.read_parquet(f"{source}/*.parquet").order(f'"{order}"').write_parquet(
            str(target / "sorted.parquet"), compression="zstd", row_group_size=131_072
        )
    found = time.perf_counter() - clock, processor_seconds() - processor
    shutil.rmtree(target)
    return found
