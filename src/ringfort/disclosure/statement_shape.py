"""The shape of an allow-listed statement: what a ledger entry may say of it.

A shape is canonical JSON text (sorted keys, no spaces, UTF-8) built from our own words, names of the lists of
this package (catalogue relations, functions, operators) and names that the surface catalogues (relations,
columns). No alias, literal, comment, cursor name or count of the client's ever enters it. One block per
SELECT:

    {"from":["orders"],"output":["country","count()"],"where":["country ="],"group":["country"],"limit":true}

Column names are listed only if the surface knows them; `where` tells the operator beside a column. At most
`MAX_BYTES` long. What does not fit is summed up: `"summed":true`, the statements' kinds, and the names of all
blocks together by clause; if that is still too long, the lists are cut and `more` names the clauses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

MAX_BYTES = 2048
VERSION = 1
_DEPTH = 8


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

    def to_json(self, depth: int = _DEPTH) -> dict[str, Any]:
        """This block and those inside of it down to `depth` levels."""
        out: dict[str, Any] = {clause: sorted(words) for clause, words in self.words.items()}
        for flag in self.flags:
            out.setdefault(flag, True)
        if self.inner:
            out["inner"] = [block.to_json(depth - 1) for block in self.inner] if depth > 0 else True
        return out


def render(statements: list[tuple[str, Block]]) -> str:
    """The shape of one text: its statements' kinds and blocks, in order; at most `MAX_BYTES` long."""
    if len(statements) <= MAX_BYTES // 16:
        shape = {
            "v": VERSION,
            "statements": [{"kind": kind, **block.to_json()} for kind, block in statements],
        }
        text = _dump(shape)
        if len(text) <= MAX_BYTES:
            return text.decode()
    together = _together([block for _, block in statements])
    kinds = sorted({kind for kind, _ in statements})
    for keep in (MAX_BYTES, 32, 12, 4, 0):
        shape = {"v": VERSION, "summed": True, "kinds": kinds}
        shape |= {clause: sorted(words)[:keep] for clause, words in together.words.items() if keep}
        shape |= dict.fromkeys(together.flags - shape.keys(), True)
        more = sorted(clause for clause, words in together.words.items() if len(words) > keep)
        if more:
            shape["more"] = more
        text = _dump(shape)
        if len(text) <= MAX_BYTES:
            break
    return text.decode()


def _together(blocks: list[Block]) -> Block:
    """All words and flags of the blocks and those inside of them."""
    whole = Block()
    todo = list(blocks)
    while todo:
        block = todo.pop()
        todo += block.inner
        whole.flags |= block.flags
        for clause, words in block.words.items():
            whole.words.setdefault(clause, set()).update(words)
    return whole


def _dump(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


__all__ = ["MAX_BYTES", "VERSION", "Block", "render"]
