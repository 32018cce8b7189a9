"""Tokens of a statement's text, to find places in it: a help only, what comes of it is parsed again."""

from __future__ import annotations

from typing import Final

_PAIRS: Final = {b")": b"(", b"]": b"["}
_RESERVED: Final = 4
_COMMENTS: Final = (b"--", b"/*")


class Tokens:
    """The tokens of a text, without comments, by number. A wrong number is a LookupError or ValueError."""

    def __init__(self, text: bytes) -> None:
        from ringfort.disclosure.statement_text import scan  # noqa: PLC0415 - workers never load the C grammar

        self._text = text
        found = [each for each in scan(text) if text[each[0] : each[0] + 2] not in _COMMENTS]
        self._starts = [each[0] for each in found]
        self._ends = [each[1] for each in found]
        self._kinds = [each[2] for each in found]
        self._at = {start: number for number, start in enumerate(self._starts)}

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, start: int) -> int:
        """The token that starts at this byte."""
        return self._at[start]

    def start(self, number: int) -> int:
        """Where a token starts."""
        return self._starts[_positive(number)]

    def end(self, number: int) -> int:
        """The byte behind a token."""
        return self._ends[_positive(number)]

    def text(self, number: int) -> bytes:
        """What a token is."""
        return self._text[self.start(number) : self.end(number)]

    def closing(self, number: int) -> int:
        """The parenthesis that closes the one at `number`."""
        depth = 0
        for at in range(number, len(self._starts)):
            text = self.text(at)
            depth += (text == b"(") - (text == b")")
            if depth == 0:
                return at
        raise ValueError("a parenthesis is not closed")

    def operand(self, number: int) -> int:
        """The first token of the operand that ends with `number`, as `::` takes it."""
        while True:
            text = self.text(number)
            if text in _PAIRS:
                number = self.opening(number)
                before = self.text(number - 1) if number else b""
                callee = self._is_callee(number - 1) if number else False
                if text == b"]" and before.lower() != b"array":
                    number -= 1
                    continue
                if callee or before.lower() == b"array":
                    number -= 1
            elif text.lower() == b"end":
                number = self._case(number)
            if number >= 2 and self.text(number - 1) == b".":
                number -= 2
                continue
            if number >= 2 and self.text(number - 1) == b"::":
                number -= 2
                continue
            return number

    def opening(self, number: int) -> int:
        """The parenthesis or bracket that the one at `number` closes."""
        closing = self.text(number)
        opening = _PAIRS[closing]
        depth = 0
        for at in range(number, -1, -1):
            text = self.text(at)
            depth += (text == closing) - (text == opening)
            if depth == 0:
                return at
        raise ValueError("a parenthesis is not opened")

    def _is_callee(self, number: int) -> bool:
        """Whether a token may be the name of a function."""
        first = self.text(number)[:1]
        return self._kinds[number] != _RESERVED and (first.isalpha() or first in b'_"' or first >= b"\x80")

    def _case(self, number: int) -> int:
        depth = 0
        for at in range(number, -1, -1):
            text = self.text(at).lower()
            depth += (text == b"end") - (text == b"case")
            if depth == 0:
                return at
        raise ValueError("CASE is missing")


def _positive(number: int) -> int:
    if number < 0:
        raise LookupError(number)
    return number


__all__ = ["Tokens"]
