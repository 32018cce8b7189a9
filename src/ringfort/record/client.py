"""The ledger for commands: through the running writer if there is one, else in this process under the lock.

`open_ledger(DIR)` is a context manager; at its end everything appended is durable, and (without a running
writer) published as well. It creates the ledger if there is none yet.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import socket
import time
from typing import TYPE_CHECKING, Protocol

from ringfort.config import load_config
from ringfort.ledger.entry import Entry, encode
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import Condition, ControlState
from ringfort.private_files import read_private
from ringfort.record import evidence, frames
from ringfort.record.core import LedgerCore, LedgerSettings
from ringfort.record.errors import LedgerLockedError, LedgerLostError, NoLedgerError, RefusedError
from ringfort.record.lock import FolderLock, holder_socket
from ringfort.record.store import BlobStore
from ringfort.system import SystemClock, SystemRandomness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TIMEOUT_SECONDS = 30.0
LOCK_SECONDS = 10.0


class SyncLedger(Protocol):
    """A ledger to append control entries to, one caller at a time."""

    @property
    def state(self) -> ControlState:
        """The control log folded, up to date with everything durable at the time of the last call."""
        ...

    def append(
        self,
        entries: Sequence[Entry | bytes],
        *,
        condition: Condition | None = None,
        blobs: Sequence[bytes] = (),
    ) -> list[int]:
        """Append control entries, all or none; their indices once they are durable."""
        ...

    def put_blob(self, data: bytes) -> str:
        """Keep a blob durably; gives its digest."""
        ...

    def get_blob(self, digest: str) -> bytes:
        """The blob with this digest; raises NoLedgerError if it is not held."""
        ...


def ledger_folder(folder: Path) -> Path:
    """Where a deployment folder keeps its ledger."""
    return folder / "state" / "ledger"


def read_key(path: Path) -> bytes:
    """A 32-byte key kept as base64 text; raises NoLedgerError, or what `read_private` raises."""
    try:
        key = base64.b64decode(read_private(path).strip(), validate=True)
    except (ValueError, binascii.Error):
        raise NoLedgerError(f"`{path}` holds no key", hint="`ringfort init` makes it") from None
    if len(key) != 32:
        raise NoLedgerError(f"`{path}` holds no key of 32 bytes", hint="`ringfort init` makes it")
    return key


def load_settings(folder: Path) -> LedgerSettings:
    """The ledger settings of a deployment folder, keys read from `secrets/`."""
    config = load_config(folder)
    secrets = config.folder / "secrets"
    return LedgerSettings(
        folder=ledger_folder(config.folder),
        origin=config.ledger.origin,
        seed=read_key(secrets / "ledger.key"),
        evidence_public=evidence.public_half(read_key(secrets / "evidence.key")),
        merge_delay=config.ledger.merge_delay_seconds,
        control_staleness=config.ledger.control_staleness_seconds,
    )


@contextlib.contextmanager
def open_ledger(folder: Path) -> Iterator[SyncLedger]:
    """The ledger of a deployment folder; raises LedgerLockedError if another command holds it for long."""
    settings = load_settings(folder)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            lock = FolderLock(settings.folder)
        except LedgerLockedError:
            remote = _connect(settings)
            if remote is not None:
                with contextlib.closing(remote):
                    yield remote
                return
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            break
    try:
        core = LedgerCore(settings, clock=SystemClock(), randomness=SystemRandomness())
        core.open()
        try:
            yield _Local(core)
        finally:
            core.close()
    finally:
        lock.close()


def _connect(settings: LedgerSettings) -> _Remote | None:
    path = holder_socket(settings.folder)
    if not path:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT_SECONDS)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    try:
        return _Remote(connection, BlobStore(settings.folder / "blobs"))
    except BaseException:
        connection.close()
        raise


def _encode(entries: Sequence[Entry | bytes]) -> list[bytes]:
    return [each if isinstance(each, bytes) else encode(each) for each in entries]


class _Local:
    """The writer's core in this process."""

    def __init__(self, core: LedgerCore) -> None:
        self._core = core

    @property
    def state(self) -> ControlState:
        return self._core.state

    def append(
        self,
        entries: Sequence[Entry | bytes],
        *,
        condition: Condition | None = None,
        blobs: Sequence[bytes] = (),
    ) -> list[int]:
        indices = self._core.stage_control(_encode(entries), condition=condition, blobs=blobs)
        self._core.commit()
        return indices

    def put_blob(self, data: bytes) -> str:
        self.append((), blobs=[data])
        return hashlib.sha256(data).hexdigest()

    def get_blob(self, digest: str) -> bytes:
        return _held(self._core.blobs, digest)


class _Remote:
    """A blocking connection to the running writer, following the control log."""

    def __init__(self, connection: socket.socket, blobs: BlobStore) -> None:
        self._socket = connection
        self._blobs = blobs
        self._reader = frames.FrameReader()
        self._request = 0
        self._state = ControlState()
        self._target = -1
        self._replies: dict[int, dict[str, object]] = {}
        self._send(frames.json_frame(frames.HELLO, {"v": frames.VERSION, "actor": "command", "follow": True}))
        while not 0 <= self._target <= self._state.size:
            self._receive()

    @property
    def state(self) -> ControlState:
        return self._state

    def append(
        self,
        entries: Sequence[Entry | bytes],
        *,
        condition: Condition | None = None,
        blobs: Sequence[bytes] = (),
    ) -> list[int]:
        self._request += 1
        demanded = None if condition is None else (tuple(condition.keys), condition.since)
        payload = frames.append_payload(self._request, _encode(entries), list(blobs), demanded)
        self._send(frames.frame(frames.APPEND, payload))
        while self._request not in self._replies:
            self._receive()
        value = self._replies.pop(self._request)
        if value.get("ok") is True:
            indices = value.get("indices")
            return list(indices) if isinstance(indices, list) else []
        kind = ConditionFailedError if value.get("condition") is True else RefusedError
        raise kind(str(value.get("message", "")), hint=str(value.get("hint", "")))

    def put_blob(self, data: bytes) -> str:
        self.append((), blobs=[data])
        return hashlib.sha256(data).hexdigest()

    def get_blob(self, digest: str) -> bytes:
        return _held(self._blobs, digest)

    def close(self) -> None:
        self._socket.close()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            raise LedgerLostError("the ledger writer is gone") from None

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            raise LedgerLostError("the ledger writer is gone or does not answer")
        for kind, payload in self._reader.feed(data):
            if kind == frames.CONTROL:
                for entry in frames.read_control(payload)[1]:
                    self._state.apply(entry)
            elif kind == frames.WELCOME:
                self._target = int(frames.read_json(payload).get("control_size", 0))
            elif kind == frames.REPLY:
                request, value = frames.read_reply(payload)
                self._replies[request] = value
            elif kind == frames.FAILED:
                failed = frames.read_json(payload)
                raise LedgerLostError(str(failed.get("message", "")), hint=str(failed.get("hint", "")))


def _held(blobs: BlobStore, digest: str) -> bytes:
    data = blobs.get(digest)
    if data is None:
        raise NoLedgerError(f"blob `{digest}` is not held")
    return data
