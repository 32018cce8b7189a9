"""Runs a database server as its child and ends it when whoever started the guardian is gone.

Run as a file, not imported: `python -I -S guardian.py UID GID LIFELINE PROGRAM ARGUMENT...`, so it uses the
standard library only. It gives up root before anything else. The starter keeps the write end of the pipe
whose read end is LIFELINE: when that closes, by intent or because the starter was killed, the server gets a
fast shutdown. If the guardian itself is killed, the kernel tells the server (PR_SET_PDEATHSIG, Linux). The
guardian leaves as exit code the server's own, 64 for a wrong call, 70 if it would run the server as root. A
pipe is used for the starter because PR_SET_PDEATHSIG follows the *thread* that started a process.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PATIENCE = 60.0  # seconds for a fast shutdown, then an immediate one: crash recovery makes good for it
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


def main(arguments: list[str]) -> int:
    """Guard one server; the exit code."""
    if len(arguments) < 4:
        return 64
    uid, gid, lifeline, command = int(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3:]
    os.set_inheritable(lifeline, False)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if os.geteuid() == 0:
        return 70
    os.chdir("/")
    os.umask(0o077)
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    own = os.getpid()
    child = os.fork()
    if child == 0:
        _become(command, own)
    return _guard(child, lifeline, wake)


def _become(command: list[str], guardian: int) -> None:
    try:
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(FAST), 0, 0, 0)
        if os.getppid() == guardian:  # else the guardian went before the kernel was told
            os.execv(command[0], command)  # noqa: S606 - a list, never a shell
    finally:
        os._exit(71)


def _guard(child: int, lifeline: int, wake: int) -> int:
    watched = [lifeline, wake]
    while True:
        ready, _, _ = select.select(watched, [], [], None if lifeline in watched else PATIENCE)
        if not ready:
            _send(child, IMMEDIATE)
        if lifeline in ready and not os.read(lifeline, 64):
            watched.remove(lifeline)
            _send(child, FAST)
        if wake in ready:
            for number in os.read(wake, 64):
                if number == signal.SIGQUIT:
                    _send(child, IMMEDIATE)
                elif number in {signal.SIGTERM, signal.SIGINT}:
                    _send(child, FAST)
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _send(child: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
