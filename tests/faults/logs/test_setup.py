"""Saying something never waits and never fails: real processes, real files, a real full disk."""

import json
import os
import re
import subprocess
import sys
import threading

import pytest

from ringfort.logs.file import LogFile, log_files
from ringfort.logs.line import read_line

PROGRAM = """
import json, logging, os, sys
from ringfort import logs
from ringfort.logs import setup
settings = json.loads(sys.argv[1])
for name, value in json.loads(sys.argv[2]).items():
    setattr(setup, name, value)
logs.configure(logs.LogSettings.from_json(settings))
LOG = logging.getLogger("ringfort.test")
LOG.setLevel("DEBUG")
"""


def program(code, settings, *, constants=None, **more):
    """Run `code` in a process whose lines go where `settings` say."""
    command = [sys.executable, "-c", PROGRAM + code, json.dumps(settings), json.dumps(constants or {})]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, **more)


def lines(path):
    return [read_line(each) for each in path.read_text().splitlines()]


SAY = 'LOG.warning("hello %s", "you", extra={"event": "fault", "session": "s1"})'


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_goes_to_standard_error_and_to_a_private_file(tmp_path, form):
    folder = tmp_path / "logs"
    settings = {"process": "worker-0", "file": "worker", "folder": str(folder), "format": form}
    done = program(SAY, settings)
    assert done.returncode == 0, done.stderr
    (line,) = lines(folder / "worker.log")
    assert (line.process, line.event, line.session, line.message) == ("worker-0", "fault", "s1", "hello you")
    assert [read_line(each) for each in done.stderr.splitlines()] == [line]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "worker.log").stat().st_mode & 0o777 == 0o600


def test_levels(tmp_path):
    code = 'LOG.info("a", extra={"event": "x"}); LOG.error("b", extra={"event": "x"})'
    done = program(code, {"process": "p", "folder": str(tmp_path / "logs"), "stderr": "error"})
    assert [each.message for each in lines(tmp_path / "logs" / "p.log")] == ["a", "b"]
    assert [read_line(each).message for each in done.stderr.splitlines()] == ["b"]


def test_a_reader_that_stands_still_stops_nobody(tmp_path):
    """Standard error is a pipe that nobody reads: the program ends, and the file has everything."""
    reader, writer = os.pipe()
    try:
        code = 'for n in range(3000): LOG.warning("%d %s", n, "x" * 1000, extra={"event": f"e{n}"})'
        settings = {"process": "p", "folder": str(tmp_path / "logs")}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM + code, json.dumps(settings), json.dumps({"_STDERR_MS": 0})],
            stderr=writer,
            timeout=200,
        )
        assert done.returncode == 0
    finally:
        os.close(reader)
        os.close(writer)
    assert len(lines(tmp_path / "logs" / "p.log")) == 3000


def test_a_queue_that_is_full_costs_lines_and_says_so(tmp_path):
    code = """
handler = logging.getLogger().handlers[-1]
import threading
hold = threading.Event()
write = handler._write
handler._write = lambda found: (hold.wait(), write(found))
for n in range(100):
    LOG.warning("%d", n, extra={"event": "e"})
hold.set()
"""
    program(code, {"process": "p", "folder": str(tmp_path / "logs")}, constants={"QUEUE_LINES": 10})
    found = lines(tmp_path / "logs" / "p.log")
    assert any(each.event == "log-lines-lost" for each in found)
    lost = sum(int(each.message.split()[0]) for each in found if each.event == "log-lines-lost")
    assert lost + sum(each.event == "e" for each in found) == 100


def test_one_event_fills_no_disk(tmp_path):
    code = 'for n in range(5000): LOG.warning("%d", n, extra={"event": "e"})'
    program(code, {"process": "p", "folder": str(tmp_path / "logs")})
    found = lines(tmp_path / "logs" / "p.log")
    omitted = [each for each in found if each.event == "log-lines-omitted"]
    assert omitted
    said = sum(each.event == "e" for each in found)
    assert said + sum(int(each.message.split()[0]) for each in omitted) == 5000


def test_a_disk_that_takes_nothing_ends_nobody(tmp_path):
    """A limit of the file's size stands for the full disk: writing fails the same way, for everybody."""
    code = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))
for n in range(100):
    LOG.warning("%d %s", n, "x" * 100, extra={"event": f"e{n}"})
logs.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
LOG.warning("again", extra={"event": "again"})
"""
    done = program(code, {"process": "p", "folder": str(tmp_path / "logs")})
    assert done.returncode == 0, done.stderr
    said = [read_line(each) for each in done.stderr.splitlines()]
    assert sum(each.event == "log-file-failed" for each in said) == 1
    assert {f"e{n}" for n in range(100)} <= {each.event for each in said}
    assert (tmp_path / "logs" / "p.log").read_text().splitlines()[-1].endswith("again")


@pytest.mark.parametrize("mode", [0o755, 0o750])
def test_a_folder_that_others_may_enter_gets_nothing(tmp_path, mode):
    folder = tmp_path / "logs"
    folder.mkdir()
    folder.chmod(mode)
    done = program(SAY, {"process": "p", "folder": str(folder)})
    assert done.returncode == 0
    assert not list(folder.iterdir())
    assert "log-file-failed" in done.stderr


def test_a_link_is_not_followed(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o700)
    (tmp_path / "elsewhere").touch()
    (folder / "p.log").symlink_to(tmp_path / "elsewhere")
    done = program(SAY, {"process": "p", "folder": str(folder)})
    assert done.returncode == 0
    assert not (tmp_path / "elsewhere").read_text()


NEVER_AWAITED = """
import asyncio, gc

async def fails():
    raise ValueError("geheim")

async def main():
    asyncio.create_task(fails())
    await asyncio.sleep(0)

asyncio.run(main())
gc.collect()
"""


def test_what_nobody_caught_is_a_line_without_its_text():
    for code in (
        'raise ValueError("geheim")',
        'import threading; t = threading.Thread(target=int, args=("geheim",)); t.start(); t.join()',
        'import warnings; warnings.warn("geheim")',
        NEVER_AWAITED,
    ):  # fmt: skip
        done = program(code, {"process": "p"})
        assert "geheim" not in done.stderr, code
        assert re.search(r"(critical p fault|p library) - .*", done.stderr), (code, done.stderr)


def test_a_forked_child_says_things_too(tmp_path):
    code = """
pid = os.fork()
if pid == 0:
    LOG.warning("child", extra={"event": "e"})
    logs.flush()
    os._exit(0)
os.waitpid(pid, 0)
LOG.warning("parent", extra={"event": "e"})
"""
    program(code, {"process": "p", "folder": str(tmp_path / "logs")})
    assert {each.message for each in lines(tmp_path / "logs" / "p.log")} == {"child", "parent"}


def test_several_writers_rotate_one_file_and_lose_nothing(tmp_path):
    folder = tmp_path / "logs"

    def write(name):
        file = LogFile(folder, "worker", most_bytes=20_000, kept=50)
        for number in range(500):
            file.append(f"{name} {number} {'x' * 50}\n".encode())
        file.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    files = log_files(folder)
    assert len(files) > 3
    assert all(each.stat().st_size <= 20_500 for each in files)
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in files)
    said = [line.split()[:2] for each in files for line in each.read_text().splitlines()]
    assert len(said) == 2000
    for name in "abcd":
        assert [int(number) for who, number in said if who == name] == list(range(500))


def test_old_files_go(tmp_path):
    file = LogFile(tmp_path / "logs", "p", most_bytes=100, kept=2)
    for _ in range(50):
        file.append(b"x" * 49 + b"\n")
    assert len(log_files(tmp_path / "logs")) == 3


@pytest.mark.parametrize(
    "settings", [{"format": "xml"}, {"level": "loud"}, {"unknown": "x"}, {"level": 1}, {"stderr": "maybe"}]
)
def test_settings_are_read_strictly(settings):
    done = program("", settings)
    assert done.returncode
    assert "ValueError" in done.stderr
