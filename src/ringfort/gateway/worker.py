"""The worker process: speaks to clients, holds the TLS key and credentials of profiles, nothing else.

    python -m ringfort.gateway.worker        with the JSON of `settings` on standard input

Says `{"ready": true, "port": N}` once it serves; on SIGTERM it stops accepting, tells every session FATAL
57P01, records their ends and exits 0. If the ledger is lost, every session ends and nobody is let in; the
supervisor starts everything anew. The worker never reads SQL with the C grammar, never sees an administrative
DSN or a password of a principal, and cannot sign anything.

On SIGUSR1 it *drains*: it accepts nothing more (what waits in the shared queue is for the others), lets its
sessions finish, and then exits 0. Several workers run side by side and share the listening socket and the
`board`; what they say to each other goes over private sockets (`workers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import uvloop

from ringfort import process
from ringfort.errors import MissingEnvironmentError, RingfortError, UsageError
from ringfort.gateway import gate
from ringfort.gateway.authentication import Authenticator
from ringfort.gateway.board import Board, make_board
from ringfort.gateway.cancel import CancelForwarder, slot_of
from ringfort.gateway.control import ControlFollower
from ringfort.gateway.conversation import ConnectionGoneError, Conversation
from ringfort.gateway.failure_records import FailureRecords
from ringfort.gateway.ipc import IpcClient, IpcServer
from ringfort.gateway.listener import Listener
from ringfort.gateway.opening import Opener, SessionRefusedError, welcome
from ringfort.gateway.pool import SitePool
from ringfort.gateway.recording import (
    record_accepted_credential,
    record_refused_session,
)
from ringfort.gateway.session_lines import Refusals
from ringfort.gateway.sessions import Sessions
from ringfort.gateway.settings import WorkerSettings, read_settings
from ringfort.gateway.site_connection import SiteConnector
from ringfort.gateway.tls_server import ServerTls
from ringfort.gateway.tokens_keys import Tokens
from ringfort.gateway.unauthenticated import Unauthenticated
from ringfort.gateway.verdicts import Verdicts
from ringfort.gateway.workers import worker_socket
from ringfort.pgwire.backend import error_response
from ringfort.pgwire.errors import AuthenticationFailedError, ProtocolViolationError
from ringfort.pgwire.parameters import read_parameters
from ringfort.pgwire.startup import CancelRequest, StartupMessage
from ringfort.privacy.stated_text import stated
from ringfort.record.channel import LedgerChannel

if TYPE_CHECKING:
    from ringfort.gateway.authentication import Authenticated
    from ringfort.gateway.gate import Peer
    from ringfort.gateway.opening import Opened
    from ringfort.gateway.unauthenticated import Stranger

LOG = logging.getLogger(__name__)
PARSER_SECONDS = 30.0  # the parser itself refuses what waits too long, and says why
PROVISIONER_SECONDS = 10.0
BACKLOG = 1_024
STOP_SECONDS = 5.0
OWN_FILES = 64
SAY_SECONDS = 10.0
MOST_NAME = 256  # characters of a claimed name that are kept as evidence


class Worker:
    """One worker: a listener and its sessions."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self._tls = ServerTls(settings.tls, settings.client_certificates.ca)
        self._control = ControlFollower(self._changed)
        self._sessions: Sessions | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._strangers = Unauthenticated(
            settings.unauthenticated_connections, settings.unauthenticated_per_address
        )
        self._opening = 0  # authenticated, and no session yet
        board = settings.board if settings.board >= 0 else make_board()
        self._board = Board(board, settings.slot)
        self._listener: Listener | None = None
        self._private: IpcServer | None = None
        self._cancels = CancelForwarder(settings.sockets)
        self._forwarded: set[asyncio.Task[None]] = set()
        self._draining = False
        self._denied = ""
        self._stop = asyncio.Event()
        self._said = 0.0
        self._refusals = Refusals()

    async def start(self) -> int:
        """Connect to the other processes and listen; gives the port."""
        settings = self.settings
        self._ledger = await LedgerChannel.connect(
            settings.ledger_socket, actor=settings.actor, on_control=self._follow, on_lost=self._lost
        )
        self._provisioner = IpcClient(
            settings.provisioner_socket, timeout=PROVISIONER_SECONDS, slow="the provisioner"
        )
        self._failures = FailureRecords(self._ledger, settings.actor)
        self._authenticator = Authenticator(
            self._provisioner,
            lambda: self._control.state.credentials,
            settings.client_certificates,
            Tokens(settings.oidc) if settings.oidc.issuer else None,
            lambda method, facts: record_accepted_credential(self._ledger, settings.actor, method, facts),
        )
        self._parser = IpcClient(
            settings.parser_socket, timeout=PARSER_SECONDS, cancels=True, slow="the parser"
        )
        connector = self._pool = SitePool(SiteConnector(), settings.idle_site_connections)
        verdicts = Verdicts(self._parser, settings.statement_text_bytes)
        self._sessions = Sessions(settings, self._ledger, verdicts, connector, self._number_changed)
        self._ledger.on_room = self._sessions.relieved
        self._opener = Opener(settings, self._provisioner, self._ledger, connector)
        if settings.sockets:
            self._private = IpcServer(worker_socket(settings.sockets, settings.slot), self._answer)
            await self._private.start()
        return self._listen()

    def _listen(self) -> int:
        listen = self.settings.listen
        try:
            if listen.fd >= 0:
                listening = socket.socket(fileno=listen.fd)
            else:
                family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
                listening = socket.create_server((listen.host, listen.port), family=family, backlog=BACKLOG)
            listening.setblocking(False)
            port = int(listening.getsockname()[1])
        except OSError as error:
            raise MissingEnvironmentError(
                f"the gateway cannot listen: {error.strerror or error}", hint="is the port taken?"
            ) from None
        self._listener = Listener(listening, self._board, self._load, self._accept)
        self._listener.start()
        return port

    def _load(self) -> int:
        return len(self._connections) + (0 if self._sessions is None else len(self._sessions))

    def _number_changed(self) -> None:
        if self._listener is not None:
            self._listener.changed()
        if self._draining and not self._load():
            self._stop.set()

    def _accept(self, connection: socket.socket) -> None:
        task = asyncio.ensure_future(self._serve_socket(connection))
        self._connections.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        self._number_changed()

    async def _serve_socket(self, connection: socket.socket) -> None:
        conversation = Conversation(b"p")
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: conversation, connection)
        except OSError:
            connection.close()
        else:
            await self._serve(conversation)

    # -- what workers and commands ask ---------------------------------------------------------------

    async def _answer(self, op: str, request: dict[str, Any]) -> dict[str, Any]:
        sessions = self._sessions
        if sessions is None:
            raise AssertionError
        if op == "cancel":
            sessions.cancel(CancelRequest(int(request["process"]), b64decode(request["secret"])))
            return {}
        if op == "sessions":
            return {
                "worker": self.settings.actor,
                "process": os.getpid(),
                "draining": self._draining,
                "sessions": sessions.described(),
            }
        raise UsageError(f"a worker knows no `{op}`")

    def _cancel(self, sessions: Sessions, request: CancelRequest) -> None:
        if slot_of(request.process) == self.settings.slot:
            sessions.cancel(request)
            return
        task = asyncio.ensure_future(self._cancels.forward(request))
        self._forwarded.add(task)
        task.add_done_callback(self._forwarded.discard)

    # -- one connection ------------------------------------------------------------------------------

    async def _serve(self, conversation: Conversation) -> None:
        """From the first byte to an open session; whatever goes wrong, the client is told and it closes."""
        stranger: Stranger | None = None
        try:
            await conversation.made()
            stranger = self._stranger(gate.peer_address(conversation))
            async with asyncio.timeout(self.settings.startup_seconds) as deadline:
                await self._open(conversation, deadline, stranger)
        except ConnectionGoneError:
            conversation.abort()
        except TimeoutError:
            self._refuse(conversation, "08P01", "the connection took too long to start", "connect again")
        except RingfortError as error:
            self._refuse(conversation, error.sqlstate, error.message, error.hint)
        except asyncio.CancelledError:
            if stranger is not None and stranger.pushed_out:
                conversation.abort()  # it has not said who it is: no use in telling so many
                return
            self._refuse(conversation, "57P01", "the gateway is stopping", "connect again in a moment")
        except Exception as error:  # noqa: BLE001 - a fault of ours costs one connection, and its text is for us
            _report(error)
            self._refuse(conversation, "XX000", "internal error", "the gateway's log says more")
        finally:
            if stranger is not None:
                self._strangers.leave(stranger)

    def _stranger(self, address: str) -> Stranger:
        """A place for a connection that has not authenticated; raises `SessionRefusedError`."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise AssertionError
        stranger = self._strangers.enter(address, loop.time(), task.cancel)
        if self._strangers.turned_away and loop.time() - self._said >= SAY_SECONDS:
            self._said = loop.time()
            count, self._strangers.turned_away = self._strangers.turned_away, 0
            LOG.warning(
                "%d connections that had not authenticated were turned away",
                count,
                extra={"event": "strangers"},
            )
        if stranger is None:
            raise SessionRefusedError(
                "too many connections that have not authenticated",
                hint="try again in a moment",
                sqlstate="53300",
            )
        return stranger

    def _refuse(self, conversation: Conversation, sqlstate: str, text: str, hint: str) -> None:
        with contextlib.suppress(ConnectionGoneError):
            conversation.write(error_response("FATAL", sqlstate, text, hint=hint))
        conversation.close()
        asyncio.get_running_loop().call_later(STOP_SECONDS, conversation.abort)

    async def _open(self, conversation: Conversation, deadline: asyncio.Timeout, stranger: Stranger) -> None:
        sessions = self._sessions
        if sessions is None:
            raise AssertionError
        required = self.settings.tls.mode == "required"
        try:
            message, peer = await gate.greet(conversation, self._tls, required=required)
        except ProtocolViolationError:
            if not conversation.greeted:
                conversation.abort()  # this is not PostgreSQL's protocol: nothing that we say would be read
                return
            raise
        if isinstance(message, CancelRequest):
            self._cancel(sessions, message)
            conversation.close()
            return
        self._require_service()
        stranger.spoken = True
        client = await self._authenticate(conversation, message, peer)
        self._strangers.leave(stranger)
        # what follows may take longer than an unauthenticated client is given
        deadline.reschedule(asyncio.get_running_loop().time() + 2 * self.settings.startup_seconds + 60)
        facts = {"user": client.principal, "address": peer.address}
        seat: list[int] = []
        self._opening += 1
        try:
            opened = await self._decide(message, peer, client, facts, seat)
            self._require_unchanged(sessions, opened)
            try:
                sessions.begin(
                    conversation,
                    opened,
                    lambda number, secret: welcome(opened, number, secret),
                    long_keys=message.long_keys,
                    facts=facts,
                    on_end=lambda: self._leave(seat),
                )
            except ConnectionGoneError:
                sessions.never_began(opened, "client gone")
                raise
        except BaseException:
            self._leave(seat)
            raise
        finally:
            self._opening -= 1

    async def _decide(
        self,
        message: StartupMessage,
        peer: Peer,
        client: Authenticated,
        facts: dict[str, str],
        seat: list[int],
    ) -> Opened:
        """An open session on record, with a seat for its principal; a refusal is on record, too."""
        try:
            request = read_parameters(message)
            facts |= {"database": request.database, "purpose": request.purpose, "ticket": request.ticket}
            request = replace(
                request,
                purpose=stated(request.purpose, "purpose"),
                ticket=stated(request.ticket, "ticket"),
            )
            self._require_room()
            self._take_seat(facts["user"], seat)
            return await self._opener.open(request, peer.address, client)
        except RingfortError as error:
            self._refusals.session(error.message, error.sqlstate)
            await record_refused_session(
                self._ledger, self.settings.actor, error.message, error.sqlstate, facts
            )
            raise

    def _require_unchanged(self, sessions: Sessions, opened: Opened) -> None:
        if self._denied or self._control.changed_since((*opened.ground, opened.key), opened.since):
            sessions.never_began(opened, "ground changed")
            self._refusals.session("what the session stands on has just changed", "57P03")
            raise SessionRefusedError(
                self._denied or "what the session stands on has just changed",
                hint="connect again",
                sqlstate="57P03",
            )

    def _take_seat(self, principal: str, seat: list[int]) -> None:
        """One of the principal's sessions, over all workers; 53300 if it has as many as it may have."""
        most = self.settings.limits.sessions_per_principal
        if not most:
            return
        found = self._board.take_seat(principal, most)
        if found is None:
            raise SessionRefusedError(
                f"too many sessions of `{principal}`: {most} are open",
                hint="close one, or ask an operator to end one with `ringfort sessions kill`",
                sqlstate="53300",
            )
        seat.append(found)

    def _leave(self, seat: list[int]) -> None:
        while seat:
            self._board.leave_seat(seat.pop())

    def _require_service(self) -> None:
        if self._denied:
            raise SessionRefusedError(self._denied, hint="connect again in a moment", sqlstate="57P03")

    def _require_room(self) -> None:
        """This session, and those that open beside it, have a place each; silent connections take none."""
        if self._sessions is None or len(self._sessions) + self._opening > self.settings.max_sessions:
            raise SessionRefusedError("sorry, too many clients already", hint="try later", sqlstate="53300")

    async def _authenticate(
        self, conversation: Conversation, message: StartupMessage, peer: Peer
    ) -> Authenticated:
        try:
            return await self._authenticator.authenticate(conversation, message, peer)
        except AuthenticationFailedError as error:
            self._refusals.login(error.reason)
            claimed = dict(message.parameters).get(b"user", b"").decode("utf-8", "replace")
            facts = {"user": claimed[:MOST_NAME], "address": peer.address, **error.evidence}
            await self._failures.record(error.reason, facts)
            raise

    # -- what the ledger says ------------------------------------------------------------------------

    def _follow(self, index: int, entry: bytes) -> None:
        try:
            self._control.take(index, entry)
        except RingfortError as error:
            LOG.critical(
                "control entry %d does not follow: %s", index, error, extra={"event": "control-refused"}
            )
            self._deny("the record does not hold together")

    def _changed(self, key: str, index: int, text: str) -> None:
        if self._sessions is not None:
            self._pool.empty()
            self._sessions.changed(key, index, text)

    def _lost(self, error: Exception) -> None:
        LOG.critical("the ledger writer is lost: %s", error, extra={"event": "ledger-lost"})
        self._deny("the record cannot be written")

    def _deny(self, why: str) -> None:
        """Let nobody in any more and end everybody."""
        self._denied = why
        if self._sessions is not None:
            self._sessions.end_all(
                "58030", why, "nothing more is released; connect again later", "not recorded"
            )

    # -- the end -------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """SIGTERM."""
        self._stop.set()

    def request_drain(self) -> None:
        """SIGUSR1: accept nothing more, and stop when the last session has ended."""
        self._draining = True
        self._pool.retire()
        if self._listener is not None:
            self._listener.stop()
        if not self._load():
            self._stop.set()

    async def run(self) -> None:
        """Serve until asked to stop; then end everything in order."""
        await self._stop.wait()
        if self._listener is not None:
            self._listener.stop()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=STOP_SECONDS)
        if self._sessions is not None:
            self._sessions.end_all(
                "57P01", "the gateway is stopping", "connect again in a moment", "gateway stopped"
            )
            await self._sessions.close()
            await self._pool.close()
            with contextlib.suppress(RingfortError):  # a ledger that is lost takes no summary
                await self._failures.close()
        if self._private is not None:
            await self._private.stop()
        self._ledger.close()
        self._provisioner.close()
        self._parser.close()
        self._refusals.close()
        await asyncio.sleep(0.05)  # let the last words and records leave their buffers


def _report(error: BaseException) -> None:
    """Where a fault of ours stands; never its text, which might carry a value."""
    LOG.critical("a fault of ours", exc_info=error, extra={"event": "fault"})


async def _main(settings: WorkerSettings) -> None:
    worker = Worker(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.request_stop)
    loop.add_signal_handler(signal.SIGUSR1, worker.request_drain)
    loop.set_exception_handler(lambda _, context: _report(context.get("exception") or RuntimeError()))
    port = await worker.start()
    # what is here now stays; fewer, larger collections suit many short-lived values without cycles
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    process.ready(port=port)
    await worker.run()


def _limit(settings: WorkerSettings) -> None:
    """Room for two sockets for each session; no core file, which would hold credentials and rows."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    strangers = settings.unauthenticated_connections
    wanted = 2 * settings.max_sessions + 2 * strangers + settings.idle_site_connections + OWN_FILES
    if resource.RLIM_INFINITY != soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def run(config: dict[str, Any]) -> None:
    """Serve with the settings in `config` until SIGTERM."""
    settings = read_settings(config)
    _limit(settings)
    uvloop.run(_main(settings))


if __name__ == "__main__":
    process.main(run)
