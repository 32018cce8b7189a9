"""How a command ends when it is interrupted: by Ctrl-C, SIGTERM or SIGHUP, within a bounded time.

The first signal raises `KeyboardInterrupt` where the command is, after what may be waited for (a statement of
a database, a query over files) has been told to stop, from a thread of its own, so that nothing is cleaned up
behind a statement that goes on for hours. If the command has not ended `GRACE_SECONDS` later, and at the
second signal, the process ends at once: child processes go with it, an embedded server shuts down by itself,
and what is left half-made is what a crash would have left, which the same command mends. What follows within
`AGAIN_SECONDS` is the first signal, once more: wrappers pass on what the terminal has sent to all.

Until `running` nothing has been begun: there a signal ends the process with one line, whatever is just being
imported. After `over` it ends the process without a word. Light on purpose: it is loaded before all else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

GRACE_SECONDS = 15.0
STOP_SECONDS = 3.0
AGAIN_SECONDS = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BASE_CODE = 128  # plus the signal: what shells say of a program that a signal ended


class Stoppable(Protocol):
    """Something that may be at work for long, and can be told to stop from another thread."""

    def stop_work(self) -> None:
        """Stop what it is doing, soon; never for longer than `STOP_SECONDS`."""
        ...


class _Interruption:
    """What is known in this process."""

    def __init__(self) -> None:
        self.number = 0
        self.since = 0.0
        self.running = False
        self.deferring = False
        self.deferred = 0
        self.working: weakref.WeakSet[Stoppable] = weakref.WeakSet()


_state = _Interruption()


def install() -> None:
    """Answer the signals from here on; those that this process was told to ignore stay ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def running() -> None:
    """The command begins: from here on a signal is an exception, so that it can clean up."""
    _state.running = True


def over() -> None:
    """The command has ended: what it said is passed on, and a signal ends what Python has left to do."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    for each in SIGNALS:
        if signal.getsignal(each) is _on_signal:
            signal.signal(each, signal.SIG_DFL)


def number() -> int:
    """The signal that interrupted the command; 0 if none did."""
    return _state.number


def exit_code() -> int:
    """What the shell is told of an interrupted command: 130 for Ctrl-C."""
    return BASE_CODE + (_state.number or signal.SIGINT)


def note(received: int) -> None:
    """Somebody else answered this signal, and the command ends because of it."""
    _state.number, _state.since = received, time.monotonic()


def watch(work: Stoppable) -> None:
    """Have `work` told to stop when the command is interrupted, for as long as it exists."""
    _state.working.add(work)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """For beginning child processes: a signal that comes meanwhile is answered at the end.

    They begin with the signals blocked, so that one to the whole process group does not meet them half made:
    a child unblocks them (`SIGNALS`) once it has said how it answers them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    _state.deferring = True
    try:
        yield
    finally:
        _state.deferring = False
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        received, _state.deferred = _state.deferred, 0
        if received:
            _on_signal(received, None)


def _on_signal(received: int, _frame: FrameType | None) -> None:
    if _state.deferring:
        _state.deferred = received
        return
    if not _state.running:
        _end(received, "interrupted: nothing was begun")
    if _state.number:
        if time.monotonic() - _state.since < AGAIN_SECONDS:
            return
        _end(received, "interrupted twice: ended at once; run the same command again to mend what is left")
    note(received)
    threading.Thread(target=_see_to_the_end, args=(received,), daemon=True).start()
    raise KeyboardInterrupt


def _see_to_the_end(received: int) -> None:
    for work in list(_state.working):
        threading.Thread(target=_stop, args=(work,), daemon=True).start()
    threading.Event().wait(GRACE_SECONDS)
    _end(
        received,
        f"interrupted: it did not end within {GRACE_SECONDS:.0f} seconds and was ended at once;"
        " run the same command again to mend what is left",
    )


def _stop(work: Stoppable) -> None:
    try:
        work.stop_work()
    except Exception as error:  # noqa: BLE001 - whatever it is, the process ends all the same
        _say(f"a statement could not be cancelled: {type(error).__name__}")


def _end(received: int, line: str) -> None:
    _say(line)
    pool = sys.modules.get("multiprocessing")
    if pool is not None:
        for child in pool.active_children():
            child.kill()
    os._exit(BASE_CODE + received)


def _say(line: str) -> None:
    try:
        os.write(2, f"{line}\n".encode())  # not through a stream: this may be in the middle of anything
    except OSError:
        return


__all__ = [
    "AGAIN_SECONDS",
    "BASE_CODE",
    "GRACE_SECONDS",
    "STOP_SECONDS",
    "Stoppable",
    "deferred",
    "exit_code",
    "install",
    "note",
    "number",
    "over",
    "running",
    "watch",
]
