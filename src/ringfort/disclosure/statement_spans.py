"""Where the parts of a query stand in its text: a reading of tokens, since the grammar gives few positions.

Nothing here is trusted: what comes of an edit made with it is parsed again and compared with what was meant.
A part that cannot be found is a LookupError or ValueError. Tokens are numbered as `Tokens` has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ringfort.disclosure.statement_edits import Edits, Span
    from ringfort.disclosure.statement_rules import Node

_OPTIONS: Final = frozenset({"limit", "offset", "fetch", "for"})
_SET: Final = frozenset({"union", "intersect", "except"})
_LEAF_ENDS: Final = _OPTIONS | _SET | {"order"}
_LIST_ENDS: Final = _LEAF_ENDS | {"from", "where", "group", "having", "window", "into"}
_FRAMES: Final = frozenset({"rows", "range", "groups"})
_OPEN: Final = frozenset({"(", "["})
_CLOSE: Final = frozenset({")", "]"})


class Spans:
    """Parts of queries, by token."""

    def __init__(self, edits: Edits) -> None:
        self.tokens = edits.tokens
        self._aliased = edits.aliased

    def word(self, number: int) -> str:
        """A token in lower case; "" beyond the ends, and for what is a label or a column's name."""
        if not 0 <= number < len(self.tokens):
            return ""
        text = self.tokens.text(number).lower().decode("utf-8")
        if text.isalpha() and number > 0 and self.tokens.text(number - 1).lower() in {b"as", b"."}:
            return "" if text in _LIST_ENDS | _FRAMES else text
        return text

    def span(self, first: int, behind: int) -> Span:
        """From one token up to another, which is not in it."""
        if behind <= first:
            raise ValueError("nothing stands there")
        return self.tokens.start(first), self.tokens.end(behind - 1)

    def until(self, at: int, ends: frozenset[str]) -> int:
        """The first token at this depth that is one of `ends`, closes the parenthesis around, or `;`."""
        depth = 0
        while at < len(self.tokens):
            word = self.word(at)
            if word in _OPEN:
                depth += 1
            elif word in _CLOSE:
                if depth == 0:
                    return at
                depth -= 1
            elif depth == 0 and (word == ";" or (word in ends and not self._belongs(at, word))):
                return at
            at += 1
        return at

    def _belongs(self, at: int, word: str) -> bool:
        """Whether a word opens no clause here: IS DISTINCT FROM, WITHIN GROUP."""
        before = self.word(at - 1)
        if word == "from":
            return before == "distinct" and self.word(at - 2) in {"is", "not"}
        return word == "group" and before == "within"

    # -- queries -----------------------------------------------------------------------------------------

    def keyword(self, select: Node) -> int:
        """The SELECT or TABLE of a query that is no set operation."""
        location = select["targetList"][0]["ResTarget"].get("location", 0)
        if location < 0:
            at = self.tokens.at(select["fromClause"][0]["RangeVar"].get("location", 0)) - 1
            at -= self.word(at) == "only"
            return self._expect(at, "table")
        at = self.tokens.at(location) - 1
        if self.word(at) == ")":
            at = self.tokens.opening(at) - 1
            self._expect(at, "on")
            at -= 1
        if self.word(at) in {"all", "distinct"}:
            at -= 1
        return self._expect(at, "select")

    def values_keyword(self, select: Node) -> int:
        """The VALUES of a list of rows."""
        first = select["valuesLists"][0]["List"]["items"][0]
        at = self.tokens.at(_leftmost(first))
        while self.word(at) != "values":
            at -= 1
            if at < 0:
                raise LookupError("values")
        return at

    def _expect(self, at: int, word: str) -> int:
        if self.word(at) != word:
            raise LookupError(word)
        return at

    def leaf_end(self, keyword: int) -> int:
        """The token behind SELECT ... up to its order, limit or set operation."""
        return self.until(keyword + 1, _LEAF_ENDS)

    def order_end(self, body_end: int) -> int:
        """The token behind the ORDER BY of a query whose body ends there, be that outside of parentheses."""
        while self.word(body_end) == ")":
            body_end += 1
        self._expect(body_end, "order")
        return self.until(body_end + 1, _OPTIONS | _SET)

    def group(self, at: int) -> int:
        """The parenthesis around a token; -1 if there is none."""
        depth = 0
        for number in range(at - 1, -1, -1):
            word = self.word(number)
            if word in _CLOSE:
                depth += 1
            elif word in _OPEN:
                if depth == 0:
                    return number
                depth -= 1
            elif word == ";" and depth == 0:
                return -1
        return -1

    def region(self, left: int, right: int) -> tuple[int, int]:
        """First token and token behind of the body whose outermost keywords are `left` and `right`."""
        around = self.group(left)
        while around >= 0 and self.tokens.closing(around) < right:
            around = self.group(around)
        end = self.leaf_end(right)
        inner = self.group(right)
        while inner != around:
            end = self.tokens.closing(inner) + 1
            inner = self.group(inner)
        return self._start(around, left), end

    def _start(self, around: int, left: int) -> int:
        if around >= 0:
            return around + 1
        first = left
        while first > 0 and self.word(first - 1) != ";":
            first -= 1
        if self.word(first) == "declare":
            return self.until(first, frozenset({"for"})) + 1
        if self.word(first) == "prepare":
            return self.until(first, frozenset({"as"})) + 1
        return first

    # -- lists -------------------------------------------------------------------------------------------

    def targets(self, select: Node) -> list[Span]:
        """The expressions of a select list, without their aliases."""
        items = [each["ResTarget"] for each in select["targetList"]]
        firsts = [self.tokens.at(each.get("location", 0)) for each in items]
        ends = [first - 1 for first in firsts[1:]]
        ends.append(self.until(firsts[-1], _LIST_ENDS))
        out = []
        for item, first, end in zip(items, firsts, ends, strict=True):
            behind = end
            if "name" in item and id(item) not in self._aliased:
                behind -= 1
                behind -= self.tokens.text(behind - 1).lower() == b"as"
            out.append(self.span(first, behind))
        return out

    def listed(self, first: int, behind: int) -> list[Span]:
        """The parts of a list between tokens, by its commas."""
        out = []
        depth = 0
        start = first
        for at in range(first, behind):
            word = self.word(at)
            depth += (word in _OPEN) - (word in _CLOSE)
            if word == "," and depth == 0:
                out.append(self.span(start, at))
                start = at + 1
        return [*out, self.span(start, behind)]

    def distinct_on(self, keyword: int) -> list[Span]:
        """The expressions of SELECT DISTINCT ON (...)."""
        opening = keyword + 3
        self._expect(opening, "(")
        return self.listed(opening + 1, self.tokens.closing(opening))

    def group_items(self, keyword: int) -> list[Span]:
        """The expressions of GROUP BY."""
        at = self.until(keyword + 1, frozenset({"group"}))
        self._expect(at, "group")
        first = at + 2
        first += self.word(first) in {"all", "distinct"}
        return self.listed(first, self.until(first, _LIST_ENDS))

    def call(self, fields: Node) -> tuple[int, int]:
        """The parentheses of a function call."""
        opening = self.tokens.at(fields.get("location", 0)) + 2 * len(fields["funcname"]) - 1
        self._expect(opening, "(")
        return opening, self.tokens.closing(opening)

    def window(self, definition: Node) -> dict[str, tuple[int, int]]:
        """The parts of a window's definition in parentheses, each as first token and token behind."""
        opening = self.tokens.at(definition.get("location", 0))
        self._expect(opening, "(")
        closing = self.tokens.closing(opening)
        at = opening + 1
        parts: dict[str, tuple[int, int]] = {"end": (closing, closing)}
        if "refname" in definition:
            parts["refname"] = (at, at + 1)
            at += 1
        frame = closing
        if definition.get("frameOptions", 0) & 1:
            frame = max(n for n in range(at, closing) if self.word(n) in _FRAMES and self._depth(at, n) == 0)
            parts["frame"] = (frame, closing)
        order = min(self.until(at, frozenset({"order"})), frame)
        if "partitionClause" in definition:
            self._expect(at, "partition")
            parts["partition"] = (at + 2, order)
        if "orderClause" in definition:
            self._expect(order, "order")
            parts["order"] = (order + 2, frame)
        return parts

    def _depth(self, first: int, at: int) -> int:
        words = [self.word(number) for number in range(first, at)]
        return sum((word in _OPEN) - (word in _CLOSE) for word in words)


def _leftmost(node: Node) -> int:
    """The first position that anything in a tree tells."""
    found: list[int] = []
    todo: list[Any] = [node]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            found.append(value.get("location", -1))
            todo += value.values()
    return min(each for each in found if each >= 0)


__all__ = ["Spans"]
