"""Where inspection is wired into a run: what each table's reduced batches are looked at for, and the verdict.

The patterns, fingerprints and counts themselves are pure and live in `privacy`. A worker starts an
inspector for its part, shows it every batch that is about to be written, and keeps its result as JSON;
`findings` merges the results of all parts. No value is in any of it: columns, kinds and counts of rows.

What a column may hold follows from the form that the contract gives it: a raw column its own kind of data and
the known identifiers of that kind, a pseudonym that keeps a format the format, bytes that cannot be read only
pseudonyms and UUIDs; what else is tolerated the contract says (`allow`). Canaries never are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from ringfort.disclosure.forms_sql import type_class
from ringfort.policy.forms import Form
from ringfort.privacy.inspection import (
    ColumnRule,
    InspectionPlan,
    InspectionResult,
    inspector,
    tolerable_kinds,
)
from ringfort.sites.paths import private_folder
from ringfort.transfer.canaries import canaries_of, fingerprints_of, foreign_pseudonyms
from ringfort.transfer.fingerprints import (
    KINDS,
    IdentifierSource,
    KeptFingerprints,
    kept_fingerprints,
    load_fingerprints,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import pyarrow as pa

    from ringfort.catalog.model import Catalogue, Column
    from ringfort.config import Config
    from ringfort.ledger.folds import ControlState
    from ringfort.policy.contract import Contract, ContractColumn
    from ringfort.privacy.fingerprint import Fingerprints
    from ringfort.privacy.pseudonym import Domain
    from ringfort.sites.domains import DomainStore
    from ringfort.transfer.source import SourceTable

_TAKEN_FOR = {  # what values of a kind are made of, or look like
    "email": ("known_name",),
    "url": ("known_name",),
    "address": ("known_name",),
    "phone": ("national_id",),
    "iban": ("phone", "card", "national_id"),
    "card": ("phone", "national_id"),
    "national_id": ("phone",),
}
TOLERABLE = tolerable_kinds(KINDS)
"""What a contract may tolerate in a column by `allow`."""


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


@dataclass(frozen=True)
class InspectionInput:
    """What inspections are made of; `folder` (0700) is the transfer's own and stays from run to run.

    `domain` is the recipient's own; `progress` gets the rows that are read for their identifiers.
    """

    config: Config
    contract: Contract
    catalogue: Catalogue
    sources: Mapping[str, SourceTable]
    domains: DomainStore
    folder: Path
    state: ControlState
    domain: Domain | None = None
    progress: Callable[[int], None] = lambda _: None


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


def inspections(given: InspectionInput) -> dict[str, Inspection]:
    """What each table's reduced rows are inspected for; the identifiers' fingerprints are made if need be."""
    contract = given.contract
    dataset = given.catalogue.dataset(contract.dataset)
    key = given.domains.fingerprint_key()
    identifiers = kept_fingerprints(
        IdentifierSource(given.config, contract, given.catalogue, key, given.progress),
        private_folder(given.folder),
    )
    canaries = canaries_of(given.domains.custody)
    pseudonyms = foreign_pseudonyms(canaries, dataset, given.domain, given.domains, given.state)
    planted = fingerprints_of(canaries, key, pseudonyms)
    made = {}
    for each in contract.tables:
        table = dataset.table(each.name)
        columns = tuple(column_rule(one, table.column(one.name)) for one in each.columns)
        made_of = identifiers.digest if identifiers else ""
        told = hashlib.sha256(f"{contract.digest} {each.name} {made_of}".encode())
        told.update(b"" if planted is None else planted.to_bytes())
        told.update(b"".join(pseudonyms))
        made[each.name] = Inspection(told.hexdigest(), key, columns, identifiers, planted, pseudonyms)
    return made


def column_rule(stated: ContractColumn, known: Column) -> ColumnRule:
    """What is in order in a column of the contract."""
    allowed = set(stated.allow)
    opaque = stated.form is Form.PSEUDONYM and stated.method != "ff1"
    if stated.form is Form.RAW or (stated.form is Form.PSEUDONYM and stated.method == "ff1"):
        allowed |= {known.kind, f"known_{known.kind}", *_TAKEN_FOR.get(known.kind, ())}
    if stated.form is Form.RAW:
        opaque = type_class(known.data_type) == "uuid"
    return ColumnRule(stated.name, frozenset(allowed & TOLERABLE), opaque)


def start_inspection(inspection: Inspection | None) -> Inspector:
    """An inspector for one part."""
    if inspection is None:
        return _Nothing()
    return _Looking(_plan(inspection.id, _Held(inspection)))


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


__all__ = [
    "TOLERABLE",
    "Inspection",
    "InspectionInput",
    "Inspector",
    "TableFinding",
    "column_rule",
    "findings",
    "inspections",
    "start_inspection",
]
