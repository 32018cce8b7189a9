"""The hot path: client bytes to the site and back, each statement recorded before its answer is released.

The client's half (`forwarding.py`) frames and judges statements; a read is recorded and forwarded at once,
its *answer* is held here until the record is durable. What the site sends is held under the number of the
last statement issued when it came, and released when that number is durable. So no byte of an answer leaves
before the record of the statement that it answers (or of a later one). Refused statements are recorded the
same way and answered by `Exchange` (see there for what happens to the transaction). Nothing malformed is
passed on in either direction: it ends the session.

Memory is bounded: the site is not read on while `HELD_MOST` bytes are held or the client does not take its
answers; the client is not read on while much waits, while the site does not take its bytes, or while too many
answers are owed.

Not thread-safe; no task, future or timer per statement. The owner (`sessions.py`) decides what ends a session
and records it; `Relay.end` is the only way out and works once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ringfort.gateway.forwarding import Forwarder
from ringfort.gateway.recording import StatementRecorder
from ringfort.pgwire.backend import error_response
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.exchange import CUT, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringfort.gateway.recording import EndsBatch, Ledger
    from ringfort.gateway.relay_ports import Site, Transport, Verdicts
    from ringfort.pgwire.exchange import Ended

HELD_MOST = 262_144


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
    still at work. `keep()` is asked before the site's transport is aborted, if nothing is under way; true: it
    has taken the transport over.
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
        keep: Callable[[], bool] = lambda: False,
    ) -> None:
        self.session = session
        self.exchange = exchange
        self.recorder = StatementRecorder(ledger, actor, session, self._recorded)
        self.over = False
        self._ends = ends
        self._client = client
        self._site = site
        self._on_end = on_end
        self._keep = keep
        self.durable = 0
        self._held: deque[_Held] = deque()
        self._late: list[Ended] = []
        self._unrecorded = 0
        self._held_bytes = 0
        self._client_takes = True
        self._site_takes = True
        self._client_read = True
        self._site_read = True
        self._mid_message = False
        self._last_words: tuple[bytes, str] | None = None
        self._forwarder = Forwarder(
            host=self,
            ledger=ledger,
            recorder=self.recorder,
            exchange=exchange,
            verdicts=verdicts,
            site=site,
            message_bytes=message_bytes,
        )
        self.from_client = self._forwarder.from_client  # bytes from the client
        self.relieved = self._forwarder.relieved  # the ledger writer has room again

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
                self.pace()
        if exchange.limit_reached:
            self._wind_up(_limit_error(exchange.limit_reached), f"limit of {exchange.limit_reached}")
        elif exchange.fatal:
            self._wind_up(b"", "ended by the site")
        else:
            self._forwarder.answered()
            if not self._client_read:
                self.pace()

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
        if reached >= self.recorder.issued:
            self._forwarder.recorded()
        if not self._site_read:
            self.pace()
        if self._last_words is not None and not held:
            self._finish(*self._last_words)

    # -- pace ----------------------------------------------------------------------------------------

    def client_takes(self, takes: bool) -> None:  # noqa: FBT001 - pause_writing and resume_writing
        """Whether the client's transport takes more bytes."""
        self._client_takes = takes
        self.pace()

    def site_takes(self, takes: bool) -> None:  # noqa: FBT001 - pause_writing and resume_writing
        """Whether the site's transport takes more bytes."""
        self._site_takes = takes
        self.pace()

    def pace(self) -> None:
        """Read on from each side only while what it sends can go somewhere."""
        if self.over:
            return
        client = self._site_takes and not self._forwarder.crowded
        if client != self._client_read and not self._client.is_closing():
            self._client_read = client
            if client:
                self._client.resume_reading()
            else:
                self._client.pause_reading()
        site = self._client_takes and self._held_bytes <= HELD_MOST and self._last_words is None
        if site != self._site_read and not self._site.is_closing():
            self._site_read = site
            if site:
                self._site.resume_reading()
            else:
                self._site.pause_reading()

    # -- the end -------------------------------------------------------------------------------------

    def client_lost(self) -> None:
        """The client's connection is gone."""
        self.leave("client gone")

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

    def leave(self, outcome: str) -> None:
        """End the session now without a word."""
        self._finish(b"", outcome)

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
            self.pace()
        else:
            self._finish(words, outcome)

    def _finish(self, words: bytes, outcome: str) -> None:
        if self.over:
            return
        self.over = True
        rest = not words and self._at_rest()
        self._forwarder.stop()
        busy = not self.exchange.quiet
        self._record_cut()
        if words and not self._mid_message:
            self._client.write(words)
        self._client.close()
        if not (rest and self._keep()):
            # an abort, not a close: what the site still sends must not reach anybody
            self._site.abort()
        self._on_end(outcome, busy)

    def _at_rest(self) -> bool:
        """Whether nothing is under way between us and the site, and every statement's record is durable."""
        return (
            self.exchange.at_rest
            and not self._held
            and self.durable >= self.recorder.issued
            and not self._forwarder.waits
        )

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


__all__ = ["HELD_MOST", "Relay"]
