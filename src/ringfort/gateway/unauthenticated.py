"""The connections of a worker that have not authenticated yet: a pool of their own, a share for each address.

They never take a session's place. An IPv4 address, and the /64 of an IPv6 address, may have so many of them;
a worker has so many in all. A newcomer beyond either takes the place of another: of its own address first,
else of the address that has most, and there of the one that has been silent for longest. Who came within the
last `PATIENCE_SECONDS` is spared by its own address: a burst of honest clients does not push itself out.
So who fills the pool pays for it, and somebody else always gets in. Pure: told the time, never asks for it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.gateway.authentication_throttle import network_of

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 1.0


@dataclass(eq=False)
class Stranger:
    """One connection that has not authenticated; `spoken`: its startup message was read."""

    place: str
    since: float
    cut: Callable[[], object]
    spoken: bool = False
    pushed_out: bool = False


class Unauthenticated:
    """All of them. `most` in all, `per_address` from one place."""

    def __init__(self, most: int, per_address: int) -> None:
        self._most = most
        self._per_address = per_address
        self._by_place: dict[str, OrderedDict[Stranger, None]] = {}
        self._count = 0
        self.turned_away = 0
        """Newcomers that found no place, and those that lost theirs to one."""

    def __len__(self) -> int:
        return self._count

    def enter(self, address: str, now: float, cut: Callable[[], object]) -> Stranger | None:
        """A place for a newcomer, or None; `cut` is called if it loses it to another."""
        place = network_of(address)
        own = self._by_place.get(place, OrderedDict())
        victim: Stranger | None = None
        if len(own) >= self._per_address:
            victim = _longest_silent(own, before=now - PATIENCE_SECONDS)
            if victim is None:
                self.turned_away += 1
                return None
        elif self._count >= self._most:
            heaviest = max(self._by_place.values(), key=len)
            before = now if len(heaviest) > len(own) + 1 else now - PATIENCE_SECONDS
            victim = _longest_silent(heaviest, before=before)
            if victim is None:
                self.turned_away += 1
                return None
        if victim is not None:
            self.turned_away += 1
            victim.pushed_out = True
            self.leave(victim)
            victim.cut()
        stranger = Stranger(place, now, cut)
        self._by_place.setdefault(place, OrderedDict())[stranger] = None
        self._count += 1
        return stranger

    def leave(self, stranger: Stranger) -> None:
        """It has authenticated, or is gone; twice is once."""
        own = self._by_place.get(stranger.place)
        if own is not None and stranger in own:
            del own[stranger]
            self._count -= 1
            if not own:
                del self._by_place[stranger.place]


def _longest_silent(own: OrderedDict[Stranger, None], *, before: float) -> Stranger | None:
    """Who came first of those who came until `before`, the silent ones first."""
    old = [each for each in own if each.since <= before]
    return next((each for each in old if not each.spoken), old[0] if old else None)


__all__ = ["PATIENCE_SECONDS", "Stranger", "Unauthenticated"]
