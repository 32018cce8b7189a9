r"""The one rule for words of people in the control log, which names no data subject and is kept for good.

Every reason, ticket, purpose, reference and the like goes through `stated` where an act is made, and the
writer refuses entries whose `Stated` fields are not as `stated` gives them. What is recorded is the canonical
form: NFKC, no blank at either end. A text is refused if it is long, or holds

- a character that is not seen or changes how others are seen: control and format characters (bidirectional
  overrides, zero-width, soft hyphens, tags), line breaks, variation selectors, blank letters, more than
  `MOST_MARKS` combining marks on one letter, unassigned and private code points;
- an e-mail address: any `@`, and `jan(at)example.org`, `jan [at] example`, `jan at example dot org`;
- digits: between two letters (or an end of the text) stand at most `MOST_DIGITS` of them, whatever signs
  stand between, in any script. Not counted are dates and times, tickets (`INC-20261127-0042`, `JIRA-1234`,
  `INC0012345`, `#4711`: capital letters and at most 8 digits in one piece, or a day or year and at most 6),
  years to years, and ids in hexadecimal. Next to more than `MOST_BESIDE` other digits they count as well;
- what `inspection_patterns` finds by check digits, plans and shape: telephone numbers, IBANs, cards, national
  numbers, addresses of machines; also where it is escaped or encoded (`inspection_decoded`).

This is against accidents. Names of people, words for digits, letters in place of digits and numbers that look
like tickets (a passport number as `XY-1234567`) are not found.
Invariants: total and pure; a refusal says what a piece looks like and where it stands, never what it is; the
canonical form of a canonical form is itself.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from ringfort.errors import UsageError
from ringfort.privacy.inspection_decoded import decoded
from ringfort.privacy.inspection_patterns import (
    has_card,
    has_email,
    has_iban,
    has_ip_address,
    has_national_id,
    has_phone,
)

MOST_CHARACTERS = 200
MOST_DIGITS = 5
MOST_BESIDE = 3
MOST_MARKS = 3
HINT = "put it into the ticket system and refer to the ticket: the record is kept for good"

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_SELECTORS = re.compile("[\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SIGNS = frozenset("\u24d0\u24b6\U0001f130\U0001f150\U0001f170")
"""An `a` in a ring or a box: a drawn `@`."""
_LOOKS_LIKE = (
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2e3a\u2e3b", "-")
    | dict.fromkeys("\u2044\u2215", "/")
    | dict.fromkeys("\u2236\ua789", ":")
    | dict.fromkeys("\u3002\u2024\u00b7\u30fb", ".")
)

_AT_WORDS = "arroba|chiocciola|klammeraffe|apenstaartje|snabel-?a|malpa|zavinac|kukac|at"
_DOT = "dot|punkt|punto|punt|point|ponto|kropka|tecka|piste|bod"
_HOST = (
    rf"[^\W_]+(?:-[^\W_]+)*"
    rf"(?:\.(?=[^\W\d_]{{2}})|\s\.\s?(?=[^\W\d_]{{2}})|[\W_]{{1,4}}(?:{_DOT})[\W_]{{1,4}}(?=[^\W\d_]{{2}}))"
)
_SPELT = re.compile(
    rf"[^\W_]\s*[\[({{<]\s*(?:{_AT_WORDS})\s*[\])}}>]\s*[^\W_]+"
    rf"|[^\W_]\s*[\[({{<]\s*(?:a|et|chez)\s*[\])}}>]\s*{_HOST}[^\W_]+"
    rf"|[^\W_][\W_]{{1,4}}(?:{_AT_WORDS})[\W_]{{1,4}}{_HOST}[^\W_]+",
    re.IGNORECASE,
)

_PERSONAL_PREFIX = (
    "TEL|PHONE|FAX|MOB|MOBILE|CELL|GSM|IBAN|CARD|BIC|BSN|SSN|PPS|PPSN|NIF|DNI|NIE|NIR|OIB|CNP|EGN|CPR|CPF|HETU|"
    "PESEL|NHS|AHV|SVNR|NISS|INSZ|AMKA|EMSO|IDNR|PAS|PASS|PASSPORT|CUST|CUSTOMER|CLIENT|KUNDE|USER|PATIENT|"
    "PERSON|MEMBER|ACC|ACCOUNT|MRN|DOB"
)
PERSONAL_PREFIXES = frozenset(_PERSONAL_PREFIX.split("|"))
"""What stands before a number of a person rather than of a ticket."""
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_ISO_DAY = r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_YEAR = r"(?:19|20)\d\d"
_TICKET = re.compile(
    rf"(?<![\w-])(?!(?:{_PERSONAL_PREFIX})\b)(?!(?:{_PERSONAL_PREFIX})\d)"
    rf"(?:(?:[A-Z][A-Z0-9]{{0,9}}[-_/#]){{1,3}}|[A-Z]{{3,9}})"
    rf"(?:{_ISO_DAY}-\d{{1,6}}|{_YEAR}-\d{{1,6}}|\d{{1,8}})(?!\w|[-./]\d)"
    rf"|(?<![\w#])#\d{{1,6}}(?!\w|[-./]\d)"
)
_WHEN = re.compile(
    r"(?<![\w.:/-])(?:"
    rf"{_YEAR}([-/.]){_MONTH}\1{_DAY}(?=T\d\d:|(?!\w|[-./:]\d))"
    rf"|{_DAY}([-/.]){_MONTH}\2(?:{_YEAR}|\d\d)(?!\w|[-./:]\d)"
    rf"|{_MONTH}/{_DAY}/{_YEAR}(?!\w|[-./:]\d)"
    rf"|{_YEAR}-(?:0[1-9]|1[0-2])(?!\w|[-./:]\d)|{_MONTH}[/.]{_YEAR}(?!\w|[-./:]\d)"
    rf"|{_YEAR}\s?[-/]\s?{_YEAR}(?!\w|[-./:]\d)"
    rf"|{_ISO_DAY}T(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?Z?(?!\w|[-./:]\d))"
    r"|(?:(?<![\w.:/-])|(?<=\dT))(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
    r"(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?(?![\w:]|[-./]\d)"
)
_ID = re.compile(
    r"(?<![\w-])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|g-[0-9a-f]{8}"
    r"|(?=(?:\d*[a-f]){3})(?:[0-9a-f]{16}|[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}))(?![\w-])"
)
_DIGIT = re.compile(r"\d")
_ASIDE = "\x02"
_STRETCH = re.compile(r"[\W\d_]+")
_BACKSLASH = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
_WORDS = {
    "email": "an e-mail address",
    "iban": "a bank account number",
    "card": "a payment card number",
    "phone": "a telephone number",
    "national_id": "a national number",
    "ip_address": "the address of a machine",
    "digits": "a telephone, account or customer number",
}
_PATTERNS = (
    ("iban", has_iban),
    ("card", has_card),
    ("phone", has_phone),
    ("national_id", has_national_id),
    ("ip_address", has_ip_address),
)


@dataclass(frozen=True)
class Finding:
    """What a piece of a text looks like; it stands at `[start, end)` of the canonical form (-1: encoded)."""

    what: str
    start: int
    end: int

    def describe(self, name: str) -> str:
        """The fault, in words that do not echo the piece."""
        if self.start < 0:
            return f"the {name}, decoded, holds what looks like {self.what}"
        if self.end - self.start == 1:
            return f"character {self.start + 1} of the {name} is {self.what}"
        return f"characters {self.start + 1} to {self.end} of the {name} look like {self.what}"


def canonical(text: str) -> str:
    """A text as it is recorded: NFKC, without blanks at its ends."""
    return unicodedata.normalize("NFKC", text).strip(" ")


def stated(text: str, name: str = "reason", *, most: int = MOST_CHARACTERS) -> str:
    """The canonical form of what somebody states for the record; raises `UsageError` if it may not be in it.

    `name` is what the text is called in the error, for example `reason`.
    """
    if len(text) > 8 * most:
        raise UsageError(f"the {name} has more than {most} characters", hint=HINT)
    recorded = canonical(text)
    found = _unseen(text) or _drawn(text)
    if found is not None:
        raise UsageError(found.describe(name), hint="write it in one line of plain characters")
    if len(recorded) > most:
        raise UsageError(f"the {name} has more than {most} characters", hint=HINT)
    found = finding(recorded)
    if found is not None:
        raise UsageError(found.describe(name), hint=HINT)
    return recorded


def is_stated(text: str) -> bool:
    """Whether a text is as `stated` gives it."""
    try:
        return stated(text) == text
    except UsageError:
        return False


def finding(text: str) -> Finding | None:
    """The first thing in a canonical text that must not be recorded."""
    found = _unseen(text) or _personal(text)
    if found is not None:
        return found
    unescaped = _unescaped(text)
    more = _personal(unescaped) if unescaped != text else None
    if more is None:
        plain, _ = _view(text)
        for reading in decoded(plain):
            kind = "email" if has_email(reading) else _by_pattern(reading)
            if kind:
                more = Finding(_WORDS[kind], -1, -1)
                break
    return None if more is None else Finding(more.what, -1, -1)


def _unseen(text: str) -> Finding | None:
    marks = 0
    for at, each in enumerate(text):
        category = unicodedata.category(each)
        marks = marks + 1 if category[0] == "M" else 0
        if category in _HIDDEN_CATEGORIES or each in _UNSEEN or _SELECTORS.match(each) is not None:
            what = "a line break" if each in "\r\n\v\f\x85\u2028\u2029" else "one that is not seen"
            return Finding(what, at, at + 1)
        if category == "Zs" and unicodedata.normalize("NFKC", each) != " ":
            return Finding("an unusual blank", at, at + 1)
        if marks > MOST_MARKS:
            return Finding("one combining mark too many", at, at + 1)
    return None


def _drawn(text: str) -> Finding | None:
    """A sign that canonicalisation would turn into a plain letter, and that is read as `@`."""
    at = next((at for at, each in enumerate(text) if each in _SIGNS), -1)
    return None if at < 0 else Finding("read as `@`, as in an e-mail address", at, at + 1)


def _personal(text: str) -> Finding | None:
    plain, places = _view(text)
    at = plain.find("@")
    if at >= 0:
        start = max(plain.rfind(" ", 0, at) + 1, 0)
        end = plain.find(" ", at)
        return _placed("email", places, start, len(plain) if end < 0 else end)
    spelt = _SPELT.search(plain)
    if spelt is not None:
        return _placed("email", places, *spelt.span())
    counted = _aside(plain)
    if has_iban(plain):
        return _placed("iban", places, 0, len(plain))
    kind = _by_pattern(counted)
    for found in _STRETCH.finditer(counted):
        beside, aside = len(_DIGIT.findall(found[0])), found[0].count(_ASIDE)
        if beside > MOST_DIGITS or (beside > MOST_BESIDE and beside + aside > MOST_DIGITS):
            piece = re.search(rf"[\d{_ASIDE}](?:.*[\d{_ASIDE}])?", found[0])
            begin, end = piece.span() if piece is not None else (0, len(found[0]))
            return _placed(kind or "digits", places, found.start() + begin, found.start() + end)
    return _placed(kind, places, 0, len(plain)) if kind else None


def _placed(kind: str, places: list[int], start: int, end: int) -> Finding:
    return Finding(_WORDS[kind], places[start], places[end - 1] + 1)


def _by_pattern(text: str) -> str:
    return next((kind for kind, holds in _PATTERNS if holds(text)), "")


def _view(text: str) -> tuple[str, list[int]]:
    """A text as it is looked at, without marks, digits and signs plain; and where each character stood."""
    seen: list[str] = []
    places: list[int] = []
    for at, each in enumerate(text):
        if unicodedata.category(each)[0] == "M":
            continue
        base = unicodedata.normalize("NFD", each)[0]
        value = unicodedata.numeric(base, -1.0)
        digit = str(int(value)) if value in range(10) else ""
        seen.append(digit or _LOOKS_LIKE.get(base, base))
        places.append(at)
    return "".join(seen), places


def _aside(plain: str) -> str:
    """The text with the digits of dates, times and tickets marked, and ids in hexadecimal as letters."""
    text = _ID.sub(lambda found: "x" * len(found[0]), plain)
    text = _TICKET.sub(lambda found: _DIGIT.sub(_ASIDE, found[0]), text)
    return _WHEN.sub(lambda found: _DIGIT.sub(_ASIDE, found[0]), text)


def _unescaped(text: str) -> str:
    once = _BACKSLASH.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
    return canonical(html.unescape(unquote(once, errors="replace")))


__all__ = ["MOST_CHARACTERS", "PERSONAL_PREFIXES", "Finding", "canonical", "finding", "is_stated", "stated"]
