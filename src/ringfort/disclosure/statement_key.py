"""A cheap cache key for verdicts: the text of a statement without the values of its constants.

Pure Python over a bounded text, safe anywhere: the worker computes keys and never loads the C grammar.
"""

from __future__ import annotations

import re

MAX_KEY_BYTES = 4096

_DOLLAR_QUOTE = re.compile(rb"\$(?!\d)")
_STRING = re.compile(rb"'[^']*'")
# a digit that no word, number or parameter stands before, then at most nine in all, and none of those after
_NUMBER = re.compile(rb"\d(?<![\w$.\x80-\xff]\d)\d{0,8}(?![\w$.\x80-\xff])")
_ANY = re.compile(rb'"[^"]*"|' + _STRING.pattern + b"|" + _NUMBER.pattern)


def normalised_key(sql: bytes) -> bytes | None:
    """Equal for texts that differ only in string and integer constants; None if the text has no key.

    Sound because it works on whole tokens. What could make a quote or a digit something else than the start
    of a constant or a quoted identifier has no key: backslashes (E'' strings), comments, dollar quotes, U&,
    NUL (our own mark), float(n), whose type the grammar takes from the number, and bytes that are no UTF-8.
    Then every `'` outside of a string or quoted identifier opens a string, which ends at the next `'`, and
    digits without a neighbour that belongs to a word, number or parameter are one integer token. So equal
    keys mean equal token sequences up to the values of those constants, and the grammar builds equal trees
    from them. Whether the values matter is `Verdict.literal_dependent`.
    """
    if len(sql) > MAX_KEY_BYTES or b"--" in sql or b"/*" in sql or b"\\" in sql or b"\0" in sql:
        return None
    lower = sql.lower()
    if b"u&" in lower or b"float" in lower or (b"$" in sql and _DOLLAR_QUOTE.search(sql)):
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


def constant_spans(sql: bytes) -> list[tuple[int, int]]:
    """Where the constants stand that `normalised_key` leaves out: first byte, byte behind; in order."""
    return [token.span() for token in _ANY.finditer(sql) if sql[token.start()] != 0x22]


def constants(sql: bytes) -> list[bytes]:
    """The constants that `normalised_key` leaves out, in order."""
    return [token for token in _ANY.findall(sql) if token[0] != 0x22]


__all__ = ["MAX_KEY_BYTES", "constant_spans", "constants", "normalised_key"]
