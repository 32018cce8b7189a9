"""A process of its own that rotates a key in children, each killed by SIGKILL before another operation.

Called with a folder for secrets. For each operation on a file it prints a line of JSON: whether every secret
opened right after the kill, with which keys, and what was there after the rotation was gone on with.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from tests.forked import in_child

from ringfort.config import KeysConfig
from ringfort.errors import RingfortError
from ringfort.sites.custody import Custody, CustodySettings

NAMES = ("root.key", "canaries/c.key", "domains/a.key", "domains/b.key")
WRITES = frozenset({"open", "os.rename", "os.link", "os.remove", "os.truncate"})


def settings(folder, *, moves):
    """In place, or (`moves`) from `kek.key` to a file of another name."""
    return CustodySettings(folder, KeysConfig(kek_file=str(folder / ("moved.key" if moves else "kek.key"))))


def filled(folder):
    for each in ("domains", "canaries"):
        (folder / each).mkdir(parents=True)
    made = Custody(settings(folder, moves=False))
    made.make_current()
    for name in NAMES:
        made.create(name, name.encode() * 4)


def rotate(folder, *, moves):
    """What `ringfort keys rewrap` does to files."""
    custody = Custody(settings(folder, moves=moves))
    if moves:
        custody.keep(folder / "kek.key")
        custody.get("root.key")
        custody.make_current()
    elif not custody.files.before():
        custody.use_next(custody.make_next())
    assert not custody.rewrap().left


def die_before(operation, folder):
    """End this process, as a power cut would, before the n-th operation on a file below `folder`."""
    count = 0

    def hook(event, arguments):
        nonlocal count
        if event not in WRITES or not str(arguments[0]).startswith(str(folder)):
            return
        count += 1
        if count == operation:
            print(event, Path(str(arguments[0])).name, file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def opens(folder, *, moves):
    """Whether every secret opens, for a process that starts now; which keys wrap them."""
    custody = Custody(settings(folder, moves=moves))
    try:
        sound = all(custody.get(name) == name.encode() * 4 for name in NAMES)
    except RingfortError:
        sound = False
    return sound, sorted({each.kek for each in custody.status()})


def main(top, *, moves):
    operation = 0
    while True:
        operation += 1
        folder = top / f"{operation}"
        filled(folder)

        def act(folder=folder, operation=operation):
            die_before(operation, folder)
            rotate(folder, moves=moves)

        killed = in_child(act)
        before_moving = Custody(settings(folder, moves=False))
        between = opens(folder, moves=moves)
        if moves and not between[0]:  # nothing was done yet: it opens with the configuration of before
            between = opens(folder, moves=False)
        left = sorted(each.name for each in folder.iterdir())
        resumed = in_child(lambda folder=folder: rotate(folder, moves=moves))
        line = {
            "operation": operation,
            "killed": killed,
            "between": between,
            "left": left,
            "resumed": resumed,
            "after": opens(folder, moves=moves),
            "files": sorted(each.name for each in folder.glob("*.key*")),
            "hidden": [each.name for each in folder.rglob(".*")],
            "old": before_moving.files.current.id if moves else "",
        }
        print(json.dumps(line), flush=True)
        shutil.rmtree(folder)
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), moves=sys.argv[2] == "moves")
