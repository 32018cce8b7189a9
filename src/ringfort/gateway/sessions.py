"""The open sessions of a worker: their two protocols, their cancel keys, and everything that ends them.

A session ends when its client goes, its site goes, a limit is met, its ground changes (policy, catalogue,
zones, registration: told with FATAL 57P01 within the turn of the loop in which the control entry arrives),
an operator kills it, it is idle or open for too long (one sweep for all, see `limits`), its grant, its
certificate or token ends, the ledger is lost or stalls, or the worker stops. Each end is recorded with its
totals. Nothing more is read from its client (`client_transport`); one that does not take its last words is
cut off after `GRACE_SECONDS`, or `CUT_SECONDS` if it was to end at once.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ringfort.gateway.cancel import is_key, make_key
from ringfort.gateway.client_transport import ClientTransport
from ringfort.gateway.clock_watch import ClockWatch, Deadline
from ringfort.gateway.conversation import ConnectionGoneError
from ringfort.gateway.limits import SessionClock, SpentEvidence
from ringfort.gateway.outbox import Outbox, OutgoingSite
from ringfort.gateway.recording import EndsBatch, session_ended
from ringfort.gateway.relay import Relay
from ringfort.gateway.session_lines import record_goes_on, record_waits, sessions_ended
from ringfort.gateway.session_lines import session_ended as log_session_ended
from ringfort.gateway.session_lines import session_opened as log_session_opened
from ringfort.ledger.entry import format_time
from ringfort.pgwire.debts import QUERY, SYNC
from ringfort.pgwire.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping

    from ringfort.gateway.conversation import Conversation
    from ringfort.gateway.opening import Opened
    from ringfort.gateway.pool import SitePool
    from ringfort.gateway.recording import Ledger
    from ringfort.gateway.settings import WorkerSettings
    from ringfort.gateway.verdicts import SessionVerdicts, Verdicts
    from ringfort.pgwire.startup import CancelRequest

LOG = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
WRITE_HIGH = 262_144
TICK_SECONDS = 1.0
SLOW_TICKS = 1  # a statement seen without its record at this many looks may have come just before the first
_IDLE = ord("I")
CLOSE_SECONDS = 1.0
OPERATE_ROWS = 100_000  # real values: a session on real tables takes less away than one on views
OPERATE_BYTES = 100_000_000
LOOK_SECONDS = 30.0  # the clock may be set while a timer runs
CUT_SECONDS = 0.7
SAID = ("policy", "catalogue", "zones")  # a change of these is a line of the log, whom it ends or not


GRANT_ENDED = (
    "57P01",
    "the session ends: a grant that it stands on has ended",
    "connect again for what you may see without it, or ask for another grant",
    "grant ended",
)

CREDENTIAL_ENDED = (
    "57P01",
    "the session ends: the certificate or token that opened it has ended",
    "connect again with a new one",
    "credential ended",
)


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
    """One open session.

    `facts` are what is told of it; `on_end` is called when it has ended; `grace`: seconds that its client has
    then to take what is on its way.
    """

    opened: Opened
    process: int
    secret: bytes
    relay: Relay
    verdicts: SessionVerdicts
    clock: SessionClock
    began: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
    on_end: Callable[[], None] | None = None
    grace: float = GRACE_SECONDS
    cancelled: bool = False
    stalled: int = 0
    seen: int = 0

    def at_work(self) -> bool:
        """Whether the site owes an answer to a whole segment: the client waits, it is not idle."""
        exchange = self.relay.exchange
        return exchange.copying or any(each.kind in {QUERY, SYNC} for each in exchange.awaited)

    def described(self, now: float) -> dict[str, object]:
        """What `ringfort sessions list` shows."""
        exchange = self.relay.exchange
        return {
            "session": self.opened.session,
            "principal": self.opened.principal,
            **self.facts,
            "opened": format_time(self.began),
            "idle_seconds": 0 if self.at_work() else int(self.clock.idle(now)),
            "state": "active" if self.at_work() else "idle" if exchange.status == _IDLE else "in transaction",
            "statements": self.relay.recorder.issued,
            "rows": exchange.rows,
            "bytes": exchange.bytes,
        }


class Sessions:
    """All open sessions of one worker."""

    def __init__(
        self,
        settings: WorkerSettings,
        ledger: Ledger,
        verdicts: Verdicts,
        connector: SitePool,
        on_number: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._on_number = on_number
        self._ledger = ledger
        self._verdicts = verdicts
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._ends = EndsBatch(ledger, settings.actor, self._loop)
        self._outbox = Outbox(self._loop)
        self._by_process: dict[int, Session] = {}
        self._spent = SpentEvidence()
        self._record_waits = False
        self._leaving: set[Relay] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch = ClockWatch(datetime.now(UTC).timestamp(), self._loop.time())
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
        facts: Mapping[str, str] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Join client and site: from here on the relay has both transports.

        `words(process, secret)` is what the client is sent first; `long_keys`: it takes a cancel key of more
        than 4 bytes. Raises `ConnectionGoneError` if one of the two is gone already; nothing is begun then,
        and `on_end` is not called.
        """
        settings = self._settings
        process, secret = make_key(settings.slot, self._by_process, long=long_keys)
        rows, size = settings.limits.rows_per_session, settings.limits.bytes_per_session
        if opened.surface.operate:
            rows, size = min(rows or OPERATE_ROWS, OPERATE_ROWS), min(size or OPERATE_BYTES, OPERATE_BYTES)
        exchange = Exchange(rows, size)
        client, site = conversation.transport, opened.site.conversation.transport
        if client is None or site is None or opened.site.conversation.lost:
            raise ConnectionGoneError
        verdicts = self._verdicts.for_surface(opened.surface).of_session(
            opened.principal, opened.session, opened.waiting
        )
        relay = Relay(
            session=opened.session,
            actor=settings.actor,
            ledger=self._ledger,
            ends=self._ends,
            verdicts=verdicts,
            exchange=exchange,
            client=ClientTransport(client, conversation.plain),
            site=OutgoingSite(site, self._outbox),
            message_bytes=settings.message_bytes,
            on_end=lambda outcome, busy: self._ended(process, outcome, busy=busy),
            keep=lambda: not self._by_process[process].cancelled and self._connector.keep(opened.site, site),
        )
        _, behind = opened.site.conversation.hand_over(_SiteEnd(relay))
        now = self._loop.time()
        clock = SessionClock(settings.limits, now, self._spent.of(opened.principal, now))
        self._by_process[process] = Session(
            opened, process, secret, relay, verdicts, clock, datetime.now(UTC), facts or {}, on_end
        )
        self._on_number()
        log_session_opened(opened.session, operate=opened.surface.operate)
        try:
            conversation.write(words(process, secret))
            _, early = conversation.hand_over(_ClientEnd(relay))
        except ConnectionGoneError:
            relay.client_lost()
            return
        for transport in (client, site):
            transport.set_write_buffer_limits(high=WRITE_HIGH)
        # first, for what has come already may be too much: from here on the relay decides who is read
        site.resume_reading()
        client.resume_reading()
        if behind:
            relay.from_site(behind)
        if early:
            relay.from_client(early)
        for until, end in ((opened.until, GRANT_ENDED), (opened.proven_until, CREDENTIAL_ENDED)):
            if until is not None:
                deadline = Deadline(until, datetime.now(UTC).timestamp(), self._loop.time())
                self._loop.call_soon(self._time_over, opened.session, deadline, end)

    def _time_over(self, session: str, deadline: Deadline, end: tuple[str, str, str, str]) -> None:
        """The time of what a session stands on may be over, by the clock or by the time that has gone by."""
        left = deadline.left(datetime.now(UTC).timestamp(), self._loop.time())
        if left <= 0:
            self.end_sessions([session], *end)
        elif any(each.opened.session == session for each in self._by_process.values()):
            self._loop.call_later(min(left, LOOK_SECONDS), self._time_over, session, deadline, end)

    def never_began(self, opened: Opened, outcome: str) -> None:
        """A session that is on record was not begun: close its site connection, record its end."""
        opened.site.conversation.abort()
        self._ledger.note(
            session_ended(self._settings.actor, opened.session, outcome, statements=0, rows=0, size=0)
        )

    def cancel(self, request: CancelRequest) -> None:
        """Forward a cancel request to the site of the session that it names with the right secret."""
        session = self._by_process.get(request.process)
        if is_key(request.secret, None if session is None else session.secret) and session is not None:
            session.cancelled = True
            session.verdicts.cancel()
            self._spawn(self._connector.cancel(session.opened.site.target, session.opened.site.key))

    def changed(self, key: str, index: int, text: str) -> None:
        """A state key changed at `index`: end every session whose decision stood on it, or that it names."""
        kind, _, name = key.partition(":")
        if kind == "session":
            hint = "the reason is on record; ask the operator"
            self.end_sessions([name], "57P01", f"the session ends: {text}", hint, "killed")
            return

        def stands_on_it(session: Session) -> bool:
            return key in session.opened.ground and index >= session.opened.since

        if kind == "grant":
            self.end_sessions(stands_on_it, *GRANT_ENDED)
            return
        ended = self.end_sessions(
            stands_on_it,
            "57P01",
            f"the session ends: {text}",
            "connect again: a new decision is made",
            "ground changed",
        )
        if ended or kind in SAID:
            sessions_ended(ended, text)

    def end_sessions(
        self,
        which: Callable[[Session], bool] | Collection[str],
        sqlstate: str,
        text: str,
        hint: str,
        outcome: str,
    ) -> int:
        """End open sessions now, in the middle of a result too; gives how many.

        `which`: their ids as in `SessionOpened`, or a predicate. Nothing more is read from the site or
        released of what is held; what the client's socket does not take within `CUT_SECONDS` is thrown away.
        The client is told FATAL `sqlstate` with `text` and `hint` unless a message is half sent;
        `SessionEnded` says `outcome`. Call it in the worker's loop; other workers end theirs.
        """
        wanted = which if callable(which) else lambda session: session.opened.session in which
        found = [each for each in self._by_process.values() if wanted(each)]
        for session in found:
            session.grace = CUT_SECONDS
            session.relay.end(sqlstate, text, hint, outcome)
        return len(found)

    def end_all(self, sqlstate: str, text: str, hint: str, outcome: str) -> None:
        """End every session."""
        for session in list(self._by_process.values()):
            session.relay.end(sqlstate, text, hint, outcome)

    def relieved(self) -> None:
        """The ledger writer has room again: whoever waited for that goes on."""
        for session in list(self._by_process.values()):
            session.relay.relieved()

    def described(self) -> list[dict[str, object]]:
        """Every open session, as `ringfort sessions list` shows it."""
        now = self._loop.time()
        return [each.described(now) for each in self._by_process.values()]

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
        spent = session.clock.evidence_of_last_minute(relay.recorder.evidence_bytes)
        self._spent.add(session.opened.principal, self._loop.time(), spent)
        self._ends.flush()
        log_session_ended(session.opened.session, outcome, relay.recorder.issued, exchange.rows)
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
        self._loop.call_later(session.grace, self._forget, relay)
        if session.on_end is not None:
            session.on_end()
        self._on_number()

    def _forget(self, relay: Relay) -> None:
        self._leaving.discard(relay)
        relay.abandon()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tick(self) -> None:
        """The sweep: end sessions that met a limit of time, or whose statements are not getting durable."""
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        now = self._loop.time()
        jumped = self._watch.look(datetime.now(UTC).timestamp(), now)
        if jumped:
            LOG.warning("the machine's clock jumped by %.0f seconds", jumped, extra={"event": "clock-jumped"})
        self._connector.sweep()
        stalled = 0
        for session in list(self._by_process.values()):
            relay = session.relay
            if relay.durable < relay.recorder.issued and relay.durable == session.seen:
                session.stalled += 1
            else:
                session.stalled = 0
            session.seen = relay.durable
            stalled += session.stalled > SLOW_TICKS
            if session.stalled * TICK_SECONDS >= self._settings.record_seconds:
                relay.end(
                    "58030",
                    "the statement could not be recorded in time",
                    "nothing was released",
                    "not recorded",
                )
                continue
            exchange = relay.exchange
            end = session.clock.look(
                now,
                (relay.recorder.issued, exchange.answered, exchange.bytes),
                relay.recorder.evidence_bytes,
                at_work=session.at_work(),
                in_transaction=exchange.status != _IDLE,
            )
            if end is not None:
                relay.end(*end)
        if stalled and not self._record_waits:
            record_waits(stalled)
        elif self._record_waits and not stalled:
            record_goes_on()
        self._record_waits = bool(stalled)


__all__ = ["Session", "Sessions"]
