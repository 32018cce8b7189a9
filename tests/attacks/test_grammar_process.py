"""Hostile texts through the real parser process: each costs one refused statement, nothing stays behind."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ringfort.gateway.ipc import IpcClient

SURFACE = {"relations": ["customers"], "schema": "rf_1", "columns": ["id"]}
HOSTILE = {
    "unions": " UNION ".join(["SELECT 1"] * 50_000),
    "unions within the cap": " UNION ".join(["SELECT"] * 18_000),
    "concatenations that overflow the C stack": "SELECT " + "||".join(["a"] * 80_000),
    "a select list of megabytes": "SELECT " + ",".join(["a"] * 1_500_000),
    "parentheses": "SELECT " + "(" * 100_000,
    "subqueries": "SELECT " + "(SELECT " * 25_000,
    "negations": "SELECT " + "NOT " * 60_000 + "true",
    "casts": "SELECT 1" + "::int" * 40_000,
    "subscripts": "SELECT " + "a[" * 80_000,
    "arrays": "SELECT " + "ARRAY[" * 40_000,
    "joins": "SELECT 1 FROM customers" + " JOIN customers ON a" * 12_000,
    "nested comments, which cost the scanner quadratic time": "/*" * 65_000 + "*/" * 65_000,
    "signs, which do too": "SELECT 1 " + "+-" * 120_000,
    "case": "SELECT " + "CASE WHEN a THEN " * 15_000,
}


class Process:
    """The parser process, started as the supervisor starts it."""

    def __init__(self, folder, **config):
        self.socket = str(folder / "parser.sock")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ringfort.gateway.parser"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.process.stdin.write(json.dumps({"socket": self.socket, **config}).encode())
        self.process.stdin.close()
        assert json.loads(self.process.stdout.readline())["ready"] is True

    def readers(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def wait_for_readers(self, number):
        deadline = time.monotonic() + 120
        while len(self.readers()) != number:
            assert time.monotonic() < deadline, self.readers()
            time.sleep(0.02)

    def ask(self, *texts):
        async def run():
            client = IpcClient(self.socket, timeout=30.0)
            try:
                return [await client.request("verdict", sql=text, profile_surface=SURFACE) for text in texts]
            finally:
                client.close()

        return asyncio.run(run())

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(15)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="rf-parser-") as name:  # short: the path of a socket is bounded
        yield Path(name)


@pytest.fixture
def parser(folder):
    process = Process(folder)
    yield process
    process.stop()


def gone(pid):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_hostile_texts_cost_one_refused_statement_each(parser):
    started = parser.process.pid
    for name, text in HOSTILE.items():
        (hostile, honest) = parser.ask(text, f"SELECT id AS {name.split()[0].strip(',')}1 FROM customers")
        assert hostile["allowed"] is False, name
        assert hostile["sqlstate"] in ("54000", "54001", "42601"), (name, hostile)
        assert honest["allowed"] is True, name
    assert parser.process.poll() is None
    assert parser.process.pid == started
    parser.wait_for_readers(2)  # the last of those that were lost may be starting still


def test_a_text_that_takes_too_long_is_given_up(folder):
    process = Process(folder, statement_seconds=0.05, readers=1)
    try:
        before = process.readers()
        (slow,) = process.ask("SELECT " + ",".join(["customers.id"] * 20_000) + " FROM customers")
        assert (slow["allowed"], slow["sqlstate"]) == (False, "54001")
        assert all(gone(pid) for pid in before)
        while not process.readers():
            time.sleep(0.02)
    finally:
        assert process.stop() == 0


def test_readers_are_confined(parser):
    for pid in parser.readers():
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        limits = Path(f"/proc/{pid}/limits").read_text()
        values = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
        assert int(values["Max address space"]) <= 1024**3
        assert int(values["Max open files"]) <= 16
        assert values["Max file size"] == "0"
        assert values["Max core file size"] == "0"
        shared = {each.name: str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
        assert {name: to.partition(":")[0] for name, to in shared.items()} == {
            "0": "pipe",
            "1": "pipe",
            "2": "/dev/null",  # not the log of everybody
        }
        assert b"PASSWORD" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_reader_that_is_killed_is_replaced(parser):
    for pid in parser.readers():
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
    answers = parser.ask("SELECT 1", "SELECT id FROM customers", "SELECT pg_sleep(1)")
    assert [answer["allowed"] for answer in answers][1:] == [True, False]


def test_many_at_once(parser):
    async def run():
        client = IpcClient(parser.socket, timeout=30.0)
        texts = [f"SELECT {number} FROM customers" for number in range(200)]
        texts += [HOSTILE["concatenations that overflow the C stack"]] * 3
        answers = await asyncio.gather(
            *(client.request("verdict", sql=text, profile_surface=SURFACE) for text in texts)
        )
        client.close()
        return [answer["allowed"] for answer in answers]

    assert asyncio.run(run()) == [True] * 200 + [False] * 3


def test_it_ends_cleanly_and_leaves_nobody_behind(folder):
    process = Process(folder)
    readers = process.readers()
    assert process.stop() == 0
    assert all(gone(pid) for pid in readers)
    assert not (folder / "parser.sock").exists()


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.1, 0.3])
def test_it_ends_cleanly_while_a_lost_reader_is_replaced(folder, pause):
    process = Process(folder, readers=1)
    assert process.ask(HOSTILE["concatenations that overflow the C stack"])[0]["allowed"] is False
    time.sleep(pause)  # different moments of the replacement; each must do
    assert process.stop() == 0
    assert not (folder / "parser.sock").exists()


def test_readers_die_with_it(folder):
    process = Process(folder)
    readers = process.readers()
    process.process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.stop()
    assert all(gone(pid) for pid in readers)


@pytest.mark.parametrize("config", [{}, {"socket": 1}, {"socket": "/x", "secret": 1}])
def test_a_configuration_out_of_form_is_refused(config):
    done = subprocess.run(
        [sys.executable, "-m", "ringfort.gateway.parser"],
        input=json.dumps(config).encode(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert b" critical ringfort process-failed " in done.stderr


def heavy(number):
    """A text that costs the scanner quadratic time, each another one."""
    return f"SELECT {number} " + "+-" * 120_000


def asks(client, principal, session, *texts):
    return [
        asyncio.ensure_future(
            client.request("verdict", sql=text, profile_surface=SURFACE, principal=principal, session=session)
        )
        for text in texts
    ]


def test_a_session_that_pours_heavy_texts_stops_nobody_and_what_it_leaves_is_not_read(parser):
    async def run():
        flood = IpcClient(parser.socket, timeout=120.0, cancels=True)
        other = IpcClient(parser.socket, timeout=60.0)
        try:
            poured = asks(flood, "mallory", "m", *(heavy(number) for number in range(60)))
            for number in range(30):
                (answer,) = await asyncio.gather(
                    *asks(other, "ann", "a", f"SELECT id AS c{number} FROM customers")
                )
                assert answer["allowed"] is True
            assert not all(each.done() for each in poured)
            # a long text of another comes next, not last
            long = "SELECT id FROM customers WHERE id IN (" + ",".join(map(str, range(4_000))) + ")"
            (answer,) = await asyncio.gather(*asks(other, "ann", "a", long))
            assert answer["allowed"] is True
            for each in poured:
                each.cancel()
            await asyncio.gather(*poured, return_exceptions=True)
            # all that was left would have taken longer than anything may wait, in this very session
            (answer,) = await asyncio.gather(*asks(other, "mallory", "m", long + " -- again"))
            assert answer["allowed"] is True
        finally:
            flood.close()
            other.close()

    asyncio.run(run())


def test_texts_of_a_worker_that_is_gone_are_not_read(parser):
    async def run():
        flood = IpcClient(parser.socket, timeout=120.0)
        other = IpcClient(parser.socket, timeout=60.0)
        try:
            poured = asks(flood, "mallory", "m", *(heavy(number) for number in range(60)))
            await asyncio.gather(*asks(other, "ann", "a", "SELECT 1"))
            flood.close()
            await asyncio.gather(*poured, return_exceptions=True)
            long = "SELECT id FROM customers WHERE id IN (" + ",".join(map(str, range(4_000))) + ")"
            (answer,) = await asyncio.gather(*asks(other, "mallory", "m", long))
            assert answer["allowed"] is True
        finally:
            flood.close()
            other.close()

    asyncio.run(run())
