"""The data folder of an embedded server: made whole or not at all, its version, its superuser's password.

`initdb` works in `data.making-...`, which is renamed to `data` when it is done: a folder under that name is a
whole one, and what a crash left under the other goes at the next start. The programs run under the server's
account, never as root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError
from ringfort.paths import private_folder
from ringfort.private_files import sync_folder, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from ringfort.paths import Account
    from ringfort.sites.binaries import Binaries

SUPERUSER = "postgres"
_CONFIGURATION = """
# Written by Ringfort when it made this server; yours to change.
max_connections = 1100        # the gateway admits 1,000 sessions
shared_buffers = 128MB
max_wal_size = 2GB
min_wal_size = 160MB
checkpoint_timeout = 15min
wal_compression = on
timezone = 'UTC'
"""


def data_version(data: Path) -> int | None:
    """The major version that made `data`, None if there is none; refuses a damaged one."""
    if not data.exists():
        return None
    version = data / "PG_VERSION"
    if not version.is_file() or not (data / "global" / "pg_control").is_file():
        raise MissingEnvironmentError(
            f"the data folder `{data}` is damaged",
            hint="restore it from a backup; or, if it holds nothing you need, remove it",
        )
    return int(version.read_text(encoding="ascii").split(".", maxsplit=1)[0])


def make_data(
    binaries: Binaries, data: Path, account: Account | None, *, password: str, durable: bool = True
) -> None:
    """Make the data folder `data` with the superuser's `password`; raises `MissingEnvironmentError`.

    `durable` false leaves out fsync, for throw-away servers.
    """
    making = data.with_name(f"data.making-{os.urandom(4).hex()}")
    private_folder(making, account=account)
    pwfile = data.parent / ".initdb-password"
    write_private(pwfile, password.encode() + b"\n", account=account)
    command = [
        binaries.program("initdb"),
        f"--pgdata={making}",
        f"--username={SUPERUSER}",
        f"--pwfile={pwfile}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--data-checksums",
        "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]
    try:
        for locale in _locales(binaries.major):
            answer = _run_as([*command, *locale], binaries, account)
            if answer.returncode == 0:
                break
            shutil.rmtree(making)
            private_folder(making, account=account)
        else:
            raise MissingEnvironmentError(
                f"initdb failed: {last_line(answer.stderr)}",
                hint="check free space and the folder's owner",
            )
        _append(making / "postgresql.conf", _CONFIGURATION)
        making.rename(data)
        sync_folder(data.parent)
    finally:
        pwfile.unlink(missing_ok=True)
        shutil.rmtree(making, ignore_errors=True)


def reset_password(binaries: Binaries, data: Path, account: Account | None, *, password: str) -> None:
    """Give the superuser the password of the secret file, by a single-user backend: nothing else runs."""
    statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'\n"
    if not password.replace("-", "").replace("_", "").isalnum():
        raise MissingEnvironmentError(
            "the password of the site is not one that ringfort made",
            hint="remove the file with its connection string, and ringfort makes another",
        )
    command = [binaries.program("postgres"), "--single", "-D", str(data)]
    settings = ["-c", "password_encryption=scram-sha-256", "-c", "log_min_messages=fatal", "postgres"]
    answer = _run_as([*command, *settings], binaries, account, stdin=statement)
    if answer.returncode != 0:
        raise MissingEnvironmentError(f"cannot set the superuser's password in `{data}`")


def _append(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _locales(major: int) -> list[list[str]]:
    """What to try: Unicode semantics without depending on the machine's locales, else plain C."""
    if major >= 17:
        return [["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    return [["--locale=C.UTF-8"], ["--locale=C"]]


def _run_as(
    command: list[str], binaries: Binaries, account: Account | None, *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        umask=0o077,
        env=binaries.environment(),
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def last_line(text: str) -> str:
    """The line of a program's messages that says what went wrong."""
    lines = [each.strip() for each in text.splitlines() if each.strip()]
    telling = [each for each in lines if "FATAL" in each or "error" in each.lower()]
    return (telling or lines or ["no reason was given"])[-1].rstrip(".")
