"""From a contract to plans of reduction: for each table which columns are read, and what is done to each.

The rendering is the one that the gateway's views have (`disclosure.forms_sql`), so that a column looks the
same through both gates. A form that does not render for a column's kind and type is refused here, with what
would: the gateway falls to the next less revealing form, but a contract says exactly what leaves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from ringfort.disclosure.forms_sql import bare_type, rendering, type_class
from ringfort.errors import UsageError
from ringfort.policy.contract_check import ContractFault
from ringfort.policy.forms import Form
from ringfort.policy.vocabulary import entity_name
from ringfort.privacy.methods import check
from ringfort.sites.copy_binary import data_type_of
from ringfort.transfer.inspection_plan import TOLERABLE
from ringfort.transfer.measured_rows import subject_column
from ringfort.transfer.reduce import ColumnPlan, ReductionPlan
from ringfort.transfer.source import clashes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfort.catalog.model import Catalogue, Column, Dataset, Table
    from ringfort.policy.contract import Contract, ContractColumn, ContractTable
    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.privacy.pseudonym import Domain

_DECIMAL = re.compile(r"numeric\(([0-9]+),(-?[0-9]+)\)")
_ANY_NUMERIC = pa.decimal256(76, 38)


@dataclass(frozen=True)
class PlannedColumn:
    """A column of the contract beside the catalogue's."""

    stated: ContractColumn
    catalogued: Column


@dataclass(frozen=True)
class PlannedTable:
    """A table of the contract beside the catalogue's."""

    stated: ContractTable
    catalogued: Table
    columns: tuple[PlannedColumn, ...]


def planned_tables(contract: Contract, catalogue: Catalogue) -> tuple[PlannedTable, ...]:
    """The contract's tables as catalogued; raises `UsageError` for what is not."""
    dataset = catalogue.dataset(contract.dataset)
    made = []
    for stated in contract.tables:
        table = dataset.table(stated.name)
        made.append(
            PlannedTable(
                stated, table, tuple(PlannedColumn(each, table.column(each.name)) for each in stated.columns)
            )
        )
    return tuple(made)


def rendering_faults(contract: Contract, catalogue: Catalogue) -> list[ContractFault]:
    """Columns that cannot be sent in the form that the contract states."""
    dataset = catalogue.dataset(contract.dataset)
    tables = {each.name: each for each in dataset.tables}
    faults = []
    clash = clashes(each.name for each in contract.tables)
    if clash:
        faults.append(
            ContractFault(
                f"files of the tables `{clash[0]}` and `{clash[1]}` would have one name where case makes no"
                " difference",
                ("table", clash[1]),
                "send one of them by another contract",
            )
        )
    for stated in contract.tables:
        known = {each.name: each for each in tables[stated.name].columns} if stated.name in tables else {}
        for each in stated.columns:
            place = ("table", stated.name, "column", each.name)
            odd = sorted(set(each.allow) - TOLERABLE)
            if odd:
                kinds = ", ".join(sorted(TOLERABLE))
                faults.append(
                    ContractFault(f"inspection finds no `{odd[0]}`", (*place, "allow"), f"one of {kinds}")
                )
            if each.name in known:
                message, hint = _fault(
                    each, known[each.name], entity_name(dataset.name, stated.name, each.name)
                )
                if message:
                    faults.append(ContractFault(message, place, hint))
    return faults


def _fault(stated: ContractColumn, column: Column, name: str) -> tuple[str, str]:
    if stated.form is Form.PSEUDONYM:
        try:
            check(stated.method, column.kind)
        except UsageError as error:
            return f"`{name}` of kind `{column.kind}` has no such pseudonyms: {error.message}", error.hint
        if stated.method != "cmac":
            return "", ""
    found = rendering(stated.form, column.kind, column.data_type)
    if found.form is stated.form:
        return "", ""
    what = f"`{name}` of kind `{column.kind}` and type `{column.data_type}` cannot be sent as {stated.form}"
    if found.form is Form.HIDDEN:
        return what, "leave the column out, or send it in another form that policy permits"
    return what, f"the next that can is {found.form}"


def reduction_plan(
    table: PlannedTable,
    dataset: Dataset,
    schema: pa.Schema,
    domain: Domain | None,
    secret: EpochSecret | None,
) -> ReductionPlan:
    """What is done to the rows of a table that come with this schema.

    Raises `UsageError` where a column is missing or of another class of types than the catalogue says.
    """
    columns = tuple(_column_plan(each, table, dataset, schema) for each in table.columns)
    uses = any(each.action == "pseudonym" for each in columns)
    return ReductionPlan(columns, domain if uses else None, secret if uses else None)


def leading_pseudonym(stated: ContractTable, dataset: Dataset) -> str:
    """The column whose pseudonyms rows are ordered by first, "" if the table has none.

    It is the data subject's key, so that what belongs to somebody stands together; else the first pseudonym
    in the contract's order.
    """
    sent = [each.name for each in stated.columns if each.form is Form.PSEUDONYM]
    subject = subject_column(dataset, dataset.table(stated.name))
    return subject if subject in sent else next(iter(sent), "")


def _column_plan(
    column: PlannedColumn, table: PlannedTable, dataset: Dataset, schema: pa.Schema
) -> ColumnPlan:
    stated, known = column.stated, column.catalogued
    _same_class(known, table.stated.name, schema)
    numeric = _numeric(known.data_type)
    if stated.form is Form.RAW:
        arrow = numeric
        if type_class(known.data_type) == "uuid":
            arrow = pa.uuid()
        return ColumnPlan(stated.name, "raw", known.kind, arrow=arrow)
    if stated.form is Form.PSEUDONYM:
        space = known.identity_space or f"{dataset.name}.{table.stated.name}.{known.name}"
        is_numeric = bare_type(known.data_type) == "numeric"
        return ColumnPlan(
            stated.name, "pseudonym", known.kind, method=stated.method, identity_space=space,
            exact=(numeric or _ANY_NUMERIC) if is_numeric else None,
        )  # fmt: skip
    found = rendering(stated.form, known.kind, known.data_type)
    return ColumnPlan(stated.name, "render", known.kind, found.function, found.cast)


def _numeric(data_type: str) -> pa.DataType | None:
    """The exact decimal of a numeric with declared precision, None for any other type."""
    found = _DECIMAL.fullmatch(data_type.replace(" ", ""))
    if found is None:
        return None
    precision, scale = int(found[1]), int(found[2])
    if not 0 <= scale <= precision <= 76:
        return None
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _same_class(known: Column, table: str, schema: pa.Schema) -> None:
    index = schema.get_field_index(known.name)
    if index < 0:
        raise UsageError(
            f"the rows of `{table}` have no column `{known.name}`",
            hint="catalogue and data have drifted apart: review catalog.toml",
        )
    arrow = schema.field(index).type
    want, have = type_class(known.data_type), type_class(data_type_of(arrow))
    as_text = have == "text" and want in {"numeric", "inet", "other"}  # as a site sends them
    bytes_of_uuid = want == "uuid" and pa.types.is_fixed_size_binary(arrow) and arrow.byte_width == 16
    if want != have and not as_text and not bytes_of_uuid and not {want, have} <= _NUMBERS:
        raise UsageError(
            f"column `{table}.{known.name}` is of type `{arrow}`, catalogued as `{known.data_type}`",
            hint="catalogue and data have drifted apart: review catalog.toml",
        )


_NUMBERS: frozenset[str] = frozenset({"integer", "numeric"})
"""A file may hold whole numbers where the site has numerics: their pseudonyms and bands are the same."""


def by_name(tables: tuple[PlannedTable, ...]) -> Mapping[str, PlannedTable]:
    """Planned tables by their names."""
    return {each.stated.name: each for each in tables}


__all__ = [
    "PlannedColumn",
    "PlannedTable",
    "by_name",
    "leading_pseudonym",
    "planned_tables",
    "reduction_plan",
    "rendering_faults",
]
