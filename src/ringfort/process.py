"""How the gateway's processes start: configuration on standard input, one line of readiness on output.

A process is started as `python -m MODULE` with one JSON object on standard input (its secrets included, so
that they stand in no argument list and no environment). On standard output it says one line:
`{"ready": true, ...}` when it serves, or `{"ready": false, "message", "hint"}` when it cannot. It ends with
0 on SIGTERM, and dies when its parent dies. It leaves no core file and keeps its memory to itself. The
object's `log` says where its log lines go (`logs.LogSettings`).
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any

from ringfort import logs
from ringfort.errors import RingfortError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger("ringfort.process")  # not `__name__`: this stands in what `python -m` runs, too
FAULT_CODE = 70
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_said_ready = False


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent ends (Linux; elsewhere nothing happens)."""
    parent = os.getppid()
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def conceal() -> None:
    """No core file of this process, and (Linux) no look into its memory by others of the same account."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def ready(**facts: object) -> None:
    """Say on standard output that the process serves."""
    global _said_ready  # noqa: PLW0603 - a process says it once
    _said_ready = True
    _say({"ready": True, **facts})
    LOG.info("serving", extra={"event": "process-started"})


def main(run: Callable[[dict[str, Any]], None]) -> None:
    """Read the configuration, run, and turn what goes wrong into a log line and an exit code."""
    die_with_parent()
    conceal()
    try:
        run(_configuration())
        LOG.info("stopped", extra={"event": "process-stopped"})
    except RingfortError as error:
        _fail(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        LOG.critical("a fault of ours", exc_info=True, extra={"event": "fault"})
        _fail(f"a fault of ours ({type(error).__name__})", "", FAULT_CODE)


def _configuration() -> dict[str, Any]:
    text = sys.stdin.read()
    if not text:  # whoever began to start it has been stopped meanwhile, and there is nobody to tell
        sys.exit(UsageError.exit_code)
    try:
        config = json.loads(text)
    except ValueError:
        raise UsageError("standard input holds no JSON object") from None
    sys.stdin.close()
    if not isinstance(config, dict):
        raise UsageError("standard input holds no JSON object")
    try:
        logs.configure(logs.LogSettings.from_json(config.pop("log", {})))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return config


def _fail(message: str, hint: str, code: int) -> None:
    LOG.critical("%s", message, extra={"event": "process-failed"})
    logs.flush()
    if not _said_ready:
        _say({"ready": False, "message": message, "hint": hint})
    sys.exit(code)


def _say(facts: dict[str, object]) -> None:
    try:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
    except OSError:  # nobody listens any more
        LOG.debug("nobody reads standard output")


__all__ = ["FAULT_CODE", "conceal", "die_with_parent", "main", "ready"]
