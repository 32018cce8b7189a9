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

from ringfort.privacy.characters import AT, BLANK, DIGIT, HYPHEN, LETTER, UNSEEN

VERSION = 1  # of every function that has none of its own; it is in every profile's digest, so it stays
VERSIONS = {  # functions whose results changed
    "mask_name": 3,
    **dict.fromkeys(
        (
            "mask_email", "mask_phone", "general_phone", "mask_ip", "general_ip", "mask_inet", "mask_iban",
            "general_iban", "mask_number_end", "mask_code", "mask_address", "mask_postcode",
            "general_postcode", "mask_city", "mask_url", "mask_text", "band_numeric", "band_float",
            "degree_numeric", "degree_float", "day_text", "month_text", "year_text", "born_text",
            *(f"{step}_{of}" for step in ("day", "month", "year", "born")
              for of in ("date", "timestamp", "timestamptz")),
        ),
        2,
    ),
}  # fmt: skip
TEXT_LIMIT = 320  # characters of a text that are looked at
NAME_LIMIT = 120  # characters of a name that are looked at; of a word that it cuts, what is left counts

SPACE = r"\t-\r "  # within brackets
PADDING = " \t\n\v\f\r"  # the same, as characters
_S = rf"[{SPACE}]*"

# -- e-mail, web, programs ---------------------------------------------------------------------------------

# of a name that is shown by its first letter two more letters or digits stay hidden
_INITIAL = "[A-Za-z](?:[^A-Za-z0-9{0}]*[A-Za-z0-9]){{2}}"
EMAIL_LOCAL = "^" + _INITIAL.format("@")
EMAIL_HOST = "^" + _INITIAL.format(".@")
_ENDINGS = (
    "com net org edu gov int info biz eu at be bg ch cy cz de dk ee es fi fr gb gr hr hu ie is it li lt lu "
    "lv mt nl no pl pt ro se si sk tr ua uk us ca au nz jp cn in br mx ru kr za"
)
EMAIL_ENDINGS = tuple(_ENDINGS.split())
"""Endings that tell a country or a sort and no more: `.name` or `.bmw` can tell whose address it is."""
EMAIL = rf"^[^@{SPACE}]+@[^@{SPACE}]+[.][A-Za-z][A-Za-z]+$"
EMAIL_ONE_AT = rf"^[^@{SPACE}]+@[^@]+$"
_PROVIDERS = (
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com icloud.com me.com "
    "aol.com proton.me protonmail.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de mail.ru yandex.ru "
    "qq.com 163.com 126.com sina.com orange.fr wanadoo.fr free.fr laposte.net libero.it virgilio.it "
    "naver.com hotmail.co.uk hotmail.fr hotmail.de yahoo.co.uk yahoo.fr yahoo.de yahoo.co.jp "
    "daum.net uol.com.br"
)
EMAIL_PROVIDERS = tuple(_PROVIDERS.split())
# a host whose last label is a word; its last two labels are shown, which are a domain or less
_HOST = "[A-Za-z0-9.-]*[A-Za-z0-9-][.][A-Za-z][A-Za-z0-9-]*"
URL = rf"^{_S}[A-Za-z][A-Za-z0-9+.-]+://({_HOST})(?::[0-9]*)?(?:[/?#]|{_S}$)"
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
INTERNATIONAL = rf"^{_S}(?:\+|00)[0-9 ()./-]*{_S}$"
DIALLED_DIGITS = (7, 18)  # after the 00
# E.164; one way to match, because PostgreSQL would take the longest and RE2 the first
CALLING_CODE = (
    "^(?:00)?(1|7|2[07]|2[1-689][0-9]|3[0-469]|3[578][0-9]|4[013-9]|42[0-9]|5[1-8]|5[09][0-9]"
    "|6[0-6]|6[7-9][0-9]|8[1246]|8[035789][0-9]|9[0-58]|9[679][0-9])"
)
# without blanks and hyphens, in capitals; ten digits or more, so that few sentences are one
IBAN = "^[A-Z]{2}[0-9]{2}(?:[A-Z]*[0-9]){8,}[A-Z]*$"
_IBAN_REGISTRY = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 "
    "EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 "
    "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 "
    "NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 "
    "SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
IBAN_SIZES = tuple(_IBAN_REGISTRY.split())  # country and length; what is not here is no IBAN
NOT_OF_CARDS = "[^0-9 -]"
CARD_LENGTH = (12, 30)
CARD_DIGITS = (12, 19)
CARD_SCHEMES = (
    (("4",), "Visa"),
    (("51", "52", "53", "54", "55", "22", "23", "24", "25", "26", "27"), "Mastercard"),
    (("34", "37"), "American Express"),
)
# What may stand between the letters and digits of a number, code or postcode: with anything else, it is none.
# Letters and digits are those of ASCII.
_BETWEEN = " ./_-"
NUMBER_END = f"^[A-Za-z{_BETWEEN}]*(?:[0-9][A-Za-z{_BETWEEN}]*){{6,}}$"  # six digits or more
NUMBER_END_LENGTH = (8, 40)
NOT_OF_CODES = f"[^0-9A-Za-z{_BETWEEN}]"
CODE_LENGTH = (5, 40)
CODE_PLAIN = "^[0-9A-Za-z][0-9A-Za-z]+-?[0-9A-Za-z]*$"  # the shape of most: two to begin with, one hyphen
POSTCODE = "^[A-Za-z -]*(?:[0-9][A-Za-z -]*){2,}$"  # two digits or more
POSTCODE_LENGTH = (4, 10)
# three characters, and five letters or digits behind them
ADDRESS = rf"^{_S}[^{SPACE}](?:[{SPACE}]|[^{SPACE}]){{2}}(?:[^{LETTER}0-9]*[{LETTER}0-9]){{5}}"
ADDRESS_PLAIN = "^[0-9A-Za-z][0-9A-Za-z ][0-9A-Za-z ][0-9A-Za-z ,.]*$"  # the shape of most
ADDRESS_LENGTH = 8  # letters and digits
ADDRESS_HIDDEN = f"[^{LETTER} ]"  # of the three characters
CITY = rf"^{_S}([{LETTER}])(?:[^{LETTER}]*[{LETTER}]){{2}}"

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_GROUP = "[0-9A-Fa-f]{1,4}"
IPV4 = rf"^{_S}{_OCTET}[.]{_OCTET}[.]{_OCTET}[.]{_OCTET}(?:/(?:3[0-2]|[12]?[0-9]))?{_S}$"


def _ipv6(written: int) -> str:
    """An address of version 6 whose first groups, so many, stand before any `::`."""
    shapes = [f"{_GROUP}(?::{_GROUP}){{7}}", f"{_GROUP}(?::{_GROUP}){{6}}::"]
    for count in range(written, 7):
        rest = 6 - count  # groups after the first of those behind `::`
        shapes.append(f"{_GROUP}(?::{_GROUP}){{{count - 1}}}::(?:{_GROUP}(?::{_GROUP}){{0,{rest}}})?")
    return rf"^{_S}(?:{'|'.join(shapes)})(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9]))?{_S}$"


IPV6_48, IPV6_32 = _ipv6(3), _ipv6(2)
IPV6_OF_IPV4 = "2002:"  # 6to4: the first 48 bits are all of an address of version 4

# -- words -------------------------------------------------------------------------------------------------

_NO_LETTER, _OF_WORD = f"[^{LETTER}{SPACE}]", f"[^{SPACE}]"
_SHOWN = rf"[{LETTER}]{_NO_LETTER}*[{LETTER}]{_OF_WORD}*"  # a word of two letters or more
# the first letter of such a word, nothing of another
WORD = (
    rf"(?:([{LETTER}]){_NO_LETTER}*[{LETTER}]{_OF_WORD}*"
    rf"|[{LETTER}]{_NO_LETTER}*|{_NO_LETTER}{_OF_WORD}*)"
)
NAME_PLAIN = rf"^{_SHOWN}(?: {_SHOWN})*$"
THREE_WORDS = rf"^{_S}([^{SPACE}]+(?:[{SPACE}]+[^{SPACE}]+){{0,2}})"
COUNTRY_PADDING = " \t\n\r"

# -- dates and numbers -------------------------------------------------------------------------------------

_MONTH, _DAY = "(?:0?[1-9]|1[0-2])", "(?:0?[1-9]|[12][0-9]|3[01])"
_YEAR = "[1-9][0-9]{3}"
_DAY_OF_YEAR = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|[12][0-9]))"
)
ISO_DAY = rf"^{_S}({_YEAR}-{_DAY_OF_YEAR})(?:[Tt ][0-9:.,+ -]*(?:[Zz]|UTC|GMT)?)?{_S}$"
LOCAL_YEAR = (
    rf"^{_S}(?:{_DAY}[./-]{_MONTH}|{_MONTH}[./-]{_DAY})[./-]({_YEAR})"
    rf"(?:[T, ][0-9:.,+ -]*(?:[AaPp][Mm])?)?{_S}$"
)
YEARS = (1000, 9999)  # of dates and times of which anything is told
BORN = (1930, 2099)  # of years of birth that have a band of their own
BORN_BANDS = tuple(range(BORN[0], BORN[1] + 2, 5))
BORN_LABELS = (
    f"{BORN[0] - 1} or before",
    *(f"{low}-{low + 4}" for low in BORN_BANDS[:-1]),
    f"{BORN[1] + 1} or later",
)
AGE = rf"^{_S}([0-9]?)[0-9]{_S}$"

# a band holds several whole numbers: counts and codes of 0 and 1 would else come out whole
BANDS = (0, 5, *(step * 10**power for power in range(1, 10) for step in (1, 2, 5)))
BAND_LABELS = (*(f"{low}-{high}" for low, high in pairwise(BANDS)), f"{BANDS[-1]} or more")
TEXT_SIZES = (20, 100, 500, 2500)  # bytes, for the note of a text's length

DEGREES = (-180, 180)  # of coordinates, the upper one excluded

MASK_NETWORKS = (24, 48)  # prefix lengths, IPv4 and IPv6
GENERAL_NETWORKS = (16, 32)

# -- text that people wrote --------------------------------------------------------------------------------
# What is struck out, in this order, each all over the text. One way to match each: PostgreSQL takes the
# longest match, RE2 the first that it finds. Nothing looks behind or ahead, so more is struck out, not less.

WRITTEN_LIMIT = 2000  # characters
CUT = " [cut]"
# of a text that is cut the last word goes, with digits and capitals before it: it may be half of something
CUT_END = rf"[0-9A-Z ()+./-]*[^{SPACE}]*$"
_DIGIT = f"[{DIGIT}]"
_BETWEEN_DIGITS = f"[ \t()./_,{BLANK}{UNSEEN}{HYPHEN}-]{{0,3}}"
_NUMBER = f"{_DIGIT}(?:{_BETWEEN_DIGITS}{_DIGIT}){{5,}}"
_WORD_OF_ADDRESS = rf"""[^{AT}{SPACE}<>()\[\]{{}},;:"']+"""
_HEX = "[0-9A-Fa-f]"
STRUCK_OUT = (  # shape, marker, and a hint: what stands in every text that has the shape
    (
        rf"""(?:[A-Za-z][A-Za-z0-9+.-]*://|[Ww][Ww][Ww][.])[^{SPACE}<>"]+""",
        "[link]",
        "://|[Ww][Ww][Ww][.]",
    ),
    (
        rf"{_WORD_OF_ADDRESS}(?:[{AT}]|[{SPACE}]{{1,3}}[{AT}][{SPACE}]{{1,3}}){_WORD_OF_ADDRESS}",
        "[email]",
        f"[{AT}]",
    ),
    (f"[{AT}]{_WORD_OF_ADDRESS}", "[handle]", f"[{AT}]"),
    ("[A-Z]{2}[0-9]{2}(?:[ -]?[0-9A-Z]){11,}", "[iban]", "[A-Z][A-Z][0-9][0-9]"),
    (
        rf"[0-9]+(?:[.][0-9]+){{3,}}|{_HEX}*::[0-9A-Fa-f:.]*|(?:{_HEX}+:){{3,}}[0-9A-Fa-f:.]*",
        "[ip]",
        f"::|[.][0-9]+[.]|:{_HEX}+:",
    ),
    (rf"\+[ (]{{0,2}}{_NUMBER}", "[phone]", r"\+"),
    (_NUMBER, "[number]", _NUMBER),
)
SUSPICIOUS = rf"[{AT}:]|{_DIGIT}|[Ww][Ww][Ww][.]"  # stands in all that is struck out


def versioned(function: str) -> str:
    """The function's name in the database: with its version."""
    return f"{function}_v{VERSIONS.get(function, VERSION)}"
