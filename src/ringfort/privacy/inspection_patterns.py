r"""What personal data looks like in text: shapes for RE2 over whole columns, and the checks behind them.

A `Pattern` has two halves. `shape` is a regular expression for RE2 that everything it finds must match, so a
column is sieved by `SIEVE` and then by shapes at the speed of a scan; `holds` looks at the few texts that are
left: check digits (Luhn, ISO 7064 mod 97-10, those of national numbers), numbering plans, valid addresses.

What has no check digit or numbering plan would cry wolf on any long number, so it is found only as people
write it: telephone numbers with `+`, `00`, grouped behind a 0, or behind a word such as `tel`; IPv4 addresses
with two numbers of two digits or more (a version `1.2.3.4` is none); web addresses only if they carry an id.
National numbers of digits alone are `BARE`: one in `one_in` arbitrary numbers passes their check digits, so
they count only where a column is made of them (see `inspection.Chance`) or a word in front names them.

Invariants: total functions of the text alone; `holds` implies that `shape` matches. Texts are plain
(`inspection_text.plain`). Sources: ISO 13616 (IBAN registry), ISO/IEC 7812, E.164 as in libphonenumber,
python-stdnum.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

import phonenumbers
from stdnum import luhn

from ringfort.privacy.form_rules import IBAN_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

_UUID = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")


def _without_uuids(text: str) -> str:
    """`text` without UUIDs, whose groups look like many a number."""
    return _UUID.sub(" ", text) if text.count("-") >= 4 else text


# -- e-mail ------------------------------------------------------------------------------------------------

_LOCAL = re.compile(r"[\w!#$%&'+/=?^`{|}~-]\s{0,3}$")
_HOST = re.compile(
    r"\s{0,3}[^\W_][\w-]{0,62}(?:(?:\.|\s{1,3}\.\s{0,3})[^\W_][\w-]{0,62})*?(?:\.|\s{1,3}\.\s{0,3})"
    r"(xn--[\w-]{2,59}|[^\W\d_]{2,24})(?![\w-])"
)
_HOST_LENGTH = 320
_NO_DOMAIN = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "html", "php", "pdf", "mp4"})


def has_email(text: str) -> bool:
    """Whether an e-mail address stands in `text`."""
    at = text.find("@")
    while at >= 0:
        if _LOCAL.search(text[max(at - 4, 0) : at]):
            found = _HOST.match(text[at + 1 : at + 1 + _HOST_LENGTH])
            if found is not None and found[1].lower() not in _NO_DOMAIN:
                return True
        at = text.find("@", at + 1)
    return False


# -- telephone numbers -------------------------------------------------------------------------------------

_DIALLED = re.compile(r"(?:(?<![\w+])\+|(?<![\w+.,/-])00)[ (]{0,2}[1-9](?:[ ().\-/]{0,3}\d){6,14}(?!\w)")
_GROUPED = re.compile(
    r"(?<![\w+./,-])(?<!\d )(?:\(0[1-9]\d{0,4}\)|0[1-9]\d{0,4})(?:[ .\-/]{1,2}\d{2,8}){1,5}(?![\w/-])"
    r"|(?<![\w+./,-])(?<!\d )(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?![\w/-])"
)
_CALLED = re.compile(
    r"\b(?:tel|phone|telephone|mobile|mob|cell|fax|gsm|whatsapp|handy|telefon|telefoon|telefono|teléfono|"
    r"téléphone|telefone|portable|puhelin|mobil|mobilnummer|telefonnummer)\b[ .:#=\"-]{0,6}(?:n[ro°]\.? ?)?"
    r"(\(?\d[\d ().\-/]{5,18}\d)(?!\w)",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d\d\b")
_NOT_DIGITS = re.compile(r"\D+")
_PLANS = "IE GB DE FR ES IT NL BE AT DK SE FI NO IS PL CZ SK HU RO BG GR HR SI EE LT LV PT LU MT CY CH US"
REGIONS = tuple(_PLANS.split(" "))


def has_phone(text: str) -> bool:
    """Whether a telephone number stands in `text`, written as one (see the head of this module)."""
    text = _without_uuids(text)
    for found in _DIALLED.finditer(text):
        digits = _NOT_DIGITS.sub("", found[0].replace("(0)", ""))
        dialled = digits if found[0].startswith("+") else digits[2:]
        if _in_plan("+" + dialled, "ZZ"):
            return True
    for found in _GROUPED.finditer(text):
        digits = _NOT_DIGITS.sub("", found[0])
        if 9 <= len(digits) <= 12 and _DATE.match(found[0]) is None:
            regions = REGIONS if digits[0] == "0" else ("US",)
            if any(_in_plan(digits, region) for region in regions):
                return True
    for found in _CALLED.finditer(text):
        if 7 <= len(_NOT_DIGITS.sub("", found[1])) <= 15 and _DATE.match(found[1]) is None:
            return True
    return False


def _in_plan(number: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


# -- IBAN and cards ----------------------------------------------------------------------------------------

IBAN_LENGTHS = {part[:2]: int(part[2:]) for part in IBAN_SIZES}
_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}[ -]?\d[ -]?\d(?:[ \-./]{0,2}[A-Za-z0-9]){11,30}")
_NOT_ALNUM = re.compile(r"[^A-Za-z0-9]+")
_CARD_RUN = re.compile(  # not within a digest in hexadecimal, which has long runs of digits
    r"(?:(?<![^\W_])|(?<=visa)|(?<=card)|(?<=karte)|(?<=carte)|(?<=amex))"
    r"\d(?:[ .\-]?\d){13,40}(?![A-Fa-f\d])",
    re.IGNORECASE,
)
_CARD_SCHEMES = re.compile(
    r"4(?:\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|35[2-8]\d{13}|6(?:011|5\d\d|4[4-9]\d)\d{12}|62\d{14,17}|(?:5018|5020|5038|6304|67\d\d)"
    r"\d{12,15}"
)


def has_iban(text: str) -> bool:
    """Whether an IBAN with right check digits stands in `text`."""
    for found in _IBAN.finditer(_without_uuids(text)):
        number = ""
        for group in _NOT_ALNUM.split(found[0]):  # it ends where a group ends, and words may follow
            number += group
            length = IBAN_LENGTHS.get(number[:2].upper(), 0)
            if len(number) >= length:
                one_case = number in {number.upper(), number.lower()}
                if length == len(number) and one_case and _mod_97(number.upper()) == 1:
                    return True
                break
    return False


def _mod_97(number: str) -> int:
    return int("".join(str(int(each, 36)) for each in number[4:] + number[:4])) % 97


def has_card(text: str) -> bool:
    """Whether a payment card number of a known scheme, right by Luhn, stands in `text`."""
    for found in _CARD_RUN.finditer(_without_uuids(text)):
        groups = _NOT_DIGITS.split(found[0])
        for begin in range(len(groups)):
            number = ""
            for group in groups[begin:]:
                number += group
                if len(number) > 19:
                    break
                if is_card_number(number):
                    return True
    return False


def is_card_number(digits: str) -> bool:
    """Whether `digits` is a card number of a known scheme and length, right by Luhn, not all of one digit."""
    return (
        _CARD_SCHEMES.fullmatch(digits) is not None and len(set(digits)) > 1 and bool(luhn.is_valid(digits))
    )


# -- addresses of machines and pages -----------------------------------------------------------------------

_IPV4 = re.compile(r"(?<![\w./-])(\d{1,3}(?:\.\d{1,3}){3})(?![\w-])(?!\.\d)(?:/(\d{1,2}))?")
_IPV6 = re.compile(r"(?<![\w:.])([0-9A-Fa-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?)(?![\w:])(?:/(\d{1,3}))?")
_URL = re.compile(r"(?:\b(?:https?|ftp|wss?)://|\bwww\.)([^\s<>\"']{3,2048})", re.IGNORECASE)
_ID = re.compile(
    r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}|\d{5,}|(?=[^/?&#=]*\d)[A-Za-z0-9_\-]{16,}"
)
_SEPARATORS = re.compile(r"[/?&#=;,:]")


def has_ip_address(text: str) -> bool:
    """Whether the address of one machine stands in `text`; networks (as masks and forms show) are none."""
    for found in _IPV4.finditer(text):
        parts = [int(each) for each in found[1].split(".")]
        several = sum(each > 9 for each in parts) >= 2 and max(parts) <= 255
        if several and int(found[2] or 32) > 24 and _one_machine(found[1]):
            return True
    for found in _IPV6.finditer(text):
        groups = [each for each in found[1].split(":") if each]
        if (
            len(groups) >= 3
            and sum(map(len, groups)) >= 8
            and int(found[2] or 128) > 64
            and _one_machine(found[1])
        ):
            return True
    return False


def _one_machine(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


def has_url(text: str) -> bool:
    """Whether a web address that carries an id or a user's name stands in `text`."""
    for found in _URL.finditer(text):
        host, _, rest = found[1].partition("/")
        if "@" in host or any(
            _ID.fullmatch(part) for part in _SEPARATORS.split(rest or host.partition("?")[2])
        ):
            return True
    return False


# -- national numbers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bare:
    """National numbers of one shape that much else has: `one_in` arbitrary values of it one passes."""

    shape: str
    modules: tuple[str, ...]
    one_in: int

    def passes(self, text: str) -> bool:
        """Whether the whole of `text` passes the check digits of one of the countries."""
        return any(_holds(_test(module), text) for module in self.modules)


# shapes in which little else is written, with the modules of python-stdnum whose check digits they have
_WRITTEN = {
    r"[A-Za-z]{6}[0-9L-Vl-v]{2}[A-Za-z][0-9L-Vl-v]{2}[A-Za-z][0-9L-Vl-v]{3}[A-Za-z]": ("it.codicefiscale",),
    r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]": ("fi.hetu",),
    r"[XYZxyz]-?\d{7}-?[A-Za-z]": ("es.nie",),
    r"\d{17}[\dXx]": ("cn.ric",),
    r"[1278] \d\d \d\d \d[\dAB] \d{3} \d{3} \d\d": ("fr.nir",),
    r"756\.\d{4}\.\d{4}\.\d\d": ("ch.ssn",),
    r"\d\d\.\d\d\.\d\d-\d{3}[.-]\d\d": ("be.nn",),
    r"\d{6} \d{5}": ("no.fodselsnummer",),
    r"\d{3}\.\d{3}\.\d{3}-\d\d": ("br.cpf",),
    r"\d{3}-\d\d-\d{4}": ("us.ssn",),
    r"\d{6}/\d{4}": ("cz.rc",),
    r"\d{6,8}[-+]\d{4}": ("se.personnummer", "is_.kennitala"),
    r"\d{8} ?\d ?[A-Z]{2}\d": ("pt.cc",),
}
BARE = (
    Bare(r"\d{9}", ("nl.bsn",), 10),
    Bare(
        r"\d{10}",
        ("se.personnummer", "is_.kennitala", "bg.egn", "at.vnr", "gb.nhs", "dk.cpr"),
        4,
    ),
    Bare(r"\d{6}-\d{4}", ("dk.cpr",), 30),
    Bare(
        r"\d{11}",
        (
            "be.nn", "no.fodselsnummer", "gr.amka", "ee.ik", "lt.asmens", "de.idnr", "pl.pesel", "br.cpf",
            "hr.oib",
        ),
        6,
    ),
    Bare(r"\d{13}", ("ro.cnp", "si.emso", "ch.ssn"), 100),
    Bare(r"\d{15}", ("fr.nir",), 90),
    Bare(r"\d{7}[A-Za-z]", ("ie.pps",), 24),
    Bare(r"\d{7}[A-Za-z]{2}", ("ie.pps",), 90),
    Bare(r"\d{8}-?[A-Za-z]", ("es.dni",), 24),
)  # fmt: skip
_WRITTEN_COMPILED = tuple(
    (re.compile(rf"(?<![\w+./-])(?:{shape})(?![\w/-])"), modules) for shape, modules in _WRITTEN.items()
)
_BY_WORD = {
    "bsn": ("nl.bsn",), "pps": ("ie.pps",), "ppsn": ("ie.pps",), "pesel": ("pl.pesel",), "oib": ("hr.oib",),
    "nif": ("es.nif", "pt.nif"), "dni": ("es.dni",), "nie": ("es.nie",), "ssn": ("us.ssn",),
    "nhs": ("gb.nhs",),
    "social security": ("us.ssn",), "cpf": ("br.cpf",), "cpr": ("dk.cpr",), "cnp": ("ro.cnp",),
    "egn": ("bg.egn",), "amka": ("gr.amka",), "hetu": ("fi.hetu",), "idnr": ("de.idnr",),
    "steuer-id": ("de.idnr",),
    "svnr": ("at.vnr",), "ahv": ("ch.ssn",), "niss": ("be.nn",), "insz": ("be.nn",), "nir": ("fr.nir",),
    "personnummer": ("se.personnummer", "no.fodselsnummer"), "kennitala": ("is_.kennitala",),
    "isikukood": ("ee.ik",), "codice fiscale": ("it.codicefiscale",), "asmens kodas": ("lt.asmens",),
    "personas kods": ("lv.pvn",), "rodne cislo": ("cz.rc",), "emso": ("si.emso",),
}  # fmt: skip
_NAMED = re.compile(
    rf"\b({'|'.join(_BY_WORD)})\b[^\w\n]{{0,3}}(?:(?:no|nr|number|is)\b\.?)?[^\w\n]{{0,4}}"
    r"([A-Za-z0-9]{1,16}(?:[ ./-][A-Za-z0-9]{1,12}){0,5})",
    re.IGNORECASE,
)


def has_national_id(text: str) -> bool:
    """Whether a national number stands in `text`: in its own way of writing, or behind a word for it."""
    text = _without_uuids(text)
    for shape, modules in _WRITTEN_COMPILED:
        for found in shape.finditer(text):
            if any(_holds(_test(module), found[0]) for module in modules):
                return True
    for found in _NAMED.finditer(text):
        groups = _NOT_ALNUM.split(found[2])
        for last in range(len(groups), 0, -1):  # words may follow the number
            number = "".join(groups[:last])
            if any(_holds(_test(module), number) for module in _BY_WORD[found[1].lower()]):
                return True
    return False


@lru_cache
def _test(module: str) -> Callable[[str], bool]:
    test: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    return test


def _holds(test: Callable[[str], bool], text: str) -> bool:
    try:
        return bool(test(text))
    except Exception:  # noqa: BLE001 - a library that stumbles over dirty text has not recognised it
        return False


# -- all of them -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """One kind of personal data: the shape that RE2 sieves by, and the second look."""

    kind: str
    shape: str
    holds: Callable[[str], bool]


PATTERNS: tuple[Pattern, ...] = (
    Pattern("email", r"[^\s@]\s{0,3}@\s{0,3}[\p{L}\p{N}]", has_email),
    Pattern(
        "phone",
        r"(?:\+|00)[ (]{0,2}[1-9](?:[ ().\-/]{0,3}\d){6}"
        r"|0[1-9]\d{0,4}\)?(?:[ .\-/]{1,2}\d{2,8}){1,5}|[2-9]\d{2}\)?[ .-]{0,2}\d{3}[ .-]\d{4}"
        r"|(?i)(?:tel|phone|mob|cell|fax|gsm|whatsapp|handy|téléphone|teléfono|portable|puhelin).{0,20}\d",
        has_phone,
    ),
    Pattern(
        "iban",
        rf"(?i)(?:^|[^a-z0-9])(?:{'|'.join(IBAN_LENGTHS)})[ -]?\d[ -]?\d(?:[ \-./]{{0,2}}[a-z0-9]){{11}}",
        has_iban,
    ),
    Pattern("card", r"[2-6](?:[ .\-]?\d){13}", has_card),
    Pattern(
        "ip_address",
        r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9A-Fa-f]{1,4}::|::[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){6}",
        has_ip_address,
    ),
    Pattern("url", r"(?i)(?:https?|ftp|wss?)://|www\.", has_url),
    Pattern("national_id", "|".join((*_WRITTEN, f"(?i:{_NAMED.pattern})")), has_national_id),
)
KINDS: tuple[str, ...] = tuple(each.kind for each in PATTERNS)

SIEVE = "[0-9@]"
"""For RE2: every text with one of the kinds in it matches. One alternation of all shapes would be too much
for its automaton, which then takes a hundred times as long; shape by shape it is quick."""
