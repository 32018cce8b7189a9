"""What the allow-list says of a text, remembered: by exact text, then by the text without its constants.

The parser process reads a text once for each surface (what a session can name); the worker keeps the verdict.
A verdict that depends on a literal is kept for the exact text only. Both memories are bounded: each keeps two
generations and drops the older one when the younger is full. A verdict that puts another text in the place of
the client's gives that as a template, into which the constants of the next text go; where it can give none it
depends on its literals, and is kept for longer texts, as tools send them about the catalogue.

A parser that dies, hangs or is flooded costs the statement that met it: it is refused, nothing is remembered.
The parser is told whose text it reads, so that it can be fair, and of texts that nobody waits for any more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from ringfort.disclosure.statements import Surface, Verdict, constants, normalised_key
from ringfort.errors import RingfortError
from ringfort.gateway.rewritten import query_message
from ringfort.ledger.entry_templates import StatementForm
from ringfort.pgwire.backend import error_response

if TYPE_CHECKING:
    from typing import Any

    from ringfort.gateway.waiting_views import WaitingViews

GENERATION = 2_048
EXACT_BYTES = 2_048
REWRITTEN_GENERATION = 256
REWRITTEN_BYTES = 8_192
MAX_SURFACES = 512
_PASSING = frozenset({"53000", "53400", "54001", "57014"})  # refusals that say nothing for good of a text
_AT_ONCE = frozenset({"read", "empty"})
_Value = TypeVar("_Value")


class ParserCalls(Protocol):
    """The parser process, as `IpcClient` reaches it."""

    async def request(self, op: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Call `op`."""
        ...


class Known:
    """A verdict in the form that the relay needs.

    `sent`: what goes to the site in place of the client's text, and `query` as a message; None if that goes
    itself. `template`: its parts, with the constants of the client's text left open by their number.
    `as_it_came`: at once, and with the client's own bytes.

    `at_once`: it may be forwarded before its record is durable (its answer may not be released). `prepares`
    and `declares`: it makes or runs a prepared statement or a cursor in SQL, whose names are the protocol's,
    too: an EXECUTE of what a Parse made would give rows of a text that is in no evidence.
    """

    __slots__ = (
        "allowed",
        "as_it_came",
        "at_once",
        "copies_in",
        "declares",
        "form",
        "frees",
        "prepares",
        "query",
        "reason",
        "refusal",
        "relations",
        "sent",
        "sqlstate",
        "template",
    )

    def __init__(self, verdict: Verdict) -> None:
        self.allowed = verdict.allowed
        self.sqlstate = verdict.sqlstate or "42501"
        self.reason = verdict.reason
        # a shape that was cut does not tell: yes is said too often, never too seldom
        cut = '"cut"' in verdict.shape
        self.prepares = cut or '"prepare"' in verdict.shape or '"execute"' in verdict.shape
        self.declares = cut or '"declare"' in verdict.shape or '"fetch"' in verdict.shape
        names = self.prepares or self.declares or bool(verdict.frees)
        self.at_once = verdict.allowed and verdict.kind in _AT_ONCE and not names
        self.sent = verdict.rewritten.encode("utf-8") if verdict.rewritten else None
        self.query = None if self.sent is None else query_message(self.sent)
        self.template = [each.encode() if isinstance(each, str) else each for each in verdict.template]
        self.as_it_came = self.at_once and self.sent is None
        self.frees = [(tag.encode(), name.encode()) for tag, name in verdict.frees]
        self.copies_in = verdict.allowed and verdict.kind == "copy_in"
        self.relations = frozenset(verdict.relations)
        self.form = StatementForm(verdict.kind, verdict.shape) if verdict.allowed else None
        self.refusal = (
            b""
            if verdict.allowed
            else error_response("ERROR", self.sqlstate, verdict.reason, hint=verdict.hint)
        )

    def for_text(self, sql: bytes) -> Known:
        """The same verdict for a text that differs in its constants only: with these in what is sent."""
        known: Known = object.__new__(Known)
        for name in _COPIED:
            setattr(known, name, getattr(self, name))
        values = constants(sql)
        known.sent = b"".join([each if isinstance(each, bytes) else values[each] for each in self.template])
        known.query = query_message(known.sent)
        return known


_COPIED: Final = tuple(name for name in Known.__slots__ if name not in {"sent", "query"})


class Memory(Generic[_Value]):
    """A bounded dictionary of two generations."""

    __slots__ = ("_old", "_size", "young")

    def __init__(self, size: int = GENERATION) -> None:
        self.young: dict[bytes, _Value] = {}
        self._old: dict[bytes, _Value] = {}
        self._size = size

    def get(self, key: bytes) -> _Value | None:
        """What is remembered for `key`."""
        value = self.young.get(key)
        if value is None and self._old:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: bytes, value: _Value) -> None:
        """Remember `value`."""
        if len(self.young) >= self._size:
            self._old = self.young
            self.young = {}
        self.young[key] = value


class SessionVerdicts:
    """The verdicts for one session: those of its surface; new texts are read in the session's turn."""

    __slots__ = ("_asking", "_principal", "_session", "_shared", "_waiting", "lookup", "types")

    def __init__(
        self, shared: SurfaceVerdicts, principal: str, session: str, waiting: WaitingViews | None = None
    ) -> None:
        self._shared = shared
        self._principal = principal
        self._session = session
        self._waiting = waiting
        self.lookup = shared.lookup if waiting is None else self._lookup_ready
        self.types = shared.types
        self._asking: asyncio.Task[Known] | None = None

    async def ask(self, sql: bytes) -> Known:
        """The parser's verdict for `sql`; a refusal if there is none to be had. Never raises."""
        asking = asyncio.ensure_future(self._ask(sql))
        self._asking = asking
        try:
            await asyncio.wait((asking,))
        finally:
            self._asking = None
            asking.cancel()
        return CANCELLED if asking.cancelled() else asking.result()

    async def _ask(self, sql: bytes) -> Known:
        known = self._shared.lookup(sql) if self._waiting is not None else None
        if known is None:
            known = await self._shared.ask(sql, self._principal, self._session)
        waiting = self._waiting
        if waiting is None or known.relations.isdisjoint(waiting.views):
            return known
        refusal = await waiting.refusal(known.relations)
        if not waiting.views:
            self._waiting, self.lookup = None, self._shared.lookup
        return refusal or known

    def _lookup_ready(self, sql: bytes) -> Known | None:
        """The remembered verdict, unless the text names a view that cannot be read yet: then it is asked."""
        known = self._shared.lookup(sql)
        if known is None or self._waiting is None or known.relations.isdisjoint(self._waiting.views):
            return known
        return None

    def cancel(self) -> None:
        """The client wants no answer to its statement any more: if it waits to be read, it is refused."""
        if self._asking is not None:
            self._asking.cancel()


class SurfaceVerdicts:
    """The verdicts for one surface. `lookup` is the hot path; `ask` goes to the parser process."""

    def __init__(self, surface: Surface, parser: ParserCalls, text_bytes: int) -> None:
        self.types = surface.types
        self._surface = surface.to_json()
        self._parser = parser
        self._text_bytes = text_bytes
        self._exact: Memory[Known] = Memory()
        self._normalised: Memory[Known] = Memory()
        self._rewritten: Memory[Known] = Memory(REWRITTEN_GENERATION)

    def of_session(
        self, principal: str, session: str, waiting: WaitingViews | None = None
    ) -> SessionVerdicts:
        """The same verdicts, asked for in the name of a session, some of whose views may be `waiting`."""
        return SessionVerdicts(self, principal, session, waiting)

    def lookup(self, sql: bytes) -> Known | None:
        """The remembered verdict for `sql`."""
        known = self._exact.get(sql)
        if known is None:
            key = normalised_key(sql)
            if key is not None:
                known = self._normalised.get(key)
                if known is not None and known.template:
                    known = known.for_text(sql)
                    if len(sql) <= EXACT_BYTES:
                        self._exact.put(sql, known)
            if known is None and EXACT_BYTES < len(sql) <= REWRITTEN_BYTES:
                known = self._rewritten.get(sql)
        return known

    async def ask(self, sql: bytes, principal: str = "", session: str = "") -> Known:
        """The parser's verdict for `sql`; a refusal if there is none to be had. Never raises."""
        if len(sql) > self._text_bytes:
            return TOO_LONG
        try:
            text = sql.decode("utf-8")
        except UnicodeDecodeError:
            return NOT_UTF8
        try:
            answer = await self._parser.request(
                "verdict", sql=text, profile_surface=self._surface, principal=principal, session=session
            )
            verdict = Verdict.from_json(answer)
            known = Known(verdict)
        except (RingfortError, KeyError, TypeError, asyncio.IncompleteReadError):
            return UNREADABLE
        if verdict.allowed or verdict.sqlstate not in _PASSING:
            self._remember(sql, verdict, known)
        return known

    def _remember(self, sql: bytes, verdict: Verdict, known: Known) -> None:
        if len(sql) <= EXACT_BYTES:
            self._exact.put(sql, known)
        elif known.sent is not None and len(sql) <= REWRITTEN_BYTES:
            self._rewritten.put(sql, known)
        if not verdict.literal_dependent:
            key = normalised_key(sql)
            if key is not None:
                self._normalised.put(key, known)


class Verdicts:
    """The verdicts of a worker: one `SurfaceVerdicts` for each surface in use."""

    def __init__(self, parser: ParserCalls, text_bytes: int) -> None:
        self._parser = parser
        self._text_bytes = text_bytes
        self._surfaces: dict[object, SurfaceVerdicts] = {}

    def for_surface(self, surface: Surface) -> SurfaceVerdicts:
        """The memory shared by all sessions that can name the same things."""
        found = self._surfaces.get(surface.key)
        if found is None:
            if len(self._surfaces) >= MAX_SURFACES:
                self._surfaces.clear()
            found = SurfaceVerdicts(surface, self._parser, self._text_bytes)
            self._surfaces[surface.key] = found
        return found


def _refused(sqlstate: str, reason: str, hint: str) -> Known:
    return Known(Verdict(allowed=False, kind="utility", sqlstate=sqlstate, reason=reason, hint=hint))


TOO_LONG: Final = _refused(
    "54000", "the text of the statement is too long", "send values as parameters, or split the statement"
)
NOT_UTF8: Final = _refused("22021", "the text of the statement is not valid UTF-8", "send UTF-8")
UNREADABLE: Final = _refused(
    "54001", "the statement could not be read in the time and memory allowed", "simplify or split it"
)
CANCELLED: Final = _refused(
    "57014", "canceling statement due to user request", "it waited to be read; nothing of it was run"
)
FUNCTION_CALL: Final = _refused(
    "0A000", "the function call protocol is not offered", "use SELECT with the function's name"
)
NAMING_PARAMETER: Final = _refused(
    "0A000",
    "a parameter of a type that is not on the list",
    "leave the type open, or declare a common one: text, oid, the type of a column that is shown",
)
MIXED_NAMES: Final = _refused(
    "0A000",
    "SQL PREPARE, EXECUTE, DECLARE and FETCH do not mix with the protocol's named statements and portals",
    "close the protocol's named statements and portals first, or use only one of the two",
)

__all__ = [
    "CANCELLED",
    "FUNCTION_CALL",
    "MIXED_NAMES",
    "NAMING_PARAMETER",
    "NOT_UTF8",
    "TOO_LONG",
    "UNREADABLE",
    "Known",
    "Memory",
    "ParserCalls",
    "SessionVerdicts",
    "SurfaceVerdicts",
    "Verdicts",
]
