"""What a server owes: an answer for each message that was forwarded, and which answers pay which debt."""

from __future__ import annotations

from typing import Final, NamedTuple

QUERY, PARSE, BIND, DESCRIBE, CLOSE, EXECUTE, SYNC = range(7)

COMPLETE, SUSPENDED, FAILED, SKIPPED, CUT = "complete", "suspended", "failed", "skipped", "cut"

# Answer -> debts that it may come under; the second table: those that it pays off.
UNDER: dict[int, frozenset[int]] = {
    ord("1"): frozenset({PARSE}),
    ord("2"): frozenset({BIND}),
    ord("3"): frozenset({CLOSE}),
    ord("t"): frozenset({DESCRIBE}),
    ord("n"): frozenset({DESCRIBE}),
    ord("T"): frozenset({DESCRIBE, QUERY}),
    ord("D"): frozenset({QUERY, EXECUTE}),
    ord("C"): frozenset({QUERY, EXECUTE}),
    ord("I"): frozenset({QUERY, EXECUTE}),
    ord("s"): frozenset({EXECUTE}),
    ord("H"): frozenset({QUERY, EXECUTE}),
    ord("G"): frozenset({QUERY, EXECUTE}),
    ord("d"): frozenset({QUERY, EXECUTE}),
    ord("c"): frozenset({QUERY, EXECUTE}),
    ord("Z"): frozenset({QUERY, SYNC}),
}
PAYS: dict[int, frozenset[int]] = {
    ord("1"): frozenset({PARSE}),
    ord("2"): frozenset({BIND}),
    ord("3"): frozenset({CLOSE}),
    ord("n"): frozenset({DESCRIBE}),
    ord("T"): frozenset({DESCRIBE}),
    ord("C"): frozenset({EXECUTE}),
    ord("I"): frozenset({EXECUTE}),
    ord("s"): frozenset({EXECUTE}),
    ord("Z"): frozenset({QUERY, SYNC}),
}


class Awaited:
    """An answer that the server owes: to what, under which admission, and what to undo if it never comes.

    `copies`: it may begin a COPY IN. `frees`: what its CommandCompletes, in their order, take away by SQL.
    """

    __slots__ = ("copies", "frees", "kind", "sequence", "substitute", "undo")

    def __init__(
        self,
        kind: int,
        sequence: int = 0,
        undo: tuple[dict[bytes, Entry], bytes] | None = None,
        substitute: bytes = b"",
    ) -> None:
        self.kind = kind
        self.sequence = sequence
        self.undo = None if undo is None else (*undo, undo[0].get(undo[1]))
        self.substitute = substitute
        self.copies = False
        self.frees: list[Freed] = []


class Entry(NamedTuple):
    """What is kept under a name, and the segment that put it there."""

    value: object  # None: closed
    segment: int


class Freed(NamedTuple):
    """What one statement takes away once the server says that it was done, with which command tag."""

    tag: bytes
    entries: list[tuple[dict[bytes, Entry], bytes, Entry]]


class Unsettled:
    """The one value `UNSETTLED`: the name was changed by a segment that is not answered yet."""


UNSETTLED: Final = Unsettled()
AWAIT_DESCRIBE, AWAIT_CLOSE, AWAIT_SYNC = map(Awaited, (DESCRIBE, CLOSE, SYNC))

__all__ = [
    "AWAIT_CLOSE",
    "AWAIT_DESCRIBE",
    "AWAIT_SYNC",
    "BIND",
    "CLOSE",
    "COMPLETE",
    "CUT",
    "DESCRIBE",
    "EXECUTE",
    "FAILED",
    "PARSE",
    "PAYS",
    "QUERY",
    "SKIPPED",
    "SUSPENDED",
    "SYNC",
    "UNDER",
    "UNSETTLED",
    "Awaited",
    "Entry",
    "Freed",
    "Unsettled",
]
