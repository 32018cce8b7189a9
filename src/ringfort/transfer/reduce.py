"""The reduction: one pure, picklable function from a batch of the enclave's rows to a batch that may leave.

`reduce_batch(plan, batch)` gives the plan's columns, in its order, each in the contract's form: as it is,
as the database's own functions would show it, or as a pseudonym of the contract's domain. Invariants: a
row's result depends on the plan and that row alone, so results are the same however rows are cut into
batches and whichever process reduces them; a column that the plan does not name is not read; a value that a
form cannot take becomes NULL (the run counts them), a column of a wrong type raises. Dictionaries stay
dictionaries: each distinct value is reduced once. Left out: inspection (`part`), and where rows come from
(`source`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.errors import CheckFailedError
from ringfort.privacy.columns import render
from ringfort.privacy.methods import pseudonymise
from ringfort.privacy.sql_text import cast_like_sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.privacy.pseudonym import Domain

Action = Literal["raw", "render", "pseudonym"]
_UUID = pa.uuid()
_SAMPLE = 2_048


class ReductionError(CheckFailedError):
    """A column does not hold what its type says, so it cannot leave in the form of the contract."""

    default_sqlstate = "22000"  # data_exception


@dataclass(frozen=True)
class ColumnPlan:
    """How one column is reduced. `function` and `cast` are of `disclosure.forms_sql.Rendering`.

    `arrow` is the type that `raw` leaves in (None: as it is); `exact`, of a numeric that arrives as text, is
    the exact type that it is pseudonymised in.
    """

    name: str
    action: Action
    kind: str = ""
    function: str = ""
    cast: str = ""
    method: str = ""
    identity_space: str = ""
    arrow: pa.DataType | None = None
    exact: pa.DataType | None = None


@dataclass(frozen=True)
class ReductionPlan:
    """Everything that the reduction of one table needs; the secret keeps itself out of every printed form."""

    columns: tuple[ColumnPlan, ...]
    domain: Domain | None = None
    secret: EpochSecret | None = None

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        return [each.name for each in self.columns]


def reduce_batch(plan: ReductionPlan, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns of `plan`, reduced; raises `ReductionError` naming column and number of rows, no value."""
    arrays = [_column(plan, each, batch.column(each.name)) for each in plan.columns]
    return pa.RecordBatch.from_arrays(arrays, names=plan.names)


def check_texts(batch: pa.RecordBatch) -> None:
    """Raise `ReductionError` for a column whose texts are not UTF-8, as a file may say that they are."""
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        try:
            values.validate(full=True)
        except pa.ArrowException:
            raise ReductionError(
                f"column `{name}` holds text that is not UTF-8, or values that its type does not allow",
                hint="correct them, or write the column as bytes",
            ) from None


def _column(plan: ReductionPlan, column: ColumnPlan, values: pa.Array) -> pa.Array:
    reduce = _reduction(plan, column)
    try:
        if column.action != "raw":
            values = _repeating(values)
        if not pa.types.is_dictionary(values.type):
            made = reduce(values)
            # a form makes few values of many: once as a dictionary, it is inspected and written as one
            return made.dictionary_encode() if column.action == "render" and _encodes(made.type) else made
        return _by_dictionary(reduce, values, distinct=column.action == "raw" and column.arrow is None)
    except pa.ArrowException:  # its words can hold values
        raise ReductionError(
            f"column `{column.name}` holds values that do not fit its type in the catalogue",
            hint="correct them, or send the column in another form",
        ) from None


def _repeating(values: pa.Array) -> pa.Array:
    """As a dictionary where its first values repeat: each distinct value is reduced once.

    Floats are told apart by their bits: Arrow takes 0.0 and -0.0 for one value, a form need not.
    """
    arrow = values.type
    if not (pa.types.is_primitive(arrow) or pa.types.is_string(arrow) or pa.types.is_large_string(arrow)):
        return values
    bits = values.view(f"int{arrow.bit_width}") if pa.types.is_floating(arrow) else values
    first = bits.slice(0, _SAMPLE)
    if len(first) < _SAMPLE or pc.count_distinct(first).as_py() > _SAMPLE // 2:
        return values
    encoded = bits.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.view(arrow))


def _reduction(plan: ReductionPlan, column: ColumnPlan) -> Callable[[pa.Array], pa.Array]:
    if column.action == "raw":
        return lambda values: _raw(column, values)
    if column.action == "render":
        return lambda values: render(
            column.function, cast_like_sql(values, column.cast) if column.cast else values
        )
    domain, secret = plan.domain, plan.secret
    if domain is None or secret is None:
        raise ReductionError(f"column `{column.name}` is to be a pseudonym, and there is no domain")

    def pseudonyms(values: pa.Array) -> pa.Array:
        if column.method != "cmac" and not _is_text(values.type):
            values = cast_like_sql(values, "text")
        elif column.exact is not None and _is_text(values.type):
            values = values.cast(column.exact)
        made = pseudonymise(
            values,
            method=column.method,
            kind=column.kind,
            secret=secret,
            domain=domain,
            identity_space=column.identity_space,
        )
        return made if column.method != "cmac" else pa.ExtensionArray.from_storage(_UUID, made)

    return pseudonyms


def _raw(column: ColumnPlan, values: pa.Array) -> pa.Array:
    """The values as they are, but dates and times that no calendar has (PostgreSQL's infinities) refused."""
    arrow = values.type
    if pa.types.is_date32(arrow) or pa.types.is_timestamp(arrow):
        width = pa.int32() if pa.types.is_date32(arrow) else pa.int64()
        info = np.iinfo(width.to_pandas_dtype())
        extremes = pa.array([info.min, info.max], width)
        endless = pc.sum(pc.is_in(values.cast(width), extremes)).as_py() or 0
        if endless:
            raise ReductionError(
                f"column `{column.name}` holds infinite dates or times in {endless} rows",
                hint="send it generalised or masked, or correct them",
            )
    if column.arrow is not None and arrow != column.arrow:
        if column.arrow == _UUID:
            return pa.ExtensionArray.from_storage(_UUID, values.cast(pa.binary(16)))
        return values.cast(column.arrow)
    return values


def _by_dictionary(reduce: Callable[[pa.Array], pa.Array], values: pa.Array, *, distinct: bool) -> pa.Array:
    """Reduce each value of the dictionary once; the result's dictionary is without repetition or surplus.

    What comes of texts are texts in a dictionary, of whatever length batch and dictionary are. `distinct`:
    the reduction keeps different values different.
    """
    dense = values.dictionary
    if len(dense) > len(values) or dense.null_count:
        plain = reduce(values.dictionary_decode())
        return plain.dictionary_encode() if _encodes(plain.type) else plain
    used = pc.unique(values.indices).drop_null()
    if len(used) < len(dense):
        used = used.take(pc.array_sort_indices(used))
        dense = dense.take(used)
        places = np.zeros(len(values.dictionary), np.int32)
        places[used.to_numpy()] = np.arange(len(used), dtype=np.int32)
        indices = pa.array(places).take(values.indices)
    else:
        indices = values.indices.cast(pa.int32())
    reduced = reduce(dense)
    if not _encodes(reduced.type):
        return reduced.take(indices)
    if distinct:
        return pa.DictionaryArray.from_arrays(indices, reduced)
    encoded = reduced.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(indices), encoded.dictionary)


def _encodes(arrow: pa.DataType) -> bool:
    """Whether a dictionary of this type is worth keeping."""
    return not isinstance(arrow, pa.BaseExtensionType) and (_is_text(arrow) or pa.types.is_binary(arrow))


def _is_text(arrow: pa.DataType) -> bool:
    if pa.types.is_dictionary(arrow):
        return _is_text(arrow.value_type)
    return bool(
        pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)
    )


__all__ = ["ColumnPlan", "ReductionError", "ReductionPlan", "check_texts", "reduce_batch"]
