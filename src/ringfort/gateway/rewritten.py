"""Messages whose text is not the client's: statements in which filtered copies stand for the catalogue."""

from __future__ import annotations

import struct

from ringfort.pgwire.frontend import Parse, Query, serialise_frontend


def query_message(sql: bytes) -> bytes:
    """A Query message."""
    return serialise_frontend(Query(sql))


def parse_message(name: bytes, sql: bytes, types: bytes) -> bytes:
    """A Parse message; `types` as they were sent."""
    return serialise_frontend(Parse(name, sql, struct.unpack_from(f"!{len(types) // 4}I", types, 2)))


__all__ = ["parse_message", "query_message"]
