"""Commands run by an account that may not read the deployment: a line that says which file, no traceback."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile

import pytest
from tests.faults.record.ledger_at_work import basic

from ringfort.ledger import entry_control as control
from ringfort.private_files import write_private
from ringfort.record.client import open_ledger
from ringfort.system import SystemClock


@pytest.fixture
def deployment(tmp_path):
    folder = tmp_path / "shop"
    (folder / "secrets").mkdir(parents=True)
    (folder / "ringfort.toml").write_text(
        'organisation = "Example"\n[ledger]\norigin = "ledger.example/shop"\n'
    )
    for name in ("ledger.key", "evidence.key"):
        write_private(folder / "secrets" / name, base64.b64encode(os.urandom(32)) + b"\n")
    with open_ledger(folder) as ledger:
        ledger.append(
            [
                control.PrincipalRegistered(
                    **basic(SystemClock()), name="maeve", country="IE", employer="", role="support"
                )
            ]
        )
    return folder


def ringfort(*arguments):
    """As somebody whom file modes bind: root is made to obey them."""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*bound, sys.executable, "-m", "ringfort.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


PLACES = [
    ".",
    "state",
    "state/ledger",
    "state/ledger/control",
    "state/ledger/control/checkpoint",
    "state/ledger/journal",
    "state/ledger/journal/00000001.seg",
    "state/ledger/control/tile/entries/000.p",
    "state/ledger/traffic/2026-11",
]


@pytest.mark.parametrize(
    ("command", "place"),
    [*(("verify", each) for each in PLACES), ("show", "."), ("show", PLACES[6]), ("vkey", PLACES[4])],
)
def test_what_may_not_be_read_is_named(deployment, command, place):
    closed = deployment / place
    if not closed.exists():
        closed = next((deployment / "state/ledger/traffic").iterdir())
    mode = closed.stat().st_mode
    closed.chmod(0)
    try:
        code, output, errors = ringfort("ledger", command, deployment)
        described = ringfort("ledger", command, deployment, "--json") if command == "verify" else (3, "", "")
    finally:
        closed.chmod(mode)
    assert (code, output) == (3, "")
    assert str(closed) in errors
    assert "cannot be read" in errors
    assert "hint: run it as" in errors
    assert "ledger verify URL" in errors
    assert described[:2] == (3, "")
    assert ringfort("ledger", command, deployment)[0] == 0


@pytest.mark.parametrize(
    "command", [["principal", "list"], ["grants"], ["policy", "check"], ["keys", "status"]]
)
def test_no_command_answers_with_a_traceback(deployment, command):
    deployment.chmod(0)
    try:
        code, _, errors = ringfort(*command, deployment)
    finally:
        deployment.chmod(0o700)
    assert code in {2, 3}
    assert str(deployment) in errors


ASKED = [["status"], ["sessions", "list"], ["site", "audit", "--database", "d"], ["reload"], ["logs"]]


@pytest.mark.parametrize("command", ASKED, ids=" ".join)
def test_what_asks_a_deployment_makes_nothing_and_names_what_is_closed(deployment, command):
    with (deployment / "ringfort.toml").open("a") as file:
        file.write('[site.here]\nkind = "embedded"\ncountry = "IE"\ndatabases = ["d"]\n')
    with tempfile.TemporaryDirectory(prefix="rf") as short:  # a long path has its sockets elsewhere
        place = deployment.rename(f"{short}/shop")
        before = sorted(place.rglob("*"))
        ringfort(*command, place)
        assert sorted(place.rglob("*")) == before
        closed = place / ("logs" if command == ["logs"] else "state")
        closed.mkdir(mode=0o700, exist_ok=True)
        closed.chmod(0)
        try:
            code, output, errors = ringfort(*command, place)
        finally:
            closed.chmod(0o700)
    assert (code, output) == (3, "")
    assert str(place) in errors
    assert "cannot be read" in errors
    assert "hint: " in errors
