"""Between PostgreSQL's binary COPY and the columnar kernel: keys out as Arrow, (raw, pseudonym) rows in.

A raw value goes back in the very bytes in which it came out, so that the mapping table holds exactly what the
base column compares with. Fixed-size types are numpy all the way; text and numeric are joined row by row.
Pure; psycopg's COPY gives one message per row, the first of which starts with the header. PostgreSQL manual:
COPY, binary format.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ringfort.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ringfort.privacy.pseudonym import Pseudonymiser

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
BATCH = 65_536
_PSEUDONYM_LENGTH = struct.pack(">i", 16)
_TO_1970 = {  # PostgreSQL counts from 2000-01-01; its infinities are the ends of the range and stay there
    "date": (10_957, 2**31 - 1),
    "timestamp without time zone": (10_957 * 86_400_000_000, 2**63 - 1),
    "timestamp with time zone": (10_957 * 86_400_000_000, 2**63 - 1),
}
_FIXED: dict[str, str] = {
    "smallint": ">i2",
    "integer": ">i4",
    "bigint": ">i8",
    "real": ">f4",
    "double precision": ">f8",
    "date": ">i4",
    "timestamp without time zone": ">i8",
    "timestamp with time zone": ">i8",
    "uuid": "V16",
}


class MappingCodec:
    """Rows of one storage type: `messages` of COPY OUT -> bytes for COPY IN, pseudonyms by `kernel`."""

    def __init__(self, storage_type: str, kernel: Pseudonymiser) -> None:
        self.storage_type = storage_type
        self._kernel = kernel
        self._encode: Callable[[list[bytes]], bytes]
        if storage_type in _FIXED:
            self._encode = self._fixed
        elif storage_type == "text":
            self._encode = self._text
        elif storage_type == "numeric":
            self._encode = self._numeric
        else:
            raise CheckFailedError(f"type `{storage_type}` has no pseudonyms")

    @property
    def columns(self) -> int:
        """How many columns the query gives: a numeric comes with its text."""
        return 2 if self.storage_type == "numeric" else 1

    def encode(self, messages: list[bytes]) -> bytes:
        """Rows for COPY IN, without header and trailer."""
        return self._encode(messages) if messages else b""

    def _fixed(self, messages: list[bytes]) -> bytes:
        dtype = np.dtype(_FIXED[self.storage_type])
        source = np.frombuffer(
            b"".join(messages), np.dtype([("count", ">i2"), ("length", ">i4"), ("raw", dtype)])
        )
        rows = np.empty(
            len(source),
            np.dtype(
                [("count", ">i2"), ("length", ">i4"), ("raw", dtype), ("size", ">i4"), ("pseudonym", "V16")]
            ),
        )
        rows["count"], rows["length"], rows["size"] = 2, dtype.itemsize, 16
        rows["raw"] = source["raw"]
        rows["pseudonym"] = self._tags(source["raw"]).view("V16").reshape(-1)
        return rows.tobytes()

    def _tags(self, raw: NDArray[Any]) -> NDArray[np.uint8]:
        if self.storage_type == "uuid":
            blocks = np.ascontiguousarray(raw)
            return _tags(
                self._kernel.column(
                    pa.FixedSizeBinaryArray.from_buffers(
                        pa.binary(16), len(raw), [None, pa.py_buffer(blocks.tobytes())]
                    )
                )
            )
        if raw.dtype.kind == "f":
            return _tags(self._kernel.column(pa.array(raw.astype(np.float64))))
        values = raw.astype(np.int64)
        if self.storage_type in _TO_1970:
            shift, last = _TO_1970[self.storage_type]
            infinite = (values == last) | (values == -last - 1)
            values = np.where(infinite, values, values + shift)
        return self._kernel.whole(values)

    def _text(self, messages: list[bytes]) -> bytes:
        values = [each[6:] for each in messages]
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        column = pa.LargeStringArray.from_buffers(
            len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(values))
        )
        return _rows([each[2:] for each in messages], _tags(self._kernel.column(column)))

    def _numeric(self, messages: list[bytes]) -> bytes:
        payloads, numbers = [], []
        for message in messages:
            (length,) = struct.unpack_from(">i", message, 2)
            payloads.append(message[2 : 6 + length])
            numbers.append(Decimal(message[10 + length :].decode("ascii")))
        return _rows(payloads, self._kernel.decimals(numbers))


def _tags(pseudonyms: pa.FixedSizeBinaryArray) -> NDArray[np.uint8]:
    data = pseudonyms.buffers()[1]
    return np.frombuffer(data, np.uint8)[: len(pseudonyms) * 16].reshape(-1, 16)


def _rows(payloads: list[bytes], tags: NDArray[np.uint8]) -> bytes:
    """Rows of two columns; a payload starts with its length."""
    packed = tags.tobytes()
    parts: list[bytes] = []
    for number, payload in enumerate(payloads):
        parts += (b"\0\2", payload, _PSEUDONYM_LENGTH, packed[16 * number : 16 * number + 16])
    return b"".join(parts)


__all__ = ["BATCH", "HEADER", "TRAILER", "MappingCodec"]
