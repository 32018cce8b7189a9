"""Entry types of the control log about pseudonymisation domains and the acts that undo pseudonyms.

A domain is one recipient (a legal entity) and one purpose; each of its epochs has a secret of its own. An
entry names the domain, the epoch and ids that reveal nothing about a secret. Which pseudonyms were resolved
and to what stands in the evidence of a `PseudonymsDisclosed` entry of the traffic log, never here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfort.ledger.entry import CONTROL, Count, Digest, Entry, Name, Retention, Stated, Text, entry_type


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class DomainOpened(Entry):
    """A pseudonymisation domain has an epoch in force, where it had none; `domain` is the epoch's id.

    Of derivation 1, and of before entries named it (version 2); not written any more.
    """

    recipient: Text
    purpose: Text
    epoch: Count
    domain: Name
    key_id: Name


@entry_type(CONTROL, Retention.PERMANENT, version=2, name="DomainOpened")
@dataclass(frozen=True, kw_only=True)
class DomainOpenedDeriving(DomainOpened):
    """A pseudonymisation domain has an epoch in force, where it had none; `domain` is the epoch's id.

    `derivation` says how its keys derive from its secret, and what the tweaks of its formats are.
    """

    derivation: Count


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class DomainRotated(Entry):
    """A new epoch is in force instead of the one before, which is retired: nothing is shown in it any more.

    `by` is the operating system's user who asked for it. Of before such acts named who did them and who
    approved (version 2, in `entry_control_acts`); not written any more.
    """

    recipient: Text
    purpose: Text
    epoch: Count
    domain: Name
    key_id: Name
    by: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class DomainErased(Entry):
    """The secret of an epoch is destroyed: its pseudonyms lead back to nobody from here on.

    `by` is the operating system's user who asked for it. Of before such acts named who did them and who
    approved (version 2, in `entry_control_acts`); not written any more.
    """

    recipient: Text
    purpose: Text
    epoch: Count
    domain: Name
    by: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class PseudonymsResolved(Entry):
    """A principal has pseudonyms of one column led back to values, on a grant of the kind `resolve`.

    `asked` counts the pseudonyms that were given, `found` those that the column holds a value for; `input`
    is the blob of the decision.
    """

    act: Name
    principal: Name
    recipient: Text
    purpose: Text
    epoch: Count
    domain: Name
    column: Name
    grant: Name
    asked: Count
    found: Count
    input: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class PseudonymsBridged(Entry):
    """A principal has pseudonyms of one epoch turned into those of another, on a grant of the kind `bridge`.

    `domain` and `epoch` are those of the pseudonyms that were given, `to_domain` and `to_epoch` of those that
    came of them. No value was shown.
    """

    act: Name
    principal: Name
    recipient: Text
    purpose: Text
    epoch: Count
    domain: Name
    to_epoch: Count
    to_domain: Name
    column: Name
    grant: Name
    asked: Count
    found: Count
    input: Digest


BLOBS: dict[type[Entry], tuple[str, ...]] = {
    PseudonymsResolved: ("input",),
    PseudonymsBridged: ("input",),
}
"""The fields that name blobs which must be held: without them a decision cannot be replayed."""
