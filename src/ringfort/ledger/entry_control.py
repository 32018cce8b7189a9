"""Entry types of the control log: what decides. They name no data subject and are kept for good.

A `Digest` names a blob (SHA-256 of its bytes) unless the field says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfort.ledger import entry_control_acts as acts
from ringfort.ledger import entry_control_domains as domains
from ringfort.ledger import entry_control_evidence as evidence
from ringfort.ledger import entry_control_grants as grants
from ringfort.ledger import entry_control_transfers as transfers
from ringfort.ledger.entry import (
    CONTROL,
    Count,
    Country,
    Digest,
    Entry,
    Name,
    OptionalCountry,
    OptionalDigest,
    Retention,
    Stated,
    StatedName,
    Viewer,
    entry_type,
)


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class LogOpened(Entry):
    """The first entry: the control log's origin and verifier key."""

    origin: Name
    vkey: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class PolicyActivated(Entry):
    """A policy bundle (blob) is in force from here on, decided by this evaluator."""

    bundle: Digest
    evaluator: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class CatalogueActivated(Entry):
    """A catalogue version (blob) is in force from here on."""

    catalogue: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class ZonesActivated(Entry):
    """A table of network zones (blob) is in force from here on."""

    zones: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class PrincipalRegistered(Entry):
    """Who a principal is; registering again replaces the facts."""

    name: Name
    country: Country
    employer: Stated
    role: StatedName


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class PrincipalRemoved(Entry):
    """A principal has no access from here on."""

    name: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class DomainKeyCreated(Entry):
    """A pseudonymisation domain has this key; the id reveals nothing about the key.

    Of before each epoch had a secret of its own (`DomainOpened`); not written any more.
    """

    domain: Name
    key_id: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class SiteAudited(Entry):
    """What profile roles can reach in a database was listed (findings: blob) and found as `outcome` says."""

    site: Name
    database: Name
    outcome: Name
    findings: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class GatewayStarted(Entry):
    """A gateway of this version serves; sessions opened before it are over."""

    version: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class GatewayStopped(Entry):
    """The gateway serves no more."""


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class SessionOpened(Entry):
    """A decision: who reads what, in which forms, for what, from where, and everything it was decided on.

    `input` is the blob of the whole decision input, `map` that of the disclosure map; `profile` is the
    profile's digest. Storage, processing and viewing country are separate facts; viewing `ZZ` is unproven.
    """

    session: Name
    principal: Name
    purpose: Stated
    ticket: Stated
    site: Name
    database: Name
    viewer: tuple[Viewer, ...]
    storage_country: Country
    processing_country: Country
    viewing_country: OptionalCountry
    input: Digest
    map: Digest
    profile: Digest
    policy: Digest
    catalogue: Digest
    zones: OptionalDigest
    evaluator: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class SessionKilled(Entry):
    """An operator ends a session: `by` is the name of the operating system's user who asked for it."""

    session: Name
    by: Name
    reason: Stated


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class ShardOpened(Entry):
    """A traffic shard (a month such as `2026-11`) begins, with its own origin and verifier key."""

    shard: Name
    origin: Name
    vkey: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class ShardClosed(Entry):
    """A traffic shard is complete: its final size and root hash (hexadecimal)."""

    shard: Name
    origin: Name
    size: Count
    root: Digest


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class TrafficAnchored(Entry):
    """A checkpoint of a traffic shard was published: its size and root hash (hexadecimal)."""

    origin: Name
    size: Count
    root: Digest


BLOBS: dict[type[Entry], tuple[str, ...]] = {
    PolicyActivated: ("bundle",),
    CatalogueActivated: ("catalogue",),
    ZonesActivated: ("zones",),
    SiteAudited: ("findings",),
    SessionOpened: ("input", "map"),
    **grants.BLOBS,
    **transfers.BLOBS,
    **domains.BLOBS,
    **acts.BLOBS,
}
"""The fields that name blobs which must be held: without them a decision cannot be replayed."""

WRITER_ONLY: frozenset[type[Entry]] = frozenset(
    {LogOpened, ShardOpened, ShardClosed, TrafficAnchored, evidence.EvidenceCommitted}
)
"""What only the writer itself appends."""

SUPERSEDED: frozenset[type[Entry]] = frozenset({domains.DomainRotated, domains.DomainErased})
"""What is read for good and written no more: a newer version says more."""
