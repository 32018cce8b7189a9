"""Where inspection is wired into a run: what a worker looks at batches with, and the verdict.

The patterns, fingerprints and counts themselves are pure and live in `privacy`. A worker starts an
inspector for its part, shows it every batch that is about to be written, and keeps its result as JSON;
`findings` merges the results of all parts. No value is in any of it: columns, kinds and counts of rows.
What tables are inspected for is made in `inspection_plan`; workers start quicker without what that takes.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ringfort.errors import CheckFailedError, MissingEnvironmentError
from ringfort.privacy.fingerprint import Fingerprints
from ringfort.privacy.inspection import ColumnRule, InspectionPlan, InspectionResult, inspector

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa


_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class KeptFingerprints:
    """Where a set is kept, the SHA-256 of its bytes, and how many fingerprints it has."""

    path: str
    digest: str
    count: int


@dataclass(frozen=True)
class Inspection:
    """What the batches of one table are inspected for; can be pickled. The identifiers stay in their file."""

    id: str
    key: bytes = field(repr=False)
    columns: tuple[ColumnRule, ...] = ()
    identifiers: KeptFingerprints | None = None
    canaries: Fingerprints | None = field(default=None, repr=False)
    pseudonyms: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class TableFinding:
    """Something that must not leave: a column of a table, what was found in it, in how many rows."""

    table: str
    column: str
    kind: str
    rows: int


class Inspector(Protocol):
    """Looks at the batches of one part."""

    def look(self, batch: pa.RecordBatch) -> None:
        """Look at a batch that is about to be written."""
        ...

    def result(self) -> Any:  # noqa: ANN401 - JSON
        """What was found, as JSON has it; the same however the rows were cut into batches."""
        ...


class _Nothing:
    """Inspects nothing."""

    def look(self, batch: pa.RecordBatch) -> None:
        """Look away."""

    def result(self) -> Any:  # noqa: ANN401 - JSON
        """Nothing."""
        return None


class _Looking:
    """Inspects by a plan."""

    def __init__(self, plan: InspectionPlan) -> None:
        self._inspector = inspector(plan)
        self._result = InspectionResult()

    def look(self, batch: pa.RecordBatch) -> None:
        """Look at a batch."""
        self._result = self._result.merge(self._inspector.batch(batch))

    def result(self) -> Any:  # noqa: ANN401 - JSON
        """What was found so far."""
        return self._result.to_json()


def start_inspection(inspection: Inspection | None) -> Inspector:
    """An inspector for one part."""
    if inspection is None:
        return _Nothing()
    with _one_at_a_time:  # threads that begin together read the set of identifiers once
        plan = _plan(inspection.id, _Held(inspection))
        return _Looking(plan)


class _Held:
    """Any inspection equals any other here: the id before it decides."""

    def __init__(self, inspection: Inspection) -> None:
        self.inspection = inspection

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)


@lru_cache(maxsize=16)
def _plan(id_: str, held: _Held) -> InspectionPlan:
    given = held.inspection
    known = None if given.identifiers is None else _identifiers(given.identifiers, given.key)
    return InspectionPlan(id_, given.key, given.columns, known, given.canaries, given.pseudonyms)


@lru_cache(maxsize=4)
def _identifiers(kept: KeptFingerprints, key: bytes) -> Fingerprints:
    return load_fingerprints(kept, key)


def findings(results: Iterable[tuple[str, Any]]) -> tuple[TableFinding, ...]:
    """What all parts (table, result) found together that the contract does not allow, in a fixed order."""
    merged: dict[str, InspectionResult] = {}
    for table, result in results:
        if result is not None:
            one = InspectionResult.from_json(result)
            merged[table] = merged[table].merge(one) if table in merged else one
    return tuple(
        TableFinding(table, each.column, each.kind, each.rows)
        for table in sorted(merged)
        for each in merged[table].findings()
    )


def load_fingerprints(kept: KeptFingerprints, key: bytes) -> Fingerprints:
    """The set; raises `CheckFailedError` if it is not the one that was kept."""
    data = read_kept(Path(kept.path))
    if hashlib.sha256(data).hexdigest() != kept.digest:
        raise CheckFailedError(f"`{kept.path}` has been changed", hint="run the transfer again")
    head = int.from_bytes(data[:4])
    return Fingerprints.from_bytes(data[4 + head :], key)


def read_kept(path: Path) -> bytes:
    """A file of ours that others cannot read, of any size."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot read `{path}`: {(error.strerror or 'error').lower()}", hint="run the transfer again"
        ) from None


__all__ = [
    "Inspection",
    "Inspector",
    "KeptFingerprints",
    "TableFinding",
    "findings",
    "load_fingerprints",
    "read_kept",
    "start_inspection",
]
