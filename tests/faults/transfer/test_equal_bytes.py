"""Sorted releases of many parts are the same bytes by whichever runner, with any number of processes."""

import contextlib
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.faults.transfer.test_dask import SECONDS, Cluster
from tests.properties.transfer.test_parts import LEADS, SCHEMA, plan_of

from ringfort.transfer.dask_cluster import DaskCluster
from ringfort.transfer.part import Job, ReleasePart, TableOrder, reduce_part, write_release_part
from ringfort.transfer.runners import InProcess, WorkerProcesses
from ringfort.transfer.source import SourceTable, files_of, open_files, parts_of

BATCH = 64
ROWS = 9_000  # 18 parts


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows of few people and of many, of nobody, equal in everything and in nothing."""
    folder = tmp_path_factory.mktemp("rows")
    draw = random.Random(6)
    rows = [
        {
            "id": draw.choice([7, None, draw.randrange(40), draw.randrange(2**40)]),
            "word": draw.choice(["same", f"w{draw.randrange(300)}", None, "x" * draw.randrange(40)]),
            "born": None,
            "amount": draw.choice([0.0, -0.0, draw.random(), None]),
        }
        for _ in range(ROWS)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "a.parquet", row_group_size=700)
    return folder


def released(runner, folder, data, method, output):
    source = SourceTable("t", open_files("t", files_of(data), 4).files, BATCH, ("word",))
    for name in ("parts", "rows"):
        (folder / name).mkdir(parents=True)
    plan = plan_of(method)
    lead = next((each.name for each in plan.columns if each.action == "pseudonym"), "")
    job = Job(str(folder / "parts"), str(folder / "rows"), output, {"t": plan},
              {"t": TableOrder(b"k" * 16, lead)}, memory=4_000)  # fmt: skip
    parts = parts_of(source)
    reduced = list(runner.run(reduce_part, job, parts, rows=ROWS))
    files = tuple(file for each in reduced for file in each.files)
    assert len(files) > len(parts) > 10
    release = [ReleasePart(source, each.number, each.first, each.rows, each.id, files) for each in parts]
    written = list(runner.run(write_release_part, job, release, rows=ROWS))
    assert [each.number for each in written] == list(range(len(parts)))
    return [(each.sha256, (folder / "parts" / each.file).read_bytes()) for each in written]


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    pytest.importorskip("distributed")
    cluster = Cluster(tmp_path_factory.mktemp("dask"))
    try:
        cluster.scheduler()
        cluster.answers()
        cluster.worker(threads=1)
        cluster.worker(threads=3)
        cluster.ready(2)
        yield DaskCluster(cluster.address, silence_seconds=SECONDS)
    finally:
        cluster.close()


@pytest.mark.parametrize(("method", "output"), [*((each, "parquet") for each in LEADS), ("cmac", "csv")])
def test_every_runner_writes_the_same_bytes(data, dask, tmp_path, method, output):
    runners = {
        "one": InProcess(), "two": WorkerProcesses(2, always=True), "three": WorkerProcesses(3, always=True),
        "dask": dask,
    }  # fmt: skip
    made = {}
    for name, runner in runners.items():
        with contextlib.closing(runner):  # a cluster is connected to anew
            made[name] = released(runner, tmp_path / name, data, method, output)
    for name in runners:
        assert made[name] == made["one"], name
