"""Ctrl-C and SIGTERM at real commands, where they wait and where they work: they end, and leave nothing."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from functools import partial
from pathlib import Path

import psycopg
import pytest
import typer

from ringfort.cli.application import register_all
from ringfort.config import load_config
from ringfort.paths import LOCATION, Layout

COMMAND = [sys.executable, "-m", "ringfort.cli.main"]
BOUND = 90.0  # seconds: far more than the grace, since the machine is shared
PASSWORD = "correct horse battery"
CONTRACT = """\
dataset = "shop"
purpose = "product-analytics"
owner = "olga"
approver = "ronan"
schedule = "on-demand"
retention = "30d"
recipient = { principal = "acme", entity = "Example", country = "US" }
legal = { mechanism = "standard-contractual-clauses", assessment = "TIA-1" }
volume = { rows = 100_000_000, per = "year" }
target = { address = "outbox" }
[table.orders.column]
id = "pseudonym"
amount = "raw"
"""
CATALOGUE = """\
[dataset.shop]
database = "DATABASE"
subject = "people.id"

[dataset.shop.table.people]
schema = "public"
primary_key = ["id"]
[dataset.shop.table.people.column]
id = { type = "bigint", protection = "interoperable", identifiability = "direct", kind = "key" }
email = { type = "text", protection = "restricted", identifiability = "direct", kind = "email" }

[dataset.shop.table.orders]
schema = "public"
primary_key = ["id"]
[dataset.shop.table.orders.column]
id = { type = "bigint", protection = "interoperable", identifiability = "direct", kind = "key" }
amount = { type = "bigint", protection = "protected", identifiability = "none", kind = "amount" }
"""


def start(*arguments, **options):
    """The command in a process group of its own, with the signals as a terminal's program has them."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        text=True,
        start_new_session=True,
        preexec_fn=_as_usual,  # noqa: PLW1509 - this process has one thread
        **given,
    )


def _as_usual():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _without_a_terminal():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def until(condition, what):
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def answers_signals(process):
    """Whether the process catches SIGTERM: from its first line on, before anything heavy is imported."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)
    return process.poll() is not None


def writes_its_output(pid):
    """Whether a process stands in write(1, ...), as x86-64 or ARM64 number that call."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[:2] in (["1", "0x1"], ["64", "0x1"])


def ended(process, number=signal.SIGINT):
    """Send the signal; what the process said on standard error, and that it went within the bound."""
    process.send_signal(number)
    _, said = process.communicate(timeout=BOUND)
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("interrupted: "), said
    return said


def ringfort(*arguments, stdin=None):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done


def children_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return []


def waits_for_a_lock(dsn, name):
    with psycopg.connect(dsn, autocommit=True) as connection:
        return (
            connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'",
                (name,),
            ).fetchone()
            is not None
        )


def left_behind(dsn):
    """Connections of commands that are still at work, and roles that they made."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'ringfort %' UNION ALL "
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'ringfort\\_transfer\\_%'"
        ).fetchall()


@contextlib.contextmanager
def locked(dsn, table):
    with psycopg.connect(dsn) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.fixture
def database(fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (id bigint PRIMARY KEY, email text)")
        connection.execute(
            "INSERT INTO people SELECT i, 'p' || i || '@example.org' FROM generate_series(1, 5000) i"
        )
        connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY, amount bigint)")
        connection.execute("INSERT INTO orders SELECT i, i FROM generate_series(1, 400000) i")
        connection.execute("ANALYZE")
    return fresh_database


@pytest.fixture
def shop(database, tmp_path):
    """A deployment on that database, and a contract that may run."""
    folder = tmp_path / "shop"
    ringfort("init", folder, "--from", database, "--name", "shop")
    name = load_config(folder).sites[0].databases[0]
    (folder / "catalog.toml").write_text(CATALOGUE.replace("DATABASE", name))
    ringfort("policy", "apply", folder)
    for who, country, role in (
        ("acme", "US", "analyst"),
        ("olga", "IE", "operator"),
        ("ronan", "IE", "approver"),
    ):
        facts = ("--country", country, "--role", role, "--employer", "Example", "--password-stdin")
        ringfort("principal", "add", folder, who, *facts, stdin=f"{PASSWORD}\n")
    (folder / "transfers").mkdir(exist_ok=True)
    (folder / "transfers" / "us.toml").write_text(CONTRACT)
    ringfort("transfer", "approve", folder, "us", "--as", "ronan", "--password-stdin", stdin=f"{PASSWORD}\n")
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("init", "{}/new", "--name", "x"),
        ("demo", "--folder", "{}/new"),
        ("up", "{}/new"),
        ("transfer", "run", "{}/new", "us"),
        ("ledger", "verify", "{}/new"),
        ("policy", "apply", "{}/new"),
    ],
)
def test_a_signal_while_a_command_starts_is_one_line(tmp_path, arguments, number):
    process = start(*(each.format(tmp_path) for each in arguments))
    until(lambda: answers_signals(process), "it never answered signals")
    said = ended(process, number)
    assert said == "interrupted: nothing was begun\n"
    assert not (tmp_path / "new").exists()


COMMANDS = sorted(
    (*parents, name)
    for parents, group in (
        ((), typer.main.get_command(register_all())),
        *(((name,), each) for name, each in typer.main.get_command(register_all()).commands.items()),
    )
    for name, each in getattr(group, "commands", {}).items()
    if not hasattr(each, "commands")
)


@pytest.fixture(scope="module")
def quiet_folder(tmp_path_factory):
    """A deployment that is not up."""
    folder = tmp_path_factory.mktemp("quiet") / "shop"
    ringfort("init", folder, "--name", "shop")
    return folder


@pytest.mark.parametrize("words", [*COMMANDS, ("logs", "--follow"), ("--help",)], ids=" ".join)
def test_ctrl_c_at_any_moment_gives_no_traceback(quiet_folder, words):
    """Some moments of each command's short life: imports, options, reading, the end."""
    for after in (0.0, 0.15, 0.5):
        process = start(*words, quiet_folder)
        until(partial(answers_signals, process), "it never answered signals")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=BOUND)
        assert "Traceback" not in said, said
        assert "KeyboardInterrupt" not in said
        # by the signal, or the command had come to its end before: done, wrong usage, not possible
        assert process.returncode in {130, -signal.SIGINT, 0, 1, 2, 3}, said


def test_ctrl_c_before_anything_is_answered_ends_the_command_without_a_word():
    """From our first line on; what is imported then is told by Python."""
    program = [sys.executable, "-X", "importtime", "-m", "ringfort.cli.main", "--help"]
    process = subprocess.Popen(
        program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=_as_usual,  # noqa: PLW1509 - this process has one thread
    )  # fmt: skip
    for line in process.stderr:
        if line.split("|")[-1].strip() in {"weakref", "_weakrefset", "threading"}:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=BOUND)
    assert process.returncode in {130, -signal.SIGINT}
    assert "Traceback" not in said


def test_init_from_a_file_takes_back_what_it_made(tmp_path):
    source = tmp_path / "people.csv"
    with source.open("w") as file:
        file.write("id,email,country\n")
        file.writelines(f"{number},p{number}@example.org,IE\n" for number in range(600_000))
    folder = tmp_path / "people"
    process = start("init", folder, "--from", source)
    for line in process.stderr:
        if line.startswith("loading"):
            break
    place = folder / "state" / "sites" / "site-1"
    if (place / LOCATION).exists():
        place = Path((place / LOCATION).read_text().strip())
    assert "nothing of it is kept" in ended(process)
    assert not folder.exists()
    assert not (place / "data").exists()


@pytest.mark.parametrize("of_a_file", [True, False])
def test_init_that_only_tells_what_it_made_says_that_it_is_there(database, tmp_path, of_a_file):
    source = tmp_path / "people.csv"
    source.write_text("id,email,country\n1,a@example.org,IE\n")
    folder = tmp_path / "new"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)  # nobody reads: its first word waits
    os.set_blocking(writing, True)
    process = start("init", folder, "--from", source if of_a_file else database, stdout=writing)
    os.close(writing)
    try:
        until((folder / "catalog.toml").exists, "it made nothing")
        until(lambda: not (folder / "init-unfinished").exists(), "it was not finished")
        until(partial(writes_its_output, process.pid), "it said nothing")
        assert "the deployment is there and whole" in ended(process)
    finally:
        os.close(reading)
    assert load_config(folder).sites
    if of_a_file:
        ringfort("remove", folder, "--yes")


def test_init_from_a_database_that_does_not_answer(database, tmp_path):
    with locked(database, "orders"):
        process = start("init", tmp_path / "new", "--from", database)
        until(lambda: waits_for_a_lock(database, "ringfort init"), "it never waited")
        ended(process)
    assert not (tmp_path / "new").exists()
    until(lambda: not left_behind(database), "a connection was left")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("table", ["orders", "people"])  # while it reads; while it makes fingerprints
def test_a_transfer_that_waits_for_the_site_ends_and_goes_on_later(shop, database, table, number):
    with locked(database, table):
        process = start("transfer", "run", shop, "us")
        until(lambda: waits_for_a_lock(database, "ringfort transfer"), "it never waited")
        assert "transfer abandon" in ended(process, number)
    until(lambda: not left_behind(database), "a connection or a role was left")
    ringfort("transfer", "run", shop, "us")
    assert len(list((shop / "outbox").iterdir())) == 1


def test_a_transfer_in_the_middle_of_its_work_ends_with_its_worker_processes(shop, database):
    with (shop / "ringfort.toml").open("a") as file:
        file.write("\n[transfers]\nalways_workers = true\n")
    process = start("transfer", "run", shop, "us", "--workers", "2")
    until(lambda: children_of(process.pid), "it made no workers")
    workers = [Path("/proc", each) for each in children_of(process.pid)]
    ended(process)
    until(lambda: not any(each.exists() for each in workers), "a worker was left")
    assert not left_behind(database)


def test_a_password_prompt_gives_the_terminal_back(shop):
    parent, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)[3]
    try:
        process = start(
            "transfer",
            "approve",
            shop,
            "us",
            "--as",
            "ronan",
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        said = b""
        while b"Password of ronan" not in said:
            said += os.read(parent, 1_024)
        until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, "it never asked")
        process.send_signal(signal.SIGINT)
        process.wait(BOUND)
        said += os.read(parent, 65_536)
        assert process.returncode == 130
        assert b"interrupted: " in said
        assert b"Traceback" not in said
        assert termios.tcgetattr(terminal)[3] == before
    finally:
        os.close(parent)
        os.close(terminal)


def test_up_that_is_interrupted_before_it_serves_leaves_no_process(tmp_path):
    folder = tmp_path / "shop"
    ringfort("init", folder, "--name", "shop")
    process = start("up", folder)
    for line in process.stderr:
        if line.rstrip().endswith("starting ledger"):
            break
    ended(process)
    assert not (Layout(folder).site_folder("site-1") / "data" / "postmaster.pid").exists()
    again = start("up", folder)
    for line in again.stderr:  # nothing holds its lock or its server
        if line.rstrip().endswith("starting gateway"):
            break
    ended(again, signal.SIGTERM)


STUBBORN = """
import sys, time
from ringfort import interruption
interruption.GRACE_SECONDS = float(sys.argv[1])
interruption.AGAIN_SECONDS = 0.0
interruption.install()
interruption.running()
try:
    print("at work", flush=True)
    time.sleep(600)
finally:
    print("cleaning up", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(("grace", "again"), [("600", True), ("0.2", False)])
def test_a_command_that_cannot_clean_up_ends_at_the_second_signal_or_after_the_grace(grace, again):
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, grace], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=_as_usual,  # noqa: PLW1509 - this process has one thread
    )  # fmt: skip
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "cleaning up\n"
    if again:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=BOUND)
    assert process.returncode == 130
    assert said.startswith("interrupted")
    assert len(said.splitlines()) == 1


def test_signals_that_are_ignored_stay_ignored():
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, "600"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=_without_a_terminal,  # noqa: PLW1509 - this process has one thread
    )  # fmt: skip
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "cleaning up\n"
    process.kill()
    process.communicate()
