"""The real writer process, started for a test and always ended."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from contextlib import contextmanager

from ringfort.record.evidence import public_half

EVIDENCE_KEY = bytes(range(1, 33))
SEED = bytes(range(32))
ORIGIN = "ledger.example/test"


def configuration(folder, **changes):
    return {
        "folder": str(folder / "ledger"),
        "socket": str(folder / "w.sock"),
        "origin": ORIGIN,
        "key": base64.b64encode(SEED).decode(),
        "evidence_public": base64.b64encode(public_half(EVIDENCE_KEY)).decode(),
        "merge_delay_seconds": 0.3,
        "segment_bytes": 1 << 18,
        **changes,
    }


def start(module, config):
    process = subprocess.Popen(
        [sys.executable, "-m", f"ringfort.record.{module}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(json.dumps(config).encode())
    process.stdin.close()
    process.stdin = None
    return process


def ready(process):
    line = process.stdout.readline()
    if not line:
        _, errors = process.communicate(timeout=10)
        raise AssertionError(f"the process ended with {process.returncode}: {errors.decode()}")
    return json.loads(line)


def finish(process):
    """SIGTERM; gives the exit code and what it wrote to standard error that is graver than information."""
    process.terminate()
    _, errors = process.communicate()
    said = errors.decode().splitlines(keepends=True)
    return process.returncode, "".join(each for each in said if " info " not in each)


@contextmanager
def running(config, module="writer"):
    """The process and what it said when ready; ended and waited for at the end."""
    process = start(module, config)
    try:
        yield process, ready(process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        for stream in (process.stdout, process.stderr):
            stream.close()
