"""`ringfort demo` as a newcomer runs it."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.live_deployment import COMMAND, environment, run_ringfort

import ringfort.demo.identities as who
from ringfort.paths import remove_server_folder


@pytest.fixture
def place():
    """A folder for everything temporary: short, so that sockets fit, and open to the server account."""
    folder = Path(tempfile.mkdtemp(prefix="rf-demo-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_the_demo_runs_shows_and_leaves_nothing(place):
    own = {"TMPDIR": str(place), "RINGFORT_SERVER_STATE": str(place)}
    done = subprocess.run(
        [*COMMAND, "demo", "--people", "200", "--seed", "3", "--json"],
        capture_output=True,
        text=True,
        env=environment() | own,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    text = json.dumps(shown)
    assert shown["not_refused"] == []
    for identity in who.STAFF:
        assert identity.title in text
    assert "the ledger verifies" in done.stdout + done.stderr
    assert "stopped everything" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(place.iterdir()) == []


@pytest.mark.long
def test_what_everybody_sees_is_in_a_table_for_people(tmp_path):
    done = subprocess.run(
        [*COMMAND, "demo", "--people", "200", "--folder", str(tmp_path / "kept")],
        capture_output=True,
        text=True,
        env=environment() | {"COLUMNS": "160", "TMPDIR": str(tmp_path)},  # too deep for a socket's name
        timeout=180,
    )
    try:
        assert done.returncode == 0, done.stderr
        for each in (*(identity.title for identity in who.STAFF), "28P01", "42501", "the ledger verifies"):
            assert each in done.stdout
        assert (tmp_path / "kept" / "ringfort.toml").is_file()
        again = run_ringfort("ledger", "verify", str(tmp_path / "kept"))
        assert again.returncode == 0, again.stdout
        refused = run_ringfort("demo", "--people", "200", "--folder", str(tmp_path / "kept"))
        assert refused.returncode == 2
        assert "holds a deployment already" in refused.stderr
    finally:
        remove_server_folder(tmp_path / "kept" / "state" / "sites" / "dublin-1")


def test_wrong_numbers_are_wrong_usage():
    for arguments in (["--people", "3"], ["--people", "many"], ["--seed", "-1"]):
        done = run_ringfort("demo", *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
