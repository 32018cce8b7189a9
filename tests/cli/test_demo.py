"""`ringfort demo` as a newcomer runs it."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.live_deployment import COMMAND, environment, run_ringfort

import ringfort.demo.identities as who
from ringfort.sites.paths import remove_server_folder


def places():
    """What a demo could leave behind."""
    state = Path(os.environ["RINGFORT_SERVER_STATE"])
    return {*Path(tempfile.gettempdir()).glob("ringfort-*"), *state.iterdir()}


def test_the_demo_runs_shows_and_leaves_nothing(tmp_path):
    before = places()  # a deep TMPDIR, where a socket's name would be too long
    done = subprocess.run(
        [*COMMAND, "demo", "--people", "200", "--seed", "3", "--json"],
        capture_output=True,
        text=True,
        env=environment() | {"TMPDIR": str(tmp_path)},
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
    assert list(tmp_path.iterdir()) == []
    assert {each for each in places() - before if "live" not in each.name} == set()


def test_what_everybody_sees_is_in_a_table_for_people(tmp_path):
    done = subprocess.run(
        [*COMMAND, "demo", "--people", "200", "--folder", str(tmp_path / "kept")],
        capture_output=True,
        text=True,
        env=environment() | {"COLUMNS": "160"},
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
