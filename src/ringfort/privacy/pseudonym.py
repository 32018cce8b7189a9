r"""Pseudonymisation domains, their keys, and whole columns of pseudonyms: Arrow in, Arrow out.

A domain is (recipient, purpose, epoch): the recipient is a legal entity, not a person. From the root secret,
which never enters a database, each domain derives one AES key per identity space and type:

    key = HKDF-SHA256(root, salt none, info = b"ringfort-pseudonym/1" | fields, 16 bytes)

where `fields` are recipient, purpose, epoch, identity space and type, each UTF-8 (NFC) behind its length as
u16 big-endian, so that no two different lists encode alike. A pseudonym is the full 128 bits of AES-CMAC
(RFC 4493) over one message per value; NULL stays NULL. The messages, by type (`PseudonymType`):

    number     int2, int4, int8, float4, float8, numeric:
               a whole number within int8, however stored, is `rf-int8\0 | int8`: the customer 17850.0 that a
               spreadsheet made a double is the customer 17850 of the other table. -0.0 is 0.
               Any other float is `rf-flt8\0 | IEEE 754 double` (each NaN is the one quiet NaN), any other
               numeric `rf-num\0\0 | plain decimal text without trailing zeros`. A float 0.5 and a numeric
               0.5 are therefore different: a float that is not whole is no key.
    text       text, varchar, char(n) without its padding: the NFC UTF-8 bytes, nothing before or after
    uuid       the 16 bytes
    date       `rf-date\0 | int8` days since 1970-01-01
    timestamp  `rf-time\0 | int8` microseconds since 1970-01-01 00:00 of the clock shown
    instant    `rf-inst\0 | int8` microseconds since 1970-01-01 00:00 UTC (timestamp with time zone)

All but text and the odd numeric are one AES block, so whoever holds the key can invert them; text is resolved
by computing it again. Invariants: equal values of one (domain, space, type) have equal pseudonyms, distinct
ones distinct (128 bits), and nothing links two domains, epochs or spaces without the root secret.
Left out: destroying the key of one domain alone (all derive from one root). DESIGN section 5, EDPB Guidelines
01/2025, refs RFC 5869.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfort.errors import UsageError
from ringfort.privacy.cmac import BLOCK, CHUNK, KEY_BYTES, Cmac

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PseudonymType = Literal["number", "text", "uuid", "date", "timestamp", "instant"]
PSEUDONYM_TYPES: tuple[PseudonymType, ...] = get_args(PseudonymType)
ROOT_BYTES = 32

_INTEGER = b"rf-int8\0"
_FLOAT = b"rf-flt8\0"
_NUMERIC = b"rf-num\0\0"
_LABELS: dict[str, bytes] = {
    "number": _INTEGER, "date": b"rf-date\0", "timestamp": b"rf-time\0", "instant": b"rf-inst\0",
}  # fmt: skip
_KEY_LABEL = b"ringfort-pseudonym/1"
_KEY_ID_LABEL = b"ringfort-pseudonym-key-id/1"
_INT8_LIMIT = 2.0**63
_QUIET_NAN = 0x7FF8000000000000


@dataclass(frozen=True)
class Domain:
    """A pseudonymisation domain: who receives (a legal entity), for what, and since which rotation."""

    recipient: str
    purpose: str
    epoch: int = 1

    @property
    def id(self) -> str:
        """Its name in the ledger: 32 hexadecimal digits that depend on the three fields alone."""
        return hashlib.sha256(b"ringfort-domain/1" + self.encoded()).hexdigest()[:32]

    def encoded(self) -> bytes:
        """The canonical encoding of the three fields."""
        return encode_fields(self.recipient, self.purpose, str(self.epoch))


def encode_fields(*fields: str) -> bytes:
    """Texts in NFC, each behind its length in bytes as u16 big-endian: no two lists encode alike."""
    parts = []
    for field in fields:
        raw = unicodedata.normalize("NFC", field).encode("utf-8", "surrogatepass")
        if len(raw) > 0xFFFF:
            raise UsageError("a field of a pseudonymisation domain is longer than 65,535 bytes")
        parts.append(len(raw).to_bytes(2, "big") + raw)
    return b"".join(parts)


def derive_key(root: bytes, domain: Domain, identity_space: str, kind: PseudonymType) -> bytes:
    """The AES-128 key of one identity space and type within a domain."""
    return _hkdf(root, _KEY_LABEL + domain.encoded() + encode_fields(identity_space, kind))


def key_id(root: bytes, domain: Domain) -> str:
    """An id for the keys of a domain under this root: 32 hexadecimal digits.

    It is an output of the same derivation under another label, so it tells nothing about any key, and
    nothing about the domain to whoever lacks the root secret; it changes when the root secret does.
    """
    return _hkdf(root, _KEY_ID_LABEL + domain.encoded()).hex()


def _hkdf(root: bytes, info: bytes) -> bytes:
    if len(root) != ROOT_BYTES:
        raise UsageError(f"the root secret must be {ROOT_BYTES} bytes")
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(root)


def pseudonym_type(arrow: pa.DataType) -> PseudonymType:
    """The type of message for an Arrow type; raises `UsageError` for one that has no pseudonyms."""
    if pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        return "number"
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return "text"
    if _is_uuid(arrow):
        return "uuid"
    if pa.types.is_date(arrow):
        return "date"
    if pa.types.is_timestamp(arrow):
        return "timestamp" if arrow.tz is None else "instant"
    raise UsageError(f"values of type `{arrow}` have no pseudonyms", hint="hide the column instead")


def _is_uuid(arrow: pa.DataType) -> bool:
    storage = arrow.storage_type if isinstance(arrow, pa.BaseExtensionType) else arrow
    return bool(pa.types.is_fixed_size_binary(storage) and storage.byte_width == BLOCK)


class Pseudonymiser:
    """Columns to pseudonyms under the key of one (domain, identity space, type)."""

    def __init__(self, key: bytes, kind: PseudonymType) -> None:
        if kind not in PSEUDONYM_TYPES:
            raise UsageError(f"`{kind}` is no type of pseudonyms")
        self.kind = kind
        self._cmac = Cmac(key)

    def column(self, values: pa.Array | pa.ChunkedArray) -> pa.FixedSizeBinaryArray:
        """Pseudonyms of a column: `fixed_size_binary[16]` of the same length, null where `values` is.

        Raises `UsageError` if the column's type is of another `PseudonymType`.
        """
        found = pseudonym_type(values.type)
        if found != self.kind:
            raise UsageError(f"this key is for `{self.kind}`, the column is `{found}`")
        pieces = [self._piece(each) for each in _pieces(values)]
        if not pieces:
            return pa.array([], pa.binary(BLOCK))
        return pa.concat_arrays(pieces)

    def resolve_numbers(self, pseudonyms: pa.FixedSizeBinaryArray) -> pa.Int64Array:
        """Whole numbers from their pseudonyms; null where it is no pseudonym of a whole number here.

        For use inside the enclave only, as a recorded act of its own.
        """
        tags = _fixed_rows(pseudonyms)
        values, valid = self._cmac.open_integers(_INTEGER, tags)
        valid &= pseudonyms.is_valid().to_numpy(zero_copy_only=False)
        return pa.array(values, pa.int64(), mask=~valid)

    def resolve(self, pseudonyms: pa.FixedSizeBinaryArray) -> pa.Array:
        """Values from their pseudonyms, null where it is none of this key; of the type that `kind` says.

        Whole numbers int64, dates date32, times microseconds, uuid 16 bytes (any 16 bytes are a pseudonym of
        some uuid). Raises `UsageError` for text. For use inside the enclave only, as a recorded act.
        """
        if self.kind == "text":
            raise UsageError("a text cannot be computed from its pseudonym")
        tags = _fixed_rows(pseudonyms)
        found = pseudonyms.is_valid().to_numpy(zero_copy_only=False)
        if self.kind == "uuid":
            blocks = self._cmac.open_blocks(tags)
            blocks[~found] = 0
            validity = pseudonyms.is_valid().buffers()[1] if pseudonyms.null_count else None
            return pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(BLOCK), len(blocks), [validity, pa.py_buffer(blocks)]
            )
        counts, valid = self._cmac.open_integers(_LABELS[self.kind], tags)
        valid &= found
        if self.kind == "date":
            valid &= (counts >= -(2**31)) & (counts < 2**31)
            return pa.array(np.where(valid, counts, 0).astype(np.int32), pa.int32(), mask=~valid).cast(
                pa.date32()
            )
        whole = pa.array(np.where(valid, counts, 0), pa.int64(), mask=~valid)
        if self.kind == "number":
            return whole
        return whole.cast(pa.timestamp("us", "UTC" if self.kind == "instant" else None))

    def _piece(self, values: pa.Array) -> pa.FixedSizeBinaryArray:
        arrow = values.type
        if isinstance(arrow, pa.BaseExtensionType):
            return self._piece(cast("pa.ExtensionArray", values).storage)
        if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
            tags = self._text(values)
        elif pa.types.is_fixed_size_binary(arrow):
            tags = self._cmac.blocks(_fixed_rows(values))
        elif pa.types.is_floating(arrow):
            tags = self._floats(_filled(values.cast(pa.float64()), 0.0))
        elif pa.types.is_decimal(arrow):
            tags = self.decimals([each or Decimal(0) for each in values.to_pylist()])
        else:
            tags = self.whole(_filled(_counts(values), 0))
        validity = values.is_valid().buffers()[1] if values.null_count else None
        return pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(BLOCK), len(values), [validity, pa.py_buffer(np.ascontiguousarray(tags))]
        )

    def _text(self, values: pa.Array) -> NDArray[np.uint8]:
        if not pc.all(pc.string_is_ascii(values), min_count=0).as_py():
            values = pc.utf8_normalize(values, "NFC")
        data, offsets = _text_buffers(values)
        return self._cmac.messages(data, offsets)

    def whole(self, values: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pseudonyms, shape (n, 16), of int8 values: numbers, or days or microseconds since 1970-01-01."""
        return self._cmac.integers(_LABELS[self.kind], values.astype(np.int64, copy=False))

    def decimals(self, values: list[Decimal]) -> NDArray[np.uint8]:
        """Pseudonyms, shape (n, 16), of exact decimals of any size."""
        messages = [number_message(each) for each in values]
        offsets = np.cumsum([0, *map(len, messages)], dtype=np.int64)
        return self._cmac.messages(np.frombuffer(b"".join(messages), np.uint8), offsets)

    def _floats(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        with np.errstate(invalid="ignore"):
            whole = (np.floor(values) == values) & (values >= -_INT8_LIMIT) & (values < _INT8_LIMIT)
            tags = self._cmac.integers(_INTEGER, np.where(whole, values, 0).astype(np.int64))
        rest = np.flatnonzero(~whole)
        if len(rest):
            odd = values[rest]
            bits = np.where(np.isnan(odd), np.int64(_QUIET_NAN), odd.view(np.int64))
            tags[rest] = self._cmac.integers(_FLOAT, bits)
        return tags


def number_message(value: Decimal) -> bytes:
    """The message of an exact decimal, see the table above. NaN and the infinities are texts like any."""
    if value.is_finite():
        if value == value.to_integral_value() and -(2**63) <= value < 2**63:
            return _INTEGER + int(value).to_bytes(8, "big", signed=True)
        text = format(value, "f")
        value_text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        value_text = str(value.copy_abs() if value.is_nan() else value)
    return _NUMERIC + value_text.encode("ascii")


def _counts(values: pa.Array) -> pa.Int64Array:
    """Whole numbers, days or microseconds as int64."""
    arrow = values.type
    if pa.types.is_date(arrow):
        return values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    if pa.types.is_timestamp(arrow):
        return values.cast(pa.timestamp("us", arrow.tz)).cast(pa.int64())
    return values.cast(pa.int64())


def _pieces(values: pa.Array | pa.ChunkedArray) -> Iterator[pa.Array]:
    chunks: list[Any] = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    for chunk in chunks:
        for start in range(0, len(chunk), CHUNK):
            yield chunk.slice(start, CHUNK)


def _filled(values: pa.Array, nothing: float) -> NDArray[Any]:
    filled = values.fill_null(nothing) if values.null_count else values
    return cast("NDArray[Any]", filled.to_numpy(zero_copy_only=False))


def _fixed_rows(values: pa.FixedSizeBinaryArray) -> NDArray[np.uint8]:
    data = values.buffers()[1]
    if data is None:
        return np.zeros((len(values), BLOCK), np.uint8)
    start = values.offset * BLOCK
    return np.frombuffer(data, np.uint8)[start : start + len(values) * BLOCK].reshape(-1, BLOCK)


def _text_buffers(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    width = np.int64 if pa.types.is_large_string(values.type) else np.int32
    _, offset_buffer, data_buffer = values.buffers()
    if offset_buffer is None or not len(offset_buffer):
        return np.empty(0, np.uint8), np.zeros(len(values) + 1, np.int64)
    offsets = np.frombuffer(offset_buffer, width)[values.offset : values.offset + len(values) + 1]
    data = np.empty(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return data, offsets.astype(np.int64)


__all__ = [
    "PSEUDONYM_TYPES",
    "ROOT_BYTES",
    "Domain",
    "PseudonymType",
    "Pseudonymiser",
    "derive_key",
    "encode_fields",
    "key_id",
    "number_message",
    "pseudonym_type",
]
