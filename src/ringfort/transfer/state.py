"""What a run has done so far, on disk, so that one that was killed goes on where it was.

`state/transfers/NAME/RUN/` (0700) holds `run.json`, one marker file for each stage that is done, and the
data: `extract/` (rows of the site, in the region), `rows/` (reduced rows, sorted, until they are written),
`parts/` (what may leave), `release/` (what does).
Invariants: a marker is written whole and durable, after what it speaks of; whoever holds the lock is the
only one at work on a transfer; nothing here decides anything, the ledger does.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.paths import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ringfort.record.disk import Disk

RUN = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
EXTRACT, ROWS, PARTS, RELEASE = "extract", "rows", "parts", "release"
_MARK = re.compile(r"[a-z]+(-[A-Za-z0-9%_.~-]+)?")


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk

    @property
    def run(self) -> str:
        """The run's id."""
        return self.path.name

    def mark(self, name: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Keep a marker, durably."""
        data = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        self._disk.write_whole(self._marker(name), data)
        self._disk.sync_folder(self._marker(name).parent)

    def marked(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """The marker's value, None if that stage is not done."""
        data = self._disk.read(self._marker(name))
        if data is None:
            return None
        try:
            return json.loads(data)
        except ValueError:
            raise MissingEnvironmentError(
                f"`{self._marker(name)}` is damaged", hint="remove the run's folder: a new run begins anew"
            ) from None

    def marks(self, prefix: str) -> Iterator[Any]:
        """The values of all markers `PREFIX-...`, sorted by name."""
        for name in self._disk.names(self.path / prefix):
            if name.endswith(".json"):
                yield self.marked(f"{prefix}-{name.removesuffix('.json')}")

    def folder(self, name: str) -> Path:
        """A folder within, made if it is missing."""
        return private_folder(self.path / name)

    def clear(self, *names: str) -> None:
        """Delete what these names stand for."""
        for name in names:
            place = self.path / name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the whole run."""
        shutil.rmtree(self.path)

    def _marker(self, name: str) -> Path:
        if not _MARK.fullmatch(name):
            raise UsageError(f"`{name}` is no marker of a run")
        stage, dash, rest = name.partition("-")
        return self.path / stage / f"{rest}.json" if dash else self.path / f"{stage}.json"


def transfer_folder(deployment: Path, name: str) -> Path:
    """Where the runs of a transfer are, made or not."""
    return deployment / "state" / "transfers" / name


class TransferFolder:
    """`state/transfers/NAME`, held by one process at a time."""

    def __init__(self, deployment: Path, name: str, disk: Disk) -> None:
        path = transfer_folder(deployment, name)
        private_folder(path.parent)
        self.path = private_folder(path)
        self._disk = disk
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise UsageError(
                f"transfer `{name}` is being run by another process", hint="wait until it is done"
            ) from None

    def runs(self) -> list[RunFolder]:
        """The runs that have a folder, oldest first."""
        return [
            RunFolder(self.path / each, self._disk)
            for each in self._disk.names(self.path)
            if RUN.fullmatch(each)
        ]

    def new_run(self, name: str) -> RunFolder:
        """A folder for a new run."""
        made = RunFolder(private_folder(self.path / name), self._disk)
        self._disk.sync_folder(self.path)
        return made

    def trial(self) -> RunFolder:
        """A folder for work that is thrown away; what an earlier one left is deleted."""
        made = RunFolder(self.path / "trial", self._disk)
        if made.path.exists():
            made.remove()
        private_folder(made.path)
        return made

    def close(self) -> None:
        """Let go."""
        os.close(self._lock)


__all__ = ["EXTRACT", "PARTS", "RELEASE", "ROWS", "RUN", "RunFolder", "TransferFolder"]
