"""Messages whose text is not the client's: statements in which filtered copies stand for the catalogue.

Also what a Parse may not declare: a parameter of a type that prints the name of an object by its number: it
would come back as a name without any function that could be refused.
"""

from __future__ import annotations

import struct
from typing import Final

from ringfort.pgwire.frontend import Parse, Query, serialise_frontend

# regproc, regprocedure, regoper, regoperator, regclass, regtype, regconfig, regdictionary, regnamespace,
# regrole, regcollation; then their array types
_NAMING: Final = frozenset({24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191}) | frozenset(
    {1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192}
)


def names_objects(types: bytes) -> bool:
    """Whether parameter types as a Parse message has them (Int16 count, Int32 each) include such a type."""
    return not _NAMING.isdisjoint(struct.unpack_from(f"!{len(types) // 4}I", types, 2))


def query_message(sql: bytes) -> bytes:
    """A Query message."""
    return serialise_frontend(Query(sql))


def parse_message(name: bytes, sql: bytes, types: bytes) -> bytes:
    """A Parse message; `types` as they were sent."""
    return serialise_frontend(Parse(name, sql, struct.unpack_from(f"!{len(types) // 4}I", types, 2)))


__all__ = ["names_objects", "parse_message", "query_message"]
