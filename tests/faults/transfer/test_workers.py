"""Worker processes that are killed or stopped: a named error, exit code 3, and the run goes on."""

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from tests.faults.transfer.worker_calls import block, end, forget, look, refuse
from tests.transfer_deployment import COMMAND, NAME, digests, make

from ringfort.errors import MissingEnvironmentError
from ringfort.transfer.calls import in_process
from ringfort.transfer.worker_processes import WorkerProcesses, predicted_seconds, reason_against

SECONDS = 60.0


def begun_by(folder, number):
    """Wait for the process that does this call."""
    path, wait = Path(folder, f"{number}.pid"), threading.Event()
    for _ in range(int(SECONDS / 0.02)):
        if path.exists() and path.read_text():
            return int(path.read_text())
        wait.wait(0.02)
    raise AssertionError("nobody did the call")


@pytest.fixture
def workers():
    made = WorkerProcesses(2, silence_seconds=SECONDS, always=True)
    yield made
    made.close()


def test_results_come_in_order_and_the_workers_stay(workers):
    assert list(workers.run(forget, "a", range(20), rows=20)) == [f"a:{each}" for each in range(20)]
    first = {each.process.pid for each in workers._workers}
    assert list(workers.run(forget, "b", range(3), rows=3)) == ["b:0", "b:1", "b:2"]
    assert {each.process.pid for each in workers._workers} == first
    assert len(first) == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_worker_that_is_killed_is_named(workers, tmp_path, number):
    results = workers.run(block, str(tmp_path), range(4), rows=4)
    killer = threading.Thread(target=lambda: os.kill(begun_by(tmp_path, 0), number))
    killer.start()
    with pytest.raises(
        MissingEnvironmentError, match=r"a worker process (was killed|ended by signal)"
    ) as told:
        list(results)
    killer.join()
    assert "run the transfer again" in told.value.hint
    (tmp_path / "go").touch()
    assert list(workers.run(block, str(tmp_path), range(4), rows=4)) == [0, 1, 2, 3]


def test_a_worker_that_ends_by_itself_is_named(workers):
    with pytest.raises(MissingEnvironmentError, match="a worker process ended with 9"):
        list(workers.run(end, "", range(4), rows=4))


def test_a_worker_that_stands_still_ends_the_run(tmp_path):
    workers = WorkerProcesses(2, silence_seconds=5.0, always=True)
    results = workers.run(block, str(tmp_path), range(4), rows=4)
    stopper = threading.Thread(target=lambda: os.kill(begun_by(tmp_path, 0), signal.SIGSTOP))
    stopper.start()
    with pytest.raises(MissingEnvironmentError, match="no sign of life for 5 seconds"):
        list(results)
    stopper.join()


def test_words_of_a_fault_are_left_out_by_every_runner(workers):
    for results in (workers.run(refuse, "", [1234567], rows=1), in_process(refuse, "", [1234567])):
        with pytest.raises(MissingEnvironmentError, match=r"ValueError at worker_calls.py:\d+") as told:
            list(results)
        assert "1234567" not in str(told.value) + told.value.hint


def test_a_worker_loads_nothing_of_the_parents_main_and_shows_its_memory_to_nobody(workers):
    ((modules, owner),) = workers.run(look, "", [0], rows=1)
    assert not {"pytest", "typer", "rich", "duckdb", "cedarpy", "psycopg", "distributed"} & set(modules)
    assert owner == 0  # of a process that is not dumpable these files are root's


def test_an_end_of_the_parent_is_an_end_of_the_workers(tmp_path):
    script = (
        "import sys; from tests.faults.transfer.test_workers import *;"
        "r = WorkerProcesses(2, always=True); list(r.run(block, sys.argv[1], range(2), rows=2))"
    )
    parent = subprocess.Popen([COMMAND[0], "-c", script, str(tmp_path)], cwd=Path(__file__).parents[3])
    pids = [begun_by(tmp_path, each) for each in range(2)]
    parent.kill()
    parent.wait()
    wait = threading.Event()
    for _ in range(int(SECONDS / 0.02)):
        if not any(Path("/proc", str(each)).exists() for each in pids):
            return
        wait.wait(0.02)
    raise AssertionError("a worker was left")


def test_workers_are_not_used_where_they_cannot_win():
    assert reason_against(2, 1, 10_000_000, 16) == "there is only one part"
    assert reason_against(2, 10, 10_000_000, 1) == "there is only one processor"
    assert "is as fast" in reason_against(8, 10, 100_000, 16)
    assert "is as fast" in reason_against(2, 10_000, 10_000_000_000, 2)  # one process keeps both busy
    assert not reason_against(8, 1_000, 1_000_000_000, 16)
    assert predicted_seconds(8, 1_000, 10**9, 16) < predicted_seconds(4, 1_000, 10**9, 16)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("workers") / "shop", rows=300).approve()
    made.ringfort("transfer", "run", "DIR", NAME, check=True)
    return made


def test_a_run_says_that_it_used_no_workers(deployed):
    done = deployed.ringfort("transfer", "run", "DIR", NAME, "--workers", "2", check=True)
    assert "worker processes were not used: for " in done.stderr


def children_of(parent):
    """The children of every thread of a process; a thread may end meanwhile."""
    found = []
    for each in Path("/proc").glob(f"{parent}/task/*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(pid) for pid in each.read_text().split()]
    return found


def test_a_run_whose_worker_is_killed_goes_on_to_the_same_bytes(deployed):
    whole = digests(deployed.releases()[0])
    with (deployed.folder / "ringfort.toml").open("a") as file:
        file.write("\n[transfers]\nalways_workers = true\n")
    known = set(deployed.releases())
    process = subprocess.Popen(
        [*COMMAND, "transfer", "run", str(deployed.folder), NAME, "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    killed = None
    while killed is None and process.poll() is None:
        for pid in children_of(process.pid):
            os.kill(pid, signal.SIGSTOP)  # whatever it does, it does not get to its end
            if b"transfer.worker" in Path("/proc", str(pid), "cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                killed = pid
            else:
                os.kill(pid, signal.SIGCONT)
    _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, "Traceback" in said) == (3, False), said
    assert "a worker process was killed" in said
    assert set(deployed.releases()) == known
    done = deployed.ringfort("transfer", "run", "DIR", NAME, "--workers", "2", check=True)
    assert ", which was cut off," in done.stdout
    (new,) = set(deployed.releases()) - known
    assert digests(new) == whole
