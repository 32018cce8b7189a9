"""Looks for the planted values in bytes, in whatever dress.

Text in any case, hexadecimal, base64, reversed, binary, digests, cut into pieces, spread over fields or rows.
"""

import base64
import hashlib
import re
import struct
import uuid
from datetime import UTC, date, datetime
from functools import cache

import numpy as np
from tests.live_deployment import ELSEWHERE, MARKERS, restricted_values

from ringfort.pgwire.backend import DataRow, parse_backend

PIECE = 8  # letters of a marker that are not there by chance
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _words(value):
    """The letters and digits that make a value, as text."""
    if isinstance(value, list):
        return [word for each in value for word in _words(each)]
    if isinstance(value, bytes):
        return [value.decode()]
    if isinstance(value, float):
        return [repr(value)]
    if isinstance(value, datetime):
        return [f"{value:%Y-%m-%d %H:%M:%S.%f}", str(int(value.timestamp() * 1_000_000))]
    if isinstance(value, date):
        return [f"{value.year:04d}-{value:%m-%d}"]
    if isinstance(value, str) and re.search(r"[{@.]", value):
        return [value, *re.findall(r"[a-z]{10,}|\d{12,}", value)]
    return [str(value)]


def _binary(value):
    if isinstance(value, uuid.UUID):
        return [value.bytes]
    if isinstance(value, float):
        return [struct.pack(">d", value)]
    if isinstance(value, datetime):
        return [struct.pack(">q", round((value - _EPOCH).total_seconds() * 1_000_000))]
    if isinstance(value, int):
        return [struct.pack(">q", value), struct.pack("<q", value), f"{value:x}".encode()]
    return []


def _dressed(word):
    raw = word.encode()
    if len(raw) < PIECE + 2:
        return {raw}
    forms = {raw, raw[::-1], raw.hex().encode(), raw[::-1].hex().encode(), ", ".join(map(str, raw)).encode()}
    for shift in range(3):  # where in a longer text a value stands decides how base64 writes it
        coded = base64.b64encode(b"\0" * shift + raw)
        forms.add(coded[4 if shift else 0 : len(coded) - 4].lower())
    for name in ("md5", "sha1", "sha224", "sha256", "sha512"):
        forms.add(hashlib.new(name, raw).hexdigest().encode())
    if re.fullmatch(r"[a-z]+", word):
        for text in (raw, raw[::-1]):
            forms |= {text[at : at + PIECE] for at in range(len(text) - PIECE + 1)}
    return forms


@cache
def needles():
    """What no byte string that left may hold: (exact bytes, in lower case or not) by the value's name."""
    found = {}
    values = [(f"vault.{column}", value) for column, own in MARKERS.items() for value in own]
    values += [(f"elsewhere.{name}", value) for name, value in ELSEWHERE.items()]
    for name, value in values:
        for word in _words(value):
            for form in _dressed(word):
                found[form] = name
        for form in _binary(value):
            found[form.lower()] = f"{name} in binary"
    for value in restricted_values():
        found[value.lower().encode()] = "people"
    return found


@cache
def _starts():
    """Needles by their first four bytes as a number, and those numbers sorted."""
    starts = {}
    for each in needles():
        starts.setdefault(int.from_bytes(each[:4], "big"), []).append(each)
    return starts, np.array(sorted(starts), dtype=np.uint32)


def find(data):
    """Names of the planted values in `data`."""
    hay = data.lower()
    if len(hay) < 4:
        return set()
    starts, sorted_starts = _starts()
    letters = np.frombuffer(hay, dtype=np.uint8).astype(np.uint32)
    fours = (letters[:-3] << 24) | (letters[1:-2] << 16) | (letters[2:-1] << 8) | letters[3:]
    return {
        needles()[needle]
        for at in np.flatnonzero(np.isin(fours, sorted_starts)).tolist()
        for needle in starts[int(fours[at])]
        if hay.startswith(needle, at)
    }


def messages(stream):
    """The messages in what a server sent after authentication; what is cut off at its end is left out."""
    at = 0
    while at + 5 <= len(stream):
        (length,) = struct.unpack_from(">I", stream, at + 1)
        if length < 4 or at + 1 + length > len(stream):
            return
        yield parse_backend(stream[at], bytes(stream[at + 5 : at + 1 + length]))
        at += 1 + length


def arrangements(stream):
    """The bytes as they came; the fields of each row side by side; each column from row to row, both ways."""
    rows = [[field or b"" for field in each.values] for each in messages(stream) if isinstance(each, DataRow)]
    across = b"\n".join(b"".join(row) for row in rows)
    width = max(map(len, rows), default=0)
    columns = [[row[number] for row in rows if number < len(row)] for number in range(width)]
    down = b"\n".join(b"".join(each) for each in columns)
    up = b"\n".join(b"".join(reversed(each)) for each in columns)
    return [bytes(stream), across, down, up]


def leaked(stream):
    """Names of the planted values in what a client got."""
    return set().union(*map(find, arrangements(stream)))


def leaked_in_files(*places):
    """Planted values in files, and in all files of folders: name -> files."""
    found = {}
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                for name in find(path.read_bytes()):
                    found.setdefault(name, []).append(str(path))
    return found
