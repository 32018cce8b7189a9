"""One part of a run, done by one worker: read, reduce, inspect, write. The same function for every runner.

A worker gets a `Job`, which can be pickled, and a part; what it leaves is one file and a `PartResult`.
Nothing else of the deployment is needed but the folder that holds the run, under the same path on every
machine. Invariants: what is inspected is exactly what is written, batch by batch; a part that fails leaves
no file under its name.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ringfort.transfer.beside import beside
from ringfort.transfer.inspect import Inspection, start_inspection
from ringfort.transfer.reduce import ReductionPlan, check_texts, reduce_batch
from ringfort.transfer.source import Part, read_part
from ringfort.transfer.writer import write_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Job:
    """What every part of a run has in common. `folder` is where parts are written."""

    folder: str
    output: str
    plans: Mapping[str, ReductionPlan]
    inspections: Mapping[str, Inspection] = field(default_factory=dict)


@dataclass(frozen=True)
class PartResult:
    """What became of a part. `lost` counts, by column, values that have none in their form; they are NULL.

    `findings` is what inspection found, as JSON has it.
    """

    id: str
    table: str
    number: int
    file: str
    rows: int
    size: int
    sha256: str
    lost: Mapping[str, int] = field(default_factory=dict)
    findings: Any = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "id": self.id,
            "table": self.table,
            "number": self.number,
            "file": self.file,
            "rows": self.rows,
            "size": self.size,
            "sha256": self.sha256,
            "lost": dict(self.lost),
            "findings": self.findings,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PartResult:
        """The inverse of `to_json`."""
        return cls(**data)


def run_part(job: Job, part: Part) -> PartResult:
    """Do one part; raises what reading, reducing and writing raise."""
    plan = job.plans[part.table.name]
    name = f"{part.id}.{job.output}"
    path = Path(job.folder) / name
    temporary = path.with_name(f".{name}.{os.urandom(6).hex()}")
    lost: Counter[str] = Counter()
    inspector = start_inspection(job.inspections.get(part.table.name))

    def reduced() -> Iterator[pa.RecordBatch]:
        for batch in read_part(part, plan.names):
            check_texts(batch)
            made = reduce_batch(plan, batch)
            for column, before, after in zip(plan.names, batch.columns, made.columns, strict=True):
                gone = after.null_count - before.null_count
                if gone:
                    lost[column] += gone
            inspector.look(made)
            yield made

    try:
        written = write_part(temporary, job.output, beside([reduced()], 1), _empty(plan, part))
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return PartResult(
        part.id, part.table.name, part.number, name, part.rows, written.size, written.digest, dict(lost),
        inspector.result(),
    )  # fmt: skip


def _empty(plan: ReductionPlan, part: Part) -> pa.Schema:
    """The schema that leaves where there is no row."""
    if part.rows:
        return pa.schema([])
    schema = part.table.schema()
    none = pa.RecordBatch.from_arrays(
        [pa.array([], schema.field(each).type) for each in plan.names], names=plan.names
    )
    return reduce_batch(plan, none).schema


__all__ = ["Job", "PartResult", "run_part"]
