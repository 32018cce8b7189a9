"""Where a process's lines go: a bounded queue, a thread behind it, standard error and a file.

`configure` may be called again (tests, a command that learns its folder): the last call counts. A forked
child starts with an empty queue and a thread of its own.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import select
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfort.logs.file import LogFile
from ringfort.logs.line import LEVELS, LIBRARY, OURS, Line, describe, is_ours, line_of, time_text, where

if TYPE_CHECKING:
    from types import TracebackType

QUEUE_LINES = 10_000
FLUSH_SECONDS = 5.0
LINES_IN_TIME = 200  # of one event and level
TIME_SECONDS = 10.0
_STDERR_MS = 1_000
_STDERR = 2
_BATCH = 256


@dataclass(frozen=True)
class LogSettings:
    """What a process is told about its lines; `folder` empty means standard error alone."""

    process: str = "ringfort"
    folder: str = ""
    file: str = ""  # the file's name without `.log`; empty: the process's
    format: str = "text"  # or "json"
    level: str = "info"
    stderr: str = "info"  # the least grave level that standard error gets; "none" for nothing

    @classmethod
    def from_json(cls, value: object) -> LogSettings:
        """Strictly from what a parent sent; raises `ValueError`."""
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValueError("the log settings must be an object of texts")
        if set(value) - set(cls.__dataclass_fields__):
            raise ValueError("the log settings hold something unknown")
        settings = cls(**value)
        if (
            settings.format not in {"text", "json"}
            or settings.level not in LEVELS
            or settings.stderr not in {*LEVELS, "none"}
        ):
            raise ValueError("the log settings hold an unknown format or level")
        return settings


class _Omitted:
    """Counts lines of one event beyond what a time may hold."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, int], float] = {}
        self._lines: dict[tuple[str, int], int] = {}

    def passes(self, event: str, level: int) -> bool:
        key, now = (event, level), time.monotonic()
        if (
            now - self._since.get(key, -TIME_SECONDS) >= TIME_SECONDS
            and self._lines.get(key, 0) <= LINES_IN_TIME
        ):
            self._since[key], self._lines[key] = now, 0
        count = self._lines[key] = self._lines.get(key, 0) + 1
        return count <= LINES_IN_TIME

    def over(self, *, at_once: bool = False) -> list[tuple[str, int]]:
        """The events whose time is over, and how many lines of them were left out."""
        now, found = time.monotonic(), []
        for key, count in list(self._lines.items()):
            if at_once or now - self._since[key] >= TIME_SECONDS:
                del self._lines[key], self._since[key]
                if count > LINES_IN_TIME:
                    found.append((key[0], count - LINES_IN_TIME))
        return found


class _Queued(logging.Handler):
    """Puts what may be told into the queue; never waits, never raises."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__()
        self.settings = settings
        self._queue: queue.Queue[Line | threading.Event | None] = queue.Queue(QUEUE_LINES)
        self._lost = 0
        self._omitted = _Omitted()
        self._file = (
            LogFile(Path(settings.folder), settings.file or settings.process) if settings.folder else None
        )
        self._file_fails = False
        self._poller = select.poll()
        self._poller.register(_STDERR, select.POLLOUT)
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = str(getattr(record, "event", "")) if is_ours(record.name) else LIBRARY
            if self._omitted.passes(event, record.levelno):
                self._put(line_of(record, self.settings.process))
        except Exception:  # noqa: BLE001 - what cannot be told must not end what tells it
            self._lost += 1

    def _put(self, line: Line) -> None:
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def flush(self) -> None:
        """Wait until what was said so far is written, or `FLUSH_SECONDS`."""
        written = threading.Event()
        try:
            self._queue.put(written, timeout=FLUSH_SECONDS)
        except queue.Full:
            return
        if self._thread.is_alive():
            written.wait(FLUSH_SECONDS)

    def close(self) -> None:
        """Write what is there, end the thread, let the file go."""
        super().close()
        for event, count in self._omitted.over(at_once=True):
            self._put(self._own("log-lines-omitted", f"{count} more lines of `{event}`"))
        try:
            self._queue.put(None, timeout=FLUSH_SECONDS)
        except queue.Full:
            return
        if self._thread is not threading.current_thread():
            self._thread.join(FLUSH_SECONDS)

    # -- the thread --------------------------------------------------------------------------------

    def _write_all(self) -> None:
        while True:
            try:
                first = self._queue.get(timeout=TIME_SECONDS)
            except queue.Empty:
                self._write(self._counts())
                continue
            batch, waiting, ended = [first], [], False
            while len(batch) < _BATCH:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            lines = []
            for each in batch:
                if isinstance(each, Line):
                    lines.append(each)
                elif each is None:
                    ended = True
                else:
                    waiting.append(each)
            self._write(lines + self._counts())
            for each in waiting:
                each.set()
            if ended:
                if self._file is not None:
                    self._file.close()
                return

    def _counts(self) -> list[Line]:
        lines = [
            self._own("log-lines-omitted", f"{count} more lines of `{event}`")
            for event, count in self._omitted.over()
        ]
        if self._lost:
            lost, self._lost = self._lost, 0
            lines.append(self._own("log-lines-lost", f"{lost} lines could not be kept"))
        return lines

    def _own(self, event: str, message: str, level: str = "warning") -> Line:
        return Line(time_text(time.time()), level, self.settings.process, event, "", message)

    def _write(self, lines: list[Line]) -> None:
        if not lines:
            return
        if self._file is not None:
            try:
                self._file.append(b"".join(map(self._bytes, lines)))
            except OSError as error:
                self._file.close()
                if not self._file_fails:
                    words = f"the log file cannot be written: {describe(error)}"
                    lines = [*lines, self._own("log-file-failed", words, "error")]
                self._file_fails = True
            else:
                self._file_fails = False
        for line in lines:
            if self.settings.stderr != "none" and line.gravity >= LEVELS.index(self.settings.stderr):
                self._say(self._bytes(line))

    def _bytes(self, line: Line) -> bytes:
        return (line.json() if self.settings.format == "json" else line.text()).encode() + b"\n"

    def _say(self, data: bytes) -> None:
        """To standard error, unless it stands still."""
        try:
            if self._poller.poll(_STDERR_MS):
                os.write(_STDERR, data)
            elif self._file is None:
                self._lost += 1
        except OSError:  # closed, or a terminal that is gone
            return


_current: _Queued | None = None


def configure(settings: LogSettings) -> None:
    """From now on lines of this process go where `settings` say."""
    global _current
    root = logging.getLogger()
    previous, _current = _current, _Queued(settings)
    root.addHandler(_current)
    if previous is not None:
        root.removeHandler(previous)
        previous.close()
    else:
        atexit.register(_close)
        sys.excepthook = _uncaught
        threading.excepthook = _uncaught_in_thread
        logging.raiseExceptions = False
        logging.captureWarnings(capture=True)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_again)
    root.setLevel(logging.WARNING)
    for name in (OURS, "__main__"):
        logging.getLogger(name).setLevel(settings.level.upper())


def flush() -> None:
    """Wait, not for long, until what was said so far is written."""
    if _current is not None:
        _current.flush()


def settings_in_force() -> LogSettings | None:
    """What `configure` was told last."""
    return None if _current is None else _current.settings


def _close() -> None:
    global _current  # noqa: PLW0603
    if _current is not None:
        logging.getLogger().removeHandler(_current)
        _current.close()
        _current = None


def _again() -> None:
    """In a forked child: the parent's thread is not here."""
    global _current  # noqa: PLW0603
    if _current is not None:
        root = logging.getLogger()
        root.removeHandler(_current)
        _current = _Queued(_current.settings)
        root.addHandler(_current)


def _uncaught(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _crashed(error)


def _uncaught_in_thread(arguments: Any) -> None:  # noqa: ANN401 - the library keeps its type to itself
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        _crashed(arguments.exc_value)


def _crashed(error: BaseException) -> None:
    logging.getLogger(OURS).critical(
        "a fault of ours: %s at %s", describe(error), where(error), extra={"event": "fault"}
    )
    flush()


__all__ = ["LogSettings", "configure", "flush", "settings_in_force"]
