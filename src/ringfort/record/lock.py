"""One writer at a time: an exclusive lock on `lock`, which also says where the holder listens."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING

from ringfort.record.errors import LedgerLockedError

if TYPE_CHECKING:
    from pathlib import Path


class FolderLock:
    """Holds the ledger folder for this process until closed (or until the process dies)."""

    def __init__(self, folder: Path, socket_path: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise LedgerLockedError(
                "the ledger is held by another process", hint="use the running deployment, or stop it first"
            ) from None
        self.announce(socket_path)

    def announce(self, socket_path: str) -> None:
        """Write down where the holder listens (empty: nowhere)."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps({"pid": os.getpid(), "socket": socket_path}).encode(), 0)

    def close(self) -> None:
        """Let go."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def holder_socket(folder: Path) -> str:
    """Where the holder of the lock listens; empty if nobody says so."""
    try:
        said = json.loads((folder / "lock").read_bytes())
    except (OSError, ValueError):
        return ""
    socket_path = said.get("socket") if isinstance(said, dict) else None
    return socket_path if isinstance(socket_path, str) else ""
