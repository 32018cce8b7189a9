"""The provisioner: the process that holds the administrative DSNs, the domains' secrets, the SCRAM verifiers.

    python -m ringfort.gateway.provisioner      with JSON on standard input, see `provisioner_settings`

It follows the control log, decides each opening, makes what the decision needs in the site's database, and
keeps the mapping tables full. A worker gets the credentials of one profile at a time. Operations (`ipc`):

    scram-first, scram-final, attempt, attempted     see `authentication_desk`
    open                             see `provisioner_opening`
    readiness                        see `provisioner_readiness`
    health     {}                    -> {control_size, databases: [{site, database, served, reason, maps,
                                        faults, fills}]}
    audit      {database}            -> {served, state, reason, hint, findings: [[...]], hardening: [SQL]}
    reach      {tables}              -> {tables, effects}: what a change of them reaches beside them
    rebind     {database}            -> {relations}: bind the catalogue in force to the database as it is now
    domain-rotate, domain-erase      see `provisioner_domains`
    resolve, bridge                  see `undoing`
    prepare, prepared                see `provisioner_ahead`

Invariants: Cedar and the databases are used in threads, so the socket always answers; a database is served
only after its audit found no surplus, and the audit is on record (`SiteAudited`) before; a domain's epoch is
on record (`DomainOpened`) before its first pseudonym is served. If the ledger is lost the process ends.
DESIGN sections 4, 5, principle 7.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import uvloop

from ringfort import process
from ringfort.disclosure import audit
from ringfort.errors import CheckFailedError, RingfortError, UsageError
from ringfort.gateway.authentication_desk import OPERATIONS, Desk
from ringfort.gateway.client_words import in_client_words
from ringfort.gateway.ipc import IpcServer
from ringfort.gateway.irreversible import LeaveDesk
from ringfort.gateway.provisioner_ahead import OPERATIONS as AHEAD_OPERATIONS
from ringfort.gateway.provisioner_ahead import Ahead
from ringfort.gateway.provisioner_decision import (
    ControlView,
    Decider,
    NotDecidedError,
)
from ringfort.gateway.provisioner_domains import Domains
from ringfort.gateway.provisioner_opening import Openings
from ringfort.gateway.provisioner_readiness import Readiness
from ringfort.gateway.provisioner_served import Served, reached
from ringfort.gateway.provisioner_settings import ProvisionerSettings
from ringfort.gateway.provisioner_site import administration_error
from ringfort.gateway.undoing import UndoingDesk
from ringfort.ledger.entry import Entry, encode, format_time
from ringfort.ledger.entry_control import SiteAudited
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import Condition
from ringfort.policy.settings import Purposes
from ringfort.record.channel import LedgerChannel
from ringfort.record.stamps import SALTS
from ringfort.record.store import BlobStore
from ringfort.sites.custody import Custody
from ringfort.sites.domains import DomainStore
from ringfort.system import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.privacy.pseudonym import Domain


LOG = logging.getLogger(__name__)
RETRY_SECONDS = 5.0
ATTEMPTS = 3
THREADS = 8
_Result = TypeVar("_Result")


class Provisioner:
    """The process. `start`, then `run` until `stop`."""

    def __init__(self, settings: ProvisionerSettings) -> None:
        self.settings = settings
        self.control = ControlView()
        blobs = BlobStore(settings.blobs)
        self.decider = Decider(blobs.get, settings.region)
        self._readiness = Readiness()
        store = DomainStore(Custody(settings.custody), actor=settings.actor)
        self.databases = {
            name: Served(settings, site, name, self._secret, self._readiness.moved_threadsafe)
            for site in settings.sites
            for name in site.databases
        }
        self.failure: Exception | None = None
        self._clock = SystemClock()
        self._server = IpcServer(settings.socket, self._handle)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="provision")
        self._desk = Desk(
            settings.verifiers,
            settings.mock_key,
            settings.authentication,
            lambda: self.control.state,
        )
        leaves = LeaveDesk(settings, self.control, self.decider, self._thread)
        self._domains = Domains(
            store, self.control, self.databases, self._append, self._thread, leaves, purposes=self._purposes
        )
        self._undoing = UndoingDesk(
            settings, self.control, self.decider, self._domains, self._append, self._put_traffic, self._thread
        )
        self._ahead = Ahead(self.control, self.decider, self._domains, self._clock, self._thread)
        self._openings = Openings(
            settings, self.control, self.decider, self._domains, self._clock, self._database, self._thread
        )
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._ledger: LedgerChannel | None = None
        self._catalogue = ""
        self._policy = ""

    async def start(self) -> None:
        """Connect to the ledger, prepare every database (a failing one is tried again later), listen."""
        self._ledger = await LedgerChannel.connect(
            self.settings.ledger_socket,
            actor=self.settings.actor,
            on_control=self._on_control,
            on_lost=self._on_lost,
        )
        await self._thread(self._domains.store.open)
        await self._thread(self._domains.settle)
        await asyncio.gather(*(self._prepare(each) for each in self.databases.values()))
        await self._server.start()
        self._tasks = [asyncio.create_task(self._watch(each)) for each in self.databases.values()]
        self._tasks += [asyncio.create_task(self._ahead.follow(each)) for each in self.databases.values()]
        self._tasks.append(asyncio.create_task(self._domains.follow()))

    async def run(self) -> None:
        """Serve until `stop`; raises the failure if it was one."""
        await self._ended.wait()
        await self._server.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ledger is not None:
            self._ledger.close()
        await asyncio.gather(*(asyncio.to_thread(each.close) for each in self.databases.values()))
        self._desk.close()
        self._undoing.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Ask for a clean end."""
        self._ended.set()

    # -- the ledger --------------------------------------------------------------------------------

    def _on_control(self, index: int, data: bytes) -> None:
        try:
            self.control.take(index, data)
        except RingfortError as error:
            self._on_lost(error)
            return
        state = self.control.state
        self._domains.heard(index)
        if (state.policy, state.catalogue) != (self._policy, self._catalogue):
            self._policy, self._catalogue = state.policy, state.catalogue
            self._domains.policy_changed()
            for served in self.databases.values():
                served.used = set()

    def _on_lost(self, error: Exception) -> None:
        self.failure = error
        self._ended.set()

    async def _append(
        self, entries: Sequence[Entry], condition: Condition, blobs: tuple[bytes, ...] = ()
    ) -> bool:
        """Append entries unless one of the condition's keys has changed; false if it has."""
        if self._ledger is None:
            raise AssertionError
        try:
            await self._ledger.append([encode(each) for each in entries], condition=condition, blobs=blobs)
        except ConditionFailedError:
            return False
        return True

    async def _put_traffic(self, make: Callable[[str], Entry], facts: bytes) -> None:
        """Append a traffic entry with its evidence; durable when it returns."""
        if self._ledger is None:
            raise AssertionError
        evidence = SALTS.take() + facts
        await self._ledger.put_traffic(encode(make(hashlib.sha256(evidence).hexdigest())), evidence)

    def _secret(self, domain: Domain) -> EpochSecret:
        return self._domains.secret(domain)

    def _purposes(self) -> Purposes:
        """The purposes of the policy in force."""
        policy = self.control.state.policy
        return self.decider.purposes(policy) if policy else Purposes()

    def _now(self) -> str:
        return format_time(self._clock.now())

    async def _thread(
        self, call: Callable[..., _Result], *arguments: object, pool: ThreadPoolExecutor | None = None
    ) -> _Result:
        """In a thread of `pool`: that of decisions, which nothing waits in for a lock or a fill."""
        return await asyncio.get_running_loop().run_in_executor(pool or self._threads, call, *arguments)

    # -- databases ---------------------------------------------------------------------------------

    async def _prepare(self, served: Served) -> None:
        try:
            await self._thread(served.prepare, self._domains.usable, pool=served.changes)
            await self._audit(served)
        except RingfortError as error:
            served.close_gate(error, "failed")
        except psycopg.Error as error:
            served.close_gate(administration_error(served.site.database, error), "failed")

    async def _audit(self, served: Served) -> None:
        """Audit, put on record what differs from the last time, and serve or not."""
        catalogue = self.control.state.catalogue
        outcome, report = await self._thread(served.audited, catalogue, self.decider, pool=served.audits)
        site, database = served.key
        digest = hashlib.sha256(report).hexdigest()
        if (self.control.state.sites.get(served.key), self.control.findings.get(served.key)) != (
            outcome,
            digest,
        ):
            entry = SiteAudited(
                time=self._now(), actor=self.settings.actor, site=site, database=database, outcome=outcome,
                findings=digest,
            )  # fmt: skip
            condition = Condition((f"site:{site}/{database}",), self.control.state.size)
            if not await self._append([entry], condition, (report,)):
                return
        surplus = audit.surplus(served.site.findings)
        if surplus:
            named = "; ".join(map(str, surplus[:20])) + ("; ..." if len(surplus) > 20 else "")
            served.close_gate(
                CheckFailedError(
                    f"profile roles could reach more than they need: {named}",
                    hint=f"`ringfort site audit DIR --database {database}` prints the SQL that takes it away",
                ),
                "surplus",
            )
        else:
            await served.require_way()
            served.open_gate()

    async def _watch(self, served: Served) -> None:
        """Tries again what failed, audits and collects every now and then, binds a new catalogue."""
        loop = asyncio.get_running_loop()
        audited = collected = loop.time()
        catalogue = self.control.state.catalogue
        while True:
            await asyncio.sleep(min(1.0, RETRY_SECONDS))
            now = loop.time()
            due = self.settings.audit_seconds if served.ready else RETRY_SECONDS
            if catalogue != self.control.state.catalogue or now - audited >= due:
                audited, catalogue = now, self.control.state.catalogue
                await self._prepare(served)
            if served.ready and now - collected >= self.settings.collect_seconds:
                collected = now
                with contextlib.suppress(RingfortError):
                    await self._thread(served.collect, pool=served.changes)
            with contextlib.suppress(RingfortError):
                await self._thread(served.complete, pool=served.changes)

    # -- operations --------------------------------------------------------------------------------

    async def _handle(self, op: str, request: dict[str, Any]) -> dict[str, Any]:
        if op in OPERATIONS:
            return await self._desk.asked(op, request)
        if op == "open":
            return await in_client_words(self._openings.asked(request), request.get("database"))
        if op == "readiness":
            return await self._readiness.asked(self._database(request), request)
        if op == "health":
            return self._health()
        if op == "audit":
            served = self._database(request)
            await self._prepare(served)
            return {
                "served": served.ready,
                "state": served.state,
                "reason": served.reason,
                "hint": served.hint,
                "findings": [each.to_json() for each in served.site.findings],
                "faults": served.faults(),
                "fills": served.filler.fills(),
                "hardening": audit.hardening_statements(served.site.findings),
                "transfer_roles": dataclasses.asdict(served.site.swept),
            }
        if op in AHEAD_OPERATIONS:
            return await self._ahead.asked(op, self._database(request), request)
        if op in {"domain-rotate", "domain-erase"}:
            return await self._domains.asked(op, request)
        if op in {"resolve", "bridge"}:
            return await self._undoing.asked(op, request, self._column_database)
        if op == "reach":
            return await self._thread(self._reach, request.get("tables"))
        if op == "rebind":
            served = self._database(request)
            catalogue = self.control.state.catalogue
            relations = await self._thread(self._rebind, served, catalogue)
            await self._prepare(served)
            return {"relations": relations}
        raise UsageError(f"there is no operation `{op}`")

    def _rebind(self, served: Served, catalogue: str) -> int:
        datasets = self.decider.catalogue(catalogue).for_database(served.site.database)
        return len(served.site.bound(catalogue, datasets, anew=True))

    def _reach(self, names: object) -> dict[str, Any]:
        if not isinstance(names, list):
            raise UsageError("`tables` must be a list")
        catalogue = self.decider.catalogue(self.control.state.catalogue)
        return reached(self.databases.values(), catalogue, map(str, names))

    def _column_database(self, name: str) -> Served:
        return self._database({"database": name})

    def _database(self, request: dict[str, Any]) -> Served:
        name = request.get("database")
        served = self.databases.get(name) if isinstance(name, str) else None
        if served is None:
            raise NotDecidedError(
                "there is no such database", hint="ask an operator which there are", sqlstate="3D000"
            )
        return served

    def _health(self) -> dict[str, Any]:
        return {
            "control_size": self.control.state.size,
            "databases": [
                {
                    "site": served.site.site,
                    "database": name,
                    "served": served.ready,
                    "state": served.state,
                    "reason": served.reason,
                    "hint": served.hint,
                    "reference": served.reference,
                    "maps": len(served.filler.ids),
                    "faults": served.faults(),
                    "fills": served.filler.fills(),
                }
                for name, served in self.databases.items()
            ],
        }


async def serve(settings: ProvisionerSettings) -> None:
    """Run a provisioner until SIGTERM or SIGINT; says on standard output when it serves."""
    provisioner = Provisioner(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, provisioner.stop)
    try:
        await provisioner.start()
        process.ready(socket=settings.socket, databases=provisioner._health()["databases"])  # noqa: SLF001
    except BaseException:
        provisioner.stop()
        await provisioner.run()
        raise
    await provisioner.run()


def run(config: dict[str, Any]) -> None:
    """Run with the configuration that came on standard input."""
    settings = ProvisionerSettings.from_json(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    process.main(run)
