"""A ledger looked at, without a key: for commands that only read.

State is folded from the published control log and the journal behind it, so nothing that is acknowledged is
missing. Nothing is written, locked or made, no secret is read, and a writer may run meanwhile. What is read
is not verified: `ringfort ledger verify` does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.config import load_config
from ringfort.ledger.entry import CONTROL, Entry
from ringfort.ledger.folds import Condition, ControlState
from ringfort.record.client import ledger_folder
from ringfort.record.errors import NoLedgerError, RefusedError
from ringfort.record.inspect import published_entries, published_size, read_journal
from ringfort.record.store import BlobStore, FolderStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Reading:
    """The state of a ledger folder when it was read; a `SyncLedger` that refuses every append."""

    def __init__(self, state: ControlState, blobs: BlobStore) -> None:
        self.state = state
        self._blobs = blobs

    def append(
        self,
        entries: Sequence[Entry | bytes],  # noqa: ARG002 - refused, whatever it is
        *,
        condition: Condition | None = None,  # noqa: ARG002
        blobs: Sequence[bytes] = (),  # noqa: ARG002
    ) -> list[int]:
        """Refused."""
        raise RefusedError("this ledger is only looked at")

    def put_blob(self, data: bytes) -> str:  # noqa: ARG002
        """Refused."""
        raise RefusedError("this ledger is only looked at")

    def get_blob(self, digest: str) -> bytes:
        """The blob with this digest; raises NoLedgerError if it is not held."""
        data = self._blobs.get(digest)
        if data is None:
            raise NoLedgerError(f"blob `{digest}` is not held")
        return data


def read_ledger(folder: Path) -> Reading:
    """The ledger of a deployment folder as it is now; an empty state if there is none yet.

    Raises JournalError, EntryError and FoldError for one that is damaged, OSError for what may not be read.
    """
    place = ledger_folder(load_config(folder).folder)
    state = ControlState()
    names = {each.name for each in place.iterdir()} if place.is_dir() else set()
    if names & {"journal", CONTROL}:
        pending = read_journal(place).entries.get(CONTROL, {})  # before the checkpoint: nothing falls between
        store = FolderStore(place)
        size = published_size(store, CONTROL)
        for _, entry in published_entries(store, CONTROL, size):
            state.apply(entry)
        while state.size in pending:
            state.apply(pending[state.size])
    return Reading(state, BlobStore(place / "blobs"))


__all__ = ["Reading", "read_ledger"]
