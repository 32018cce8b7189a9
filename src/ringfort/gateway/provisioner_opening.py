"""What a session is opened with: one decision on one state of the control log, and what it needs in the site.

Operation (`ipc`):

    open       {principal, purpose, ticket, database, application_name, session,
                address, proofs: [{source, country}]}   what the worker alone has seen of where the viewer is
                credentials: [[method, subject]]}   those that the client used, still on record or refused
               -> {profile, role, password, host, port, database, tls: {mode, ca}, search_path, relations,
                   columns, surface, condition_keys, ground_keys, grants: [{grant, until}],
                   decision: {site, viewer: [{source, country}], storage_country, processing_country,
                   viewing_country, policy, evaluator, catalogue, zones, control_size, input, map (base64),
                   input_digest, map_digest, domain, key_id}}
               and `waiting`: views that cannot be read yet, see `provisioner_readiness`

Invariants: `control_size` is one at which everything the decision stood on still held, and all of it was read
from one state: who tries again starts afresh. `condition_keys` are what must not have changed since when the
session is put on record, `ground_keys` those whose change ends it later (not a grant that changed no form).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ringfort.disclosure.positions import shown_views
from ringfort.disclosure.statement_surface import Surface
from ringfort.errors import UsageError
from ringfort.gateway.client_words import TELL_OPERATOR
from ringfort.gateway.clock_watch import require_clock
from ringfort.gateway.provisioner_decision import (
    ALWAYS,
    ControlView,
    Decider,
    Ground,
    NotDecidedError,
    grant_key,
    read_request,
    viewing_country,
)
from ringfort.ledger.domains import domain_key
from ringfort.ledger.entry import format_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.gateway.provisioner_domains import Domains, Thread
    from ringfort.gateway.provisioner_served import Served
    from ringfort.gateway.provisioner_settings import ProvisionerSettings
    from ringfort.policy.request import AccessRequest
    from ringfort.system import SystemClock

ATTEMPTS = 3


class Openings:
    """Decides for one provisioner; everything but the settings is its own.

    `database_of` gives the database that a request names, `thread` runs a call in a thread.
    """

    def __init__(  # noqa: PLR0917 - what an opening is made of
        self,
        settings: ProvisionerSettings,
        control: ControlView,
        decider: Decider,
        domains: Domains,
        clock: SystemClock,
        database_of: Callable[[dict[str, Any]], Served],
        thread: Thread,
    ) -> None:
        self._settings = settings
        self._control = control
        self._decider = decider
        self._domains = domains
        self._clock = clock
        self._database_of = database_of
        self._thread = thread

    async def asked(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The answer to `open`; raises `NotDecidedError`, `UsageError`."""
        name = fields.get("principal")
        if not isinstance(name, str):
            raise UsageError("`principal` must be a text")
        for _ in range(ATTEMPTS):
            answer = await self._try_open(name, fields)
            if answer is not None:
                return answer
        raise NotDecidedError(
            "what the decision stands on kept changing", hint="connect again in a moment", sqlstate="57P03"
        )

    async def _try_open(self, name: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        require_clock(self._control.state, self._clock.now())
        ground = self._control.ground(name)
        for method, subject in fields.get("credentials", ()):
            if self._control.state.credentials.get((name, method)) != subject:
                raise NotDecidedError("the credential is not on record any more", hint="connect again")
        served = self._database_of(fields)
        if not served.ready:
            raise NotDecidedError(
                f"database `{served.site.database}` is not served at present (reference {served.reference})",
                hint=TELL_OPERATOR,
                sqlstate="57P03",
            )
        place = (served.site.site, served.site.country)
        now = self._clock.now()
        operate = fields.get("session") == "operate"
        held = self._control.held(name, "operate" if operate else "view", now)
        zones = await self._thread(self._decider.zones, ground.zones)
        request = read_request(fields, ground, zones, place, format_time(now), held)
        request = await self._thread(self._decider.spelled, ground, request)
        if operate:
            stated = (request.purpose, request.ticket)
            held = tuple(each for each in held if (each.purpose, each.ticket) == stated)
            request = replace(request, grants=held)
            return await self._operate(served, ground, request)
        decision = await self._thread(self._decider.decide, ground, request)
        domain, kept_key = await self._domains.of(decision)
        profile = await self._thread(served.compile, decision, domain, kept_key)
        password = await self._thread(served.known, profile)
        if password is None:
            password = await self._thread(served.make, profile, pool=served.changes)
        keys = [*ALWAYS, f"principal:{name}", "site:{}/{}".format(*served.key)]
        if profile.maps:
            keys.append(domain_key(domain.recipient, domain.purpose))
            if not self._domains.usable(domain, kept_key):  # rotated or erased meanwhile: away with it again
                await self._domains.retire()
                return None
        still = self._control.still(ground, request.grants)
        if still is None or not served.ready:
            return None
        columns = sorted({column.name for view in profile.views for column in view.columns})
        return {
            **served.target(),
            "profile": profile.digest,
            "purpose": request.purpose,
            "role": profile.role,
            "password": password,
            "database": served.site.database,
            "search_path": profile.schema,
            "relations": list(profile.relations),
            "waiting": sorted(served.waiting(profile)),
            "columns": columns,
            "surface": Surface(
                frozenset(profile.relations),
                profile.schema,
                frozenset(columns),
                types=profile.types,
                shown=shown_views(profile, decision.stored_order),
            ).to_json(),
            "condition_keys": [*keys, *(grant_key(each) for each in request.grants)],
            "ground_keys": [*keys, *(grant_key(each) for each in decision.stands_on)],
            "grants": [{"grant": each.id, "until": each.until} for each in decision.stands_on],
            "decision": self._recorded(
                served,
                still,
                request,
                decision.input,
                decision.map,
                profile.domain.id if profile.maps else "",
                profile.key_id if profile.maps else "",
            ),
        }

    async def _operate(self, served: Served, ground: Ground, request: AccessRequest) -> dict[str, Any] | None:
        """An operate session: the owner's role, on the tables that the grants cover."""
        operation, types, password = await self._thread(
            served.operate, ground, self._decider, self._settings.region, request, pool=served.changes
        )
        still = self._control.still(ground, request.grants)
        if still is None or not served.ready:
            return None
        relations = sorted(table.name for table in operation.tables)
        keys = [*ALWAYS, f"principal:{ground.principal.name}", "site:{}/{}".format(*served.key)]
        keys += [grant_key(each) for each in request.grants]
        return {
            **served.target(),
            "session": "operate",
            "profile": operation.digest,
            "purpose": request.purpose,
            "role": operation.role,
            "password": password,
            "database": served.site.database,
            "search_path": operation.schema,
            "relations": relations,
            "columns": operation.columns,
            "surface": Surface(
                frozenset(relations),
                operation.schema,
                frozenset(operation.columns),
                operate=True,
                types=types,
            ).to_json(),
            "condition_keys": keys,
            "ground_keys": keys,
            "grants": [{"grant": each.id, "until": each.until} for each in request.grants],
            "decision": self._recorded(served, still, request, operation.input, operation.map, "", ""),
        }

    def _recorded(  # noqa: PLR0917 - the parts of one record
        self,
        served: Served,
        still: Ground,
        request: AccessRequest,
        given: bytes,
        disclosed: bytes,
        domain: str,
        kept_key: str,
    ) -> dict[str, Any]:
        """What a worker records of a decision."""
        return {
            "site": served.site.site,
            "viewer": [{"source": each.source, "country": each.country} for each in request.viewer],
            "storage_country": served.site.country,
            "processing_country": self._settings.processing_country,
            "viewing_country": viewing_country(request),
            "policy": still.policy,
            "evaluator": still.evaluator,
            "catalogue": still.catalogue,
            "zones": still.zones,
            "control_size": still.since,
            "input": base64.b64encode(given).decode(),
            "input_digest": hashlib.sha256(given).hexdigest(),
            "map": base64.b64encode(disclosed).decode(),
            "map_digest": hashlib.sha256(disclosed).hexdigest(),
            "domain": domain,
            "key_id": kept_key,
        }


__all__ = ["Openings"]
