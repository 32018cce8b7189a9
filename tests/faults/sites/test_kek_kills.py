"""A rotation that is killed before any operation on a file leaves secrets that open, and is gone on with."""

import json
import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize("way", ["in place", "moves"])
def test_a_rotation_killed_before_each_file_operation_loses_nothing(tmp_path, way):
    command = [sys.executable, "-m", "tests.faults.sites.rotate_and_die", str(tmp_path / "top"), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(each) for each in done.stdout.splitlines()]
    assert [each["killed"] for each in lines[:-1]] == [-signal.SIGKILL] * (len(lines) - 1)
    assert lines[-1]["killed"] == 0
    assert len(lines) > 60
    died = done.stderr
    for operation in ("os.link", "os.rename", "os.remove kek.key.before-" if way != "moves" else "os.remove"):
        assert operation in died
    mixed = 0
    for each in lines:
        sound, keys = each["between"]
        assert sound, each
        mixed += len(keys) == 2
        assert each["resumed"] == 0, each
        sound, keys = each["after"]
        assert sound, each
        assert len(keys) == 1, each
        assert not each["hidden"], each
        if way == "moves":
            assert each["old"] not in keys
    assert mixed > 10
    expected = ["kek.key", "root.key"] if way == "in place" else ["kek.key", "moved.key", "root.key"]
    assert lines[-1]["files"] == expected
