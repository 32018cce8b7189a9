"""Ends a database server that a crashed predecessor left behind, and clears what it left in the data folder.

Called only by the holder of the site's lock. A process counts as the server of a data folder if its id
stands in `postmaster.pid` and its working folder is that folder (PostgreSQL changes into it); a number that
was taken over by some other process is never signalled. Leaves out machines without /proc: there
PostgreSQL's own check decides.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from ringfort.errors import MissingEnvironmentError

FAST_SECONDS, IMMEDIATE_SECONDS = 30.0, 10.0


def end_server(data: Path) -> bool:
    """Shut down a server that still runs on `data` and remove a stale `postmaster.pid`; whether one ran.

    Raises `MissingEnvironmentError` if it cannot be ended.
    """
    pid_file = data / "postmaster.pid"
    pid = _recorded(pid_file)
    if pid is None:
        return False
    ran = serves(pid, data)
    for number, seconds in ((signal.SIGINT, FAST_SECONDS), (signal.SIGQUIT, IMMEDIATE_SECONDS)):
        if not serves(pid, data):
            break
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while serves(pid, data) and time.monotonic() < deadline:
            time.sleep(0.02)
    if serves(pid, data):
        raise MissingEnvironmentError(
            f"a database server (process {pid}) still runs on `{data}` and does not stop",
            hint=f"stop it with `kill -QUIT {pid}`",
        )
    if Path("/proc/self").exists() and not serves(_recorded(pid_file) or 0, data):
        pid_file.unlink(missing_ok=True)  # stale, even if some other process has that number now
    return ran


def serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is alive and works in `data`."""
    if pid <= 0:
        return False
    try:
        if Path(f"/proc/{pid}/cwd").samefile(data):
            return _state(pid) != "Z"
    except OSError:
        pass
    return False


def _state(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="ascii", errors="replace")
            .rpartition(")")[2]
            .split()[0]
        )
    except (OSError, IndexError):
        return "Z"


def _recorded(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0])
    except (OSError, ValueError):
        return None
