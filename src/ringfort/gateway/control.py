"""The control log as a worker follows it: who is registered, what is in force, and which sessions that ends.

Every entry is folded as it is told (`ControlState`); an entry that does not fold is as bad as a lost
ledger. A change of policy, catalogue, zones, gateway, of a session's principal, or of any other state that
its decision stood on, ends the session: what an open session sees is never widened, and never kept past its
ground.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.ledger.entry import decode
from ringfort.ledger.entry_control import GatewayStopped, PrincipalRemoved
from ringfort.ledger.folds import ControlState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ringfort.ledger.entry import Entry

_TEXTS = {
    "policy": "the policy has changed",
    "catalogue": "the data catalogue has changed",
    "zones": "the network zones have changed",
    "gateway": "the gateway was started anew",
    "principal": "your registration has changed",
    "domain": "the pseudonymisation domain has changed",
    "site": "the site has changed",
    "session": "an operator has ended it",
    "grant": "a grant that it stands on has ended",
}
_ALWAYS = ("policy", "catalogue", "zones", "gateway")


class ControlFollower:
    """Folds the control log; `on_change(key, index, text)` hears of each change of state, in order."""

    def __init__(self, on_change: Callable[[str, int, str], None]) -> None:
        self.state = ControlState()
        self._on_change = on_change

    def take(self, index: int, data: bytes) -> None:
        """The next entry of the control log; raises EntryError or FoldError if it does not follow."""
        entry = decode(data)
        self.state.apply(entry)
        newest = []
        for key in reversed(self.state.changed):  # those of one entry stand last
            if self.state.changed[key] != index:
                break
            newest.append(key)
        for key in reversed(newest):
            self._on_change(key, index, _text(key, entry))

    def changed_since(self, keys: Iterable[str], since: int) -> bool:
        """Whether any of `keys` changed at an index of `since` or later."""
        changed = self.state.changed
        return any(changed.get(key, -1) >= since for key in keys)


def _text(key: str, entry: Entry) -> str:
    if isinstance(entry, PrincipalRemoved):
        return "your registration has ended"
    if isinstance(entry, GatewayStopped):
        return "the gateway is stopping"
    return _TEXTS.get(key.partition(":")[0], "what the session stands on has changed")


def ground(principal: str, condition_keys: Iterable[str]) -> frozenset[str]:
    """The state keys whose change ends a session."""
    return frozenset((*_ALWAYS, f"principal:{principal}", *condition_keys))


__all__ = ["ControlFollower", "ground"]
