"""One database that is served: its administration, its mapping filler, and whether it is ready.

Synchronous; the provisioner calls it from threads. A profile with pseudonyms is made for an epoch that is in
force; `retire` drops what stands on any other, and lets go of its keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ringfort.disclosure import audit
from ringfort.disclosure.binding import binding_digest
from ringfort.disclosure.profile import compile_profile, rekeyed
from ringfort.disclosure.views import RoleLimits
from ringfort.gateway.client_words import new_reference
from ringfort.gateway.mapping import MappingFiller
from ringfort.gateway.mapping_state import Waiting
from ringfort.gateway.provisioner_operate import Operation, decide_operation
from ringfort.gateway.provisioner_site import SiteDatabase, administration_error
from ringfort.gateway.site_connection import SiteConnector, SiteTarget
from ringfort.policy.grants import covered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ringfort.catalog.model import Catalogue
    from ringfort.disclosure.profile import Binding, MapPlan, Profile
    from ringfort.errors import RingfortError
    from ringfort.gateway.provisioner_decision import Decider, Decision, Ground
    from ringfort.gateway.provisioner_settings import ProvisionerSettings, SiteSettings
    from ringfort.policy.request import AccessRequest
    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.privacy.pseudonym import Domain

LOG = logging.getLogger(__name__)
MOST_COMPILED = 512


class Served:
    """One database: its administration, its filler, and whether it is ready."""

    def __init__(
        self,
        settings: ProvisionerSettings,
        site: SiteSettings,
        database: str,
        secret: Callable[[Domain], EpochSecret],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.sockets = site.sockets
        self.site = SiteDatabase(
            site=site.name,
            country=site.country,
            database=database,
            dsn=site.databases[database],
            ours=site.kind == "embedded",
            limits=RoleLimits(
                connections=settings.connections_per_profile,
                statement_ms=int(settings.statement_seconds * 1000),
            ),
        )
        self.filler = MappingFiller(self.site.connect, secret, name=database, changed=changed)
        self.site.lost = self.filler.suspect
        self.changes = ThreadPoolExecutor(1, thread_name_prefix="change")
        self.audits = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self.profiles: dict[str, Profile] = {}
        self._on_change = changed
        self._compiled: dict[tuple[bytes, str, str, str], tuple[Binding, Binding, Profile]] = {}
        self.ready = False
        self.state = "preparing"  # then `served`, or why not: `surplus`, `failed`
        self.reason = "it is being prepared"
        self.hint = "it is opened by itself"
        self.reference = new_reference()
        self.used: set[str] = set()
        self._ahead: set[str] = set()
        self._bootstrapped = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Site and database, as the ledger names them."""
        return self.site.site, self.site.database

    def open_gate(self) -> None:
        """From now on there are sessions."""
        if not self.ready:
            LOG.info("database %s is served", self.site.database, extra={"event": "database-served"})
        self.ready, self.state = True, "served"
        self.reason = self.hint = self.reference = ""

    def close_gate(self, why: RingfortError, state: str) -> None:
        """There are no new sessions; a client hears the reference under which the log has the reason."""
        if self.ready or self.reason != why.message:
            self.reference = new_reference()
            LOG.error(
                "incident %s: database %s is not served: %s (%s)",
                self.reference,
                self.site.database,
                why,
                why.hint,
                extra={"event": "database-not-served"},
            )
        self.ready, self.state = False, state
        self.reason, self.hint = why.message, why.hint

    def prepare(self, usable: Callable[[Domain, str], bool]) -> None:
        """Bootstrap, drop what stands on an epoch that is over, take over the mapping tables of the rest."""
        if not self._bootstrapped:
            self.site.bootstrap()
            self._bootstrapped = True
        kept = [each for each in self.site.kept() if each[2]]
        if not all(usable(domain, kept_key) for domain, kept_key, _ in kept):
            self.retire(usable)
            kept = [each for each in kept if usable(*each[:2])]
        for domain, _, plans in kept:
            self.filler.add(domain, plans)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self.filler.run, args=(self._stop, self.settings.fill_seconds), daemon=True
            )
            self._thread.start()

    def audited(self, catalogue: str, decider: Decider) -> tuple[str, bytes]:
        """Audit; gives the outcome and the report for the record."""
        found = self.site.audit()
        numbers = ""
        if catalogue:
            datasets = decider.catalogue(catalogue).for_database(self.site.database)
            numbers = binding_digest(self.site.bound(catalogue, datasets))
        report = audit.report(self.site.site, self.site.database, found, catalogue=catalogue, binding=numbers)
        return ("surplus" if audit.surplus(found) else "passed"), report

    def compile(self, decision: Decision, domain: Domain, kept_key: str) -> Profile:
        """The decision's profile against the database as it is now; remembered while nothing has changed.

        Without a key id it has no pseudonyms, or there is a mistake here.
        """
        datasets = decision.catalogue.for_database(self.site.database)
        bound, found = self.site.bound(decision.ground.catalogue, datasets), self.site.found(datasets)
        key = (hashlib.sha256(decision.map).digest(), decision.ground.catalogue, domain.id, kept_key)
        known = self._compiled.get(key)
        if known is not None and known[0] is found and known[1] is bound:
            return known[2]
        profile = compile_profile(
            decision.disclosure,
            datasets,
            database=self.site.database,
            domain=domain,
            key_id=kept_key,
            bound=bound,
            found=found,
        )
        if profile.maps and not kept_key:
            raise AssertionError
        if len(self._compiled) >= MOST_COMPILED:
            self._compiled.clear()
        self._compiled[key] = (found, bound, profile)
        return profile

    def known(self, profile: Profile) -> str | None:
        """The password of the profile's role, None if the profile has to be made: see `make`."""
        password = self.site.known_profile(profile)
        if password is not None:
            self._take_over(profile)
        return password

    def make(self, profile: Profile) -> str:
        """Make the profile; gives the password of its role."""
        password = self.site.make_profile(profile)
        self._take_over(profile)
        return password

    def _take_over(self, profile: Profile) -> None:
        self.filler.add(profile.domain, profile.maps)
        self.used.add(profile.digest)
        if len(self.profiles) >= MOST_COMPILED:
            self.profiles.pop(next(iter(self.profiles)))
        self.profiles[profile.digest] = profile

    def waiting(self, profile: Profile) -> dict[str, Waiting]:
        """Each view of a profile that cannot be read yet, and why."""
        missing = dict.fromkeys(self.site.missing(profile), Waiting(fault=True))
        return self.filler.waiting(profile) | missing

    def complete(self) -> None:
        """Try again to make the views that profiles are without."""
        if self.site.complete():
            self._on_change()

    def faults(self) -> list[dict[str, Any]]:
        """What cannot be read at present, for the operator: table, why, since when (seconds since 1970)."""
        without = [
            {"table": table, "role": role, "reason": f"its view is not made: {reason}", "since": since}
            for role, table, reason, since in self.site.left_out()
        ]
        return self.filler.faults() + without

    def operate(
        self, ground: Ground, decider: Decider, region: frozenset[str], request: AccessRequest
    ) -> tuple[Operation, frozenset[int], str]:
        """Decide an operate session and make its role; the types of its tables' columns, and its password."""
        catalogue = decider.catalogue(ground.catalogue)
        operation = decide_operation(ground, catalogue, region, request)
        datasets = catalogue.for_database(self.site.database)
        with self._administering():
            bound = self.site.bound(ground.catalogue, datasets)
            password = self.site.ensure_operation(operation, bound)
            found = self.site.found(datasets)
        tables = [found[name] for name in operation.names if name in found]
        return operation, frozenset().union(*(c.types for t in tables for c in t.columns)), password

    def fill_ahead(self, before: Domain, domain: Domain, kept_key: str) -> None:
        """Make and fill, for a new epoch, the mapping tables that profiles of the one before use."""
        with self._administering():
            plans = {
                each.id: rekeyed(each, kept_key)
                for of, _, maps in self.site.kept()
                if of == before
                for each in maps
            }
            if plans:
                self.site.expect(domain, kept_key, plans.values())
                self.filler.add(domain, plans.values())
                self.filler.ensure(each.id for each in plans.values())

    def expect_ahead(self, domain: Domain, kept_key: str, plans: Sequence[MapPlan]) -> None:
        """Make these mapping tables if they are not there, and have them filled when nobody waits."""
        with self._administering():
            self.site.expect(domain, kept_key, plans)
        self._ahead |= {each.id for each in plans}
        self.filler.add(domain, plans, ahead=True)

    def expect_only(self, ids: frozenset[str]) -> None:
        """Of what was made ahead keep only these; the others go with the profiles that need them."""
        self.site.unexpect(self._ahead - ids)
        self._ahead &= ids

    def retire(self, usable: Callable[[Domain, str], bool]) -> None:
        """Drop profiles and mapping tables of epochs that are not in force (any more)."""
        with self._administering():
            self.filler.keep(usable)
            self.filler.forget(self.site.retire(usable))

    def collect(self) -> None:
        """Drop profiles that the policy in force did not ask for and nobody uses."""
        with self._administering():
            self.filler.forget(self.site.collect(self.used, self.settings.grace_seconds))

    @contextlib.contextmanager
    def _administering(self) -> Any:  # noqa: ANN401 - a context manager
        try:
            yield
        except psycopg.Error as error:
            raise administration_error(self.site.database, error) from None

    def target(self) -> dict[str, Any]:
        """How a worker reaches the database."""
        parts = conninfo_to_dict(self.site.dsn)
        port = int(str(parts.get("port") or 5432))
        if self.sockets:
            return {"host": self.sockets, "port": port, "tls": {"mode": "disable", "ca": ""}}
        host = str(parts.get("host") or parts.get("hostaddr") or "localhost")
        mode = "disable" if host.startswith("/") else str(parts.get("sslmode") or "prefer")
        return {"host": host, "port": port, "tls": {"mode": mode, "ca": str(parts.get("sslrootcert") or "")}}

    async def require_way(self) -> None:
        """Raise `SiteError` unless a worker gets through to the site as it would for a session.

        libpq takes less than a worker does: no TLS, or a certificate that nobody vouches for.
        """
        found = self.target()
        tls = found["tls"]
        await SiteConnector().reach(
            SiteTarget(found["host"], found["port"], self.site.database, "", "", tls["mode"], tls["ca"])
        )

    def close(self) -> None:
        """Stop the filler and close the connections."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        for pool in (self.changes, self.audits):
            pool.shutdown(wait=False, cancel_futures=True)
        self.site.close()


def reached(databases: Iterable[Served], catalogue: Catalogue, names: Iterable[str]) -> dict[str, Any]:
    """What a change of the tables that names of a grant cover reaches beside them, as the databases are."""
    covers = {(dataset, table.name) for dataset, table in covered(catalogue, names)}
    tables: list[tuple[str, str]] = []
    effects: set[str] = set()
    for served in databases:
        own = [
            (table.schema, table.name)
            for dataset in catalogue.for_database(served.site.database)
            for table in dataset.tables
            if (dataset.name, table.name) in covers
        ]
        if own:
            found = served.site.reach(own)
            tables += found.tables
            effects.update(found.effects)
    return {"tables": tables, "effects": sorted(effects)}


__all__ = ["Served", "reached"]
