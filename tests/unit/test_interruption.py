"""Signals while child processes are begun: answered afterwards, once, and not lost."""

import os
import subprocess
import sys

SCRIPT = """
import os, signal, subprocess, sys
from ringfort import interruption

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have had it ignored
interruption.install()
interruption.running()
done = []
try:
    with interruption.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        child = subprocess.run(
            [sys.executable, "-c", "import signal; print(signal.SIGINT in signal.pthread_sigmask(0, ()))"],
            capture_output=True, text=True, check=True,
        )
        done.append("begun")
    done.append("lost")
except KeyboardInterrupt:
    done.append("interrupted")
print(" ".join(done), child.stdout.strip(), signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
os._exit(0)
"""


def test_a_signal_meanwhile_is_answered_at_the_end_and_children_begin_with_it_blocked():
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=os.environ)
    assert said.stderr == ""
    assert said.stdout.split() == ["begun", "interrupted", "True", "False"]
