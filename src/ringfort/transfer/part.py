"""The two tasks of a run, each done by one worker; the same functions for every runner.

    reduce    a part of the source is read, reduced, tagged for the measures, and spooled in the order of
              release
    write     a part of the release, a range of that order, is gathered, inspected and written as one file

All of a table's rows are reduced before any is written. A worker gets a `Job`, which can be pickled, and a
task; what it leaves are files and a result. Nothing else of the deployment is needed but the folder that
holds the run, under the same path on every machine. Invariants: what is inspected is exactly what is
written, batch by batch; a written part is a function of the table's reduced rows and the order's key, and
not of the parts that were read; a task that fails leaves no file under its name.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ringfort.privacy.row_order import RowOrder
from ringfort.transfer.beside import beside
from ringfort.transfer.calls import go_on
from ringfort.transfer.inspect import Inspection, start_inspection
from ringfort.transfer.measured_rows import MeasuredTable, TagFile
from ringfort.transfer.reduce import ReductionPlan, check_texts, reduce_batch
from ringfort.transfer.sorted_rows import SPOOL_BYTES, Settled, SortedFile, SortedFiles, Spool
from ringfort.transfer.source import Part, SourceTable, read_part
from ringfort.transfer.writer import write_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class TableOrder:
    """How the rows of a table are ordered: the key, and the column of the leading pseudonym ("" if none)."""

    key: bytes = field(repr=False)
    lead: str = ""


@dataclass(frozen=True)
class Job:
    """What every task of a run has in common.

    `folder` is where parts are written, `rows` where reduced rows and tags are spooled meanwhile, `memory`
    the bytes of rows that a task gathers. `tag_key` is the fingerprint key.
    """

    folder: str
    rows: str
    output: str
    plans: Mapping[str, ReductionPlan]
    orders: Mapping[str, TableOrder]
    inspections: Mapping[str, Inspection] = field(default_factory=dict)
    measured: Mapping[str, MeasuredTable] = field(default_factory=dict)
    tag_key: bytes = field(default=b"", repr=False)
    memory: int = SPOOL_BYTES


@dataclass(frozen=True)
class ReducedPart:
    """What became of a part of the source: sorted files, and a file of tags ("" if nothing is measured).

    `lost` counts, by column, values that have none in their form; they are NULL.
    """

    id: str
    table: str
    rows: int
    files: tuple[SortedFile, ...]
    tags: str = ""
    lost: Mapping[str, int] = field(default_factory=dict)

    def is_there(self) -> bool:
        """Whether all of it is on disk."""
        return all(each.is_there() for each in self.files)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReducedPart:
        """The inverse of `to_json`."""
        return cls(**{**data, "files": tuple(SortedFile(**each) for each in data["files"])})


@dataclass(frozen=True)
class ReleasePart:
    """A part of a release: the rows of rank `first` to `first + rows` of a table's sorted files."""

    table: SourceTable
    number: int
    first: int
    rows: int
    id: str
    files: tuple[SortedFile, ...]


@dataclass(frozen=True)
class PartResult:
    """What became of a part of a release. `findings` is what inspection found, as JSON has it."""

    id: str
    table: str
    number: int
    file: str
    rows: int
    size: int
    sha256: str
    findings: Any = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PartResult:
        """The inverse of `to_json`."""
        return cls(**data)


def reduce_part(job: Job, part: Part) -> ReducedPart:
    """Read a part of the source, reduce, tag and spool it; raises what reading and reducing raise."""
    table = part.table.name
    plan = job.plans[table]
    order = RowOrder(job.orders[table].key, job.orders[table].lead)
    lost: Counter[str] = Counter()
    spool = Spool(Path(job.rows), part.id, job.memory)
    measured = job.measured.get(table)
    with contextlib.ExitStack() as stack:
        tags = None
        if measured is not None:
            path = Path(job.rows) / f"{part.id}.tags.parquet"
            tags = stack.enter_context(TagFile(path, job.tag_key, measured, part.first))
        subject = [measured.subject] if measured is not None and measured.subject else []
        columns = [*plan.names, *(each for each in subject if each not in plan.names)]

        def reduced() -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
            for batch in read_part(part, columns):
                check_texts(batch)
                made = reduce_batch(plan, batch)
                for column in plan.names:
                    gone = made.column(column).null_count - batch.column(column).null_count
                    if gone:
                        lost[column] += gone
                yield batch, made

        for batch, made in stack.enter_context(contextlib.closing(beside([reduced()], 1))):
            go_on()
            if tags is not None:
                tags.add(batch, made)
            spool.add(made, order.keys(made))
        spool.flush()
    return ReducedPart(
        part.id, table, part.rows, tuple(spool.files), "" if tags is None else str(tags.path), dict(lost)
    )


def write_release_part(job: Job, part: ReleasePart) -> PartResult:
    """Write a part of the release, inspected; raises what reading, inspecting and writing raise."""
    name = f"{part.id}.{job.output}"
    path = Path(job.folder) / name
    temporary = path.with_name(f".{name}.{os.urandom(6).hex()}")
    inspector = start_inspection(job.inspections.get(part.table.name))

    def batches() -> Iterator[pa.RecordBatch]:
        settled = Settled()
        files = SortedFiles(part.files)
        for window in files.windows(part.first, part.rows, part.table.batch_rows):
            made = settled.batch(window)
            inspector.look(made)
            yield made

    def awaited() -> Iterator[pa.RecordBatch]:
        with contextlib.closing(beside([batches()], 1)) as made:
            for batch in made:
                go_on()
                yield batch

    try:
        written = write_part(temporary, job.output, awaited(), _empty(job, part))
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return PartResult(
        part.id, part.table.name, part.number, name, part.rows, written.size, written.digest,
        inspector.result(),
    )  # fmt: skip


def _empty(job: Job, part: ReleasePart) -> pa.Schema:
    """The schema that leaves where there is no row."""
    if part.rows:
        return pa.schema([])
    plan = job.plans[part.table.name]
    schema = part.table.schema()
    none = pa.RecordBatch.from_arrays(
        [pa.array([], schema.field(each).type) for each in plan.names], names=plan.names
    )
    return reduce_batch(plan, none).schema


__all__ = [
    "Job",
    "PartResult",
    "ReducedPart",
    "ReleasePart",
    "TableOrder",
    "reduce_part",
    "write_release_part",
]
