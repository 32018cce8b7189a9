"""The key-encryption keys of a deployment that stand in files: the one in use, the next, those before.

    FILE              in use: what new secrets are wrapped with
    FILE.next         made, and not in use yet
    FILE.before-ID    out of use, kept for as long as a secret may name it

Invariants: whatever happens between two of these steps, there is a key in use, and every key that a secret
can name is in one of the files; a key goes into use by a rename, so that it is there whole; the key before is
beside it first. A file of a key before is taken for that key only if it holds it. Which secrets there are is
not known here (`sites.custody`), nor who may rotate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import (
    destroy_half_written,
    destroy_private,
    read_private,
    sync_folder,
    write_private,
)
from ringfort.sites.key_encryption import FileKeyEncryptionKey

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "file:"
_BEFORE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class KekFile:
    """A key-encryption key in a file. `place` is `in use`, `next` or `before`."""

    id: str
    path: Path
    place: str


class KekFiles:
    """The keys in and beside `path`. Changes are the caller's to serialise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = path.with_name(f"{path.name}.next")

    @property
    def current(self) -> FileKeyEncryptionKey:
        """The key in use; raises `MissingEnvironmentError`."""
        return FileKeyEncryptionKey.read(self.path)

    def find(self, kek: str) -> FileKeyEncryptionKey | None:
        """The key of that id, None if it is in none of the files."""
        unread: MissingEnvironmentError | None = None
        for path in (self.path, self._before(kek)):  # in this order a switch meanwhile hides no key
            if path is None or not path.exists():
                continue
            try:
                found = FileKeyEncryptionKey.read(path)
            except MissingEnvironmentError as error:
                unread = error
            else:
                if found.id == kek:
                    return found
        if unread is not None:
            raise unread
        return None

    def make_first(self) -> bool:
        """Make the key in use if there is none; gives whether it was made."""
        if self.path.exists():
            return False
        FileKeyEncryptionKey.create(self.path)
        return True

    def make_next(self) -> FileKeyEncryptionKey:
        """The next key, which is made if there is none."""
        if not self._next.exists():
            return FileKeyEncryptionKey.create(self._next)
        return FileKeyEncryptionKey.read(self._next)

    def use_next(self, kek: str) -> None:
        """Put the next key, which has this id, into use; the one that was is kept beside it."""
        if self.current.id == kek:
            return
        if not self._next.exists() or self.make_next().id != kek:
            raise UsageError(
                "another process has rotated the key-encryption key meanwhile",
                hint="`ringfort keys status` shows what is wrapped with which key",
            )
        before = self._before(self.current.id)
        if before is not None and not before.exists():
            before.hardlink_to(self.path)  # the bytes are not copied, so that they can be destroyed
            sync_folder(self.path.parent)
        self._next.replace(self.path)
        sync_folder(self.path.parent)

    def keep(self, path: Path) -> str:
        """Keep a key from elsewhere beside the one in use, as one before; gives its id."""
        kek = FileKeyEncryptionKey.read(path)
        before = self._before(kek.id)
        if self.path.exists() and kek.id == self.current.id:
            raise UsageError(
                f"`{path}` holds the key that is in use",
                hint="name the file of the key before; `ringfort keys status` shows which key wraps what",
            )
        if before is not None and not before.exists():
            write_private(before, read_private(path), replace=False)
        return kek.id

    def before(self) -> list[str]:
        """The ids of the keys that are kept beside the one in use."""
        return [each.id for each in self.all() if each.place == "before"]

    def destroy(self, kek: str) -> None:
        """Destroy a key that is kept beside the one in use."""
        path = self._before(kek)
        if path is None or not path.exists():
            return
        if self.path.exists() and path.samefile(self.path):  # a switch that was cut off in its midst
            path.unlink()
            sync_folder(path.parent)
        else:
            destroy_private(path)

    def all(self) -> list[KekFile]:
        """Every key that is there; one that may not be read, or is none, is left out but for the one in use.

        Raises `MissingEnvironmentError` if the key in use is there and cannot be read.
        """
        found = []
        if self.path.exists():
            found.append(KekFile(self.current.id, self.path, "in use"))
        stem = f"{self.path.name}.before-"
        for path in sorted(self.path.parent.glob("*")):
            kek = PREFIX + path.name.removeprefix(stem)
            if path.name.startswith(stem) and self._before(kek) == path:
                found.append(KekFile(kek, path, "before"))
        if self._next.exists():
            try:
                found.append(KekFile(FileKeyEncryptionKey.read(self._next).id, self._next, "next"))
            except MissingEnvironmentError:
                found.append(KekFile("", self._next, "next"))
        return found

    def sweep(self) -> None:
        """Destroy what processes left that were killed while they wrote a key."""
        name = re.escape(self.path.name)
        destroy_half_written(self.path.parent, rf"{name}(\.next|\.before-{_BEFORE.pattern})?")

    def _before(self, kek: str) -> Path | None:
        """Where a key out of use would be; None for an id that names no file."""
        name = kek.removeprefix(PREFIX)
        if not kek.startswith(PREFIX) or not _BEFORE.fullmatch(name):
            return None
        return self.path.with_name(f"{self.path.name}.before-{name}")


__all__ = ["PREFIX", "KekFile", "KekFiles"]
