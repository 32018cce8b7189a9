"""How far each stream of evidence reaches: the chain over its groups, as the writer makes it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.ledger.entry import EvidenceStream
from ringfort.ledger.evidence import ORIGIN_CHAIN, chained

if TYPE_CHECKING:
    from collections.abc import Mapping


class _End:
    """Where one stream ends; changed once for each group of the journal, so no values are made for it."""

    __slots__ = ("after", "chain", "groups", "last", "pieces")

    def __init__(self, after: int, last: int, groups: int, pieces: int, chain: bytes) -> None:
        self.after, self.last = after, last
        self.groups, self.pieces, self.chain = groups, pieces, chain


class Streams:
    """The ends of all streams that have grown; begins where what is committed ends."""

    def __init__(self) -> None:
        self._ends: dict[str, _End] = {}

    def resume(self, committed: Mapping[str, EvidenceStream]) -> None:
        """Go on from what is committed."""
        for name, each in committed.items():
            chain = bytes.fromhex(each.chain)
            self._ends[name] = _End(each.after, each.last, each.groups, each.pieces, chain)

    def begin(self, stream: str, after: int) -> None:
        """A stream that nothing commits yet; its groups up to number `after` are from before."""
        if stream not in self._ends:
            self._ends[stream] = _End(after, after, 0, 0, ORIGIN_CHAIN)

    def end(self, stream: str) -> int:
        """The number of the last group that the chain covers."""
        end = self._ends.get(stream)
        return 0 if end is None else end.last

    def add(self, stream: str, number: int, digest: bytes, pieces: int) -> None:
        """One more group: its number, its record's digest, how many pieces of evidence it holds."""
        end = self._ends.get(stream)
        if end is None:
            end = self._ends[stream] = _End(0, 0, 0, 0, ORIGIN_CHAIN)
        end.chain = chained(end.chain, digest)
        end.last = number
        end.groups += 1
        end.pieces += pieces

    def grown(self, committed: Mapping[str, EvidenceStream]) -> tuple[EvidenceStream, ...]:
        """The streams that reach further than what is committed of them, by name."""
        return tuple(
            EvidenceStream(name, end.after, end.last, end.groups, end.pieces, end.chain.hex())
            for name, end in sorted(self._ends.items())
            if end.groups and (name not in committed or end.last > committed[name].last)
        )


__all__ = ["Streams"]
