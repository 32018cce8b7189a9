"""What a session keeps under the protocol's names: prepared statements, portals, and how much that may be.

Bounds: `MAX_STATEMENTS`, `MAX_PORTALS`, `KEPT_MOST` bytes of texts and values under names, `UNANSWERED_MOST`
bytes of those that the site has not answered yet (they are kept twice: to be undone if it refuses them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.pgwire.backend import error_response

if TYPE_CHECKING:
    from ringfort.gateway.verdicts import Known
    from ringfort.pgwire.exchange import Exchange

MAX_STATEMENTS = 10_000
MAX_PORTALS = 1_000
KEPT_MOST = 16_777_216
UNANSWERED_MOST = 4_194_304
UNKNOWN_STATEMENT = error_response(
    "ERROR",
    "26000",
    "prepared statement does not exist",
    hint="prepare it with a Parse message; names made by SQL PREPARE are for SQL EXECUTE",
)
UNKNOWN_PORTAL = error_response(
    "ERROR", "34000", "portal does not exist", hint="cursors made by DECLARE are for FETCH"
)
TOO_MANY_NAMES = error_response(
    "ERROR", "54000", "too many or too long prepared statements or portals", hint="close some"
)
TOO_LONG_BIND = error_response(
    "ERROR", "54000", "the message is too long", hint="send smaller parameters, or in several statements"
)


class Prepared:
    """What is kept of a prepared statement: its verdict, and its text as evidence."""

    __slots__ = ("evidence", "known")

    def __init__(self, known: Known, plain: bytes) -> None:
        self.known = known
        self.evidence = plain


class Bound:
    """What is kept of a portal: each Execute of it is admitted anew, with these values as evidence."""

    __slots__ = ("evidence", "known")

    def __init__(self, known: Known, plain: bytes) -> None:
        self.known = known
        self.evidence = plain


class Kept:
    """How much one session keeps in its exchange's tables."""

    __slots__ = ("_bytes", "_exchange", "_unanswered")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._bytes = 0
        self._unanswered = 0

    def overtakes(self, size: int) -> bool:
        """Whether too much is on the way to keep `size` bytes more before the site has answered."""
        if self._exchange.quiet:
            self._unanswered = 0
        elif self._unanswered + size > UNANSWERED_MOST:
            return True
        self._unanswered += size
        return False

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes more may be kept under names."""
        self._bytes += size
        if self._bytes > KEPT_MOST:
            exchange = self._exchange
            values = [
                each.value for table in (exchange.statements, exchange.portals) for each in table.values()
            ]
            held = [each.evidence for each in values if isinstance(each, Prepared | Bound)]
            self._bytes = size + sum(map(len, held))
        return self._bytes <= KEPT_MOST


__all__ = [
    "KEPT_MOST",
    "MAX_PORTALS",
    "MAX_STATEMENTS",
    "TOO_LONG_BIND",
    "TOO_MANY_NAMES",
    "UNANSWERED_MOST",
    "UNKNOWN_PORTAL",
    "UNKNOWN_STATEMENT",
    "Bound",
    "Kept",
    "Prepared",
]
