"""The pool of the parser's readers: hands each the text whose turn it is, and answers who asked.

The parser process itself never parses (`parser.py`). Which text is next is the queue's to say
(`text_queue.py`): principals and sessions take turns; half of the readers read long texts first, the others
short ones only, so that what takes milliseconds never waits behind what takes seconds. A text that nobody
waits for any more leaves the queue; one that is being read is bounded by the time that each gets, and what it
cost is charged to whoever sent it.

Verdicts are remembered by exact text and surface, those of texts that cost a reader for a minute, so that the
same text costs nothing again.

Invariants: no answer means refused; a reader gets one text at a time and one that was given up is never heard
again, so an answer is always that of the text; nothing waits longer than the queue allows.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from ringfort.disclosure.statements import Verdict
from ringfort.errors import RingfortError, UsageError
from ringfort.gateway.text_queue import TextQueue, WaitingText

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STATEMENT_SECONDS: Final = 2.0
READERS: Final = 2
REMEMBERED: Final = 4096
GIVEN_UP_SECONDS: Final = 60.0
START_SECONDS: Final = 60.0
START_AGAIN_SECONDS: Final = 1.0
LOG = logging.getLogger(__name__)

TOO_SLOW: Final = Verdict(
    allowed=False,
    kind="utility",
    sqlstate="54001",
    reason="the statement could not be read in the time and memory allowed",
    hint="simplify or split it",
)

WAITED_TOO_LONG: Final = Verdict(
    allowed=False,
    kind="utility",
    sqlstate="57014",
    reason="the statement waited too long to be read: too many new texts are being read",
    hint="try again; send values as parameters, so that a text is read once",
)
OVER_BUDGET: Final = Verdict(
    allowed=False,
    kind="utility",
    sqlstate="53400",
    reason="this session's statements took more time to read than its share of a minute",
    hint="wait a minute; send shorter texts, and values as parameters",
)
NO_ROOM: Final = Verdict(
    allowed=False,
    kind="utility",
    sqlstate="53000",
    reason="too many statements wait to be read",
    hint="try again in a moment, or send fewer at once",
)

NOT_UTF8: Final = Verdict(
    allowed=False,
    kind="utility",
    sqlstate="22021",
    reason="the text of the statement is not valid UTF-8",
    hint="send UTF-8",
)


class ReaderLostError(RingfortError):
    """A reader crashed, was killed by its limits, or did not answer in time."""

    default_sqlstate = "54001"  # statement_too_complex


class TextReader(Protocol):
    """What reads one text at a time for the parser."""

    @property
    def running(self) -> bool:
        """Whether it can be given a text."""
        ...

    async def start(self) -> None:
        """Get ready to read."""
        ...

    async def read(
        self, sql: str, surface_key: str, surface: Mapping[str, Any], seconds: float
    ) -> dict[str, Any]:
        """The verdict on `sql`; raises `ReaderLostError`, after which this reader must be replaced."""
        ...

    async def stop(self) -> None:
        """End it; returns when it is gone."""
        ...


class Parser:
    """Verdicts by way of readers. `verdict` may be called many times at once."""

    def __init__(
        self,
        *,
        make_reader: Callable[[], TextReader],
        readers: int = READERS,
        statement_seconds: float = STATEMENT_SECONDS,
        queue: TextQueue | None = None,
    ) -> None:
        self._make_reader = make_reader
        self._count = readers
        self._seconds = statement_seconds
        self._queue = TextQueue() if queue is None else queue
        self._slots = [_Slot(long=number < max(1, readers // 2)) for number in range(readers)]
        self._remembered: OrderedDict[bytes, dict[str, Any]] = OrderedDict()
        self._given_up: dict[bytes, float] = {}
        self._asked: dict[bytes, set[_Ask]] = {}
        self._reading: set[bytes] = set()
        self._at_work: set[asyncio.Task[None]] = set()  # they read a text, or replace their reader after it
        self._sweep: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Start the readers."""
        for slot in self._slots:
            slot.reader = self._make_reader()
            await slot.reader.start()

    async def stop(self) -> None:
        """Kill the readers."""
        if self._sweep is not None:
            self._sweep.cancel()
        at_work = list(self._at_work)
        for each in at_work:
            each.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)
        for slot in self._slots:
            if slot.reader is not None:
                await slot.reader.stop()
                slot.reader = None

    async def handle(self, op: str, request: dict[str, Any]) -> dict[str, Any]:
        """An IPC request."""
        if op != "verdict":
            raise UsageError(f"the parser knows no `{op}`", hint="it knows `verdict`")
        sql = request.get("sql")
        surface = request.get("profile_surface", request.get("surface"))
        if not isinstance(sql, str) or not isinstance(surface, dict) or "relations" not in surface:
            raise UsageError("`verdict` needs `sql` and `profile_surface`")
        whose = (request.get("principal", ""), request.get("session", ""))
        if not all(isinstance(each, str) for each in whose):
            raise UsageError("`principal` and `session` of `verdict` are names")
        return await self.verdict(sql, surface, *whose)

    async def verdict(
        self, sql: str, surface: Mapping[str, Any], principal: str = "", session: str = ""
    ) -> dict[str, Any]:
        """The verdict on `sql` for `surface`, as `Verdict.to_json` gives it. Refused if it cannot be read.

        Cancelled, it leaves the queue.
        """
        surface_key = hashlib.sha256(orjson.dumps(surface, option=orjson.OPT_SORT_KEYS)).hexdigest()
        try:
            encoded = sql.encode("utf-8")
        except UnicodeEncodeError:
            return NOT_UTF8.to_json()
        key = hashlib.sha256(surface_key.encode() + encoded).digest()
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
            return known
        now = asyncio.get_running_loop().time()
        if self._given_up.get(key, 0.0) > now:
            return TOO_SLOW.to_json()
        ask = _Ask(key, sql, surface_key, surface)
        text = WaitingText(principal, session, len(encoded), now, ask)
        self._asked.setdefault(key, set()).add(ask)
        if key not in self._reading:  # else its answer is on the way
            ask.waiting = text
            for refused in self._queue.put(text):
                self._refuse(refused, NO_ROOM)
            self._hand_out()
            self._set_sweep()
        try:
            return await ask.answer
        finally:
            self._leave(ask)

    def _leave(self, ask: _Ask) -> None:
        """Somebody does not wait any more: answered, or gone."""
        if ask.waiting is not None:
            self._queue.drop(ask.waiting)
        asks = self._asked.get(ask.key)
        if asks is not None:
            asks.discard(ask)
            if not asks:
                del self._asked[ask.key]

    def _refuse(self, text: WaitingText, verdict: Verdict) -> None:
        ask = text.content
        if isinstance(ask, _Ask) and not ask.answer.done():
            LOG.warning(
                "a statement is refused unread: %s",
                verdict.reason,
                extra={"event": "text-refused-unread", "session": text.session or None},
            )
            ask.answer.set_result(verdict.to_json())

    def _hand_out(self) -> None:
        """Give each free reader the text whose turn it is."""
        now = asyncio.get_running_loop().time()
        for slot in self._slots:
            if slot.busy or slot.reader is None:
                continue
            text = self._queue.take(now, long=slot.long)
            if len(self._slots) == 1:  # the only reader there is: the lanes take turns
                slot.long = not slot.long
                text = text or self._queue.take(now, long=slot.long)
            if text is not None:
                self._begin(slot, text)

    def _begin(self, slot: _Slot, text: WaitingText) -> None:
        ask = text.content
        if TYPE_CHECKING:
            assert isinstance(ask, _Ask)
        for other in self._asked.get(ask.key, ()):  # they wait for this reading now, in whose turn ever it is
            if other.waiting is not None:
                self._queue.drop(other.waiting)
        slot.busy = True
        self._reading.add(ask.key)
        task = asyncio.ensure_future(self._read(slot, text, ask))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _read(self, slot: _Slot, text: WaitingText, ask: _Ask) -> None:
        clock = asyncio.get_running_loop().time
        answer = TOO_SLOW.to_json()
        try:
            if slot.reader is None or not slot.reader.running:
                await self._replace(slot)
            reader = slot.reader
            started = clock()
            try:
                if reader is not None:
                    answer = await reader.read(ask.sql, ask.surface_key, ask.surface, self._seconds)
                    self._remember(ask.key, answer)
            except ReaderLostError:
                self._give_up(ask.key)
                LOG.warning(
                    "a text could not be read in the time and memory allowed; its reader is replaced",
                    extra={"event": "reader-lost", "session": text.session or None},
                )
            self._queue.budgets.charge(text.principal, text.session, clock() - started, clock())
        finally:
            self._reading.discard(ask.key)
            for each in self._asked.get(ask.key, ()):
                if not each.answer.done():
                    each.answer.set_result(answer)
        if slot.reader is None or not slot.reader.running or answer["sqlstate"] == TOO_SLOW.sqlstate:
            await self._replace(slot)
        slot.busy = False
        self._hand_out()

    def _set_sweep(self) -> None:
        """See to it that nothing waits without limit."""
        due = self._queue.next_overdue
        if self._sweep is None and due is not None:
            self._sweep = asyncio.get_running_loop().call_at(due, self._refuse_overdue)

    def _refuse_overdue(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        for text in self._queue.overdue(now):
            over = self._queue.budgets.exceeded(text.principal, text.session, now)
            self._refuse(text, OVER_BUDGET if over else WAITED_TOO_LONG)
        self._set_sweep()

    def _remember(self, key: bytes, answer: dict[str, Any]) -> None:
        self._remembered[key] = answer
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _give_up(self, key: bytes) -> None:
        """Not for good: what ended the reader may have had nothing to do with the text."""
        if len(self._given_up) >= REMEMBERED:
            self._given_up.clear()
        self._given_up[key] = asyncio.get_running_loop().time() + GIVEN_UP_SECONDS

    async def _replace(self, slot: _Slot) -> None:
        """Another reader for the slot; tried again for as long as the machine has none to give."""
        while True:
            if slot.reader is not None:
                await slot.reader.stop()
            slot.reader = self._make_reader()
            try:
                async with asyncio.timeout(START_SECONDS):
                    await slot.reader.start()
            except (ReaderLostError, TimeoutError, OSError, asyncio.IncompleteReadError, ValueError):
                LOG.warning("a reader of texts cannot be started", extra={"event": "reader-not-started"})
                await asyncio.sleep(START_AGAIN_SECONDS)
            else:
                return


class _Slot:
    """A place for one reader. `long`: it reads long texts first, and short ones when there are none."""

    __slots__ = ("busy", "long", "reader")

    def __init__(self, *, long: bool) -> None:
        self.long = long
        self.busy = False
        self.reader: TextReader | None = None


class _Ask:
    """Somebody who waits for a verdict; `waiting` is its place in the queue, if it has one."""

    __slots__ = ("answer", "key", "sql", "surface", "surface_key", "waiting")

    def __init__(self, key: bytes, sql: str, surface_key: str, surface: Mapping[str, Any]) -> None:
        self.key = key
        self.sql = sql
        self.surface_key = surface_key
        self.surface = surface
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting: WaitingText | None = None


__all__ = [
    "NOT_UTF8",
    "NO_ROOM",
    "OVER_BUDGET",
    "TOO_SLOW",
    "WAITED_TOO_LONG",
    "Parser",
    "ReaderLostError",
    "TextReader",
]
