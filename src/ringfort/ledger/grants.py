"""What became of each grant: folded from its entries, asked for at a moment.

Laws, whoever writes the entries and whatever their clocks said:

- the one who asked never counts as an approver, and nobody counts twice;
- a grant is in force for at most the seconds that were asked for, from the entry of the last approval that it
  needs; nothing prolongs it;
- **order comes before time.** What an entry denied, revoked or ended with its principal is over for good, by
  its place in the log alone. Whatever is not over can be ended by an entry at any later place, whatever its
  time says. What gives (an approval) must not be older than the entry before it on the same grant;
- **time goes only forward.** Each entry of the control log shows the clock to every grant. A grant is over
  for good once an entry stands at or after its end, and once one is more than `TOLERANCE` older than the
  newest entry on the grant itself, for then the clock was wrong at one of the two. So one entry with a wrong
  clock costs what is open at its place, and nothing that is asked for after it;
- in force is what is not over, at a present moment between its start and its end;
- who took a grant without asking and has a review overdue takes no second one;
- nobody takes a grant to resolve or bridge pseudonyms without asking;
- what is known of a principal changes or ends: so do its grants, and its approvals of pending requests.

Whether policy permitted an approval is not judged here: the entry names the input that it was decided on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ringfort.ledger.errors import FoldError

if TYPE_CHECKING:
    from ringfort.ledger import entry_control_acts as acts
    from ringfort.ledger import entry_control_grants as entries
    from ringfort.ledger.folds import ControlState

TOLERANCE = timedelta(seconds=60)
"""By how much an entry may be older than one before it: entries wait, and clocks are adjusted."""
MOST_SECONDS = 366 * 86_400
MOST_APPROVALS = 100
OUTCOMES = ("justified", "unjustified")
UNDOING = frozenset({"resolve", "bridge"})
"""Kinds that undo pseudonyms: nobody takes one without asking."""
IRREVERSIBLE = frozenset({"erase", "rotate", "rewrap", "canary", "drop-evidence"})
"""Kinds of acts that cannot be undone: asked for by entries of their own (`acts`)."""
REQUESTED, ACTIVE, LAPSED, DENIED, EXPIRED, REVOKED = (
    "requested",
    "active",
    "lapsed",
    "denied",
    "expired",
    "revoked",
)


@dataclass(frozen=True)
class Grant:
    """One grant. `open_until` is when a request lapses; `starts` and `ends` are set once it is in force."""

    id: str
    principal: str
    purpose: str
    ticket: str
    tables: tuple[str, ...]
    kind: str
    seconds: int
    reason: str
    requested: datetime
    last: datetime
    """The newest time of an entry on it."""
    needed: int = 0
    open_until: datetime | None = None
    approvers: tuple[str, ...] = ()
    starts: datetime | None = None
    ends: datetime | None = None
    over: str = ""
    """`denied` or `revoked`, empty if neither."""
    over_because: str = ""
    stopped: str = ""
    """`expired` or `lapsed`, once the log has shown a time at which it is; empty before."""
    review_due: datetime | None = None
    """For one that was taken without asking: until when somebody must have reviewed it."""
    reviewer: str = ""
    outcome: str = ""
    effects: tuple[str, ...] = ()
    """What a change of the tables sets off beside them and may: triggers, rules, functions, sequences."""
    recipient: str = ""
    """With `purpose`, the domain that an act is about; empty for other kinds."""
    epoch: int = 0
    """The epoch that it is about, 0 for all."""
    before: str = ""
    """For dropping evidence: it is of shards that ended before this."""

    @property
    def break_glass(self) -> bool:
        """Whether it was taken without asking."""
        return self.review_due is not None

    def status(self, now: datetime) -> str:
        """requested, active, lapsed, denied, expired or revoked, as of `now`."""
        return self.over or self.stopped or self.by_time(now)

    @property
    def ended(self) -> bool:
        """Whether it is over for good, whatever the time is."""
        return bool(self.over or self.stopped)

    def by_time(self, now: datetime) -> str:
        """The status by what was done to it and by `now` alone, whatever times the log has shown."""
        if self.over:
            return self.over
        if self.starts is not None and self.ends is not None:
            return ACTIVE if self.starts <= now < self.ends else REQUESTED if now < self.starts else EXPIRED
        return REQUESTED if self.open_until is not None and now < self.open_until else LAPSED

    def overdue(self, now: datetime) -> bool:
        """Whether its review should have been made by now."""
        return self.review_due is not None and not self.outcome and now >= self.review_due


def moment(time: str) -> datetime:
    """The time of an entry."""
    return datetime.fromisoformat(time).astimezone(UTC)


def active_grants(state: ControlState, principal: str, now: datetime) -> tuple[Grant, ...]:
    """The grants of a principal that are in force at `now`, by their ids."""
    found = (each for each in state.grants.values() if each.principal == principal)
    return tuple(sorted((each for each in found if each.status(now) == ACTIVE), key=lambda each: each.id))


# -- steps of the fold -------------------------------------------------------------------------------------


def requested(state: ControlState, entry: entries.GrantRequested) -> str:
    """`GrantRequested`."""
    return asked_for(state, entry, entry.tables)


def asked_for(
    state: ControlState,
    entry: entries.GrantRequested | acts.ActRequested,
    tables: tuple[str, ...],
    recipient: str = "",
    epoch: int = 0,
) -> str:
    """A request, of whatever kind, waits for its approvals from here on."""
    _new(state, entry.grant, entry.principal, entry.TYPE)
    if not 1 <= entry.approvals <= MOST_APPROVALS:
        raise FoldError(f"`{entry.TYPE}` needs no approval, or more than there can be")
    begun = _begun(entry, tables)
    state.grants[entry.grant] = replace(
        begun,
        recipient=recipient,
        epoch=epoch,
        needed=entry.approvals,
        open_until=begun.requested + timedelta(seconds=_seconds(entry.open_seconds, entry.TYPE)),
    )
    return _key(entry.grant)


def approved(state: ControlState, entry: entries.GrantApproved) -> str:
    """`GrantApproved`."""
    grant, time = _open(state, entry)
    _another(state, grant, entry.approver, entry.TYPE)
    if entry.approver in grant.approvers:
        raise FoldError("`GrantApproved` names somebody who has approved already")
    approvers = (*grant.approvers, entry.approver)
    changed = replace(grant, approvers=approvers, last=time)
    if len(approvers) >= grant.needed:
        changed = replace(changed, starts=time, ends=time + timedelta(seconds=grant.seconds))
    state.grants[grant.id] = changed
    return _key(grant.id)


def denied(state: ControlState, entry: entries.GrantDenied) -> str:
    """`GrantDenied`."""
    grant, time = _known(state, entry.grant, entry.time, entry.TYPE)
    if grant.over or grant.starts is not None:
        raise FoldError("`GrantDenied` names a grant that waits for no approval")
    _another(state, grant, entry.approver, entry.TYPE)
    state.grants[grant.id] = replace(grant, over=DENIED, over_because=entry.reason, last=time)
    return _key(grant.id)


def revoked(state: ControlState, entry: entries.GrantRevoked) -> str:
    """`GrantRevoked`."""
    grant, time = _known(state, entry.grant, entry.time, entry.TYPE)
    if grant.ended:
        raise FoldError("`GrantRevoked` names a grant that is over")
    if entry.principal not in state.principals:
        raise FoldError("`GrantRevoked` names a principal that is not registered")
    state.grants[grant.id] = replace(grant, over=REVOKED, over_because=entry.reason, last=time)
    return _key(grant.id)


def glass_broken(state: ControlState, entry: entries.BreakGlassOpened) -> str:
    """`BreakGlassOpened`."""
    _new(state, entry.grant, entry.principal, entry.TYPE)
    if entry.kind in UNDOING:
        raise FoldError("`BreakGlassOpened` undoes pseudonyms, which takes an approval")
    time = moment(entry.time)
    if any(each.principal == entry.principal and each.overdue(time) for each in state.grants.values()):
        raise FoldError("`BreakGlassOpened` names somebody whose last one is unreviewed past its deadline")
    begun = _begun(entry, entry.tables)
    state.grants[entry.grant] = replace(
        begun,
        starts=time,
        ends=time + timedelta(seconds=begun.seconds),
        review_due=time + timedelta(seconds=_seconds(entry.review_seconds, entry.TYPE)),
    )
    return _key(entry.grant)


def reviewed(state: ControlState, entry: entries.BreakGlassReviewed) -> str:
    """`BreakGlassReviewed`. One that was justified does not touch the sessions that stand on the grant."""
    grant, time = _known(state, entry.grant, entry.time, entry.TYPE)
    if not grant.break_glass or grant.outcome:
        raise FoldError("`BreakGlassReviewed` names a grant that waits for no review")
    if entry.outcome not in OUTCOMES:
        raise FoldError("`BreakGlassReviewed` has an outcome that is not known")
    _another(state, grant, entry.reviewer, entry.TYPE)
    changed = replace(grant, reviewer=entry.reviewer, outcome=entry.outcome, last=time)
    ends_it = entry.outcome == "unjustified" and not grant.ended and grant.by_time(time) != EXPIRED
    if ends_it:
        changed = replace(changed, over=REVOKED, over_because="found unjustified")
    state.grants[grant.id] = changed
    return _key(grant.id) if ends_it else f"review:{grant.id}"


def principal_changed(state: ControlState, name: str, time: str, why: str) -> None:
    """What is known of a principal changed or ended: what was granted to it, and said by it, is over."""
    now = moment(time)
    for grant in list(state.grants.values()):
        if grant.ended:
            continue
        if grant.by_time(now) in {EXPIRED, LAPSED}:  # by a clock that may be wrong: now it is so for good
            state.grants[grant.id] = replace(grant, stopped=grant.by_time(now))
        elif grant.principal == name:
            state.grants[grant.id] = replace(grant, over=REVOKED, over_because=why, last=max(grant.last, now))
        elif name in grant.approvers and grant.starts is None:
            left = tuple(each for each in grant.approvers if each != name)
            state.grants[grant.id] = replace(grant, approvers=left)


def shown(state: ControlState, time: str) -> list[str]:
    """The clock as an entry showed it: end for good what is over then; gives the state keys that changed."""
    waiting = state.unended
    if waiting is None:
        waiting = state.unended = _bounds(state)
    if not waiting:
        return []
    now = moment(time)
    oldest, earliest = waiting
    if oldest <= now < earliest:
        return []
    changed = []
    for grant in list(state.grants.values()):
        if grant.ended:
            continue
        status = grant.by_time(now)
        if now < grant.last - TOLERANCE:
            status = LAPSED if grant.starts is None else EXPIRED
            why = "the clock was wrong"
        else:
            why = ""
        if status in {LAPSED, EXPIRED}:
            state.grants[grant.id] = replace(grant, stopped=status, over_because=why)
            changed.append(_key(grant.id))
    state.unended = _bounds(state)
    return changed


def _bounds(state: ControlState) -> tuple[datetime, datetime] | tuple[()]:
    """Between which times no grant ends by the clock; empty if there is none that could."""
    left = [each for each in state.grants.values() if not each.ended]
    if not left:
        return ()
    ends = (each.ends or each.open_until or each.last for each in left)
    return max(each.last for each in left) - TOLERANCE, min(ends)


def _key(grant: str) -> str:
    return f"grant:{grant}"


def _seconds(value: int, kind: str) -> int:
    if not 1 <= value <= MOST_SECONDS:
        raise FoldError(f"`{kind}` has a duration that is not 1 second to {MOST_SECONDS // 86_400} days")
    return value


def _new(state: ControlState, grant: str, principal: str, kind: str) -> None:
    if grant in state.grants:
        raise FoldError(f"`{kind}` names a grant that there is already")
    if principal not in state.principals:
        raise FoldError(f"`{kind}` names a principal that is not registered")


def _begun(
    entry: entries.GrantRequested | entries.BreakGlassOpened | acts.ActRequested, tables: tuple[str, ...]
) -> Grant:
    """What all ways into a grant say of it."""
    time = moment(entry.time)
    return Grant(
        id=entry.grant,
        principal=entry.principal,
        purpose=entry.purpose,
        ticket=entry.ticket,
        tables=tables,
        kind=entry.kind,
        seconds=_seconds(entry.seconds, entry.TYPE),
        reason=entry.reason,
        requested=time,
        last=time,
        effects=getattr(entry, "effects", ()),
        before=getattr(entry, "before", ""),
    )


def _known(state: ControlState, grant: str, time: str, kind: str) -> tuple[Grant, datetime]:
    known = state.grants.get(grant)
    if known is None:
        raise FoldError(f"`{kind}` names a grant that there is not")
    return known, max(known.last, moment(time))


def _open(state: ControlState, entry: entries.GrantApproved) -> tuple[Grant, datetime]:
    grant, time = _known(state, entry.grant, entry.time, entry.TYPE)
    if moment(entry.time) < grant.last:
        raise FoldError(f"`{entry.TYPE}` is older than the entry before it on the same grant")
    if grant.by_time(time) != REQUESTED or grant.starts is not None:
        raise FoldError(f"`{entry.TYPE}` names a grant that waits for no approval")
    return grant, time


def _another(state: ControlState, grant: Grant, name: str, kind: str) -> None:
    if name == grant.principal:
        raise FoldError(f"`{kind}` is by the one whom the grant is for")
    if name not in state.principals:
        raise FoldError(f"`{kind}` is by somebody who is not registered")


__all__ = [
    "IRREVERSIBLE",
    "OUTCOMES",
    "TOLERANCE",
    "UNDOING",
    "Grant",
    "active_grants",
    "asked_for",
    "moment",
    "shown",
]
