"""`ringfort ledger` as a person uses it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
from tests.faults.record.writer_process import running

from ringfort.ledger import entry_control as control
from ringfort.private_files import write_private
from ringfort.record.client import open_ledger
from ringfort.record.evidence import public_half
from ringfort.record.http import LedgerServer

TIME = "2026-11-21T12:00:00.000000Z"


def registered(name):
    return control.PrincipalRegistered(
        time=TIME, actor="operator:niamh", name=name, country="IE", employer="Example Ltd", role="support"
    )


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
        ledger.append([registered("maeve"), registered("una")])
    return folder


def ringfort(*arguments):
    program = (
        "import sys\n"
        "from ringfort.cli.ledger import app\n"
        "from ringfort.errors import RingfortError\n"
        "try:\n"
        "    app(prog_name='ringfort ledger')\n"
        "except RingfortError as error:\n"
        "    print('error:', error, file=sys.stderr)\n"
        "    print('hint:', error.hint, file=sys.stderr)\n"
        "    sys.exit(error.exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def writer_configuration(folder):
    secret = (folder / "secrets" / "evidence.key").read_text()
    return {
        "folder": str(folder / "state" / "ledger"),
        "socket": str(folder / "w.sock"),
        "origin": "ledger.example/shop",
        "key": (folder / "secrets" / "ledger.key").read_text().strip(),
        "evidence_public": base64.b64encode(public_half(base64.b64decode(secret))).decode(),
        "merge_delay_seconds": 60.0,
    }


def test_a_sound_ledger_verifies(deployment):
    code, output, errors = ringfort("verify", deployment)
    assert (code, errors) == (0, "")
    assert "ledger.example/shop/control  4 entries" in output
    assert "the ledger verifies: 4 entries" in output
    assert "give --vkey" in output


def test_with_a_kept_key_the_ledger_is_known_to_be_the_same(deployment):
    _, key, _ = ringfort("vkey", deployment)
    code, output, _ = ringfort("verify", deployment, "--vkey", key.strip())
    assert code == 0
    assert "give --vkey" not in output
    other = key.strip().replace("ledger.example", "other.example")
    code, _, errors = ringfort("verify", deployment, "--vkey", other)
    assert code == 2
    assert "`--vkey`" in errors


def test_json_is_one_document(deployment):
    code, output, _ = ringfort("verify", deployment, "--json")
    document = json.loads(output)
    assert code == 0
    assert document["ok"] is True
    assert document["logs"][0]["log"] == "control"
    assert document["logs"][0]["size"] == 4
    assert document["journal"]["unpublished_entries"] == 0
    assert document["problems"] == []


def test_a_changed_entry_is_named(deployment):
    bundle = next((deployment / "state" / "ledger" / "control" / "tile" / "entries" / "000.p").iterdir())
    bundle.write_bytes(bundle.read_bytes().replace(b"Example Ltd", b"Example Inc", 1))
    code, output, _ = ringfort("verify", deployment)
    assert code == 1
    assert "violation: control, entry 2" in output
    assert "does not verify" in output
    code, output, _ = ringfort("verify", deployment, "--json")
    assert code == 1
    assert json.loads(output)["problems"][0]["index"] == 2


def test_every_changed_byte_of_the_folder_is_found(deployment):
    """Not the journal's unused space, and not what is no part of the record."""
    ledger = deployment / "state" / "ledger"
    for path in sorted(ledger.rglob("*")):
        if path.is_dir() or path.name in {"lock", "published", "index.json", "spare"}:
            continue
        data = path.read_bytes()
        changed = bytearray(data)
        changed[60] ^= 4
        path.write_bytes(changed)
        code, output, _ = ringfort("verify", deployment, "--json")
        assert code == 1, path
        assert json.loads(output)["ok"] is False
        path.write_bytes(data)
    assert ringfort("verify", deployment)[0] == 0


def test_where_there_is_no_ledger(tmp_path):
    for command in ("verify", "show", "vkey"):
        code, _, errors = ringfort(command, tmp_path)
        assert code == 3
        assert "there is no ledger" in errors
    code, _, errors = ringfort("verify", "http://127.0.0.1:9")
    assert code == 3
    assert "cannot be reached" in errors


def test_wrong_usage(deployment):
    for arguments in (
        ("verify",),
        ("show", deployment, "--type", "Nonsense"),
        ("show", deployment, "--log", "x"),
        ("show", deployment, "--limit", "0"),
        ("verify", deployment, "--vkey", "nonsense"),
        ("verify", "http://"),
    ):
        assert ringfort(*arguments)[0] == 2, arguments


def test_entries_are_shown(deployment):
    code, output, _ = ringfort("show", deployment)
    assert code == 0
    assert "control 0" in output
    assert "LogOpened  by writer" in output
    assert "name: maeve" in output
    code, output, _ = ringfort("show", deployment, "--type", "PrincipalRegistered", "--json", "--limit", "1")
    document = json.loads(output)
    assert [each["entry"]["name"] for each in document["entries"]] == ["una"]
    assert document["entries"][0]["index"] == 3
    assert document["entries"][0]["published"] is True
    code, output, errors = ringfort("show", deployment, "--log", "traffic")
    assert (code, output) == (0, "")
    assert "no entry matches" in errors


def test_what_is_no_entry_is_shown_as_such(deployment):
    bundle = next((deployment / "state" / "ledger" / "control" / "tile" / "entries" / "000.p").iterdir())
    bundle.write_bytes(bundle.read_bytes().replace(b'"name":"maeve"', b'"name":"ma\\ve"', 1))
    code, output, _ = ringfort("show", deployment)
    assert code == 0
    assert "(no entry)" in output


def test_beside_a_running_writer_unpublished_entries_are_seen(deployment):
    with running(writer_configuration(deployment)):
        with open_ledger(deployment) as ledger:
            assert set(ledger.state.principals) == {"maeve", "una"}
            blob = ledger.put_blob(b"some policy")
            assert ledger.get_blob(blob) == b"some policy"
            assert ledger.append(
                [control.PolicyActivated(time=TIME, actor="niamh", bundle=blob, evaluator="e")]
            ) == [4]
            assert ledger.state.policy == blob
        code, output, _ = ringfort("show", deployment, "--type", "PolicyActivated", "--json")
        assert code == 0
        assert [each["published"] for each in json.loads(output)["entries"]] == [False]
        code, output, _ = ringfort("verify", deployment)
        assert code == 0, output
        assert "1 entries not yet published" in output
    code, output, _ = ringfort("verify", deployment)
    assert code == 0
    assert "the ledger verifies: 5 entries" in output


def test_a_served_ledger_verifies(deployment):
    with LedgerServer(deployment / "state" / "ledger", "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            _, key, _ = ringfort("vkey", deployment)
            code, output, _ = ringfort("verify", server.url, "--vkey", key.strip())
        finally:
            server.shutdown()
            thread.join()
    assert code == 0, output
    assert "the ledger verifies: 4 entries" in output


def with_evidence(deployment, months):
    """Statements with evidence in each of several months, by a writer that ends in order."""
    from datetime import UTC, datetime

    from tests.faults.record.ledger_at_work import FixedClock, Work

    from ringfort.record.client import load_settings
    from ringfort.record.core import LedgerCore
    from ringfort.record.disk import OsDisk
    from ringfort.system import SystemRandomness

    shutil.rmtree(deployment / "state" / "ledger")
    settings = load_settings(deployment)
    clock = FixedClock(datetime(*months[0], 3, tzinfo=UTC))

    def opened(disk, clock):
        core = LedgerCore(settings, clock=clock, randomness=SystemRandomness(), disk=disk)
        core.open()
        return core

    work = Work(OsDisk(), clock)
    work.begin(opened)
    for year, month in months:
        clock.moment = datetime(year, month, 3, tzinfo=UTC)
        work.more(opened)


def test_what_was_not_looked_at_is_said(deployment):
    assert "note: not looked at: whether evidence opens" in ringfort("verify", deployment)[1]
    with LedgerServer(deployment / "state" / "ledger", "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        code, output, _ = ringfort("verify", server.url)
        server.shutdown()
    assert code == 0
    assert "note: not looked at: journal, blobs and evidence" in output


@pytest.mark.parametrize("command", [[], ["verify"], ["show"], ["vkey"]])
def test_help_shows_how(command):
    code, output, _ = ringfort(*command, "--help")
    assert code == 0
    assert "ledger" in output
    if command:
        assert f"ringfort ledger {command[0]}" in output
        assert "Example" in output
