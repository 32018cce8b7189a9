"""Pseudonyms made before anybody asks: after a start, after a policy comes into force, and by command.

Operations (`ipc`), for `ringfort pseudonym prepare` while the deployment is up:

    prepare   {database, principal, purpose}  -> {profile, purpose, tables, maps: [id]}   its fills have begun
    prepared  {database, maps}                -> {percent, ready, columns, waiting, faults}

Ahead: for each domain that was opened in the last `AHEAD_DAYS` (its epoch, or a session of its recipient and
purpose), the mapping tables that the policy in force gives those registered principals who still may. What
they see is decided as for a session from the country of their registration; a session that is decided
otherwise makes what it needs when it opens, as always.

Invariants: nothing here is on a login's path. Decisions are made one at a time beside those of logins, tables
a few at a time, and lanes take what sessions wait for first. How much is prepared is bounded, and a bound
that was reached is a line of the log. No domain is opened ahead, and nothing is shown to anybody by it: a
session decides anew.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from ringfort.errors import RingfortError, UsageError
from ringfort.gateway.provisioner_decision import NotDecidedError
from ringfort.ledger.domains import names
from ringfort.ledger.entry import format_time
from ringfort.policy.request import AccessRequest, ViewerSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from ringfort.gateway.provisioner_decision import ControlView, Decider, Decision
    from ringfort.gateway.provisioner_domains import Domains
    from ringfort.gateway.provisioner_served import Served
    from ringfort.system import SystemClock

LOG = logging.getLogger(__name__)
AHEAD_DAYS = 30
MOST_DECISIONS = 1_000
MOST_MAPS = 2_000
MAPS_AT_ONCE = 8
LOOK_SECONDS = 1.0
RETRY_SECONDS = 30.0
OPERATIONS = frozenset({"prepare", "prepared"})


class Ahead:
    """Prepares for one provisioner; `thread` is its own."""

    def __init__(
        self,
        control: ControlView,
        decider: Decider,
        domains: Domains,
        clock: SystemClock,
        thread: Callable[..., Awaitable[Any]],
    ) -> None:
        self._control = control
        self._decider = decider
        self._domains = domains
        self._clock = clock
        self._thread = thread

    # -- by itself -----------------------------------------------------------------------------------

    async def follow(self, served: Served) -> None:
        """Prepare a database once it is served, and again whenever policy or catalogue have changed."""
        done: tuple[str, str] | None = None
        pause = LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = LOOK_SECONDS
            state = self._control.state
            force = (state.policy, state.catalogue)
            if not served.ready or force == done or not all(force):
                continue
            try:
                await self._prepare(served)
                done = force
            except (RingfortError, psycopg.Error) as error:
                pause = RETRY_SECONDS
                self._said(served, error)

    @staticmethod
    def _said(served: Served, error: RingfortError | psycopg.Error) -> None:
        LOG.warning(
            "pseudonyms in %s are not prepared ahead yet: %s",
            served.site.database,
            error if isinstance(error, RingfortError) else "the database does not answer",
            extra={"event": "ahead-failed", "session": None},
        )

    def recent(self) -> list[tuple[str, str]]:
        """Recipient and purpose of each domain of the last days that is not retired, newest first."""
        since = format_time(self._clock.now() - timedelta(days=AHEAD_DAYS))
        found = {}
        for key, domain in list(self._control.state.pseudonymisation.items()):
            epoch = domain.in_force
            if epoch is None or not self._domains.usable_purpose(domain.purpose):
                continue
            last = max(epoch.opened, self._control.last_opened.get(key, ""))
            if last >= since:
                found[key] = last
        return sorted(found, key=lambda each: found[each], reverse=True)

    def _wanted(self) -> Iterator[tuple[str, str]]:
        """Principal and purpose, those of the newest domains first."""
        principals = list(self._control.state.principals.values())
        for recipient, purpose in self.recent():
            for each in principals:
                if names(each.employer, "")[0] == recipient:
                    yield each.name, purpose

    async def _prepare(self, served: Served) -> None:
        started = asyncio.get_running_loop().time()
        wanted: dict[str, Any] = {}
        decided = 0
        for name, purpose in list(self._wanted()):
            if decided >= MOST_DECISIONS or len(wanted) >= MOST_MAPS:
                LOG.warning(
                    "not every domain of the last %d days is prepared ahead in %s: there are too many",
                    AHEAD_DAYS, served.site.database, extra={"event": "ahead-bounded", "session": None},
                )  # fmt: skip
                break
            decided += 1
            try:
                decision = await self._decide(served, name, purpose)
                domain, kept_key = await self._domains.of(decision, opening=False)
            except (NotDecidedError, UsageError):
                continue  # who may not (any more), or is gone
            except RingfortError as error:  # as a secret that is not there: it costs its domain
                self._said(served, error)
                continue
            if not kept_key:
                continue
            profile = await self._thread(served.compile, decision, domain, kept_key)
            new = [each for each in profile.maps if each.id not in wanted]
            wanted |= {each.id: each for each in new}
            for start in range(0, len(new), MAPS_AT_ONCE):
                some = new[start : start + MAPS_AT_ONCE]
                await self._thread(served.expect_ahead, domain, kept_key, some, pool=served.changes)
            if new and not self._domains.usable(domain, kept_key):
                await self._domains.retire()  # rotated, erased or retired meanwhile
        await self._thread(served.expect_only, frozenset(wanted))
        if wanted:
            LOG.info(
                "%d mapping tables in %s are prepared ahead, of domains of the last %d days; found in %.1f s",
                len(wanted), served.site.database, AHEAD_DAYS,
                asyncio.get_running_loop().time() - started, extra={"event": "ahead", "session": None},
            )  # fmt: skip

    async def _decide(self, served: Served, name: str, purpose: str) -> Decision:
        ground = self._control.ground(name)
        request = AccessRequest(
            principal=ground.principal,
            purpose=purpose,
            ticket="",
            viewer=(ViewerSource("registration", ground.principal.country),),
            site=served.site.site,
            site_country=served.site.country,
            database=served.site.database,
            granted=frozenset(),
            time=format_time(self._clock.now()),
            grants=(),
        )
        fault = request.fault()
        if fault:
            raise UsageError(fault)
        request = await self._thread(self._decider.spelled, ground, request)
        decision: Decision = await self._thread(self._decider.decide, ground, request)
        return decision

    # -- by command ----------------------------------------------------------------------------------

    async def asked(self, op: str, served: Served, fields: dict[str, Any]) -> dict[str, Any]:
        """`prepare` or `prepared`."""
        if op == "prepared":
            maps = fields.get("maps")
            if not isinstance(maps, list) or len(maps) > MOST_MAPS:
                raise UsageError(f"`maps` must be a list of at most {MOST_MAPS}")
            return served.filler.how_far(map(str, maps))
        name, purpose = fields.get("principal"), fields.get("purpose")
        if not isinstance(name, str) or not isinstance(purpose, str):
            raise UsageError("`principal` and `purpose` must be texts")
        if not served.ready:
            raise NotDecidedError(
                f"database `{served.site.database}` is not served", hint="see `ringfort status DIR`",
                sqlstate="57P03",
            )  # fmt: skip
        decision = await self._decide(served, name, purpose)
        domain, kept_key = await self._domains.of(decision)
        profile = await self._thread(served.compile, decision, domain, kept_key)
        if await self._thread(served.known, profile) is None:
            await self._thread(served.make, profile, pool=served.changes)
        if profile.maps and not self._domains.usable(domain, kept_key):
            await self._domains.retire()
            raise NotDecidedError("the domain was changed at the same time", hint="try again")
        return {
            "profile": profile.digest,
            "purpose": decision.request.purpose,
            "tables": len(profile.views),
            "maps": [each.id for each in profile.maps],
        }


__all__ = ["AHEAD_DAYS", "OPERATIONS", "Ahead"]
