"""Numbers and names look as they do in their countries, and are as dirty as real ones."""

import ipaddress
import re
import unicodedata

import numpy as np
import pytest
from stdnum import iban

from ringfort.demo.population import generate
from ringfort.demo.population_countries import COMMUNITIES, COUNTRIES, EEA
from ringfort.demo.population_names import draw_pool, in_latin, mail_part
from ringfort.demo.population_numbers import fill, fill_unique, ibans, ip_addresses, phones
from ringfort.demo.population_places import STREETS, TOWN_SPELLINGS, TOWNS
from ringfort.demo.population_text import PHRASES

EMAIL = re.compile(r"[a-z0-9'._+-]+@(example\.(com|org|net)|([a-z]+\.)*[a-z]+\.example)", re.IGNORECASE)


@pytest.fixture(scope="module")
def people():
    return generate(8_000, 11)["people"].to_pylist()


@pytest.fixture(scope="module")
def activity():
    return generate(1_500, 11)


def known(people, column):
    return [person[column] for person in people if person[column] is not None]


def rng():
    return np.random.default_rng(5)


def test_emails_are_well_formed_unique_and_can_belong_to_nobody(people):
    emails = known(people, "email")
    assert all(EMAIL.fullmatch(each) for each in emails)
    assert len({each.lower() for each in emails}) == len(emails)


@pytest.mark.parametrize("code", COUNTRIES)
def test_phones_have_the_country_code_and_are_unique(code):
    country = COUNTRIES[code]
    written = phones(country, 300, rng())
    international = re.compile(rf"(\+|00){country.dial}[ \d]{{7,15}}")
    national = re.compile(
        rf"\({'[0-9]' * 3}\) [\d-]+" if country.dial == "1" else rf"{country.trunk}[ \d]{{7,14}}"
    )
    assert all(international.fullmatch(each) or national.fullmatch(each) for each in written)
    significant = {
        re.sub(rf"^(\+|00){country.dial}|^{country.trunk}(?!0)", "", re.sub(r"[^+\d]", "", each))
        for each in written
    }
    assert len(significant) == 300


def test_phone_templates_of_a_country_never_give_the_same_number():
    for country in COUNTRIES.values():
        plain = [template.replace(" ", "").replace("#", ".") for template in country.phones]
        for one in plain:
            others = [each for each in plain if each != one and len(each) == len(one)]
            assert not any(re.match(one.rstrip("."), each) for each in others)


def test_phones_run_out_without_repetition():
    written = phones(COUNTRIES["LI"], 210_000, rng())
    assert None in written
    assert len({re.sub(r"[^\d]", "", each)[-7:] for each in written if each}) == len(
        [e for e in written if e]
    )


@pytest.mark.parametrize("code", COUNTRIES)
def test_ibans_are_valid_by_international_and_national_rules(code):
    made = ibans(COUNTRIES[code], 200, rng())
    if COUNTRIES[code].bban:
        assert all(each.startswith(code) and iban.is_valid(each) for each in made)
    else:
        assert made == [None] * 200


def test_ip_addresses_are_canonical_public_and_apart_by_country():
    owners = {}
    for code, country in COUNTRIES.items():
        made = ip_addresses(country, 400, rng())
        assert len(set(made)) == 400
        for text in made:
            address = ipaddress.ip_address(text)
            assert str(address) == text
            assert address.is_global
            network = ipaddress.ip_network((address, 12 if address.version == 4 else 32), strict=False)
            assert owners.setdefault(network, code) == code
    assert {network.version for network in owners} == {4, 6}


def test_every_address_in_the_tables_is_one(people, activity):
    for text in [*known(people, "ip"), *activity["views"]["ip"].drop_null().to_pylist()]:
        ipaddress.ip_address(text)


def test_names_stand_in_the_scripts_of_their_countries(people):
    scripts = {"GR": "GREEK", "BG": "CYRILLIC", "UA": "CYRILLIC", "JP": "CJK", "DE": "LATIN", "PL": "LATIN"}
    for country, script in scripts.items():
        names = [each["name"] for each in people if each["country"] == country and each["name"]]
        matching = [name for name in names if unicodedata.name(name.strip()[0]).startswith(script)]
        assert len(names) > 10
        assert len(matching) > 0.8 * len(names)  # the others come from elsewhere
    assert any("ł" in each["name"] for each in people if each["country"] == "PL" and each["name"])


def test_most_people_live_in_the_european_economic_area(people):
    inside = sum(each["country"] in EEA for each in people)
    assert 0.75 * len(people) < inside < 0.92 * len(people)
    assert {community.country for community in COMMUNITIES} == set(COUNTRIES)
    assert set(COUNTRIES) >= EEA | {"US", "GB", "JP", "IN", "BR", "UA", "TR"}
    assert "GB" not in EEA


def test_the_data_is_as_dirty_as_real_data(people):
    countries = set(known(people, "country"))
    assert {"EIRE", "UK", "Germany", "DE "} <= countries
    assert any("+video@" in each for each in known(people, "email"))
    assert any("'" in each for each in known(people, "email"))
    assert any(each.isupper() for each in known(people, "email"))
    names = known(people, "name")
    assert any("'" in each for each in names)
    assert any(each.isupper() for each in names)
    assert any(each.islower() for each in names)
    assert any("  " in each for each in names)
    assert any(unicodedata.normalize("NFC", each) != each for each in names)
    assert any(each.year == 1900 for each in known(people, "born"))
    for column in (
        "name",
        "email",
        "phone",
        "born",
        "gender",
        "address",
        "city",
        "postcode",
        "country",
        "ip",
    ):
        missing = sum(person[column] is None for person in people)
        assert 0 < missing < 0.12 * len(people)


def test_messages_sometimes_hold_the_contact_data_of_their_sender(activity):
    people = {person["id"]: person for person in activity["people"].to_pylist()}
    messages = [each for each in activity["messages"].to_pylist() if each["body"]]
    holding = [
        each
        for each in messages
        if any(
            people[each["sender_id"]][column] and people[each["sender_id"]][column] in each["body"]
            for column in ("email", "phone")
        )
    ]
    assert 0.05 * len(messages) < len(holding) < 0.2 * len(messages)
    assert not any("{" in each["body"] for each in messages)


def test_payments_are_by_card_or_by_the_own_account(activity):
    accounts = dict(
        zip(activity["people"]["id"].to_pylist(), activity["people"]["iban"].to_pylist(), strict=True)
    )
    payments = activity["payments"].to_pylist()
    for each in payments:
        assert (each["card_last4"] is None) != (each["iban"] is None)
        assert each["iban"] is None or each["iban"] == accounts[each["person_id"]]
        assert each["card_last4"] is None or re.fullmatch(r"\d{4}", each["card_last4"])
        assert each["amount"] != 0
        assert each["amount"].as_tuple().exponent == -2
        if each["currency"] in {"JPY", "HUF", "ISK"}:
            assert each["amount"] == each["amount"].to_integral_value()
    assert any(each["amount"] < 0 for each in payments)


def test_every_community_has_towns_streets_and_phrases():
    names = {community.name for community in COMMUNITIES}
    assert set(TOWNS) == names
    assert set(STREETS) <= names
    for community in COMMUNITIES:
        assert STREETS.get(community.name) or draw_pool(community.locale, 1).streets
        assert community.language in PHRASES
    towns = {town for places in TOWNS.values() for town, _ in places}
    assert set(TOWN_SPELLINGS) <= towns


def test_templates():
    assert all(re.fullmatch(r"D02 [0-9A-Y]{4}", each) for each in fill("D02 ****", 50, rng()))
    assert sorted(fill_unique("1#", 10, rng())) == [f"1{digit}" for digit in range(10)]
    assert len(fill_unique("1#", 99, rng())) == 10
    assert fill("#", 0, rng()) == []


@pytest.mark.parametrize(
    ("text", "locale", "latin"),
    [
        ("Φιλομήλα Μαυραειδή", "el_GR", "Filomila Mavraeidi"),
        ("Θρασύβουλος Ντόκος", "el_GR", "Thrasyvoulos Ntokos"),
        ("Явор Щерев", "bg_BG", "Yavor Shterev"),
        ("Надія Григоренко", "uk_UA", "Nadiya Hryhorenko"),
        ("Łukasz O'Ruane", "pl_PL", "Łukasz O'Ruane"),
        ("हिमांशु", "hi_IN", ""),
    ],
)
def test_names_in_latin_letters(text, locale, latin):
    assert in_latin(text, locale) == latin


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Łukasz", "lukasz"),
        ("Jürgen-Großmann", "juergen-grossmann"),
        ("Ó Caobháin", "ocaobhain"),
        ("O’Brien", "o'brien"),
        ("Yıldız Çamurcuoğlu", "yildizcamurcuoglu"),
        ("Þórður", "thordur"),
        ("佐藤", ""),
    ],
)
def test_names_in_mail_addresses(name, part):
    assert mail_part(name) == part
