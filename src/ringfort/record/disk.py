"""The file operations that durability stands on, as a port, so that each can be made to fail in a test.

`OsDisk` is the real one. After a failed sync nothing is known about what is on the disk (the kernel may have
dropped the pages): callers must give up, never try the sync again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

_ZEROS = bytes(1 << 20)


class OpenFile(Protocol):
    """A file open for writing at offsets."""

    def write(self, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`; not durable before `sync`."""
        ...

    def sync(self) -> None:
        """Make everything written durable (fdatasync)."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Disk(Protocol):
    """Files and folders with stated durability."""

    def make_folder(self, path: Path) -> None:
        """Create a folder and its parents (0700), durably."""
        ...

    def names(self, path: Path) -> list[str]:
        """The names in a folder, sorted; empty if there is none."""
        ...

    def read(self, path: Path) -> bytes | None:
        """A file's bytes, None if there is no such file."""
        ...

    def size(self, path: Path) -> int:
        """A file's length in bytes, -1 if there is no such file."""
        ...

    def create_zeroed(self, path: Path, size: int) -> None:
        """Create a file of `size` zero bytes, durable with its size and its name."""
        ...

    def open(self, path: Path) -> OpenFile:
        """Open a file for writing, creating it empty (not yet durably) if there is none."""
        ...

    def write_whole(self, path: Path, data: bytes, *, sync: bool = True) -> None:
        """Replace a file by `data`: temporary file, sync, rename. Durable in name after `sync_folder`.

        Without `sync` a crash may leave anything under the name; who reads it after one has to check it.
        """
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file in its folder; durable after `sync_folder`."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file; no error if there is none."""
        ...

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder; no error if it is not empty or not there."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Make a folder's names durable."""
        ...


class _OsFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            offset += written
            view = view[written:]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class OsDisk:
    """The operating system's files."""

    def make_folder(self, path: Path) -> None:
        """Create a folder and its parents (0700), durably."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        self.sync_folder(path.parent)

    def names(self, path: Path) -> list[str]:
        """The names in a folder, sorted; empty if there is none."""
        try:
            return sorted(os.listdir(path))  # noqa: PTH208 - names are what is asked for
        except FileNotFoundError:
            return []

    def read(self, path: Path) -> bytes | None:
        """A file's bytes, None if there is no such file."""
        try:
            return path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def size(self, path: Path) -> int:
        """A file's length in bytes, -1 if there is no such file."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return -1

    def create_zeroed(self, path: Path, size: int) -> None:
        """Create a file of `size` zero bytes: written, not reserved, so later syncs touch no metadata."""
        temporary = path.with_name(path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            left = size
            while left:
                left -= os.write(descriptor, _ZEROS[: min(left, len(_ZEROS))])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        self.sync_folder(path.parent)

    def open(self, path: Path) -> OpenFile:
        """Open a file for writing, creating it empty if there is none."""
        return _OsFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def write_whole(self, path: Path, data: bytes, *, sync: bool = True) -> None:
        """Replace a file by `data`: temporary file, sync, rename."""
        temporary = path.with_name(path.name + ".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, flags, 0o600)
        except FileNotFoundError:
            self.make_folder(path.parent)
            descriptor = os.open(temporary, flags, 0o600)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)  # noqa: PTH104 - on the way of every tile

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file in its folder."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """Remove a file; no error if there is none."""
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder; no error if it is not empty or not there."""
        with contextlib.suppress(OSError):
            path.rmdir()

    def sync_folder(self, path: Path) -> None:
        """Make a folder's names durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
