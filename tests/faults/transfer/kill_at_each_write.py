"""A process of its own that runs a transfer in children, each killed by SIGKILL at another durable write.

Called with a deployment's folder and the writes to die at, `after` or `before` they take effect. For each it
prints one line of JSON: what stood at the target after the kill, and after the run that went on.
"""

import json
import os
import signal
import sys
from pathlib import Path

from tests.forked import in_child
from tests.transfer_deployment import NAME, Deployed, digests

from ringfort.record.disk import OsDisk
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess


class DeadlyDisk(OsDisk):
    """Ends the process, as a power cut would, at the n-th operation that changes the disk."""

    def __init__(self, at, *, after):
        self.at = at
        self.after = after
        self.count = 0

    def write_whole(self, path, data, *, sync=True):
        self._at(lambda: super(DeadlyDisk, self).write_whole(path, data, sync=sync))

    def sync_folder(self, path):
        self._at(lambda: super(DeadlyDisk, self).sync_folder(path))

    def _at(self, act):
        self.count += 1
        if self.count == self.at and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        act()
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, after, writes):
    deployed = Deployed(Path(folder))
    for at in writes:
        before = set(deployed.releases())
        killed = in_child(
            lambda at=at: run_transfer(deployed.config, NAME, InProcess(), disk=DeadlyDisk(at, after=after))
        )
        between = [each for each in deployed.releases() if each not in before]
        resumed = 0
        if killed == -signal.SIGKILL:
            resumed = in_child(lambda: run_transfer(deployed.config, NAME, InProcess()))
        new = [each for each in deployed.releases() if each not in before]
        left = [
            each.name for each in (deployed.folder / "state" / "transfers" / NAME).iterdir() if each.is_dir()
        ]
        line = {
            "at": at,
            "killed": killed,
            "between": [digests(each) for each in between],
            "hidden": [each.name for each in deployed.outbox.glob(".*")],
            "resumed": resumed,
            "new": [digests(each) for each in new],
            "left": [each for each in left if each != "kept"],
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "after", [int(each) for each in sys.argv[3:]])
