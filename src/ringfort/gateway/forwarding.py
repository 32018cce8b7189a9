"""The client's half of a relay: frames messages, judges and records statements, forwards what may go.

Bytes are forwarded as they came, but for texts that their verdicts replace. A statement that is no read waits
for its record, one whose text is new for the parser, one that names what an unanswered segment changed for
that answer; everything behind it waits with it. What is malformed ends the session and is not passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ringfort.disclosure.parameter_types import may_name
from ringfort.gateway.kept import (
    MAX_PORTALS,
    MAX_STATEMENTS,
    TOO_LONG_BIND,
    TOO_MANY_NAMES,
    UNKNOWN_PORTAL,
    UNKNOWN_STATEMENT,
    Bound,
    Kept,
    Prepared,
)
from ringfort.gateway.new_text import NewText
from ringfort.gateway.one_constant import learn
from ringfort.gateway.rewritten import parse_message
from ringfort.gateway.verdicts import FUNCTION_CALL, MIXED_NAMES, NAMING_PARAMETER, TOO_LONG, Known
from ringfort.pgwire import evidence
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.exchange import UNSETTLED, Exchange
from ringfort.pgwire.fields import UINT32
from ringfort.pgwire.framing import FrameReader
from ringfort.pgwire.frontend import KINDS, read_bind, read_execute, read_parse, read_query, read_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.gateway.one_constant import OneConstant
    from ringfort.gateway.recording import Ledger, StatementRecorder
    from ringfort.gateway.relay_ports import Host, Site, Verdicts

UNREAD_MOST = 65_536
OWED_MOST = 1_024
EVIDENCE_MOST = 262_144  # bytes on the way to the record, one statement's not counted
ENTRY_BYTES = 256  # what an entry counts for beside its evidence

# what a statement waits for
_DURABLE, _VERDICT, _SETTLED, _QUIET, _COPY = "durable", "verdict", "settled", "quiet", "copy"
_ROOM = "room"
_WAIT: Final = object()
_DROP: Final = b""
_LENGTH_AT = UINT32.unpack_from
# Describe and Execute of the unnamed portal, Sync
_RUN_UNNAMED = b"D\0\0\0\x06P\0" + b"E\0\0\0\x09\0\0\0\0\0" + b"S\0\0\0\x04"
_FLUSH = b"H\0\0\0\x04"
_SYNC, _TERMINATE, _COPY_DATA = 0x53, 0x58, 0x64
_NEVER_SKIPPED = b"SX"
_IN_COPY = b"dcfSHX"


class Forwarder:
    """One session's statements on their way to the site."""

    def __init__(
        self,
        *,
        host: Host,
        ledger: Ledger,
        recorder: StatementRecorder,
        exchange: Exchange,
        verdicts: Verdicts,
        site: Site,
        message_bytes: int,
    ) -> None:
        self._host = host
        self._ledger = ledger
        self._recorder = recorder
        self._exchange = exchange
        self._verdicts = verdicts
        self._site = site
        self._limit = message_bytes
        self._reader = FrameReader(message_bytes, KINDS)
        self._waiting = ""
        self._answered_then = 0
        self._deferred = b""
        self._copy_next = False
        self._unrecorded = 0
        self._kept = Kept(exchange)
        self._new_text = NewText(verdicts, self._judged)
        self._last: OneConstant | None = None
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

    @property
    def crowded(self) -> bool:
        """Whether the client should not be read on: too much waits, or too many answers are owed."""
        return len(self._exchange.awaited) > OWED_MOST or (
            bool(self._waiting) and self._reader.buffered > UNREAD_MOST
        )

    @property
    def waits(self) -> bool:
        """Whether a statement waits to be forwarded."""
        return bool(self._waiting or self._deferred)

    def recorded(self) -> None:
        """Everything that was issued is durable: go on if that was waited for."""
        self._unrecorded = 0
        if self._waiting == _DURABLE:
            self._resume()

    def relieved(self) -> None:
        """The ledger writer has room again: go on if that was waited for."""
        if self._waiting == _ROOM:
            self._resume()

    def answered(self) -> None:
        """The site has answered something: go on if a segment's answer was waited for."""
        waiting, exchange = self._waiting, self._exchange
        if waiting and (
            (waiting == _SETTLED and exchange.answered != self._answered_then)
            or (waiting == _QUIET and exchange.quiet)
            or (waiting == _COPY and (exchange.copying or exchange.quiet))
        ):
            self._resume()

    def stop(self) -> None:
        """The session is over."""
        self._new_text.stop()

    def from_client(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._host.over:
            return
        reader = self._reader
        exchange = self._exchange
        if reader.idle and not self._waiting and not exchange.skipping and not exchange.copying:
            quick = _QUICK.get(data[:1])
            if quick is not None and quick(self, data):
                return
        reader.feed(data)
        if self._waiting:
            if reader.buffered > UNREAD_MOST:
                self._host.pace()
            return
        self._process()

    def _one_query(self, data: bytes) -> bool:
        """The common case, quickly: one whole Query whose verdict is known and which may go at once.

        Does what `_forward` would do, or nothing.
        """
        size = len(data)
        if not 6 <= size <= self._limit or _LENGTH_AT(data, 1)[0] != size - 1:
            return False
        if data.find(0, 5) != size - 1 or self._unrecorded > EVIDENCE_MOST or self._ledger.crowded:
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
            if known.as_it_came:
                self._last = learn(sql, known, self._verdicts)
        self._unrecorded += size + ENTRY_BYTES
        self._exchange.query(self._recorder.admit(known.form, b"Q" + sql))  # type: ignore[arg-type]
        self._pass(known.query or data)
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
        exchange = self._exchange
        prepared = exchange.statement(name)
        if portal or prepared is None or prepared is UNSETTLED or exchange.portal(b"") is UNSETTLED:
            return False
        if TYPE_CHECKING:
            assert isinstance(prepared, Prepared)
        known = prepared.known
        if not known.at_once or len(exchange.portals) >= MAX_PORTALS or self._must_pause():
            return False
        bound = Bound(known, evidence.bound(prepared.evidence, data[at:end]))
        self._unrecorded += len(bound.evidence) + ENTRY_BYTES
        number = self._recorder.admit(known.form, bound.evidence + b"\0\0\0\0")  # type: ignore[arg-type]
        exchange.run_unnamed(bound, number)
        self._pass(data)
        return True

    def _pass(self, data: bytes) -> None:
        if not self._host.over:
            self._site.write(data)
            if len(self._exchange.awaited) > OWED_MOST:
                self._host.pace()

    def _process(self) -> None:
        try:
            self._forward()
        except ProtocolViolationError as error:
            self._host.end("08P01", error.message, "the session ends here", "protocol violation")

    def _forward(self) -> None:
        """Frame and judge what has come; forward what may go, up to what must wait."""
        reader = self._reader
        exchange = self._exchange
        handlers = self._handlers
        if self._deferred and not self._send_deferred():
            return
        data = reader.data
        start = reader.position  # what is before it is forwarded or dropped
        while True:
            at = reader.position
            kind = reader.next()
            if not kind:
                break
            if exchange.copying and kind not in _IN_COPY:
                raise ProtocolViolationError("unexpected message during COPY")
            verb: object = _DROP
            if not exchange.skipping or kind in _NEVER_SKIPPED:
                verb = handlers[kind](reader)
                if self._host.over:
                    return
                if verb is None:
                    continue
            if start < at:
                self._site.write(data[start:at])
            if verb is _WAIT:
                if self._waiting == _QUIET:
                    self._site.write(_FLUSH)
                self._host.pace()
                return
            if verb:
                self._site.write(verb)  # type: ignore[arg-type]
            start = reader.position
        if start < at:
            self._site.write(data if at - start == len(data) else data[start:at])
        if len(exchange.awaited) > OWED_MOST:
            # the client is not read on until these are answered: a server keeps what nobody asks it to send
            self._site.write(_FLUSH)
            self._host.pace()

    def _send_deferred(self) -> bool:
        """Forward what waited for its record; whether to go on."""
        self._site.write(self._deferred)
        self._deferred = b""
        copies, self._copy_next = self._copy_next, False
        # what comes next is read in one way if the site takes COPY data, in another if not; of a segment that
        # an error has ended already it will not say another word
        if not copies or self._exchange.quiet:
            return True
        self._waiting = _COPY
        return False

    def _resume(self) -> None:
        self._waiting = ""
        self._process()
        self._host.pace()  # the client may have been stopped because something waited

    def _known(self, reader: FrameReader, sql: bytes) -> Known | None:
        """The verdict; None if the parser is asked: then the message will be given again."""
        known = self._verdicts.lookup(sql) or self._new_text.known(sql)
        if known is None:
            self._waiting = _VERDICT
            reader.rewind(reader.end - reader.start + 5)
        return known

    def _judged(self) -> None:
        if not self._host.over:
            self._resume()

    def _settle(self, reader: FrameReader) -> object:
        """Wait until another segment is answered, then look at the message again."""
        self._waiting = _SETTLED
        self._answered_then = self._exchange.answered
        reader.rewind(reader.end - reader.start + 5)
        return _WAIT

    def _defer(
        self, reader: FrameReader, known: Known, message: bytes | None = None, running: bytes | None = None
    ) -> object:
        """Forward the message, or `message` in its place, when its record is durable, and nothing before."""
        if known.copies_in:
            self._exchange.expect_copy()
            self._copy_next = True
        if known.frees:
            self._exchange.expect_freeing(known.frees, running)
        self._waiting = _DURABLE
        self._deferred = message or reader.data[reader.start - 5 : reader.end]
        return _WAIT

    def _must_pause(self) -> bool:
        """Whether too much is on its way to the record: of this session's, or of everybody's."""
        return self._unrecorded > EVIDENCE_MOST or self._ledger.crowded

    def _let_record(self, reader: FrameReader) -> object:
        """Wait until what was issued is durable, or the writer has room, then look at the message again.

        Each Execute is recorded with its portal's values: ten bytes from the client may stand for a megabyte.
        """
        self._waiting = _DURABLE if self._unrecorded > EVIDENCE_MOST else _ROOM
        reader.rewind(reader.end - reader.start + 5)
        return _WAIT

    def _let_answer(self, reader: FrameReader) -> object:
        """Wait until the site has answered everything, then look at the message again."""
        self._waiting = _QUIET
        reader.rewind(reader.end - reader.start + 5)
        return _WAIT

    def _mixes(self, known: Known) -> bool:
        """Whether SQL would make a name beside the protocol's: the record could not tell them apart."""
        return (known.prepares and any(self._exchange.statements)) or (
            known.declares and any(self._exchange.portals)
        )

    def _query(self, reader: FrameReader) -> object:
        if reader.oversize:
            return self._refuse_query(TOO_LONG, b"")
        if self._must_pause():
            return self._let_record(reader)
        sql = read_query(reader.data, reader.start, reader.end)
        known = self._known(reader, sql)
        if known is None:
            return _WAIT
        if known.form is None:
            return self._refuse_query(known, sql)
        if not known.at_once and self._mixes(known):
            return self._refuse_query(MIXED_NAMES, sql)
        self._unrecorded += len(sql) + ENTRY_BYTES
        self._exchange.query(self._recorder.admit(known.form, b"Q" + sql))
        return known.query if known.at_once else self._defer(reader, known, known.query)

    def _refuse_query(self, known: Known, sql: bytes) -> bytes:
        self._unrecorded += len(sql) + ENTRY_BYTES
        self._recorder.refuse(known.sqlstate, known.reason, evidence.simple(sql))
        return self._exchange.refuse_query(known.refusal)

    def _parse(self, reader: FrameReader) -> object:
        if reader.oversize:
            self._recorder.refuse(TOO_LONG.sqlstate, TOO_LONG.reason, evidence.parse_text(b"", b"\0\0"))
            return self._exchange.refuse_step(TOO_LONG.refusal)
        if self._must_pause():
            return self._let_record(reader)
        name, sql, types = read_parse(reader.data, reader.start, reader.end)
        exchange = self._exchange
        if exchange.statement(name) is UNSETTLED:
            return self._settle(reader)
        if self._kept.overtakes(len(sql)):
            return self._let_answer(reader)
        known = self._known(reader, sql)
        if known is None:
            return _WAIT
        if len(types) > 2 and not may_name(types, self._verdicts.types):
            known = NAMING_PARAMETER
        if known.form is None:
            self._unrecorded += len(sql) + ENTRY_BYTES
            self._recorder.refuse(known.sqlstate, known.reason, evidence.parse_text(sql, types))
            return exchange.refuse_step(known.refusal, name)
        if len(exchange.statements) >= MAX_STATEMENTS or not self._kept.has_room(len(sql)):
            if exchange.frees:
                return self._let_answer(reader)
            return exchange.refuse_step(TOO_MANY_NAMES, name)
        exchange.parse(name, Prepared(known, evidence.prefix(sql, types)))
        return None if known.sent is None else parse_message(name, known.sent, types)

    def _bind(self, reader: FrameReader) -> object:
        exchange = self._exchange
        if reader.oversize:
            return exchange.refuse_step(TOO_LONG_BIND)
        data = reader.data
        portal, name, at = read_bind(data, reader.start, reader.end)
        prepared = exchange.statement(name)
        if prepared is UNSETTLED or exchange.portal(portal) is UNSETTLED:
            return self._settle(reader)
        if prepared is None:
            return exchange.refuse_step(UNKNOWN_STATEMENT)
        if TYPE_CHECKING:
            assert isinstance(prepared, Prepared)
        size = len(prepared.evidence) + reader.end - at
        if self._kept.overtakes(size):
            return self._let_answer(reader)
        if len(exchange.portals) >= MAX_PORTALS or not self._kept.has_room(size):
            if exchange.frees:
                return self._let_answer(reader)
            return exchange.refuse_step(TOO_MANY_NAMES)
        exchange.bind(portal, Bound(prepared.known, evidence.bound(prepared.evidence, data[at : reader.end])))
        return None

    def _execute(self, reader: FrameReader) -> object:
        if self._must_pause():
            return self._let_record(reader)
        exchange = self._exchange
        name, rows = read_execute(reader.data, reader.start, reader.end)
        bound = exchange.portal(name)
        if bound is UNSETTLED:
            return self._settle(reader)
        if bound is None:
            return exchange.refuse_step(UNKNOWN_PORTAL)
        if TYPE_CHECKING:
            assert isinstance(bound, Bound)
        known = bound.known
        if known.form is None:
            raise AssertionError
        self._unrecorded += len(bound.evidence) + ENTRY_BYTES
        if not known.at_once and self._mixes(known):
            self._recorder.refuse(MIXED_NAMES.sqlstate, MIXED_NAMES.reason, bound.evidence + rows)
            return exchange.refuse_step(MIXED_NAMES.refusal)
        exchange.execute(self._recorder.admit(known.form, bound.evidence + rows))
        return None if known.at_once else self._defer(reader, known, running=name)

    def _describe(self, reader: FrameReader) -> object:
        read_target(reader.data, reader.start, reader.end)
        self._exchange.describe()
        return None

    def _close(self, reader: FrameReader) -> object:
        kind, name = read_target(reader.data, reader.start, reader.end)
        exchange = self._exchange
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
        if self._exchange.copying:
            return _DROP  # PostgreSQL ignores it there
        self._exchange.sync()
        return None

    def _flush(self, reader: FrameReader) -> object:
        self._empty(reader)
        return _DROP if self._exchange.copying else None

    def _empty(self, reader: FrameReader) -> None:
        if reader.start != reader.end or reader.oversize:
            raise ProtocolViolationError("invalid message format")

    def _terminate(self, reader: FrameReader) -> object:
        self._empty(reader)
        self._host.leave("closed by the client")
        return _DROP

    def _function_call(self, reader: FrameReader) -> object:
        if not reader.oversize and self._must_pause():
            return self._let_record(reader)
        # its body is never looked at: it may hold values for any function
        self._unrecorded += ENTRY_BYTES
        self._recorder.refuse(FUNCTION_CALL.sqlstate, FUNCTION_CALL.reason, evidence.simple(b""))
        return self._exchange.refuse_query(FUNCTION_CALL.refusal)

    def _copy(self, reader: FrameReader) -> object:
        """COPY data, its end or its failure; outside of COPY IN PostgreSQL ignores it."""
        exchange = self._exchange
        if not exchange.copying:
            return _DROP
        if reader.oversize:
            raise ProtocolViolationError("a message of COPY data is too long")
        if reader.data[reader.start - 5] != _COPY_DATA:
            exchange.copy_ended()
        return None


_QUICK: Final[dict[bytes, Callable[[Forwarder, bytes], bool]]] = {
    b"Q": Forwarder._one_query,  # noqa: SLF001 - the class's own table
    b"B": Forwarder._one_execution,  # noqa: SLF001
}

__all__ = ["MAX_PORTALS", "MAX_STATEMENTS", "OWED_MOST", "UNREAD_MOST", "Forwarder"]
