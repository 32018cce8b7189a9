"""A key-encryption key in a PKCS#11 token (OASIS PKCS #11 v3.1): an HSM, or SoftHSM2 in tests.

The key is an AES-256 key that the token makes itself: sensitive, never extractable, not a session's but the
token's. Secrets are encrypted and decrypted by the token with CKM_AES_GCM rather than wrapped with
CKM_AES_KEY_WRAP_PAD, because key wrapping binds no context: a wrapped secret could stand in for another. The
token sees the nonce that we draw, and gives `ciphertext | tag`; the stored form is that of a key in a file.

Invariants: the PIN is read from a 0600 file at each login and is in no argument, log or error; a session
lasts for one operation, so that a token which was away for a while serves again. One caller at a time. The
binding (`python-pkcs11`, the extra `pkcs11`) is imported here only. Left out: several tokens, a keypad.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import read_private
from ringfort.sites.key_encryption import KEY_BYTES, NONCE_BYTES, TAG_BYTES, not_unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfort.config import KeysConfig

PREFIX = "pkcs11:"
_LOCK = threading.RLock()
_MAX_PIN = 256


class TokenKeyEncryptionKey:
    """The key called `key_label` in the token called `token`; raises `MissingEnvironmentError` without it.

    With `kek` the key of that id instead, whatever its label: one that an earlier `key_label` named.
    """

    def __init__(self, keys: KeysConfig, kek: str = "") -> None:
        self._keys = keys
        with _session(keys) as (session, binding):
            self._id = _id_of(_key(session, binding, keys, kek))

    @property
    def id(self) -> str:
        """`pkcs11:` and the key's CKA_ID, which was drawn at random when it was made."""
        return self._id

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """`nonce | ciphertext | tag`."""
        nonce = os.urandom(NONCE_BYTES)
        with _session(self._keys) as (session, binding):
            sealed = self._ours(session, binding).encrypt(
                secret,
                mechanism=binding.Mechanism.AES_GCM,
                mechanism_param=binding.GCMParams(nonce, context, TAG_BYTES * 8),
            )
        return nonce + bytes(sealed)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The secret; raises `MissingEnvironmentError` if anything is not as it was."""
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        with _session(self._keys) as (session, binding):
            key = self._ours(session, binding)
            try:
                return bytes(
                    key.decrypt(
                        sealed,
                        mechanism=binding.Mechanism.AES_GCM,
                        mechanism_param=binding.GCMParams(nonce, context, TAG_BYTES * 8),
                    )
                )
            except _errors("EncryptedDataInvalid", "EncryptedDataLenRange", "GeneralError", "FunctionFailed"):
                raise not_unwrapped() from None  # tokens differ in what they say of a wrong tag

    def _ours(self, session: Any, binding: Any) -> Any:  # noqa: ANN401 - an optional binding's objects
        return _key(session, binding, self._keys, self._id)


def create_key(keys: KeysConfig) -> bool:
    """Make the key in the token if there is none of its label; gives whether it was made."""
    with _session(keys, write=True) as (session, binding):
        try:
            _key(session, binding, keys)
        except _NoKeyError:
            session.generate_key(
                binding.KeyType.AES,
                KEY_BYTES * 8,
                label=keys.key_label,
                id=os.urandom(16),
                store=True,
                capabilities=binding.MechanismFlag.ENCRYPT | binding.MechanismFlag.DECRYPT,
                template={
                    binding.Attribute.TOKEN: True,
                    binding.Attribute.PRIVATE: True,
                    binding.Attribute.SENSITIVE: True,
                    binding.Attribute.EXTRACTABLE: False,
                },
            )
            return True
    return False


class _NoKeyError(MissingEnvironmentError):
    """The token has no key of that label."""


def _key(session: Any, binding: Any, keys: KeysConfig, kek: str = "") -> Any:  # noqa: ANN401
    """The key of the configured label, or the one of the id `kek`."""
    which = (
        {binding.Attribute.ID: bytes.fromhex(kek.removeprefix(PREFIX))}
        if kek
        else {binding.Attribute.LABEL: keys.key_label}
    )
    found = list(session.get_objects({binding.Attribute.CLASS: binding.ObjectClass.SECRET_KEY} | which))
    if not found and kek:
        raise _NoKeyError(
            f"a secret is wrapped with the key-encryption key `{kek}`, which is not here: not in the token"
            f" `{keys.token}`",
            hint="`ringfort keys status` lists what is wrapped with which key",
        )
    if not found:
        raise _NoKeyError(
            f"the token `{keys.token}` holds no key `{keys.key_label}`",
            hint="`ringfort keys rewrap DIR` makes it and wraps the secrets anew",
        )
    if len(found) > 1:
        raise MissingEnvironmentError(
            f"the token `{keys.token}` holds more than one key `{keys.key_label}`",
            hint="give the right one a label of its own, and name it as `keys.key_label`",
        )
    key = found[0]
    if key[binding.Attribute.EXTRACTABLE] or not key[binding.Attribute.SENSITIVE]:
        raise MissingEnvironmentError(
            f"the key `{keys.key_label}` in the token `{keys.token}` could be read out of it",
            hint="use a key that the token made: sensitive, and not extractable",
        )
    return key


def _id_of(key: Any) -> str:  # noqa: ANN401
    return f"{PREFIX}{bytes(key.id).hex()}"


@contextlib.contextmanager
def _session(keys: KeysConfig, *, write: bool = False) -> Iterator[tuple[Any, Any]]:
    """A session of the user, with the binding; what the token refuses becomes an error in our words."""
    binding = _binding()
    pin = _pin(Path(keys.pin_file))
    with _LOCK:
        try:
            token = _library(binding, keys.module).get_token(token_label=keys.token)
            with token.open(rw=write, user_pin=pin) as session:
                yield session, binding
        except binding.exceptions.PKCS11Error as error:
            raise _in_words(error, keys) from None


def _library(binding: Any, module: str) -> Any:  # noqa: ANN401
    if not Path(module).is_file():
        raise MissingEnvironmentError(
            f"there is no PKCS#11 library `{module}`",
            hint="correct `keys.module`, or install the token's software",
        )
    try:
        return binding.lib(module)
    except RuntimeError:
        raise MissingEnvironmentError(
            f"`{module}` is not a PKCS#11 library that can be used", hint="correct `keys.module`"
        ) from None


def _binding() -> Any:  # noqa: ANN401
    try:
        import pkcs11  # noqa: PLC0415 - an extra
        import pkcs11.exceptions  # noqa: PLC0415
    except ImportError:
        raise MissingEnvironmentError(
            "`keys.store` is `pkcs11`, and the Python package for it is not installed",
            hint="install `ringfort[pkcs11]`",
        ) from None
    return pkcs11


def _errors(*names: str) -> tuple[type[Exception], ...]:
    """Those of the binding's exceptions that this version of it has."""
    found = _binding().exceptions
    return tuple(getattr(found, each) for each in names if hasattr(found, each))


def _in_words(error: Exception, keys: KeysConfig) -> MissingEnvironmentError:
    kind = type(error).__name__
    if kind in {"NoSuchToken", "TokenNotPresent", "SlotIDInvalid", "DeviceRemoved"}:
        return MissingEnvironmentError(
            f"there is no token `{keys.token}`", hint="plug it in or start it, or correct `keys.token`"
        )
    if kind in {"PinIncorrect", "PinInvalid", "PinLenRange"}:
        return MissingEnvironmentError(
            f"the token `{keys.token}` refuses the PIN",
            hint=f"correct `{keys.pin_file}`; most tokens lock after some wrong ones",
        )
    if kind in {"PinLocked", "PinExpired"}:
        return MissingEnvironmentError(
            f"the PIN of the token `{keys.token}` is locked or expired",
            hint="its security officer sets a new one",
        )
    if kind == "MultipleTokensReturned":
        return MissingEnvironmentError(
            f"more than one token is called `{keys.token}`", hint="give them labels of their own"
        )
    return MissingEnvironmentError(f"the token `{keys.token}` failed with {kind}", hint="see its own log")


def _pin(path: Path) -> str:
    try:
        pin = read_private(path).decode("utf-8").strip("\r\n")
    except UnicodeDecodeError:
        pin = ""
    if not 0 < len(pin) <= _MAX_PIN:
        raise UsageError(f"`{path}` holds no PIN", hint="write the token's user PIN into it, one line")
    return pin


__all__ = ["PREFIX", "TokenKeyEncryptionKey", "create_key"]
