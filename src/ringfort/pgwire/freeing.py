"""Names that SQL takes away: DEALLOCATE, CLOSE and DISCARD ALL end what the protocol has made, too.

None of them is undone by a rollback. What is taken away is what was under the names when the statement was
forwarded, and only once the server has answered with the statement's command tag: what a client has put there
since, in the same segment or a later one, stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.pgwire.debts import Entry, Freed

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable

    from ringfort.pgwire.debts import Awaited

    Table = dict[bytes, Entry]

NAME_BYTES = 63  # as many of a name count; names of the grammar are cut to them
_STATEMENTS = frozenset({b"DEALLOCATE", b"DEALLOCATE ALL", b"DISCARD ALL"})
_PORTALS = frozenset({b"CLOSE CURSOR", b"CLOSE CURSOR ALL", b"DISCARD ALL"})


def freed(tag: bytes, name: bytes, statements: Table, portals: Table, running: bytes | None) -> Freed:
    """What a statement with this command tag takes away; `name` is empty for all, which spares b"".

    `running` is the portal that the statement itself runs in, if it does: it stays until its end.
    """
    found: list[tuple[Table, bytes, Entry]] = []
    if tag in _STATEMENTS:
        found += [(statements, *each) for each in _named(statements, name) if each[0]]
    if tag in _PORTALS:
        found += [(portals, *each) for each in _named(portals, name) if each[0] != running]
    return Freed(tag, found)


def _named(table: Table, name: bytes) -> list[tuple[bytes, Entry]]:
    if not name:
        return list(table.items())
    if len(name) < NAME_BYTES:
        return [(name, table[name])] if name in table else []
    return [(key, entry) for key, entry in table.items() if key[:NAME_BYTES] == name[:NAME_BYTES]]


def command_done(awaited: deque[Awaited], tag: bytes) -> None:
    """A CommandComplete came under the first debt: if it is of what takes names away, they go for good."""
    frees = awaited[0].frees
    if tag == frees[0].tag:
        _take_away(frees.pop(0), awaited)


def _take_away(what: Freed, awaited: Iterable[Awaited]) -> None:
    gone = {(id(table), name): entry for table, name, entry in what.entries}
    for table, name, entry in what.entries:
        if table.get(name) is entry:
            del table[name]
    for debt in awaited:
        undo = debt.undo
        if undo is not None and undo[2] is not None and gone.get((id(undo[0]), undo[1])) is undo[2]:
            debt.undo = (undo[0], undo[1], None)


__all__ = ["NAME_BYTES", "command_done", "freed"]
