r"""What masks and generalisations go by: limits, lists, bands and shapes, for SQL and for columns alike.

The forms are written twice, as SQL expressions (`ringfort.disclosure.forms_sql_functions`) and as operations
on Arrow columns (`ringfort.privacy.columns`), with equal results. Whatever decides about a result stands here
once, and both read it.

Shapes are regular expressions in what PostgreSQL's ARE and RE2 have in common and read alike: no `.`, no `\s`
or `\w` (RE2's space lacks the vertical tab), no back references, no lookahead, groups for capture without
names, and only such repetitions that there is one way to match. `SPACE` is white space in collation "C". Long
bounded repetitions are slow in PostgreSQL: lengths are limits of their own.
Names carry a version (`versioned`), which grows when a result of that function changes, never otherwise: a
view made with the older one keeps its meaning. DESIGN section 5.
"""

from __future__ import annotations

from itertools import pairwise

VERSION = 1  # of every function that has none of its own; it is in every profile's digest, so it stays
VERSIONS = {"mask_name": 2}  # functions whose results changed
TEXT_LIMIT = 320  # characters of a text that are looked at
NAME_LIMIT = 120  # characters of a name that are looked at; of a word that it cuts, what is left counts

SPACE = r"\t-\r "  # within brackets
PADDING = " \t\n\v\f\r"  # the same, as characters
_S = rf"[{SPACE}]*"

# -- e-mail, web, programs ---------------------------------------------------------------------------------

EMAIL = rf"^[^@{SPACE}]+@[^@{SPACE}]+[.][A-Za-z]{{2,}}$"
EMAIL_ONE_AT = rf"^[^@{SPACE}]+@[^@]+$"
EMAIL_ENDING_MOST = 24  # letters
_PROVIDERS = (
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com icloud.com me.com "
    "aol.com proton.me protonmail.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de mail.ru yandex.ru "
    "qq.com 163.com 126.com sina.com orange.fr wanadoo.fr free.fr laposte.net libero.it virgilio.it "
    "naver.com hotmail.co.uk hotmail.fr hotmail.de yahoo.co.uk yahoo.fr yahoo.de yahoo.co.jp "
    "daum.net uol.com.br"
)
EMAIL_PROVIDERS = tuple(_PROVIDERS.split())
URL_WITH_USER = r"^[^/?#]*//[^/?#]*@"
URL = rf"^{_S}[A-Za-z][A-Za-z0-9+.-]+://([A-Za-z0-9.-]+)(?:[:/?#]|{_S}$)"
URL_SCHEME_LENGTH = (2, 16)
URL_HOST_MOST = 253
USER_AGENTS = (  # the first of which a word is found names the family
    (("Edge/", "Edg/"), "Edge"),
    (("OPR/", "Opera"), "Opera"),
    (("Firefox/",), "Firefox"),
    (("Chrome/", "CriOS/"), "Chrome"),
    (("Safari/",), "Safari"),
)

# -- numbers that people are known by ----------------------------------------------------------------------

PHONE_DIGITS = (7, 20)
INTERNATIONAL = rf"^{_S}(?:\+|00)"
DIALLED_DIGITS = (7, 18)  # after the 00
# E.164; one way to match, because PostgreSQL would take the longest and RE2 the first
CALLING_CODE = (
    "^(?:00)?(1|7|2[07]|2[1-689][0-9]|3[0-469]|3[578][0-9]|4[013-9]|42[0-9]|5[1-8]|5[09][0-9]"
    "|6[0-6]|6[7-9][0-9]|8[1246]|8[035789][0-9]|9[0-58]|9[679][0-9])"
)
IBAN = "^[A-Z]{2}[0-9]{2}"  # of capitals and digits
IBAN_LENGTH = (15, 34)
NOT_OF_CARDS = "[^0-9 -]"
CARD_LENGTH = (12, 30)
CARD_DIGITS = (12, 19)
CARD_SCHEMES = (
    (("4",), "Visa"),
    (("51", "52", "53", "54", "55", "22", "23", "24", "25", "26", "27"), "Mastercard"),
    (("34", "37"), "American Express"),
)
NUMBER_END_LENGTH = (8, 40)
CODE_LENGTH = (5, 40)
POSTCODE_LENGTH = (4, 10)
ADDRESS_LENGTH = 8

_OCTET = "[0-9]{1,3}"
_GROUP = "[0-9A-Fa-f]{1,4}"
IPV4 = rf"^{_S}{_OCTET}[.]{_OCTET}[.]{_OCTET}[.]{_OCTET}(?:/[0-9]{{1,2}})?{_S}$"
IPV6_48 = rf"^{_S}{_GROUP}:{_GROUP}:{_GROUP}:[0-9A-Fa-f:.]*(?:/[0-9]{{1,3}})?{_S}$"
IPV6_32 = rf"^{_S}{_GROUP}:{_GROUP}:[0-9A-Fa-f:.]*(?:/[0-9]{{1,3}})?{_S}$"

# -- words -------------------------------------------------------------------------------------------------

ANY_WORD = rf"[^{SPACE}]"
WORD = rf"(?:([^{SPACE}])[^{SPACE}]+|[^{SPACE}])"  # its first character, none of a word that has but one
THREE_WORDS = rf"^{_S}([^{SPACE}]+(?:[{SPACE}]+[^{SPACE}]+){{0,2}})"
COUNTRY_PADDING = " \t\n\r"

# -- dates and numbers -------------------------------------------------------------------------------------

ISO_DAY = rf"^{_S}([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})"
LOCAL_YEAR = rf"^{_S}[0-9]{{1,2}}[./-][0-9]{{1,2}}[./-]([0-9]{{4}})(?:[^0-9]|$)"
AGE = rf"^{_S}([0-9]?)[0-9]{_S}$"

BANDS = (0, 1, 2, 5, *(step * 10**power for power in range(1, 10) for step in (1, 2, 5)))
BAND_LABELS = (*(f"{low}-{high}" for low, high in pairwise(BANDS)), f"{BANDS[-1]} or more")
TEXT_SIZES = (20, 100, 500, 2500)  # bytes, for the note of a text's length

MASK_NETWORKS = (24, 48)  # prefix lengths, IPv4 and IPv6
GENERAL_NETWORKS = (16, 32)

# -- text that people wrote --------------------------------------------------------------------------------
# What is struck out, in this order, each all over the text. One way to match each: PostgreSQL takes the
# longest match, RE2 the first that it finds. Nothing looks behind or ahead, so more is struck out, not less.

WRITTEN_LIMIT = 2000  # characters
CUT = " [cut]"
# of a text that is cut the last word goes, with digits and capitals before it: it may be half of something
CUT_END = rf"[0-9A-Z ()+./-]*[^{SPACE}]*$"
_DIGIT = "[0-9\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\uff10-\uff19]"
_BETWEEN_DIGITS = "[ ()./_\u00a0\u00ad\u2000-\u200f\u2010-\u2015\u202f\u2060\ufeff-]{0,3}"
_NUMBER = f"{_DIGIT}(?:{_BETWEEN_DIGITS}{_DIGIT}){{5,}}"
_WORD_OF_ADDRESS = rf"""[^@{SPACE}<>()\[\]{{}},;:"']+"""
_HEX = "[0-9A-Fa-f]"
STRUCK_OUT = (  # shape, marker, and a hint: what stands in every text that has the shape
    (
        rf"""(?:[A-Za-z][A-Za-z0-9+.-]*://|[Ww][Ww][Ww][.])[^{SPACE}<>"]+""",
        "[link]",
        "://|[Ww][Ww][Ww][.]",
    ),
    (rf"{_WORD_OF_ADDRESS}(?:@|[{SPACE}]{{1,3}}@[{SPACE}]{{1,3}}){_WORD_OF_ADDRESS}", "[email]", "@"),
    (f"@{_WORD_OF_ADDRESS}", "[handle]", "@"),
    ("[A-Z]{2}[0-9]{2}(?:[ -]?[0-9A-Z]){11,}", "[iban]", "[A-Z][A-Z][0-9][0-9]"),
    (
        rf"[0-9]+(?:[.][0-9]+){{3,}}|{_HEX}*::[0-9A-Fa-f:.]*|(?:{_HEX}+:){{3,}}[0-9A-Fa-f:.]*",
        "[ip]",
        f"::|[.][0-9]+[.]|:{_HEX}+:",
    ),
    (rf"\+[ (]{{0,2}}{_NUMBER}", "[phone]", r"\+"),
    (_NUMBER, "[number]", _NUMBER),
)
SUSPICIOUS = rf"[@:]|{_DIGIT}|[Ww][Ww][Ww][.]"  # stands in all that is struck out


def versioned(function: str) -> str:
    """The function's name in the database: with its version."""
    return f"{function}_v{VERSIONS.get(function, VERSION)}"
