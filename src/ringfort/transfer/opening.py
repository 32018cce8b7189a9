"""What overseer and recipient do with a sealed release: cosign it, open it. With their own keys.

Keys are 0600 files: an X25519 key is 32 bytes as base64, a signing key `NAME BASE64`. Invariants: a release
is checked against the ledger before a share of it is released or used; what is opened appears whole or not at
all.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.ledger.note import MAX_NOTE_BYTES, Ed25519Signer
from ringfort.private_files import read_private, write_private
from ringfort.transfer.manifest import ReleaseError
from ringfort.transfer.seal import COSIGNATURE, SUFFIX, Opener, cosign, public_key
from ringfort.transfer.verify import open_release, verify_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfort.ledger.note import VerifierKey
    from ringfort.transfer.publish import Place


def make_seal_key(path: Path) -> str:
    """A new X25519 key in `path`; gives its public half, as contracts name it."""
    private = X25519PrivateKey.generate().private_bytes_raw()
    write_private(path, base64.b64encode(private) + b"\n", replace=False)
    return public_key(private)


def make_signing_key(path: Path, name: str) -> str:
    """A new Ed25519 key in `path` that signs as `name`; gives its verifier key."""
    seed = os.urandom(32)
    signer = Ed25519Signer(name, seed)
    write_private(path, f"{name} {base64.b64encode(seed).decode()}\n".encode(), replace=False)
    return signer.key.text


def cosign_release(place: Place, log_key: VerifierKey, key: Path, signing_key: Path) -> bytes:
    """The cosignature of a release, every file of which is checked first; raises `ReleaseError`."""
    signer = read_signing_key(signing_key)
    found = verify_release(place, log_key, overseer=signer.key)
    if found.problems or found.release is None:
        raise ReleaseError(f"the release does not verify: {found.problems[0]}", hint="it is not cosigned")
    return cosign(found.release, read_seal_key(key), signer)


def open_sealed(  # noqa: PLR0917 - one caller
    place: Place,
    log_key: VerifierKey,
    key: Path,
    overseer: VerifierKey,
    cosignature: Path | None,
    target: Path,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Open a release into the new folder `target`; gives the number of files. Raises `ReleaseError`."""
    release = open_release(place, log_key)
    if cosignature is not None:
        note = cosignature.read_bytes()
    elif COSIGNATURE in place.names():
        with place.open(COSIGNATURE) as file:
            note = file.read(MAX_NOTE_BYTES + 1)
    else:
        raise ReleaseError(
            "there is no cosignature of the overseer, so nothing opens",
            hint="ask the overseer for it; name it with --cosignature",
        )
    opener = Opener(release, read_seal_key(key), note, overseer)
    if os.path.lexists(target):
        raise UsageError(f"`{target}` is there already", hint="name a new folder")
    staged = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
    try:
        staged.mkdir(mode=0o700, parents=True)
        for each in release.manifest.files:
            path = staged / each.path.removesuffix(SUFFIX)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with place.open(each.path) as source, path.open("xb") as file:
                for piece in opener.open(each.path, source):
                    file.write(piece)
            progress(each.size)
        staged.rename(target)
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot write `{target}`: {(error.strerror or 'error').lower()}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(staged)
    return len(release.manifest.files)


def read_seal_key(path: Path) -> bytes:
    """An X25519 key; raises `MissingEnvironmentError`."""
    return _key(read_private(path).strip(), path)


def read_signing_key(path: Path) -> Ed25519Signer:
    """A signing key; raises `MissingEnvironmentError`."""
    name, _, seed = read_private(path).strip().partition(b" ")
    return Ed25519Signer(name.decode("utf-8", "replace"), _key(seed, path))


def _key(text: bytes, path: Path) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != 32:
        raise MissingEnvironmentError(f"`{path}` holds no key", hint="`ringfort transfer key` makes one")
    return key


__all__ = [
    "cosign_release",
    "make_seal_key",
    "make_signing_key",
    "open_sealed",
    "read_seal_key",
    "read_signing_key",
]
