"""The form `generalised` of text, as columns: what `ringfort.general_..._v1` and the like give, row by row.

Each function takes a column that was cleaned and cut (`text_columns.clean`, `cut`), `note_of_length` one that
was cleaned only, and is total. What is not of the expected shape becomes `other` or `unknown`. Dates, numbers
and networks that are no text: `generalise_date.py`, `generalise_number.py`, `mask_network.py`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy import form_rules as rules
from ringfort.privacy.country_groups import COUNTRY_GROUPS
from ringfort.privacy.generalise_date import five_years
from ringfort.privacy.mask import card_shaped, email_halves, iban_shaped, networks
from ringfort.privacy.text_columns import (
    between,
    compact,
    digits,
    first,
    groups,
    joined,
    matches,
    only,
    sizes,
    starts,
)


def email(text: pa.Array) -> pa.Array:
    """The domain where it is a large provider's."""
    _, host = email_halves(text)
    host = pc.ascii_lower(host)
    known = pc.is_in(host, value_set=pa.array(rules.EMAIL_PROVIDERS, text.type))
    return first([only(known, joined("@", host, like=text), text)], "other", text)


def phone(text: pa.Array) -> pa.Array:
    """The country's calling code, of numbers in international form."""
    dialled = digits(text)
    size = sizes(dialled)
    size = pc.if_else(pc.starts_with(dialled, "00"), pc.subtract(size, 2), size)
    good = pc.and_(matches(text, rules.INTERNATIONAL), between(size, rules.DIALLED_DIGITS))
    (code,) = groups(dialled, rules.CALLING_CODE)
    return first([only(good, joined("+", code, like=text), text)], "unknown", text)


def ip_text(text: pa.Array) -> pa.Array:
    """The /16 or /32 that an address lies in, where it is written in full so far."""
    return networks(text, 2, 2, rules.IPV6_32)


def iban(text: pa.Array) -> pa.Array:
    """The country."""
    shaped, found = iban_shaped(text)
    return first([only(shaped, starts(found, 2), text)], "unknown", text)


def card(text: pa.Array) -> pa.Array:
    """The scheme."""
    shaped, found = card_shaped(text)
    schemes = [
        only(matches(found, f"^(?:{'|'.join(prefixes)})"), scheme, text)
        for prefixes, scheme in rules.CARD_SCHEMES
    ]
    return first([only(pc.invert(shaped), "unknown", text), *schemes], "other", text)


def postcode(text: pa.Array) -> pa.Array:
    """The first two characters."""
    found = compact(text)
    good = pc.and_(between(sizes(found), rules.POSTCODE_LENGTH), matches(text, rules.POSTCODE))
    return first([only(good, joined(starts(found, 2), "***", like=text), text)], "***", text)


def country(text: pa.Array) -> pa.Array:
    """The group of countries."""
    bare = pc.ascii_upper(pc.utf8_trim(text, rules.COUNTRY_PADDING))
    names, regions = _countries()
    found = pc.index_in(bare, value_set=names.cast(text.type))
    return first([regions.cast(text.type).take(found)], "other", text)


@cache
def _countries() -> tuple[pa.Array, pa.Array]:
    pairs = [(name, group) for group, names in COUNTRY_GROUPS.items() for name in names]
    return pa.array([name for name, _ in pairs]), pa.array([group for _, group in pairs])


def user_agent(text: pa.Array) -> pa.Array:
    """The family of browsers."""
    return first(
        [only(matches(text, "|".join(words)), family, text) for words, family in rules.USER_AGENTS],
        "other",
        text,
    )


def note_of_length(text: pa.Array) -> pa.Array:
    """Up to how many bytes there are; nothing of the text. Takes the text uncut."""
    notes = pa.array(
        [
            "(no text)",
            *(f"(text of up to {size} bytes)" for size in rules.TEXT_SIZES),
            "(longer text)",
        ],
        text.type,
    )
    lengths = pc.binary_length(text).fill_null(0).to_numpy(zero_copy_only=False)
    place = np.searchsorted(np.array([0, *rules.TEXT_SIZES]), lengths, side="left")
    return first([notes.take(pa.array(place))], "", text)


def age_text(text: pa.Array) -> pa.Array:
    """Ten years of age."""
    (tens,) = groups(text, rules.AGE)
    shown = [
        only(pc.is_in(tens, value_set=pa.array(["", "0"], text.type)), "0-9", text),
        only(pc.equal(tens, "9"), "90 or more", text),
        joined(tens, "0-", tens, "9", like=text),
    ]
    return first(shown, "other", text)


def day_text(text: pa.Array) -> pa.Array:
    """The day of a date or time in ISO 8601."""
    return first(groups(text, rules.ISO_DAY), "unknown", text)


def month_text(text: pa.Array) -> pa.Array:
    """The month of a date or time in ISO 8601."""
    (day,) = groups(text, rules.ISO_DAY)
    return first([starts(day, 7)], "unknown", text)


def year_text(text: pa.Array) -> pa.Array:
    """The year of a date in ISO 8601 or with the day first or second."""
    return first([_year(text)], "unknown", text)


def born_text(text: pa.Array) -> pa.Array:
    """Five years of birth, of a date as `year_text` reads it."""
    years = _year(text)
    bands = five_years(years.fill_null("0").cast(pa.int64()).to_numpy(zero_copy_only=False))
    return first([only(years.is_valid(), bands.cast(text.type), text)], "unknown", text)


def _year(text: pa.Array) -> pa.Array:
    (iso,), (local,) = groups(text, rules.ISO_DAY), groups(text, rules.LOCAL_YEAR)
    return pc.coalesce(starts(iso, 4), local)
