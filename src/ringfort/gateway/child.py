"""A child process of the supervisor: started with its secrets on standard input, ready when it says so.

Every child is `python -m MODULE`. It gets one JSON object on standard input (its configuration and its own
secrets, never anybody else's; nothing secret stands in arguments, environment or files), prints one line of
JSON with `"ready": true` when it serves, and exits 0 on SIGTERM. Standard error is its log file.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringfort.errors import MissingEnvironmentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
_READY_LINE_BYTES = 65_536


@dataclass
class Child:
    """One supervised process. `ready` is what it said of itself, such as the port that it took."""

    name: str
    module: str
    config: Mapping[str, Any]
    log: Path
    inherited: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    ready: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Start it and wait until it serves; raises `MissingEnvironmentError` with the end of its log."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=descriptor,
                pass_fds=tuple(self.inherited),
                # its own process group: a Ctrl-C at the terminal reaches the supervisor, which stops
                # the children in their order
                process_group=0,
            )
        finally:
            os.close(descriptor)
        stdin = self.process.stdin
        if stdin is None:
            raise AssertionError
        with contextlib.suppress(BrokenPipeError), stdin:
            stdin.write(json.dumps(self.config).encode())
        self.ready = self._await_ready()

    def _await_ready(self) -> dict[str, Any]:
        process = self.process
        if process is None or process.stdout is None:
            raise AssertionError
        deadline = time.monotonic() + READY_SECONDS
        line = b""
        descriptor = process.stdout.fileno()
        while b"\n" not in line and len(line) < _READY_LINE_BYTES:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                self.kill()
                raise self._failed(f"was not ready within {READY_SECONDS:.0f} seconds")
            chunk = os.read(descriptor, 4096)
            if not chunk:
                raise self._failed(f"ended with {process.wait(STOP_SECONDS)} before it was ready")
            line += chunk
        try:
            said = json.loads(line.partition(b"\n")[0])
        except ValueError:
            said = None
        if not isinstance(said, dict) or said.get("ready") is not True:
            self.kill()
            raise self._failed("did not say that it is ready")
        return said

    def _failed(self, what: str) -> MissingEnvironmentError:
        lines = self.log.read_text(errors="replace").splitlines()[-50:] if self.log.exists() else []
        said = [each.removeprefix("error: ") for each in lines if each.startswith("error: ")]
        tail = (said or [each.strip() for each in lines if each.strip()])[-1:]
        reason = f": {tail[0]}" if tail else ""
        return MissingEnvironmentError(f"{self.name} {what}{reason}", hint=f"its log is {self.log}")

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
