"""Where things lie, and folders that only their owner can enter.

No parent folder ever has its mode changed. A folder that exists is used only if it belongs to us and nobody
else can enter it. As root the database server runs under another account; `state/` is closed to that account
(0700, and DIR may itself lie under a closed folder such as /root), so then the server's files live in a
folder of its own below `server_state_root()`, named by a random id, and the deployment keeps a record of it
in `state/sites/NAME/location.json`. A random id, not a digest of DIR: a new deployment at an old path must
never find the data of the one that was there before. Leaves out access control lists beyond the mode bits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ringfort.errors import MissingEnvironmentError

MAX_SOCKET_PATH = 100  # sun_path is 108 bytes; room for the longest socket name is taken by the caller
SERVER_ACCOUNTS = ("postgres", "nobody")
LOCATION = "location.json"
ORIGIN = "origin.json"


@dataclass(frozen=True)
class Account:
    """An operating-system account that the server runs under."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Layout:
    """The names of a deployment folder (`DIR` on the command line)."""

    folder: Path

    @property
    def config(self) -> Path:
        """`ringfort.toml`."""
        return self.folder / "ringfort.toml"

    @property
    def catalogue(self) -> Path:
        """`catalog.toml`."""
        return self.folder / "catalog.toml"

    @property
    def zones(self) -> Path:
        """`zones.toml`."""
        return self.folder / "zones.toml"

    @property
    def policy(self) -> Path:
        """The folder of policies."""
        return self.folder / "policy"

    @property
    def secrets(self) -> Path:
        """The folder of keys and credentials, 0700."""
        return self.folder / "secrets"

    @property
    def tls(self) -> Path:
        """The folder of the gateway's certificate, 0700."""
        return self.secrets / "tls"

    @property
    def state(self) -> Path:
        """The folder of everything that Ringfort writes while it runs, 0700."""
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        """The folder of log files, 0700."""
        return self.folder / "logs"

    def site_folder(self, site: str) -> Path:
        """The folder of the embedded server of `site`."""
        return self.state / "sites" / site

    def site_dsn(self, site: str) -> Path:
        """The file with the administrative DSN of `site`."""
        return self.secrets / f"site-{site}.dsn"


def server_account() -> Account | None:
    """The account to run the server under: None (our own) for a normal user, another one for root.

    Raises `MissingEnvironmentError` if we are root and there is neither `postgres` nor `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for name in SERVER_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise MissingEnvironmentError(
        "PostgreSQL does not run as root, and there is no account `postgres` or `nobody` to run it under",
        hint="make one with `useradd --system postgres`, or run ringfort as a normal user",
    )


def private_folder(path: Path, *, account: Account | None = None) -> Path:
    """Make `path` (and missing parents, as the umask has it) a 0700 folder of ours, or of `account`.

    An existing folder must already be so; raises `MissingEnvironmentError` otherwise.
    """
    uid, gid = (os.geteuid(), os.getegid()) if account is None else (account.uid, account.gid)
    return _folder(path, 0o700, uid, gid)


def passable_folder(path: Path, account: Account | None) -> Path:
    """Make `path` a folder of ours that `account` may pass through but neither list nor write (0710).

    So the server reaches its own folders in it, and cannot plant links where we, as root, write.
    """
    if account is None:
        return private_folder(path)
    return _folder(path, 0o710, os.geteuid(), account.gid)


def _folder(path: Path, mode: int, uid: int, gid: int) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            if os.geteuid() == 0:
                os.chown(path, uid, gid)
            path.chmod(mode)  # the umask may have taken more away than we can use
        found = path.lstat()
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot make the folder `{path}`: {error.strerror}", hint="choose a folder that you may write to"
        ) from None
    return _ours(path, found, mode, uid, gid)


def _ours(path: Path, found: os.stat_result, mode: int, uid: int, gid: int) -> Path:
    if not stat.S_ISDIR(found.st_mode):
        raise MissingEnvironmentError(f"`{path}` is not a folder", hint="move it away")
    if found.st_uid != uid:
        raise MissingEnvironmentError(
            f"`{path}` belongs to another account", hint=f"give it to uid {uid}, or move it away"
        )
    surplus = stat.S_IMODE(found.st_mode) & 0o077 & ~mode
    if surplus or (mode & 0o070 and found.st_gid != gid):
        raise MissingEnvironmentError(f"others can enter `{path}`", hint=f"run `chmod 700 {path}`")
    return path


def runtime_folder(folder: Path) -> Path:
    """The 0700 folder for sockets of a deployment: `state/run`, or one in /tmp if that is too long.

    Names of sockets in it may have up to 24 characters.
    """
    return private_folder(_runtime_path(folder))


def sockets_folder(folder: Path) -> Path:
    """Where a deployment that is up has its sockets, for commands that only ask it: nothing is made.

    Raises `MissingEnvironmentError` if it is not a 0700 folder of ours; one that is not there is of a
    deployment that is not up. `PermissionError` where we may not look.
    """
    path = _runtime_path(folder)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return path
    return _ours(path, found, 0o700, os.geteuid(), os.getegid())


def _runtime_path(folder: Path) -> Path:
    inside = folder.absolute() / "state" / "run"
    return inside if len(os.fsencode(inside)) + 25 <= MAX_SOCKET_PATH else _short_folder(folder)


def can_enter(path: Path, account: Account) -> bool:
    """Whether `account` may pass through every folder from / to `path`, by mode bits and its main group."""
    resolved = path.resolve()
    return all(_executable(each.stat(), account) for each in [*reversed(resolved.parents), resolved])


def server_state_root() -> Path:
    """Where the server lives when DIR is closed to its account: RINGFORT_SERVER_STATE, /var/lib/ringfort."""
    return Path(os.environ.get("RINGFORT_SERVER_STATE") or "/var/lib/ringfort")


def server_folder(folder: Path, account: Account | None) -> Path:
    """The folder that really holds the server which `folder` stands for; made if there is none.

    `folder` itself for a normal user or if `account` can enter it, else the one recorded in it.
    """
    folder = folder.absolute()
    if account is None:
        return private_folder(folder)
    record = folder / LOCATION
    if not record.exists():
        if can_enter(_existing(folder.parent), account) and not (
            folder.exists() and _closed(folder, account)
        ):
            return passable_folder(folder, account)
        private_folder(folder)
        root = server_state_root()
        _enterable(root, account)
        place = root / os.urandom(8).hex()
        _write_json(record, {"folder": str(place), "account": account.name})
    place = Path(_read_json(record)["folder"])
    _claim(passable_folder(place, account), folder)
    return place


def server_place(folder: Path) -> Path:
    """Where the files of the server that `folder` stands for lie; changes nothing."""
    record = folder / LOCATION
    return Path(_read_json(record)["folder"]) if record.exists() else folder


def remove_server_folder(folder: Path) -> None:
    """Delete what `server_folder` made, wherever it lies. The server must not be running."""
    record = folder.absolute() / LOCATION
    if record.exists():
        place = Path(_read_json(record)["folder"])
        if place.exists():
            shutil.rmtree(place)
    if folder.exists():
        shutil.rmtree(folder)


def leftovers() -> list[tuple[Path, Path]]:
    """Server folders whose deployment is gone: (server folder, where the deployment was)."""
    found = []
    with contextlib.suppress(OSError):
        for note in sorted(server_state_root().glob(f"*/{ORIGIN}")):
            origin = Path(_read_json(note)["folder"])
            record = origin / LOCATION
            if not record.exists() or _read_json(record)["folder"] != str(note.parent):
                found.append((note.parent, origin))
    return found


def socket_folder(place: Path, account: Account | None) -> Path:
    """The 0700 folder for the server's sockets: `run` in its folder, or one in /tmp if that is too long."""
    inside = place / "run"
    if len(os.fsencode(inside)) + 20 <= MAX_SOCKET_PATH:
        return private_folder(inside, account=account)
    return private_folder(_short_folder(place), account=account)


def _short_folder(folder: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    name = f"ringfort-{os.geteuid()}-{digest}"
    place = Path(tempfile.gettempdir()) / name
    # a TMPDIR may be deep, too
    return place if len(os.fsencode(place)) + 25 <= MAX_SOCKET_PATH else Path("/tmp") / name  # noqa: S108 - 0700


def _executable(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _closed(folder: Path, account: Account) -> bool:
    return not _executable(folder.stat(), account)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _enterable(root: Path, account: Account) -> None:
    """Make `root` (0711) if it is missing; refuse one that `account` cannot enter."""
    try:
        if not root.exists():
            root.mkdir(parents=True)
            root.chmod(0o711)
        reachable = can_enter(root, account)
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot make the folder `{root}`: {error.strerror}",
            hint="set RINGFORT_SERVER_STATE to a folder that the server's account can enter",
        ) from None
    if not reachable:
        raise MissingEnvironmentError(
            f"the account `{account.name}` cannot enter `{root}`",
            hint="set RINGFORT_SERVER_STATE to a folder that it can enter",
        )


def _claim(place: Path, folder: Path) -> None:
    """Note in `place` whose it is; refuse it to the copy of a deployment that still exists elsewhere."""
    note = place / ORIGIN
    if note.exists():
        other = Path(_read_json(note)["folder"])
        if other == folder:
            return
        record = other / LOCATION
        if record.exists() and _read_json(record).get("folder") == str(place):
            raise MissingEnvironmentError(
                f"`{folder}` is a copy: its database belongs to `{other}`",
                hint=f"remove `{folder}` and start anew, or remove the original",
            )
    _write_json(note, {"folder": str(folder)})


def _write_json(path: Path, document: dict[str, str]) -> None:
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _read_json(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("folder"), str):
        raise MissingEnvironmentError(f"`{path}` is damaged", hint="restore it from a backup")
    return document
