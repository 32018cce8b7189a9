"""The worker process: speaks to clients, holds the TLS key and credentials of profiles, nothing else.

    python -m ringfort.gateway.worker        with the JSON of `settings` on standard input

Says `{"ready": true, "port": N}` once it serves; on SIGTERM it stops accepting, tells every session FATAL
57P01, records their ends and exits 0. If the ledger is lost, every session ends and nobody is let in; the
supervisor starts everything anew. The worker never reads SQL with the C grammar, never sees an administrative
DSN or a password of a principal, and cannot sign anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, Any

import uvloop

from ringfort.errors import MissingEnvironmentError, RingfortError
from ringfort.gateway import gate
from ringfort.gateway.authentication import Authenticator
from ringfort.gateway.control import ControlFollower
from ringfort.gateway.conversation import ConnectionGoneError, Conversation
from ringfort.gateway.ipc import IpcClient
from ringfort.gateway.opening import Opener, SessionRefusedError, welcome
from ringfort.gateway.recording import record_failed_authentication, record_refused_session
from ringfort.gateway.sessions import Sessions
from ringfort.gateway.settings import WorkerSettings, read_settings
from ringfort.gateway.site_connection import SiteConnector
from ringfort.gateway.tls_server import ServerTls
from ringfort.gateway.verdicts import Verdicts
from ringfort.pgwire.backend import error_response
from ringfort.pgwire.errors import AuthenticationFailedError, ProtocolViolationError
from ringfort.pgwire.parameters import read_parameters
from ringfort.pgwire.startup import CancelRequest, StartupMessage
from ringfort.record import process
from ringfort.record.channel import LedgerChannel

if TYPE_CHECKING:
    from ringfort.gateway.authentication import Authenticated
    from ringfort.gateway.gate import Peer

PARSER_SECONDS = 5.0
PROVISIONER_SECONDS = 10.0
BACKLOG = 1_024
STOP_SECONDS = 5.0
STARTING_MOST = 256  # connections in their startup beyond `max_sessions`; more are cut off unheard
OWN_FILES = 64


class Worker:
    """One worker: a listener and its sessions."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self._tls = ServerTls(settings.tls)
        self._control = ControlFollower(self._changed)
        self._sessions: Sessions | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.AbstractServer | None = None
        self._denied = ""
        self._stop = asyncio.Event()

    async def start(self) -> int:
        """Connect to the other processes and listen; gives the port."""
        settings = self.settings
        self._ledger = await LedgerChannel.connect(
            settings.ledger_socket, actor=settings.actor, on_control=self._follow, on_lost=self._lost
        )
        self._provisioner = IpcClient(settings.provisioner_socket, timeout=PROVISIONER_SECONDS)
        self._authenticator = Authenticator(self._provisioner)
        self._parser = IpcClient(settings.parser_socket, timeout=PARSER_SECONDS)
        connector = SiteConnector()
        verdicts = Verdicts(self._parser, settings.statement_text_bytes)
        self._sessions = Sessions(settings, self._ledger, verdicts, connector)
        self._opener = Opener(settings, self._provisioner, self._ledger, self._control, connector)
        return await self._listen()

    async def _listen(self) -> int:
        listen = self.settings.listen
        loop = asyncio.get_running_loop()
        try:
            if listen.fd >= 0:
                listener = socket.socket(fileno=listen.fd)
                self._server = await loop.create_server(self._accept, sock=listener, backlog=BACKLOG)
            else:
                self._server = await loop.create_server(
                    self._accept, listen.host, listen.port, backlog=BACKLOG
                )
        except OSError as error:
            raise MissingEnvironmentError(
                f"the gateway cannot listen: {error.strerror or error}", hint="is the port taken?"
            ) from None
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self) -> Conversation:
        conversation = Conversation(b"p")
        task = asyncio.ensure_future(self._serve(conversation))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        return conversation

    # -- one connection ------------------------------------------------------------------------------

    async def _serve(self, conversation: Conversation) -> None:
        """From the first byte to an open session; whatever goes wrong, the client is told and it closes."""
        try:
            await conversation.made()
            if len(self._connections) > self.settings.max_sessions + STARTING_MOST:
                conversation.abort()  # nobody has said a word yet: no use in telling so many
                return
            async with asyncio.timeout(self.settings.startup_seconds) as deadline:
                await self._open(conversation, deadline)
        except ConnectionGoneError:
            conversation.abort()
        except TimeoutError:
            self._refuse(conversation, "08P01", "the connection took too long to start", "connect again")
        except RingfortError as error:
            self._refuse(conversation, error.sqlstate, error.message, error.hint)
        except asyncio.CancelledError:
            self._refuse(conversation, "57P01", "the gateway is stopping", "connect again in a moment")
        except Exception as error:  # noqa: BLE001 - a fault of ours costs one connection, and its text is for us
            _report(error)
            self._refuse(conversation, "XX000", "internal error", "the gateway's log says more")

    def _refuse(self, conversation: Conversation, sqlstate: str, text: str, hint: str) -> None:
        with contextlib.suppress(ConnectionGoneError):
            conversation.write(error_response("FATAL", sqlstate, text, hint=hint))
        conversation.close()
        asyncio.get_running_loop().call_later(STOP_SECONDS, conversation.abort)

    async def _open(self, conversation: Conversation, deadline: asyncio.Timeout) -> None:
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
            sessions.cancel(message)
            conversation.close()
            return
        self._admit_one_more(sessions)
        client = await self._authenticate(conversation, message, peer)
        # what follows may take longer than an unauthenticated client is given
        deadline.reschedule(asyncio.get_running_loop().time() + 2 * self.settings.startup_seconds + 60)
        facts = {"user": client.principal, "address": peer.address}
        try:
            request = read_parameters(message)
            facts |= {"database": request.database, "purpose": request.purpose, "ticket": request.ticket}
            opened = await self._opener.open(request, peer.address)
        except RingfortError as error:
            await record_refused_session(
                self._ledger, self.settings.actor, error.message, error.sqlstate, facts
            )
            raise
        if self._control.changed_since(opened.ground, opened.since) or self._denied:
            opened.site.conversation.abort()
            raise SessionRefusedError(
                self._denied or "what the session stands on has just changed",
                hint="connect again",
                sqlstate="57P03",
            )
        try:
            sessions.begin(
                conversation,
                opened,
                lambda number, secret: welcome(opened, number, secret),
                long_keys=message.long_keys,
            )
        except ConnectionGoneError:
            opened.site.conversation.abort()
            raise

    def _admit_one_more(self, sessions: Sessions) -> None:
        if self._denied:
            raise SessionRefusedError(self._denied, hint="connect again in a moment", sqlstate="57P03")
        if len(sessions) + len(self._connections) > self.settings.max_sessions:
            raise SessionRefusedError("sorry, too many clients already", hint="try later", sqlstate="53300")

    async def _authenticate(
        self, conversation: Conversation, message: StartupMessage, peer: Peer
    ) -> Authenticated:
        try:
            return await self._authenticator.authenticate(conversation, message, peer)
        except AuthenticationFailedError as error:
            claimed = dict(message.parameters).get(b"user", b"").decode("utf-8", "replace")
            await record_failed_authentication(
                self._ledger, self.settings.actor, error.reason, {"user": claimed, "address": peer.address}
            )
            raise

    # -- what the ledger says ------------------------------------------------------------------------

    def _follow(self, index: int, entry: bytes) -> None:
        try:
            self._control.take(index, entry)
        except RingfortError as error:
            sys.stderr.write(f"control entry {index} does not follow: {error.message}\n")
            self._deny("the record does not hold together")

    def _changed(self, key: str, index: int, text: str) -> None:
        if self._sessions is not None:
            self._sessions.changed(key, index, text)

    def _lost(self, error: Exception) -> None:
        sys.stderr.write(f"the ledger writer is lost: {error}\n")
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

    async def run(self) -> None:
        """Serve until asked to stop; then end everything in order."""
        await self._stop.wait()
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=STOP_SECONDS)
        if self._sessions is not None:
            self._sessions.end_all(
                "57P01", "the gateway is stopping", "connect again in a moment", "gateway stopped"
            )
            await self._sessions.close()
        self._ledger.close()
        self._provisioner.close()
        self._parser.close()
        await asyncio.sleep(0.05)  # let the last words and records leave their buffers


def _report(error: BaseException) -> None:
    """Where a fault of ours stands; never its text, which might carry a value."""
    where = " < ".join(f"{at.name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__))
    sys.stderr.write(f"{type(error).__name__} at {where}\n")


async def _main(settings: WorkerSettings) -> None:
    worker = Worker(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.request_stop)
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
    wanted = 2 * (settings.max_sessions + STARTING_MOST) + OWN_FILES
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
