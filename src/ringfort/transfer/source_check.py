"""Files of `[source]` looked at before anything runs: are they there, can every column leave as stated.

Beside what is known of types (`arrow_types`), each column's way is gone through with a value of its type and
a NULL: reduced, looked at as inspection does, written in the contract's format, tagged as measures do. What
has no such way is refused with table, column, type and form. Left out: values; one that its form cannot take
stops a run, on record, when it is met.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ringfort.errors import RingfortError, UsageError
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.inspection_columns import leaves
from ringfort.privacy.pseudonym import Domain
from ringfort.privacy.reidentification import Tagger
from ringfort.transfer.arrow_types import is_nested, plain, plain_schema, plain_type, refusal
from ringfort.transfer.plan import planned_tables, reduction_plan
from ringfort.transfer.reduce import ReductionPlan, reduce_batch
from ringfort.transfer.source import files_of, open_files
from ringfort.transfer.writer import written

if TYPE_CHECKING:
    from ringfort.catalog.model import Catalogue, Dataset
    from ringfort.config import Config
    from ringfort.policy.contract import Contract
    from ringfort.transfer.plan import PlannedTable
    from ringfort.transfer.reduce import ColumnPlan

_SECRET = EpochSecret(bytes(32), NEWEST)


def check_sources(config: Config, contract: Contract, catalogue: Catalogue) -> None:
    """Raise `UsageError` for a file that is not there or a column that cannot leave; of files only."""
    if not contract.source_country:
        return
    dataset = catalogue.dataset(contract.dataset)
    for table in planned_tables(contract, catalogue):
        name = table.stated.name
        found = open_files(name, files_of(config.folder / table.stated.files), len(table.columns))
        _check_table(contract, dataset, table, found.stored_schema())


def _check_table(contract: Contract, dataset: Dataset, table: PlannedTable, stored: pa.Schema) -> None:
    name = table.stated.name
    for each in table.columns:
        place = f"`{name}.{each.stated.name}`"
        if stored.names.count(each.stated.name) > 1:
            raise UsageError(f"the files of `{name}` have column {place} twice", hint="name it once")
        index = stored.get_field_index(each.stated.name)
        if index < 0:
            continue  # told by the plan
        arrow = stored.field(index).type
        why = refusal(arrow)
        if not why and contract.output == "csv" and is_nested(plain_type(arrow)):
            why = "a value with parts, for which CSV has no form"
        if why:
            raise UsageError(
                f"column {place} is of Arrow type `{_shown(arrow)}`: {why} cannot be transferred",
                hint="leave the column out, or write it in another type",
            )
    domain = Domain(contract.recipient.entity, contract.purpose, 1)
    plan = reduction_plan(table, dataset, plain_schema(stored), domain, _SECRET)
    for each, one in zip(table.columns, plan.columns, strict=True):
        arrow = stored.field(each.stated.name).type
        try:
            plain(pa.nulls(1, arrow))
            _go_through(replace(plan, columns=(one,)), one, plain_type(arrow), contract.output)
        except Exception as error:  # noqa: BLE001 - whatever it is, that type has no way out
            why = f": {error.message}" if isinstance(error, RingfortError) else ""
            raise UsageError(
                f"column `{name}.{each.stated.name}` of Arrow type `{_shown(arrow)}` cannot leave as"
                f" {each.stated.form} in {contract.output}{why}",
                hint="leave it out, send it in another form, or write it in another type",
            ) from None


def _go_through(plan: ReductionPlan, column: ColumnPlan, arrow: pa.DataType, output: str) -> None:
    batch = pa.RecordBatch.from_arrays([_array([sample_of(arrow), None], arrow)], names=[column.name])
    for rows in (batch, batch.slice(1), batch.slice(2)):
        made = reduce_batch(plan, rows)
        for leaf in leaves(made.column(0)):
            leaf.counts()
        written(output, made)
        Tagger(_SECRET.value).column("probe", made.column(0))


def _array(values: list[Any], arrow: pa.DataType) -> pa.Array:
    if arrow == pa.uuid():
        return pa.ExtensionArray.from_storage(arrow, pa.array(values, arrow.storage_type))
    if pa.types.is_dictionary(arrow):
        return pa.array(values, arrow.value_type).dictionary_encode().cast(arrow)
    return pa.array(values, arrow)


def sample_of(arrow: pa.DataType) -> Any:  # noqa: ANN401 - any value
    """A plain value of a plain type; None where there is none."""
    if arrow == pa.uuid():
        return bytes(range(16))
    if pa.types.is_dictionary(arrow):
        return sample_of(arrow.value_type)
    if pa.types.is_struct(arrow):
        return {each.name: sample_of(each.type) for each in arrow}
    if pa.types.is_map(arrow):
        return [(sample_of(arrow.key_type), sample_of(arrow.item_type))]
    if pa.types.is_fixed_size_list(arrow):
        return [sample_of(arrow.value_type)] * arrow.list_size
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return [sample_of(arrow.value_type)]
    if pa.types.is_fixed_size_binary(arrow):
        return bytes(arrow.byte_width)
    return next((value for test, value in _SAMPLES if test(arrow)), None)


_SAMPLES = (
    (pa.types.is_boolean, True),
    (pa.types.is_integer, 1),
    (pa.types.is_floating, 1.5),
    (pa.types.is_decimal, Decimal(0)),
    (lambda arrow: pa.types.is_string(arrow) or pa.types.is_large_string(arrow), "1"),
    (lambda arrow: pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow), b"\xff"),
    (pa.types.is_date, date(2020, 1, 2)),
    (pa.types.is_time, time(1, 2, 3)),
    (pa.types.is_timestamp, datetime(2020, 1, 2, tzinfo=UTC)),
)


def _shown(arrow: pa.DataType) -> str:
    text = " ".join(str(arrow).split())
    return text if len(text) <= 80 else f"{text[:80]}..."


__all__ = ["check_sources", "sample_of"]
