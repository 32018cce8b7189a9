"""The one door for columns of pseudonyms: three methods, one secret a domain, Arrow in, Arrow out.

    cmac    16 bytes, the same ones that the database shows (`privacy.pseudonym`); any type with pseudonyms
    ff1     text of the value's own format (`privacy.formats`): phone, card, IBAN, digits and letters
    siv     text that comes back byte for byte (`privacy.siv`): base64url of AES-SIV

Keys derive from the secret of the epoch (`epoch_keys`): nothing links two domains, epochs, spaces or methods,
nor two kinds under `ff1` or types under `cmac`. NULL stays NULL, always.

Invariants: a value's pseudonym depends on the secret, domain, space, method and value alone, never on how
the column is chunked, sliced or dictionary-encoded, nor on its neighbours. No value raises: what a method
cannot take comes out as NULL, and no byte of it is left in the buffers beneath. Only a method, kind or type
that does not fit raises `UsageError`, whatever the values are.
Left out: whether somebody may have pseudonyms of a column, and who may resolve them: policy. DESIGN 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import pyarrow as pa

from ringfort.errors import UsageError
from ringfort.privacy import arrow_values as buffers
from ringfort.privacy import formats, siv
from ringfort.privacy.cmac import BLOCK
from ringfort.privacy.epoch_keys import derive_key, method_key
from ringfort.privacy.pseudonym import Pseudonymiser
from ringfort.privacy.pseudonym import pseudonym_type as type_of
from ringfort.privacy.siv import Siv

if TYPE_CHECKING:
    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.privacy.pseudonym import Domain, PseudonymType

Method = Literal["cmac", "ff1", "siv"]
METHODS: tuple[Method, ...] = get_args(Method)
FF1_KEY_BYTES = 32

# Flags, gender, age and country have no method: their few values give themselves away by frequency.
_PROSE = frozenset({"free_text", "content"})  # seldom equal: nothing to link, but it may have to come back
_OTHERS = frozenset(
    {
        "key", "name", "email", "phone", "ip_address", "birth_date", "date", "timestamp", "address",
        "postcode", "city", "iban", "card", "national_id", "amount", "number", "url", "code", "category",
        "location", "user_agent", "unknown",
    }
)  # fmt: skip
FF1_KINDS: dict[str, formats.Format] = {
    "phone": "phone", "card": "card", "iban": "iban",
    "national_id": "code", "code": "code", "key": "code", "number": "code",
}  # fmt: skip
SIV_KINDS = frozenset(_OTHERS | _PROSE)
CMAC_KINDS = _OTHERS
_KINDS: dict[str, frozenset[str]] = {"cmac": CMAC_KINDS, "ff1": frozenset(FF1_KINDS), "siv": SIV_KINDS}


def check(method: str, kind: str, arrow: pa.DataType | None = None) -> None:
    """Raise `UsageError` if `method` is none, or does not fit this catalogue kind or Arrow type."""
    if method not in METHODS:
        raise UsageError(
            f"there is no pseudonymisation method `{method}`", hint=f"methods: {', '.join(METHODS)}"
        )
    if kind not in _KINDS[method]:
        others = [each for each in METHODS if kind in _KINDS[each]]
        raise UsageError(
            f"the method `{method}` does not fit columns of kind `{kind}`",
            hint=f"methods for this kind: {', '.join(others)}" if others else "hide or generalise the column",
        )
    if arrow is None or pa.types.is_null(arrow):
        return
    if method == "cmac":
        type_of(arrow)
    elif not (method == "ff1" and _is_whole(arrow)):
        _check_text(method, arrow)


def kinds_of(method: str) -> frozenset[str]:
    """The catalogue kinds that a method fits."""
    return _KINDS[method]


def output_type(method: str) -> pa.DataType:
    """The Arrow type of a column of pseudonyms."""
    return pa.binary(BLOCK) if method == "cmac" else pa.string()


def pseudonymise(
    values: pa.Array | pa.ChunkedArray,
    *,
    method: str,
    kind: str,
    secret: EpochSecret,
    domain: Domain,
    identity_space: str,
) -> pa.Array:
    """Pseudonyms of a column, of the type `output_type(method)` and the length of `values`.

    `secret` is that of the domain's epoch. `ff1` also takes whole numbers, as their digits. Raises
    `UsageError` if the method does not fit kind or type.
    """
    check(method, kind, values.type)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), output_type(method))
    if method == "cmac":
        found = type_of(values.type)
        key = derive_key(secret, domain, identity_space, found)
        return Pseudonymiser(key, found).column(values)
    if method == "siv":
        return _siv(secret, domain, identity_space).column(values)
    form = FF1_KINDS[kind]
    return formats.column(_written(values), form, _ff1(secret, domain, identity_space, kind))


def resolve(
    pseudonyms: pa.Array | pa.ChunkedArray,
    *,
    method: str,
    kind: str,
    secret: EpochSecret,
    domain: Domain,
    identity_space: str,
    pseudonym_type: PseudonymType = "text",
) -> pa.Array:
    """The values behind pseudonyms; null where it is none of this domain and space, as far as can be told.

    For use inside the enclave only, as a recorded act of its own. `cmac` gives back whole numbers (int64),
    dates, timestamps and uuids, by `pseudonym_type`, but no text: a MAC is not invertible, text is found by
    computing its pseudonym again (`UsageError`). Every 16 bytes are the pseudonym of *some* uuid, and every
    text of the format that of some other for `ff1`, which gives text back even where numbers went in.
    """
    check(method, kind)
    if method == "cmac":
        if pseudonym_type == "text":
            raise UsageError(
                "a text cannot be computed from its pseudonym by `cmac`",
                hint="compute the pseudonyms of the candidates and compare",
            )
        key = derive_key(secret, domain, identity_space, pseudonym_type)
        return Pseudonymiser(key, pseudonym_type).resolve(_tags(pseudonyms))
    _check_text(method, pseudonyms.type)
    if pa.types.is_null(pseudonyms.type):
        return pa.nulls(len(pseudonyms), pa.string())
    if method == "siv":
        return _siv(secret, domain, identity_space).open_column(pseudonyms)
    form = FF1_KINDS[kind]
    return formats.column(pseudonyms, form, _ff1(secret, domain, identity_space, kind), inverse=True)


def _is_whole(arrow: pa.DataType) -> bool:
    """Whether it is a type of whole numbers: their digits are enciphered, without leading zeros before."""
    plain = buffers.plain_type(arrow)
    if pa.types.is_decimal(plain):
        return bool(plain.scale == 0)
    return bool(pa.types.is_integer(plain))


def _written(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Whole numbers as their digits."""
    if not _is_whole(values.type):
        return values
    chunks = []
    for found, indices in buffers.plain_chunks(values):
        written = found.cast(pa.string())
        chunks.append(written if indices is None else written.take(indices))
    return pa.chunked_array(chunks, pa.string())


def _ff1(secret: EpochSecret, domain: Domain, identity_space: str, kind: str) -> formats.Ciphers:
    key = method_key(secret, domain, identity_space, "ff1", kind, FF1_KEY_BYTES)
    return formats.Ciphers.of(key, secret.derivation)


def _siv(secret: EpochSecret, domain: Domain, identity_space: str) -> Siv:
    return Siv(method_key(secret, domain, identity_space, "siv", "", siv.KEY_BYTES))


def _check_text(method: str, arrow: pa.DataType) -> None:
    plain = buffers.plain_type(arrow)
    if not (buffers.is_text(plain) or pa.types.is_null(plain)):
        raise UsageError(
            f"the method `{method}` takes text, the column is of type `{arrow}`",
            hint="the method `cmac` takes numbers, dates and times too",
        )


def _tags(pseudonyms: pa.Array | pa.ChunkedArray) -> pa.FixedSizeBinaryArray:
    """One array of 16-byte values, from uuid too."""
    found: Any = pseudonyms.combine_chunks() if isinstance(pseudonyms, pa.ChunkedArray) else pseudonyms
    if isinstance(found.type, pa.BaseExtensionType):
        found = found.storage
    if pa.types.is_null(found.type):
        found = pa.nulls(len(found), pa.binary(BLOCK))
    if not (pa.types.is_fixed_size_binary(found.type) and found.type.byte_width == BLOCK):
        raise UsageError(
            f"pseudonyms of the method `cmac` are 16 bytes, the column is of type `{found.type}`"
        )
    return cast("pa.FixedSizeBinaryArray", found)


__all__ = [
    "CMAC_KINDS",
    "FF1_KINDS",
    "METHODS",
    "SIV_KINDS",
    "Method",
    "check",
    "kinds_of",
    "output_type",
    "pseudonymise",
    "resolve",
]
