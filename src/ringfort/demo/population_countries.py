"""The countries of the demo population: how numbers look there, and which communities live there.

A template is text in which `#` stands for a digit, `@` for a capital letter, `*` for a letter or digit of an
Irish Eircode; `population_numbers.fill` fills it. Phone templates are national significant numbers of mobile
phones, grouped as people there write them; within a country no two templates can give the same number.
BBAN templates follow the SWIFT IBAN registry; an empty one means that the country has no IBAN.

A community is a part of a country's people that shares a locale: names, streets and towns go together, so
that nobody lives in the `rue de la Station` in Antwerp. Weights are inhabitants in millions, tripled
for Ireland and scaled down outside the European Economic Area: the demo's organisation is an Irish one.
"""

from __future__ import annotations

from dataclasses import dataclass

EEA = frozenset(
    {
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE"),
        *("IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK"),
    }
)


@dataclass(frozen=True)
class Country:
    """How numbers look in a country: `registry` is the regional internet registry of its addresses."""

    code: str  # ISO 3166-1 alpha-2
    currency: str  # ISO 4217
    dial: str  # country calling code, without `+`
    trunk: str  # prefix when dialled inside the country, "" if there is none
    phones: tuple[str, ...]
    bban: str
    registry: str = "ripe"
    spellings: tuple[str, ...] = ()  # what else people wrote into the country column


@dataclass(frozen=True)
class Community:
    """Part of a country with one locale. `address` has the fields `street` and `number`."""

    name: str  # key of its towns and streets in `population_places`
    country: str
    weight: float
    locale: str
    address: str = "{street} {number}"
    family_first: bool = False
    two_families: float = 0.0  # share of people with two family names
    language: str = "en"  # of messages


_COUNTRIES = (
    Country("AT", "EUR", "43", "0", ("660 #######", "664 #######", "676 #######", "699 ########"), "#" * 16,
            spellings=("Österreich", "Austria")),
    Country("BE", "EUR", "32", "0", ("47# ## ## ##", "48# ## ## ##", "49# ## ## ##"), "001" + "#" * 7,
            spellings=("Belgium", "België", "Belgique")),
    Country("BG", "EUR", "359", "0", ("87# ### ###", "88# ### ###", "89# ### ###"), "BNBG9661" + "#" * 10,
            spellings=("България", "Bulgaria")),
    Country("CH", "CHF", "41", "0", ("76 ### ## ##", "78 ### ## ##", "79 ### ## ##"), "00762" + "#" * 12,
            spellings=("Switzerland", "Schweiz", "Suisse")),
    Country("CY", "EUR", "357", "", ("96 ######", "97 ######", "99 ######"), "00200128" + "#" * 16,
            spellings=("Cyprus", "Κύπρος")),
    Country("CZ", "CZK", "420", "", ("602 ### ###", "603 ### ###", "72# ### ###", "73# ### ###"),
            "0800" + "#" * 16, spellings=("Česko", "Czech Republic", "Czechia")),
    Country("DE", "EUR", "49", "0", ("151 1#######", "160 9#######", "170 #######", "172 #######",
                                     "176 2#######", "179 #######"), "#" * 18,
            spellings=("Germany", "Deutschland", "germany", "DEU")),
    Country("DK", "DKK", "45", "", ("20 ## ## ##", "22 ## ## ##", "28 ## ## ##", "26 ## ## ##",
                                    "51 ## ## ##"), "#" * 14, spellings=("Denmark", "Danmark")),
    Country("EE", "EUR", "372", "", ("53## ####", "55## ####", "56## ####"), "22" + "#" * 14,
            spellings=("Eesti",)),
    Country("ES", "EUR", "34", "", ("60# ### ###", "61# ### ###", "62# ### ###", "65# ### ###",
                                   "67# ### ###"), "2100" + "#" * 16,
            spellings=("Spain", "España", "ESPAÑA")),
    Country("FI", "EUR", "358", "0", ("40 ### ####", "44 ### ####", "50 ### ####"), "#" * 14,
            spellings=("Suomi", "Finland")),
    Country("FR", "EUR", "33", "0", ("6 1# ## ## ##", "6 2# ## ## ##", "6 6# ## ## ##", "6 8# ## ## ##",
                                     "7 6# ## ## ##"), "30006" + "#" * 18,
            spellings=("France", "FRANCE", "FRA")),
    Country("GB", "GBP", "44", "0", ("7400 ######", "7521 ######", "7702 ######", "7812 ######",
                                     "7912 ######"), "NWBK60" + "#" * 12,
            spellings=("UK", "United Kingdom", "England")),
    Country("GR", "EUR", "30", "", ("693 ### ####", "694 ### ####", "697 ### ####", "698 ### ####"),
            "0110" + "#" * 19, spellings=("Ελλάδα", "Greece", "EL")),
    Country("HR", "EUR", "385", "0", ("91 ### ####", "95 ### ####", "98 ### ###"), "1001005" + "#" * 10,
            spellings=("Hrvatska", "Croatia")),
    Country("HU", "HUF", "36", "06", ("20 ### ####", "30 ### ####", "70 ### ####"), "#" * 24,
            spellings=("Magyarország", "Hungary")),
    Country("IE", "EUR", "353", "0", ("83 ### ####", "85 ### ####", "86 ### ####", "87 ### ####"),
            "AIBK93" + "#" * 12, spellings=("EIRE", "Ireland", "Éire", "IRL")),
    Country("IS", "ISK", "354", "", ("69# ####", "77# ####", "84# ####", "89# ####"),
            "#" * 22, spellings=("Ísland",)),
    Country("IT", "EUR", "39", "", ("320 ### ####", "328 ### ####", "333 ### ####", "338 ### ####",
                                    "347 ### ####", "349 ### ####"), "X" + "#" * 22,
            spellings=("Italy", "Italia", "ITALIA")),
    Country("LI", "CHF", "423", "", ("78# ## ##", "79# ## ##"), "08810" + "#" * 12,
            spellings=("Liechtenstein",)),
    Country("LT", "EUR", "370", "0", ("61# #####", "65# #####", "68# #####"), "10000" + "#" * 11,
            spellings=("Lietuva", "Lithuania")),
    Country("LU", "EUR", "352", "", ("621 ### ###", "661 ### ###", "691 ### ###"), "001" + "#" * 13,
            spellings=("Luxembourg", "Lëtzebuerg")),
    Country("LV", "EUR", "371", "", ("20 ### ###", "26 ### ###", "29 ### ###"), "BANK0000" + "#" * 9,
            spellings=("Latvija", "Latvia")),
    Country("MT", "EUR", "356", "", ("79## ####", "99## ####"), "MALT01100" + "#" * 18,
            spellings=("Malta",)),
    Country("NL", "EUR", "31", "0", ("6 1### ####", "6 2### ####", "6 4### ####", "6 5### ####"),
            "ABNA" + "#" * 10, spellings=("Netherlands", "Nederland", "Holland")),
    Country("NO", "NOK", "47", "", ("40 ## ## ##", "41 ## ## ##", "92 ## ## ##", "95 ## ## ##"),
            "8601" + "#" * 6, spellings=("Norge", "Norway")),
    Country("PL", "PLN", "48", "", ("501 ### ###", "512 ### ###", "601 ### ###", "605 ### ###", "691 ### ###",
                                    "782 ### ###"), "#" * 24, spellings=("Poland", "Polska", "POLSKA")),
    Country("PT", "EUR", "351", "", ("91# ### ###", "92# ### ###", "96# ### ###"), "0002" + "#" * 17,
            spellings=("Portugal", "portugal")),
    Country("RO", "RON", "40", "0", ("721 ### ###", "722 ### ###", "740 ### ###", "745 ### ###",
                                     "766 ### ###"), "AAAA1B31" + "#" * 12, spellings=("Romania", "România")),
    Country("SE", "SEK", "46", "0", ("70 ### ## ##", "72 ### ## ##", "73 ### ## ##", "76 ### ## ##"),
            "#" * 20, spellings=("Sweden", "Sverige")),
    Country("SI", "EUR", "386", "0", ("31 ### ###", "40 ### ###", "41 ### ###", "51 ### ###"),
            "26330" + "#" * 10, spellings=("Slovenija",)),
    Country("SK", "EUR", "421", "0", ("905 ### ###", "907 ### ###", "910 ### ###", "915 ### ###"),
            "1200" + "#" * 16, spellings=("Slovensko", "Slovakia")),
    Country("BR", "BRL", "55", "0", ("11 98### ####", "21 97### ####", "31 99### ####", "61 98### ####"),
            "", "lacnic", ("Brasil", "Brazil")),
    Country("CA", "CAD", "1", "", ("416 2## ####", "514 2## ####", "604 2## ####", "613 2## ####"),
            "", "arin", ("Canada",)),
    Country("IN", "INR", "91", "0", ("9810# #####", "9820# #####", "9840# #####", "9910# #####"),
            "", "apnic", ("India", "INDIA", "भारत")),
    Country("JP", "JPY", "81", "0", ("70 1### ####", "80 1### ####", "90 1### ####", "90 3### ####"),
            "", "apnic", ("Japan", "日本")),
    Country("TR", "TRY", "90", "0", ("530 ### ## ##", "532 ### ## ##", "542 ### ## ##", "555 ### ## ##"),
            "00061" + "0" + "#" * 16, spellings=("Türkiye", "Turkey")),
    Country("UA", "UAH", "380", "0", ("50 ### ## ##", "63 ### ## ##", "67 ### ## ##", "97 ### ## ##"),
            "322313" + "#" * 19, spellings=("Україна", "Ukraine")),
    Country("US", "USD", "1", "", ("212 2## ####", "312 2## ####", "415 2## ####", "617 2## ####",
                                   "713 2## ####"), "", "arin", ("USA", "United States", "U.S.A.")),
)  # fmt: skip
COUNTRIES = {country.code: country for country in _COUNTRIES}

COMMUNITIES = (
    Community("AT", "AT", 9.1, "de_AT", language="de"),
    Community("BE-nl", "BE", 6.8, "nl_BE", language="nl"),
    Community("BE-fr", "BE", 4.9, "fr_BE", "{street} {number}", language="fr"),
    Community("BG", "BG", 6.4, "bg_BG", "{street} №{number}", language="bg"),
    Community("CY", "CY", 0.9, "el_GR", language="el"),
    Community("CZ", "CZ", 10.8, "cs_CZ", language="cs"),
    Community("DE", "DE", 83.5, "de_DE", language="de"),
    Community("DK", "DK", 6.0, "da_DK", language="sv"),
    Community("EE", "EE", 1.4, "et_EE"),
    Community("ES", "ES", 48.6, "es_ES", "{street}, {number}", two_families=0.9, language="es"),
    Community("FI", "FI", 5.6, "fi_FI"),
    Community("FR", "FR", 68.4, "fr_FR", "{number}, {street}", language="fr"),
    Community("GR", "GR", 10.4, "el_GR", language="el"),
    Community("HR", "HR", 3.9, "hr_HR"),
    Community("HU", "HU", 9.6, "hu_HU", "{street} {number}.", family_first=True, language="hu"),
    Community("IE", "IE", 14.1, "en_IE", "{number} {street}"),
    Community("IE-ga", "IE", 1.8, "ga_IE", "{number} {street}", language="ga"),
    Community("IS", "IS", 0.4, "is_IS"),
    Community("IT", "IT", 59.0, "it_IT", "{street} {number}", language="it"),
    Community("LI", "LI", 0.04, "de_LI", language="de"),
    Community("LT", "LT", 2.9, "lt_LT", "{street} {number}"),
    Community("LU", "LU", 0.7, "de_LU", "{number}, {street}", language="fr"),
    Community("LV", "LV", 1.9, "lv_LV"),
    Community("MT", "MT", 0.6, "mt_MT", "{number}, {street}"),
    Community("NL", "NL", 17.9, "nl_NL", language="nl"),
    Community("NO", "NO", 5.6, "no_NO", language="sv"),
    Community("PL", "PL", 36.6, "pl_PL", "ul. {street} {number}", language="pl"),
    Community("PT", "PT", 10.6, "pt_PT", "{street}, {number}", two_families=0.6, language="pt"),
    Community("RO", "RO", 19.1, "ro_RO", "{street} nr. {number}", language="ro"),
    Community("SE", "SE", 10.6, "sv_SE", language="sv"),
    Community("SI", "SI", 2.1, "sl_SI"),
    Community("SK", "SK", 5.4, "sk_SK", language="cs"),
    Community("BR", "BR", 8.0, "pt_BR", "{street}, {number}", two_families=0.4, language="pt"),
    Community("CA", "CA", 3.0, "en_CA", "{number} {street}"),
    Community("CA-fr", "CA", 1.0, "fr_CA", "{number} {street}", language="fr"),
    Community("CH-de", "CH", 4.5, "de_CH", language="de"),
    Community("CH-fr", "CH", 1.6, "fr_CH", language="fr"),
    Community("GB", "GB", 22.0, "en_GB", "{number} {street}"),
    Community("IN", "IN", 6.0, "en_IN", "{number}, {street}"),
    Community("IN-hi", "IN", 2.0, "hi_IN", "{number}, {street}", language="hi"),
    Community("JP", "JP", 6.0, "ja_JP", "{street}{number}", family_first=True, language="ja"),
    Community("TR", "TR", 5.0, "tr_TR", "{street} No:{number}", language="tr"),
    Community("UA", "UA", 6.0, "uk_UA", "{street}, {number}", language="uk"),
    Community("US", "US", 16.0, "en_US", "{number} {street}"),
)
