"""What a single text says when it is decoded: escapes, spelt-out addresses, JSON, base64 and hexadecimal.

Invariants: total, no text makes it raise; the result depends on the text alone. `inspection_text` does this
for whole columns, after a sieve.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DECODED = 65_536

_PY_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{12,}={0,2}")
_PY_HEX = re.compile(r"(?<![0-9A-Fa-f])(?:0[xX]|\\\\?x)?((?:[0-9A-Fa-f]{2}[ :]?){7,})(?![0-9A-Fa-f])")
_PY_BACKSLASH = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
_PY_AT = re.compile(r"\s*[\[({<]\s*(?:at|arroba|@)\s*[\])}>]\s*", re.IGNORECASE)
_PY_DOT = re.compile(r"\s*[\[({<]\s*(?:dot|punkt|punto|point|\.)\s*[\])}>]\s*", re.IGNORECASE)
_PY_SPELT = re.compile(r"(\S)\s+at\s+([\w\-]+(?:(?:\s+dot\s+|\.)[\w\-]+)+)", re.IGNORECASE)
_PY_TAG = re.compile(r"\+[^@\s+]{1,64}@")
_PY_PUNYCODE = re.compile(r"xn--[a-z0-9\-]{1,59}", re.IGNORECASE)
_PY_SPELT_DOT = re.compile(r"\s+dot\s+", re.IGNORECASE)


def decoded(text: str) -> Iterator[str]:
    """What `text` says under the escapes and encodings that are known here; nothing if it says the same."""
    unescaped = _PY_BACKSLASH.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
    unescaped = html.unescape(unquote(unescaped, errors="replace"))
    if "@" not in unescaped:
        unescaped = _PY_AT.sub("@", unescaped)
        unescaped = _PY_SPELT.sub(lambda found: f"{found[1]}@{_PY_SPELT_DOT.sub('.', found[2])}", unescaped)
    unescaped = _PY_DOT.sub(".", unescaped)
    if unescaped != text:
        yield unescaped.encode("utf-8", "replace").decode()
    plain_address = _PY_TAG.sub("@", internationalised(unescaped))
    if plain_address != unescaped:
        yield plain_address
    if text.lstrip()[:1] in {"{", "["}:
        yield from _json_values(text)
    for found in _PY_BASE64.finditer(text):
        yield from _from_base64(found[0])
    for found in _PY_HEX.finditer(text):
        digits = re.sub(r"[ :]", "", found[1])
        yield from _printable(bytes.fromhex(digits[: 2 * MAX_DECODED]))


def internationalised(text: str) -> str:
    """The text with host names in their own letters (RFC 3492); what is none stays."""
    return _PY_PUNYCODE.sub(lambda found: _punycode(found[0]), text)


def _punycode(label: str) -> str:
    try:
        return label[4:].encode("ascii").decode("punycode").encode("utf-8").decode()
    except (UnicodeError, ValueError, OverflowError):
        return label


def _json_values(text: str) -> Iterator[str]:
    """The texts and numbers of a JSON document without the names between them."""
    try:
        waiting = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    found: list[str] = []
    while waiting:
        at = waiting.pop()
        if isinstance(at, dict | list):
            waiting.extend(reversed(list(at.values()) if isinstance(at, dict) else at))
        elif isinstance(at, str) or (isinstance(at, int) and not isinstance(at, bool)):
            found.append(str(at))
    yield " ".join(found).encode("utf-8", "replace").decode()


def _from_base64(run: str) -> Iterator[str]:
    letters = run[:MAX_DECODED].rstrip("=").translate(str.maketrans("-_", "+/"))
    letters = letters[: len(letters) - 1] if len(letters) % 4 == 1 else letters
    try:
        yield from _printable(base64.b64decode(letters + "=" * (-len(letters) % 4)))
    except (binascii.Error, ValueError):
        return


def _printable(data: bytes) -> Iterator[str]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    if all(each.isprintable() or each.isspace() for each in text):
        yield text


__all__ = ["MAX_DECODED", "decoded", "internationalised"]
