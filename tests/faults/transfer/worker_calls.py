"""Calls for workers of runs, in a module that loads nothing else: what they load is looked at."""

import os
import sys
import threading
from pathlib import Path


def forget(folder, number):
    """A call that is quick."""
    return f"{folder}:{number}"


def block(folder, number):
    """A call that says who does it, then waits for a file that may never come."""
    Path(folder, f"{number}.pid").write_text(str(os.getpid()))
    wait = threading.Event()
    while not Path(folder, "go").exists():
        wait.wait(0.02)
    return number


def refuse(_common, number):
    """A call that fails in a library's words."""
    raise ValueError(f"the value {number} is bad")


def end(_common, _number):
    """A call that ends its process."""
    os._exit(9)


def look(_common, _number):
    """What the worker's process has loaded, and whether its memory can be looked at."""
    return sorted(sys.modules), Path("/proc/self/environ").stat().st_uid
