"""A part that nobody waits for any more ends at its next batch, and leaves no file under its name."""

import threading
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from tests.properties.transfer.test_parts import plan_of, table

from ringfort.errors import MissingEnvironmentError
from ringfort.transfer.calls import AbandonedError, go_on, in_process
from ringfort.transfer.part import Job, ReleasePart, TableOrder, reduce_part, write_release_part
from ringfort.transfer.source import SourceTable, files_of, open_files, parts_of

SECONDS = 60.0


@pytest.fixture
def work(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    pq.write_table(table([(at, f"w{at}", None, float(at)) for at in range(400)]), data / "a.parquet")
    source = SourceTable("t", open_files("t", files_of(data), 4).files, 64, ())
    for name in ("parts", "rows", "done"):
        (tmp_path / name).mkdir()
    job = Job(str(tmp_path / "parts"), str(tmp_path / "rows"), "parquet", {"t": plan_of("cmac")},
              {"t": TableOrder(b"k" * 16, "id")})  # fmt: skip
    (part,) = parts_of(source)
    files = reduce_part(replace(job, rows=str(tmp_path / "done")), part).files
    return job, part, ReleasePart(source, 0, 0, part.rows, part.id, files)


def until_abandoned():
    wait = threading.Event()
    for _ in range(int(SECONDS / 0.01)):
        try:
            go_on()
        except AbandonedError:
            return
        wait.wait(0.01)
    raise AssertionError("somebody still waits for the call")


@pytest.mark.parametrize("stage", ["reduce", "write"])
def test_a_part_beside_one_that_failed_ends_and_leaves_nothing(work, tmp_path, stage):
    job, part, release = work
    begun, ended = threading.Event(), []

    def call(_common, number):
        if not number:
            assert begun.wait(SECONDS)
            raise ValueError
        begun.set()
        until_abandoned()
        with pytest.raises(AbandonedError):
            reduce_part(job, part) if stage == "reduce" else write_release_part(job, release)
        ended.append(number)

    with pytest.raises(MissingEnvironmentError):
        list(in_process(call, None, range(2)))
    assert ended == [1]
    assert not list((tmp_path / "parts").iterdir())
    assert not list((tmp_path / "rows").iterdir())
