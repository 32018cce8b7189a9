"""Names and streets from Faker's locales, and how they are written in Latin letters.

Faker takes 3 to 60 microseconds a value and 100 milliseconds to load a full locale; the population therefore
draws a pool per locale, with Faker's own weights, and combines it with numpy. Only the person and address
providers are loaded. A pool is a pure function of locale and seed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from faker import Faker

_GIVEN, _FAMILY, _STREETS = 260, 500, 160
_BASE_LOCALE = {
    "mt_MT": "it_IT"
}  # Faker has no Maltese names; the given names are much like the Italian ones
_OWN_FAMILY = {
    "mt_MT": (
        *(
            "Borg",
            "Camilleri",
            "Vella",
            "Farrugia",
            "Zammit",
            "Galea",
            "Micallef",
            "Grech",
            "Attard",
            "Spiteri",
        ),
        *(
            "Azzopardi",
            "Mifsud",
            "Caruana",
            "Muscat",
            "Agius",
            "Pace",
            "Fenech",
            "Schembri",
            "Abela",
            "Sammut",
        ),
        *("Debono", "Gauci", "Cassar", "Bonniċi", "Ċassar", "Żerafa"),
    ),
}
_PROVIDERS = ["faker.providers.person", "faker.providers.address"]

# Greek by ELOT 743 (simplified), Bulgarian by the streamlined system, Ukrainian by the 2010 national system.
_GREEK_PAIRS = {"ου": "ou", "αυ": "av", "ευ": "ev", "γγ": "ng", "γκ": "gk", "μπ": "b", "ντ": "nt"}
_LATIN = {
    **dict(
        zip(
            "αβγδεζηικλμνξοπρσςτυφω",
            [
                "a",
                "v",
                "g",
                "d",
                "e",
                "z",
                "i",
                "i",
                "k",
                "l",
                "m",
                "n",
                "x",
                "o",
                "p",
                "r",
                "s",
                "s",
                "t",
                "y",
                "f",
                "o",
            ],
            strict=True,
        )
    ),
    "θ": "th",
    "χ": "ch",
    "ψ": "ps",
    **dict(
        zip(
            "абвгдезийклмнопрстуф",
            [
                "a",
                "b",
                "v",
                "g",
                "d",
                "e",
                "z",
                "i",
                "y",
                "k",
                "l",
                "m",
                "n",
                "o",
                "p",
                "r",
                "s",
                "t",
                "u",
                "f",
            ],
            strict=True,
        )
    ),
    "ж": "zh",
    "х": "h",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "sht",
    "ъ": "a",
    "ь": "",
    "ю": "yu",
    "я": "ya",
    "і": "i",
    "ї": "i",
    "є": "ie",
    "ґ": "g",
    "ы": "y",
    "э": "e",
    "ё": "yo",
    "ѝ": "i",
    "ä": "ae",
    "ö": "oe",
    "ü": "ue",
    "ß": "ss",
    "ø": "o",
    "å": "aa",
    "æ": "ae",
    "œ": "oe",
    "ł": "l",
    "đ": "d",
    "þ": "th",
    "ð": "d",
    "ı": "i",
    "ħ": "h",
    "ŋ": "n",
    "’": "'",
    "ʼ": "'",
}
_UKRAINIAN = {"г": "h", "и": "y", "й": "i", "х": "kh", "щ": "shch"}


@dataclass(frozen=True)
class Pool:
    """Names of one locale as (written, in Latin letters or "" if unknown); values repeat by frequency."""

    given: dict[str, tuple[tuple[str, str], ...]]  # by gender: `f`, `m`
    family: dict[str, tuple[tuple[str, str], ...]]
    streets: tuple[str, ...]


@lru_cache(maxsize=256)
def draw_pool(locale: str, seed: int) -> Pool:
    """The pool of a Faker locale; the same for the same arguments."""
    fake = Faker(_BASE_LOCALE.get(locale, locale), providers=_PROVIDERS)
    fake.seed_instance(f"ringfort population {seed} {locale}")
    if locale == "ja_JP":
        given = {
            "f": tuple(_romanised(fake.first_name_female_pair()) for _ in range(_GIVEN)),
            "m": tuple(_romanised(fake.first_name_male_pair()) for _ in range(_GIVEN)),
        }
        family = dict.fromkeys("fm", tuple(_romanised(fake.last_name_pair()) for _ in range(_FAMILY)))
        return Pool(given, family, ())
    given = {
        "f": _pairs([fake.first_name_female() for _ in range(_GIVEN)], locale),
        "m": _pairs([fake.first_name_male() for _ in range(_GIVEN)], locale),
    }
    if locale in _OWN_FAMILY:
        family = dict.fromkeys("fm", _pairs(list(_OWN_FAMILY[locale]), locale))
    else:
        family = {
            "f": _pairs([fake.last_name_female() for _ in range(_FAMILY)], locale),
            "m": _pairs([fake.last_name_male() for _ in range(_FAMILY)], locale),
        }
    if locale == "lt_LT":  # Faker mixes the genders of Lithuanian names; their endings tell
        given = {gender: _ending(names, gender, ("a", "ė")) for gender, names in given.items()}
        family = {gender: _ending(names, gender, ("ė",)) for gender, names in family.items()}
    return Pool(given, family, tuple(fake.street_name() for _ in range(_STREETS)))


def in_latin(text: str, locale: str = "") -> str:
    """`text` in Latin letters, its capitals kept; "" if it holds letters that this module cannot write."""
    words = []
    for word in unicodedata.normalize("NFC", text).split(" "):
        lower = word.lower()
        if not _is_latin(lower):
            # accents first, so that Greek pairs are found; two Cyrillic letters only look accented
            lower = "".join(mark if mark in "йї" else _without_accents(mark) for mark in lower)
            for pair, latin in _GREEK_PAIRS.items():
                lower = lower.replace(pair, latin)
            ukrainian = _UKRAINIAN if locale == "uk_UA" else {}
            lower = "".join(ukrainian.get(mark) or _LATIN.get(mark, mark) for mark in lower)
            if not _is_latin(lower):
                return ""
            word = lower[:1].upper() + lower[1:]  # noqa: PLW2901 - the word as it is written from here on
        words.append(word)
    return " ".join(words)


def mail_part(text: str) -> str:
    """`text` (in Latin letters) as part of an e-mail address: lower-case ASCII, digits, `-` and `'`."""
    lower = unicodedata.normalize("NFC", text).lower()
    lower = "".join(_LATIN.get(mark, mark) for mark in lower)
    return re.sub(r"[^a-z0-9'-]", "", _without_accents(lower)).strip("-'")


def _romanised(pair: tuple[str, str, str]) -> tuple[str, str]:
    return pair[0], pair[2]


def _pairs(names: list[str], locale: str) -> tuple[tuple[str, str], ...]:
    latin = {name: in_latin(name, locale) for name in names}
    return tuple((name, latin[name]) for name in names)


def _ending(
    names: tuple[tuple[str, str], ...], gender: str, feminine: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    kept = tuple(name for name in names if name[0].endswith(feminine) == (gender == "f"))
    return kept or names


def _without_accents(text: str) -> str:
    return "".join(mark for mark in unicodedata.normalize("NFD", text) if not unicodedata.combining(mark))


def _is_latin(text: str) -> bool:
    return all(not mark.isalpha() or mark < "\u0250" or "\u1e00" <= mark < "\u1f00" for mark in text)
