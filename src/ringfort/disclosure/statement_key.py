"""A cheap cache key for verdicts: the text of a statement without the values of its constants.

Pure Python over a bounded text, safe anywhere: the worker computes keys and never loads the C grammar.
"""

from __future__ import annotations

import re

MAX_KEY_BYTES = 4096

# What could make a quote or a digit something else than the start of a constant or a quoted identifier:
# backslashes (E'' strings), comments, dollar quotes, U& with UESCAPE, NUL (our own mark), and float(n), whose
# type the grammar takes from the number.
_DOUBTFUL = re.compile(rb"[\\\x00]|--|/\*|\$(?!\d)|[uU]&|(?i:uescape|float)")
_STRING = re.compile(rb"'[^']*'")
_NUMBER = re.compile(rb"(?<![\w$.\x80-\xff])\d{1,9}(?![\w$.\x80-\xff])")
_ANY = re.compile(rb'"[^"]*"|' + _STRING.pattern + b"|" + _NUMBER.pattern)


def normalised_key(sql: bytes) -> bytes | None:
    """Equal for texts that differ only in string and integer constants; None if the text has no key.

    Sound because it works on whole tokens: without a doubtful character (see `_DOUBTFUL`) every `'` outside
    of a string or quoted identifier opens a string, which ends at the next `'`, and digits without a
    neighbour that belongs to a word, number or parameter are one integer token. So equal keys mean equal
    token sequences up to the values of those constants, and the grammar builds equal trees from them.
    Whether the values matter is `Verdict.literal_dependent`.
    """
    if len(sql) > MAX_KEY_BYTES or _DOUBTFUL.search(sql):
        return None
    if not sql.isascii():
        try:
            sql.decode("utf-8")
        except UnicodeDecodeError:
            return None
    if b'"' in sql:
        return _ANY.sub(_mark, sql)
    if b"'" in sql:
        sql = _STRING.sub(b"\0'", sql)
    return _NUMBER.sub(b"\0", sql)


def _mark(token: re.Match[bytes]) -> bytes:
    text = token[0]
    first = text[:1]
    return text if first == b'"' else b"\0'" if first == b"'" else b"\0"


__all__ = ["MAX_KEY_BYTES", "normalised_key"]
