"""SCRAM verifiers of principals as files, and how PostgreSQL writes one.

`secrets/scram/NAME.json` is `{"iterations", "salt", "stored_key", "server_key"}`, the last three in base64:
it lets a server check a proof and nobody make one. Only the provisioner reads these files; a worker is told
one verifier at a time, and for a name that is not known a mock one that cannot be told from it.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import orjson

from ringfort.errors import ConfigurationError, UsageError
from ringfort.pgwire.scram import DEFAULT_ITERATIONS, MAX_ITERATIONS, Verifier, build_verifier, mock_verifier
from ringfort.private_files import read_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfort.ports import Randomness

PRINCIPAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}")


def make_verifier(password: str, randomness: Randomness, iterations: int = DEFAULT_ITERATIONS) -> bytes:
    """The content of a verifier file for `password`, with a fresh salt.

    Raises `UsageError` for an empty password. All principals of a deployment should have one number of
    iterations: the mock verifier of an unknown name has the default.
    """
    if not password:
        raise UsageError("the password is empty", hint="give one, or let one be made")
    return encode_verifier(build_verifier(password, randomness.token(16), iterations))


def encode_verifier(verifier: Verifier) -> bytes:
    """A verifier as the content of its file."""
    return orjson.dumps(verifier_fields(verifier), option=orjson.OPT_APPEND_NEWLINE)


def verifier_fields(verifier: Verifier) -> dict[str, Any]:
    """A verifier as JSON fields."""
    return {
        "iterations": verifier.iterations,
        "salt": base64.b64encode(verifier.salt).decode(),
        "stored_key": base64.b64encode(verifier.stored_key).decode(),
        "server_key": base64.b64encode(verifier.server_key).decode(),
    }


def decode_verifier(content: bytes, path: Path | None = None) -> Verifier:
    """The inverse of `encode_verifier`; raises `ConfigurationError` on anything else."""
    try:
        data = orjson.loads(content)
        verifier = Verifier(
            int(data["iterations"]),
            base64.b64decode(data["salt"], validate=True),
            base64.b64decode(data["stored_key"], validate=True),
            base64.b64decode(data["server_key"], validate=True),
        )
        sound = (
            set(data) == {"iterations", "salt", "stored_key", "server_key"}
            and DEFAULT_ITERATIONS <= verifier.iterations <= MAX_ITERATIONS
            and len(verifier.salt) >= 16
            and len(verifier.stored_key) == len(verifier.server_key) == 32
        )
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise ConfigurationError(
            "is no SCRAM verifier", path=path, hint="write it anew with `ringfort principal add`"
        )
    return verifier


def load_verifier(
    folder: Path,
    name: str,
    mock_key: bytes,
    *,
    known: bool,
    decoy: str = "",
    read: Callable[[Path], bytes] = read_private,
) -> Verifier:
    """The verifier of `name`; a mock one if the name is not `known`, not a name, or has no file.

    The work is the same: a mock is made in any case, and where there is no verifier that of `decoy` is read
    instead, for nothing.
    """
    mock = mock_verifier(name, mock_key)
    real = known and PRINCIPAL_NAME.fullmatch(name) is not None and (folder / f"{name}.json").exists()
    path = folder / f"{name if real else decoy}.json"
    if not path.exists():
        return mock
    found = decode_verifier(read(path), path)
    return found if real else mock


def postgres_verifier(verifier: Verifier) -> str:
    """The verifier as `pg_authid.rolpassword` has it, which CREATE ROLE takes instead of a password."""
    fields = verifier_fields(verifier)
    return (
        f"SCRAM-SHA-256${fields['iterations']}:{fields['salt']}${fields['stored_key']}:{fields['server_key']}"
    )


__all__ = [
    "PRINCIPAL_NAME",
    "decode_verifier",
    "encode_verifier",
    "load_verifier",
    "make_verifier",
    "postgres_verifier",
    "verifier_fields",
]
