"""A log file that several processes append to, bounded in size: `NAME.log`, before it `NAME.log.1` and so on.

The folder is 0700 and ours, a file 0600. Lines are appended whole by one write, so those of several processes
do not mix. Whoever finds the file full renames it while holding a lock on the folder; the others see that the
name stands for another file and open that one. What cannot be written is the caller's to say.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

FILE_BYTES = 8 * 1024 * 1024
KEPT = 4  # rotated files beside the current one


class LogFile:
    """The file `NAME.log` in `folder`, opened when the first line comes."""

    def __init__(self, folder: Path, name: str, *, most_bytes: int = FILE_BYTES, kept: int = KEPT) -> None:
        self.path = folder / f"{name}.log"
        self._most_bytes = most_bytes
        self._kept = kept
        self._descriptor = -1

    def append(self, data: bytes) -> None:
        """Append whole lines; raises `OSError` if they cannot be written."""
        self._follow()
        if self._descriptor < 0:
            self._descriptor = self._open()
        if os.fstat(self._descriptor).st_size + len(data) > self._most_bytes:
            self._rotate()
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _follow(self) -> None:
        """Let the file go if its name stands for another one by now, or for none."""
        if self._descriptor < 0:
            return
        own = os.fstat(self._descriptor)
        try:
            named = self.path.lstat()
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (own.st_dev, own.st_ino):
            self.close()

    def _open(self) -> int:
        _own_folder(self.path.parent)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, 0o600)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            os.close(descriptor)
            raise PermissionError(1, "others can read the log file")
        return descriptor

    def _rotate(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self._follow()
            if self._descriptor >= 0:  # nobody did it meanwhile
                for number in range(self._kept, 0, -1):
                    older = f"{self.path}.{number}"
                    newer = str(self.path) if number == 1 else f"{self.path}.{number - 1}"
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(newer, older)  # noqa: PTH105
                self.close()
        finally:
            os.close(folder)
        self._descriptor = self._open()


def _own_folder(folder: Path) -> None:
    """Make the folder 0700 if it is missing; raises `OSError` if others may enter it."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(1, "others can enter the folder of logs")


def log_files(folder: Path) -> list[Path]:
    """Every log file in `folder`, the rotated ones of a name before its current one."""
    try:  # not glob(), which says of a folder that is closed to us that it is empty
        names = sorted(path for path in folder.iterdir() if path.name.endswith(".log"))
    except FileNotFoundError:
        names = []
    found = []
    for path in names:
        found += [old for number in range(99, 0, -1) if (old := Path(f"{path}.{number}")).exists()]
        found.append(path)
    return found


__all__ = ["FILE_BYTES", "KEPT", "LogFile", "log_files"]
