"""Entry types of the control log about grants: who asked, who agreed, and how it ended.

A grant lets one principal do more for one purpose, on named tables, until it ends. What it is at any moment
is folded from these entries alone (`grants`). Reasons are words of staff about their work: they name no data
subject. `input` is the blob of everything that policy was asked about somebody's right to act.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfort.ledger.entry import (
    CONTROL,
    Count,
    Country,
    Digest,
    Entry,
    GrantKind,
    Name,
    Retention,
    Stated,
    StatedName,
    entry_type,
)


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class GrantRequested(Entry):
    """A principal asks for a grant. `tables` are catalogued names, `dataset` or `dataset.table`.

    It needs this many `approvals`, made within `open_seconds`, and is in force for `seconds` from the last.
    """

    grant: Name
    principal: Name
    purpose: StatedName
    ticket: Stated
    tables: tuple[Name, ...]
    kind: GrantKind
    seconds: Count
    reason: Stated
    approvals: Count
    open_seconds: Count


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class GrantApproved(Entry):
    """Somebody whom policy permits agrees. The last approval that is needed puts the grant into force."""

    grant: Name
    approver: Name
    input: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class GrantDenied(Entry):
    """Somebody whom policy permits to approve says no: the request is over."""

    grant: Name
    approver: Name
    reason: Stated
    input: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class GrantRevoked(Entry):
    """A request is withdrawn or a grant ends before its time; sessions that stand on it end at once."""

    grant: Name
    principal: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class BreakGlassOpened(Entry):
    """A grant that a principal took without asking, in force at once; to be reviewed in `review_seconds`."""

    grant: Name
    principal: Name
    purpose: StatedName
    ticket: Stated
    tables: tuple[Name, ...]
    kind: GrantKind
    seconds: Count
    reason: StatedName
    review_seconds: Count
    input: Digest


@entry_type(CONTROL, Retention.PERMANENT, version=2, name="GrantRequested")
@dataclass(frozen=True, kw_only=True)
class GrantRequestedWithEffects(GrantRequested):
    """A principal asks for a grant to operate on tables whose change sets off more.

    `effects` names the triggers, rules, functions and sequences that there were: it covers these alone.
    """

    effects: tuple[Name, ...]


@entry_type(CONTROL, Retention.PERMANENT, version=2, name="BreakGlassOpened")
@dataclass(frozen=True, kw_only=True)
class BreakGlassOpenedWithEffects(BreakGlassOpened):
    """A grant that a principal took without asking, on tables whose change sets off the named `effects`."""

    effects: tuple[Name, ...]


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class BreakGlassReviewed(Entry):
    """Somebody else looked at what was taken: `outcome` is `justified`, or `unjustified`, which ends it."""

    grant: Name
    reviewer: Name
    outcome: Name
    reason: Stated
    input: Digest


@entry_type(CONTROL, Retention.PERMANENT, version=2, name="PrincipalRegistered")
@dataclass(frozen=True, kw_only=True)
class PrincipalRegisteredUnder(Entry):
    """Who a principal is, and who manages them; registering again replaces the facts."""

    name: Name
    country: Country
    employer: Stated
    role: StatedName
    manager: Name


BLOBS: dict[type[Entry], tuple[str, ...]] = {
    GrantApproved: ("input",),
    GrantDenied: ("input",),
    BreakGlassOpened: ("input",),
    BreakGlassOpenedWithEffects: ("input",),
    BreakGlassReviewed: ("input",),
}
"""The fields that name blobs which must be held: without them a decision cannot be replayed."""
