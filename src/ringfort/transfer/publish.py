"""Where a release goes: a folder, or an S3-compatible address. All of it or nothing is seen there.

A folder: everything is written below a name that nobody can guess, in a folder that is closed to others
(0700), made durable, and renamed to the run's name in one step. S3 has no rename: objects go below the run's
own prefix, the manifest last, and a prefix without a manifest is no release. Both can be done again after a
crash: what is there already is compared, never written over, but for an object of this very run that was cut
off. Invariants: nothing leaves before `sending` was asked (see `Place.publish`); no link is followed in the
target; nothing of anybody else is overwritten or removed; credentials come from the environment or from a
0600 file, never from an argument or the contract.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from ringfort.errors import CheckFailedError, MissingEnvironmentError, UsageError, machine_fault
from ringfort.private_files import read_private, sync_folder
from ringfort.transfer.manifest import MANIFEST, PROOF
from ringfort.transfer.s3_requests import Credentials, S3Requests, found_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import BinaryIO

    from ringfort.policy.contract import Target
    from ringfort.transfer.manifest import ReleasedFile

    Sending = Callable[[Sequence[str]], None]

_BLOCK = 4 * 1024 * 1024
_FORBIDDEN = ("state", "secrets", "policy", "transfers")


class PublishError(CheckFailedError):
    """The target is not what a release may be put into."""

    default_sqlstate = "58030"  # io_error


class NothingSentError(MissingEnvironmentError):
    """What `sending` was asked about did not leave after all: the target did not take its first byte."""


@dataclass(frozen=True)
class There:
    """What a place holds of a release: whether it is there, complete, and which of its files are."""

    whole: bool = False
    paths: frozenset[str] = frozenset()


class Place(Protocol):
    """A release, or where one will be; paths are below it, with `/` between their parts."""

    @property
    def address(self) -> str:
        """Where it is, for people."""
        ...

    def names(self) -> list[str]:
        """The paths of all files, sorted; none if there is no release."""
        ...

    def open(self, path: str) -> BinaryIO:
        """A file, to be read; raises `PublishError` if there is none."""
        ...

    def publish(self, files: Mapping[str, Path], progress: Callable[[int], None], sending: Sending) -> None:
        """Put the files (path there -> file here) there, as one; `progress` gets the bytes done.

        `sending` is called with the paths that are about to be where others may see them, before they are;
        with the manifest's among them that is the step which makes it a release. What it raises ends it.
        Raises `NothingSentError` if what it was asked about last did not begin to leave.
        """
        ...

    def there(self, note: bytes, files: Sequence[ReleasedFile]) -> There:
        """What is there of the release with this manifest and these files."""
        ...

    def remove(self, paths: Iterable[str]) -> None:
        """Delete what is there of a release that is not whole, and nothing else; raises if it cannot."""
        ...

    def mend(self, paths: Iterable[str]) -> None:
        """Remove what a kill cut off half-way, before publishing goes on; raises if it cannot."""
        ...


def release_order(paths: Iterable[str]) -> list[str]:
    """The order in which files are published: the manifest is what makes a release."""
    return sorted(
        paths, key=lambda each: ((PROOF, MANIFEST).index(each) + 1 if each in {PROOF, MANIFEST} else 0, each)
    )


class FolderPlace:
    """A release in a folder of this machine (or mounted there)."""

    def __init__(self, folder: Path, run: str) -> None:
        self._parent = folder
        self.folder = folder / run if run else folder

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.folder)

    def names(self) -> list[str]:
        """The paths of all files, links among them."""
        if not self.folder.is_dir() or self.folder.is_symlink():
            return []
        found = []
        for top, folders, files in os.walk(self.folder):
            links = [each for each in folders if (Path(top) / each).is_symlink()]
            found += [str((Path(top) / each).relative_to(self.folder)) for each in (*files, *links)]
        return sorted(found)

    def open(self, path: str) -> BinaryIO:
        """A file; a link is refused."""
        place = self.folder
        try:
            for part in path.split("/")[:-1]:
                place /= part
                if place.is_symlink():
                    raise PublishError(f"`{path}` is behind a link")
            descriptor = os.open(self.folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise PublishError(f"`{path}` cannot be read: {(error.strerror or 'error').lower()}") from None
        file = os.fdopen(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise PublishError(f"`{path}` is not a file")
        return file

    def publish(self, files: Mapping[str, Path], progress: Callable[[int], None], sending: Sending) -> None:
        """Copy, make durable, rename. A release of the same run that is there must be the same."""
        try:
            self._parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            if self._parent.is_symlink() or not self._parent.is_dir():
                raise PublishError(f"`{self._parent}` is no folder, or a link", hint="name the folder itself")
            for left in self._leftovers():
                shutil.rmtree(left, ignore_errors=True)
            if os.path.lexists(self.folder):
                self._compare(files)
                self.folder.chmod(0o750)  # of a run that was killed right after it had renamed
                return
            staged = self._parent / f".{self.folder.name}.{os.urandom(8).hex()}"
            staged.mkdir(mode=0o700)
            try:
                self._copy(files, staged, progress)
                sending(release_order(files))
                os.rename(staged, self.folder)  # noqa: PTH104 - an empty folder of the name is taken, no other
                sync_folder(self._parent)
                self.folder.chmod(0o750)
            except BaseException:
                with contextlib.suppress(OSError):
                    shutil.rmtree(staged)
                raise
        except OSError as error:
            raise machine_fault(error, self._parent) from None

    def there(self, note: bytes, files: Sequence[ReleasedFile]) -> There:
        """One rename put it there: any file of it under the run's name shows that it was, whole."""
        if self.folder.is_symlink() or not self.folder.is_dir():
            return There()
        found = frozenset(each.path for each in files if self._holds(each.path, each.size, each.sha256))
        manifest = self._holds(MANIFEST, len(note), hashlib.sha256(note).hexdigest())
        return There(bool(found) or manifest, found)

    def remove(self, paths: Iterable[str]) -> None:
        """Delete what was copied and not renamed: nothing else of it is there."""
        self.mend(paths)

    def mend(self, paths: Iterable[str]) -> None:  # noqa: ARG002 - all of it is below one hidden name
        """Delete copies that were not renamed."""
        try:
            for left in self._leftovers():
                shutil.rmtree(left)
        except OSError as error:
            raise machine_fault(error, self._parent) from None

    def _holds(self, path: str, size: int, digest: str) -> bool:
        try:
            with self.open(path) as file:
                same = os.fstat(file.fileno()).st_size == size and _hashed(file).hex() == digest
        except PublishError:
            return False
        return same

    def _leftovers(self) -> list[Path]:
        """What this run left half-way in the target folder when it was killed; one process does a run."""
        return sorted(self._parent.glob(f".{self.folder.name}.*"))

    def _copy(self, files: Mapping[str, Path], staged: Path, progress: Callable[[int], None]) -> None:
        folders = {staged}
        for path in release_order(files):
            target = staged / path
            if target.parent not in folders:
                target.parent.mkdir(mode=0o750, parents=True)
                folders.add(target.parent)
            _put(files[path], target, progress)
        for each in folders:
            sync_folder(each)

    def _compare(self, files: Mapping[str, Path]) -> None:
        if self.folder.is_symlink() or self.names() != sorted(files):
            raise PublishError(
                f"`{self.folder}` is there already and is not this release", hint="move it away"
            )
        for path, file in files.items():
            with self.open(path) as there, file.open("rb") as here:
                if _hashed(there) != _hashed(here):
                    raise PublishError(f"`{self.folder}` is there already with another `{path}`")


class S3Place:
    """A release below a prefix of an S3-compatible store."""

    def __init__(self, target: Target, run: str, credentials: Credentials | None) -> None:
        from pyarrow.fs import S3FileSystem  # noqa: PLC0415 - loads the AWS libraries, which takes a while

        self._endpoint = target.endpoint
        self._credentials = credentials
        path = target.address.removeprefix("s3://").rstrip("/")
        self._prefix = f"{path}/{run}" if run else path
        scheme, _, host = target.endpoint.rpartition("://")
        options: dict[str, object] = {"connect_timeout": 10, "request_timeout": 60}
        if credentials is not None:
            options |= {"access_key": credentials.access, "secret_key": credentials.secret}
        if host:
            options |= {"endpoint_override": host, "scheme": scheme}
        if target.region or host:
            options["region"] = target.region or "us-east-1"
        self._files = S3FileSystem(**options)

    @property
    def address(self) -> str:
        """The address."""
        return f"s3://{self._prefix}"

    def names(self) -> list[str]:
        """The keys of all objects, below the prefix."""
        from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415

        with self._told():
            found = self._files.get_file_info(
                FileSelector(self._prefix, recursive=True, allow_not_found=True)
            )
        return sorted(
            each.path.removeprefix(f"{self._prefix}/") for each in found if each.type is FileType.File
        )

    def open(self, path: str) -> BinaryIO:
        """An object."""
        with self._told():
            return self._files.open_input_file(f"{self._prefix}/{path}")  # type: ignore[no-any-return]

    def publish(self, files: Mapping[str, Path], progress: Callable[[int], None], sending: Sending) -> None:
        """Put objects, the manifest last; those that are there already must be the same."""
        there = set(self.names())
        if not there <= set(files):
            raise PublishError(
                f"`{self.address}` holds other objects already", hint="they are not this release"
            )
        for path in release_order(files):
            with files[path].open("rb") as reader:
                if path in there:
                    with self.open(path) as existing:
                        same = _hashed(existing) == _hashed(reader)
                    if same:
                        continue
                    if MANIFEST in there:
                        raise PublishError(f"`{self.address}` is there already with another `{path}`")
                    reader.seek(0)
                sending([path])
                self._put(path, reader, progress)

    def there(self, note: bytes, files: Sequence[ReleasedFile]) -> There:
        """The objects below the run's prefix; the manifest was put last."""
        names = frozenset(self.names())
        whole = False
        if MANIFEST in names:
            with self.open(MANIFEST) as file:
                whole = _hashed(file) == hashlib.sha256(note).digest()
        return There(whole, names & {each.path for each in files})

    def remove(self, paths: Iterable[str]) -> None:
        """Delete the objects of the run, every version of them, and uploads of them that were cut off."""
        mine = {self._key(each) for each in paths}
        self.mend(paths)
        requests = self._requests()
        for each in requests.versions(self._key("")):
            if each.key in mine:
                requests.delete(each)

    def mend(self, paths: Iterable[str]) -> None:
        """Abort uploads that were begun and not finished: their parts stay at the store, unseen."""
        mine = {self._key(each) for each in paths}
        requests = self._requests()
        for each in requests.uploads(self._key("")):
            if each.key in mine:
                requests.abort(each)

    def _key(self, path: str) -> str:
        return f"{self._prefix.partition('/')[2]}/{path}"

    def _requests(self) -> S3Requests:
        credentials = self._credentials or found_credentials()
        if credentials is None:
            raise MissingEnvironmentError(
                f"`{self.address}`: removing needs credentials of the environment or of a file",
                hint="give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `secrets/transfer-NAME.s3`",
            )
        bucket = self._prefix.partition("/")[0]
        return S3Requests(bucket, self._endpoint, str(self._files.region), credentials)

    def _put(self, path: str, reader: BinaryIO, progress: Callable[[int], None]) -> None:
        size = 0
        try:
            with self._told():
                writer = self._files.open_output_stream(f"{self._prefix}/{path}")
        except MissingEnvironmentError as error:
            raise NothingSentError(error.message, hint=error.hint) from None
        with self._told(), writer:
            while block := reader.read(_BLOCK):
                writer.write(block)
                size += len(block)
                progress(len(block))
        with self._told():
            stored = self._files.get_file_info(f"{self._prefix}/{path}").size
        if stored != size:
            raise PublishError(f"`{self.address}` holds {stored} of {size} bytes of `{path}`")

    @contextlib.contextmanager
    def _told(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a context manager
        """Errors of the store in our words: theirs can hold addresses with signatures."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            text = str(error)
            reason = next(
                (
                    said
                    for word, said in (
                        ("ACCESS_DENIED", "access is denied"),
                        ("INVALID_ACCESS_KEY", "the access key is not known"),
                        ("SIGNATURE", "the secret key is wrong"),
                        ("NO_SUCH_BUCKET", "there is no such bucket"),
                        ("NETWORK_CONNECTION", "it does not answer"),
                    )
                    if word in text.upper()
                ),
                "it refuses",
            )
            raise MissingEnvironmentError(
                f"`{self.address}`: {reason}",
                hint="check address, endpoint and credentials (transfers.md of the manual)",
            ) from None


def _put(source: Path, target: Path, progress: Callable[[int], None]) -> None:
    """A durable copy at `target`; on one file system the file itself, which the run gives up soon after."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with source.open("rb") as reader, os.fdopen(os.open(target, flags, 0o640), "wb") as writer:
            while block := reader.read(_BLOCK):
                writer.write(block)
                progress(len(block))
            writer.flush()
            os.fsync(writer.fileno())
    else:
        target.chmod(0o640)
        progress(target.stat().st_size)


def place_of(target: Target, run: str, deployment: Path | None = None, transfer: str = "") -> Place:
    """The place of a run at a contract's target; a path that is not absolute is below the deployment folder.

    Raises `UsageError` for a folder that holds the deployment's own files.
    """
    if target.is_s3:
        secrets = None if deployment is None else deployment / "secrets" / f"transfer-{transfer}.s3"
        return S3Place(target, run, _credentials(secrets))
    if deployment is not None:
        check_target(target, deployment)
    folder = Path(target.address)
    return FolderPlace(folder if deployment is None else deployment / folder, run)


def check_target(target: Target, deployment: Path) -> None:
    """Raise `UsageError` for a folder that nothing may be released to; nothing is made or written."""
    if target.is_s3:
        return
    folder = deployment / target.address
    inside, home = Path(os.path.realpath(folder)), Path(os.path.realpath(deployment))
    if inside == home or any(inside.is_relative_to(home / each) for each in _FORBIDDEN):
        raise UsageError(f"`{folder}` is a folder of the deployment itself", hint="release elsewhere")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"`{folder}` is no folder, or a link", hint="name the folder itself")


def _credentials(secret: Path | None) -> Credentials | None:
    """Access key and secret key of a 0600 file; None leaves them to the environment."""
    if secret is None or not secret.exists():
        return None
    lines = read_private(secret).decode("utf-8", "replace").split()
    if len(lines) != 2:
        raise MissingEnvironmentError(
            f"`{secret}` does not hold an access key and a secret key", hint="write them on two lines"
        )
    return Credentials(lines[0], lines[1])


def _hashed(file: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.digest()


__all__ = [
    "FolderPlace",
    "NothingSentError",
    "Place",
    "PublishError",
    "S3Place",
    "There",
    "check_target",
    "place_of",
    "release_order",
]
