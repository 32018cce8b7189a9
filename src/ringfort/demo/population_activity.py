"""What the people of the demo population did: videos, views, messages, payments.

Activity is as uneven as it is in life: few people upload, few videos get most of the views (Zipf), few people
watch or write most (Pareto). Nothing happens before its actors joined or its video existed, and every table
is in the order of time, so that its ids are, too. Views come from home, from shared mobile networks of the
person's country, or from abroad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ringfort.demo import population_numbers, population_text
from ringfort.demo.population_countries import COMMUNITIES, COUNTRIES
from ringfort.demo.population_places import TOWNS
from ringfort.demo.population_schema import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ringfort.demo.population_numbers import Ints
    from ringfort.demo.population_people import People

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
# Share of a day's activity by hour (UTC, so about an hour behind most of the people).
_HOURS = (2, 1, 1, 1, 1, 2, 4, 6, 6, 5, 5, 6, 7, 6, 5, 6, 8, 11, 14, 16, 16, 13, 8, 4)
_UPLOADERS = 0.12
_PAYERS = 0.35
_PRICES = (4.99, 9.99, 9.99, 9.99, 14.99, 49.99)
_RATES = {
    "EUR": 1.0,
    "CHF": 1.0,
    "GBP": 0.9,
    "USD": 1.1,
    "CAD": 1.5,
    "CZK": 25.0,
    "DKK": 7.5,
    "HUF": 390.0,
    "ISK": 145.0,
    "NOK": 11.5,
    "PLN": 4.3,
    "RON": 5.0,
    "SEK": 11.0,
    "BRL": 6.0,
    "INR": 95.0,
    "JPY": 165.0,
    "TRY": 47.0,
    "UAH": 48.0,
}
_WITHOUT_CENTS = {"HUF", "ISK", "JPY"}


def moments(floor: Ints, until: int, skew: float, rng: np.random.Generator) -> Ints:
    """Moments (microseconds) between `floor` and `until`, moved to plausible hours of their day.

    `skew` above 1 draws them towards `floor`, below 1 towards `until`.
    """
    share = rng.random(len(floor)) ** skew
    drawn = floor + ((until - floor) * share).astype(np.int64)
    hours = np.array(_HOURS, dtype=np.float64)
    hour = rng.choice(24, size=len(floor), p=hours / hours.sum())
    within = rng.integers(0, 3_600_000, len(floor)) * 1000
    moved = drawn // _DAY * _DAY + hour * (3600 * _SECOND) + within
    moved = np.where((moved < floor) | (moved >= until), drawn, moved)
    return moved.astype(np.int64)


def draw_videos(people: People, count: int, until: int, rng: np.random.Generator) -> pa.Table:
    """`count` videos of a few uploaders."""
    uploaders = rng.permutation(len(people.created_at))[: max(1, int(len(people.created_at) * _UPLOADERS))]
    owner = uploaders[_zipf(len(uploaders), count, 0.8, rng)]
    created = moments(people.created_at[owner], until, 0.9, rng)
    order = np.argsort(created, kind="stable")
    owner, created = owner[order], created[order]
    names = list(population_text.CATEGORIES)
    category = _zipf(len(names), count, 0.7, rng).tolist()
    towns = [town for place in COMMUNITIES for town, _ in TOWNS[place.name]]
    picks = rng.integers(0, 1 << 20, (count, 3)).tolist()
    numbers = (2 + rng.exponential(6, count)).astype(np.int64).tolist()
    titles = []
    for kind, pick, number in zip(category, picks, numbers, strict=True):
        topics = population_text.CATEGORIES[names[kind]]
        title = population_text.TITLES[pick[0] % len(population_text.TITLES)].format(
            topic=topics[pick[1] % len(topics)], town=towns[pick[2] % len(towns)], number=number
        )
        titles.append(title[:1].upper() + title[1:])
    labels = [None if pick[0] % 83 == 0 else names[kind] for kind, pick in zip(category, picks, strict=True)]
    seconds = np.clip(rng.lognormal(5.6, 0.9, count), 8, 4 * 3600).astype(np.int32)
    return _table(
        "videos",
        [
            _ids(count),
            pa.array(owner + 1),
            pa.array(titles),
            pa.array(labels),
            _times(created),
            pa.array(seconds),
        ],
    )


def draw_views(
    people: People, videos: pa.Table, count: int, until: int, rng: np.random.Generator
) -> pa.Table:
    """`count` views; `videos` as `draw_videos` made them."""
    of_video = rng.permutation(videos.num_rows)[_zipf(videos.num_rows, count, 1.0, rng)]
    viewer = _pareto(len(people.created_at), count, rng)
    born = videos["created_at"].cast(pa.int64()).to_numpy()
    watched = moments(np.maximum(people.created_at[viewer], born[of_video]), until, 1.6, rng)
    order = np.argsort(watched, kind="stable")
    of_video, viewer, watched = of_video[order], viewer[order], watched[order]
    length = videos["seconds"].to_numpy()[of_video]
    share = np.where(rng.random(count) < 0.22, 1.0, rng.beta(0.7, 1.3, count))
    watch = np.maximum(1, (length * share).astype(np.int32))
    return _table(
        "views",
        [
            _ids(count),
            pa.array(viewer + 1),
            pa.array(of_video + 1),
            _times(watched),
            pa.array(watch.astype(np.int32)),
            _view_addresses(people, viewer, rng),
        ],
    )


def draw_messages(people: People, count: int, until: int, rng: np.random.Generator) -> pa.Table:
    """`count` messages between different people, in the sender's language if the recipient shares it."""
    total = len(people.created_at)
    sender = _pareto(total, count, rng)
    by_community = np.argsort(people.community, kind="stable")
    position = np.empty_like(by_community)
    position[by_community] = np.arange(total)
    friend = by_community[(position[sender] + rng.integers(1, max(2, min(25, total)), count)) % total]
    recipient = np.where(rng.random(count) < 0.7, friend, _pareto(total, count, rng))
    recipient = np.where(recipient == sender, (sender + 1) % total, recipient)
    sent = moments(np.maximum(people.created_at[sender], people.created_at[recipient]), until, 0.9, rng)
    order = np.argsort(sent, kind="stable")
    sender, recipient, sent = sender[order], recipient[order], sent[order]
    bodies = _bodies(people, sender.tolist(), recipient.tolist(), rng)
    return _table(
        "messages",
        [
            _ids(count),
            pa.array(sender + 1),
            pa.array(recipient + 1),
            _times(sent),
            pa.array(bodies, pa.string()),
        ],
    )


def draw_payments(people: People, count: int, until: int, rng: np.random.Generator) -> pa.Table:
    """`count` payments by card or, where the person has an IBAN, sometimes by direct debit; some refunds."""
    total = len(people.created_at)
    payers = rng.permutation(total)[: max(1, int(total * _PAYERS))]
    payer = payers[_zipf(len(payers), count, 0.45, rng)]
    paid = moments(people.created_at[payer], until, 0.8, rng)
    order = np.argsort(paid, kind="stable")
    payer, paid = payer[order], paid[order]
    currencies = [COUNTRIES[place.country].currency for place in COMMUNITIES]
    community = people.community[payer]
    subscription = np.array(_PRICES)[rng.integers(0, len(_PRICES), count)]
    euros = np.where(rng.random(count) < 0.75, subscription, np.round(rng.lognormal(1.4, 0.9, count) + 1, 2))
    cents = np.round(euros * np.array([_RATES[currency] for currency in currencies])[community] * 100)
    whole = np.array([currency in _WITHOUT_CENTS for currency in currencies])[community]
    cents = np.where(whole, np.round(cents / 100) * 100, cents)
    cents = np.where(rng.random(count) < 0.025, -cents, cents).astype(np.int64)
    ibans = people.columns["iban"]
    debit = (rng.random(count) < 0.3).tolist()
    cards = rng.integers(0, 10_000, total).tolist()
    last4: list[str | None] = []
    accounts: list[str | None] = []
    for row, by_debit in zip(payer.tolist(), debit, strict=True):
        account = ibans[row] if by_debit else None
        accounts.append(account)
        last4.append(f"{cards[row]:04d}" if account is None else None)
    return _table(
        "payments",
        [
            _ids(count),
            pa.array(payer + 1),
            _times(paid),
            _decimals(cents),
            pa.DictionaryArray.from_arrays(pa.array(community), pa.array(currencies)).cast(pa.string()),
            pa.array(last4, pa.string()),
            pa.array(accounts, pa.string()),
        ],
    )


def _bodies(
    people: People, senders: list[int], recipients: list[int], rng: np.random.Generator
) -> list[str | None]:
    languages = [COMMUNITIES[index].language for index in people.community.tolist()]
    coin = rng.random((len(senders), 3)).tolist()
    picks = rng.integers(0, 1 << 20, (len(senders), 2)).tolist()
    bodies: list[str | None] = []
    for sender, recipient, chance, pick in zip(senders, recipients, coin, picks, strict=True):
        own = languages[sender]
        phrases = population_text.PHRASES[own if own == languages[recipient] or chance[0] < 0.2 else "en"]
        if chance[1] < 0.004:  # deleted by its writer
            bodies.append(None)
            continue
        body = phrases.plain[pick[0] % len(phrases.plain)]
        if pick[1] % 3 == 0:
            body = f"{body} {phrases.plain[pick[0] // 97 % len(phrases.plain)]}"
        contact = phrases.contact[pick[1] // 89 % len(phrases.contact)] if chance[2] < 0.12 else ""
        email, phone = people.columns["email"][sender], people.columns["phone"][sender]
        if ("{email}" in contact and email is None) or ("{phone}" in contact and phone is None):
            contact = ""
        if contact:
            body = contact if chance[2] < 0.05 else f"{body} {contact}"
        bodies.append(body.format(name=people.given[recipient], email=email, phone=phone))
    return bodies


def _view_addresses(people: People, viewer: Ints, rng: np.random.Generator) -> pa.Array:
    """Where each view came from: home, a mobile network of the country, or one of another country."""
    codes = list(COUNTRIES)
    of_place = np.array([codes.index(place.country) for place in COMMUNITIES])
    country = of_place[people.community]
    sizes = np.maximum(4, np.bincount(country, minlength=len(codes)) // 15)
    shared: list[str] = []
    for code, size in zip(codes, sizes.tolist(), strict=True):
        shared.extend(population_numbers.ip_addresses(COUNTRIES[code], size, rng))
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    count, homes = len(viewer), len(people.created_at)
    abroad = rng.random(count) < 0.04
    where = np.where(abroad, rng.integers(0, len(codes), count), country[viewer])
    mobile = starts[where] + (rng.random(count) * sizes[where]).astype(np.int64)
    index = np.where(abroad | (rng.random(count) < 0.25), homes + mobile, viewer)
    every: Sequence[str | None] = [*people.columns["ip"], *shared]
    return pa.array(every, pa.string()).take(pa.array(index))


def _zipf(size: int, count: int, exponent: float, rng: np.random.Generator) -> Ints:
    """`count` ranks from 0 below `size`, rank r as likely as (r + 3) to the power of minus `exponent`."""
    return _weighted(np.power(np.arange(size, dtype=np.float64) + 3, -exponent), count, rng)


def _pareto(size: int, count: int, rng: np.random.Generator) -> Ints:
    """`count` people out of `size`; the most active are up to 150 times as active as the least."""
    return _weighted(np.minimum(1 + rng.pareto(1.3, size), 150), count, rng)


def _weighted(weights: NDArray[np.float64], count: int, rng: np.random.Generator) -> Ints:
    bounds = np.cumsum(weights)
    drawn: Ints = np.searchsorted(bounds, rng.random(count) * bounds[-1], side="right").astype(np.int64)
    return np.minimum(drawn, len(weights) - 1)


def _ids(count: int) -> pa.Array:
    return pa.array(np.arange(1, count + 1, dtype=np.int64))


def _times(moment: Ints) -> pa.Array:
    return pa.array(moment).cast(pa.timestamp("us", tz="UTC"))


def _decimals(cents: Ints) -> pa.Array:
    """Exact decimal128(12, 2) of whole cents: 128-bit two's complement, little-endian."""
    words = np.empty((len(cents), 2), dtype="<i8")
    words[:, 0], words[:, 1] = cents, cents >> 63
    return pa.Array.from_buffers(pa.decimal128(12, 2), len(cents), [None, pa.py_buffer(words.tobytes())])


def _table(name: str, columns: list[pa.Array]) -> pa.Table:
    return pa.Table.from_arrays(columns, schema=SCHEMAS[name])
