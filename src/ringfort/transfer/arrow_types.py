"""Which Arrow types the rows of a transfer may come in, and the few that all others become as they are read.

Everything after reading (forms, pseudonyms, inspection, measures, writers) knows the plain types: booleans,
integers, floats of 32 and 64 bits, decimals of 128 and 256 bits, text and bytes with narrow or wide offsets,
bytes of fixed size, dates in days, times in microseconds, timestamps, uuids, dictionaries of text, and lists,
maps and structs. `plain_batch` turns what holds the same values in another layout into these, without loss;
`refusal` says of a type why it cannot be read at all. Invariants: a type has a plain type or a refusal, never
both; values keep what they are. Left out: whether a form takes a plain type (`source_check`).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_TIME = pa.time64("us")


def refusal(arrow: pa.DataType) -> str:
    """Why values of a type cannot be transferred, "" if they can."""
    if isinstance(arrow, pa.BaseExtensionType):
        return "" if arrow == pa.uuid() else refusal(arrow.storage_type)
    if pa.types.is_dictionary(arrow) or pa.types.is_run_end_encoded(arrow):
        return refusal(arrow.value_type)
    if pa.types.is_map(arrow):
        return refusal(arrow.key_type) or refusal(arrow.item_type)
    if pa.types.is_struct(arrow):
        if not arrow.num_fields:
            return "a struct without fields"
        return next((found for each in arrow if (found := refusal(each.type))), "")
    if _is_view_list(arrow):
        return "a list in the layout of views"
    if _is_list(arrow):
        return refusal(arrow.value_type)
    if pa.types.is_duration(arrow) or pa.types.is_interval(arrow):
        return "a span of time"
    if pa.types.is_union(arrow):
        return "a union"
    return "" if _is_simple(arrow) else "a type that is not known here"


def plain_type(arrow: pa.DataType) -> pa.DataType:
    """The type that values of `arrow` have once they are read; of one that is refused `arrow` itself."""
    if refusal(arrow) or arrow == pa.uuid():
        return arrow
    if isinstance(arrow, pa.BaseExtensionType):
        return plain_type(arrow.storage_type)
    if pa.types.is_run_end_encoded(arrow):
        return plain_type(arrow.value_type)
    if pa.types.is_dictionary(arrow):
        value = plain_type(arrow.value_type)
        return pa.dictionary(pa.int32(), value) if _is_text(value) else value
    if pa.types.is_decimal32(arrow) or pa.types.is_decimal64(arrow):
        return pa.decimal128(arrow.precision, arrow.scale)
    if is_nested(arrow):
        return _nested_type(arrow)
    return next((made for test, made in _SIMPLE if test(arrow)), arrow)


def _nested_type(arrow: pa.DataType) -> pa.DataType:
    """Lists, maps and structs of plain types, without dictionaries.

    What fields within have of the source's own (metadata, numbers, names of items, whether one may be NULL)
    is left out: it would be written into the file that leaves.
    """

    def inner(kind: pa.DataType) -> pa.DataType:
        made = plain_type(kind)
        return made.value_type if pa.types.is_dictionary(made) else made

    if pa.types.is_struct(arrow):
        return pa.struct([pa.field(each.name, inner(each.type)) for each in arrow])
    if pa.types.is_map(arrow):
        return pa.map_(inner(arrow.key_type), inner(arrow.item_type))
    value = inner(arrow.value_type)
    if pa.types.is_fixed_size_list(arrow):
        return pa.list_(value, arrow.list_size)
    return pa.large_list(value) if pa.types.is_large_list(arrow) else pa.list_(value)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """A schema as its batches are once they are read."""
    return pa.schema([pa.field(each.name, plain_type(each.type)) for each in schema])


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same values in plain types; raises `pa.ArrowInvalid` for one that its own type does not allow."""
    columns = [plain(each) for each in batch.columns]
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def plain(values: pa.Array) -> pa.Array:
    """One column in its plain type."""
    arrow = values.type
    if arrow == pa.uuid() or refusal(arrow):
        return values
    if isinstance(arrow, pa.BaseExtensionType):
        return plain(values.storage)
    if pa.types.is_run_end_encoded(arrow):
        return plain(pc.run_end_decode(values))
    if pa.types.is_dictionary(arrow):
        if _is_text(arrow.value_type) and arrow.index_type == pa.int32():
            return values
        decoded = plain(values.dictionary).take(values.indices)
        return decoded.dictionary_encode() if _is_text(decoded.type) else decoded
    target = plain_type(arrow)
    return values if target.equals(arrow, check_metadata=True) else values.cast(target)


def _is_text(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))


def _is_list(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow)
    )


def _is_view_list(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(arrow) or pa.types.is_large_list_view(arrow))


def _is_simple(arrow: pa.DataType) -> bool:
    tests = (
        pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, _is_text,
        pa.types.is_string_view, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
        pa.types.is_fixed_size_binary, pa.types.is_date, pa.types.is_time, pa.types.is_timestamp,
        pa.types.is_null,
    )  # fmt: skip
    return any(test(arrow) for test in tests)


_SIMPLE = (
    (pa.types.is_float16, pa.float32()),
    (pa.types.is_string_view, pa.large_string()),
    (pa.types.is_binary_view, pa.large_binary()),
    (pa.types.is_date64, pa.date32()),
    (pa.types.is_time, _TIME),
    (pa.types.is_null, pa.string()),
)


def is_nested(arrow: pa.DataType) -> bool:
    """Whether values are lists, maps or structs."""
    return bool(pa.types.is_nested(arrow) and not pa.types.is_run_end_encoded(arrow))


__all__ = ["is_nested", "plain", "plain_batch", "plain_schema", "plain_type", "refusal"]
