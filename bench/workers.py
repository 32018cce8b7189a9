"""Whether worker processes pay: what a part costs, what a worker costs to start, and the model's predictions.

    python bench/workers.py [--rows N] [--rounds N]

Processor time is measured, since it hardly depends on what else the machine does; seconds on the clock are
the least of the rounds. The constants that it prints are those of `transfer/worker_processes.py`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import transfer

from ringfort.config import load_config
from ringfort.transfer import worker_processes as model
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess, WorkerProcesses
from ringfort.transfer.source import PART_BATCHES, batch_rows

REDUCING = "reducing and inspecting"
COLUMNS = 6


def processor_seconds() -> float:
    """Of this process and the children that have ended."""
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


class Reducing:
    """Seconds on the clock, and of processors, of the stage that workers share."""

    def __init__(self) -> None:
        self.clock = self.processor = 0.0
        self._begun: tuple[float, float] | None = None

    def stage(self, name: str, _total: int) -> None:
        """The next stage begins."""
        now = (time.perf_counter(), processor_seconds())
        if self._begun is not None:
            self.clock += now[0] - self._begun[0]
            self.processor += now[1] - self._begun[1]
        self._begun = now if name == REDUCING else None

    def advance(self, amount: int) -> None:
        """Nothing is shown."""


def measured(folder: Path, workers: int) -> tuple[float, float]:
    """Seconds of the stage on the clock; of processors for the whole run, the workers' too."""
    stages, begun = Reducing(), processor_seconds()
    runner = WorkerProcesses(workers, always=True) if workers else InProcess()
    outcome = run_transfer(load_config(folder), transfer.NAME, runner, progress=stages)
    shutil.rmtree(outcome.address)
    return stages.clock, stages.processor if not workers else processor_seconds() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=transfer.DATA / "online_retail.parquet")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ringfort-bench-") as top:
        folder = Path(top) / "retail"
        transfer.make_deployment(folder, given.data, given.rows)
        measured(folder, 0)
        one = [measured(folder, 0) for _ in range(given.rounds)]
        whole = [measured(folder, 1)[1] for _ in range(given.rounds)]
        more = [measured(folder, 3)[1] for _ in range(given.rounds)]
    clock, processor = min(each[0] for each in one), min(each[1] for each in one)
    start = (min(more) - min(whole)) / 2
    print(f"{given.rows:,} rows, {os.cpu_count()} processors")
    print(
        f"one process: {given.rows / clock / 1e6:.2f} million rows/s, {processor / clock:.2f} processors busy"
    )
    print(f"a worker's start: {start:.2f} s of a processor")
    print(
        f"the model's constants: START_SECONDS {model.START_SECONDS}, ROWS_A_SECOND {model.ROWS_A_SECOND:,},"
        f" THREADS_BUSY {model.THREADS_BUSY}"
    )
    part = batch_rows(COLUMNS) * PART_BATCHES
    for rows in (10_000_000, 100_000_000, 1_000_000_000):
        tasks = -(-rows // part)
        for processors in (2, 4, 8, 16):
            alone = model.predicted_seconds(0, tasks, rows, processors)
            shared = model.predicted_seconds(processors, tasks, rows, processors)
            used = "used" if not model.reason_against(processors, tasks, rows, processors) else "not used"
            print(
                f"  {rows:,} rows on {processors} processors: one process {alone:.1f} s,"
                f" {processors} workers {shared:.1f} s, {alone / shared:.2f} times as fast, {used}"
            )


if __name__ == "__main__":
    main()
