"""The form `masked` of text, as columns: what `ringfort.mask_...` of the database gives, row by row.

Each function takes a column that was cleaned and cut (`text_columns.clean`, `cut`), and is total. What is not
of the expected shape becomes `***`. Networks that are no text: `mask_network.py`. Free text: `mask_text.py`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy import form_rules as rules
from ringfort.privacy.text_columns import (
    between,
    compact,
    cut,
    digits,
    ends,
    first,
    groups,
    joined,
    matches,
    only,
    sizes,
    starts,
)

_NOTHING = "***"
_ENDING = rf"[^@{rules.SPACE}]([.][A-Za-z]{{2,{rules.EMAIL_ENDING_MOST}}})$"
_GAP = rf"([{rules.SPACE}]+)"
_NAME = rf"^[{rules.SPACE}]*{rules.WORD}(?:{_GAP}{rules.WORD})?(?:{_GAP}{rules.WORD})?"


def email(text: pa.Array) -> pa.Array:
    """`j***@e***.com`; of a local part of one or two characters nothing is shown."""
    local, host = email_halves(text)
    (ending,) = groups(host, _ENDING)
    letter = pc.if_else(pc.greater(pc.utf8_length(local), 2), starts(local, 1), "")
    return first([joined(letter, "***@", starts(host, 1), "***", ending, like=text)], _NOTHING, text)


def email_halves(text: pa.Array) -> list[pa.Array]:
    """What stands before and after the only `@`, null where there is white space or nothing."""
    return groups(text, rf"^([^@{rules.SPACE}]+)@([^@{rules.SPACE}]+)$")


def phone(text: pa.Array) -> pa.Array:
    """The last two digits."""
    found = digits(text)
    long_enough = between(sizes(found), rules.PHONE_DIGITS)
    return first([only(long_enough, joined("***", ends(found, 2), like=text), text)], _NOTHING, text)


def name(text: pa.Array) -> pa.Array:
    """The initials of up to three words, the white space between them; of a word of one character none."""
    one, gap, two, gap2, three = groups(cut(text, rules.NAME_LIMIT), _NAME)
    stars = pa.scalar("***", text.type)
    nothing = pa.scalar("", text.type)
    initials = joined(
        one, "***",
        gap, two, pc.if_else(pc.equal(gap, nothing), nothing, stars),
        gap2, three, pc.if_else(pc.equal(gap2, nothing), nothing, stars),
        like=text,
    )  # fmt: skip
    return first([initials], _NOTHING, text)


def ip_text(text: pa.Array) -> pa.Array:
    """The /24 or /48 that an address lies in, where it is written in full so far."""
    return networks(text, 3, 3, rules.IPV6_48)


def networks(text: pa.Array, octets: int, words: int, six: str) -> pa.Array:
    """The first octets of an address of version 4, the first words of one that is shaped like `six`."""
    (four,) = groups(text, rf"^[{rules.SPACE}]*((?:[0-9]+[.]){{{octets}}})")
    (longer,) = groups(text, rf"^[{rules.SPACE}]*((?:[0-9A-Fa-f]+:){{{words}}})")
    ends = {2: "0.0/16", 3: "0/24"}[octets], {2: ":/32", 3: ":/48"}[words]
    return first(
        [
            only(matches(text, rules.IPV4), joined(four, ends[0], like=text), text),
            only(matches(text, six), joined(longer, ends[1], like=text), text),
        ],
        _NOTHING,
        text,
    )


def iban(text: pa.Array) -> pa.Array:
    """The country and the last four characters."""
    shaped, found = iban_shaped(text)
    shown = joined(starts(found, 2), "** **** ", ends(found, 4), like=text)
    return first([only(shaped, shown, text)], _NOTHING, text)


def iban_shaped(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Whether each value is shaped like an IBAN, and its letters and digits."""
    found = compact(text)
    return pc.and_(matches(found, rules.IBAN), between(sizes(found), rules.IBAN_LENGTH)), found


def card(text: pa.Array) -> pa.Array:
    """The last four digits."""
    shaped, found = card_shaped(text)
    return first([only(shaped, joined("**** ", ends(found, 4), like=text), text)], _NOTHING, text)


def card_shaped(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Whether each value is shaped like a card number, and its digits."""
    found = digits(text)
    only_digits = pc.invert(matches(text, rules.NOT_OF_CARDS))
    right_sizes = pc.and_(between(sizes(text), rules.CARD_LENGTH), between(sizes(found), rules.CARD_DIGITS))
    return pc.and_(only_digits, right_sizes), found


def number_end(text: pa.Array) -> pa.Array:
    """The last two letters or digits of a number with at least eight."""
    found = compact(text)
    long_enough = between(sizes(found), rules.NUMBER_END_LENGTH)
    return first([only(long_enough, joined("***", ends(found, 2), like=text), text)], _NOTHING, text)


def code(text: pa.Array) -> pa.Array:
    """The first two letters or digits of a code with at least five."""
    found = compact(text)
    long_enough = between(sizes(found), rules.CODE_LENGTH)
    return first([only(long_enough, joined(starts(found, 2), "***", like=text), text)], _NOTHING, text)


def address(text: pa.Array) -> pa.Array:
    """The first three characters, digits struck out."""
    begin = starts(pc.utf8_trim(text, " "), 3)
    hidden = pc.replace_substring_regex(begin, "[0-9]", "*")
    long_enough = pc.greater_equal(pc.utf8_length(text), rules.ADDRESS_LENGTH)
    return first([only(long_enough, joined(hidden, "***", like=text), text)], _NOTHING, text)


def postcode(text: pa.Array) -> pa.Array:
    """The first three characters, of a code of four the first two."""
    found = compact(text)
    size = sizes(found)
    low, high = rules.POSTCODE_LENGTH
    return first(
        [
            only(between(size, (low + 1, high)), joined(starts(found, 3), "**", like=text), text),
            only(pc.equal(size, low), joined(starts(found, 2), "**", like=text), text),
        ],
        _NOTHING,
        text,
    )


def city(text: pa.Array) -> pa.Array:
    """The first character that is not white space."""
    (letter,) = groups(text, f"({rules.ANY_WORD})")
    return first([joined(letter, "***", like=text)], _NOTHING, text)


def url(text: pa.Array) -> pa.Array:
    """The host; nothing where somebody's name or password stands before it."""
    (host,) = groups(text, rules.URL)
    scheme = pc.find_substring(pc.utf8_ltrim(text, rules.PADDING), "://")
    shaped = pc.and_(
        between(scheme, rules.URL_SCHEME_LENGTH), pc.less_equal(sizes(host), rules.URL_HOST_MOST)
    )
    return first(
        [only(pc.and_(shaped, pc.invert(matches(text, rules.URL_WITH_USER))), host, text)], _NOTHING, text
    )
