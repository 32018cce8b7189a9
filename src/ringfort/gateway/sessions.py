"""The open sessions of a worker: their two protocols, their cancel keys, and everything that ends them.

A session ends when its client goes, its site goes, a limit is met, its ground changes (policy, catalogue,
zones, registration: told with FATAL 57P01 within the turn of the loop in which the control entry arrives),
the ledger is lost or stalls, or the worker stops. Each end is recorded with its totals. A client that does
not take its last words is cut off after `GRACE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.gateway.conversation import ConnectionGoneError
from ringfort.gateway.outbox import Outbox, OutgoingSite
from ringfort.gateway.recording import EndsBatch, session_ended
from ringfort.gateway.relay import Relay
from ringfort.pgwire.exchange import Exchange
from ringfort.pgwire.startup import SHORT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ringfort.gateway.conversation import Conversation
    from ringfort.gateway.opening import Opened
    from ringfort.gateway.recording import Ledger
    from ringfort.gateway.settings import WorkerSettings
    from ringfort.gateway.site_connection import SiteConnector
    from ringfort.gateway.verdicts import Verdicts
    from ringfort.pgwire.startup import CancelRequest

GRACE_SECONDS = 5.0
WRITE_HIGH = 262_144
TICK_SECONDS = 1.0
CLOSE_SECONDS = 1.0
LONG_KEY = 32  # bytes, as PostgreSQL 18 makes them


class _ClientEnd(asyncio.Protocol):
    """The client's side of a relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.data_received = relay.from_client  # type: ignore[method-assign]  # saves a call per read

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._relay.client_lost()

    def pause_writing(self) -> None:
        self._relay.client_takes(False)

    def resume_writing(self) -> None:
        self._relay.client_takes(True)


class _SiteEnd(asyncio.Protocol):
    """The site's side of a relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.data_received = relay.from_site  # type: ignore[method-assign]  # saves a call per read

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._relay.site_lost()

    def pause_writing(self) -> None:
        self._relay.site_takes(False)

    def resume_writing(self) -> None:
        self._relay.site_takes(True)


@dataclass
class Session:
    """One open session."""

    opened: Opened
    process: int
    secret: bytes
    relay: Relay
    stalled: int = 0
    seen: int = 0


class Sessions:
    """All open sessions of one worker."""

    def __init__(
        self,
        settings: WorkerSettings,
        ledger: Ledger,
        verdicts: Verdicts,
        connector: SiteConnector,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._verdicts = verdicts
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._ends = EndsBatch(ledger, settings.actor, self._loop)
        self._outbox = Outbox(self._loop)
        self._by_process: dict[int, Session] = {}
        self._leaving: set[Relay] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def __len__(self) -> int:
        return len(self._by_process)

    def begin(
        self,
        conversation: Conversation,
        opened: Opened,
        words: Callable[[int, bytes], bytes],
        *,
        long_keys: bool = False,
    ) -> None:
        """Join client and site: from here on the relay has both transports.

        `words(process, secret)` is what the client is sent first; `long_keys`: it takes a cancel key of more
        than 4 bytes. Raises `ConnectionGoneError` if one of the two is gone already; nothing is begun then.
        """
        settings = self._settings
        process, secret = self._key(long=long_keys)
        exchange = Exchange(settings.limits.rows_per_session, settings.limits.bytes_per_session)
        client, site = conversation.transport, opened.site.conversation.transport
        if client is None or site is None or opened.site.conversation.lost:
            raise ConnectionGoneError
        relay = Relay(
            session=opened.session,
            actor=settings.actor,
            ledger=self._ledger,
            ends=self._ends,
            verdicts=self._verdicts.for_surface(opened.surface),
            exchange=exchange,
            client=client,
            site=OutgoingSite(site, self._outbox),
            message_bytes=settings.message_bytes,
            on_end=lambda outcome, busy: self._ended(process, outcome, busy=busy),
        )
        _, behind = opened.site.conversation.hand_over(_SiteEnd(relay))
        self._by_process[process] = Session(opened, process, secret, relay)
        try:
            conversation.write(words(process, secret))
            _, early = conversation.hand_over(_ClientEnd(relay))
        except ConnectionGoneError:
            relay.client_lost()
            return
        for transport in (client, site):
            transport.set_write_buffer_limits(high=WRITE_HIGH)
        if behind:
            relay.from_site(behind)
        if early:
            relay.from_client(early)
        if not relay.over:
            site.resume_reading()
            client.resume_reading()

    def _key(self, *, long: bool) -> tuple[int, bytes]:
        """A cancel key that no open session has: protocol 3.0 has room for 4 bytes, 3.2 for up to 256."""
        while True:
            process = int.from_bytes(os.urandom(4), "big") & 0x7FFF_FFFF
            if process and process not in self._by_process:
                return process, os.urandom(LONG_KEY if long else SHORT_KEY)

    def cancel(self, request: CancelRequest) -> None:
        """Forward a cancel request to the site of the session that it names with the right secret."""
        session = self._by_process.get(request.process)
        right = session.secret if session is not None else bytes(SHORT_KEY)
        if hmac.compare_digest(request.secret, right) and session is not None:
            self._spawn(self._connector.cancel(session.opened.site.target, session.opened.site.key))

    def changed(self, key: str, index: int, text: str) -> None:
        """A state key changed at `index`: end every session whose decision stood on it."""
        for session in list(self._by_process.values()):
            if key in session.opened.ground and index >= session.opened.since:
                session.relay.end(
                    "57P01",
                    f"the session ends: {text}",
                    "connect again: a new decision is made",
                    "ground changed",
                )

    def end_all(self, sqlstate: str, text: str, hint: str, outcome: str) -> None:
        """End every session."""
        for session in list(self._by_process.values()):
            session.relay.end(sqlstate, text, hint, outcome)

    async def close(self) -> None:
        """Write the record of ends, those of statements that are just getting durable too; finish cancels."""
        self._timer.cancel()
        deadline = self._loop.time() + CLOSE_SECONDS
        while any(relay.owes_ends for relay in self._leaving) and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # rare and short: no event for it on the hot path
        self._ends.flush()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)

    def _ended(self, process: int, outcome: str, *, busy: bool) -> None:
        session = self._by_process.pop(process)
        relay, exchange = session.relay, session.relay.exchange
        self._ends.flush()
        self._ledger.note(
            session_ended(
                self._settings.actor,
                session.opened.session,
                outcome,
                statements=relay.recorder.issued,
                rows=exchange.rows,
                size=exchange.bytes,
            )
        )
        if busy:
            # the closed socket alone would let a long query run on at the site
            self._spawn(self._connector.cancel(session.opened.site.target, session.opened.site.key))
        self._leaving.add(relay)
        self._loop.call_later(GRACE_SECONDS, self._forget, relay)

    def _forget(self, relay: Relay) -> None:
        self._leaving.discard(relay)
        relay.abandon()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tick(self) -> None:
        """End sessions whose statements are not getting durable: nothing is held for ever."""
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        for session in list(self._by_process.values()):
            relay = session.relay
            if relay.durable < relay.recorder.issued and relay.durable == session.seen:
                session.stalled += 1
            else:
                session.stalled = 0
            session.seen = relay.durable
            if session.stalled * TICK_SECONDS >= self._settings.record_seconds:
                relay.end(
                    "58030",
                    "the statement could not be recorded in time",
                    "nothing was released",
                    "not recorded",
                )


__all__ = ["Session", "Sessions"]
