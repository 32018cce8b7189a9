"""SASLprep (RFC 4013) of a password, the way PostgreSQL does it (`pg_saslprep`).

PostgreSQL differs from the RFC in what it does on failure: pure ASCII is left alone, and a password that is
not UTF-8 or holds a prohibited character is used as it stands, byte for byte.
"""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_a1,  # unassigned code points: a password is a stored string
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepare(text: str) -> str | None:
    """SASLprep of `text`; None if it is prohibited or comes out empty."""
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    if not normal or any(prohibits(each) for each in normal for prohibits in _PROHIBITED):
        return None
    if any(map(stringprep.in_table_d1, normal)):
        # RFC 3454 section 6: RandALCat first and last, and no LCat at all
        if any(map(stringprep.in_table_d2, normal)):
            return None
        if not (stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1])):
            return None
    return normal


def saslprep(password: str | bytes) -> bytes:
    """The bytes that go into PBKDF2 for `password`."""
    raw = password.encode("utf-8", "surrogatepass") if isinstance(password, str) else password
    if raw.isascii():
        return raw
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
    prepared = prepare(text)
    return raw if prepared is None else prepared.encode("utf-8")


__all__ = ["prepare", "saslprep"]
