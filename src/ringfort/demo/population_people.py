"""The people of the demo population: one row each, plausible, unique where the world is, dirty where data is.

E-mail addresses stand under the reserved names of RFC 2606 (`example.org`, `.example`), so that none can
belong to anybody. They are unique without regard to case. What is dirty: missing values, local spellings of
countries (`EIRE`), odd capitals and spaces, decomposed accents, placeholder birth dates, plus tags.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ringfort.demo import population_names, population_numbers
from ringfort.demo.population_countries import COMMUNITIES, COUNTRIES, Community
from ringfort.demo.population_places import STREETS, TOWN_SPELLINGS, TOWNS
from ringfort.demo.population_schema import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringfort.demo.population_names import Pool
    from ringfort.demo.population_numbers import Ints

_MIGRANTS = 0.06  # share of people whose name comes from another country's locale
_EPOCH = date(1970, 1, 1).toordinal()
_PLACEHOLDER = date(1900, 1, 1).toordinal() - _EPOCH
_DAY = 86_400_000_000  # in microseconds
_WORDS = (
    *("sunny", "wolf", "kiwi", "nightowl", "drummer", "luna", "pixel", "foxy", "captain", "mango", "storm"),
    *("tiger", "bluebird", "noodle", "vespa", "gecko", "lemon", "comet", "panda", "biker", "falcon", "rosie"),
)
_DOMAINS = (
    "example.com",
    "example.org",
    "example.net",
    "mailbox.example",
    "inbox.example",
    "freemail.example",
)
_WEIGHTS = np.array([community.weight for community in COMMUNITIES])
_GENDERS = ("f", "m", "x", "", "F", "M")
_GENDER_SHARES = (0.46, 0.447, 0.013, 0.06, 0.01, 0.01)


@dataclass
class People:
    """Columns of the people table (days and microseconds since 1970), and what other tables need of them."""

    community: Ints  # index into COMMUNITIES
    created_at: Ints  # microseconds since 1970, ascending
    columns: dict[str, list[str | None]]
    born: list[int | None] = field(default_factory=list)
    given: list[str] = field(default_factory=list)  # by which friends call them


_TEXTS = ("name", "email", "phone", "gender", "address", "city", "postcode", "country", "ip", "iban")


def draw_people(
    joined: Ints,
    seed: int,
    rng: np.random.Generator,
    done: Callable[[int], None],
) -> People:
    """People who joined at the given ascending moments; `done` is told how many are drawn so far."""
    count = len(joined)
    community = rng.choice(len(COMMUNITIES), size=count, p=_WEIGHTS / _WEIGHTS.sum())
    people = People(
        community, joined, {name: [None] * count for name in _TEXTS}, [None] * count, [""] * count
    )
    drawn = 0
    # Whole countries at a time: numbers are unique within a country.
    for code, country in COUNTRIES.items():
        rows = np.flatnonzero(np.isin(community, [i for i, c in enumerate(COMMUNITIES) if c.country == code]))
        if not len(rows):
            continue
        listed = rows.tolist()
        _set(people, "phone", listed, population_numbers.phones(country, len(rows), rng))
        _set(people, "iban", listed, population_numbers.ibans(country, len(rows), rng))
        homes = population_numbers.ip_addresses(country, len(rows), rng)
        shared = (rng.random(len(rows)) < 0.12).tolist()  # a household behind one address
        for i in range(1, len(homes)):
            if shared[i]:
                homes[i] = homes[i - 1]
        _set(people, "ip", listed, homes)
        _set(people, "country", listed, [code] * len(rows))
    taken: set[str] = set()
    for index, place in enumerate(COMMUNITIES):
        rows = np.flatnonzero(community == index)
        if len(rows):
            _draw_community(people, place, rows, seed=seed, rng=rng, taken=taken)
            drawn += len(rows)
            done(drawn)
    _dirty(people, rng)
    return people


def _draw_community(
    people: People,
    place: Community,
    rows: Ints,
    *,
    seed: int,
    rng: np.random.Generator,
    taken: set[str],
) -> None:
    count, listed = len(rows), rows.tolist()
    ages = 16 + 62 * rng.beta(1.5, 2.8, count)
    born = (people.created_at[rows] // _DAY - ages * 365.25).astype(np.int64).tolist()
    genders = rng.choice(len(_GENDERS), size=count, p=_GENDER_SHARES).tolist()
    coin = rng.random((count, 2)).tolist()
    picks = rng.integers(0, 1 << 30, (count, 4)).tolist()
    own, names = population_names.draw_pool(place.locale, seed), []
    origins = rng.choice(len(COMMUNITIES), size=count, p=_WEIGHTS / _WEIGHTS.sum()).tolist()
    for gender, chance, pick, origin in zip(genders, coin, picks, origins, strict=True):
        code = _GENDERS[gender].lower()
        key = code if code in {"f", "m"} else "fm"[pick[3] & 1]
        if chance[0] < _MIGRANTS:
            names.append(_migrant(COMMUNITIES[origin], place, key, seed, pick))
        else:
            names.append(_named(own, place, key, chance[1], pick))
    mails = _emails([latin for _, _, latin in names], born, place.country, rng, taken)
    _set(people, "name", listed, [written for written, _, _ in names])
    _set(people, "email", listed, mails)
    _set(people, "gender", listed, [_GENDERS[gender] or None for gender in genders])
    for row, day, (_, given, _) in zip(listed, born, names, strict=True):
        people.born[row] = day
        people.given[row] = given
    _draw_homes(people, place, listed, STREETS.get(place.name) or own.streets, rng)


def _named(
    pool: Pool, place: Community, gender: str, chance: float, pick: list[int]
) -> tuple[str, str, tuple[str, str]]:
    """Full name, given name, and the Latin given and family name ("" if they are not known)."""
    given, latin_given = pool.given[gender][pick[0] % len(pool.given[gender])]
    families = pool.family[gender]
    family, latin_family = families[pick[1] % len(families)]
    if chance < place.two_families:
        written = f"{given} {family} {families[pick[2] % len(families)][0]}"
    elif place.family_first:
        written = f"{family} {given}"
    else:
        written = f"{given} {family}"
    return written, given, (latin_given, latin_family)


def _migrant(
    origin: Community, place: Community, gender: str, seed: int, pick: list[int]
) -> tuple[str, str, tuple[str, str]]:
    """A name from elsewhere, in Latin letters."""
    if origin.language == "hi":  # there is no romanisation here for Devanagari
        origin = place
    pool = population_names.draw_pool(origin.locale, seed)
    given = pool.given[gender][pick[0] % len(pool.given[gender])]
    family = pool.family[gender][pick[1] % len(pool.family[gender])]
    latin = (given[1], family[1])
    return f"{given[1] or given[0]} {family[1] or family[0]}", given[1] or given[0], latin


def _emails(
    names: list[tuple[str, str]], born: list[int], country: str, rng: np.random.Generator, taken: set[str]
) -> list[str]:
    """One address for each person, none in `taken`, which grows by them."""
    domains = (*_DOMAINS, f"post.{country.lower()}.example", f"web.{country.lower()}.example")
    shares = (0.28, 0.12, 0.08, 0.12, 0.1, 0.08, 0.14, 0.08)
    chosen = rng.choice(len(domains), size=len(names), p=shares).tolist()
    styles = rng.integers(0, 100, len(names)).tolist()
    numbers = rng.integers(1, 10_000, len(names)).tolist()
    mails = []
    for (given, family), day, domain, style, number in zip(names, born, chosen, styles, numbers, strict=True):
        first, last = population_names.mail_part(given), population_names.mail_part(family)
        if style % 5:
            last = last.replace("'", "")
        year = 1970 + int(day / 365.2425)
        local = _local_part(first, last, year, style, number)
        mail, more = f"{local}@{domains[domain]}", number
        while mail in taken:
            mail = f"{local}{more}@{domains[domain]}"
            more += 1
        taken.add(mail)
        mails.append(mail)
    return mails


def _local_part(first: str, last: str, year: int, style: int, number: int) -> str:
    if not first or not last or style < 9:
        return f"{_WORDS[number % len(_WORDS)]}{number}"
    if style < 42:
        return f"{first}.{last}"
    if style < 54:
        return f"{first}{last}"
    if style < 63:
        return f"{first[0]}.{last}"
    if style < 70:
        return f"{first}_{last}"
    if style < 76:
        return f"{last}.{first}"
    if style < 90:
        return f"{first}.{last}{year % 100:02d}"
    return f"{first}{year}"


def _draw_homes(
    people: People, place: Community, rows: list[int], streets: Sequence[str], rng: np.random.Generator
) -> None:
    towns = TOWNS[place.name]
    weights = 1 / np.arange(1, len(towns) + 1) ** 0.9
    of_town = rng.choice(len(towns), size=len(rows), p=weights / weights.sum())
    picks = rng.integers(0, len(streets), len(rows)).tolist()
    numbers = (1 + rng.exponential(38, len(rows))).astype(np.int64).tolist()
    flats = rng.integers(1, 90, len(rows)).tolist()
    for row, pick, number, flat in zip(rows, picks, numbers, flats, strict=True):
        door = _door(place.country, number, flat)
        people.columns["address"][row] = place.address.format(street=streets[pick], number=door)
    for index, (town, template) in enumerate(towns):
        here = np.flatnonzero(of_town == index).tolist()
        codes = population_numbers.fill(template, len(here), rng)
        for i, code in zip(here, codes, strict=True):
            people.columns["city"][rows[i]] = town
            people.columns["postcode"][rows[i]] = code


def _door(country: str, number: int, flat: int) -> str:
    if country == "JP":
        return f"{number % 9 + 1}-{flat % 30 + 1}-{number % 20 + 1}"
    if country in {"PL", "AT", "CZ", "SK"} and flat < 45:
        return f"{number}/{flat % 40 + 1}"
    if country in {"DE", "DK", "NL", "NO"} and flat < 15:
        return f"{number}{'abcd'[flat % 4]}"
    if country == "UA":
        return f"буд. {number}" if flat < 30 else f"буд. {number}, кв. {flat}"
    return str(number)


def _set(people: People, column: str, rows: list[int], values: Sequence[str | None]) -> None:
    target = people.columns[column]
    for row, value in zip(rows, values, strict=True):
        target[row] = value


def _dirty(people: People, rng: np.random.Generator) -> None:
    """Make the columns as dirty as real ones, in place."""
    count, columns = len(people.created_at), people.columns
    for column, share in (
        *(("name", 0.002), ("email", 0.012), ("phone", 0.07), ("address", 0.03), ("city", 0.01)),
        *(("postcode", 0.025), ("country", 0.006), ("ip", 0.02), ("iban", 0.45)),
    ):
        for row in _some(rng, count, share):
            columns[column][row] = None
    for row in _some(rng, count, 0.03):
        people.born[row] = None
    for row in _some(rng, count, 0.006):
        people.born[row] = _PLACEHOLDER
    _change(columns["name"], _some(rng, count, 0.012), str.upper)
    _change(columns["name"], _some(rng, count, 0.012), str.lower)
    _change(columns["name"], _some(rng, count, 0.006), lambda name: f"{name.replace(' ', '  ', 1)} ")
    _change(columns["name"], _some(rng, count, 0.004), lambda name: unicodedata.normalize("NFD", name))
    _change(columns["email"], _some(rng, count, 0.015), lambda mail: mail[:1].upper() + mail[1:])
    _change(columns["email"], _some(rng, count, 0.006), str.upper)
    _change(columns["email"], _some(rng, count, 0.02), lambda mail: mail.replace("@", "+video@", 1))
    _change(columns["city"], _some(rng, count, 0.015), str.upper)
    _change(columns["city"], _some(rng, count, 0.05), lambda town: TOWN_SPELLINGS.get(town, town))
    _change(columns["postcode"], _some(rng, count, 0.015), str.lower)
    rows = _some(rng, count, 0.03)
    for row, pick in zip(rows, rng.integers(0, 60, len(rows)).tolist(), strict=True):
        code = columns["country"][row]
        if code is not None:
            spellings = COUNTRIES[code].spellings
            other = (*spellings[:1] * 2, *spellings, code.lower(), f"{code} ")
            columns["country"][row] = other[pick % len(other)]


def _some(rng: np.random.Generator, count: int, share: float) -> list[int]:
    return [int(row) for row in np.flatnonzero(rng.random(count) < share)]


def _change(column: list[str | None], rows: list[int], change: Callable[[str], str]) -> None:
    for row in rows:
        value = column[row]
        if value is not None:
            column[row] = change(value)


def to_table(people: People) -> pa.Table:
    """The people table; ids count from 1 in the order in which people joined."""
    text = people.columns
    return pa.Table.from_arrays(
        [
            pa.array(np.arange(1, len(people.created_at) + 1, dtype=np.int64)),
            pa.array(text["name"], pa.string()),
            pa.array(text["email"], pa.string()),
            pa.array(text["phone"], pa.string()),
            pa.array(people.born, pa.int32()).cast(pa.date32()),
            *(pa.array(text[name], pa.string()) for name in _TEXTS[3:]),
            pa.array(people.created_at).cast(pa.timestamp("us", tz="UTC")),
        ],
        schema=SCHEMAS["people"],
    )
