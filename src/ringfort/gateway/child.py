"""A child process of the supervisor: started with its secrets on standard input, ready when it says so.

Every child is `python -m MODULE`. It gets one JSON object on standard input (its configuration and its own
secrets, never anybody else's; nothing secret stands in arguments, environment or files), prints one line of
JSON with `"ready": true` when it serves, and exits 0 on SIGTERM. Its log lines go to our standard error and
to the file of its kind (`ringfort.logs`). Nothing here keeps a clock for a start: a child that is slow has
not failed, and one that cannot start says so and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringfort.errors import MissingEnvironmentError
from ringfort.logs import slow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READY_SECONDS = 900.0  # the last resort, for a child that hangs: longer than any start that succeeds
SLOW_START_SECONDS = 10.0  # then a line says that it lasts
STOP_SECONDS = 15.0
_READY_LINE_BYTES = 65_536


@dataclass
class Child:
    """One supervised process. `ready` is what it said of itself, such as the port that it took."""

    name: str
    module: str
    config: Mapping[str, Any]
    inherited: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    ready: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Start it and wait until it serves; raises `MissingEnvironmentError` with what it said."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tuple(self.inherited),
            # its own process group: a Ctrl-C at the terminal reaches the supervisor, which stops
            # the children in their order
            process_group=0,
        )
        stdin = self.process.stdin
        if stdin is None:
            raise AssertionError
        with contextlib.suppress(BrokenPipeError), stdin:
            stdin.write(json.dumps(self.config).encode())
        with slow(f"the start of {self.name}", seconds=SLOW_START_SECONDS):
            self.ready = self._await_ready()

    def _await_ready(self) -> dict[str, Any]:
        process = self.process
        if process is None or process.stdout is None:
            raise AssertionError
        line = b""
        descriptor = process.stdout.fileno()
        while b"\n" not in line and len(line) < _READY_LINE_BYTES:
            if not select.select([descriptor], [], [], READY_SECONDS)[0]:
                self.kill()
                raise self._failed(f"said nothing for {READY_SECONDS:.0f} seconds")
            chunk = os.read(descriptor, 4096)
            if not chunk:
                raise self._failed(f"ended with {self._code()} before it was ready")
            line += chunk
        try:
            said = json.loads(line.partition(b"\n")[0])
        except ValueError:
            said = None
        if isinstance(said, dict) and said.get("ready") is False:
            code = self._code()
            words = f"ended with {code} before it was ready: {said.get('message', '')}"
            raise self._failed(words, str(said.get("hint", "")))
        if not isinstance(said, dict) or said.get("ready") is not True:
            self.kill()
            raise self._failed("did not say that it is ready")
        return said

    def _code(self) -> int:
        """The exit code of a child that is ending."""
        process = self.process
        if process is None:
            raise AssertionError
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return process.wait()

    def _failed(self, what: str, hint: str = "") -> MissingEnvironmentError:
        return MissingEnvironmentError(
            f"{self.name} {what}", hint=hint or "`ringfort logs DIR` shows what it said"
        )

    def poll(self) -> int | None:
        """The exit code if it has ended."""
        return None if self.process is None else self.process.poll()

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end, then make it; closes what was open to it."""
        process = self.process
        if process is None:
            return
        self.tell(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        if process.stdout is not None:
            process.stdout.close()
        self.process = None

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()


def unconfined(parser: Child | None) -> str:
    """A line that names what should confine the reader of texts and is not on this machine, "" if all is."""
    lacking = [] if parser is None else parser.ready.get("lacking", [])
    return f"\nwarning   the reader of texts is not confined by {' and '.join(lacking)}" if lacking else ""
