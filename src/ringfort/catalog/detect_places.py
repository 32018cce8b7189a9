"""Value tests: countries with local spellings and codes, cities, postcodes, addresses, coordinates. Total."""

from __future__ import annotations

import re

from ringfort.catalog.words import countries, country_codes, fold, no_countries, word_list

# Postcodes whose shape says so; those of digits alone need the column's name.
_POSTCODE = re.compile(
    r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"  # GB
    r"|[A-Z]\d[\dW] ?[A-Z\d]{4}"  # IE
    r"|\d{4} ?[A-Z]{2}"  # NL
    r"|\d{2}-\d{3}"  # PL
    r"|\d{4}-\d{3}"  # PT
    r"|\d{3} \d{2}"  # SE, CZ, SK, GR
    r"|(L|LV|LT|MT|SI|MD|AD)-?\d{3,5}"
    r"|[A-Z]\d[A-Z] ?\d[A-Z]\d"  # CA
    r"|[A-Z]{3} ?\d{2,4}",  # MT
    re.IGNORECASE,
)
_POSTCODE_BY_NAME = re.compile(r"(?=.*\d)[A-Z\d][A-Z\d \-]{2,9}", re.IGNORECASE)
_STREET = re.compile(
    r"\b(street|st|road|rd|avenue|ave|lane|ln|drive|dr|court|ct|square|sq|place|pl|terrace|close|crescent|way|blvd|"
    r"boulevard|rue|chemin|allee|all[ée]e|impasse|quai|via|viale|piazza|corso|vicolo|calle|avenida|avda|plaza|paseo|"
    r"carrer|rua|travessa|largo|ul|ulica|aleja|plac|namesti|utca|ter|krt|strada|bulevardul|gatan|vagen|gade|vej|"
    r"gata|vei|katu|tie|iela|gatve|tanav|sokak|cadde|laan|plein|weg|platz|gasse|damm|ufer)\b|"
    r"\w{2,}(strasse|straße|str\.|weg|platz|gasse|allee|damm|ring|straat|laan|plein|gracht|gatan|vägen|gade|vej|"
    r"gata|veien|katu|tie|utca|ulica)\b",
    re.IGNORECASE,
)
_COORDINATE = re.compile(r"-?\d{1,3}\.\d{3,}")


def is_country(text: str) -> bool:
    """Whether `text` names a country, in one of many languages, by an old name or its three-letter code."""
    return fold(text) in countries()


def is_country_code(text: str) -> bool:
    """Whether `text` is a two-letter country code."""
    return len(text.strip()) == 2 and fold(text) in country_codes()


def is_no_country(text: str) -> bool:
    """Whether `text` stands where no country is known, or for several: `Unspecified`, `Europe`."""
    return fold(text) in no_countries() or not fold(text)


def is_city(text: str) -> bool:
    """Whether `text` is one of some 170 large cities."""
    return fold(text) in word_list("value_words.txt", "cities")


def is_postcode(text: str) -> bool:
    """Whether `text` has the shape of a postcode with letters, a space or a hyphen in it."""
    return _POSTCODE.fullmatch(text.strip()) is not None


def is_postcode_by_name(text: str) -> bool:
    """Whether `text` could be a postcode where a name says so."""
    return _POSTCODE_BY_NAME.fullmatch(text.strip()) is not None


def is_address(text: str) -> bool:
    """Whether `text` has a word for a street and a number."""
    return any(each.isdigit() for each in text) and len(text) <= 200 and _STREET.search(text) is not None


def is_coordinate(text: str) -> bool:
    """Whether `text` is a number of degrees with three decimals or more."""
    value = text.strip()
    return _COORDINATE.fullmatch(value) is not None and abs(float(value)) <= 180
