"""Which key-encryption key a deployment has, and its wrapped secrets; implements `ringfort.ports.KeyStore`.

`[keys] store` says what new secrets are wrapped with: a key in a file (`secrets/kek.key`, or `kek_file`
elsewhere, which is better: then a copy of `secrets/` alone opens nothing) or a key in a PKCS#11 token. A
secret that is there is opened with the key that its line names, so that several keys can be at work while
secrets move from one to the other (`ringfort keys rewrap`). Invariants: a key-encryption key is opened at
each use and not kept, so that nothing is ever wrapped with one that is gone; whoever wraps, rewraps or
destroys a secret, or changes which key is in use, holds `custody.lock` for that one step; a key before is
destroyed only when every secret opens without it; `root.key` is taken in the plain form of older deployments,
nothing else is.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hmac
import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError, RingfortError, UsageError
from ringfort.private_files import FileKeyStore, destroy_half_written
from ringfort.sites.kek_files import KekFiles
from ringfort.sites.key_encryption import (
    context,
    is_wrapped,
    parse_wrapped,
    write_wrapped,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringfort.config import Config, KeysConfig
    from ringfort.ports import KeyEncryptionKey

ROOT = "root.key"
ROOT_BYTES = 32
KEK_FILE = "kek.key"
PIN_FILE = "pkcs11.pin"
DOMAINS, CANARIES = "domains", "canaries"
_LOCK = "custody.lock"
_LOCK_PAUSE, _LOCK_TRIES = 0.02, 3_000


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
    """A secret's name and the id of the key that wraps it, "" if it is plain; not `sound`: it is neither."""

    name: str
    kek: str
    sound: bool = True


@dataclass(frozen=True)
class Rewrapped:
    """What wrapping anew did: secrets that moved, that could not and why, keys that were destroyed."""

    moved: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    destroyed: tuple[str, ...]


def key_files(folder: Path) -> list[str]:
    """The names of the keys in a folder, sorted; none if it is not there. OSError if it may not be read."""
    try:
        return sorted(each for each in os.listdir(folder) if each.endswith(".key"))  # noqa: PTH208 - names
    except FileNotFoundError:
        return []


class Custody:
    """The wrapped secrets of one deployment. Thread-safe, and safe beside other processes of it."""

    def __init__(self, settings: CustodySettings) -> None:
        self.settings = settings
        self.files = KekFiles(Path(settings.keys.kek_file))
        self._secrets = FileKeyStore(settings.secrets)

    # -- the store -----------------------------------------------------------------------------------

    def get(self, name: str) -> bytes:
        """The secret called `name`."""
        stored = self._secrets.get(name)
        try:
            return self._opened(name, stored)
        except MissingEnvironmentError:
            again = self._secrets.get(name)
            if again == stored:
                raise
            return self._opened(name, again)  # it was wrapped anew meanwhile, and the key before is gone

    def has(self, name: str) -> bool:
        """Whether there is a secret called `name`."""
        return self._secrets.has(name)

    def create(self, name: str, secret: bytes) -> None:
        """Wrap and store a new secret; raises `UsageError` if there is one of that name."""
        with self._changing():  # no key goes out of use between the look at it and the writing
            self._secrets.create(name, write_wrapped(self.current, name, secret))

    def destroy(self, name: str) -> None:
        """Overwrite the stored bytes, unlink them, sync the folder; nothing happens if there are none."""
        with self._changing():
            self._secrets.destroy(name)

    def status(self) -> list[SecretStatus]:
        """Every secret that is in custody; one that is destroyed meanwhile is left out."""
        found = []
        for name in self.names():
            try:
                found.append(self._status(name))
            except MissingEnvironmentError:
                if self.has(name):
                    raise
        return found

    def names(self) -> list[str]:
        """The names of the secrets in custody, the root first."""
        inside = [
            f"{folder}/{each}"
            for folder in (CANARIES, DOMAINS)
            for each in key_files(self.settings.secrets / folder)
        ]
        return ([ROOT] if self.has(ROOT) else []) + inside

    # -- wrapping anew -------------------------------------------------------------------------------

    def make_next(self) -> str:
        """Make the key that `use_next` puts into use, if there is none yet; gives its id."""
        self._only_files()
        with self._changing():
            return self.files.make_next().id

    def use_next(self, kek: str) -> None:
        """Wrap new secrets with the next key, of this id, from here on; the key before is kept."""
        self._only_files()
        with self._changing():
            self.files.use_next(kek)

    def keep(self, path: Path) -> str:
        """Have a key that was in use in another file at hand, until nothing is wrapped with it."""
        with self._changing():
            return self.files.keep(path)

    def rewrap(self, progress: Callable[[int, int], None] = lambda _done, _all: None) -> Rewrapped:
        """Wrap everything with the current key, open it with what was stored, destroy the keys before.

        Repeating it is safe, and goes on where another was cut off. Each secret is replaced as a whole, after
        its new form was opened. The keys before are destroyed if every secret there is opens and none names
        them; otherwise they are kept.
        """
        moved, left = [], {}
        names = self.names()
        for done, name in enumerate(names):
            progress(done, 2 * len(names))
            try:
                if self._rewrap(name):
                    moved.append(name)
            except RingfortError as error:
                left[name] = error.message
        after = self.names()  # a domain may have been opened or erased meanwhile
        for done, name in enumerate(after):
            progress(len(names) + done, len(names) + len(after))
            left |= self._unsound(name)
        progress(1, 1)
        with self._changing():
            named = {each.kek for each in self.status()} if not left else None
            gone = [] if named is None else [each for each in self.files.before() if each not in named]
            for each in gone:
                self.files.destroy(each)
            self._sweep()
        return Rewrapped(tuple(moved), tuple(sorted(left.items())), tuple(gone))

    def _sweep(self) -> None:
        """Destroy what processes left that were killed while they wrote secrets or keys."""
        destroy_half_written(self.settings.secrets, re.escape(ROOT))
        for each in (CANARIES, DOMAINS):
            destroy_half_written(self.settings.secrets / each, r".+\.key")
        self.files.sweep()

    def _rewrap(self, name: str) -> bool:
        """Wrap one secret with the current key; gives whether it was not."""
        with self._changing():
            if not self.has(name):
                return False  # its domain was erased meanwhile
            current = self.current
            if self._status(name).kek == current.id:
                return False
            secret = self.get(name)
            stored = write_wrapped(current, name, secret)
            if not hmac.compare_digest(self._opened(name, stored), secret):
                raise MissingEnvironmentError(f"`{name}` did not come back as it was", hint="check the disk")
            self._secrets.put(name, stored)
            return True

    def _unsound(self, name: str) -> dict[str, str]:
        """Why a secret is not as `rewrap` leaves it; empty if it is, or is gone."""
        with self._changing():  # not while it is being destroyed
            if not self.has(name):
                return {}
            try:
                self.get(name)
                if self._status(name).kek != self.current.id:
                    return {name: "is wrapped with another key than the current one"}
            except RingfortError as error:
                return {name: error.message}
        return {}

    # -- key-encryption keys -------------------------------------------------------------------------

    @property
    def current(self) -> KeyEncryptionKey:
        """What new secrets are wrapped with."""
        if self.settings.keys.store == "pkcs11":
            return self._token()
        return self.files.current

    def make_current(self) -> bool:
        """Make the key-encryption key of the configured store if it has none; gives whether it was made."""
        keys = self.settings.keys
        with self._changing():
            if keys.store == "pkcs11":
                from ringfort.sites.pkcs11 import create_key  # noqa: PLC0415 - the binding is an extra

                return create_key(keys)
            return self.files.make_first()

    # -- parts ---------------------------------------------------------------------------------------

    def _status(self, name: str) -> SecretStatus:
        stored = self._secrets.get(name)
        if is_wrapped(stored):
            try:
                return SecretStatus(name, parse_wrapped(stored, name).kek)
            except MissingEnvironmentError:
                return SecretStatus(name, "", sound=False)
        try:
            _plain_root(stored, name)
        except MissingEnvironmentError:
            return SecretStatus(name, "", sound=False)
        return SecretStatus(name, "")

    def _opened(self, name: str, stored: bytes) -> bytes:
        if is_wrapped(stored):
            wrapped = parse_wrapped(stored, name)
            return self._kek(wrapped.kek).unwrap(wrapped.data, context(wrapped.kek, name))
        return _plain_root(stored, name)

    def _kek(self, name: str) -> KeyEncryptionKey:
        store = name.partition(":")[0]
        kek: KeyEncryptionKey | None = None
        if store == "file":
            kek = self.files.find(name)
        elif store == "pkcs11" and self.settings.keys.module:
            kek = self._token(name)
        if kek is None or kek.id != name:
            raise MissingEnvironmentError(
                f"a secret is wrapped with the key-encryption key `{name}`, which is not here",
                hint="`ringfort keys status` lists what is wrapped with which key; a key in another file than"
                " `keys.kek_file` is named with `ringfort keys rewrap --old-key FILE`",
            )
        return kek

    def _token(self, kek: str = "") -> KeyEncryptionKey:
        from ringfort.sites.pkcs11 import TokenKeyEncryptionKey  # noqa: PLC0415 - the binding is an extra

        return TokenKeyEncryptionKey(self.settings.keys, kek)

    def _only_files(self) -> None:
        if self.settings.keys.store == "pkcs11":
            raise UsageError(
                "the key-encryption key is in a token",
                hint="set another `keys.key_label` in ringfort.toml, and run `ringfort keys rewrap` without"
                " --new-key: the key before is found in the token by its id",
            )

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time changes what is in custody, and for one secret or key at a time."""
        path = self.settings.secrets / _LOCK
        try:
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise MissingEnvironmentError(
                f"cannot open `{path}`: {(error.strerror or 'error').lower()}",
                hint="run as the account that made the deployment; check the folder's owner and free space",
            ) from None
        try:
            for _ in range(_LOCK_TRIES):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(_LOCK_PAUSE)
            else:
                raise MissingEnvironmentError(
                    f"another process has held `{path}` for {_LOCK_TRIES * _LOCK_PAUSE:.0f} seconds",
                    hint="a `ringfort keys rewrap` that was stopped? end it, and try again",
                )
            yield
        finally:
            os.close(held)


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


__all__ = [
    "DOMAINS",
    "ROOT",
    "ROOT_BYTES",
    "Custody",
    "CustodySettings",
    "Rewrapped",
    "SecretStatus",
    "key_files",
]
