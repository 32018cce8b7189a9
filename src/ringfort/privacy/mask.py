"""The form `masked` of text, as columns: what `ringfort.mask_...` of the database gives, row by row.

Each function takes a column that was cleaned and cut (`text_columns.clean`, `cut`), and is total. What is not
of the expected shape becomes `***`. Networks that are no text: `mask_network.py`. Free text: `mask_text.py`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy import form_rules as rules
from ringfort.privacy.text_columns import (
    ascii_alone,
    between,
    compact,
    cut,
    digits,
    elsewhere,
    ends,
    first,
    groups,
    joined,
    matches,
    only,
    sizes,
    starts,
    without_blanks,
)

_NOTHING = "***"
_GAP = rf"([{rules.SPACE}]+)"
_NAME = rf"^[{rules.SPACE}]*{rules.WORD}(?:{_GAP}{rules.WORD})?(?:{_GAP}{rules.WORD})?"


_IBAN_COUNTRIES = [each[:2] for each in rules.IBAN_SIZES]
_IBAN_SIZES = [int(each[2:]) for each in rules.IBAN_SIZES]
# the same of names that are plain, at a quarter of the price
_PLAIN_WORD = f"([^{rules.SPACE}])[^{rules.SPACE}]+"
_PLAIN_NAME = f"^{_PLAIN_WORD}(?:( ){_PLAIN_WORD})?(?:( ){_PLAIN_WORD})?"


def email(text: pa.Array) -> pa.Array:
    """`j***@e***.com`: an initial only of what has two more letters or digits, an ending only if listed."""
    local, host = email_halves(text)
    (ending,) = groups(host, rf"[^@{rules.SPACE}]([.][A-Za-z]{{2,}})$")  # null: no address
    ending = pc.ascii_lower(ending)
    known = pa.array([f".{each}" for each in rules.EMAIL_ENDINGS], text.type)
    shown = joined(
        _initial(local, rules.EMAIL_LOCAL), "***@",
        _initial(host, rules.EMAIL_HOST), "***",
        pc.if_else(pc.or_(pc.is_in(ending, value_set=known), pc.is_null(ending)), ending, ""),
        like=text,
    )  # fmt: skip
    return first([only(ending.is_valid(), shown, text)], _NOTHING, text)


def _initial(text: pa.Array, shape: str) -> pa.Array:
    """The first letter of what has the shape, nothing of the rest; null stays null."""
    return pc.if_else(matches(text, shape), starts(text, 1), pa.scalar("", text.type))


def email_halves(text: pa.Array) -> list[pa.Array]:
    """What stands before and after the only `@`, null where there is white space or nothing."""
    return groups(text, rf"^([^@{rules.SPACE}]+)@([^@{rules.SPACE}]+)$")


def phone(text: pa.Array) -> pa.Array:
    """The last two digits."""
    found = digits(text)
    good = pc.and_(between(sizes(found), rules.PHONE_DIGITS), ascii_alone(text))
    return first([only(good, joined("***", ends(found, 2), like=text), text)], _NOTHING, text)


def name(text: pa.Array) -> pa.Array:
    """The initials of up to three words with a blank between them; of a word of one letter none."""
    text = cut(text, rules.NAME_LIMIT)
    plain = matches(text, rules.NAME_PLAIN)
    return elsewhere(
        _initials(text, _PLAIN_NAME), text, pc.invert(plain), lambda rest: _initials(rest, _NAME)
    )


def _initials(text: pa.Array, shape: str) -> pa.Array:
    one, gap, two, gap2, three = groups(text, shape)
    nothing = pa.scalar("", text.type)
    no_two, no_three = pc.equal(gap, nothing), pc.equal(gap2, nothing)
    blank, stars = pa.scalar(" ", text.type), pa.scalar("***", text.type)
    initials = joined(
        one, "***",
        pc.if_else(no_two, nothing, blank), two, pc.if_else(no_two, nothing, stars),
        pc.if_else(no_three, nothing, blank), three, pc.if_else(no_three, nothing, stars),
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
    is_six = matches(text, six)
    if words * 16 > rules.GENERAL_NETWORKS[1]:
        is_six = pc.and_(is_six, pc.invert(pc.starts_with(longer, rules.IPV6_OF_IPV4).fill_null(False)))
    return first(
        [
            only(matches(text, rules.IPV4), joined(four, ends[0], like=text), text),
            only(is_six, joined(longer, ends[1], like=text), text),
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
    """Whether each value is an IBAN by country and length, and its letters and digits."""
    found = without_blanks(text)
    place = pc.index_in(starts(found, 2), value_set=pa.array(_IBAN_COUNTRIES, text.type))
    size = pc.take(pa.array(_IBAN_SIZES, pa.int64()), place)
    right = pc.equal(size, sizes(found).cast(pa.int64())).fill_null(False)
    return pc.and_(right, matches(found, rules.IBAN)), found


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
    """The last two letters or digits of a number with at least eight, six of them digits."""
    found = compact(text)
    good = pc.and_(between(sizes(found), rules.NUMBER_END_LENGTH), matches(text, rules.NUMBER_END))
    return first([only(good, joined("***", ends(found, 2), like=text), text)], _NOTHING, text)


def code(text: pa.Array) -> pa.Array:
    """The first two letters or digits of a code with at least five."""
    found = compact(text)
    good = pc.and_(between(sizes(found), rules.CODE_LENGTH), pc.invert(matches(text, rules.NOT_OF_CODES)))
    return first([only(good, joined(starts(found, 2), "***", like=text), text)], _NOTHING, text)


def address(text: pa.Array) -> pa.Array:
    """The first three characters, all but letters and blanks struck out."""
    begin = starts(pc.utf8_ltrim(text, rules.PADDING), 3)
    hidden = pc.replace_substring_regex(begin, rules.ADDRESS_HIDDEN, "*")
    return first([only(matches(text, rules.ADDRESS), joined(hidden, "***", like=text), text)], _NOTHING, text)


def postcode(text: pa.Array) -> pa.Array:
    """The first three characters, of a code of four the first two."""
    found = compact(text)
    size, shaped = sizes(found), matches(text, rules.POSTCODE)
    low, high = rules.POSTCODE_LENGTH
    longer, least = pc.and_(shaped, between(size, (low + 1, high))), pc.and_(shaped, pc.equal(size, low))
    return first(
        [
            only(longer, joined(starts(found, 3), "**", like=text), text),
            only(least, joined(starts(found, 2), "**", like=text), text),
        ],
        _NOTHING,
        text,
    )


def city(text: pa.Array) -> pa.Array:
    """The first letter of at least three."""
    (letter,) = groups(text, rules.CITY)
    return first([joined(letter, "***", like=text)], _NOTHING, text)


def url(text: pa.Array) -> pa.Array:
    """The last two labels of the host, where they are no address and nobody's name stands before it."""
    (host,) = groups(text, rules.URL)
    scheme = pc.find_substring(pc.utf8_ltrim(text, rules.PADDING), "://")
    shaped = pc.and_(
        between(scheme, rules.URL_SCHEME_LENGTH), pc.less_equal(sizes(host), rules.URL_HOST_MOST)
    )
    (domain,) = groups(host, "([^.]*[.][^.]*)$")
    return first([only(shaped, domain, text)], _NOTHING, text)
