"""What the batches of a transfer's tables are inspected for: rules of columns, identifiers, canaries.

What a column may hold follows from the form that the contract gives it: a raw column its own kind of data and
the known identifiers of that kind, a pseudonym that keeps a format the format, bytes that cannot be read only
pseudonyms and UUIDs; what else is tolerated the contract says (`allow`). Canaries never are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.disclosure.forms_sql import type_class
from ringfort.policy.forms import Form
from ringfort.privacy.inspection import ColumnRule, tolerable_kinds
from ringfort.transfer.canaries import canaries_of, fingerprints_of, foreign_pseudonyms
from ringfort.transfer.fingerprints import KINDS
from ringfort.transfer.inspect import Inspection

if TYPE_CHECKING:
    from ringfort.catalog.model import Catalogue, Column
    from ringfort.config import Config
    from ringfort.ledger.folds import ControlState
    from ringfort.policy.contract import Contract, ContractColumn
    from ringfort.privacy.pseudonym import Domain
    from ringfort.sites.domains import DomainStore
    from ringfort.transfer.inspect import KeptFingerprints

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
class InspectionInput:
    """What inspections are made of.

    `domain` is the recipient's own; `identifiers` are those of the rows' own snapshot.
    """

    config: Config
    contract: Contract
    catalogue: Catalogue
    domains: DomainStore
    state: ControlState
    domain: Domain | None = None
    identifiers: KeptFingerprints | None = None


def inspections(given: InspectionInput) -> dict[str, Inspection]:
    """What each table's reduced rows are inspected for."""
    contract = given.contract
    dataset = given.catalogue.dataset(contract.dataset)
    key = given.domains.fingerprint_key()
    identifiers = given.identifiers
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


__all__ = ["TOLERABLE", "InspectionInput", "column_rule", "inspections"]
