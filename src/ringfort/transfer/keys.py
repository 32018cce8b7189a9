"""The deployment's transfer key, `secrets/transfer.key`: signs manifests, nothing else; made when needed."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from ringfort.errors import UsageError
from ringfort.ledger.note import Ed25519Signer
from ringfort.private_files import FileKeyStore
from ringfort.record.client import read_key

if TYPE_CHECKING:
    from ringfort.config import Config

KEY = "transfer.key"


def signer(config: Config) -> Ed25519Signer:
    """Signs as `ORIGIN/transfers`."""
    store = FileKeyStore(config.folder / "secrets")
    if not store.has(KEY):
        try:
            store.create(KEY, base64.b64encode(os.urandom(32)) + b"\n")
        except UsageError:  # another process was quicker: then its key counts
            if not store.has(KEY):
                raise
    return Ed25519Signer(f"{config.ledger.origin}/transfers", read_key(config.folder / "secrets" / KEY))


__all__ = ["signer"]
