"""What cannot be undone, folded: each act stands on a grant of its kind that somebody else approved.

Laws, whoever writes the entries:

- an act names a grant of its own kind, in force for that principal at that moment, for that domain and epoch,
  or for evidence before that moment; nobody takes such a grant without asking;
- a canary is made once, and one that was removed never comes again.

What is said of grants in `grants` holds of these, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.ledger import domains, grants
from ringfort.ledger import entry_control_evidence as evidence
from ringfort.ledger.errors import FoldError

if TYPE_CHECKING:
    from ringfort.ledger import entry_control_acts as entries
    from ringfort.ledger.folds import ControlState

MADE, REMOVED = "made", "removed"


def requested(state: ControlState, entry: entries.ActRequested) -> str:
    """`ActRequested`."""
    about_a_domain = entry.kind in {"erase", "rotate"}
    known = domains.domain_of(state, entry.recipient, entry.purpose)
    if about_a_domain and (known is None or (entry.epoch and known.epoch(entry.epoch) is None)):
        raise FoldError("`ActRequested` names a domain or an epoch that there is not")
    if not about_a_domain and (entry.recipient or entry.purpose or entry.epoch):
        raise FoldError("`ActRequested` names a domain for an act that is not about one")
    if entry.kind == "drop-evidence":
        raise FoldError("`ActRequested` does not say which evidence it is about")
    return grants.asked_for(state, entry, (), entry.recipient, entry.epoch)


def drop_requested(state: ControlState, entry: entries.DropRequested) -> str:
    """`ActRequested`, version 2."""
    if entry.kind != "drop-evidence" or entry.recipient or entry.purpose or entry.epoch:
        raise FoldError("`ActRequested` names evidence for an act that is not about it alone")
    return grants.asked_for(state, entry, ())


def rotated(state: ControlState, entry: entries.DomainRotatedBy) -> str:
    """`DomainRotated`, versions 2 and 3."""
    _leave(state, entry, "rotate", entry.recipient, entry.purpose)
    return domains.rotated(state, entry)


def erased(state: ControlState, entry: entries.DomainErasedBy) -> str:
    """`DomainErased`, version 2."""
    _leave(state, entry, "erase", entry.recipient, entry.purpose, entry.epoch)
    return domains.erased(state, entry)


def rewrapped(state: ControlState, entry: entries.KeysRewrapped) -> str:
    """`KeysRewrapped`."""
    _leave(state, entry, "rewrap")
    return "keys"


def canary_made(state: ControlState, entry: entries.CanaryMade) -> str:
    """`CanaryMade`."""
    _leave(state, entry, "canary")
    if entry.canary in state.canaries:
        raise FoldError("`CanaryMade` names a canary that there was already")
    state.canaries[entry.canary] = MADE
    return f"canary:{entry.canary}"


def canary_removed(state: ControlState, entry: entries.CanaryRemoved) -> str:
    """`CanaryRemoved`; those of before they were recorded are not known."""
    _leave(state, entry, "canary")
    if state.canaries.get(entry.canary) == REMOVED:
        raise FoldError("`CanaryRemoved` names a canary that is removed already")
    state.canaries[entry.canary] = REMOVED
    return f"canary:{entry.canary}"


def evidence_dropped(state: ControlState, entry: entries.EvidenceDroppedBy) -> str:
    """`EvidenceDropped`, version 2."""
    _leave(state, entry, "drop-evidence", before=entry.before)
    return evidence.dropped(state, entry)


def _leave(  # noqa: PLR0917 - what an act is about
    state: ControlState,
    entry: entries.DomainRotatedBy
    | entries.DomainErasedBy
    | entries.KeysRewrapped
    | entries.CanaryMade
    | entries.CanaryRemoved
    | entries.EvidenceDroppedBy,
    kind: str,
    recipient: str = "",
    purpose: str = "",
    epoch: int = 0,
    before: str = "",
) -> None:
    grant = state.grants.get(entry.grant)
    if grant is None or (grant.kind, grant.principal) != (kind, entry.principal):
        raise FoldError(f"`{entry.TYPE}` names no grant of the kind `{kind}` for that principal")
    if domains.names(grant.recipient, grant.purpose) != domains.names(recipient, purpose):
        raise FoldError(f"`{entry.TYPE}` names a grant for another domain")
    if grant.epoch and epoch != grant.epoch:
        raise FoldError(f"`{entry.TYPE}` names a grant for another epoch")
    if grant.before != before:
        raise FoldError(f"`{entry.TYPE}` names a grant for other evidence")
    if grant.ended or grant.by_time(grants.moment(entry.time)) != grants.ACTIVE:
        raise FoldError(f"`{entry.TYPE}` names a grant that is not in force")


__all__ = [
    "MADE",
    "REMOVED",
    "canary_made",
    "canary_removed",
    "drop_requested",
    "erased",
    "evidence_dropped",
    "requested",
    "rewrapped",
    "rotated",
]
