"""The control log folded into the present state: policies in force, principals, domains, sessions, shards.

The fold is the only meaning of the log: whatever tables or files hold such state are caches of it. An entry
that does not follow from the state before it raises FoldError and changes nothing; the writer refuses such an
entry and the verifier reports it. `changed` tells at which index each state key last changed, for
conditional appends.

Law of time, for every part of the state: what an entry ended is over by its place in the log, whatever any
time says, and nothing that is over comes back; what is in force can be ended by an entry at any later place.
Times only shorten (`grants` says how): one entry with a wrong clock costs what is open at its place, at most.

State keys: `policy`, `catalogue`, `zones`, `principal:NAME`, `domain:DIGEST`, `site:NAME/DATABASE`,
`session:ID`, `shard:NAME`, `gateway`, `grant:ID`, `review:ID`, `transfer:NAME`, `asked:PRINCIPAL/DOMAIN`,
`evidence`, `keys`, `canary:ID`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ringfort.ledger import acts, grants, transfers
from ringfort.ledger import domains as epochs
from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_control_acts as irreversible
from ringfort.ledger import entry_control_credentials as credentials
from ringfort.ledger import entry_control_domains as undoing
from ringfort.ledger import entry_control_evidence as evidence
from ringfort.ledger import entry_control_grants as granting
from ringfort.ledger import entry_control_transfers as transferring
from ringfort.ledger.entry import CONTROL, decode
from ringfort.ledger.errors import ConditionFailedError, FoldError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ringfort.ledger.entry import Entry, EvidenceStream, JournalPosition


@dataclass(frozen=True)
class Condition:
    """What a conditional append demands: none of `keys` changed at an index >= `since` (a control size)."""

    keys: tuple[str, ...]
    since: int


@dataclass(frozen=True)
class RegisteredPrincipal:
    """A principal's registered facts."""

    name: str
    country: str
    employer: str
    role: str
    manager: str = ""
    """The principal who manages them, as far as that is known."""


@dataclass(frozen=True)
class Shard:
    """A traffic shard as the control log knows it; `closed` is its final (size, root in hexadecimal)."""

    name: str
    origin: str
    vkey: str
    anchored: int = 0
    anchored_root: str = ""
    closed: tuple[int, str] | None = None


@dataclass
class ControlState:
    """The state after `size` control entries; apply entries in order, each once."""

    size: int = 0
    time: str = ""
    """The time of the newest entry."""
    origin: str = ""
    vkey: str = ""
    policy: str = ""
    evaluator: str = ""
    catalogue: str = ""
    zones: str = ""
    gateway: str = ""
    """Version of the gateway that serves; empty if none does."""
    principals: dict[str, RegisteredPrincipal] = field(default_factory=dict)
    credentials: dict[tuple[str, str], str] = field(default_factory=dict)
    """(principal, `certificate` or `token`) -> the name that it carries."""
    domains: dict[str, str] = field(default_factory=dict)
    """Id of an epoch of a pseudonymisation domain -> key id; without those erased."""
    pseudonymisation: dict[tuple[str, str], epochs.PseudonymisationDomain] = field(default_factory=dict)
    """(recipient, purpose) -> every epoch of the domain."""
    asked: dict[str, tuple[epochs.Asked, ...]] = field(default_factory=dict)
    """`asked:PRINCIPAL/DOMAIN` -> what was resolved or bridged in the last 90 days."""
    sites: dict[tuple[str, str], str] = field(default_factory=dict)
    """(site, database) -> outcome of the last audit."""
    sessions: dict[str, int] = field(default_factory=dict)
    """Session -> index of its `SessionOpened`, since the last `GatewayStarted`; without those killed."""
    shards: dict[str, Shard] = field(default_factory=dict)
    grants: dict[str, grants.Grant] = field(default_factory=dict)
    """Every grant that was ever asked for or taken, by its id."""
    canaries: dict[str, str] = field(default_factory=dict)
    """Id of a canary -> `made` or `removed`, of those that were made or removed on record."""
    unended: tuple[datetime, datetime] | tuple[()] | None = None
    """Between which times no grant ends by the clock (`grants.shown`); None if it has to be worked out."""
    transfers: dict[str, transfers.Transfer] = field(default_factory=dict)
    """Every transfer that was ever approved, with its runs."""
    evidence: dict[str, EvidenceStream] = field(default_factory=dict)
    """Stream of evidence -> how far it was committed last."""
    dropped_evidence: dict[str, EvidenceStream] = field(default_factory=dict)
    """Stream of evidence -> what it was when it was dropped."""
    journals: dict[str, JournalPosition] = field(default_factory=dict)
    """Lane -> how far its journal had come when evidence was committed last."""
    changed: dict[str, int] = field(default_factory=dict)

    def apply(self, entry: Entry | bytes) -> int:
        """Fold one entry in; gives its index. Raises EntryError or FoldError and then has changed nothing."""
        if isinstance(entry, bytes):
            entry = decode(entry)
        if entry.LOG != CONTROL:
            raise FoldError(f"`{entry.TYPE}` does not belong in the control log")
        step = _STEPS.get(type(entry))
        if step is None:
            raise FoldError(f"`{entry.TYPE}` has no fold")
        if (self.size == 0) != isinstance(entry, control.LogOpened):
            raise FoldError("`LogOpened` is the first entry, and only the first")
        index = self.size
        key = step(self, entry)
        if key.startswith(("grant:", "review:", "principal:")):
            self.unended = None
        for each in filter(None, (key, *grants.shown(self, entry.time))):
            self.changed.pop(each, None)
            self.changed[each] = index  # the newest stand last
        self.size, self.time = index + 1, entry.time
        return index

    def copy(self) -> ControlState:
        """An independent copy (its values are immutable)."""
        made = replace(self)
        for name in (
            "principals",
            "credentials",
            "domains",
            "pseudonymisation",
            "asked",
            "sites",
            "sessions",
            "shards",
            "grants",
            "transfers",
            "evidence",
            "dropped_evidence",
            "journals",
            "canaries",
            "changed",
        ):
            setattr(made, name, dict(getattr(self, name)))
        return made

    def require(self, condition: Condition) -> None:
        """Raise ConditionFailedError if a key of the condition changed at or after its size."""
        if condition.since > self.size:
            raise ConditionFailedError("the condition names a control log that is longer than it is")
        for key in condition.keys:
            if self.changed.get(key, -1) >= condition.since:
                raise ConditionFailedError(
                    f"`{key}` has changed since the decision was made",
                    hint="decide again on the present state",
                )

    def shard_of(self, origin: str) -> Shard | None:
        """The shard with this origin."""
        return next((each for each in self.shards.values() if each.origin == origin), None)


def _log_opened(state: ControlState, entry: control.LogOpened) -> str:
    state.origin, state.vkey = entry.origin, entry.vkey
    return ""


def _policy(state: ControlState, entry: control.PolicyActivated) -> str:
    state.policy, state.evaluator = entry.bundle, entry.evaluator
    return "policy"


def _catalogue(state: ControlState, entry: control.CatalogueActivated) -> str:
    state.catalogue = entry.catalogue
    return "catalogue"


def _zones(state: ControlState, entry: control.ZonesActivated) -> str:
    state.zones = entry.zones
    return "zones"


def _registered(
    state: ControlState, entry: control.PrincipalRegistered | granting.PrincipalRegisteredUnder
) -> str:
    manager = entry.manager if isinstance(entry, granting.PrincipalRegisteredUnder) else ""
    grants.principal_changed(state, entry.name, entry.time, "the principal was registered anew")
    transfers.principal_changed(state, entry.name)
    state.principals[entry.name] = RegisteredPrincipal(
        entry.name, entry.country, entry.employer, entry.role, manager
    )
    return f"principal:{entry.name}"


def _removed(state: ControlState, entry: control.PrincipalRemoved) -> str:
    if entry.name not in state.principals:
        raise FoldError("`PrincipalRemoved` names a principal that is not registered")
    grants.principal_changed(state, entry.name, entry.time, "the principal was removed")
    transfers.principal_changed(state, entry.name)
    del state.principals[entry.name]
    credentials.principal_removed(state, entry.name)
    return f"principal:{entry.name}"


def _domain(state: ControlState, entry: control.DomainKeyCreated) -> str:
    if entry.domain in state.domains:
        raise FoldError("`DomainKeyCreated` names a domain that has a key already")
    state.domains[entry.domain] = entry.key_id
    return f"domain:{entry.domain}"


def _audited(state: ControlState, entry: control.SiteAudited) -> str:
    state.sites[entry.site, entry.database] = entry.outcome
    return f"site:{entry.site}/{entry.database}"


def _gateway_started(state: ControlState, entry: control.GatewayStarted) -> str:
    state.gateway = entry.version
    state.sessions.clear()
    return "gateway"


def _gateway_stopped(state: ControlState, _: control.GatewayStopped) -> str:
    state.gateway = ""
    return "gateway"


def _session(state: ControlState, entry: control.SessionOpened) -> str:
    if entry.session in state.sessions:
        raise FoldError("`SessionOpened` names a session that is open already")
    if entry.principal not in state.principals:
        raise FoldError("`SessionOpened` names a principal that is not registered")
    for name, used, in_force in (
        ("policy", entry.policy, state.policy),
        ("catalogue", entry.catalogue, state.catalogue),
        ("zones", entry.zones, state.zones),
        ("evaluator", entry.evaluator, state.evaluator),
    ):
        if used != in_force:
            raise FoldError(f"`SessionOpened` stands on a {name} that is not in force")
    state.sessions[entry.session] = state.size
    return ""  # a session id is never a condition: it is made once


def _session_killed(state: ControlState, entry: control.SessionKilled) -> str:
    if state.sessions.pop(entry.session, None) is None:
        raise FoldError("`SessionKilled` names no session that is open, or one that was killed before")
    return f"session:{entry.session}"


def _shard_opened(state: ControlState, entry: control.ShardOpened) -> str:
    if entry.shard in state.shards or state.shard_of(entry.origin) is not None:
        raise FoldError("`ShardOpened` names a shard that was opened before")
    state.shards[entry.shard] = Shard(entry.shard, entry.origin, entry.vkey)
    return f"shard:{entry.shard}"


def _shard_closed(state: ControlState, entry: control.ShardClosed) -> str:
    shard = state.shards.get(entry.shard)
    if shard is None or shard.origin != entry.origin or shard.closed is not None:
        raise FoldError("`ShardClosed` names no open shard")
    if entry.size < shard.anchored:
        raise FoldError("`ShardClosed` is smaller than what was anchored")
    state.shards[entry.shard] = replace(
        shard, anchored=entry.size, anchored_root=entry.root, closed=(entry.size, entry.root)
    )
    return f"shard:{entry.shard}"


def _anchored(state: ControlState, entry: control.TrafficAnchored) -> str:
    shard = state.shard_of(entry.origin)
    if shard is None or shard.closed is not None:
        raise FoldError("`TrafficAnchored` names no open shard")
    if entry.size <= shard.anchored:
        raise FoldError("`TrafficAnchored` does not grow")
    state.shards[shard.name] = replace(shard, anchored=entry.size, anchored_root=entry.root)
    return ""


_STEPS: dict[type[Entry], Callable[[ControlState, Any], str]] = {
    control.LogOpened: _log_opened,
    control.PolicyActivated: _policy,
    control.CatalogueActivated: _catalogue,
    control.ZonesActivated: _zones,
    control.PrincipalRegistered: _registered,
    control.PrincipalRemoved: _removed,
    credentials.CredentialRegistered: credentials.registered,
    credentials.CredentialRemoved: credentials.removed,
    control.DomainKeyCreated: _domain,
    control.SiteAudited: _audited,
    control.GatewayStarted: _gateway_started,
    control.GatewayStopped: _gateway_stopped,
    control.SessionOpened: _session,
    control.SessionKilled: _session_killed,
    control.ShardOpened: _shard_opened,
    control.ShardClosed: _shard_closed,
    control.TrafficAnchored: _anchored,
    granting.PrincipalRegisteredUnder: _registered,
    granting.GrantRequested: grants.requested,
    granting.GrantRequestedWithEffects: grants.requested,
    granting.GrantApproved: grants.approved,
    granting.GrantDenied: grants.denied,
    granting.GrantRevoked: grants.revoked,
    granting.BreakGlassOpened: grants.glass_broken,
    granting.BreakGlassOpenedWithEffects: grants.glass_broken,
    granting.BreakGlassReviewed: grants.reviewed,
    undoing.DomainOpened: epochs.opened,
    undoing.DomainOpenedDeriving: epochs.opened,
    undoing.DomainRotated: epochs.rotated,
    undoing.DomainErased: epochs.erased,
    irreversible.ActRequested: acts.requested,
    irreversible.DropRequested: acts.drop_requested,
    irreversible.EvidenceDroppedBy: acts.evidence_dropped,
    irreversible.DomainRotatedBy: acts.rotated,
    irreversible.DomainRotatedDeriving: acts.rotated,
    irreversible.DomainErasedBy: acts.erased,
    irreversible.KeysRewrapped: acts.rewrapped,
    irreversible.CanaryMade: acts.canary_made,
    irreversible.CanaryRemoved: acts.canary_removed,
    undoing.PseudonymsResolved: epochs.resolved,
    undoing.PseudonymsBridged: epochs.bridged,
    evidence.EvidenceCommitted: evidence.committed,
    evidence.EvidenceDropped: evidence.dropped,
    transferring.TransferApproved: transfers.approved,
    transferring.TransferWithdrawn: transfers.withdrawn,
    transferring.TransferStarted: transfers.started,
    transferring.TransferStopped: transfers.stopped,
    transferring.TransferReleased: transfers.released,
    transferring.TransferPublished: transfers.published,
    transferring.TransferNotPublished: transfers.not_published,
    transferring.TransferDeleted: transfers.deleted,
}
