"""A run that dies at any durable write goes on to the very same release; nobody ever sees half of one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.transfer_deployment import COMMAND, CONTRACT, NAME, digests, make

REPOSITORY = Path(__file__).parents[3]
WRITES = 40  # more than a run makes: the last ones are not reached


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("kills") / "shop", rows=300).approve()
    made.ringfort("transfer", "run", "DIR", NAME, check=True)
    return made


def killed(deployed, when, writes, module="kill_at_each_write"):
    done = subprocess.run(
        [sys.executable, "-m", f"tests.faults.transfer.{module}", str(deployed.folder), when,
         *map(str, writes)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=900,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(deployed, found):
    whole = digests(deployed.releases()[0])
    for each in found:
        assert each["resumed"] == 0, each
        assert each["new"] == [whole], each
        assert each["between"] in ([], [whole]), each
        assert (each["hidden"], each["left"]) == ([], []), each


def test_a_kill_at_a_write_is_mended_by_the_next_run(deployed):
    """In the middle of a run; all writes are `test_a_kill_at_any_write_is_mended`."""
    found = killed(deployed, "after", [6])
    assert [each["killed"] for each in found] == [-signal.SIGKILL]
    check(deployed, found)


@pytest.mark.long
@pytest.mark.timeout(1_000)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_write_is_mended(deployed, when):
    found = killed(deployed, when, range(1, WRITES))
    assert found[-1]["killed"] == 0
    assert sum(each["killed"] == -signal.SIGKILL for each in found) > 12
    check(deployed, found)
    states = {each.status for each in deployed.state().transfers[NAME].runs}
    assert states <= {"published", "stopped"}
    verified = deployed.ringfort("ledger", "verify", "DIR")
    assert verified.returncode == 0, verified.stdout


def check_changed(each):
    """The recipient was removed after the kill: published before it, or never; the record says which."""
    then, first, second = each["then"], each["run 1"], each["run 2"]
    assert (first, first["hidden"], first["here"]) == (second, [], []), each
    ((status, _, files, held),) = first["status"] or ((None, "", 0, False),)
    if then["releases"]:
        assert (status, held, first["releases"]) == ("published", True, then["releases"]), each
    else:
        assert status in {None, "stopped", "not published"}, each
        assert first["releases"] == [], each
        sending = bool(then["hidden"])  # between the marker that it leaves now and the rename: it may have
        assert (files, held) in ({(0, False), (2, True)} if sending else {(0, False)}), each


@pytest.fixture(scope="module")
def approved(tmp_path_factory):
    return make(tmp_path_factory.mktemp("changed") / "shop", rows=30).approve()


@pytest.mark.long
@pytest.mark.timeout(1_000)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_kill_left_and_a_change_forbids_is_published_or_not_never_both(approved, when):
    found = killed(approved, when, range(1, WRITES), "kill_then_change")
    for each in found:
        check_changed(each)
    ends = {each["run 1"]["status"][0][0] for each in found if each["killed"] and each["run 1"]["status"]}
    assert ends == {"stopped", "not published", "published"}


@pytest.mark.long
@pytest.mark.timeout(1_000)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_command_that_is_killed_at_any_moment_goes_on(tmp_path, workers):
    deployed = (
        make(tmp_path / "shop", rows=60_000)
        .write(CONTRACT, ("rows = 10_000_000", "rows = 1_000_000_000"))
        .approve()
    )
    deployed.ringfort("transfer", "run", "DIR", NAME, check=True)
    whole = digests(deployed.releases()[0])
    for number in range(8):
        known = set(deployed.releases())
        process = subprocess.Popen(
            [*COMMAND, "transfer", "run", str(deployed.folder), NAME, "--workers", workers],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(0.6 + 0.25 * number)
        process.kill()
        process.wait()
        for each in deployed.releases():
            assert digests(each) == whole
        deployed.ringfort("transfer", "run", "DIR", NAME, "--workers", workers, check=True)
        new = [each for each in deployed.releases() if each not in known]
        assert new
        assert all(digests(each) == whole for each in new)
    assert not list(deployed.outbox.glob(".*"))
