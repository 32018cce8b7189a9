"""What is told of the mapping tables of one database: to sessions which views wait, to operators why.

Thread-safe: the lock guards what is known, for moments, so everything here answers at once.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from ringfort.gateway.mapping_state import Waiting, together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.disclosure.profile import Profile
    from ringfort.gateway.mapping_fill import Map, Source


class Told:
    """What a filler knows: its mapping tables by id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._maps: dict[str, Map] = {}

    def filled(self, map_id: str) -> bool:
        """Whether a mapping table has every key that its columns had at the last look."""
        kept = self._maps.get(map_id)
        return kept is not None and not kept.suspect and all(source.full for source in kept.sources)

    @property
    def ids(self) -> set[str]:
        """The mapping tables that are kept."""
        return set(self._maps)

    def waiting(self, profile: Profile) -> dict[str, Waiting]:
        """Each view of a profile that cannot be read yet, and why: only its own columns count."""
        found = {}
        for view in profile.views:
            columns = [
                waiting
                for column in view.columns
                if column.map and (waiting := self._waiting(column.map, view.oid, column.number))
            ]
            said = together(columns)
            if said is not None:
                found[view.name] = said
        return found

    def _waiting(self, map_id: str, oid: int, number: int) -> Waiting | None:
        kept = self._maps.get(map_id)
        if kept is None or kept.suspect:
            return Waiting()
        for source in kept.sources:
            if (source.source.oid, source.source.number) == (oid, number):
                return source.progress.waiting(time.monotonic())
        return None

    def faults(self) -> list[dict[str, Any]]:
        """Columns that cannot be read at present, for the operator."""
        with self._lock:
            return [
                {
                    **_which(kept, source),
                    "reason": source.progress.fault,
                    "since": source.progress.since,
                    "readable": source.full,
                }
                for kept in self._maps.values()
                for source in kept.sources
                if source.progress.fault
            ]

    def fills(self) -> list[dict[str, Any]]:
        """Columns whose pseudonyms are being prepared, for the operator: with the numbers of rows."""
        with self._lock:
            return [
                {
                    **_which(kept, source),
                    "stage": str(source.progress.stage),
                    "done": source.progress.done,
                    "expected": source.progress.expected,
                    "reason": source.progress.fault,
                }
                for kept in self._maps.values()
                for source in kept.sources
                if not source.full
            ]

    def how_far(self, ids: Iterable[str]) -> dict[str, Any]:
        """Of these mapping tables: per cent of keys that have a pseudonym, columns that wait, and faults.

        A column of unknown size counts as half done while it is filled.
        """
        wanted = set(ids)
        with self._lock:
            kept = [
                (each, source) for key, each in self._maps.items() if key in wanted for source in each.sources
            ]
            ready = sum(not each.suspect and source.full for each, source in kept)
            shares = sum(0 if each.suspect else source.progress.share for each, source in kept)
        faults = [each for each in self.faults() if each["map"] in wanted and not each["readable"]]
        return {
            "percent": 100 if ready == len(kept) else min(int(100 * shares / len(kept)), 99),
            "columns": len(kept),
            "ready": ready,
            "waiting": max(len(kept) - ready - len(faults), 0),
            "faults": faults,
        }


def _which(kept: Map, source: Source) -> dict[str, Any]:
    """Which column of which table an item is about, and where its pseudonyms are."""
    return {
        "table": f"{source.source.schema}.{source.source.table}",
        "column": source.source.column,
        "map": kept.plan.id,
        "domain": kept.domain.id,
    }


__all__ = ["Told"]
