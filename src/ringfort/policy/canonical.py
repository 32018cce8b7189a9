"""Canonical JSON (RFC 8785) for what this package addresses by digest: bundles, decision inputs, maps.

Restricted to the part of JSON that these need: objects with ASCII keys, arrays, strings, booleans and whole
numbers below 2**53. Within it, RFC 8785's key order (UTF-16 code units) is code point order and its numbers
are plain decimals, so the standard library's serialiser is exact; anything outside is refused.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

MAX_INTEGER = 2**53 - 1


def canonical_bytes(value: object) -> bytes:
    """`value` as canonical JSON, UTF-8; raises `ValueError` for what lies outside the restricted part."""
    _check(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")


def parse_canonical(raw: bytes) -> Any:  # noqa: ANN401 - JSON is untyped; callers check the shape
    """The value of `raw`; raises `ValueError` unless `raw` is exactly its canonical form."""
    try:
        value = json.loads(raw)
        again = canonical_bytes(value)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if again != raw:
        raise ValueError("is not canonical JSON")
    return value


def digest_of(raw: bytes) -> str:
    """Lower-case hexadecimal SHA-256 of `raw`: the address of a blob."""
    return hashlib.sha256(raw).hexdigest()


def _check(value: object) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise ValueError("holds a number beyond 2**53")
    elif isinstance(value, list | tuple):
        for each in value:
            _check(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ValueError("holds an object key that is not ASCII text")
            _check(each)
    else:
        raise ValueError(f"holds a {type(value).__name__}")  # noqa: TRY004 - one error for all of it
