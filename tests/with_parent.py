"""Runs a command that ends when whoever started it is gone: `python with_parent.py COMMAND ARGUMENT...`.

A test run that is interrupted, or killed with its workers, leaves no deployment behind. The kernel sends
SIGTERM when the parent ends (Linux), and `ringfort up` stops everything cleanly then.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main():
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
