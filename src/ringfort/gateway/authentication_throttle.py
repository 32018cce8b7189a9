"""How often a password may be guessed: per principal and per address, in bounded memory. No I/O.

An attempt counts from its first word: as many may be in flight at once as guesses are left before a delay,
for the principal and for the address, over all workers; who comes beyond that is `Busy` and comes again when
one of them has ended. So a bundle of exchanges that were opened together gets no more guesses than as many
that come one by one, and a pool of connections with the right password waits for a moment.

After some failures each further one doubles a delay, up to a longest; while it lasts nothing is tried, and
then one attempt at a time. A failure is forgotten every `longest_delay_seconds`, so whoever goes on guessing
gets one guess in that time for each principal and each address, however he spaces or bundles them.

- A success forgets the principal's failures, not the address's: an account of one's own buys no guesses.
- From an address from which a principal came in before, only that address's failures count: guessing from
  elsewhere keeps nobody out who is where he always is.
- A client that goes away before its proof has guessed nothing (psql does so, to ask for a password).
- Names that are not registered are treated like those that are.
- An IPv6 client is its /64: it has all of it.

Names and addresses are kept as digests of 16 bytes. When the memory is full, who failed longest ago is
forgotten.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.config import AuthenticationConfig

MOST_ENTRIES = 65_536
MOST_PLACES = 65_536
MOST_ATTEMPTS = 8_192
LAPSE_SECONDS = 120.0
_Key = tuple[str, bytes]


@dataclass
class _Record:
    """What is known of a principal or an address."""

    failures: float = 0.0
    since: float = 0.0
    blocked_until: float = 0.0
    told: bool = False


@dataclass(frozen=True)
class Attempt:
    """One attempt that was let through."""

    principal: bytes
    place: bytes
    keys: tuple[_Key, ...]
    lapses: float


@dataclass(frozen=True)
class Refusal:
    """An attempt that was not; `first`: the first one since the last failure, worth a record."""

    first: bool


@dataclass(frozen=True)
class Busy:
    """An attempt that has to wait: as many are in flight as there may be guesses. Come again in a moment."""


class Throttle:
    """Failures of one gateway. `clock` gives seconds."""

    def __init__(
        self, settings: AuthenticationConfig, clock: Callable[[], float], most: int = MOST_ENTRIES
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._most = most
        self._records: OrderedDict[_Key, _Record] = OrderedDict()
        self._places: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()
        self._in_flight: dict[_Key, int] = {}
        self._attempts: OrderedDict[int, Attempt] = OrderedDict()
        self._next = 0

    def begin(self, name: str | None, address: str) -> int | Refusal | Busy:
        """The number of an attempt that may go on, to be told `end`; or why it may not.

        Without a name (nothing is guessed, but it fails) the address alone is counted.
        """
        now = self._clock()
        self._lapse(now)
        principal, place = _digest(name or ""), _digest(network_of(address))
        keys: tuple[_Key, ...] = (("address", place),)
        if name is not None and (principal, place) not in self._places:
            keys = (("principal", principal), *keys)
        refused = [record for key in keys if (record := self._records.get(key)) and self._blocks(key, now)]
        if refused:
            first = not any(record.told for record in refused)
            for record in refused:
                record.told = True
            return Refusal(first)
        if any(self._in_flight.get(key, 0) >= self._allowance(key) for key in keys):
            return Busy()
        self._next += 1
        self._attempts[self._next] = Attempt(principal, place, keys, now + LAPSE_SECONDS)
        for key in keys:
            self._in_flight[key] = self._in_flight.get(key, 0) + 1
        while len(self._attempts) > MOST_ATTEMPTS:
            self._forget(next(iter(self._attempts)))
        return self._next

    def end(self, number: int, outcome: str) -> None:
        """The attempt has `failed`, `succeeded`, or was `abandoned`."""
        attempt = self._forget(number)
        if attempt is None:
            return
        now = self._clock()
        if outcome == "failed":
            for key in attempt.keys:
                self._failed(key, now)
        elif outcome == "succeeded":
            self._records.pop(("principal", attempt.principal), None)
            self._places[attempt.principal, attempt.place] = None
            self._places.move_to_end((attempt.principal, attempt.place))
            while len(self._places) > MOST_PLACES:
                self._places.popitem(last=False)

    def open(self, number: int) -> bool:
        """Whether the attempt is in flight still: it has not ended, nor been given up."""
        self._lapse(self._clock())
        return number in self._attempts

    def _allowance(self, key: _Key) -> int:
        """How many attempts may be in flight: the guesses that are left before a delay, and always one."""
        record = self._records.get(key)
        return max(1, self._free(key) - math.ceil(0.0 if record is None else record.failures))

    def _free(self, key: _Key) -> int:
        settings = self._settings
        principal = key[0] == "principal"
        return settings.failures_before_delay if principal else settings.address_failures_before_delay

    def _blocks(self, key: _Key, now: float) -> bool:
        record = self._records[key]
        self._decay(record, now)
        if now < record.blocked_until:
            return True
        return math.ceil(record.failures) >= self._free(key) and key in self._in_flight

    def _decay(self, record: _Record, now: float) -> None:
        record.failures = max(
            0.0, record.failures - (now - record.since) / self._settings.longest_delay_seconds
        )
        record.since = now

    def _failed(self, key: _Key, now: float) -> None:
        record = self._records.setdefault(key, _Record(since=now))
        self._records.move_to_end(key)
        self._decay(record, now)
        record.failures += 1
        record.told = False
        over = math.ceil(record.failures) - self._free(key)
        if over >= 0:
            settings = self._settings
            delay = settings.longest_delay_seconds
            if over < 32:  # beyond that the power is larger than any longest delay
                delay = min(delay, settings.delay_seconds * 2**over)
            record.blocked_until = now + delay
        while len(self._records) > self._most:
            self._records.popitem(last=False)

    def _lapse(self, now: float) -> None:
        """Attempts of a worker that died are never told of."""
        while self._attempts:
            number, attempt = next(iter(self._attempts.items()))
            if attempt.lapses > now:
                return
            self._forget(number)

    def _forget(self, number: int) -> Attempt | None:
        attempt = self._attempts.pop(number, None)
        for key in attempt.keys if attempt is not None else ():
            left = self._in_flight.pop(key, 0) - 1
            if left > 0:
                self._in_flight[key] = left
        return attempt


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def network_of(address: str) -> str:
    """What counts as one place: an IPv4 address, the /64 of an IPv6 address, the text of anything else."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


__all__ = ["MOST_ATTEMPTS", "Busy", "Refusal", "Throttle", "network_of"]
