"""Entry types of the control log about acts that cannot be undone: one asks, another approves.

A request of this kind is a grant like any other (`grants`): it is approved, denied and revoked by the same
entries. Each act names it and the principal who did it. An entry names epochs, ids and counts, no data.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfort.ledger.entry import (
    CONTROL,
    ActKind,
    Count,
    Digest,
    Entry,
    EvidenceStream,
    Name,
    Retention,
    Stated,
    Text,
    Time,
    entry_type,
)


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class ActRequested(Entry):
    """A principal asks for leave to do something that cannot be undone.

    `recipient` and `purpose` name the pseudonymisation domain (empty where it is not about one), `epoch` one
    of its epochs, 0 all. It needs this many `approvals`, made within `open_seconds`, and is in force for
    `seconds` from the last.
    """

    grant: Name
    principal: Name
    kind: ActKind
    recipient: Text
    purpose: Text
    epoch: Count
    ticket: Stated
    seconds: Count
    reason: Stated
    approvals: Count
    open_seconds: Count


@entry_type(CONTROL, Retention.PERMANENT, version=2, name="ActRequested")
@dataclass(frozen=True, kw_only=True)
class DropRequested(ActRequested):
    """A principal asks for leave to drop the evidence of shards that ended before `before`.

    Of the kind `drop-evidence`, which no other version asks for; it is about no domain.
    """

    before: Time


@entry_type(CONTROL, Retention.PERMANENT, version=2, name="DomainRotated")
@dataclass(frozen=True, kw_only=True)
class DomainRotatedBy(Entry):
    """A new epoch is in force instead of the one before, which is retired: nothing is shown in it any more.

    `principal` did it, on a grant of the kind `rotate`; `by` is the operating system's user; `input` is the
    blob of the decision. Of derivation 1, and of before entries named it (version 3); not written any more.
    """

    recipient: Text
    purpose: Text
    epoch: Count
    domain: Name
    key_id: Name
    principal: Name
    grant: Name
    input: Digest
    by: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT, version=3, name="DomainRotated")
@dataclass(frozen=True, kw_only=True)
class DomainRotatedDeriving(DomainRotatedBy):
    """A new epoch is in force instead of the one before, which is retired: nothing is shown in it any more.

    As version 2, and `derivation` says how its keys derive from its secret, and what the tweaks of its
    formats are.
    """

    derivation: Count


@entry_type(CONTROL, Retention.PERMANENT, version=2, name="DomainErased")
@dataclass(frozen=True, kw_only=True)
class DomainErasedBy(Entry):
    """The secret of an epoch is destroyed: its pseudonyms lead back to nobody from here on.

    `principal` did it, on a grant of the kind `erase`; `by` is the operating system's user; `input` is the
    blob of the decision.
    """

    recipient: Text
    purpose: Text
    epoch: Count
    domain: Name
    principal: Name
    grant: Name
    input: Digest
    by: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class KeysRewrapped(Entry):
    """A principal has the secrets of pseudonyms wrapped with the key `kek`, on a grant of the kind `rewrap`.

    Written before it is done. The id reveals nothing about the key.
    """

    principal: Name
    grant: Name
    input: Digest
    kek: Name
    by: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class CanaryMade(Entry):
    """A canary of this id is there from here on, made on a grant of the kind `canary`.

    Its values are in no entry.
    """

    canary: Name
    principal: Name
    grant: Name
    input: Digest
    by: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class CanaryRemoved(Entry):
    """Nothing looks for the canary of this id any more; done on a grant of the kind `canary`."""

    canary: Name
    principal: Name
    grant: Name
    input: Digest
    by: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT, version=2, name="EvidenceDropped")
@dataclass(frozen=True, kw_only=True)
class EvidenceDroppedBy(Entry):
    """Evidence of shards that ended before `before` is deleted after its retention: each stream as it was.

    On record before the first file goes. `principal` did it, on a grant of the kind `drop-evidence` for the
    same `before`; `by` is the operating system's user; `input` is the blob of the decision.
    """

    streams: tuple[EvidenceStream, ...]
    before: Time
    principal: Name
    grant: Name
    input: Digest
    by: Name
    reason: Stated


BLOBS: dict[type[Entry], tuple[str, ...]] = {
    DomainRotatedBy: ("input",),
    DomainRotatedDeriving: ("input",),
    DomainErasedBy: ("input",),
    KeysRewrapped: ("input",),
    CanaryMade: ("input",),
    CanaryRemoved: ("input",),
    EvidenceDroppedBy: ("input",),
}
"""The fields that name blobs which must be held: without them a decision cannot be replayed."""
