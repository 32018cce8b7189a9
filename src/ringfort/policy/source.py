"""Cedar text cut into policies and tokens, so that a message can name file and line.

Cedar's Python binding reports neither line nor column. A policy ends at the first `;` outside a string or a
comment, which is all the grammar needed here; the text itself is always judged by Cedar. The place of a
syntax error is found by asking Cedar about prefixes: the first token after which the text can no longer be
continued.

Spec: Cedar policy grammar, https://docs.cedarpolicy.com/policies/syntax-grammar.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|\?[a-z]+)
      | (?P<mark>::|==|!=|<=|>=|&&|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)

_OPERATORS = frozenset({".", "[", "&&", "||", "+", "-", "*", "!", "if", "has", "in", "is", "like"})
MAX_NESTING = 50
MAX_OPERATORS = 300


@dataclass(frozen=True)
class SourceFile:
    """A file of a bundle: its name within the policy folder and its text."""

    name: str
    text: str


@dataclass(frozen=True)
class Token:
    """A token and where it starts in its text (characters from 0)."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """Where the token ends."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class Segment:
    """One policy as written: its text from the first token to its `;`, and the line (from 1) it starts on."""

    file: str
    line: int
    text: str

    def line_of(self, needle: str) -> int:
        """The line of the first token (or run of tokens) `needle`; the policy's first line if none."""
        wanted = [token.text for token in tokens(needle)]
        found = tokens(self.text)
        for place in range(len(found) - len(wanted) + 1):
            if wanted and [each.text for each in found[place : place + len(wanted)]] == wanted:
                return self.line + self.text.count("\n", 0, found[place].start)
        return self.line


def tokens(text: str) -> list[Token]:
    """The tokens of `text` without space and comments."""
    return [
        Token(match.group(), match.start()) for match in _TOKEN.finditer(text) if match.lastgroup != "space"
    ]


def too_complex(text: str, *, brackets: str = "()[]{}") -> str:
    """Why `text` may not be given to Cedar, "" if nothing is in the way.

    Cedar's parser recurses: some thousand brackets or chained operators end the process, not the call.
    """
    depth = deepest = operators = 0
    for token in tokens(text):
        if token.text in brackets[::2]:
            depth += 1
            deepest = max(deepest, depth)
        elif token.text in brackets[1::2]:
            depth = max(depth - 1, 0)
        operators += token.text in _OPERATORS
    if deepest > MAX_NESTING:
        return f"brackets are nested more than {MAX_NESTING} deep"
    if operators > MAX_OPERATORS:
        return f"more than {MAX_OPERATORS} operators are in one policy"
    return ""


def split_policies(source: SourceFile) -> list[Segment]:
    """The policies of a file in the order they are written; an unfinished last one counts as a policy."""
    segments: list[Segment] = []
    start: int | None = None
    end = 0
    for token in tokens(source.text):
        if start is None:
            start = token.start
        end = token.end
        if token.text == ";":
            segments.append(_segment(source, start, end))
            start = None
    if start is not None:
        segments.append(_segment(source, start, end))
    return segments


def syntax_error_line(text: str, first_line: int, can_continue: Callable[[str], bool]) -> int:
    """The line of the first token after which `text` cannot be continued to something valid.

    `can_continue` says of a prefix whether the parser accepts it or only misses its end. Prefixes of such a
    prefix are such too, so the place is found by halving. `first_line` if the fault is not one of syntax.
    """
    found = tokens(text)
    low, high = 0, len(found)  # the prefix of `low` tokens can be continued
    while low < high:
        middle = (low + high + 1) // 2
        if can_continue(text[: found[middle - 1].end]):
            low = middle
        else:
            high = middle - 1
    if low == len(found):
        return first_line
    return first_line + text.count("\n", 0, found[low].start)


def _segment(source: SourceFile, start: int, end: int) -> Segment:
    return Segment(source.name, source.text.count("\n", 0, start) + 1, source.text[start:end])
