"""Numbers of people: filled templates, phone numbers, IBANs and IP addresses.

Everything is drawn from the generator that is passed in. Phone numbers and home addresses are unique by
construction (sampling without replacement), not by retrying. The numbers are well formed for their country
but assigned at random: bank codes are samples and which network a country holds is invented, only the
regional registry is right. IBANs have valid check digits (ISO 13616, and the national ones of Belgium, Spain
and Norway).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ringfort.demo.population_countries import COUNTRIES

if TYPE_CHECKING:
    from ringfort.demo.population_countries import Country

Ints = NDArray[np.int64]

_ALPHABETS = {
    "#": "0123456789",
    "@": "ABEGHJLNPRSTWXYZ",  # letters that Canadian, British and Dutch postcodes all use
    "*": "0123456789ACDEFHKNPRTVWXY",  # Eircode unique identifiers
}
_PHONE_STYLES = (0.55, 0.2, 0.19, 0.06)  # E.164, spaced international, national, 00 instead of +

_REGISTRIES = {  # IPv4 /8 blocks, and an IPv6 prefix, of each regional internet registry
    "ripe": (
        (*(2, 5, 31, 37, 46, 62), *range(77, 96), 109, 176, 178, 185, 188, 193, 194, 195, 212, 213, 217),
        "2a02",
    ),
    "arin": ((23, 24, 50, *range(63, 77), 96, 97, 98, 99, 107, 108), "2600"),
    "apnic": ((14, 27, 36, 39, 42, 49, 58, 59, 60, 61, 101, 103, 106, *range(110, 126)), "2400"),
    "lacnic": ((177, 179, 181, 186, 187, 189, 190, 191, 200, 201), "2804"),
}
_BLOCKS_PER_COUNTRY = 3  # of /12
_V6_SHARE = 0.15


def fill(template: str, count: int, rng: np.random.Generator) -> list[str]:
    """`count` random fillings of `template`; repetitions are possible."""
    cells = np.tile(np.array(list(template), dtype="U1"), (count, 1))
    for position, mark in enumerate(template):
        alphabet = _ALPHABETS.get(mark)
        if alphabet is not None:
            cells[:, position] = np.array(list(alphabet))[rng.integers(0, len(alphabet), count)]
    return [str(text) for text in cells.view(f"U{len(template)}").ravel()]


def fill_unique(template: str, count: int, rng: np.random.Generator) -> list[str]:
    """`count` different fillings of `template`, whose only marks are `#`; at most as many as there are."""
    digits = template.count("#")
    chosen = rng.choice(10**digits, size=min(count, 10**digits), replace=False)
    cells = np.tile(np.array(list(template), dtype="U1"), (len(chosen), 1))
    power = 10**digits
    for position, mark in enumerate(template):
        if mark == "#":
            power //= 10
            cells[:, position] = np.array(list("0123456789"))[chosen // power % 10]
    return [str(text) for text in cells.view(f"U{len(template)}").ravel()]


def phones(country: Country, count: int, rng: np.random.Generator) -> list[str | None]:
    """`count` different mobile numbers, written in the several ways in which people enter them.

    None where the country's numbers are used up.
    """
    of_template = rng.integers(0, len(country.phones), count)
    numbers: list[str | None] = [None] * count
    for index, template in enumerate(country.phones):
        rows = np.flatnonzero(of_template == index)
        for row, number in zip(rows.tolist(), fill_unique(template, len(rows), rng), strict=False):
            numbers[row] = number
    styles = rng.choice(len(_PHONE_STYLES), size=count, p=_PHONE_STYLES).tolist()
    return [
        None if number is None else _written(country, number, style)
        for number, style in zip(numbers, styles, strict=True)
    ]


def _written(country: Country, number: str, style: int) -> str:
    if style == 0:
        return f"+{country.dial}{number.replace(' ', '')}"
    if style == 1:
        return f"+{country.dial} {number}"
    if style == 2 and country.dial == "1":
        area, rest = number.split(" ", 1)
        return f"({area}) {rest.replace(' ', '-')}"
    if style == 2:
        return f"{country.trunk}{number}"
    return f"00{country.dial} {number}"


def ibans(country: Country, count: int, rng: np.random.Generator) -> list[str | None]:
    """`count` IBANs without spaces; None for a country without IBAN."""
    if not country.bban:
        return [None] * count
    return [_iban(country.code, bban) for bban in fill(country.bban, count, rng)]


def _iban(code: str, bban: str) -> str:
    if code == "BE":
        bban += f"{int(bban) % 97 or 97:02d}"
    elif code == "ES":  # bank, branch and account are given; the two check digits stand between them
        bank, account = bban[:8], bban[10:]
        bban = f"{bank}{_spanish_digit('00' + bank)}{_spanish_digit(account)}{account}"
    elif code == "NO":
        total = sum(
            int(digit) * weight for digit, weight in zip(bban, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True)
        )
        check = -total % 11
        if check == 10:  # such numbers are not issued: lowering a digit of weight 2 adds 2 to the check digit
            last = int(bban[-1])
            bban = f"{bban[:-1]}{last - 1 if last else 1}"
            check = 1 if last else 8
        bban += str(check)
    rest = "".join(str(int(mark, 36)) for mark in f"{bban}{code}00")
    return f"{code}{98 - int(rest) % 97:02d}{bban}"


def _spanish_digit(ten: str) -> str:
    total = sum(int(digit) * 2**position for position, digit in enumerate(ten))
    check = 11 - total % 11
    return str({10: 1, 11: 0}.get(check, check))


def _blocks() -> dict[str, list[tuple[int, int]]]:
    """For each country the first octet and the upper half of the second of its /12 networks; all disjoint."""
    taken = dict.fromkeys(_REGISTRIES, 0)
    blocks: dict[str, list[tuple[int, int]]] = {}
    for code, country in COUNTRIES.items():
        firsts, _ = _REGISTRIES[country.registry]
        start = taken[country.registry]
        taken[country.registry] += _BLOCKS_PER_COUNTRY
        blocks[code] = [
            (firsts[index % len(firsts)], index // len(firsts) * 16)
            for index in range(start, start + _BLOCKS_PER_COUNTRY)
        ]
    return blocks


_BLOCKS_OF = _blocks()
_ORDER = {code: index for index, code in enumerate(COUNTRIES)}


def ip_addresses(country: Country, count: int, rng: np.random.Generator) -> list[str]:
    """`count` different public addresses of the country's networks, mostly IPv4, in canonical text."""
    blocks = _BLOCKS_OF[country.code]
    hosts = 1 << 20
    chosen = rng.choice(len(blocks) * hosts, size=count, replace=count > len(blocks) * hosts).tolist()
    is_v6 = (rng.random(count) < _V6_SHARE).tolist()
    # No group is zero, so that the text is already in the canonical form of RFC 5952.
    groups = rng.integers(1, 1 << 16, (count, 4)).tolist()
    _, prefix = _REGISTRIES[country.registry]
    addresses = []
    for number, v6, group in zip(chosen, is_v6, groups, strict=True):
        block, host = divmod(number, hosts)
        if v6:
            site = f"{0x1000 + _ORDER[country.code]:x}:{block + 1:x}{host >> 16:x}:{(host & 0xFFFF) or 1:x}"
            addresses.append(f"{prefix}:{site}:{group[0]:x}:{group[1]:x}:{group[2]:x}:{group[3]:x}")
        else:
            first, second = blocks[block]
            addresses.append(f"{first}.{second + (host >> 16)}.{host >> 8 & 255}.{host & 255}")
    return addresses
