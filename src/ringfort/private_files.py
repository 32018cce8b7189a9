"""Secrets as files that only their owner can read, write or replace; implements `ringfort.ports.KeyStore`.

Invariants: a secret file is 0600 from the moment it exists (never made wider and then narrowed), is replaced
as a whole or not at all, and is refused if another account owns it, if others may read or write it, or if it
is a link. What is checked is the file that was opened, not its name: nothing can be put in its place between
the look and the reading. Every secret is read so: keys, PINs, passwords, connection strings, keys of TLS.
Leaves out encryption at rest.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass annotations are read by people and tools at run time
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError, UsageError

if TYPE_CHECKING:
    from ringfort.paths import Account

MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


@dataclass(frozen=True)
class FileKeyStore:
    """The secrets in `folder` (0700); a name is a file name, with at most one folder before it."""

    folder: Path

    def get(self, name: str) -> bytes:
        """The bytes of `name`; `MissingEnvironmentError` if it is missing, foreign or open to others."""
        return read_private(self._path(name))

    def has(self, name: str) -> bool:
        """Whether there is a secret called `name`."""
        return self._path(name).exists()

    def put(self, name: str, value: bytes) -> None:
        """Write or replace `name`, as a whole."""
        write_private(self._path(name), value)

    def create(self, name: str, value: bytes) -> None:
        """Write `name`; raises `UsageError` if it is there already."""
        write_private(self._path(name), value, replace=False)

    def remove(self, name: str) -> None:
        """Delete `name`; nothing happens if there is none."""
        self._path(name).unlink(missing_ok=True)

    def destroy(self, name: str) -> None:
        """Overwrite `name` with noise, delete it and make that durable; nothing happens if there is none.

        So is what a process left that was killed while it wrote `name`.
        """
        path = self._path(name)
        destroy_private(path)
        if path.parent.is_dir():
            destroy_half_written(path.parent, re.escape(path.name))

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(f"`{name}` is not the name of a secret")
        return self.folder / name


def read_private(path: Path, owner: int | None = None) -> bytes:
    """The bytes of `path`; raises `MissingEnvironmentError` unless it is 0600 and ours, or `owner`'s."""
    expected = os.geteuid() if owner is None else owner
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise MissingEnvironmentError(
                f"the secret `{path}` is a link", hint="put the file itself there"
            ) from None
        missing = "restore it from a backup; `ringfort init` makes the secrets of a new deployment"
        denied = "run as the account that made the deployment"
        raise MissingEnvironmentError(
            f"cannot read the secret `{path}`: {(error.strerror or 'error').lower()}",
            hint=denied if isinstance(error, PermissionError) else missing,
        ) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise MissingEnvironmentError(f"the secret `{path}` is not a file", hint="put a file there")
        if found.st_uid != expected:
            whose = f"belongs to {_account(found.st_uid)}, not to {_account(expected)}"
            raise MissingEnvironmentError(
                f"the secret `{path}` {whose}",
                hint="run as the account that made the deployment, or `chown` it to this account",
            )
        if stat.S_IMODE(found.st_mode) & 0o177:
            raise MissingEnvironmentError(
                f"the secret `{path}` is open to others: its mode is {stat.S_IMODE(found.st_mode):04o}",
                hint=f"run `chmod 600 {path}`, and replace the secret if others may have read it",
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES)
    finally:
        os.close(descriptor)


def _account(uid: int) -> str:
    try:
        return f"`{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return f"account {uid}"


def write_private(path: Path, value: bytes, *, replace: bool = True, account: Account | None = None) -> None:
    """Write `value` durably to `path` as a 0600 file of ours, or of `account`: all of it or nothing.

    With `replace` false an existing file raises `UsageError`. OS failures raise `MissingEnvironmentError`.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if account is not None:
                    os.fchown(file.fileno(), account.uid, account.gid)
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # fails if `path` exists: there is no rename that does everywhere
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileExistsError:
        raise UsageError(f"`{path}` is there already", hint="a secret is never overwritten unasked") from None
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot write `{path}`: {(error.strerror or 'error').lower()}",
            hint="check the folder's owner and its free space",
        ) from None


def destroy_half_written(folder: Path, names: str) -> None:
    """Destroy what killed processes left of files that match `names`. Nobody may be writing one meanwhile."""
    left = re.compile(rf"\.({names})\.[0-9a-f]{{12}}")
    for each in folder.glob(".*"):
        if not left.fullmatch(each.name):
            continue
        if each.lstat().st_nlink > 1:  # it became the secret, and is not to be overwritten
            each.unlink()
            sync_folder(folder)
        else:
            destroy_private(each)


def destroy_private(path: Path) -> None:
    """Overwrite `path` with noise, unlink it, and sync its folder; OS failures raise.

    What a copying file system, a flash disk or a backup still holds is beyond reach: hence the secret in it
    is wrapped, and the key apart.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _not_destroyed(path, error) from None
    try:
        os.pwrite(descriptor, os.urandom(os.fstat(descriptor).st_size), 0)
        os.fsync(descriptor)
        path.unlink()
    except OSError as error:
        raise _not_destroyed(path, error) from None
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def _not_destroyed(path: Path, error: OSError) -> MissingEnvironmentError:
    return MissingEnvironmentError(
        f"cannot destroy `{path}`: {(error.strerror or 'error').lower()}",
        hint="check the folder's owner, and run the command again",
    )


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    with contextlib.suppress(OSError):  # some file systems cannot; then there is nothing to be had
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


__all__ = [
    "MAX_BYTES",
    "FileKeyStore",
    "destroy_half_written",
    "destroy_private",
    "read_private",
    "sync_folder",
    "write_private",
]
