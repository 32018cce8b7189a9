"""A contract held against catalogue, registered principals and policy: it may never give more than they do.

The recipient is a principal like any other: policy is asked in which form that principal, in the countries
that registration, contract and target name, may see each column for the contract's purpose. A column may
leave in that form or a less revealing one. One exception to the ladder's order: a pseudonym is less
revealing than a mask but links rows, so where policy gives a mask or a generalisation, a pseudonym must be
permitted by itself.

`check_contract` is pure: whoever holds the contract, the decision's input, the bundle and the catalogue finds
the same faults again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.errors import CheckFailedError, UsageError
from ringfort.policy.contract import WITHIN_REGION
from ringfort.policy.decide import decide
from ringfort.policy.forms import Form
from ringfort.policy.grants import APPROVE, ActRequest, GrantFacts
from ringfort.policy.request import AccessRequest, Principal, ViewerSource
from ringfort.policy.vocabulary import entity_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ringfort.catalog.model import Catalogue, Column, Dataset, Table
    from ringfort.policy.bundle import CompiledBundle
    from ringfort.policy.contract import Contract, ContractColumn
    from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap

GRANT_KIND = "transfer"
"""The kind under which policies about grants are asked who may approve a contract."""
_LINKING = frozenset({Form.MASKED, Form.GENERALISED})


class ContractRefusedError(CheckFailedError):
    """The contract would give what policy does not, or does not agree with what is on record."""

    default_sqlstate = "42501"  # insufficient_privilege


@dataclass(frozen=True)
class ContractFault:
    """What is wrong, and where it stands in the contract's file."""

    message: str
    keys: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Place:
    """Where the data is read: `site` is "" for files."""

    site: str
    country: str


@dataclass(frozen=True)
class ContractDecision:
    """What policy said of a contract: the request, the map, and every fault."""

    request: AccessRequest
    map: DisclosureMap
    faults: tuple[ContractFault, ...]

    def require(self) -> None:
        """Raise `ContractRefusedError` with the first fault, if there is one."""
        if self.faults:
            first, more = self.faults[0], len(self.faults) - 1
            hint = first.hint
            if more:
                hint = f"{hint}; " if hint else ""
                hint += f"{more} more: `ringfort transfer preview` lists them"
            raise ContractRefusedError(first.message, hint=hint)


def contract_request(
    contract: Contract, recipient: Principal, place: Place, database: str, time: str
) -> AccessRequest:
    """What policy is asked for the recipient, as registered, in every country that anything names."""
    viewer = [
        ViewerSource("registration", recipient.country),
        ViewerSource("contract", contract.recipient.country),
    ]
    if contract.target.country:
        viewer.append(ViewerSource("target", contract.target.country))
    return AccessRequest(
        principal=recipient,
        purpose=contract.purpose,
        ticket="",
        viewer=tuple(viewer),
        site=place.site,
        site_country=place.country,
        database=database,
        granted=frozenset(),
        time=time,
    )


def check_contract(
    contract: Contract,
    *,
    bundle: CompiledBundle,
    catalogue: Catalogue,
    region: Collection[str],
    principals: Mapping[str, Principal],
    place: Place,
    time: str,
) -> ContractDecision:
    """Every fault of a contract; raises `UsageError` if dataset or recipient are not there to decide on."""
    dataset = catalogue.dataset(contract.dataset)
    recipient = principals.get(contract.recipient.principal)
    if recipient is None:
        raise UsageError(
            f"the recipient `{contract.recipient.principal}` is not registered",
            hint="`ringfort principal add` records who it is, where, and under which role policy knows it",
        )
    request = contract_request(contract, recipient, place, dataset.database, time)
    decided = decide(bundle, catalogue, region, request)
    faults = [*_record_faults(contract, recipient, principals, region), *_table_faults(contract, dataset)]
    purpose = bundle.settings.purposes.fault(contract.purpose)
    if purpose is not None:
        faults.append(ContractFault(purpose[0], ("purpose",), purpose[1]))
    linked: DisclosureMap | None = None
    for table in contract.tables:
        for column in table.columns:
            found = decided.columns.get((dataset.name, table.name, column.name))
            if found is None:
                continue  # not catalogued: told above
            if column.form is Form.PSEUDONYM and found.form in _LINKING:
                linked = linked or decide(bundle, catalogue, region, request, top=Form.PSEUDONYM)
                found = linked.columns[dataset.name, table.name, column.name]
                faults += _form_fault(dataset, table.name, column, found, own=True)
            else:
                faults += _form_fault(dataset, table.name, column, found)
    faults += _identity_faults(contract, dataset)
    return ContractDecision(request, decided, tuple(faults))


def approval_request(
    contract: Contract,
    *,
    approver: Principal,
    approver_managers: tuple[str, ...],
    owner: Principal,
    owner_managers: tuple[str, ...],
    time: str,
) -> ActRequest:
    """What `grants.cedar` is asked: whether the approver may approve what the owner answers for.

    The resource is a grant of the kind `transfer` over the contract's tables, as long as the recipient keeps
    what it gets; its ticket is the assessment's reference.
    """
    tables = tuple(sorted(entity_name(contract.dataset, each.name) for each in contract.tables))
    facts = GrantFacts(
        contract.name, GRANT_KIND, contract.purpose, contract.assessment, tables,
        contract.retention_days * 86_400,
    )  # fmt: skip
    return ActRequest(APPROVE, approver, approver_managers, owner, owner_managers, facts, 0, 1, time)


def _record_faults(
    contract: Contract, recipient: Principal, principals: Mapping[str, Principal], region: Collection[str]
) -> list[ContractFault]:
    """Where the contract says other things than the record."""
    faults = []
    stated = contract.recipient
    for key, said, known in (
        ("entity", stated.entity, recipient.employer),
        ("country", stated.country, recipient.country),
    ):
        if said != known:
            message = f"the recipient's {key} is `{said}`, `{recipient.name}` is registered with `{known}`"
            faults.append(ContractFault(message, ("recipient", key), "one of the two is wrong"))
    for key, name in (("owner", contract.owner), ("approver", contract.approver)):
        if name not in principals:
            faults.append(ContractFault(f"the {key} `{name}` is not registered", (key,)))
    if contract.approver in {contract.owner, stated.principal}:
        faults.append(
            ContractFault("the approver is also owner or recipient", ("approver",), "name somebody else")
        )
    countries = {stated.country, contract.target.country or stated.country}
    within = countries <= set(region)
    if within != (contract.mechanism == WITHIN_REGION):
        message = (
            "recipient and target are in the region: there is no transfer that needs this mechanism"
            if within
            else f"`{WITHIN_REGION}` is stated for a recipient or target outside the region"
        )
        faults.append(ContractFault(message, ("legal", "mechanism"), "name the instrument that is relied on"))
    return faults


def _table_faults(contract: Contract, dataset: Dataset) -> list[ContractFault]:
    known = {each.name: each for each in dataset.tables}
    faults = []
    for table in contract.tables:
        catalogued = known.get(table.name)
        if catalogued is None:
            hint = "catalogued tables: " + (", ".join(f"`{each}`" for each in known) or "none")
            message = f"dataset `{dataset.name}` has no table `{table.name}`"
            faults.append(ContractFault(message, ("table", table.name), hint))
            continue
        columns = {each.name for each in catalogued.columns}
        for each in table.columns:
            if each.name not in columns:
                message = f"table `{table.name}` has no catalogued column `{each.name}`"
                faults.append(ContractFault(message, ("table", table.name, "column", each.name)))
    return faults


def _form_fault(
    dataset: Dataset, table: str, column: ContractColumn, found: ColumnDisclosure, *, own: bool = False
) -> list[ContractFault]:
    """The fault, if the contract gives more than the decision. `own`: a pseudonym was asked for by itself."""
    if column.form.rank >= found.form.rank and (not own or found.form is Form.PSEUDONYM):
        return []
    name = entity_name(dataset.name, table, column.name)
    message = f"`{name}` would leave as {column.form}, policy gives {found.form}: {found.reason}"
    if own:
        message = f"`{name}` would leave as {column.form}, which policy does not permit: {found.reason}"
    hint = (
        "leave the column out" if found.form is Form.HIDDEN else f"send it as {found.form}, or leave it out"
    )
    return [ContractFault(message, ("table", table, "column", column.name), hint)]


def _identity_faults(contract: Contract, dataset: Dataset) -> list[ContractFault]:
    """Columns of one identity space in several forms: a pseudonym beside the raw value would undo itself.

    Nor of several kinds under `ff1`, where each kind has a key of its own: they would not join.
    """
    seen: dict[str, tuple[str, str, str, str]] = {}
    faults = []
    for table, column, sent in _pairs(contract, dataset):
        if column.identity_space is None:
            continue
        name = entity_name(dataset.name, table.name, column.name)
        form, method, kind, other = seen.setdefault(
            column.identity_space, (sent.form, sent.method, column.kind, name)
        )
        if (form, method) != (sent.form, sent.method):
            faults.append(
                ContractFault(
                    f"`{name}` and `{other}` are the same identity and would leave in different forms",
                    ("table", table.name, "column", column.name),
                    "send both in one form and by one method",
                )
            )
        elif method == "ff1" and kind != column.kind:
            faults.append(
                ContractFault(
                    f"`{name}` and `{other}` are the same identity, and `ff1` keeps their kinds apart",
                    ("table", table.name, "column", column.name),
                    "send both by `cmac`, or give them one kind in the catalogue",
                )
            )
    return faults


def _pairs(contract: Contract, dataset: Dataset) -> list[tuple[Table, Column, ContractColumn]]:
    """The columns that leave, as catalogued."""
    return [
        (table, column, sent)
        for table in dataset.tables
        if (stated := contract.table(table.name)) is not None
        for column in table.columns
        if (sent := stated.column(column.name)) is not None
    ]


__all__ = [
    "GRANT_KIND",
    "ContractDecision",
    "ContractFault",
    "ContractRefusedError",
    "Place",
    "approval_request",
    "check_contract",
    "contract_request",
]
