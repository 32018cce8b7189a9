"""Which states of the control log a traffic entry may stand on, and which shards name them already.

An entry says on what size of the control log it was decided. That is the present one, or one that was
superseded no longer ago than the stated bound; before its first entry on a size, a shard gets a
`ControlReferenced` with the root of that size. Pure; the clock is passed in. DESIGN section 2, principle 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.record.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable


class Ground:
    """The sizes that entries may stand on, and (shard, size) pairs that are referenced."""

    __slots__ = ("_monotonic", "_references", "_staleness", "_usable", "last")

    def __init__(self, staleness: float, monotonic: Callable[[], float]) -> None:
        self._staleness = staleness
        self._monotonic = monotonic
        self._usable: dict[int, tuple[bytes, float]] = {}
        self._references: set[tuple[str, int]] = set()
        self.last: tuple[str, int] = ("", -1)
        """The shard and size that the last entry stood on."""

    def superseded(self, size: int, root: bytes) -> None:
        """The control log grows beyond `size`, whose root this is: from now on that is an older state."""
        self._usable[size] = (root, self._monotonic() + self._staleness)

    def root(self, size: int) -> bytes:
        """The root of an older size; raises RefusedError if it is unknown or out of date."""
        root, until = self._usable.get(size, (b"", 0.0))
        if not root or until < self._monotonic():
            raise RefusedError(
                "the entry stands on a state of the control log that is unknown or out of date",
                hint="follow the control log, and decide again",
            )
        return root

    def stand(self, shard: str, size: int) -> bool:
        """An entry of `shard` stands on `size`; whether the shard has to be told of it first."""
        self.last = (shard, size)
        known = len(self._references)
        self._references.add(self.last)
        return len(self._references) > known

    def prune(self, present: int) -> None:
        """Forget what is out of date; `present` is the size of the control log."""
        now = self._monotonic()
        self._usable = {size: each for size, each in self._usable.items() if each[1] >= now}
        self._references = {
            each for each in self._references if each[1] in self._usable or each[1] == present
        }


__all__ = ["Ground"]
