"""A test run that is killed leaves no deployment behind: all its processes go with it."""

import subprocess
import sys

from tests.cli.test_up import alive, everything
from tests.live_deployment import WITH_PARENT, deployment, wait_for

HELPER = """
import subprocess, sys
quiet = subprocess.DEVNULL
process = subprocess.Popen(sys.argv[1:], stdin=quiet, stdout=quiet, stderr=quiet)
print(process.pid, flush=True)
process.wait()
"""


class _Started:
    """A process that somebody else started."""

    def __init__(self, pid):
        self.pid = pid

    def poll(self):
        return None if alive({self.pid}) else 0


def test_a_deployment_goes_with_whoever_started_it():
    with deployment(people=50) as live:
        command = [*WITH_PARENT, sys.executable, "-m", "ringfort.cli.main", "up", str(live.folder)]
        helper = subprocess.Popen(
            [sys.executable, "-c", HELPER, *command, "--ready-file", str(live.ready_file)],
            stdout=subprocess.PIPE,
        )
        try:
            live.process = _Started(int(helper.stdout.readline()))
            live.wait_ready()
            pids = everything(live)
            assert len(pids) > 6
        finally:
            helper.kill()
            helper.wait()
            helper.stdout.close()
            live.process = None
        wait_for(lambda: not alive(pids), seconds=300)
