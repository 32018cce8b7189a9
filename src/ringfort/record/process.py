"""How the ledger's processes start: configuration on standard input, one line of readiness on output.

A process is started as `python -m ringfort.record.NAME` with one JSON object on standard input (its secrets
included, so that they stand in no argument list and no environment), says `{"ready": true, ...}` when it
serves, ends with 0 on SIGTERM, and dies when its parent dies.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from ringfort.errors import RingfortError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent ends (Linux; elsewhere nothing happens)."""
    parent = os.getppid()
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def ready(**facts: object) -> None:
    """Say on standard output that the process serves."""
    sys.stdout.write(json.dumps({"ready": True, **facts}) + "\n")
    sys.stdout.flush()


def main(run: Callable[[dict[str, Any]], None]) -> None:
    """Read the configuration, run, and turn a RingfortError into lines on standard error and an exit code."""
    die_with_parent()
    try:
        try:
            config = json.load(sys.stdin)
        except ValueError:
            raise UsageError("standard input holds no JSON object") from None
        sys.stdin.close()
        if not isinstance(config, dict):
            raise UsageError("standard input holds no JSON object")
        run(config)
    except RingfortError as error:
        sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
