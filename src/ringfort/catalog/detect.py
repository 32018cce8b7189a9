"""What kind of data a column holds, from its name, its type and its values together.

Values weigh more than names: a column called `note` that holds e-mail addresses is one of e-mail addresses.
Where name and values disagree, or only one of them speaks, the finding says so in `unsure` (shares and
counts, never a value), and gets the stricter class. What nothing recognises stays unclassified, that is,
hidden for everyone. Total: no value, however dirty, makes it raise. Keys and the data subject are the
business of `scan`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.catalog import detect_contact as contact
from ringfort.catalog import detect_numbers as numbers
from ringfort.catalog import detect_people as people
from ringfort.catalog import detect_places as places
from ringfort.catalog.column_words import is_plain_name, is_role, is_title, kinds_of_name, without
from ringfort.catalog.harmless import ends_technically
from ringfort.catalog.special import SUBJECTS, special_name, special_values
from ringfort.catalog.words import tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.catalog.model import Identifiability, Protection
    from ringfort.catalog.sample import SampledColumn

SURE, LIKELY, HINTED = 0.9, 0.8, 0.3
MANY = 20  # different values, below which a share says little
CLASSES: dict[str, tuple[Protection, Identifiability]] = {
    "name": ("restricted", "direct"),
    "email": ("restricted", "direct"),
    "phone": ("restricted", "direct"),
    "ip_address": ("restricted", "direct"),
    "address": ("restricted", "direct"),
    "iban": ("restricted", "direct"),
    "card": ("restricted", "direct"),
    "national_id": ("restricted", "direct"),
    "birth_date": ("protected", "quasi"),
    "gender": ("protected", "quasi"),
    "age": ("protected", "quasi"),
    "postcode": ("protected", "quasi"),
    "city": ("protected", "quasi"),
    "country": ("interoperable", "quasi"),
    "location": ("restricted", "quasi"),
    "user_agent": ("protected", "quasi"),
    "url": ("protected", "quasi"),
    "date": ("protected", "quasi"),
    "timestamp": ("protected", "quasi"),
    "finance": ("protected", "quasi"),
    "personal": ("protected", "quasi"),
    "amount": ("protected", "none"),
    "number": ("protected", "none"),
    "free_text": ("restricted", "none"),
    "category": ("protected", "quasi"),
    "code": ("interoperable", "none"),
    "flag": ("protected", "none"),
}
_DIRECT = frozenset(kind for kind, classes in CLASSES.items() if classes[1] == "direct")
_NUMERIC = frozenset({"smallint", "integer", "bigint", "real", "double precision", "numeric", "money"})
_INTEGRAL = frozenset({"smallint", "integer", "bigint", "numeric", "double precision"})
_DATES = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})
_UNREADABLE = frozenset({"bytea", "json", "jsonb", "xml", "tsvector", "oid", "interval"})
_TEXT_TYPES = frozenset({"text", "character varying", "character", "varchar", "char", "citext"})
_DIRECT_DESPITE = frozenset({"email", "phone", "national_id", "iban"})  # `health_card_number`
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*")
_SIX_DIGITS = re.compile(r"(?:\D*\d){6}[\w ./+\-]{0,14}", re.ASCII)


@dataclass(frozen=True)
class Finding:
    """What a column was taken for; `protection` None leaves it unclassified."""

    kind: str
    protection: Protection | None
    identifiability: Identifiability | None
    unsure: str = ""


UNRECOGNISED = Finding("unknown", None, None, "neither its name nor its values were recognised")


SECRET = Finding(
    "content", None, None, "its name says a secret: hidden for everyone, and best not kept at all"
)


def found(kind: str, unsure: str = "") -> Finding:
    """A finding with the usual classes of its kind."""
    return Finding(kind, *CLASSES[kind], unsure)


def detect(
    column: SampledColumn, rows: int, *, people: bool = False, shared: frozenset[str] = frozenset()
) -> Finding:
    """What `column`, of a table of `rows` rows (-1 if unknown), holds.

    `people`: the table's rows are people, so that a column `name` holds theirs. `shared` are words that most
    of the table's columns have in their names; what they say is heard of telling kinds only.
    """
    called = without(column.name, shared)
    said = _said(column.name, called)
    kind = column.base_type
    if "secret" in said and kind != "boolean" and kind not in _DATES:
        return SECRET
    special = _special(column, said)
    if special is not None:
        return special
    if ends_technically(column):
        return Finding("number" if kind in _NUMERIC else "code", "interoperable", "none")
    if kind == "boolean":
        return found("flag")
    if kind in {"inet", "cidr"}:
        return found("ip_address")
    if kind == "point":
        return found("location")
    if kind in _DATES:
        return _moment(column, said)
    if kind in _NUMERIC:
        return _number(column, said)
    if kind in _UNREADABLE or kind.endswith("[]"):
        return Finding("content", None, None, f"values of the type {kind} are not looked into")
    if people and is_plain_name(called):
        said = ("name", *said)
    if people and is_title(called):
        said = ("personal", *said)
    if is_role(called) and (not column.seen or column.different >= MANY):
        said = (*said, "name")
    return _text(column, said, rows)


def _said(name: str, called: str) -> tuple[str, ...]:
    """The kinds that a name says: without its shared words, but for kinds that reach somebody."""
    if called == name:
        return kinds_of_name(name)
    own = kinds_of_name(called)
    telling = (each for each in kinds_of_name(name) if each == "secret" or each in _DIRECT)
    return (*own, *(each for each in telling if each not in own))


def _special(column: SampledColumn, said: tuple[str, ...]) -> Finding | None:
    """A special category by name or by values; addresses and numbers to reach somebody stay what they are."""
    subject = special_name(column.name)
    if subject:
        direct = next((each for each in said if each in _DIRECT_DESPITE), None)
        if direct is not None and column.base_type in _TEXT_TYPES | _INTEGRAL:
            return None
        why = f"its name says a special category of personal data: {SUBJECTS[subject]} (GDPR articles 9, 10)"
        return Finding(_special_kind(column, said), "restricted", "quasi", why)
    if column.base_type in _TEXT_TYPES:
        subject = special_values(column)
        if subject and (said[:1] != ("code",) or tokens(column.name) == ("code",)):
            why = f"its values look like a special category of personal data: {SUBJECTS[subject]}"
            return Finding("category", "restricted", "quasi", why)
    return None


def _special_kind(column: SampledColumn, said: tuple[str, ...]) -> str:
    if column.base_type == "boolean":
        return "flag"
    if column.base_type in _DATES:
        return "date" if column.base_type == "date" else "timestamp"
    if column.base_type in _UNREADABLE or column.base_type.endswith("[]"):
        return "content"
    return "free_text" if "free_text" in said else "category"


def share(column: SampledColumn, test: Callable[[str], bool]) -> float:
    """The part of the sampled values that pass `test`, 0 to 1; nulls and blanks do not count."""
    if not column.seen:
        return 0.0
    return sum(count for value, count in column.counts if test(value)) / column.seen


def _moment(column: SampledColumn, said: tuple[str, ...]) -> Finding:
    years = sorted(
        year
        for value, count in column.counts
        if (year := people.birth_year(value))
        for _ in range(min(count, 100))
    )
    if "birth_date" in said:
        if column.seen and len(years) < HINTED * column.seen:
            return found(
                "birth_date", "by its name only: its values are no years in which somebody alive was born"
            )
        return found("birth_date", "" if column.seen else "by its name only: no value was seen")
    if column.base_type == "date" and len(years) >= MANY:
        early, late = years[len(years) // 20], years[-1 - len(years) // 20]
        if late - early >= 30 and years[len(years) // 2] <= 2005:
            return found("birth_date", f"the dates spread over {late - early} years, like dates of birth")
    return found("date" if column.base_type == "date" else "timestamp")


def _number(column: SampledColumn, said: tuple[str, ...]) -> Finding:
    whole = column.base_type in _INTEGRAL
    tests: dict[str, Callable[[str], bool]] = {
        "phone": contact.is_phone_digits,
        "card": lambda text: text.isdigit(),
        "national_id": lambda text: text.isdigit() and len(text) >= 6,
        "birth_date": lambda text: people.birth_year(text) is not None,
        "age": people.is_age if whole and column.base_type != "double precision" else _is_age_in_years,
        "postcode": places.is_postcode_by_name,
        "location": lambda text: places.is_coordinate(text) or text.lstrip("-").isdigit(),
    }
    for kind in said:
        if kind in tests and (whole or kind == "location"):
            part = share(column, tests[kind])
            if part >= HINTED or not column.seen:
                return found(kind, "" if part >= SURE else _doubt(column, kind, part))
    if "gender" in said and (share(column, people.is_gender_code) >= SURE or not column.seen):
        return found("gender", "" if column.seen else _doubt(column, "gender", 0.0))
    if whole:
        by_value = _national(column, LIKELY) or _telling(column, {"card": numbers.is_card}, LIKELY)
        if by_value is not None:
            return by_value
    for kind, as_kind in (("finance", "amount"), ("personal", "number")):
        if kind in said:
            return _of_person(column, as_kind)
    for kind in ("amount", "number"):
        if kind in said:
            return found(kind)
    if column.base_type == "money":
        return found("amount")
    if column.few_whole_numbers:
        return found("category", f"{column.different} different numbers: a code whose meaning is not known")
    return UNRECOGNISED


def _is_age_in_years(text: str) -> bool:
    """Whether a number with fractions is a plausible age: those of infants are told so."""
    return people.is_age(text.strip().partition(".")[0])


def _of_person(column: SampledColumn, kind: str) -> Finding:
    """Something that is said of a person; few different numbers are a code, which no band would cover."""
    few = column.base_type in _INTEGRAL and column.few_whole_numbers
    return Finding("category" if few else kind, *CLASSES["personal"])


# In this order: what is recognised by check digits or an unmistakable shape first.
_TEXT_TESTS: dict[str, Callable[[str], bool]] = {
    "email": contact.is_email,
    "iban": numbers.is_iban,
    "ip_address": contact.is_ip_address,
    "url": contact.is_url,
    "user_agent": contact.is_user_agent,
    "card": numbers.is_card,
    "timestamp": lambda text: _ISO_TIME.fullmatch(text.strip()) is not None,
    "date": lambda text: _ISO_DATE.fullmatch(text.strip()) is not None,
    "phone": contact.is_phone,
    "address": places.is_address,
    "postcode": places.is_postcode,
    "location": lambda text: all(map(places.is_coordinate, text.strip("()").split(","))) and "," in text,
    "city": places.is_city,
    "name": people.is_person_name,
}
# Recognised by words that mean other things, too: only where the name says nothing else.
_BY_WORDS: dict[str, float] = {"city": 0.5, "name": 0.5, "address": 0.6, "location": SURE}
_SHAPES = {kind: test for kind, test in _TEXT_TESTS.items() if kind not in _BY_WORDS}
_UNMISTAKABLE = {kind: _TEXT_TESTS[kind] for kind in ("email", "iban", "ip_address", "card", "phone")}
# What is asked of values where the name has said the kind: less than where it has not.
_HINTED_TESTS: dict[str, Callable[[str], bool]] = {
    **_TEXT_TESTS,
    "phone": contact.is_phone_digits,
    "postcode": places.is_postcode_by_name,
    "city": people.could_be_name,
    "name": people.could_be_name,
    "address": lambda text: len(text) > 3,
    "card": lambda text: text[-4:].isdigit(),
    "iban": lambda text: text[:2].isalpha(),
    "national_id": lambda text: any(map(str.isdigit, text)),
    "birth_date": lambda text: people.birth_year(text) is not None or any(map(str.isdigit, text)),
    "gender": people.is_gender,
    "age": people.is_age,
}
_INSIDE = {"e-mail addresses": contact.EMAIL, "telephone numbers": re.compile(r"\+\d[\d ]{8,}")}
_SHAPELESS = ("free_text", "goods", "category", "code", "personal", "finance")


def _text(column: SampledColumn, said: tuple[str, ...], rows: int) -> Finding:
    country = _country(column, said)
    if country is not None:
        return country
    by_value = _telling(column, _SHAPES, LIKELY) or _national(column, LIKELY) or _gender(column)
    if "gender" in said and column.seen and share(column, people.is_gender_code) >= SURE:
        return found("gender")
    if by_value is not None:
        return _agreed(by_value, said)
    for kind in said:
        if kind in _HINTED_TESTS:
            part = share(column, _HINTED_TESTS[kind])
            if part >= HINTED or not column.seen:
                return found(kind, "" if part >= SURE else _doubt(column, kind, part))
    partly = _telling(column, _UNMISTAKABLE, HINTED)
    if partly is not None:
        return partly
    if "free_text" not in said:
        for kind, least in _BY_WORDS.items():
            by_words = _telling(column, {kind: _TEXT_TESTS[kind]}, least)
            if by_words is not None:
                return _agreed(by_words, (*said, *tokens(column.name)))
    return _words(column, said, rows)


def _telling(column: SampledColumn, tests: dict[str, Callable[[str], bool]], least: float) -> Finding | None:
    for kind, test in tests.items():
        part = share(column, test)
        if part >= least:
            return found(kind, "" if part >= SURE else f"{_percent(part)} of the sampled values look like it")
    return None


def _agreed(by_value: Finding, said: tuple[str, ...]) -> Finding:
    """A finding by value, made unsure if the name says something else, sure if it says the same."""
    if by_value.kind in said or (
        by_value.kind in {"date", "timestamp"} and {"date", "timestamp"} & set(said)
    ):
        return found(by_value.kind)
    if "birth_date" in said and by_value.kind in {"date", "timestamp"}:
        return found("birth_date")
    if "ip_address" in said or not set(said) - set(_SHAPELESS):
        return by_value
    other = f"its values look like {_words_for(by_value.kind)}, its name says {_words_for(said[0])}"
    return found(by_value.kind, other)


def _country(column: SampledColumn, said: tuple[str, ...]) -> Finding | None:
    known = [(value, count) for value, count in column.counts if not places.is_no_country(value)]
    total = sum(count for _, count in known)
    named = "country" in said
    if not total:
        return found("country", "by its name only: no value was seen") if named and not column.seen else None
    part = sum(count for value, count in known if places.is_country(value)) / total
    distinct = sum(1 for value, _ in known if places.is_country(value)) / len(known)
    codes = sum(count for value, count in known if places.is_country_code(value)) / total
    if named and max(part, codes) >= HINTED:
        sure = max(part + codes, distinct) >= SURE
        return found(
            "country", "" if sure else f"{_percent(1 - max(part, codes))} of the values are no known country"
        )
    if part >= LIKELY and distinct >= LIKELY:
        return found("country", "" if len(known) >= 3 else "by few values only")
    if codes >= SURE and len(known) >= 5 and all(value.isupper() for value, _ in known):
        return found("country", "by two-letter codes only; they may be something else")
    return None


def _gender(column: SampledColumn) -> Finding | None:
    if not 2 <= len(column.counts) <= 12 or share(column, people.is_gender) < SURE:
        return None
    plain = sum(people.is_plain_gender(value) for value, _ in column.counts)
    return found("gender") if plain >= 2 else None


def _national(column: SampledColumn, least: float) -> Finding | None:
    values = [value for value, _ in column.counts[:200]]
    digits = [value for value in values if _SIX_DIGITS.fullmatch(value)]
    if len(digits) < MANY or len(digits) < least * len(values):
        return None
    shares = {
        country: sum(map(numbers.national_number(country), digits)) / len(values)
        for country in numbers.national_countries()
    }
    country, part = max(shares.items(), key=lambda each: each[1])
    if part < least:
        return None
    return found("national_id", f"by their check digits they are national numbers ({country})")


def _words(column: SampledColumn, said: tuple[str, ...], rows: int) -> Finding:
    """Text without a shape: does it repeat, like names of goods and categories, or is each value its own."""
    for kind in ("finance", "personal"):
        if kind in said and "free_text" not in said:
            return Finding("category", *CLASSES[kind])
    if not column.seen:
        kind = next((each for each in said if each in CLASSES and each in _SHAPELESS), "")
        return found(kind, "by its name only: no value was seen") if kind else UNRECOGNISED
    distinct = float(max(column.distinct or 0.0, column.different))
    repeats = column.repeats(rows)
    mean_words = sum(count * len(value.split()) for value, count in column.counts) / column.seen
    holds = [
        what for what, pattern in _INSIDE.items() if any(pattern.search(value) for value, _ in column.counts)
    ]
    if "free_text" in said or holds or (mean_words >= 4 and repeats < 5):
        why = f"some of it holds {' and '.join(holds)}" if holds else "people may be in it"
        return found("free_text", f"free text: {why}")
    if repeats < 5:
        return UNRECOGNISED
    if "goods" in said:
        why = f"text of about {_about(distinct)} different values that repeat: taken as names of goods"
        return Finding("category", "protected", "none", why)
    if "code" in said:
        return found("code")
    if "category" in said and distinct <= 200:
        return Finding("category", "interoperable", "none")
    if distinct <= 200 and repeats >= 20:
        why = f"about {_about(distinct)} different values that repeat; what they say is not known"
        return found("category", why)
    return UNRECOGNISED


def _doubt(column: SampledColumn, kind: str, part: float) -> str:
    if not column.seen:
        return "by its name only: no value was seen"
    return f"by its name; {_percent(part)} of the sampled values look like {_words_for(kind)}"


def _about(count: float) -> str:
    """An estimate with one digit that counts: statistics vary from run to run, the catalogue should not."""
    return f"{float(f'{count:.0e}'):,.0f}"


def _percent(part: float) -> str:
    return f"{part * 100:.0f} %"


def _words_for(kind: str) -> str:
    plain = {
        "goods": "goods",
        "ip_address": "IP addresses",
        "iban": "IBANs",
        "national_id": "national numbers",
    }
    irregular = {
        "country": "countries",
        "city": "cities",
        "category": "categories",
        "email": "e-mail addresses",
    }
    known = {**plain, **irregular, "address": "addresses", "free_text": "free text", "url": "web addresses"}
    return known.get(kind) or kind.replace("_", " ") + "s"
