"""The proof that a release is on record, made when a checkpoint covers its entry, and checked.

With a running writer the checkpoint follows within the merge delay; without one, whoever closes the ledger
publishes. The proof is C2SP's tlog-proof with the entry as its extra data, so it needs nothing beside it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError
from ringfort.ledger.checkpoint import open_checkpoint
from ringfort.ledger.merkle import inclusion_proof
from ringfort.ledger.proof import LogProof
from ringfort.ledger.tiles import TileReader
from ringfort.record.inspect import published_entries, published_size
from ringfort.record.store import CONTROL_LOG, FolderStore

if TYPE_CHECKING:
    from pathlib import Path

    from ringfort.ledger.note import VerifierKey

POLL_SECONDS = 0.05


def inclusion(folder: Path, index: int, key: VerifierKey, wait_seconds: float) -> bytes:
    """The proof of control entry `index` of the ledger in `folder`, checked with the log's own key.

    Raises `MissingEnvironmentError` if no checkpoint covers the entry within `wait_seconds`.
    """
    store = FolderStore(folder)
    deadline = time.monotonic() + wait_seconds
    while published_size(store, CONTROL_LOG) <= index:
        if time.monotonic() > deadline:
            raise MissingEnvironmentError(
                "the ledger has published no checkpoint that covers the release",
                hint="is its writer well? run the transfer again: it goes on where it was",
            )
        time.sleep(POLL_SECONDS)
    data = store.read(f"{CONTROL_LOG}/checkpoint") or b""
    checkpoint = open_checkpoint(data, key)
    entry = next(
        each for at, each in published_entries(store, CONTROL_LOG, checkpoint.size, index) if at == index
    )
    reader = TileReader(checkpoint.size, lambda path: store.read(f"{CONTROL_LOG}/{path}"))
    proof = LogProof(index, tuple(inclusion_proof(index, checkpoint.size, reader)), data, entry)
    proof.verify(entry, key)
    return proof.encode()


__all__ = ["inclusion"]
