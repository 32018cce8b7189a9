"""The one root exception of Ringfort.

Every error that a person can meet says what is wrong, where, and what to do. The message is lower case, one
line, without a final period, the user's own words in backticks, and never a data value. `hint` says what to
do. `sqlstate` is what a PostgreSQL client is told; `exit_code` is what the shell is told:

0 done, 1 a check failed or a violation was found, 2 wrong usage or invalid configuration, 3 environment.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RIGHTS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class RingfortError(Exception):
    """Root of all errors that Ringfort raises on purpose.

    `message` is safe to show to anybody who may see the error at all; `hint` says what to do next.
    """

    exit_code: ClassVar[int] = 1
    default_sqlstate: ClassVar[str] = "XX000"  # internal_error

    def __init__(self, message: str, *, hint: str = "", sqlstate: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.sqlstate = sqlstate or self.default_sqlstate

    def __str__(self) -> str:
        return self.message


class CheckFailedError(RingfortError):
    """A check failed or a violation was found: exit code 1."""


class UsageError(RingfortError):
    """A command was used wrongly: exit code 2."""

    exit_code = 2
    default_sqlstate = "22023"  # invalid_parameter_value


class ConfigurationError(RingfortError):
    """A configuration file is invalid: exit code 2; `path` and `line` (from 1, 0 if unknown) say where."""

    exit_code = 2
    default_sqlstate = "F0000"  # config_file_error

    def __init__(self, message: str, *, path: Path | None = None, line: int = 0, hint: str = "") -> None:
        where = "" if path is None else f"{path}:{line}: " if line else f"{path}: "
        super().__init__(f"{where}{message}", hint=hint)
        self.path = path
        self.line = line


class MissingEnvironmentError(RingfortError):
    """The machine lacks something: no binaries, a port taken, no right to a folder: exit code 3."""

    exit_code = 3
    default_sqlstate = "58000"  # system_error


def machine_fault(error: OSError, folder: Path | str) -> MissingEnvironmentError:
    """A fault of the machine, with the file and what to do about it."""
    file = error.filename if isinstance(error.filename, str) else str(folder)
    if error.errno in _ROOM:
        do = "make room"
    elif error.errno in _RIGHTS:
        do = "give the right to read and write there"
    else:
        do = "mend that"
    return MissingEnvironmentError(
        f"cannot work in `{file}`: {(error.strerror or type(error).__name__).lower()}",
        hint=f"{do}, then run the transfer again: it goes on where it was",
    )
