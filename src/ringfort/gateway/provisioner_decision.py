"""The decision of an opening: control state, policy and catalogue in force, and what is remembered of it.

The control log is folded as it is told. Every fact that a decision stands on is taken from one state of it
(the `Ground`): the principal's registration, the zone table that says which country an address counts as, the
grants in force. A worker states only what it alone has seen: the client's address, and the country in a
certificate or token. Whoever decides again takes a new ground; nothing of the old one is kept.

Bundle, catalogue and zones in force are read from the ledger's blobs by their digest, never from the
deployment's folder. Grants in force are part of the request; the session stands on them if they changed a
form. Decisions are remembered by their whole input but for the time, which policies do not see. Synchronous
and free of the event loop; the process calls it from threads.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ringfort.catalog.model import Catalogue
from ringfort.catalog.zones import Zones
from ringfort.errors import RingfortError, UsageError
from ringfort.ledger.domains import names
from ringfort.ledger.entry import decode, format_time
from ringfort.ledger.entry_control import SessionOpened, SiteAudited
from ringfort.ledger.folds import ControlState
from ringfort.ledger.grants import active_grants
from ringfort.policy.bundle import PolicyBundle, purposes_of
from ringfort.policy.decide import decide, decision_input
from ringfort.policy.forms import Form
from ringfort.policy.request import AccessRequest, HeldGrant, Principal, ViewerSource
from ringfort.policy.vocabulary import UNPROVEN_COUNTRY

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ringfort.policy.bundle import CompiledBundle
    from ringfort.policy.disclosure_map import DisclosureMap
    from ringfort.policy.settings import Purposes

MEMORY = 4096
MOST_NEAR = 5
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,127}")
ALWAYS = ("policy", "catalogue", "zones")
PROOFS = frozenset({"certificate", "token"})
"""What a worker may state of the viewer's country: all else is taken from the ground."""


class NotDecidedError(RingfortError):
    """There is nothing to decide on: no policy, no such principal, no such database."""

    default_sqlstate = "28000"  # invalid_authorization_specification


@dataclass(frozen=True)
class Ground:
    """What a decision stands on, as of control size `since`."""

    since: int
    policy: str
    evaluator: str
    catalogue: str
    zones: str
    principal: Principal


@dataclass(frozen=True)
class Decision:
    """A decision: its input and outcome as the blobs that are recorded.

    `stands_on` are the grants without which it would be another; `stored_order` the datasets whose rows the
    policy lets come as they are stored.
    """

    ground: Ground
    request: AccessRequest
    catalogue: Catalogue
    disclosure: DisclosureMap
    input: bytes
    map: bytes
    stands_on: tuple[HeldGrant, ...] = ()
    stored_order: frozenset[str] = frozenset()


class ControlView:
    """The control log folded, the last audit's findings of each database, and when domains were last used.

    `last_opened`: recipient and purpose -> when a principal of that employer last opened a session for it.
    """

    def __init__(self) -> None:
        self.state = ControlState()
        self.findings: dict[tuple[str, str], str] = {}
        self.last_opened: dict[tuple[str, str], str] = {}

    def take(self, _index: int, data: bytes) -> None:
        """The next entry; raises EntryError or FoldError if it does not follow."""
        entry = decode(data)
        self.state.apply(entry)
        if isinstance(entry, SiteAudited):
            self.findings[entry.site, entry.database] = entry.findings
        elif isinstance(entry, SessionOpened) and (by := self.state.principals.get(entry.principal)):
            key = names(by.employer, entry.purpose)
            if key in self.state.pseudonymisation:
                self.last_opened[key] = max(entry.time, self.last_opened.get(key, ""))

    def ground(self, name: str) -> Ground:
        """What a decision for a principal stands on now."""
        state = self.state
        facts = state.principals.get(name)
        if facts is None:
            raise NotDecidedError(
                "the principal is not registered", hint="ask an operator for `ringfort principal add`"
            )
        if not state.policy or not state.catalogue:
            raise NotDecidedError(
                "no policy or no catalogue is in force",
                hint="the operator must run `ringfort policy apply`",
                sqlstate="57P03",
            )
        principal = Principal(facts.name, facts.country, facts.employer, facts.role)
        return Ground(state.size, state.policy, state.evaluator, state.catalogue, state.zones, principal)

    def held(self, name: str, kind: str, now: datetime) -> tuple[HeldGrant, ...]:
        """The grants of `kind` that are in force for a principal."""
        return tuple(
            HeldGrant(
                each.id,
                each.kind,
                each.purpose,
                each.ticket,
                each.tables,
                format_time(each.ends),
                each.effects,
            )
            for each in active_grants(self.state, name, now)
            if each.kind == kind and each.ends is not None
        )

    def still(self, ground: Ground, stands_on: tuple[HeldGrant, ...] = ()) -> Ground | None:
        """The same ground as of the present control size, None if it is another one by now."""
        keys = (*ALWAYS, f"principal:{ground.principal.name}", *(grant_key(each) for each in stands_on))
        if any(self.state.changed.get(key, -1) >= ground.since for key in keys):
            return None
        return replace(ground, since=self.state.size)


class Decider:
    """Decides, and remembers. Thread-safe."""

    def __init__(self, get_blob: Callable[[str], bytes | None], region: frozenset[str]) -> None:
        self._get_blob = get_blob
        self._region = region
        self._lock = threading.Lock()
        self._bundles: dict[str, CompiledBundle] = {}
        self._catalogues: dict[str, Catalogue] = {}
        self._purposes: dict[str, Purposes] = {}
        self._zones: dict[str, Zones] = {"": Zones()}
        self._remembered: OrderedDict[str, tuple[DisclosureMap, bytes]] = OrderedDict()

    def catalogue(self, digest: str) -> Catalogue:
        """The catalogue of this digest."""
        with self._lock:
            if digest not in self._catalogues:
                self._catalogues = {digest: Catalogue.from_json(self._blob(digest))}
            return self._catalogues[digest]

    def zones(self, digest: str) -> Zones:
        """The zone table of this digest; no digest is no table, which proves no country."""
        with self._lock:
            if digest not in self._zones:
                self._zones = {"": Zones(), digest: Zones.from_json(self._blob(digest))}
            return self._zones[digest]

    def purposes(self, policy: str) -> Purposes:
        """The purposes that may be stated under the policy of this digest."""
        with self._lock:
            if policy not in self._purposes:
                self._purposes = {policy: purposes_of(self._blob(policy))}
            return self._purposes[policy]

    def spelled(self, ground: Ground, request: AccessRequest) -> AccessRequest:
        """The request with its purpose as the policy spells it; raises if the policy does not list it.

        The hint names the nearest purpose under which this principal would be shown anything.
        """
        purposes = self.purposes(ground.policy)
        purpose = purposes.admitted(request.purpose)
        if purpose is not None and (purposes.listed is not None or not purpose or LABEL.fullmatch(purpose)):
            return replace(request, purpose=purpose)
        near = ""
        for each in purposes.nearest(request.purpose)[:MOST_NEAR]:
            disclosure = self.decide(ground, replace(request, purpose=each, grants=())).disclosure
            if any(form is not Form.HIDDEN for form in disclosure.forms().values()):
                near = f"state `{each}`, if that is what you mean; or "
                break
        raise NotDecidedError(
            "the purpose is not one that the policy lists", hint=f"{near}ask the operator for the list"
        )

    def bundle(self, ground: Ground) -> CompiledBundle:
        """The policy bundle in force, ready to decide."""
        with self._lock:
            if ground.policy not in self._bundles:
                compiled = PolicyBundle.from_bytes(self._blob(ground.policy)).compile()
                self._bundles = {ground.policy: compiled}
            bundle = self._bundles[ground.policy]
        if bundle.evaluator != ground.evaluator:
            raise NotDecidedError(
                "the policy in force was activated for another evaluator",
                hint="the operator must run `ringfort policy apply`",
                sqlstate="57P03",
            )
        return bundle

    def _blob(self, digest: str) -> bytes:
        blob = self._get_blob(digest)
        if blob is None:
            raise NotDecidedError(
                f"the ledger does not hold blob `{digest[:12]}`",
                hint="the operator must run `ringfort policy apply`",
                sqlstate="57P03",
            )
        return blob

    def decide(self, ground: Ground, request: AccessRequest) -> Decision:
        """Decide on this ground."""
        bundle, catalogue = self.bundle(ground), self.catalogue(ground.catalogue)
        disclosure, blob = self._decided(bundle, catalogue, request)
        stands_on = request.grants
        if stands_on:
            without, _ = self._decided(bundle, catalogue, replace(request, grants=()))
            stands_on = () if without.forms() == disclosure.forms() else stands_on
        whole = decision_input(bundle, catalogue, self._region, request)
        stored_order = bundle.settings.accept_stored_order
        return Decision(ground, request, catalogue, disclosure, whole, blob, stands_on, stored_order)

    def _decided(
        self, bundle: CompiledBundle, catalogue: Catalogue, request: AccessRequest
    ) -> tuple[DisclosureMap, bytes]:
        """The map and its bytes, remembered or made."""
        timeless = decision_input(bundle, catalogue, self._region, replace(request, time=""))
        key = hashlib.sha256(timeless).hexdigest()
        with self._lock:
            known = self._remembered.get(key)
        if known is None:
            disclosure = decide(bundle, catalogue, self._region, request)
            known = (disclosure, disclosure.to_json())
            with self._lock:
                self._remembered[key] = known
                while len(self._remembered) > MEMORY:
                    self._remembered.popitem(last=False)
        return known


def grant_key(grant: HeldGrant) -> str:
    """The state key of a grant."""
    return f"grant:{grant.id}"


def read_request(  # noqa: PLR0917 - the parts of one request
    fields: dict[str, Any],
    ground: Ground,
    zones: Zones,
    site: tuple[str, str],
    time: str,
    grants: tuple[HeldGrant, ...] = (),
) -> AccessRequest:
    """The access request in an `open` operation, with the viewer as `ground` has it. Raises `UsageError`.

    `zones` is the table that `ground` names; `site` is name and country.
    """
    try:
        proofs = tuple(ViewerSource(str(each["source"]), str(each["country"])) for each in fields["proofs"])
        purpose, ticket, database = fields["purpose"], fields["ticket"], fields["database"]
        address = fields["address"]
    except (KeyError, TypeError):
        raise UsageError("an opening needs principal, purpose, ticket, address, proofs, database") from None
    if not isinstance(address, str) or not all(each.source in PROOFS for each in proofs):
        raise UsageError("an opening states a client's address, and what a certificate or token says of it")
    request = AccessRequest(
        principal=ground.principal,
        purpose=purpose,
        ticket=ticket,
        viewer=(
            ViewerSource("registration", ground.principal.country),
            ViewerSource("network zone", zones.country_of(address) if address else ""),
            *proofs,
        ),
        site=site[0],
        site_country=site[1],
        database=database,
        granted=frozenset(),
        time=time,
        grants=grants,
    )
    fault = request.fault()
    if fault:
        raise UsageError(fault)
    return request


def viewing_country(request: AccessRequest) -> str:
    """The one country that every source of the viewer names, else the one that proves nothing."""
    countries = {each.country for each in request.viewer}
    return countries.pop() if len(countries) == 1 and "" not in countries else UNPROVEN_COUNTRY


__all__ = [
    "ALWAYS",
    "ControlView",
    "Decider",
    "Decision",
    "Ground",
    "NotDecidedError",
    "grant_key",
    "read_request",
    "viewing_country",
]
