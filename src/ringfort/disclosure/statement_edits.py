"""Edits of a statement's text: what is put in the place of which bytes, and where copies of others go.

An edit may hold copies of other places of the text; they are taken with the edits that were made inside of
them. What was made behind a place (an alias, an order) does not belong to a copy of it. The new text is
bounded: copies of copies could grow without end.

Invariants: pure; positions are UTF-8 bytes. Edits never cut into each other; one that lies inside of another
is dropped with what that replaces. `template` gives the new text with the constants of the old one left
open, so that it can be made again for a text that differs in nothing else (statement_key.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ringfort.disclosure.statement_key import constant_spans
from ringfort.disclosure.statement_refusal import StatementRefusedError
from ringfort.disclosure.statement_tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Span = tuple[int, int]
"""First byte, byte behind."""
Part = str | Span
"""What is inserted: words of our own, or a copy of a place of the text."""

MAX_NEW_BYTES: Final = 256 * 1024
_MAX_PARTS: Final = 65_536


class Edits:
    """Spans of the text and what comes in their place; what is inserted at one point keeps its order."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._tokens: Tokens | None = None
        self._made: list[tuple[int, int, int, bool, Sequence[Part]]] = []
        self._budget = _MAX_PARTS
        self.aliased: set[int] = set()  # items of select lists that got an alias behind them

    @property
    def tokens(self) -> Tokens:
        """The text's tokens, read when they are first needed."""
        if self._tokens is None:
            self._tokens = Tokens(self._text)
        return self._tokens

    def replace(self, start: int, end: int, *new: Part) -> None:
        """`new` for what stands there. Of edits at one place those behind which more follows go first."""
        self._made.append((start, end, 0, False, new))

    def open(self, start: int, upto: int, *new: Part) -> None:
        """`new` before what stands at `start`, around everything up to `upto`."""
        self._made.append((start, start, -upto, False, new))

    def behind(self, at: int, *new: Part) -> None:
        """`new` behind what ends at `at`; copies of that do not include it."""
        self._made.append((at, at, 0, True, new))

    def text(self) -> bytes:
        """The text with all edits made."""
        out: list[bytes] = []
        size = 0
        for piece in self._pieces():
            new = piece.encode("utf-8") if isinstance(piece, str) else self._text[piece[0] : piece[1]]
            size += len(new)
            if size > MAX_NEW_BYTES:
                raise _too_long()
            out.append(new)
        return b"".join(out)

    def template(self) -> list[str | int]:
        """The new text in parts: words, or the number of a constant of the old text, as they follow there."""
        constants = constant_spans(self._text)
        starts = {start: number for number, (start, _) in enumerate(constants)}
        order = sorted(starts)
        out: list[str | int] = []
        for piece in self._pieces():
            if isinstance(piece, str):
                _add(out, piece)
                continue
            at, end = piece
            for start in order[_first_from(order, at) :]:
                behind = constants[starts[start]][1]
                if start >= end:
                    break
                if behind > end:
                    raise ValueError("an edit stands inside of a constant")
                _add(out, self._text[at:start].decode("utf-8"))
                out.append(starts[start])
                at = behind
            _add(out, self._text[at:end].decode("utf-8"))
        return out

    def _pieces(self) -> Iterator[Part]:
        self._made.sort(key=lambda edit: (edit[0], edit[1], edit[2]))
        self._budget = _MAX_PARTS
        yield from self._render(0, len(self._text), whole=True)

    def _render(self, at: int, end: int, *, whole: bool = False) -> Iterator[Part]:
        for start, behind, _, outside, new in self._made:
            if start < at or behind > end or (outside and start == end and not whole):
                if whole and start < at < behind:
                    raise ValueError("edits overlap")
                continue
            self._budget -= 1
            if self._budget < 0:
                raise _too_long()
            if start > at:
                yield (at, start)
            for part in new:
                if isinstance(part, str):
                    yield part
                else:
                    yield from self._render(*part)
            at = behind
        if end > at:
            yield (at, end)


def _first_from(order: list[int], at: int) -> int:
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if order[middle] < at:
            low = middle + 1
        else:
            high = middle
    return low


def _add(out: list[str | int], words: str) -> None:
    if not words:
        return
    if out and isinstance(out[-1], str):
        out[-1] += words
    else:
        out.append(words)


def _too_long() -> StatementRefusedError:
    return StatementRefusedError(
        "the statement is too long once its missing orders are filled in",
        hint="nest fewer subqueries with LIMIT, or order them yourself by all that they select",
        sqlstate="54001",
    )


__all__ = ["Edits", "Part", "Span"]
