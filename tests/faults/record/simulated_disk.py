"""A disk in memory that fails on demand and loses, in a crash, what was never made durable.

It keeps what a kernel and a disk keep: written data that is not yet synced may survive a crash sector by
sector, in any selection; a name that is not yet synced may or may not be there. Operations are numbered; one
of them can be made to fail, before or after it took effect.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


@dataclass
class File:
    """What is durable, and what has been written since, in order."""

    durable: bytearray = field(default_factory=bytearray)
    written: list[tuple[int, bytes]] = field(default_factory=list)

    def content(self) -> bytes:
        data = bytearray(self.durable)
        for offset, part in self.written:
            _put(data, offset, part)
        return bytes(data)

    def sync(self) -> None:
        self.durable = bytearray(self.content())
        self.written = []


def _put(data: bytearray, offset: int, part: bytes) -> None:
    if len(data) < offset + len(part):
        data.extend(bytes(offset + len(part) - len(data)))
    data[offset : offset + len(part)] = part


class SimulatedDisk:
    """Implements the `Disk` port."""

    def __init__(self) -> None:
        self.files: dict[Path, File] = {}
        self.folders: set[Path] = set()
        self.durable_names: dict[Path, File] = {}
        self.operations = 0
        self.fail_at = -1
        self.fail_after_effect = False
        self.fail_forever = False

    # The port

    def make_folder(self, path):
        if path not in self.folders:
            self._operation(lambda: self.folders.update([path, *path.parents]))

    def names(self, path):
        found = {each.relative_to(path).parts[0] for each in self.files if path in each.parents}
        return sorted(found)

    def read(self, path):
        file = self.files.get(path)
        return None if file is None else file.content()

    def size(self, path):
        data = self.read(path)
        return -1 if data is None else len(data)

    def create_zeroed(self, path, size):
        def create():
            self.files[path] = self.durable_names[path] = File(bytearray(size))

        self._operation(create)

    def open(self, path):
        if path not in self.files:
            self.files[path] = File()
        return OpenSimulatedFile(self, self.files[path])

    def write_whole(self, path, data, *, sync=True):
        def write():
            self.files[path] = File(bytearray(data)) if sync else File(written=[(0, data)])

        self._operation(write)

    def rename(self, old, new):
        def rename():
            self.files[new] = self.files.pop(old)

        self._operation(rename)

    def remove(self, path):
        self._operation(lambda: self.files.pop(path, None))

    def remove_folder(self, path):
        pass

    def sync_folder(self, path):
        def sync():
            for each in {*self.files, *self.durable_names}:
                if each.parent == path:
                    if each in self.files:
                        self.durable_names[each] = self.files[each]
                    else:
                        del self.durable_names[each]

        self._operation(sync)

    # Failing

    def _operation(self, effect) -> None:
        self.operations += 1
        failing = self.operations == self.fail_at or (
            self.fail_forever and self.operations > self.fail_at > 0
        )
        if not failing or (self.fail_after_effect and self.operations == self.fail_at):
            effect()
        if failing:
            raise OSError(errno.EIO, "Input/output error")

    def crashed(self, randomness) -> SimulatedDisk:
        """The disk as it may be found after a power cut now."""
        after = SimulatedDisk()
        after.folders = set(self.folders)
        names = dict(self.durable_names)
        for path in {*self.files, *names}:
            if self.files.get(path) is not names.get(path) and randomness.random() < 0.5:
                if path in self.files:
                    names[path] = self.files[path]
                else:
                    names.pop(path, None)
        for path, file in names.items():
            data = bytearray(file.durable)
            for offset, part in file.written:
                # Data within an allocated file survives by sectors, what makes it longer as a whole or not.
                if offset + len(part) > len(data):
                    if randomness.random() < 0.5:
                        _put(data, offset, part)
                    continue
                keep_all = randomness.random() < 0.2
                position = offset
                while position < offset + len(part):
                    end = min((position // SECTOR + 1) * SECTOR, offset + len(part))
                    if keep_all or randomness.random() < 0.5:
                        _put(data, position, part[position - offset : end - offset])
                    position = end
            after.files[path] = after.durable_names[path] = File(data)
        return after


class OpenSimulatedFile:
    def __init__(self, disk, file):
        self._disk = disk
        self._file = file

    def write(self, offset, data):
        self._disk._operation(lambda: self._file.written.append((offset, bytes(data))))

    def sync(self):
        self._disk._operation(self._file.sync)

    def close(self):
        pass
