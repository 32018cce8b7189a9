r"""Pseudonymisation domains, their keys, and whole columns of pseudonyms: Arrow in, Arrow out.

A domain is (recipient, purpose, epoch): the recipient is a legal entity, not a person. From the secret of its
epoch, which never enters a database, each domain derives one AES key per identity space and type
(`epoch_keys`). A pseudonym is the full 128 bits of AES-CMAC (RFC 4493) over one message per value; NULL stays
NULL. The messages, by type (`PseudonymType`):

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

A time finer than a microsecond is rounded down, one beyond int8 is its end (PostgreSQL's infinity); text
that is no UTF-8 is its bytes. So no value raises.

All but text and the odd numeric are one AES block, so whoever holds the key can invert them; text is resolved
by computing it again. Invariants: equal values of one (domain, space, type) have equal pseudonyms, distinct
ones distinct (128 bits), and nothing links two domains, epochs or spaces without their secrets.
Left out: where the secret of an epoch comes from (`domain_secrets`, `sites.domains`). DESIGN section 5, EDPB
Guidelines 01/2025.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow as pa

from ringfort.errors import UsageError
from ringfort.privacy import arrow_values as buffers
from ringfort.privacy.cmac import BLOCK, BLOCK_CHUNK, CHUNK, Cmac

if TYPE_CHECKING:
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


def pseudonym_type(arrow: pa.DataType) -> PseudonymType:
    """The type of message for an Arrow type; raises `UsageError` for one that has no pseudonyms."""
    arrow = buffers.plain_type(arrow)
    if pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        return "number"
    if buffers.is_text(arrow):
        return "text"
    if pa.types.is_fixed_size_binary(arrow) and arrow.byte_width == BLOCK:
        return "uuid"
    if pa.types.is_date(arrow):
        return "date"
    if pa.types.is_timestamp(arrow):
        return "timestamp" if arrow.tz is None else "instant"
    raise UsageError(f"values of type `{arrow}` have no pseudonyms", hint="hide the column instead")


class Pseudonymiser:
    """Columns to pseudonyms under the key of one (domain, identity space, type)."""

    def __init__(self, key: bytes, kind: PseudonymType) -> None:
        if kind not in PSEUDONYM_TYPES:
            raise UsageError(f"`{kind}` is no type of pseudonyms")
        self.kind = kind
        self._cmac = Cmac(key)

    def column(self, values: pa.Array | pa.ChunkedArray) -> pa.FixedSizeBinaryArray:
        """Pseudonyms of a column: `fixed_size_binary[16]` of the same length, null where `values` is.

        Each value of a dictionary is computed once. Memory beyond the result is that of a few chunks. Raises
        `UsageError` if the column's type is of another `PseudonymType`.
        """
        found = pseudonym_type(values.type)
        if found != self.kind:
            raise UsageError(f"this key is for `{self.kind}`, the column is `{found}`")
        count = len(values)
        room = buffers.room((count + 1) * BLOCK)  # AES asks for a spare block behind
        valid = np.empty(count, np.bool_) if values.null_count or _has_values_apart(values.type) else None
        row, known = 0, None
        for chunk, indices in buffers.plain_chunks(values):
            if indices is None:
                rows = CHUNK if self.kind == "text" else 4 * BLOCK_CHUNK
                for start, piece in buffers.slices(chunk, rows):
                    at = row + start
                    self._piece(piece, room[at * BLOCK :], _part(valid, at, len(piece)))
                row += len(chunk)
            else:
                if known is None or not known[0].equals(chunk):
                    known = (chunk, self.column(chunk))
                self._spread(indices, known[1], room[row * BLOCK :], _part(valid, row, len(indices)))
                row += len(indices)
        bitmap = None
        if valid is not None and not valid.all():
            bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(BLOCK), count, [bitmap, pa.py_buffer(room[: count * BLOCK])]
        )

    def resolve_numbers(self, pseudonyms: pa.FixedSizeBinaryArray) -> pa.Int64Array:
        """Whole numbers from their pseudonyms; null where it is no pseudonym of a whole number here.

        For use inside the enclave only, as a recorded act of its own.
        """
        values, valid = self._open(_INTEGER, pseudonyms)
        return pa.array(values, pa.int64(), mask=~valid)

    def resolve(self, pseudonyms: pa.FixedSizeBinaryArray) -> pa.Array:
        """Values from their pseudonyms, null where it is none of this key; of the type that `kind` says.

        Whole numbers int64, dates date32, times microseconds, uuid 16 bytes (any 16 bytes are a pseudonym of
        some uuid). Raises `UsageError` for text. For use inside the enclave only, as a recorded act.
        """
        if self.kind == "text":
            raise UsageError("a text cannot be computed from its pseudonym")
        if self.kind == "uuid":
            blocks = self._cmac.open_blocks(buffers.fixed_rows(pseudonyms))
            valid = buffers.valid_rows(pseudonyms)
            if valid is not None:
                blocks[~valid] = 0
            bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
            return pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(BLOCK), len(blocks), [bitmap, pa.py_buffer(blocks)]
            )
        if self.kind == "number":
            return self.resolve_numbers(pseudonyms)
        counts, found = self._open(_LABELS[self.kind], pseudonyms)
        if self.kind == "date":
            found &= (counts >= -(2**31)) & (counts < 2**31)
            days = np.where(found, counts, 0).astype(np.int32)
            return pa.array(days, pa.int32(), mask=~found).cast(pa.date32())
        zone = "UTC" if self.kind == "instant" else None
        return pa.array(counts, pa.int64(), mask=~found).cast(pa.timestamp("us", zone))

    def _open(
        self, label: bytes, pseudonyms: pa.FixedSizeBinaryArray
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        values, found = self._cmac.open_integers(label, buffers.fixed_rows(pseudonyms))
        valid = buffers.valid_rows(pseudonyms)
        if valid is not None:
            found &= valid
        return np.where(found, values, 0), found

    def _spread(
        self,
        indices: pa.Array,
        pseudonyms: pa.FixedSizeBinaryArray,
        room: NDArray[np.uint8],
        valid: NDArray[np.bool_] | None,
    ) -> None:
        """Put the pseudonym that each index names into `room`, and whether there is one into `valid`."""
        given = buffers.valid_rows(indices)
        at = buffers.integers(indices)
        at = at.astype(np.intp) if given is None else np.where(given, at, 0).astype(np.intp)
        rows = room[: len(at) * BLOCK].view("V16")
        if not len(pseudonyms):
            rows.view(np.uint8)[:] = 0
            found = np.zeros(len(at), np.bool_)
        else:
            np.take(buffers.fixed(pseudonyms, "V16"), at, out=rows, mode="clip")
            real = buffers.valid_rows(pseudonyms)
            found = np.ones(len(at), np.bool_) if real is None else np.take(real, at)
        if given is not None:
            found &= given
            rows.view(np.uint8).reshape(-1, BLOCK)[~given] = 0
        if valid is not None:
            valid[:] = found

    def _piece(self, values: pa.Array, room: NDArray[np.uint8], valid: NDArray[np.bool_] | None) -> None:
        """Put the pseudonyms of values, of text at most `CHUNK`, into `room`; zeros where there is none."""
        arrow = values.type
        if buffers.is_text(arrow):
            self._text(values, room)
        elif pa.types.is_fixed_size_binary(arrow):
            self._cmac.blocks(buffers.fixed_rows(values), room)
        elif pa.types.is_floating(arrow):
            self._floats(buffers.floats(values), room)
        elif pa.types.is_decimal(arrow):
            self._decimals(values, room)
        elif pa.types.is_date(arrow):
            self.whole(buffers.days(values), room)
        elif pa.types.is_timestamp(arrow):
            self.whole(buffers.microseconds(values), room)
        else:
            self._integers(buffers.integers(values), room)
        if valid is not None:
            found = buffers.valid_rows(values)
            valid[:] = True if found is None else found
            if found is not None:
                room[: len(values) * BLOCK].reshape(-1, BLOCK)[~found] = 0

    def _text(self, values: pa.Array, room: NDArray[np.uint8]) -> None:
        data, offsets = buffers.normalised(values)
        self._cmac.chunk(data, offsets, room[: len(values) * BLOCK].reshape(-1, BLOCK))

    def whole(self, values: NDArray[np.int64], room: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Pseudonyms, shape (n, 16), of int8 values: numbers, or days or microseconds since 1970-01-01."""
        return self._cmac.integers(_LABELS[self.kind], values.astype(np.int64, copy=False), room)

    def _integers(self, values: NDArray[Any], room: NDArray[np.uint8]) -> None:
        tags = self._cmac.integers(_INTEGER, values.view(np.int64), room)
        if values.dtype == np.uint64:
            large = np.flatnonzero(values.view(np.int64) < 0)
            if len(large):
                tags[large] = self.decimals([Decimal(each) for each in values[large].tolist()])

    def decimals(self, values: list[Decimal]) -> NDArray[np.uint8]:
        """Pseudonyms, shape (n, 16), of exact decimals of any size."""
        messages = [number_message(each) for each in values]
        offsets = np.cumsum([0, *map(len, messages)], dtype=np.int64)
        return self._cmac.messages(np.frombuffer(b"".join(messages), np.uint8), offsets)

    def _decimals(self, values: pa.Array, room: NDArray[np.uint8]) -> None:
        counts, whole = buffers.decimals(values)
        tags = self._cmac.integers(_INTEGER, counts, room)
        given = buffers.valid_rows(values)
        rest = np.flatnonzero(~whole if given is None else ~whole & given)
        if len(rest):
            tags[rest] = self.decimals(values.take(pa.array(rest)).to_pylist())

    def _floats(self, values: NDArray[np.float64], room: NDArray[np.uint8]) -> None:
        with np.errstate(invalid="ignore"):
            whole = (np.floor(values) == values) & (values >= -_INT8_LIMIT) & (values < _INT8_LIMIT)
            tags = self._cmac.integers(_INTEGER, np.where(whole, values, 0).astype(np.int64), room)
        rest = np.flatnonzero(~whole)
        if len(rest):
            odd = values[rest]
            bits = np.where(np.isnan(odd), np.int64(_QUIET_NAN), odd.view(np.int64))
            tags[rest] = self._cmac.integers(_FLOAT, bits)


def _has_values_apart(arrow: pa.DataType) -> bool:
    """Whether values lie apart from the rows, so that the number of nulls does not tell of all."""
    return bool(pa.types.is_dictionary(arrow) or pa.types.is_run_end_encoded(arrow))


def _part(valid: NDArray[np.bool_] | None, start: int, rows: int) -> NDArray[np.bool_] | None:
    return None if valid is None else valid[start : start + rows]


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


__all__ = [
    "PSEUDONYM_TYPES",
    "ROOT_BYTES",
    "Domain",
    "PseudonymType",
    "Pseudonymiser",
    "encode_fields",
    "number_message",
    "pseudonym_type",
]
