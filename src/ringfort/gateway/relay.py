"""The hot path: client bytes to the site and back, each statement recorded before its answer is released.

Client bytes are framed, each statement is looked up in the verdicts and admitted; a read is forwarded at
once, its *answer* is held until the admission is durable. Anything else waits before it is forwarded. What
the site sends is held under the number of the last statement issued when it came: it is released when that
number is durable. So no byte of an answer leaves before the record of the statement that it answers (or of
a later one).

Refused statements are recorded the same way and answered by `Exchange` (see there for what happens to the
transaction). Bytes are forwarded as they came, never re-serialised; a chunk that needs no change is forwarded
whole. Nothing malformed is passed on in either direction: it ends the session.

Memory is bounded: the site is not read on while `HELD_MOST` bytes are held or the client does not take its
answers; the client is not read on while a statement waits, while the site does not take its bytes, or while
too many answers are owed.

Not thread-safe; no task, future or timer per statement. The owner (`session.py`) decides what ends a session
and records it; `Relay.end` is the only way out and works once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from ringfort.gateway.one_constant import learn
from ringfort.gateway.recording import StatementRecorder
from ringfort.gateway.verdicts import FUNCTION_CALL, MIXED_NAMES, TOO_LONG, Known
from ringfort.pgwire import evidence
from ringfort.pgwire.backend import error_response
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.exchange import CUT, UNSETTLED, Exchange
from ringfort.pgwire.fields import UINT32
from ringfort.pgwire.framing import FrameReader
from ringfort.pgwire.frontend import KINDS, read_bind, read_execute, read_parse, read_query, read_target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ringfort.gateway.one_constant import OneConstant
    from ringfort.gateway.recording import EndsBatch, Ledger
    from ringfort.pgwire.exchange import Ended

HELD_MOST = 262_144
UNREAD_MOST = 65_536
OWED_MOST = 1_024
MAX_STATEMENTS = 10_000
MAX_PORTALS = 1_000

_DURABLE, _VERDICT, _SETTLED = "durable", "verdict", "settled"  # what a statement waits for
_WAIT: Final = object()
_DROP: Final = b""
_LENGTH_AT = UINT32.unpack_from
# Describe and Execute of the unnamed portal, Sync
_RUN_UNNAMED = b"D\0\0\0\x06P\0" + b"E\0\0\0\x09\0\0\0\0\0" + b"S\0\0\0\x04"
_SYNC, _TERMINATE = 0x53, 0x58
_NEVER_SKIPPED = b"SX"
_UNKNOWN_STATEMENT = error_response(
    "ERROR",
    "26000",
    "prepared statement does not exist",
    hint="prepare it with a Parse message; names made by SQL PREPARE are for SQL EXECUTE",
)
_UNKNOWN_PORTAL = error_response(
    "ERROR", "34000", "portal does not exist", hint="cursors made by DECLARE are for FETCH"
)
_TOO_MANY_NAMES = error_response(
    "ERROR", "54000", "too many prepared statements or portals in one session", hint="close some"
)
_TOO_LONG_BIND = error_response(
    "ERROR", "54000", "the message is too long", hint="send smaller parameters, or in several statements"
)


class Verdicts(Protocol):
    """The verdicts for the session's surface."""

    def lookup(self, sql: bytes) -> Known | None:
        """The remembered verdict."""
        ...

    def ask(self, sql: bytes) -> Awaitable[Known]:
        """The parser's verdict."""
        ...


class Transport(Protocol):
    """What the relay needs of a transport."""

    def write(self, data: bytes) -> None:
        """Queue bytes."""
        ...

    def pause_reading(self) -> None:
        """Stop `data_received`."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...

    def close(self) -> None:
        """Close after what is queued has gone."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Site(Protocol):
    """What the relay needs of a site's connection; see `outbox`."""

    def write(self, data: bytes) -> None:
        """Send bytes, at the end of this turn of the loop."""
        ...

    def pause_reading(self) -> None:
        """Read nothing."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class _Prepared:
    """What is kept of a prepared statement."""

    __slots__ = ("known", "start")

    def __init__(self, known: Known, start: bytes) -> None:
        self.known = known
        self.start = start


class _Bound:
    """What is kept of a portal: each Execute of it is admitted anew."""

    __slots__ = ("evidence", "known")

    def __init__(self, known: Known, plain: bytes) -> None:
        self.known = known
        self.evidence = plain


class _Held:
    """What one read from the site gave, until statement `number` is durable.

    `ended`: the statements that ended in it; `before`: the session's rows and bytes up to it.
    """

    __slots__ = ("before", "ended", "mid_message", "number", "out", "size")

    def __init__(
        self, number: int, out: Sequence[bytes], size: int, ended: list[Ended], before: tuple[int, int]
    ) -> None:
        self.number = number
        self.out = out
        self.size = size
        self.ended = ended
        self.before = before
        self.mid_message = False


class Relay:
    """One open session between a client and its site connection.

    `on_end(outcome, busy)` is called once, after both transports were told; `busy` says that the site was
    still at work.
    """

    def __init__(
        self,
        *,
        session: str,
        actor: str,
        ledger: Ledger,
        ends: EndsBatch,
        verdicts: Verdicts,
        exchange: Exchange,
        client: Transport,
        site: Site,
        message_bytes: int,
        on_end: Callable[[str, bool], None],
    ) -> None:
        self.session = session
        self.exchange = exchange
        self.recorder = StatementRecorder(ledger, actor, session, self._recorded)
        self.over = False
        self._ends = ends
        self._verdicts = verdicts
        self._client = client
        self._site = site
        self._on_end = on_end
        self._limit = message_bytes
        self._reader = FrameReader(message_bytes, KINDS)
        self.durable = 0
        self._held: deque[_Held] = deque()
        self._late: list[Ended] = []
        self._unrecorded = 0
        self._held_bytes = 0
        self._waiting = ""
        self._answered_then = 0
        self._deferred = b""
        self._judged: tuple[bytes, Known] | None = None
        self._last: OneConstant | None = None
        self._task: asyncio.Task[None] | None = None
        self._client_takes = True
        self._site_takes = True
        self._client_read = True
        self._site_read = True
        self._mid_message = False
        self._last_words: tuple[bytes, str] | None = None
        self._handlers: dict[int, Callable[[FrameReader], object]] = {
            0x51: self._query,
            0x50: self._parse,
            0x42: self._bind,
            0x45: self._execute,
            0x44: self._describe,
            0x43: self._close,
            _SYNC: self._sync,
            0x48: self._flush,
            _TERMINATE: self._terminate,
            0x46: self._function_call,
            0x64: self._copy,
            0x63: self._copy,
            0x66: self._copy,
        }

    # -- client to site ------------------------------------------------------------------------------

    def from_client(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.over:
            return
        reader = self._reader
        if reader.idle and not self._waiting and not self.exchange.skipping:
            quick = _QUICK.get(data[:1])
            if quick is not None and quick(self, data):
                return
        reader.feed(data)
        if self._waiting:
            if reader.buffered > UNREAD_MOST:
                self._pace()
            return
        self._process()

    def _one_query(self, data: bytes) -> bool:
        """The common case, quickly: one whole Query whose verdict is known and which may go at once.

        Does what `_forward` would do, or nothing.
        """
        size = len(data)
        if not 6 <= size <= self._limit or _LENGTH_AT(data, 1)[0] != size - 1:
            return False
        if data.find(0, 5) != size - 1:
            return False
        sql = data[5:-1]
        last = self._last
        if last is not None and last.holds(sql):
            known = last.known
        else:
            found = self._verdicts.lookup(sql)
            if found is None or not found.at_once:
                return False
            known = found
            self._last = learn(sql, known, self._verdicts)
        self.exchange.query(self.recorder.admit(known.form, b"Q" + sql))  # type: ignore[arg-type]
        self._pass(data)
        return True

    def _one_execution(self, data: bytes) -> bool:
        """As `_one_query`, for how libpq runs a prepared statement: Bind, Describe, Execute, Sync."""
        end = len(data) - len(_RUN_UNNAMED)
        if not data.endswith(_RUN_UNNAMED) or end > self._limit or _LENGTH_AT(data, 1)[0] != end - 1:
            return False
        try:
            portal, name, at = read_bind(data, 5, end)
        except ProtocolViolationError:
            return False
        exchange = self.exchange
        prepared = exchange.statement(name)
        if portal or prepared is None or prepared is UNSETTLED or exchange.portal(b"") is UNSETTLED:
            return False
        if TYPE_CHECKING:
            assert isinstance(prepared, _Prepared)
        known = prepared.known
        if not known.at_once or len(exchange.portals) >= MAX_PORTALS:
            return False
        bound = _Bound(known, evidence.bound(prepared.start, data[at:end]))
        number = self.recorder.admit(known.form, bound.evidence + b"\0\0\0\0")  # type: ignore[arg-type]
        exchange.run_unnamed(bound, number)
        self._pass(data)
        return True

    def _pass(self, data: bytes) -> None:
        if not self.over:
            self._site.write(data)
            if len(self.exchange.awaited) > OWED_MOST:
                self._pace()

    def _process(self) -> None:
        try:
            self._forward()
        except ProtocolViolationError as error:
            self.end("08P01", error.message, "the session ends here", "protocol violation")

    def _forward(self) -> None:
        """Frame and judge what has come; forward what may go, up to what must wait."""
        reader = self._reader
        exchange = self.exchange
        handlers = self._handlers
        if self._deferred:
            self._site.write(self._deferred)
            self._deferred = b""
        data = reader.data
        start = reader.position  # what is before it is forwarded or dropped
        while True:
            at = reader.position
            kind = reader.next()
            if not kind:
                break
            verb: object = _DROP
            if not exchange.skipping or kind in _NEVER_SKIPPED:
                verb = handlers[kind](reader)
                if self.over:
                    return
                if verb is None:
                    continue
            if start < at:
                self._site.write(data[start:at])
            if verb is _WAIT:
                self._pace()
                return
            if verb:
                self._site.write(verb)  # type: ignore[arg-type]
            start = reader.position
        if start < at:
            self._site.write(data if at - start == len(data) else data[start:at])
        if len(exchange.awaited) > OWED_MOST or not self._client_read:
            self._pace()

    def _resume(self) -> None:
        self._waiting = ""
        self._process()

    def _known(self, reader: FrameReader, sql: bytes) -> Known | None:
        """The verdict; None if the parser is asked: then the message will be given again."""
        known = self._verdicts.lookup(sql)
        if known is None:
            judged, self._judged = self._judged, None
            if judged is not None and judged[0] == sql:
                return judged[1]
            self._waiting = _VERDICT
            self._task = asyncio.ensure_future(self._ask(sql))
            reader.rewind(reader.end - reader.start + 5)
        return known

    async def _ask(self, sql: bytes) -> None:
        known = await self._verdicts.ask(sql)
        self._task = None
        if not self.over:
            self._judged = (sql, known)
            self._resume()

    def _settle(self, reader: FrameReader) -> object:
        """Wait until another segment is answered, then look at the message again."""
        self._waiting = _SETTLED
        self._answered_then = self.exchange.answered
        reader.rewind(reader.end - reader.start + 5)
        return _WAIT

    def _defer(self, reader: FrameReader) -> object:
        """Forward the message when its record is durable, and nothing before."""
        self._waiting = _DURABLE
        self._deferred = reader.data[reader.start - 5 : reader.end]
        return _WAIT

    def _mixes(self, known: Known) -> bool:
        """Whether SQL would make a name beside the protocol's: the record could not tell them apart."""
        return (known.prepares and any(self.exchange.statements)) or (
            known.declares and any(self.exchange.portals)
        )

    def _query(self, reader: FrameReader) -> object:
        if reader.oversize:
            return self._refuse_query(TOO_LONG, b"")
        sql = read_query(reader.data, reader.start, reader.end)
        known = self._known(reader, sql)
        if known is None:
            return _WAIT
        if known.form is None:
            return self._refuse_query(known, sql)
        if not known.at_once and self._mixes(known):
            return self._refuse_query(MIXED_NAMES, sql)
        self.exchange.query(self.recorder.admit(known.form, b"Q" + sql))
        return None if known.at_once else self._defer(reader)

    def _refuse_query(self, known: Known, sql: bytes) -> bytes:
        self.recorder.refuse(known.sqlstate, known.reason, evidence.simple(sql))
        return self.exchange.refuse_query(known.refusal)

    def _parse(self, reader: FrameReader) -> object:
        if reader.oversize:
            self.recorder.refuse(TOO_LONG.sqlstate, TOO_LONG.reason, evidence.parse_text(b"", b"\0\0"))
            return self.exchange.refuse_step(TOO_LONG.refusal)
        name, sql, types = read_parse(reader.data, reader.start, reader.end)
        exchange = self.exchange
        if exchange.statement(name) is UNSETTLED:
            return self._settle(reader)
        known = self._known(reader, sql)
        if known is None:
            return _WAIT
        if known.form is None:
            self.recorder.refuse(known.sqlstate, known.reason, evidence.parse_text(sql, types))
            return exchange.refuse_step(known.refusal, name)
        if len(exchange.statements) >= MAX_STATEMENTS:
            return exchange.refuse_step(_TOO_MANY_NAMES, name)
        exchange.parse(name, _Prepared(known, evidence.prefix(sql, types)))
        return None

    def _bind(self, reader: FrameReader) -> object:
        exchange = self.exchange
        if reader.oversize:
            return exchange.refuse_step(_TOO_LONG_BIND)
        data = reader.data
        portal, name, at = read_bind(data, reader.start, reader.end)
        prepared = exchange.statement(name)
        if prepared is UNSETTLED or exchange.portal(portal) is UNSETTLED:
            return self._settle(reader)
        if prepared is None:
            return exchange.refuse_step(_UNKNOWN_STATEMENT)
        if len(exchange.portals) >= MAX_PORTALS:
            return exchange.refuse_step(_TOO_MANY_NAMES)
        if TYPE_CHECKING:
            assert isinstance(prepared, _Prepared)
        exchange.bind(portal, _Bound(prepared.known, evidence.bound(prepared.start, data[at : reader.end])))
        return None

    def _execute(self, reader: FrameReader) -> object:
        exchange = self.exchange
        name, rows = read_execute(reader.data, reader.start, reader.end)
        bound = exchange.portal(name)
        if bound is UNSETTLED:
            return self._settle(reader)
        if bound is None:
            return exchange.refuse_step(_UNKNOWN_PORTAL)
        if TYPE_CHECKING:
            assert isinstance(bound, _Bound)
        known = bound.known
        if known.form is None:
            raise AssertionError
        if not known.at_once and self._mixes(known):
            self.recorder.refuse(MIXED_NAMES.sqlstate, MIXED_NAMES.reason, bound.evidence + rows)
            return exchange.refuse_step(MIXED_NAMES.refusal)
        exchange.execute(self.recorder.admit(known.form, bound.evidence + rows))
        return None if known.at_once else self._defer(reader)

    def _describe(self, reader: FrameReader) -> object:
        read_target(reader.data, reader.start, reader.end)
        self.exchange.describe()
        return None

    def _close(self, reader: FrameReader) -> object:
        kind, name = read_target(reader.data, reader.start, reader.end)
        exchange = self.exchange
        if kind == 0x53:
            if exchange.statement(name) is UNSETTLED:
                return self._settle(reader)
            exchange.close_statement(name)
        else:
            if exchange.portal(name) is UNSETTLED:
                return self._settle(reader)
            exchange.close_portal(name)
        return None

    def _sync(self, reader: FrameReader) -> object:
        self._empty(reader)
        self.exchange.sync()
        return None

    def _flush(self, reader: FrameReader) -> object:
        self._empty(reader)
        return None

    def _empty(self, reader: FrameReader) -> None:
        if reader.start != reader.end or reader.oversize:
            raise ProtocolViolationError("invalid message format")

    def _terminate(self, reader: FrameReader) -> object:
        self._empty(reader)
        self._finish(b"", "closed by the client")
        return _DROP

    def _function_call(self, reader: FrameReader) -> object:
        del reader  # its body is never looked at: it may hold values for any function
        self.recorder.refuse(FUNCTION_CALL.sqlstate, FUNCTION_CALL.reason, evidence.simple(b""))
        return self.exchange.refuse_query(FUNCTION_CALL.refusal)

    def _copy(self, reader: FrameReader) -> object:
        """COPY data outside of COPY IN, which is never offered: PostgreSQL ignores it."""
        del reader
        return _DROP

    # -- site to client ------------------------------------------------------------------------------

    def from_site(self, data: bytes) -> None:
        """Bytes from the site."""
        if self.over:
            return
        exchange = self.exchange
        rows, size = exchange.rows, exchange.bytes
        try:
            out = exchange.receive(data)
        except ProtocolViolationError as error:
            self.end("08P01", error.message, "the site's answer was not passed on", "site protocol violation")
            return
        ended, exchange.ended = exchange.ended, []  # never shared: what is held keeps its own list
        issued = self.recorder.issued
        if self.durable >= issued and not self._held:
            self._release(out, exchange.mid_message)
            if ended:
                self._ends.add(self.session, ended)
        elif out:
            held = _Held(issued, out, len(data), ended, (rows, size))
            held.mid_message = exchange.mid_message
            self._held.append(held)
            self._held_bytes += held.size
            if self._held_bytes > HELD_MOST:
                self._pace()
        if exchange.limit_reached:
            self._wind_up(_limit_error(exchange.limit_reached), f"limit of {exchange.limit_reached}")
        elif exchange.fatal:
            self._wind_up(b"", "ended by the site")
        elif self._waiting == _SETTLED and exchange.answered != self._answered_then:
            self._resume()
        elif not self._client_read:
            self._pace()

    def _release(self, out: Sequence[bytes], mid_message: bool) -> None:  # noqa: FBT001 - hot path
        if len(out) == 1:
            if out[0]:
                self._client.write(out[0])
        else:
            for piece in out:
                if piece:
                    self._client.write(piece)
        self._mid_message = mid_message

    def _recorded(self, durable: bool) -> None:  # noqa: FBT001 - the ledger channel's callback
        """The next statement in order became durable, or never will."""
        if self.over:
            self._recorded_late(durable=durable)
            return
        if not durable:
            self._unrecorded = self.durable = self.durable + 1
            self.end(
                "58030",
                "the statement could not be recorded",
                "nothing was released; connect again later",
                "not recorded",
            )
            return
        self.durable = reached = self.durable + 1
        held = self._held
        while held and held[0].number <= reached:
            each = held.popleft()
            self._held_bytes -= each.size
            self._release(each.out, each.mid_message)
            if each.ended:
                self._ends.add(self.session, each.ended)
        if self._waiting == _DURABLE and reached >= self.recorder.issued:
            self._resume()
        if not self._site_read:
            self._pace()
        if self._last_words is not None and not held:
            self._finish(*self._last_words)

    # -- pace ----------------------------------------------------------------------------------------

    def client_takes(self, takes: bool) -> None:  # noqa: FBT001 - pause_writing and resume_writing
        """Whether the client's transport takes more bytes."""
        self._client_takes = takes
        self._pace()

    def site_takes(self, takes: bool) -> None:  # noqa: FBT001 - pause_writing and resume_writing
        """Whether the site's transport takes more bytes."""
        self._site_takes = takes
        self._pace()

    def _pace(self) -> None:
        """Read on from each side only while what it sends can go somewhere."""
        if self.over:
            return
        client = (
            self._site_takes
            and len(self.exchange.awaited) <= OWED_MOST
            and not (self._waiting and self._reader.buffered > UNREAD_MOST)
        )
        if client != self._client_read:
            self._client_read = client
            if client:
                self._client.resume_reading()
            else:
                self._client.pause_reading()
        site = self._client_takes and self._held_bytes <= HELD_MOST and self._last_words is None
        if site != self._site_read:
            self._site_read = site
            if site:
                self._site.resume_reading()
            else:
                self._site.pause_reading()

    # -- the end -------------------------------------------------------------------------------------

    def client_lost(self) -> None:
        """The client's connection is gone."""
        self._finish(b"", "client gone")

    def site_lost(self) -> None:
        """The site's connection is gone; what is held is still released once it is recorded."""
        if self.over or self._last_words is not None:
            return
        self._wind_up(
            error_response("FATAL", "57P01", "the site closed the connection", hint="connect again"),
            "site gone",
        )

    def end(self, sqlstate: str, text: str, hint: str, outcome: str) -> None:
        """End the session now: what is held is not released, the client is told why."""
        self._finish(error_response("FATAL", sqlstate, text, hint=hint), outcome)

    @property
    def owes_ends(self) -> bool:
        """Whether the end of a statement waits for the statement's own record."""
        return bool(self._late)

    def abandon(self) -> None:
        """Cut off a client that does not take its last words."""
        self._client.abort()

    def _wind_up(self, words: bytes, outcome: str) -> None:
        """End the session after what is held has been released; nothing more is read from the site."""
        self._last_words = (words, outcome)
        if self._held:
            self._pace()
        else:
            self._finish(words, outcome)

    def _finish(self, words: bytes, outcome: str) -> None:
        if self.over:
            return
        self.over = True
        if self._task is not None:
            self._task.cancel()
        busy = not self.exchange.quiet
        self._record_cut()
        if words and not self._mid_message:
            self._client.write(words)
        self._client.close()
        # an abort, not a close: what the site still sends must not reach anybody
        self._site.abort()
        self._on_end(outcome, busy)

    def _record_cut(self) -> None:
        """The ends of the statements that are cut off, with the rows and bytes that were released of them.

        A statement whose own record is not durable yet gets its end when it is.
        """
        exchange, held = self.exchange, self._held
        unreleased = [end for each in held for end in each.ended]
        released = held[0].before if held else (exchange.rows, exchange.bytes)
        settled = exchange.settled
        rows = released[0] - settled[0] + sum(end[1] for end in unreleased)
        size = released[1] - settled[1] + sum(end[2] for end in unreleased)
        held.clear()
        now: list[Ended] = []
        for number in [end[0] for end in unreleased] + exchange.cut():
            if number != self._unrecorded:
                (now if number <= self.durable else self._late).append((number, rows, size, CUT))
            rows = size = 0
        if now:
            self._ends.add(self.session, now)

    def _recorded_late(self, *, durable: bool) -> None:
        """A statement of a session that is over became durable: its end may follow."""
        self.durable += 1
        if self._late and self._late[0][0] == self.durable:
            end = self._late.pop(0)
            if durable:
                self._ends.add(self.session, [end])


def _limit_error(what: str) -> bytes:
    return error_response(
        "FATAL",
        "53400",
        f"the session has reached its limit of {what}",
        hint="ask for less, or for a purpose with a higher limit; the session ends here",
    )


_QUICK: Final[dict[bytes, Callable[[Relay, bytes], bool]]] = {
    b"Q": Relay._one_query,  # noqa: SLF001 - the class's own table
    b"B": Relay._one_execution,  # noqa: SLF001
}

__all__ = ["Relay", "Transport", "Verdicts"]
