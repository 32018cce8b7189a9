"""Which key-encryption key a deployment has, and its wrapped secrets; implements `ringfort.ports.KeyStore`.

`[keys] store` says what new secrets are wrapped with: a key in a file (`secrets/kek.key`, or `kek_file`
elsewhere, which is better: then a copy of `secrets/` alone opens nothing) or a key in a PKCS#11 token. A
secret that is there is opened with the key that its line names, so that both stores can be open while
secrets move from one to the other (`ringfort keys rewrap`). Invariants: a key-encryption key is opened at
each use and not kept, so that nothing is ever wrapped with one that is gone; `root.key` is taken in the plain
form of older deployments, nothing else is.
"""

from __future__ import annotations

import base64
import binascii
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError
from ringfort.private_files import FileKeyStore
from ringfort.sites.key_encryption import (
    FileKeyEncryptionKey,
    context,
    is_wrapped,
    parse_wrapped,
    write_wrapped,
)

if TYPE_CHECKING:
    from ringfort.config import Config, KeysConfig
    from ringfort.ports import KeyEncryptionKey

ROOT = "root.key"
ROOT_BYTES = 32
KEK_FILE = "kek.key"
PIN_FILE = "pkcs11.pin"
DOMAINS, CANARIES = "domains", "canaries"


@dataclass(frozen=True)
class CustodySettings:
    """The folder of secrets and `[keys]`; paths are whole."""

    secrets: Path
    keys: KeysConfig

    @classmethod
    def of(cls, config: Config) -> CustodySettings:
        """Those of a deployment."""
        secrets, keys = config.folder / "secrets", config.keys
        return cls(
            secrets,
            replace(
                keys,
                kek_file=str(config.folder / keys.kek_file if keys.kek_file else secrets / KEK_FILE),
                pin_file=str(config.folder / keys.pin_file if keys.pin_file else secrets / PIN_FILE),
            ),
        )


@dataclass(frozen=True)
class SecretStatus:
    """A secret's name and the id of the key that wraps it; empty if it is plain."""

    name: str
    kek: str


def key_files(folder: Path) -> list[str]:
    """The names of the keys in a folder, sorted; none if it is not there. OSError if it may not be read."""
    try:
        return sorted(each for each in os.listdir(folder) if each.endswith(".key"))  # noqa: PTH208 - names
    except FileNotFoundError:
        return []


class Custody:
    """The wrapped secrets of one deployment. Thread-safe."""

    def __init__(self, settings: CustodySettings) -> None:
        self.settings = settings
        self._files = FileKeyStore(settings.secrets)
        self._lock = threading.RLock()

    # -- the store -----------------------------------------------------------------------------------

    def get(self, name: str) -> bytes:
        """The secret called `name`."""
        stored = self._files.get(name)
        if is_wrapped(stored):
            wrapped = parse_wrapped(stored, name)
            return self._kek(wrapped.kek).unwrap(wrapped.data, context(wrapped.kek, name))
        return _plain_root(stored, name)

    def has(self, name: str) -> bool:
        """Whether there is a secret called `name`."""
        return self._files.has(name)

    def create(self, name: str, secret: bytes) -> None:
        """Wrap and store a new secret; raises `UsageError` if there is one of that name."""
        self._files.create(name, write_wrapped(self.current, name, secret))

    def destroy(self, name: str) -> None:
        """Overwrite the stored bytes, unlink them, sync the folder; nothing happens if there are none."""
        self._files.destroy(name)

    def status(self) -> list[SecretStatus]:
        """Every secret that is in custody."""
        found = []
        for name in self.names():
            stored = self._files.get(name)
            found.append(SecretStatus(name, parse_wrapped(stored, name).kek if is_wrapped(stored) else ""))
        return found

    def names(self) -> list[str]:
        """The names of the secrets in custody, the root first."""
        inside = [
            f"{folder}/{each}"
            for folder in (CANARIES, DOMAINS)
            for each in key_files(self.settings.secrets / folder)
        ]
        return ([ROOT] if self.has(ROOT) else []) + inside

    def rewrap(self) -> list[str]:
        """Wrap everything with the current key; gives the names of what was not. Repeating it is safe."""
        moved = []
        with self._lock:
            current = self.current
            for each in self.status():
                if each.kek != current.id:
                    secret = self.get(each.name)
                    self._files.put(each.name, write_wrapped(current, each.name, secret))
                    moved.append(each.name)
        return moved

    # -- key-encryption keys -------------------------------------------------------------------------

    @property
    def current(self) -> KeyEncryptionKey:
        """What new secrets are wrapped with."""
        return self._opened(self.settings.keys.store)

    def make_current(self) -> bool:
        """Make the key-encryption key of the configured store if it has none; gives whether it was made."""
        keys = self.settings.keys
        if keys.store == "pkcs11":
            from ringfort.sites.pkcs11 import create_key  # noqa: PLC0415 - the binding is an extra

            return create_key(keys)
        path = Path(keys.kek_file)
        if path.exists():
            return False
        FileKeyEncryptionKey.create(path)
        return True

    def _kek(self, name: str) -> KeyEncryptionKey:
        store = name.partition(":")[0]
        kek = self._opened(store) if store in {"file", "pkcs11"} else None
        if kek is None or kek.id != name:
            raise MissingEnvironmentError(
                f"a secret is wrapped with the key-encryption key `{name}`, which is not here",
                hint="`ringfort keys status` lists what is wrapped with which key",
            )
        return kek

    def _opened(self, store: str) -> KeyEncryptionKey:
        keys = self.settings.keys
        if store == "pkcs11":
            from ringfort.sites.pkcs11 import TokenKeyEncryptionKey  # noqa: PLC0415 - the binding is an extra

            return TokenKeyEncryptionKey(keys)
        return FileKeyEncryptionKey.read(Path(keys.kek_file))


def _plain_root(stored: bytes, name: str) -> bytes:
    try:
        secret = base64.b64decode(stored.strip(), validate=True) if name == ROOT else b""
    except (ValueError, binascii.Error):
        secret = b""
    if len(secret) != ROOT_BYTES:
        raise MissingEnvironmentError(
            f"the secret `{name}` is not in a form that is known", hint="restore it from a backup"
        )
    return secret


__all__ = ["DOMAINS", "ROOT", "ROOT_BYTES", "Custody", "CustodySettings", "SecretStatus", "key_files"]
