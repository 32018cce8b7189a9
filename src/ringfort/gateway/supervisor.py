"""Starts, watches and stops the processes of one deployment.

Order: sites, ledger writer, activation of what the folder says (policy, catalogue, zones), ledger over HTTP,
provisioner, parser, workers; the reverse when stopping. Invariants:

- Only one supervisor runs for a folder (an exclusive lock on `state/up.lock`).
- Each child gets its own secrets and nobody else's (DESIGN principle 7): the writer the signing key, the
  provisioner the administrative DSNs, the root secret and the SCRAM verifiers, a worker the TLS key.
- The listening socket belongs to the supervisor and is inherited by every worker, so that workers can be
  replaced without losing connections that wait in its queue.
- A worker or parser that dies is replaced, and no other is touched. When the writer or the provisioner dies,
  the workers have already denied everything; all children are started anew. Too many deaths of one process in
  a short time end the whole with exit 1; while the ledger's disk is full, it waits for room instead.
- `reload` (over the private socket `supervisor.sock`) replaces the workers with ones that know the settings
  as they are in the file now; sessions stay where they are. What other processes were told cannot change so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
import re
import select
import signal
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from ringfort import __version__, interruption
from ringfort.config import load_config
from ringfort.errors import (
    CheckFailedError,
    ConfigurationError,
    MissingEnvironmentError,
    RingfortError,
    UsageError,
)
from ringfort.gateway import child_configs
from ringfort.gateway.activation import activate, load_folder
from ringfort.gateway.child import Child, unconfined
from ringfort.gateway.listener import listening_socket
from ringfort.gateway.request_socket import RequestSocket
from ringfort.gateway.serving import Serving, sites_told, where_to_connect
from ringfort.gateway.worker_set import WorkerSet
from ringfort.interruption import AGAIN_SECONDS, BASE_CODE
from ringfort.logs import LogSettings
from ringfort.paths import Layout, private_folder, runtime_folder
from ringfort.record.client import ledger_folder, open_ledger
from ringfort.record.journal import SEGMENT_BYTES
from ringfort.sites.deployment import GATEWAY_NAMES, UNFINISHED
from ringfort.sites.postgres import EmbeddedServer
from ringfort.sites.tls import ensure_tls

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from ringfort.config import Config

LOG = logging.getLogger(__name__)
SUPERVISOR_SOCKET = "supervisor.sock"
MOST_DEATHS = 5
DEATHS_SECONDS = 60.0
ROOM_SECONDS = 0.5
_SEE_LOGS = "`ringfort logs DIR` shows what it said"
_TOLD_TO_OTHERS = (
    "`gateway.host` and `gateway.port`",
    "the sites",
    "settings of the ledger",
    "settings of the provisioner",
    "settings of the parser",
)


class Supervisor:
    """One deployment, up. Its log lines tell about progress; `log_format` goes before what the file says.

    `stderr` is the least grave level that standard error gets, here and from every child.
    """

    def __init__(self, folder: Path, *, log_format: str = "", stderr: str = "info") -> None:
        self.config = load_config(folder)
        self.folder = self.config.folder
        self._log_format = log_format
        self._stderr = stderr
        self.sites: dict[str, EmbeddedServer] = {}
        self.children: dict[str, Child] = {}
        self.listener: socket.socket | None = None
        self.workers: WorkerSet | None = None
        self._requests: RequestSocket | None = None
        self._lock: int | None = None
        self._deaths: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MOST_DEATHS))
        self._wake_reader, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stopping = False
        self.serving = Serving(
            str(runtime_folder(self.folder) / "provisioner.sock"),
            [(name, site.name) for site in self.config.sites for name in site.databases],
        )
        self._stopping_since = 0.0

    # -- starting ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring everything up; on any error what was started is stopped again."""
        if (self.folder / UNFINISHED).exists():
            raise ConfigurationError(
                "`ringfort init` was interrupted here", path=self.folder, hint="run it again, it resumes"
            )
        load_folder(self.config)  # everything that a person wrote is checked before anything starts
        self._take_lock()
        try:
            self._renew_tls()
            self._bind()
            self._start_sites()
            self._start_children(first=True)
            self._requests = RequestSocket(str(runtime_folder(self.folder) / SUPERVISOR_SOCKET))
            self.serving.look()
            LOG.info("everything is up", extra={"event": "started"})
        except BaseException:
            self.stop()
            raise

    def _renew_tls(self) -> None:
        if not self.config.gateway.tls_certificate:
            ensure_tls(private_folder(Layout(self.folder).tls), GATEWAY_NAMES)  # renews what is old

    def _take_lock(self) -> None:
        state = private_folder(self.folder / "state")
        private_folder(Layout(self.folder).logs)
        self._lock = os.open(state / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held_by = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            self._lock = None
            raise MissingEnvironmentError(
                f"`{self.folder}` is already up (process {held_by})", hint="stop that one first"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _bind(self) -> None:
        listener = listening_socket(self.config.gateway.host, self.config.gateway.port)
        self.listener = listener
        self.workers = WorkerSet(listener.fileno(), self._child)

    def _start_sites(self) -> None:
        for site in self.config.sites:
            if site.kind != "embedded":
                continue
            LOG.info("starting site %s (%s)", site.name, site.country, extra={"event": "starting"})
            server = EmbeddedServer.of_site(self.folder, site.name, port=site.port)
            self.sites[site.name] = server
            server.start()
            LOG.info("site %s serves; files: %s", site.name, server.place, extra={"event": "site-started"})

    def _start_children(self, *, first: bool) -> None:
        """Start them in order.

        Only a start by a person puts what the folder says into force: what is being edited there must not
        come into force because a process died.
        """
        LOG.info("starting ledger", extra={"event": "starting"})
        self._spawn("writer", "ringfort.record.writer", child_configs.writer(self.config))
        with open_ledger(self.folder) as ledger:
            if first:
                activated = activate(self.config, ledger)
                for change in activated.changes:
                    LOG.info("%s", change, extra={"event": "activated"})
                for warning in activated.warnings:
                    LOG.warning("%s", warning, extra={"event": "policy-warning"})
            child_configs.record_started(ledger, __version__)
        self._spawn("ledger-http", "ringfort.record.http", child_configs.http(self.config))
        LOG.info("starting gateway", extra={"event": "starting"})
        self._spawn(
            "provisioner", "ringfort.gateway.provisioner", child_configs.provisioner(self.config, self.sites)
        )
        self._spawn("parser", "ringfort.gateway.parser", child_configs.parser(self.config))
        if self.workers is None:
            raise AssertionError
        self.workers.start(self.config)

    def _spawn(self, name: str, module: str, config: dict[str, Any]) -> None:
        child = self._child(name, module, config)
        self.children[name] = child
        child.start()

    def _child(
        self, name: str, module: str, config: dict[str, Any], inherited: tuple[int, ...] = ()
    ) -> Child:
        kind = re.sub(r"-[0-9]+$", "", name)
        return Child(
            name, module, {**config, "log": dataclasses.asdict(self.log_settings(name, kind))}, inherited
        )

    def log_settings(self, process: str, file: str = "") -> LogSettings:
        """Where the lines of one of our processes go."""
        return LogSettings(
            process=process,
            folder=str(Layout(self.folder).logs),
            file=file,
            format=self._log_format or self.config.log.format,
            level=self.config.log.level,
            stderr=self._stderr,
        )

    # -- running -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP end `wait`, or interrupt `start`; everything is stopped on leaving."""
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            yield
        except _StoppedError:
            pass
        finally:
            for number in previous:
                signal.signal(number, self._on_second_signal)
            try:
                self.stop()
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        if not self._stopping:
            self._stopping = True
            interruption.note(number)
            self._stopping_since = time.monotonic()
            raise _StoppedError

    def _on_second_signal(self, number: int, _frame: object) -> None:
        """End at once: no child is left, and an embedded server shuts down when this process is gone."""
        if time.monotonic() - self._stopping_since < AGAIN_SECONDS:
            return
        for child in [*self.children.values(), *(() if self.workers is None else self.workers.children())]:
            child.tell(signal.SIGKILL)
        os._exit(BASE_CODE + number)

    def wait(self) -> None:
        """Watch the children and answer requests until a signal ends it; replaces what dies."""
        while True:
            if self._requests is None or self.workers is None:
                raise AssertionError
            waiting = [self._wake_reader, self._requests.fileno()]
            if self._requests.fileno() in select.select(waiting, [], [], 0.2)[0]:
                self._requests.serve(self._answer)
            for child in list(self.children.values()):
                code = child.poll()
                if code is not None:
                    self._mourn(child, code)
                    break
            else:
                self._mourn_workers(self.workers)
            for name, server in self.sites.items():
                if not server.running:
                    self._count_death(f"site {name} ended", f"its log is {server.place / 'server.log'}")
                    LOG.error("site %s ended; starting it again", name, extra={"event": "site-ended"})
                    self._restart()  # all of it: the site may come back on another port
                    break

    def _count_death(self, what: str, hint: str) -> None:
        now = time.monotonic()
        deaths = self._deaths[what]
        if len(deaths) == MOST_DEATHS and now - deaths[0] < DEATHS_SECONDS:
            raise CheckFailedError(
                f"{what}, and there were {MOST_DEATHS} such ends within {DEATHS_SECONDS:.0f} seconds",
                hint=hint,
            )
        deaths.append(now)

    def _mourn(self, child: Child, code: int) -> None:
        self._count_death(f"{child.name} ended", _SEE_LOGS)
        LOG.error("%s ended with %d; starting it again", child.name, code, extra={"event": "process-ended"})
        child.stop()
        if child.name in {"parser", "ledger-http"}:
            try:
                child.start()
            except RingfortError as error:  # what it needs is perhaps gone, too
                self._not_started(error)
            else:
                LOG.info("%s serves again", child.name, extra={"event": "process-replaced"})
                return
        self._restart()

    def _mourn_workers(self, workers: WorkerSet) -> None:
        for name, code in workers.reap():
            LOG.error(
                "a %s that was finishing its sessions ended with %d",
                name,
                code,
                extra={"event": "worker-lost-draining"},
            )
        for name, code in workers.ended():
            self._count_death(f"{name} ended", _SEE_LOGS)
            LOG.error("%s ended with %d; starting it again", name, code, extra={"event": "process-ended"})
            try:
                workers.again(self.config, name)
            except RingfortError as error:  # what it needs is perhaps gone, too
                self._not_started(error)
                self._restart()
                return
            LOG.info("%s serves again", name, extra={"event": "process-replaced"})

    def _restart(self) -> None:
        """Sites that ended and all children, anew. What does not start is one more end, and tried again."""
        while True:
            self._stop_gateway()
            self._end("writer")
            self._await_room()
            try:
                for server in self.sites.values():
                    server.start()  # nothing happens to one that runs
                self._start_children(first=False)
            except RingfortError as error:
                self._not_started(error)
            else:
                LOG.info("everything is up again", extra={"event": "started"})
                return

    def _await_room(self) -> None:
        """While the ledger's disk is full nothing can be released: wait, however long it takes."""
        waited = False
        while True:
            disk = os.statvfs(ledger_folder(self.folder))
            if disk.f_bavail * disk.f_frsize >= SEGMENT_BYTES:
                break
            if not waited:
                LOG.error(
                    "the ledger's disk has less than %d MiB left; waiting for room",
                    SEGMENT_BYTES >> 20,
                    extra={"event": "ledger-disk-full"},
                )
            waited = True
            time.sleep(ROOM_SECONDS)
        if waited:
            self._deaths.clear()  # they had this one cause
            LOG.info("there is room again", extra={"event": "ledger-disk-room"})

    def _not_started(self, error: RingfortError) -> None:
        self._count_death(error.message, error.hint)
        LOG.error("%s; starting again", error, extra={"event": "start-failed"})

    # -- reloading -----------------------------------------------------------------------------------

    def _answer(self, op: str, _: dict[str, Any]) -> dict[str, Any]:
        if op == "reload":
            try:
                return self.reload()
            except RingfortError as error:
                LOG.warning("nothing was reloaded: %s", error, extra={"event": "reload-refused"})
                raise
        if op == "status":
            return self.status()
        raise UsageError(f"the supervisor knows no `{op}`")

    def reload(self) -> dict[str, Any]:
        """Replace the workers; gives how many there are, and how many still finish sessions.

        Raises `ConfigurationError` for a file that is invalid, `CheckFailedError` for a setting that needs a
        restart, `MissingEnvironmentError` if a worker does not start; then everything is as it was.
        """
        if self.workers is None:
            raise AssertionError
        config = load_config(self.folder)
        self._require_the_same(config)
        before, self.config = self.config, config
        try:
            self._renew_tls()
            self.workers.replace(config)
        except BaseException:
            self.config = before
            raise
        LOG.info("the workers were replaced", extra={"event": "workers-replaced"})
        return {"workers": len(self.workers.accepting), "finishing": len(self.workers.leaving)}

    def _told_to_others(self, config: Config) -> tuple[object, ...]:
        return (
            (config.gateway.host, config.gateway.port),
            config.sites,
            (child_configs.writer(config), child_configs.http(config)),
            {**child_configs.provisioner(config, self.sites), "connections_per_profile": 0},
            child_configs.parser(config),
        )

    def _require_the_same(self, config: Config) -> None:
        """What anybody but a worker was told is as it was."""
        for what, now, before in zip(
            _TOLD_TO_OTHERS, self._told_to_others(config), self._told_to_others(self.config), strict=True
        ):
            if now != before:
                raise CheckFailedError(
                    f"{what} have changed, which takes a restart",
                    hint="stop `ringfort up` and start it again; nothing has been changed",
                )

    # -- telling -------------------------------------------------------------------------------------

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        if self.listener is None:
            raise AssertionError
        return self.config.gateway.host, int(self.listener.getsockname()[1])

    @property
    def ledger_url(self) -> str:
        """Where the ledger is served."""
        host = self.config.ledger.http_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.children['ledger-http'].ready['port']}"

    def serve_ready_file(self, path: Path | None) -> None:
        """From now on the file at `path` is there exactly while every database is served."""
        host, port = self.address
        facts = {"gateway": {"host": host, "port": port}, "ledger_url": self.ledger_url}
        self.serving.begin(path, facts)

    def describe(self) -> str:
        """What is served and where to connect, or why not and what to do next; for a person."""
        host, port = self.address
        served = where_to_connect(host, port, self.ledger_url, self.serving.databases)
        return served + unconfined(self.children.get("parser"))

    def status(self) -> dict[str, Any]:
        """What runs, and what is served."""
        workers = () if self.workers is None else self.workers.children()
        return {
            "version": __version__,
            "process": os.getpid(),
            "gateway": "{}:{}".format(*self.address),
            "ledger_url": self.ledger_url,
            "logs": str(Layout(self.folder).logs),
            "processes": [
                {"name": each.name, "process": each.process.pid, "running": each.poll() is None}
                for each in [*self.children.values(), *workers]
                if each.process is not None
            ],
            "sites": sites_told(self.sites),
            "databases": self.serving.databases,
        }

    # -- stopping ------------------------------------------------------------------------------------

    def _stop_gateway(self) -> None:
        """Stop everything but the sites and the writer."""
        if self.workers is not None:
            self.workers.stop()
        for name in reversed(list(self.children)):
            if name != "writer":
                self._end(name)

    def _end(self, name: str) -> None:
        """Stop one and forget it only then: a second signal ends whoever was told to stop already."""
        child = self.children.get(name)
        if child is not None:
            child.stop()
            del self.children[name]

    def stop(self) -> None:
        """Stop everything, in order; safe to call twice. Sessions are told, ends are recorded."""
        if self.children:
            LOG.info("stopping", extra={"event": "stopping"})
        self.serving.end()
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        self._stop_gateway()
        writer = self.children.get("writer")
        if writer is not None and writer.poll() is None:
            with contextlib.suppress(Exception), open_ledger(self.folder) as ledger:
                child_configs.record_stopped(ledger)
        self._end("writer")
        for name in list(self.sites):
            self.sites.pop(name).stop()
            LOG.info("site %s was stopped", name, extra={"event": "site-stopped"})
        if self.workers is not None:
            self.workers.close()
            self.workers = None
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None
        with contextlib.suppress(OSError):
            runtime_folder(self.folder).rmdir()


class _StoppedError(BaseException):
    """A signal asked for a clean stop."""
