"""Pseudonymisation domains and what was undone in them: folded from their entries alone.

Laws, whoever writes the entries:

- a domain has at most one epoch in force; epochs count up, and the number or id of one never comes again;
- what is erased stays erased, and nothing is resolved or bridged in it;
- an epoch has one derivation for good; one that is not known is refused, and so is one below that of any
  epoch that began before, of whatever domain: nobody goes back to how keys were derived earlier;
- pseudonyms are resolved or bridged on a grant of that kind, in force for that principal at that moment;
- what each principal asked for in each domain is remembered for 90 days, so that a limit can be counted over
  any window of up to that; a restart forgets none of it. Times only go forward: what was asked counts from
  its own time or that of the act before it, whichever is later.

Whether the limit was kept is not judged here: it stands in the policy bundle that the entry's input names.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ringfort.derivations import DERIVATIONS
from ringfort.ledger.entry_control_acts import DomainRotatedDeriving
from ringfort.ledger.entry_control_domains import DomainOpenedDeriving
from ringfort.ledger.errors import FoldError
from ringfort.ledger.grants import ACTIVE, moment

if TYPE_CHECKING:
    from datetime import datetime

    from ringfort.ledger import entry_control_acts as acts
    from ringfort.ledger import entry_control_domains as entries
    from ringfort.ledger.folds import ControlState

IN_FORCE, RETIRED, ERASED = "in force", "retired", "erased"
REMEMBERED = timedelta(days=90)
_LABEL = b"ringfort-domain-key/1"


@dataclass(frozen=True)
class Epoch:
    """One epoch of a domain: its id in the ledger, its key's id, when it began, and what became of it."""

    number: int
    id: str
    key_id: str
    opened: str
    status: str = IN_FORCE
    ended: str = ""
    """When it was erased, or else retired."""
    derivation: int = DERIVATIONS[0]
    """How its keys derive from its secret."""


@dataclass(frozen=True)
class PseudonymisationDomain:
    """A recipient and a purpose, with every epoch that there was, oldest first."""

    recipient: str
    purpose: str
    epochs: tuple[Epoch, ...]

    @property
    def in_force(self) -> Epoch | None:
        """The epoch that pseudonyms are made in."""
        return next((each for each in self.epochs if each.status == IN_FORCE), None)

    def epoch(self, number: int) -> Epoch | None:
        """The epoch of this number."""
        return next((each for each in self.epochs if each.number == number), None)


@dataclass(frozen=True)
class Asked:
    """When a principal had pseudonyms resolved or bridged, and how many."""

    time: datetime
    count: int


def names(recipient: str, purpose: str) -> tuple[str, str]:
    """Recipient and purpose as domains are kept under: in NFC, as their ids are made of them."""
    return unicodedata.normalize("NFC", recipient), unicodedata.normalize("NFC", purpose)


def domain_key(recipient: str, purpose: str) -> str:
    """The state key of a domain, for conditions: every entry about its epochs changes it."""
    first, second = (each.encode("utf-8", "surrogatepass") for each in names(recipient, purpose))
    text = _LABEL + len(first).to_bytes(4, "big") + first + second
    return f"domain:{hashlib.sha256(text).hexdigest()[:32]}"


def asked_key(principal: str, recipient: str, purpose: str) -> str:
    """The state key of what a principal asked for in a domain."""
    return f"asked:{principal}/{domain_key(recipient, purpose).partition(':')[2]}"


def domain_of(state: ControlState, recipient: str, purpose: str) -> PseudonymisationDomain | None:
    """What is known of a domain."""
    return state.pseudonymisation.get(names(recipient, purpose))


def asked_since(state: ControlState, principal: str, recipient: str, purpose: str, since: datetime) -> int:
    """How many pseudonyms a principal had resolved or bridged in a domain after `since`."""
    known = state.asked.get(asked_key(principal, recipient, purpose), ())
    return sum(each.count for each in known if each.time > since)


# -- steps of the fold -------------------------------------------------------------------------------------


def opened(state: ControlState, entry: entries.DomainOpened) -> str:
    """`DomainOpened`."""
    known = domain_of(state, entry.recipient, entry.purpose)
    if known is not None and known.in_force is not None:
        raise FoldError("`DomainOpened` names a domain that has an epoch in force")
    return _begin(state, entry, known)


def rotated(state: ControlState, entry: entries.DomainRotated | acts.DomainRotatedBy) -> str:
    """`DomainRotated`."""
    known = domain_of(state, entry.recipient, entry.purpose)
    before = None if known is None else known.in_force
    if known is None or before is None:
        raise FoldError("`DomainRotated` names a domain that has no epoch in force")
    retired = replace(before, status=RETIRED, ended=entry.time)
    epochs = tuple(retired if each is before else each for each in known.epochs)
    return _begin(state, entry, replace(known, epochs=epochs))


def erased(state: ControlState, entry: entries.DomainErased | acts.DomainErasedBy) -> str:
    """`DomainErased`."""
    known, epoch = _usable(state, entry, entry.epoch, entry.domain)
    gone = replace(epoch, status=ERASED, ended=entry.time)
    _keep(state, replace(known, epochs=tuple(gone if each is epoch else each for each in known.epochs)))
    state.domains.pop(epoch.id, None)
    return domain_key(entry.recipient, entry.purpose)


def resolved(state: ControlState, entry: entries.PseudonymsResolved) -> str:
    """`PseudonymsResolved`."""
    _usable(state, entry, entry.epoch, entry.domain)
    return _asked(state, entry, "resolve")


def bridged(state: ControlState, entry: entries.PseudonymsBridged) -> str:
    """`PseudonymsBridged`."""
    _usable(state, entry, entry.epoch, entry.domain)
    _usable(state, entry, entry.to_epoch, entry.to_domain)
    if entry.epoch == entry.to_epoch:
        raise FoldError("`PseudonymsBridged` goes from an epoch to itself")
    return _asked(state, entry, "bridge")


def _begin(
    state: ControlState,
    entry: entries.DomainOpened | entries.DomainRotated | acts.DomainRotatedBy,
    known: PseudonymisationDomain | None,
) -> str:
    recipient, purpose = names(entry.recipient, entry.purpose)
    known = known or PseudonymisationDomain(recipient, purpose, ())
    # a domain of before epochs had secrets of their own begins at 2: its first epoch is in `state.domains`
    due = {known.epochs[-1].number + 1} if known.epochs else {1, 2}
    if entry.epoch not in due:
        raise FoldError(f"`{entry.TYPE}` names an epoch that is not the next one")
    ids = {epoch.id for each in state.pseudonymisation.values() for epoch in each.epochs}
    if entry.domain in ids or entry.domain in state.domains:
        raise FoldError(f"`{entry.TYPE}` names an id that an epoch has already")
    derivation = _derivation(state, entry)
    begun = Epoch(entry.epoch, entry.domain, entry.key_id, entry.time, derivation=derivation)
    _keep(state, replace(known, epochs=(*known.epochs, begun)))
    state.domains[entry.domain] = entry.key_id
    return domain_key(recipient, purpose)


def _derivation(
    state: ControlState, entry: entries.DomainOpened | entries.DomainRotated | acts.DomainRotatedBy
) -> int:
    """The derivation that an entry states; those of before any did so have the first."""
    if not isinstance(entry, (DomainOpenedDeriving, DomainRotatedDeriving)):
        derivation = DERIVATIONS[0]
    elif entry.derivation in DERIVATIONS[1:]:
        derivation = entry.derivation
    else:
        raise FoldError(f"`{entry.TYPE}` names a derivation that is not known")
    if any(e.derivation > derivation for known in state.pseudonymisation.values() for e in known.epochs):
        raise FoldError(f"`{entry.TYPE}` goes back to a derivation from before")
    return derivation


def _keep(state: ControlState, domain: PseudonymisationDomain) -> None:
    state.pseudonymisation[domain.recipient, domain.purpose] = domain


def _usable(
    state: ControlState,
    entry: entries.DomainErased
    | acts.DomainErasedBy
    | entries.PseudonymsResolved
    | entries.PseudonymsBridged,
    number: int,
    identity: str,
) -> tuple[PseudonymisationDomain, Epoch]:
    known = domain_of(state, entry.recipient, entry.purpose)
    epoch = None if known is None else known.epoch(number)
    if known is None or epoch is None or epoch.id != identity:
        raise FoldError(f"`{entry.TYPE}` names an epoch that there is not")
    if epoch.status == ERASED:
        raise FoldError(f"`{entry.TYPE}` names an epoch that is erased")
    return known, epoch


def _asked(
    state: ControlState, entry: entries.PseudonymsResolved | entries.PseudonymsBridged, kind: str
) -> str:
    now = moment(entry.time)
    grant = state.grants.get(entry.grant)
    if grant is None or (grant.kind, grant.principal) != (kind, entry.principal):
        raise FoldError(f"`{entry.TYPE}` names no grant of the kind `{kind}` for that principal")
    if grant.by_time(now) != ACTIVE:
        raise FoldError(f"`{entry.TYPE}` names a grant that is not in force")
    if not entry.asked or entry.found > entry.asked:
        raise FoldError(f"`{entry.TYPE}` has counts that cannot be")
    key = asked_key(entry.principal, entry.recipient, entry.purpose)
    before = state.asked.get(key, ())
    counted = Asked(max(now, before[-1].time) if before else now, entry.asked)
    state.asked[key] = _remembered((*before, counted))
    return key


def _remembered(asked: tuple[Asked, ...]) -> tuple[Asked, ...]:
    """What is kept, oldest first. The second newest says what is too old: one wrong clock does not."""
    horizon = asked[max(len(asked) - 2, 0)].time - REMEMBERED
    return tuple(each for each in asked if each.time > horizon)


__all__ = [
    "ERASED",
    "IN_FORCE",
    "RETIRED",
    "Asked",
    "Epoch",
    "PseudonymisationDomain",
    "asked_key",
    "asked_since",
    "domain_key",
    "domain_of",
    "names",
]
