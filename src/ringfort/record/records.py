"""What a journal group holds: entries of both logs, sealed evidence, blobs. Pure.

A group's body is records one after another: `kind u8 | length u32 | payload`.

    C  control entries   first index u64, then a bundle (u16 length, entry)*
    T  traffic entries   shard name length u8, shard name, first index u64, then a bundle
    E  sealed evidence   shard name length u8, shard name, sealed group (see `evidence`)
    B  blob              its bytes
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ringfort.record.errors import JournalError

_RECORD = struct.Struct(">cI")
_INDEX = struct.Struct(">Q")
_LENGTH = struct.Struct(">H")


@dataclass(frozen=True)
class ControlRecord:
    """Control entries from index `first` on."""

    first: int
    entries: tuple[bytes, ...]


@dataclass(frozen=True)
class TrafficRecord:
    """Traffic entries of one shard from index `first` on."""

    shard: str
    first: int
    entries: tuple[bytes, ...]


@dataclass(frozen=True)
class EvidenceRecord:
    """The sealed evidence of the group's traffic entries of one shard."""

    shard: str
    sealed: bytes


@dataclass(frozen=True)
class BlobRecord:
    """A blob that the group's control entries name by digest."""

    data: bytes


Record = ControlRecord | TrafficRecord | EvidenceRecord | BlobRecord


def encode_records(records: list[Record]) -> bytes:
    """A group's body; `decode_records` is the inverse."""
    parts: list[bytes] = []
    for each in records:
        if isinstance(each, ControlRecord):
            kind, payload = b"C", [_INDEX.pack(each.first), *_lengths(each.entries)]
        elif isinstance(each, TrafficRecord):
            kind, payload = b"T", [_name(each.shard), _INDEX.pack(each.first), *_lengths(each.entries)]
        elif isinstance(each, EvidenceRecord):
            kind, payload = b"E", [_name(each.shard), each.sealed]
        else:
            kind, payload = b"B", [each.data]
        parts.append(_RECORD.pack(kind, sum(map(len, payload))))
        parts += payload
    return b"".join(parts)


def decode_records(body: bytes) -> list[Record]:
    """The records in a group's body; raises JournalError if it is anything else."""
    records: list[Record] = []
    position = 0
    try:
        while position < len(body):
            kind, length = _RECORD.unpack_from(body, position)
            position += _RECORD.size
            payload = body[position : position + length]
            if len(payload) != length:
                raise JournalError("a journal record is cut off")
            position += length
            records.append(_decode(kind, payload))
    except (struct.error, IndexError, UnicodeDecodeError):
        raise JournalError("a journal group holds no records") from None
    return records


def _decode(kind: bytes, payload: bytes) -> Record:
    if kind == b"B":
        return BlobRecord(payload)
    if kind == b"C":
        return ControlRecord(_INDEX.unpack_from(payload)[0], _entries(payload, _INDEX.size))
    start = 1 + payload[0]
    shard = payload[1:start].decode()
    if kind == b"E":
        return EvidenceRecord(shard, payload[start:])
    if kind == b"T":
        return TrafficRecord(
            shard, _INDEX.unpack_from(payload, start)[0], _entries(payload, start + _INDEX.size)
        )
    raise JournalError("a journal record of an unknown kind")


def _name(shard: str) -> bytes:
    name = shard.encode()
    return bytes([len(name)]) + name


def _lengths(entries: tuple[bytes, ...]) -> list[bytes]:
    parts: list[bytes] = []
    pack = _LENGTH.pack
    for each in entries:
        parts += (pack(len(each)), each)
    return parts


def _entries(payload: bytes, position: int) -> tuple[bytes, ...]:
    entries: list[bytes] = []
    while position < len(payload):
        (length,) = _LENGTH.unpack_from(payload, position)
        position += 2
        if position + length > len(payload):
            raise JournalError("a journal record is cut off")
        entries.append(payload[position : position + length])
        position += length
    return tuple(entries)
