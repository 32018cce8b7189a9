"""Where inspection is wired into a run: what each table's reduced batches are looked at for, and the verdict.

The patterns, fingerprints and counts themselves are pure and live in `privacy`. A worker starts an
inspector for its part, shows it every batch that is about to be written, and keeps its result as JSON;
`findings` merges the results of all parts. No value is in any of it: columns, kinds and counts of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pyarrow as pa

    from ringfort.catalog.model import Catalogue
    from ringfort.config import Config
    from ringfort.policy.contract import Contract
    from ringfort.sites.domains import DomainStore
    from ringfort.transfer.source import SourceTable


@dataclass(frozen=True)
class Inspection:
    """What the batches of one table are inspected for; can be pickled."""


@dataclass(frozen=True)
class TableFinding:
    """Something that must not leave: a column of a table, what was found in it, in how many rows."""

    table: str
    column: str
    kind: str
    rows: int


@dataclass(frozen=True)
class InspectionInput:
    """What inspections are made of; `folder` (0700) is the transfer's own and stays from run to run."""

    config: Config
    contract: Contract
    catalogue: Catalogue
    sources: Mapping[str, SourceTable]
    domains: DomainStore
    folder: Path


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


def inspections(given: InspectionInput) -> dict[str, Inspection]:
    """What each table's reduced rows are inspected for."""
    return {each.name: Inspection() for each in given.contract.tables}


def start_inspection(inspection: Inspection | None) -> Inspector:
    """An inspector for one part."""
    del inspection
    return _Nothing()


def findings(results: Iterable[tuple[str, Any]]) -> tuple[TableFinding, ...]:
    """What all parts (table, result) found together that the contract does not allow, in a fixed order."""
    del results
    return ()


__all__ = [
    "Inspection",
    "InspectionInput",
    "Inspector",
    "TableFinding",
    "findings",
    "inspections",
    "start_inspection",
]
