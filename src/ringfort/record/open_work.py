"""What each client of the writer has begun and not ended: sessions, and admitted statements.

A worker that dies cannot record how its work ended. The writer sees its connection close, and writes the ends
in its place, with the outcome `worker lost`: what was released of such a statement is not known, so rows and
bytes of its end are 0. Without this an overseer could not tell a dead worker from one that keeps silent about
what it releases. A client that ends all it began leaves nothing here. Left out: what was open when the writer
itself died; that stands without an end. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ringfort.ledger.entry import Entry, StatementEnd
from ringfort.ledger.entry_traffic import SessionEnded, StatementsEnded

if TYPE_CHECKING:
    from collections.abc import Iterable

LOST = "worker lost"
ENDS_MOST = 400  # in one entry
_OPENED = b'"type":"SessionOpened"'


class OpenWork:
    """One client's. `statements` are those admitted and not ended, by session and number."""

    __slots__ = ("_sessions", "statements")

    def __init__(self) -> None:
        self.statements: set[tuple[str, int]] = set()
        self._sessions: dict[str, list[int]] = {}  # highest number, rows and bytes of ends

    def __bool__(self) -> bool:
        return bool(self.statements or self._sessions)

    def appended(self, entries: Iterable[bytes]) -> None:
        """Control entries of this client were staged: it has the sessions that they open."""
        for entry in entries:
            if _OPENED in entry:
                values = orjson.loads(entry)
                if values["type"] == "SessionOpened":
                    self._sessions[values["session"]] = [0, 0, 0]

    def noted(self, kind: str, values: dict[str, Any]) -> None:
        """A traffic entry of type `kind` with the JSON fields `values` was staged."""
        if kind == "StatementsEnded":
            statements, sessions = self.statements, self._sessions
            for session, seq, rows, size, _ in values["ended"]:
                statements.discard((session, seq))
                totals = sessions.get(session)
                if totals is not None:
                    totals[0] = max(totals[0], seq)
                    totals[1] += rows
                    totals[2] += size
        elif kind == "StatementAdmitted":
            self.statements.add((values["session"], values["seq"]))
        elif kind == "StatementRefused":
            totals = self._sessions.get(values["session"])
            if totals is not None:
                totals[0] = max(totals[0], values["seq"])
        elif kind == "SessionEnded":
            self._sessions.pop(values["session"], None)

    def lost(self, time: str, actor: str) -> list[Entry]:
        """The client is gone: the ends of everything that it left open, which are forgotten here."""
        statements = sorted(self.statements)
        for session, seq in statements:
            totals = self._sessions.get(session)
            if totals is not None:
                totals[0] = max(totals[0], seq)
        ends = [StatementEnd(session, seq, 0, 0, LOST) for session, seq in statements]
        entries: list[Entry] = [
            StatementsEnded(time=time, actor=actor, ended=tuple(ends[at : at + ENDS_MOST]))
            for at in range(0, len(ends), ENDS_MOST)
        ]
        entries += (
            SessionEnded(
                time=time, actor=actor, session=session, outcome=LOST, statements=seq, rows=rows, bytes=size
            )
            for session, (seq, rows, size) in self._sessions.items()
        )
        self.statements, self._sessions = set(), {}
        return entries


__all__ = ["LOST", "OpenWork"]
