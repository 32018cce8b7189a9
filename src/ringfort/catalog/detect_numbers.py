"""Value tests: IBAN, payment cards, national numbers (python-stdnum). Total: dirty text is none."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from stdnum import iban, luhn

if TYPE_CHECKING:
    from collections.abc import Callable

_CARD = re.compile(r"[2-6]\d{3}([ -]?\d{4}){2}([ -]?\d{1,7})|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}")
_IBAN = re.compile(r"[A-Za-z]{2}\d{2}[A-Za-z0-9 ]{11,36}")
_ASCII = re.compile(r"[A-Za-z0-9 ./+\-]{5,25}")

# module of python-stdnum -> who issues it; all have check digits, else ten digits of anything would do
NATIONAL_NUMBERS = {
    "stdnum.ie.pps": "IE",
    "stdnum.de.idnr": "DE",
    "stdnum.fr.nir": "FR",
    "stdnum.es.dni": "ES",
    "stdnum.es.nie": "ES",
    "stdnum.it.codicefiscale": "IT",
    "stdnum.nl.bsn": "NL",
    "stdnum.be.nn": "BE",
    "stdnum.at.vnr": "AT",
    "stdnum.dk.cpr": "DK",
    "stdnum.se.personnummer": "SE",
    "stdnum.fi.hetu": "FI",
    "stdnum.no.fodselsnummer": "NO",
    "stdnum.is_.kennitala": "IS",
    "stdnum.pl.pesel": "PL",
    "stdnum.cz.rc": "CZ",
    "stdnum.ro.cnp": "RO",
    "stdnum.bg.egn": "BG",
    "stdnum.gr.amka": "GR",
    "stdnum.hr.oib": "HR",
    "stdnum.si.emso": "SI",
    "stdnum.ee.ik": "EE",
    "stdnum.lt.asmens": "LT",
    "stdnum.lv.pvn": "LV",
    "stdnum.pt.cc": "PT",
    "stdnum.ch.ssn": "CH",
    "stdnum.gb.nhs": "GB",
    "stdnum.us.ssn": "US",
    "stdnum.br.cpf": "BR",
    "stdnum.cn.ric": "CN",
}


def is_iban(text: str) -> bool:
    """Whether `text` is an IBAN with right check digits."""
    return _IBAN.fullmatch(text.strip()) is not None and _holds(iban.is_valid, text)


def is_card(text: str) -> bool:
    """Whether `text` is a payment card number: 13 to 19 digits of a known scheme, right by Luhn."""
    value = text.strip()
    return _CARD.fullmatch(value) is not None and _holds(luhn.is_valid, re.sub(r"[ -]", "", value))


def national_number(country: str) -> Callable[[str], bool]:
    """The test for the national numbers of `country`."""
    tests = _tests()[country]
    return lambda text: _ASCII.fullmatch(text) is not None and any(_holds(test, text) for test in tests)


def national_countries() -> tuple[str, ...]:
    """The countries whose national numbers are known."""
    return tuple(_tests())


@lru_cache
def _tests() -> dict[str, list[Callable[[str], bool]]]:
    tests: dict[str, list[Callable[[str], bool]]] = {}
    for module, country in NATIONAL_NUMBERS.items():
        tests.setdefault(country, []).append(import_module(module).is_valid)
    return tests


def _holds(test: Callable[[str], bool], text: str) -> bool:
    try:
        return bool(test(text))
    except Exception:  # noqa: BLE001 - a library that stumbles over dirty text has not recognised it
        return False
