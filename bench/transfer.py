"""What the second gate costs: a transfer of 10 million rows beside a plain copy, Parquet to Parquet.

The rows are the retail data set repeated, with customer ids and times varied so that they are not the
same rows; three columns are reduced (a pseudonym and two generalisations), all are inspected. Both sides
write with the same settings. `copy` reads batches and writes them, in one process; `sorted copy` is DuckDB's,
by customer; `run` is the whole run from the contract to the published release, in one process and with two
workers, ledger, manifest and all; `unsorted` is the work on rows alone, in the order in which they lie
(`bench/unsorted.py`). Processor seconds are those of all threads and workers: they depend less on what else
the machine does.

`--only site` measures reading from a site and taking fingerprints instead (`bench/identifiers.py`).

    python bench/transfer.py [--rows N] [--quick] [--only site] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import identifiers, unsorted
from bench.unsorted import processor_seconds

from ringfort.cli.principal import register
from ringfort.config import SiteConfig, load_config
from ringfort.gateway.activation import activate
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.record.client import open_ledger
from ringfort.sites.deployment import Deployment, Plan
from ringfort.transfer.desk import TransferDesk, read_contract
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess, WorkerProcesses
from ringfort.transfer.source import batch_rows
from ringfort.transfer.writer import PARQUET

NAME = "retail"
DATA = Path(__file__).parents[2] / "shared" / "data"
_SUMS = frozenset({"all", "processor", "on rows"})
_ON_ROWS = frozenset({"reducing", "inspecting and writing"})
_CATALOGUE = """\
[dataset.retail]
database = "retail"
subject = "retail.CustomerID"

[dataset.retail.table.retail]
schema = "public"
[dataset.retail.table.retail.column]
Description = { type = "text", protection = "public", identifiability = "none", kind = "category" }
Quantity = { type = "integer", protection = "public", identifiability = "none", kind = "number" }
UnitPrice = { type = "double precision", protection = "public", identifiability = "none", kind = "amount" }
Country = { type = "text", protection = "protected", identifiability = "quasi", kind = "country" }
[dataset.retail.table.retail.column.CustomerID]
type = "double precision"
protection = "protected"
identifiability = "direct"
kind = "key"
[dataset.retail.table.retail.column.InvoiceDate]
type = "timestamp without time zone"
protection = "protected"
identifiability = "quasi"
kind = "timestamp"
"""
_CONTRACT = """\
dataset = "retail"
purpose = "product-analytics"
owner = "olga"
approver = "ronan"
schedule = "on-demand"
retention = "30d"
recipient = { principal = "acme", entity = "Acme", country = "US" }
legal = { mechanism = "standard-contractual-clauses", assessment = "TIA-1" }
volume = { rows = 1_000_000_000_000, per = "year" }
target = { address = "outbox" }
source = { country = "IE", files = { retail = "data" } }

[table.retail.column]
Description = "raw"
Quantity = "raw"
InvoiceDate = "generalised"
UnitPrice = "raw"
CustomerID = "pseudonym"
Country = "generalised"
"""


def make_data(source: Path, folder: Path, rows: int) -> None:
    """The retail rows repeated, each round with other customers, an hour later."""
    once = pq.read_table(source).replace_schema_metadata(None)
    folder.mkdir()
    done, number = 0, 0
    while done < rows:
        parts = []
        while sum(each.num_rows for each in parts) < 1_048_576 and done < rows:
            piece = once.slice(0, min(once.num_rows, rows - done))
            ids = piece.column("CustomerID").to_numpy()
            times = piece.column("InvoiceDate").cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
            piece = piece.set_column(
                piece.schema.get_field_index("CustomerID"), "CustomerID",
                pa.array(ids + 100_000.0 * number, pa.float64(), mask=np.isnan(ids)),
            ).set_column(
                piece.schema.get_field_index("InvoiceDate"), "InvoiceDate",
                pa.array(times + 3_600_000_000 * number).cast(pa.timestamp("us")),
            )  # fmt: skip
            parts.append(piece)
            done += piece.num_rows
            number += 1
        pq.write_table(
            pa.concat_tables(parts), folder / f"{number:05d}.parquet", row_group_size=131_072, **PARQUET
        )


def make_deployment(folder: Path, source: Path, rows: int) -> None:
    site = SiteConfig("dublin-1", "embedded", "IE", ("retail",))
    deployment = Deployment(folder, Plan("Example", site))
    deployment.begin()
    deployment.finish(_CATALOGUE)
    (folder / "transfers").mkdir()
    (folder / "transfers" / f"{NAME}.toml").write_text(_CONTRACT)
    make_data(source, folder / "data", rows)
    config = load_config(folder)
    people = (("acme", "US", "Acme", "analyst"), ("olga", "IE", "Example", "operator"),
              ("ronan", "IE", "Example", "approver"))  # fmt: skip
    with open_ledger(folder) as ledger:
        activate(config, ledger)
        for name, country, employer, role in people:
            entry = PrincipalRegistered(
                time=format_time(datetime.now(UTC)), actor="bench", name=name, country=country,
                employer=employer, role=role,
            )  # fmt: skip
            register(ledger, folder, entry, "a password of the bench")
        TransferDesk(config, ledger, read_contract(folder, NAME)).approve("ronan")


def plain_copy(source: Path, target: Path) -> tuple[float, float]:
    """Seconds, and processor seconds, to read every batch and write it with the transfer's settings."""
    target.mkdir()
    clock, processor = time.perf_counter(), processor_seconds()
    for path in sorted(source.glob("*.parquet")):
        with (
            pq.ParquetFile(path) as file,
            pq.ParquetWriter(target / path.name, file.schema_arrow, **PARQUET) as writer,
        ):
            size = batch_rows(len(file.schema_arrow))
            for batch in file.iter_batches(size):
                writer.write_table(pa.Table.from_batches([batch]), row_group_size=size)
    found = time.perf_counter() - clock, processor_seconds() - processor
    shutil.rmtree(target)
    return found


class Stages:
    """Seconds of each stage of a run; of processors for the stages that work on rows, in this process."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.rows = 0.0
        self._name, self._begun, self._processor = "beginning", time.perf_counter(), processor_seconds()

    def stage(self, name: str, _total: int) -> None:
        """The next stage begins."""
        now, processor = time.perf_counter(), processor_seconds()
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._begun
        if self._name in _ON_ROWS:
            self.rows += processor - self._processor
        self._name, self._begun, self._processor = name, now, processor

    def advance(self, amount: int) -> None:
        """Nothing is shown."""


def transfer(folder: Path, workers: int) -> dict[str, float]:
    """Seconds of each stage; of the whole run under `all`, its processor seconds under `processor`."""
    begun, processor, stages = time.perf_counter(), processor_seconds(), Stages()
    runner = WorkerProcesses(workers, always=True) if workers else InProcess()
    outcome = run_transfer(load_config(folder), NAME, runner, progress=stages)
    stages.stage("", 0)
    shutil.rmtree(outcome.address)
    return stages.seconds | {
        "all": time.perf_counter() - begun,
        "processor": processor_seconds() - processor,
        "on rows": stages.rows,
    }


def capture(folder: Path) -> unsorted.Capture:
    """What a run of this deployment would do with its rows; the run after it goes on with it."""
    captured = unsorted.Capture()
    with contextlib.suppress(unsorted.CapturedError):
        run_transfer(load_config(folder), NAME, captured)
    return captured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=None, help="10 million; 1 million of a site")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["site"], default=None)
    parser.add_argument("--quick", action="store_true", help="one million rows, one round")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("RINGFORT_TEST_DATA") or DATA) / "online_retail.parquet",
        help="the UCI data set Online Retail; RINGFORT_TEST_DATA names its folder",
    )
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    if given.only == "site":
        identifiers.show(given.rows or identifiers.ROWS, 1 if given.quick else given.rounds, given.json)
        return
    if not given.data.is_file():
        raise SystemExit(f"error: `{given.data}` is missing: name the data set with --data")
    rows, rounds = (1_000_000, 1) if given.quick else (given.rows or 10_000_000, given.rounds)
    with tempfile.TemporaryDirectory(prefix="ringfort-bench-") as top:
        folder = Path(top) / "retail"
        make_deployment(folder, given.data, rows)
        captured, spare = capture(folder), Path(top) / "copy"
        unsorted.as_they_lie(captured, spare)
        transfer(folder, 0)  # fingerprints and caches are made once
        peers: dict[str, list[tuple[float, float]]] = {"copy": [], "sorted copy": [], "unsorted": []}
        runs: dict[str, list[dict[str, float]]] = {"run": [], "run, 2 workers": []}
        for _ in range(rounds):
            peers["copy"].append(plain_copy(folder / "data", spare))
            peers["sorted copy"].append(unsorted.sorted_copy(folder / "data", spare, "CustomerID"))
            peers["unsorted"].append(unsorted.as_they_lie(captured, spare))
            runs["run"].append(transfer(folder, 0))
            runs["run, 2 workers"].append(transfer(folder, 2))
    stages = {
        name: {stage: statistics.median(each[stage] for each in found) for stage in found[0]}
        for name, found in runs.items()
    }
    medians = {
        name: (statistics.median(each for each, _ in found), statistics.median(each for _, each in found))
        for name, found in peers.items()
    } | {name: (found["all"], found["processor"]) for name, found in stages.items()}
    print(f"{rows:,} rows, median of {rounds}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    copy, copy_processor = medians["copy"]
    for name, (clock, processor) in medians.items():
        print(
            f"{name}: {clock:.2f} s, {rows / clock / 1e6:.2f} million rows/s, {copy / clock:.2f} of copy;"
            f" {processor:.2f} s of processors, {copy_processor / processor:.2f} of copy"
        )
        if name in stages:
            shown = (f"{each} {seconds:.2f}" for each, seconds in stages[name].items() if each not in _SUMS)
            print("   " + ", ".join(shown))
    print(
        f"work on rows: {stages['run']['on rows']:.2f} s of processors sorted,"
        f" {medians['unsorted'][1]:.2f} unsorted"
    )
    if given.json:
        document = {"rows": rows, "rounds": rounds, "peers": peers, "runs": runs, "medians": medians}
        given.json.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
