"""Entry types of the control log about transfers: what was agreed, what ran, what left.

A transfer is known by its contract (blob). What it is at any moment, how much has left and what the
recipient must have deleted, is folded from these entries alone (`transfers`). Entries name columns and
counts, no value.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfort.ledger.entry import (
    CONTROL,
    Count,
    Country,
    Digest,
    Entry,
    Name,
    Retention,
    Stated,
    StatedName,
    entry_type,
)


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TransferApproved(Entry):
    """The approver whom the contract names agrees to exactly this contract; replaces an earlier approval.

    `recipient`, `owner` and `approver` are registered principals; `input` is the blob of everything that
    policy was asked about the approver's right to agree.
    """

    transfer: StatedName
    contract: Digest
    recipient: Name
    owner: Name
    approver: Name
    input: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TransferWithdrawn(Entry):
    """The approval of a transfer is taken back by its approver or owner: nothing of it leaves any more."""

    transfer: Name
    principal: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TransferStarted(Entry):
    """A run begins, before anything is read: the decision, and everything that it was made on.

    `recipient` is the legal entity, `principal` its registered name; `input` is the blob of the decision's
    input, `map` that of the disclosure map. Storage and viewing country are separate facts.
    """

    transfer: Name
    run: Name
    contract: Digest
    recipient: Name
    principal: Name
    purpose: Name
    storage_country: Country
    viewing_country: Country
    input: Digest
    map: Digest
    policy: Digest
    catalogue: Digest
    evaluator: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TransferStopped(Entry):
    """A run ended without a release: `outcome` says why, `findings` (blob) which columns, how many rows."""

    transfer: Name
    run: Name
    outcome: Name
    findings: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TransferReleased(Entry):
    """A run may leave from here on: exactly the files of `manifest` (blob), signed by the key `vkey`.

    The recipient deletes them after `retention_seconds`. `measures` is the blob with the figures of
    re-identification and the findings that the contract allows.
    """

    transfer: Name
    run: Name
    contract: Digest
    manifest: Digest
    vkey: Name
    recipient: Name
    country: Country
    files: Count
    rows: Count
    bytes: Count
    retention_seconds: Count
    measures: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TransferPublished(Entry):
    """All files of a released run are at their target, complete."""

    transfer: Name
    run: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TransferNotPublished(Entry):
    """A released run is given up before all of it was at its target: nothing more of it leaves.

    `outcome` says why, `findings` (blob) in more words. `files`, `rows` and `bytes` are what the target may
    hold or have held of it: every file whose sending had begun; 0 if nothing had left.
    """

    transfer: Name
    run: Name
    outcome: Name
    findings: Digest
    files: Count
    rows: Count
    bytes: Count


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TransferDeleted(Entry):
    """The recipient has confirmed that it deleted what a run gave it; `reference` says where that stands.

    `by` is the operating system's user who recorded it.
    """

    transfer: Name
    run: Name
    reference: StatedName
    by: Name


BLOBS: dict[type[Entry], tuple[str, ...]] = {
    TransferApproved: ("contract", "input"),
    TransferStarted: ("contract", "input", "map"),
    TransferStopped: ("findings",),
    TransferReleased: ("manifest", "measures"),
    TransferNotPublished: ("findings",),
}
"""The fields that name blobs which must be held: without them a decision cannot be replayed."""
