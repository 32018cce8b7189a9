"""How far each stream of evidence reaches: the chain over its groups, as the writer makes it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.ledger.entry import EvidenceStream
from ringfort.ledger.evidence import ORIGIN_CHAIN, chained

if TYPE_CHECKING:
    from collections.abc import Mapping


class Streams:
    """The ends of all streams that have grown; begins where what is committed ends."""

    def __init__(self) -> None:
        self._ends: dict[str, EvidenceStream] = {}

    def resume(self, committed: Mapping[str, EvidenceStream]) -> None:
        """Go on from what is committed."""
        self._ends.update(committed)

    def begin(self, stream: str, after: int) -> None:
        """A stream that nothing commits yet; its groups up to number `after` are from before."""
        self._ends.setdefault(stream, EvidenceStream(stream, after, after, 0, 0, ORIGIN_CHAIN.hex()))

    def end(self, stream: str) -> int:
        """The number of the last group that the chain covers."""
        end = self._ends.get(stream)
        return 0 if end is None else end.last

    def add(self, stream: str, number: int, digest: bytes, pieces: int) -> None:
        """One more group: its number, its record's digest, how many pieces of evidence it holds."""
        self.begin(stream, 0)
        end = self._ends[stream]
        chain = chained(bytes.fromhex(end.chain), digest)
        self._ends[stream] = EvidenceStream(
            stream, end.after, number, end.groups + 1, end.pieces + pieces, chain.hex()
        )

    def grown(self, committed: Mapping[str, EvidenceStream]) -> tuple[EvidenceStream, ...]:
        """The streams that reach further than what is committed of them, by name."""
        return tuple(
            end
            for name, end in sorted(self._ends.items())
            if end.groups and (name not in committed or end.last > committed[name].last)
        )


__all__ = ["Streams"]
