"""One database that is served: its administration, its mapping filler, and whether it is ready.

Synchronous; the provisioner calls it from threads. A profile with pseudonyms is made for an epoch that is in
force; `retire` drops what stands on any other, and lets go of its keys.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ringfort.disclosure import audit
from ringfort.disclosure.binding import binding_digest
from ringfort.disclosure.profile import compile_profile, rekeyed
from ringfort.disclosure.views import RoleLimits
from ringfort.gateway.mapping import MappingFiller
from ringfort.gateway.provisioner_operate import Operation, decide_operation
from ringfort.gateway.provisioner_site import SiteDatabase, administration_error
from ringfort.policy.grants import covered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ringfort.catalog.model import Catalogue
    from ringfort.disclosure.profile import Profile
    from ringfort.gateway.provisioner_decision import Decider, Decision, Ground
    from ringfort.gateway.provisioner_settings import ProvisionerSettings, SiteSettings
    from ringfort.policy.request import AccessRequest
    from ringfort.privacy.pseudonym import Domain
    from ringfort.sites.domains import DomainStore


class Served:
    """One database: its administration, its filler, and whether it is ready."""

    def __init__(
        self, settings: ProvisionerSettings, site: SiteSettings, database: str, domains: DomainStore
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
        self.filler = MappingFiller(self.site.connect, domains.secret)
        self.ready = False
        self.reason = "it is being prepared"
        self.said = ""
        self.used: set[str] = set()
        self._bootstrapped = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Site and database, as the ledger names them."""
        return self.site.site, self.site.database

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

    def provide(self, decision: Decision, domain: Domain, kept_key: str) -> tuple[Profile, str]:
        """Compile the decision's profile and make it; gives it with the password of its role.

        Without a key id it has no pseudonyms, or there is a mistake here.
        """
        datasets = decision.catalogue.for_database(self.site.database)
        with self._administering():
            profile = compile_profile(
                decision.disclosure,
                datasets,
                database=self.site.database,
                domain=domain,
                key_id=kept_key,
                bound=self.site.bound(decision.ground.catalogue, datasets),
                found=self.site.found(datasets),
            )
            if profile.maps and not kept_key:
                raise AssertionError
            password = self.site.ensure_profile(profile)
            self.filler.add(domain, profile.maps)
            self.filler.ensure(each.id for each in profile.maps)
        self.used.add(profile.digest)
        return profile, password

    def operate(
        self, ground: Ground, decider: Decider, region: frozenset[str], request: AccessRequest
    ) -> tuple[Operation, str]:
        """Decide an operate session and make its role; gives it with the role's password."""
        catalogue = decider.catalogue(ground.catalogue)
        operation = decide_operation(ground, catalogue, region, request)
        datasets = catalogue.for_database(self.site.database)
        with self._administering():
            bound = self.site.bound(ground.catalogue, datasets)
            return operation, self.site.ensure_operation(operation, bound)

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

    def close(self) -> None:
        """Stop the filler and close the connections."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
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
