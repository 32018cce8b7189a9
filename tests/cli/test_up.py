"""`ringfort up` as a process: what it tells, what it refuses, and what is left when it has stopped."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
from tests.live_deployment import ANALYST, SUPPORT, deployment, run_ringfort, wait_for

from ringfort.interruption import AGAIN_SECONDS
from ringfort.paths import runtime_folder

PUBLISHING = {"TrafficAnchored", "EvidenceCommitted"}  # a round of publication writes them after what ended


@pytest.fixture(scope="module")
def stopped():
    """A deployment that is not up; each test starts and stops it."""
    with deployment(people=50) as made:
        yield made
        made.stop()


def everything(live):
    """Process ids of the supervisor and all below it."""
    workers = {each["process"] for each in live.workers()}
    return {live.process.pid, live.postmaster(), *live.pids().values(), *workers}


def alive(pids):
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def site_port(live):
    return int(psycopg.conninfo.conninfo_to_dict(live.admin_dsn())["port"])


def test_the_ready_file_says_where_to_connect(live):
    assert set(live.ready) == {"gateway", "ledger_url", "databases"}
    (database,) = live.ready["databases"]
    assert (database["name"], database["site"], database["served"]) == ("demo", "dublin-1", True)
    host, port = live.address
    assert (host, listening(port)) == ("127.0.0.1", True)
    with urllib.request.urlopen(live.ready["ledger_url"] + "/", timeout=10) as answer:
        assert json.load(answer)
    with live.connect(ANALYST) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_secrets_of_a_running_deployment_are_its_owners(live):
    for path in (live.folder / "secrets").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o077, path
    for path in (live.folder / "state", runtime_folder(live.folder)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for pid in everything(live):
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        for secret in (live.folder / "secrets").glob("*.key"):
            assert secret.read_bytes().strip() not in environ + line


def test_every_process_that_holds_secrets_leaves_no_core(live):
    """Of the supervisor and all below it; an embedded server is PostgreSQL's own matter."""
    pids = everything(live) - {live.postmaster(), live.pids().get("guardian")}
    for pid in pids:
        limits = Path(f"/proc/{pid}/limits").read_text()
        (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"], line_of(pid)


def test_a_second_up_on_the_folder_is_refused(live):
    again = live.ringfort("up", "DIR")
    assert again.returncode == 3
    assert again.stderr.startswith(f"error: `{live.folder}` is already up (process {live.process.pid})")
    assert "hint: stop that one first" in again.stderr
    with live.connect(ANALYST) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("hangs", ["writer", "ledger-http", "provisioner", "parser"])
def test_a_second_signal_ends_also_who_was_told_to_stop_and_does_not(stopped, hangs):
    """One process that hangs while all are being stopped."""
    stopped.start()
    pids = everything(stopped)
    (hanging,) = [
        each["process"]
        for each in json.loads(stopped.ringfort("status", "DIR", "--json").stdout)["processes"]
        if each["name"] == hangs
    ]
    os.kill(hanging, signal.SIGSTOP)
    stopped.process.send_signal(signal.SIGTERM)
    workers = {each for each in pids if "gateway.worker" in line_of(each)}
    wait_for(lambda: not alive(workers), seconds=150)
    time.sleep(AGAIN_SECONDS)
    stopped.process.send_signal(signal.SIGTERM)
    assert stopped.process.wait(150) in {0, 128 + signal.SIGTERM}
    stopped.process = None
    wait_for(lambda: not alive({hanging}), seconds=150)


def line_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    return ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda each: each.name)
def test_a_signal_stops_it_cleanly(stopped, number):
    stopped.start()
    pids, ports = everything(stopped), (stopped.address[1], site_port(stopped))
    with stopped.connect(SUPPORT) as connection:
        connection.execute("SELECT count(*) FROM vault")
        assert stopped.stop(number) == 0
        with pytest.raises(psycopg.errors.AdminShutdown) as told:
            connection.execute("SELECT 1")
    assert "the gateway is stopping" in str(told.value)
    assert alive(pids) == set()
    assert not any(map(listening, ports))
    assert not runtime_folder(stopped.folder).exists() or not any(runtime_folder(stopped.folder).iterdir())
    assert "stopped" in stopped.output.read_text()
    assert "Traceback" not in stopped.output.read_text()
    report = stopped.verify()
    assert report["statements_without_end"] == 0
    kinds = [each["type"] for each in stopped.entries(log="control") if each["type"] not in PUBLISHING]
    assert kinds[-1] == "GatewayStopped"


def test_it_comes_up_again_where_it_was(stopped):
    before = len(stopped.entries(log="control"))
    stopped.start()
    kinds = [each["type"] for each in stopped.entries(log="control")[before:]]
    assert "GatewayStarted" in kinds
    assert not {"PolicyActivated", "CatalogueActivated", "ZonesActivated", "LogOpened"} & set(kinds)
    with stopped.connect(ANALYST) as connection:
        assert connection.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    stopped.stop()


def test_a_supervisor_that_is_killed_takes_everything_with_it(stopped):
    stopped.start()
    pids = everything(stopped)
    stopped.process.kill()
    stopped.process.wait()
    stopped.process = None
    wait_for(lambda: not alive(pids), seconds=30)
    stopped.start()
    with stopped.connect(ANALYST) as connection:
        assert connection.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    assert stopped.stop() == 0
    stopped.verify()


def test_a_taken_port_is_named_and_nothing_stays(stopped):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stopped.edit("ringfort.toml", "\nport = 0    ", f"\nport = {port} ")
        try:
            done = stopped.ringfort("up", "DIR")
        finally:
            stopped.edit("ringfort.toml", f"\nport = {port} ", "\nport = 0    ")
    assert done.returncode == 3
    assert f"the gateway cannot listen on 127.0.0.1 port {port}: address already in use" in done.stderr
    assert "hint: set another `port` under [gateway] in ringfort.toml" in done.stderr


def test_a_taken_port_of_the_ledger_is_named_and_nothing_stays(stopped):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stopped.edit("ringfort.toml", "http_port = 0", f"http_port = {port}")
        try:
            done = stopped.ringfort("up", "DIR")
        finally:
            stopped.edit("ringfort.toml", f"http_port = {port}", "http_port = 0")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert str(port) in done.stderr
    assert not any(listening(each) for each in [site_port(stopped)])


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (
            "ringfort.toml",
            'tls = "required"',
            'tls = "perhaps"',
            "`gateway.tls` must be `required` or `optional`",
        ),
        ("ringfort.toml", "[limits]", "[limit]", "unknown key `limit`"),
        ("ringfort.toml", "http_port = 0", "http_port = -1", "must not be negative"),
        ("ringfort.toml", 'name = "EEA"', 'name = "EEA', ""),
        ("catalog.toml", 'kind = "email"', 'kind = "e-mail"', "`kind` is `e-mail`, which is not known"),
        ("zones.toml", 'network = "127.0.0.0/8"', 'network = "127.0.0.0/80"', "127.0.0.0/80"),
        ("policy/staff.cedar", "permit(principal", "permitt(principal", ""),
    ],
)
def test_an_invalid_file_is_named_with_its_line_and_nothing_starts(stopped, name, old, new, says):
    text = (stopped.folder / name).read_text()
    stopped.edit(name, old, new)
    try:
        done = stopped.ringfort("up", "DIR")
    finally:
        (stopped.folder / name).write_text(text)
    assert done.returncode == 2, done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"error: {stopped.folder / name}:"), first
    assert first.removeprefix(f"error: {stopped.folder / name}:").split(":")[0].isdecimal()
    assert says in first
    assert "Traceback" not in done.stderr


def test_a_failing_policy_test_keeps_it_down(stopped):
    text = (stopped.folder / "policy/tests.toml").read_text()
    stopped.edit("policy/tests.toml", 'expect = "raw"\nbecause = "support-in-region"', 'expect = "hidden"')
    try:
        done = stopped.ringfort("up", "DIR")
    finally:
        (stopped.folder / "policy/tests.toml").write_text(text)
    assert done.returncode == 1
    assert "of the policy tests fail" in done.stderr


def test_a_folder_that_is_none_is_said_so(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        done = run_ringfort("up", str(folder))
        assert done.returncode in {2, 3}
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


def test_a_ready_file_that_cannot_be_written_stops_it(stopped, tmp_path):
    place = tmp_path / "none" / "ready.json"
    done = stopped.ringfort("up", "DIR", "--ready-file", str(place))
    assert done.returncode == 3
    assert f"`{place}` cannot be written" in done.stderr
    assert not listening(site_port(stopped))


def test_a_lost_key_is_named(stopped):
    key = stopped.folder / "secrets" / "ledger.key"
    aside = key.with_suffix(".aside")
    shutil.move(key, aside)
    try:
        done = stopped.ringfort("up", "DIR")
    finally:
        aside.replace(key)
    assert done.returncode in {2, 3}
    assert "ledger.key" in done.stderr
    assert "Traceback" not in done.stderr
