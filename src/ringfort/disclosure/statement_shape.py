"""The shape of an allow-listed statement: what a ledger entry may say of it.

A shape is canonical JSON text (sorted keys, no spaces, UTF-8) built from our own words, names of the lists of
this package (catalogue relations, functions, operators) and names that the surface catalogues (relations,
columns). No alias, literal, comment, cursor name or count of the client's ever enters it. One block per
SELECT:

    {"from":["orders"],"output":["country","count()"],"where":["country ="],"group":["country"],"limit":true}

Column names are listed only if the surface knows them; `where` tells the operator beside a column. At most
`MAX_BYTES` long: blocks that do not fit are summed up, then dropped, and `"cut":true` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

MAX_BYTES = 2048
VERSION = 1
_WORDS_PER_CLAUSE = 24


@dataclass
class Block:
    """One SELECT of a statement, or the statement around it."""

    words: dict[str, set[str]] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    inner: list[Block] = field(default_factory=list)

    def add(self, clause: str, word: str) -> None:
        """Note that `word`, which must be a catalogued name, stands in `clause`."""
        self.words.setdefault(clause, set()).add(word)

    def open(self) -> Block:
        """A block inside of this one."""
        block = Block()
        self.inner.append(block)
        return block

    def to_json(self, depth: int) -> dict[str, Any]:
        """This block and those inside of it down to `depth` levels."""
        out: dict[str, Any] = {
            clause: sorted(words)[:_WORDS_PER_CLAUSE] for clause, words in self.words.items()
        }
        for flag in self.flags:
            out.setdefault(flag, True)
        if self.inner:
            out["inner"] = [block.to_json(depth - 1) for block in self.inner] if depth > 0 else True
        return out

    def names(self, clause: str) -> set[str]:
        """All words of `clause` in this block and those inside of it."""
        found: set[str] = set()
        todo = [self]
        while todo:
            block = todo.pop()
            found |= block.words.get(clause, set())
            todo += block.inner
        return found


def render(statements: list[tuple[str, Block]]) -> str:
    """The shape of one text: its statements' kinds and blocks, in order; at most `MAX_BYTES` long."""
    for depth in (6, 2):
        text = _dump({"v": VERSION, "statements": [{"kind": k, **b.to_json(depth)} for k, b in statements]})
        if len(text.encode()) <= MAX_BYTES:
            return text
    relations = sorted(set().union(*(block.names("from") for _, block in statements)))
    kinds = sorted({kind for kind, _ in statements})
    for keep in (len(relations), 16, 0):
        text = _dump({"v": VERSION, "cut": True, "kinds": kinds, "from": relations[:keep]})
        if len(text.encode()) <= MAX_BYTES:
            break
    return text


def _dump(value: dict[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


__all__ = ["MAX_BYTES", "VERSION", "Block", "render"]
