"""Between PostgreSQL's binary formats and the columnar kernel: keys out, (raw, pseudonym) rows of COPY in.

Keys come out through their type's send function, and go back in with those very bytes, so that the mapping
table holds exactly what the base column compares with. Fixed-size types are numpy all the way; text and
numeric are joined row by row. Pure. PostgreSQL manual: COPY, binary format.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ringfort.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
SEND = {
    "smallint": "int2send",
    "integer": "int4send",
    "bigint": "int8send",
    "real": "float4send",
    "double precision": "float8send",
    "date": "date_send",
    "timestamp without time zone": "timestamp_send",
    "timestamp with time zone": "timestamptz_send",
    "uuid": "uuid_send",
    "text": "textsend",
    "numeric": "numeric_send",
}


class MappingCodec:
    """Rows of one storage type: the binary forms of keys -> bytes for COPY IN, pseudonyms by `kernel`."""

    def __init__(self, storage_type: str, kernel: Pseudonymiser) -> None:
        self.storage_type = storage_type
        self._kernel = kernel
        self._encode: Callable[[Sequence[tuple[Any, ...]]], bytes]
        if storage_type in _FIXED:
            self._encode = self._fixed
        elif storage_type == "text":
            self._encode = self._text
        elif storage_type == "numeric":
            self._encode = self._numeric
        else:
            raise CheckFailedError(f"type `{storage_type}` has no pseudonyms")

    @property
    def select(self) -> str:
        """What to select of a key `v`: its binary form; a numeric comes with its text."""
        return f"{SEND[self.storage_type]}(v)" + (", v::text" if self.storage_type == "numeric" else "")

    def encode(self, keys: Sequence[tuple[Any, ...]]) -> bytes:
        """Rows for COPY IN, without header and trailer, of rows of `select`."""
        return self._encode(keys) if keys else b""

    def pseudonyms(self, keys: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """The pseudonyms alone, 16 bytes each, of rows of `select`."""
        if not keys:
            return []
        if self.storage_type in _FIXED:
            tags = self._tags(self._source(keys))
        elif self.storage_type == "text":
            tags = self._text_tags([each[0] for each in keys])
        else:
            tags = self._kernel.decimals([Decimal(each[1]) for each in keys])
        return [bytes(each) for each in tags]

    def _source(self, keys: Sequence[tuple[Any, ...]]) -> NDArray[Any]:
        return np.frombuffer(b"".join([each[0] for each in keys]), np.dtype(_FIXED[self.storage_type]))

    def _fixed(self, keys: Sequence[tuple[Any, ...]]) -> bytes:
        source = self._source(keys)
        dtype = source.dtype
        rows = np.empty(
            len(source),
            np.dtype(
                [("count", ">i2"), ("length", ">i4"), ("raw", dtype), ("size", ">i4"), ("pseudonym", "V16")]
            ),
        )
        rows["count"], rows["length"], rows["size"] = 2, dtype.itemsize, 16
        rows["raw"] = source
        rows["pseudonym"] = self._tags(source).view("V16").reshape(-1)
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

    def _text(self, keys: Sequence[tuple[Any, ...]]) -> bytes:
        values = [each[0] for each in keys]
        return _rows(values, self._text_tags(values))

    def _text_tags(self, values: list[bytes]) -> NDArray[np.uint8]:
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=offsets[1:])
        column = pa.LargeStringArray.from_buffers(
            len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(values))
        )
        return _tags(self._kernel.column(column))

    def _numeric(self, keys: Sequence[tuple[Any, ...]]) -> bytes:
        return _rows([each[0] for each in keys], self._kernel.decimals([Decimal(each[1]) for each in keys]))


def _tags(pseudonyms: pa.FixedSizeBinaryArray) -> NDArray[np.uint8]:
    data = pseudonyms.buffers()[1]
    return np.frombuffer(data, np.uint8)[: len(pseudonyms) * 16].reshape(-1, 16)


def _rows(values: list[bytes], tags: NDArray[np.uint8]) -> bytes:
    """Rows of two columns, the first of any length."""
    packed = tags.tobytes()
    lengths = np.fromiter(map(len, values), ">i4", len(values)).tobytes()
    parts: list[bytes] = []
    for number, value in enumerate(values):
        parts += (
            b"\0\2",
            lengths[4 * number : 4 * number + 4],
            value,
            _PSEUDONYM_LENGTH,
            packed[16 * number : 16 * number + 16],
        )
    return b"".join(parts)


__all__ = ["BATCH", "HEADER", "TRAILER", "MappingCodec"]
