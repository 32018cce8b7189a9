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
from bench.unsorted import processor_seconds

from ringfort.config import load_config
from ringfort.transfer import worker_processes as model
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess, WorkerProcesses
from ringfort.transfer.source import PART_BATCHES, batch_rows

SHARED = {"reducing", "inspecting and writing"}
COLUMNS = 6


class Shared:
    """Seconds on the clock, and of processors, of the stages that workers share."""

    def __init__(self) -> None:
        self.clock = self.processor = 0.0
        self._begun: tuple[float, float] | None = None

    def stage(self, name: str, _total: int) -> None:
        """The next stage begins."""
        now = (time.perf_counter(), processor_seconds())
        if self._begun is not None:
            self.clock += now[0] - self._begun[0]
            self.processor += now[1] - self._begun[1]
        self._begun = now if name in SHARED else None

    def advance(self, amount: int) -> None:
        """Nothing is shown."""


def measured(folder: Path, workers: int) -> tuple[float, float]:
    """Seconds of these stages on the clock; of processors, with workers for the whole run and theirs."""
    stages, begun = Shared(), processor_seconds()
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
    found: dict[int, list[tuple[float, float]]] = {0: [], 1: [], 2: [], 3: []}
    with tempfile.TemporaryDirectory(prefix="ringfort-bench-") as top:
        folder = Path(top) / "retail"
        transfer.make_deployment(folder, given.data, given.rows)
        measured(folder, 0)
        for _ in range(given.rounds):
            for workers, rounds in found.items():
                rounds.append(measured(folder, workers))
    clock = {workers: min(each for each, _ in rounds) for workers, rounds in found.items()}
    processor = {workers: min(each for _, each in rounds) for workers, rounds in found.items()}
    print(f"{given.rows:,} rows, {os.cpu_count()} processors")
    print(
        f"one process: {given.rows / clock[0] / 1e6:.2f} million rows/s,"
        f" {given.rows / processor[0] / 1e6:.2f} for each second of a processor,"
        f" {processor[0] / clock[0]:.2f} processors busy"
    )
    for workers in (1, 2, 3):
        print(f"{workers} workers: {given.rows / clock[workers] / 1e6:.2f} million rows/s, with their start")
    print(f"a worker's start: {(processor[3] - processor[1]) / 2:.2f} s of a processor")
    print(
        f"the model's constants: START_SECONDS {model.START_SECONDS}, ROWS_A_SECOND {model.ROWS_A_SECOND:,},"
        f" ALONE_BUSY {model.ALONE_BUSY}, WORKER_BUSY {model.WORKER_BUSY}"
    )
    tasks = -(-given.rows // (batch_rows(COLUMNS) * PART_BATCHES))
    for workers in (0, 1, 2, 3):
        predicted = model.predicted_seconds(workers, tasks, given.rows, os.cpu_count() or 1)
        print(f"  {workers} workers: predicted {predicted:.2f} s, measured {clock[workers]:.2f} s")
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
