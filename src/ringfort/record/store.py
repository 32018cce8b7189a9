"""Where tiles, bundles, checkpoints and blobs lie: a folder, or an HTTP origin to read from.

Writing: temporary file, sync, rename, folder sync; a checkpoint only after everything it covers. A tile is
immutable once full. Reading is by tlog-tiles path, below `control/` or `traffic/SHARD/`.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.parse
from http import HTTPStatus
from typing import TYPE_CHECKING

from ringfort.errors import UsageError
from ringfort.ledger.errors import TilesError
from ringfort.ledger.tiles import MAX_BUNDLE_BYTES, TILE_WIDTH, parse_path
from ringfort.record.disk import OsDisk
from ringfort.record.errors import NoLedgerError, RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ringfort.record.disk import Disk

CONTROL_LOG = "control"
_LOG = re.compile(r"control|traffic/[a-z0-9-]{1,40}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
MAX_RESOURCE_BYTES = MAX_BUNDLE_BYTES
TIMEOUT_SECONDS = 30.0


def split_resource(path: str) -> tuple[str, str]:
    """A path below the ledger's root as (log, resource); raises TilesError unless it is canonical."""
    parts = path.split("/")
    depth = 1 if parts[0] == CONTROL_LOG else 2
    log, resource = "/".join(parts[:depth]), "/".join(parts[depth:])
    if not _LOG.fullmatch(log):
        raise TilesError("not the path of a log")
    if resource != "checkpoint":
        parse_path(resource)
    return log, resource


class FolderStore:
    """A ledger's published files in a folder."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk or OsDisk()

    def read(self, path: str) -> bytes | None:
        """The resource at `path`, None if there is none or no such path can be."""
        try:
            split_resource(path)
        except TilesError:
            return None
        return self._disk.read(self.folder / path)

    def write(self, resources: Mapping[str, bytes]) -> None:
        """Make resources durable. All of one call become so together, in no order."""
        folders = set()
        for path, data in resources.items():
            split_resource(path)
            target = self.folder / path
            self._disk.make_folder(target.parent)
            self._disk.write_whole(target, data)
            folders.add(target.parent)
        for folder in folders:
            self._disk.sync_folder(folder)

    def remove_partials(self, log: str, full: Iterable[str]) -> None:
        """Remove the partial tiles that the `full` ones (paths within the log) have made superfluous."""
        for path in full:
            address = parse_path(path)
            if address.width != TILE_WIDTH:
                continue
            folder = self.folder / log / (path + ".p")
            names = self._disk.names(folder)
            for name in names:
                self._disk.remove(folder / name)
            if names:
                self._disk.remove_folder(folder)

    def names(self, path: str) -> list[str]:
        """The names in a folder below the ledger's root, sorted; empty if there is none."""
        return self._disk.names(self.folder / path)


class HttpStore:
    """A ledger read over HTTP from its base address, through one connection that is kept open."""

    def __init__(self, base: str) -> None:
        parsed = urllib.parse.urlsplit(base)
        try:
            port = parsed.port
        except ValueError:
            port = -1
        if parsed.scheme not in {"http", "https"} or not parsed.hostname or port == -1 or parsed.query:
            raise UsageError(f"`{base}` is no http address", hint="for example http://127.0.0.1:6480")
        self.base = base
        self._prefix = parsed.path.rstrip("/")
        kind = http.client.HTTPSConnection if parsed.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parsed.hostname, port, timeout=TIMEOUT_SECONDS)

    def read(self, path: str) -> bytes | None:
        """The resource at `path`, None if the server has none; raises NoLedgerError if it cannot be asked."""
        split_resource(path)
        return self.get(path)

    def get(self, path: str) -> bytes | None:
        """Like `read`, for any path below the base address."""
        try:
            try:
                answer = self._ask(path)
            except (http.client.HTTPException, ConnectionError):
                self._connection.close()  # it was idle for too long: once more on a new one
                answer = self._ask(path)
            data = answer.read(MAX_RESOURCE_BYTES + 1)
        except (http.client.HTTPException, OSError):
            self._connection.close()
            raise NoLedgerError(
                f"`{self.base}` cannot be reached", hint="is the ledger served there?"
            ) from None
        if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            return None
        if answer.status != HTTPStatus.OK:
            raise NoLedgerError(f"`{self.base}` answered with status {answer.status}")
        if len(data) > MAX_RESOURCE_BYTES:
            raise NoLedgerError(f"`{self.base}` answered with more than a ledger's largest resource")
        return data

    def _ask(self, path: str) -> http.client.HTTPResponse:
        self._connection.request("GET", f"{self._prefix}/{path}", headers={"Accept-Encoding": "identity"})
        return self._connection.getresponse()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class BlobStore:
    """Content-addressed blobs: `blobs/ab/<hexadecimal SHA-256>`."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder
        self._disk = disk or OsDisk()

    def path(self, digest: str) -> Path:
        """Where the blob with this digest lies."""
        if not _DIGEST.fullmatch(digest):
            raise RecordError("a blob's digest has 64 hexadecimal digits")
        return self._folder / digest[:2] / digest

    def get(self, digest: str) -> bytes | None:
        """The blob, None if it is not held; raises RecordError if what is held is not it."""
        data = self._disk.read(self.path(digest))
        if data is not None and hashlib.sha256(data).hexdigest() != digest:
            raise RecordError(f"blob `{digest}` has been changed")
        return data

    def digests(self) -> set[str]:
        """The names of all blobs that are held."""
        return {
            name
            for part in self._disk.names(self._folder)
            for name in self._disk.names(self._folder / part)
            if _DIGEST.fullmatch(name)
        }

    def has(self, digest: str) -> bool:
        """Whether a blob of this name is held."""
        return self._disk.size(self.path(digest)) >= 0

    def place(self, data: bytes) -> None:
        """Make a blob readable, not yet durable."""
        target = self.path(hashlib.sha256(data).hexdigest())
        self._disk.make_folder(target.parent)
        self._disk.write_whole(target, data, sync=False)

    def write(self, blobs: Iterable[bytes]) -> None:
        """Make blobs durable."""
        folders = set()
        for data in blobs:
            target = self.path(hashlib.sha256(data).hexdigest())
            self._disk.make_folder(target.parent)
            self._disk.write_whole(target, data)
            folders.add(target.parent)
        for folder in folders:
            self._disk.sync_folder(folder)
