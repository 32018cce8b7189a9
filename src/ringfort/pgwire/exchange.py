"""One session's conversation after startup, both directions, as a state machine without I/O.

The frontend side tells what it forwards (`query`, `parse`, `bind`, ...); each of these makes the server owe
an answer, kept in order in `awaited`. The backend side (`receive`) takes the server's bytes, pays those
debts off as the answers come, counts rows and bytes, and gives the bytes that may be passed on.

Which answers pay which debt is a table (`debts.PAYS`); an answer that nothing owes ends the session.

A refused statement is not swallowed: a text that no PostgreSQL accepts is forwarded in its place, and our
own ErrorResponse is put where the server's answer to it comes. So order, transaction status, the failed
state of a transaction block and skipping until Sync are PostgreSQL's own.

Prepared statements and portals are known by name as the server will know them: a change takes effect when it
is forwarded and is undone if the server answers the segment with an error before reaching it. A name that an
earlier, still unanswered segment changed is `UNSETTLED`: the caller waits until that segment is answered, so
what is recorded is always what the server runs.

Nothing but whole messages is ever given out, except for a single row of over 64 KiB, which is streamed
(`mid_message` is then true). Error and notice texts are redacted, asynchronous messages are dropped,
ParameterStatus passes from a list. Function call results and authentication messages end the session, and
so does COPY IN, unless the statement that is answered was said to begin one (`expect_copy`). While the server
takes COPY data, `copying` is true: until the client ends it (`copy_ended`) or the server says that it failed.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from ringfort.pgwire.debts import (
    AWAIT_CLOSE,
    AWAIT_DESCRIBE,
    AWAIT_SYNC,
    BIND,
    CLOSE,
    COMPLETE,
    CUT,
    DESCRIBE,
    EXECUTE,
    FAILED,
    PARSE,
    PAYS,
    QUERY,
    SKIPPED,
    SUSPENDED,
    SYNC,
    UNDER,
    UNSETTLED,
    Awaited,
    Entry,
)
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.framing import MAX_FRAME
from ringfort.pgwire.freeing import command_done, freed
from ringfort.pgwire.frontend import Parse, Query, serialise_frontend
from ringfort.pgwire.redaction import redact_error, redact_notice
from ringfort.pgwire.scanner import skip_run
from ringfort.pgwire.status import pass_status

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MESSAGE = 1_048_576
STREAM_ABOVE = 65_536
_ERROR_HEAD = 4_096
_FEW = 16  # rows that are counted one by one
_READY = b"Z\0\0\0\5"
_BOUND = b"2\0\0\0\4"
_LEAST_ROW = 7  # bytes of the shortest DataRow
_LENGTH_AT = struct.Struct(">I").unpack_from
_NEVER = "!"  # no PostgreSQL parses this: a refused statement is forwarded as it
_REFUSED_QUERY: Final = serialise_frontend(Query(_NEVER.encode()))
_REFUSED_NAME: Final = b"ringfort refused"
_ASIDE = b"ENSA"  # may come at any time: error, notice, parameter status, notification
_NOTHING: frozenset[int] = frozenset()

Ended = tuple[int, int, int, str]  # admission, rows, bytes, outcome: what an admitted statement sent


class Exchange:
    """State of one conversation. `row_limit` and `byte_limit` are for the whole session; 0 is no limit."""

    def __init__(self, row_limit: int = 0, byte_limit: int = 0) -> None:
        self.awaited: deque[Awaited] = deque()
        self.statements: dict[bytes, Entry] = {}
        self.portals: dict[bytes, Entry] = {}
        self.skipping = False
        self.status = ord("I")
        self.rows = 0
        self.bytes = 0
        self.ended: list[Ended] = []
        self.limit_reached = ""
        self.fatal = False
        self.copying = False
        self.row_limit = row_limit or (1 << 62)
        self.byte_limit = byte_limit or (1 << 62)
        self._segment = 1
        self.answered = 0
        self._closed = False
        self._marked_rows = 0
        self._marked_bytes = 0
        self._failed = False
        self._carry = b""
        self._stream = 0  # bytes of a large row that are still to be passed
        self._drop = 0  # bytes of a large error that are still to be dropped

    # -- frontend: what is forwarded -----------------------------------------------------------------

    def query(self, sequence: int) -> None:
        """A Query, admitted as `sequence`, is forwarded."""
        self.awaited.append(Awaited(QUERY, sequence))
        self._segment += 1

    def refuse_query(self, error: bytes) -> bytes:
        """A Query (or FunctionCall) is answered with `error`, an ErrorResponse; gives what to forward."""
        self.awaited.append(Awaited(QUERY, 0, None, error))
        self._segment += 1
        return _REFUSED_QUERY

    def refuse_step(self, error: bytes, name: bytes = _REFUSED_NAME) -> bytes:
        """An extended-query message is answered with `error`; gives what to forward.

        For a Parse, `name` is the statement's: PostgreSQL forgets the unnamed statement at a failed Parse.
        The server will skip what follows up to Sync: `skipping` says so at once, or a Bind and Execute that
        came with a refused Parse would be taken for the statement that had the name before, and recorded.
        """
        self.awaited.append(Awaited(PARSE, 0, None, error))
        self.skipping = True
        return serialise_frontend(Parse(name, _NEVER.encode()))

    def statement(self, name: bytes) -> object:
        """What `parse` kept under `name`; None if there is nothing, `UNSETTLED` if it cannot be told yet."""
        return self._find(self.statements, name)

    def portal(self, name: bytes) -> object:
        """What `bind` kept under `name`; None or `UNSETTLED` as for `statement`."""
        return self._find(self.portals, name)

    def _find(self, table: dict[bytes, Entry], name: bytes) -> object:
        entry = table.get(name)
        if entry is None:
            return None
        if self.answered < entry.segment < self._segment:
            return UNSETTLED
        return entry.value

    def parse(self, name: bytes, value: object) -> None:
        """A Parse is forwarded; `value` is kept under `name`. The name must be settled."""
        self.awaited.append(Awaited(PARSE, 0, (self.statements, name)))
        self.statements[name] = Entry(value, self._segment)

    def bind(self, name: bytes, value: object) -> None:
        """A Bind is forwarded; `value` is kept for portal `name`. The name must be settled."""
        self.awaited.append(Awaited(BIND, 0, (self.portals, name)))
        self.portals[name] = Entry(value, self._segment)

    def describe(self) -> None:
        """A Describe is forwarded."""
        self.awaited.append(AWAIT_DESCRIBE)

    def close_statement(self, name: bytes) -> None:
        """A Close of a statement is forwarded. The name must be settled."""
        self._close(self.statements, name)

    def close_portal(self, name: bytes) -> None:
        """A Close of a portal is forwarded. The name must be settled."""
        self._close(self.portals, name)

    def _close(self, table: dict[bytes, Entry], name: bytes) -> None:
        if name not in table:
            self.awaited.append(AWAIT_CLOSE)
            return
        self.awaited.append(Awaited(CLOSE, 0, (table, name)))
        table[name] = Entry(None, self._segment)
        self._closed = True

    def execute(self, sequence: int) -> None:
        """An Execute, admitted as `sequence`, is forwarded."""
        self.awaited.append(Awaited(EXECUTE, sequence))

    def run_unnamed(self, value: object, sequence: int) -> None:
        """Bind, Describe and Execute of the unnamed portal (admitted as `sequence`) and Sync are forwarded.

        All at once what `bind`, `describe`, `execute` and `sync` do; the name must be settled.
        """
        portals = self.portals
        self.awaited += (
            Awaited(BIND, 0, (portals, b"")),
            AWAIT_DESCRIBE,
            Awaited(EXECUTE, sequence),
            AWAIT_SYNC,
        )
        portals[b""] = Entry(value, self._segment)
        self._segment += 1
        self.skipping = False

    def sync(self) -> None:
        """A Sync is forwarded."""
        self.awaited.append(AWAIT_SYNC)
        self._segment += 1
        self.skipping = False

    def expect_copy(self) -> None:
        """The last statement begins a COPY IN. Nothing may be forwarded until `copying` or `quiet`."""
        self.awaited[-1].copies = True

    def expect_freeing(self, frees: Sequence[tuple[bytes, bytes]], running: bytes | None = None) -> None:
        """The last statement takes names away: command tags, each with a name or b"" for all."""
        self.awaited[-1].frees = [freed(*each, self.statements, self.portals, running) for each in frees]

    def copy_ended(self) -> None:
        """A CopyDone or CopyFail is forwarded."""
        self.copying = False

    @property
    def quiet(self) -> bool:
        """Whether every segment that was forwarded is answered."""
        return not self.awaited

    @property
    def frees(self) -> bool:
        """Whether something that takes names away is unanswered."""
        return any(each.frees for each in self.awaited)

    @property
    def at_rest(self) -> bool:
        """Whether the server owes nothing, is in no transaction, and no message is half read."""
        under_way = self.awaited or self.skipping or self._carry or self._stream or self._drop
        return not under_way and self.status == 0x49 and not self.fatal and not self.limit_reached

    @property
    def mid_message(self) -> bool:
        """Whether what was given out so far ends inside a message."""
        return self._stream > 0

    @property
    def settled(self) -> tuple[int, int]:
        """Rows and bytes of the statements that have ended."""
        return self._marked_rows, self._marked_bytes

    def cut(self) -> list[int]:
        """The admitted statements that are still unanswered: the session ends here."""
        numbers = [each.sequence for each in self.awaited if each.sequence]
        self.awaited.clear()
        return numbers

    # -- backend: what comes back --------------------------------------------------------------------

    def receive(self, data: bytes) -> Sequence[bytes]:  # noqa: C901, PLR0912, PLR0915 - runs for each message
        """Take the server's bytes; gives what may be passed on, in order.

        After it, look at `ended` (drain it), `limit_reached` and `fatal`. Raises `ProtocolViolationError`
        when the server says what it must not; nothing of `data` may then be passed on.
        """
        if not (self._carry or self._stream or self._drop) and self._whole_answer(data):
            return [data]
        out: list[bytes] = []
        position = keep = 0
        if self._carry:
            data = self._carry + data
            self._carry = b""
        elif self._stream:
            position = min(self._stream, len(data))
            self._stream -= position
        elif self._drop:
            position = keep = min(self._drop, len(data))
            self._drop -= position
        end = len(data)
        awaited = self.awaited
        while position + 5 <= end:
            kind = data[position]
            under = UNDER.get(kind)
            if under is None:
                if kind not in _ASIDE:
                    raise ProtocolViolationError("forbidden message from the site")
            elif not awaited or awaited[0].kind not in under:
                raise ProtocolViolationError("unexpected message from the site")
            elif kind == 0x44 or kind == 0x64:  # noqa: PLR1714 - DataRow, CopyData; runs for each message
                after = self._run(data, position, end, kind)
                if after == position:
                    break
                position = after
                continue
            length: int = _LENGTH_AT(data, position + 1)[0]
            if length < 4:
                raise ProtocolViolationError("invalid message length from the site")
            stop = position + 1 + length
            if stop > end and length <= MAX_MESSAGE:
                break
            if under is None:
                if length > MAX_MESSAGE and end - position < _ERROR_HEAD:
                    break
                if keep < position:
                    out.append(data[keep:position])
                out.append(self._aside(kind, data[position + 5 : min(stop, end)], length))
                keep = min(stop, end)
                self._drop = stop - keep
                position = keep
                continue
            if length > MAX_MESSAGE:
                raise ProtocolViolationError("invalid message length from the site")
            if kind == 0x43 and awaited[0].frees:
                command_done(awaited, data[position + 5 : stop - 1])
            if kind == 0x5A:
                self._ready(data, position, length)
            elif kind == 0x47:
                self._copy_begins()
            elif awaited[0].kind in PAYS.get(kind, _NOTHING):
                self._pay(awaited.popleft(), SUSPENDED if kind == 0x73 else COMPLETE)
            position = stop
        if keep == 0 and position == end:
            out.append(data)
            return out
        if keep < position:
            out.append(data[keep:position])
        if not self.limit_reached:
            self._carry = data[position:]
        return out

    def _whole_answer(self, data: bytes) -> bool:
        """The common case, quickly: `data` is the whole answer to the one Query or execution that is owed.

        Does what the loop in `receive` would do, or nothing.
        """
        awaited = self.awaited
        end = len(data) - 6
        if end < 0 or not data.startswith(_READY, end) or self._failed:
            return False
        owed = len(awaited)
        position = 0
        if owed == 1:
            debt = awaited[0]
            if debt.kind != QUERY or debt.substitute:
                return False
        elif owed == 4 and data.startswith(_BOUND):
            debt = awaited[2]
            if debt.kind != EXECUTE or awaited[0].kind != BIND or awaited[1].kind != DESCRIBE:
                return False
            position = 5
        else:
            return False
        if position >= end or data[position] != 0x54:
            return False
        position += 1 + _LENGTH_AT(data, position + 1)[0]
        start = position
        rows = 0
        while position < end and data[position] == 0x44:
            length = _LENGTH_AT(data, position + 1)[0]
            if length < _LEAST_ROW - 1 or rows == _FEW:
                return False
            position += 1 + length
            rows += 1
        if position >= end or data[position] != 0x43:
            return False
        size = position - start
        position += 1 + _LENGTH_AT(data, position + 1)[0]
        status = data[end + 5]
        if position != end or status not in b"ITE":
            return False
        if self.rows + rows > self.row_limit or self.bytes + size > self.byte_limit:
            return False
        awaited.clear()
        self.rows += rows
        self.bytes += size
        if debt.sequence:
            self._end(debt.sequence, COMPLETE)
        self._answered(status)
        return True

    def _run(self, data: bytes, position: int, end: int, kind: int) -> int:
        """Pass a run of rows; where it ends. `position` itself if there is no whole row or a limit is met."""
        if self.awaited[0].substitute:
            raise ProtocolViolationError("unexpected message from the site")
        left = self.row_limit - self.rows
        if left <= 0:
            self.limit_reached = "rows"
            return position
        length: int = _LENGTH_AT(data, position + 1)[0]
        after, rows = position + 1 + length, 1
        if after >= end or data[after] == kind or after - position < _LEAST_ROW:
            after, rows = skip_run(data, position, end, kind, left)
        size = after - position
        if not rows:
            if length < STREAM_ABOVE:
                return position
            if length > MAX_FRAME:
                raise ProtocolViolationError("invalid message length from the site")
            size, rows, after = length + 1, 1, end
        if self.bytes + size > self.byte_limit:
            self.limit_reached = "bytes"
            return position
        self._stream = position + size - after
        self.rows += rows
        self.bytes += size
        return after

    def _pay(self, debt: Awaited, outcome: str) -> None:
        if debt.substitute:
            raise ProtocolViolationError("unexpected message from the site")
        if debt.sequence:
            self._end(debt.sequence, outcome)

    def _end(self, sequence: int, outcome: str) -> None:
        self.ended.append((sequence, self.rows - self._marked_rows, self.bytes - self._marked_bytes, outcome))
        self._marked_rows = self.rows
        self._marked_bytes = self.bytes

    def _copy_begins(self) -> None:
        debt = self.awaited[0]
        if not debt.copies or len(self.awaited) != 1 or debt.substitute:
            raise ProtocolViolationError("forbidden message from the site")
        debt.copies = False
        self.copying = True

    def _ready(self, data: bytes, position: int, length: int) -> None:
        status = data[position + 5] if length == 5 else 0
        if status not in b"ITE":
            raise ProtocolViolationError("invalid transaction status from the site")
        self._pay(self.awaited.popleft(), FAILED if self._failed else COMPLETE)
        self._failed = self.copying = False
        self._answered(status)

    def _answered(self, status: int) -> None:
        """A segment is answered."""
        self.answered += 1
        self.status = status
        if not self.awaited:
            if status == 0x49 and self.portals:
                self.portals.clear()
            if self._closed:
                self._forget_closed()

    def _forget_closed(self) -> None:
        for table in (self.statements, self.portals):
            for name in [name for name, entry in table.items() if entry.value is None]:
                del table[name]
        self._closed = False

    def _aside(self, kind: int, body: bytes, length: int) -> bytes:
        """What is passed on of a message that may come at any time."""
        if kind == 0x53:
            return pass_status(body)
        if kind == 0x41:
            return b""  # nobody may LISTEN: a notification is another session's bytes
        if len(body) < length - 4:
            # an error that echoes megabytes: its first fields are whole, and they are all that is needed
            body = body[: body.rfind(0) + 1] + b"\0"
        return redact_notice(body) if kind == 0x4E else self._error(body)

    def _error(self, body: bytes) -> bytes:
        framed, _, fatal = redact_error(body)
        if fatal:
            self.fatal = True
            return framed
        if not self.awaited:
            raise ProtocolViolationError("unexpected error from the site")
        self.copying = False
        debt = self.awaited[0]
        if debt.substitute:
            framed = debt.substitute
            debt.substitute = b""
        if debt.kind == QUERY:
            self._failed = True
        elif debt.kind != SYNC:
            self._skip_segment()
        return framed

    def _skip_segment(self) -> None:
        """An extended-query message failed: the server ignores everything up to the next Sync."""
        undone = []
        outcome = FAILED
        while self.awaited and self.awaited[0].kind != SYNC:
            debt = self.awaited.popleft()
            if debt.undo is not None:
                undone.append(debt.undo)
            if debt.kind == QUERY:
                self.answered += 1
            if debt.sequence:
                self._end(debt.sequence, outcome)
            outcome = SKIPPED
        for table, name, entry in reversed(undone):
            if entry is None:
                table.pop(name, None)
            else:
                table[name] = entry
        if not self.awaited:
            self.skipping = True


__all__ = [
    "COMPLETE",
    "CUT",
    "FAILED",
    "SKIPPED",
    "SUSPENDED",
    "UNSETTLED",
    "Ended",
    "Exchange",
]
