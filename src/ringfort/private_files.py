"""Reading a secret file: only a plain file of this account that nobody else may read or write.

What is checked is the file that was opened, not its name: a link is not followed, and nothing can be put in
its place between the look and the reading. Every secret is read so: keys, PINs, passwords, connection
strings, keys of TLS. `sites.keystore` writes them.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024


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


__all__ = ["MAX_BYTES", "read_private"]
