"""A process of its own that kills runs at a durable write and then removes the recipient.

Called with a deployment's folder that is approved and was never run, the writes to die at, and `after` or
`before` they take effect. For each it prints one line of JSON: what the record and the target say after the
kill, and after each of two further runs.
"""

import json
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.transfer.kill_at_each_write import DeadlyDisk
from tests.forked import in_child
from tests.transfer_deployment import NAME, Deployed, digests

from ringfort.errors import RingfortError
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import PrincipalRemoved
from ringfort.record.client import open_ledger
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess


def look(deployed):
    runs = deployed.state().transfers[NAME].runs
    return {
        "status": [[each.status, each.outcome, each.files, each.held] for each in runs],
        "releases": [digests(each) for each in deployed.releases()],
        "hidden": [each.name for each in deployed.outbox.glob(".*")],
        "here": [each.name for each in (deployed.folder / "state" / "transfers" / NAME).glob("2*")],
    }


def run_quietly(deployed):
    try:
        run_transfer(deployed.config, NAME, InProcess())
    except RingfortError:
        raise SystemExit(1) from None


def main(folder, after, writes):
    made = Path(folder)
    for at in writes:
        deployed = Deployed(Path(shutil.copytree(made, made.parent / f"killed-{at}", symlinks=True)))
        disk = DeadlyDisk(at, after=after)
        killed = in_child(
            lambda disk=disk, to=deployed: run_transfer(to.config, NAME, InProcess(), disk=disk)
        )
        told = {"at": at, "killed": killed == -signal.SIGKILL, "then": look(deployed)}
        with open_ledger(deployed.folder) as ledger:
            now = format_time(datetime.now(UTC))
            ledger.append([PrincipalRemoved(time=now, actor="operator", name="acme")])
        for number in (1, 2):
            in_child(lambda to=deployed: run_quietly(to))
            told[f"run {number}"] = look(deployed)
        print(json.dumps(told), flush=True)
        shutil.rmtree(deployed.folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "after", [int(each) for each in sys.argv[3:]])
