"""What pseudonyms show of their values under any key: the length of a text, the pattern of a number.

`siv` shows the length of a text to within two bytes. `ff1` keeps what its format says (`formats`): which
places hold digits and letters, the signs between, and the calling code of a phone number, the issuer of a
card, the country of an IBAN. Two recipients see the same of one value though their pseudonyms differ, so it
links. `cmac` shows nothing. Invariants: equal for two values if and only if no key makes pseudonyms of them
that differ in what is kept; NULL where there is no pseudonym.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.columns import render
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.form_rules import versioned
from ringfort.privacy.methods import FF1_KINDS, pseudonymise
from ringfort.privacy.pseudonym import ROOT_BYTES, Domain
from ringfort.privacy.sql_text import cast_like_sql

LENGTH, PATTERN = "length", "pattern"
SHAPES = {"siv": LENGTH, "ff1": PATTERN}
"""By the method whose pseudonyms show it."""
_ANY_SECRET, _ANY_DOMAIN = EpochSecret(bytes(ROOT_BYTES), NEWEST), Domain("any", "any", 1)


def shape(form: str, kind: str, values: pa.Array) -> pa.Array:
    """`length` or `pattern` of each value of a column of this kind."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    texts = cast_like_sql(values, "text")
    return _lengths(texts) if form == LENGTH else _patterns(kind, texts)


def _lengths(texts: pa.Array) -> pa.Array:
    """In the steps of base64: 16 bytes more than the text, three at a time."""
    return pc.divide(pc.add(pc.binary_length(texts).cast(pa.int64()), 18), 3)


def _patterns(kind: str, texts: pa.Array) -> pa.Array:
    """Of the pseudonyms under a key of nobody's."""
    made = pseudonymise(
        texts, method="ff1", kind=kind, secret=_ANY_SECRET, domain=_ANY_DOMAIN, identity_space="any"
    )
    kept = {
        "phone": lambda: render(versioned("general_phone"), made),
        "card": lambda: pc.utf8_slice_codeunits(pc.replace_substring_regex(made, "[^0-9]", ""), 0, 6),
        "iban": lambda: pc.utf8_upper(pc.utf8_slice_codeunits(made, 0, 2)),
        "code": lambda: pa.array([""] * len(made)),
    }[FF1_KINDS[kind]]()
    places = made
    for characters, sign in (("[0-9]", "0"), ("[A-Z]", "A"), ("[a-z]", "a")):
        places = pc.replace_substring_regex(places, characters, sign)
    return pc.binary_join_element_wise(kept, places, "|")


__all__ = ["LENGTH", "PATTERN", "SHAPES", "shape"]
