"""The forms `masked` and `generalised` on Arrow columns, with the results of the database's own functions.

`render("mask_email_v1", column)` gives what `ringfort.mask_email_v1(value)` gives for each row: the same
text, number or date, null where the value is null. Values are those of the function's argument; what a cast
in a view does first (`rendering(...).cast`), `cast_like_sql` does here. Columns go through in pieces of
`CHUNK` rows, and a piece with few distinct values is rendered once for each of them.

Arrow types by argument: text: string, large_string, string_view; numeric: integers, decimals, or text as
PostgreSQL writes it; double precision: floats; date: date32, date64; timestamps: timestamp, in UTC if it has
a zone; inet: text as PostgreSQL writes it. A dictionary is read as its values. Infinite dates and times are
the lowest and highest value of their type. A text that PostgreSQL could not hold (bad UTF-8, NUL) is taken as
empty. Invariants: no value raises, a wrong type does, whatever the values. Equality is held by
tests/properties/privacy/test_forms_columns.py against a real PostgreSQL. Left out: `pseudonym`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc

from ringfort.errors import UsageError
from ringfort.privacy import generalise, generalise_date, generalise_number, mask, mask_network, mask_text
from ringfort.privacy.form_rules import versioned
from ringfort.privacy.sql_text import cast_like_sql, together
from ringfort.privacy.text_columns import clean, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 65_536
_SAMPLE = 1_024
_FEW = 128  # distinct values of the sample, from which on a dictionary does not pay


@dataclass(frozen=True)
class ColumnForm:
    """A function of the database as one of columns; `argument` is its SQL type."""

    argument: str
    returns: pa.DataType | None  # None: depends on the column
    kernel: Callable[[pa.Array], pa.Array]


def _cut(kernel: Callable[[pa.Array], pa.Array]) -> Callable[[pa.Array], pa.Array]:
    return lambda text: kernel(cut(text))


_TEXT: dict[str, Callable[[pa.Array], pa.Array]] = {
    "mask_email": _cut(mask.email),
    "mask_phone": _cut(mask.phone),
    "mask_name": _cut(mask.name),
    "mask_ip": _cut(mask.ip_text),
    "mask_iban": _cut(mask.iban),
    "mask_card": _cut(mask.card),
    "mask_number_end": _cut(mask.number_end),
    "mask_code": _cut(mask.code),
    "mask_address": _cut(mask.address),
    "mask_postcode": _cut(mask.postcode),
    "mask_city": _cut(mask.city),
    "mask_url": _cut(mask.url),
    "mask_text": mask_text.written,
    "general_email": _cut(generalise.email),
    "general_phone": _cut(generalise.phone),
    "general_ip": _cut(generalise.ip_text),
    "general_iban": _cut(generalise.iban),
    "general_card": _cut(generalise.card),
    "general_postcode": _cut(generalise.postcode),
    "general_country": _cut(generalise.country),
    "general_user_agent": _cut(generalise.user_agent),
    "general_text": generalise.note_of_length,
    "age_text": _cut(generalise.age_text),
    "day_text": _cut(generalise.day_text),
    "month_text": _cut(generalise.month_text),
    "year_text": _cut(generalise.year_text),
    "born_text": _cut(generalise.born_text),
}
_DATE_TYPES = {
    "date": "date",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}


def _forms() -> Iterator[tuple[str, ColumnForm]]:
    for name, kernel in _TEXT.items():
        yield name, ColumnForm("text", pa.string(), kernel)
    for suffix, argument in _DATE_TYPES.items():
        yield f"day_{suffix}", ColumnForm(argument, pa.date32(), generalise_date.day)
        yield f"month_{suffix}", ColumnForm(argument, pa.string(), generalise_date.month)
        yield f"year_{suffix}", ColumnForm(argument, pa.int32(), generalise_date.year)
        yield f"born_{suffix}", ColumnForm(argument, pa.string(), generalise_date.born)
    yield "band_numeric", ColumnForm("numeric", pa.string(), generalise_number.band_numeric)
    yield "age_numeric", ColumnForm("numeric", pa.string(), generalise_number.age_numeric)
    yield "degree_numeric", ColumnForm("numeric", None, generalise_number.degree_numeric)
    yield "band_float", ColumnForm("double precision", pa.string(), generalise_number.band_float)
    yield "age_float", ColumnForm("double precision", pa.string(), generalise_number.age_float)
    yield "degree_float", ColumnForm("double precision", pa.float64(), generalise_number.degree_float)
    yield "mask_inet", ColumnForm("inet", pa.string(), mask_network.mask_inet)
    yield "general_inet", ColumnForm("inet", pa.string(), mask_network.general_inet)


COLUMN_FORMS: dict[str, ColumnForm] = {versioned(name): form for name, form in _forms()}


def render(function: str, values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as `ringfort.FUNCTION` of the database shows it.

    Raises `UsageError` for an unknown function and for a column that is none of its argument's type.
    """
    form = COLUMN_FORMS.get(function)
    if form is None:
        raise UsageError(f"`{function}` is no function of the forms")
    return _render(form, values)


def _render(form: ColumnForm, values: pa.Array | pa.ChunkedArray) -> pa.Array:
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    chunks = chunks or [pa.array([], values.type)]
    return together([piece for chunk in chunks for piece in _chunk(form, chunk)])


def _chunk(form: ColumnForm, values: pa.Array) -> Iterator[pa.Array]:
    arrow = values.type
    if isinstance(arrow, pa.BaseExtensionType):
        yield from _chunk(form, cast("pa.ExtensionArray", values).storage)
    elif pa.types.is_dictionary(arrow):
        if len(values.dictionary) <= max(len(values), _FEW):
            yield _render(form, values.dictionary).take(values.indices)
        else:
            yield from _chunk(form, values.dictionary.take(values.indices))
    elif pa.types.is_run_end_encoded(arrow):
        yield from _chunk(form, pc.run_end_decode(values))
    else:
        for start in range(0, max(len(values), 1), CHUNK):
            yield _piece(form, _argument(form.argument, values.slice(start, CHUNK)))


def _argument(argument: str, values: pa.Array) -> pa.Array:
    """The values in a type that the kernels of an argument take; raises `UsageError` if they are none."""
    arrow = values.type
    if pa.types.is_null(arrow):
        return values.cast(_NULLS.get(argument, pa.string()))
    if pa.types.is_string_view(arrow):
        values = values.cast(pa.large_string())
        arrow = values.type
    text = pa.types.is_string(arrow) or pa.types.is_large_string(arrow)
    good = {
        "text": text,
        "inet": text,
        "numeric": text or pa.types.is_integer(arrow) or pa.types.is_decimal(arrow),
        "double precision": pa.types.is_floating(arrow),
        "date": pa.types.is_date(arrow),
        "timestamp without time zone": pa.types.is_timestamp(arrow),
        "timestamp with time zone": pa.types.is_timestamp(arrow),
    }[argument]
    if not good:
        raise UsageError(
            f"a column of Arrow type `{arrow}` is no `{argument}`", hint="cast it with `cast_like_sql` first"
        )
    return clean(values) if text else values


_NULLS = {
    "numeric": pa.int64(),
    "double precision": pa.float64(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
}


def _piece(form: ColumnForm, values: pa.Array) -> pa.Array:
    if form.argument in {"text", "inet"} and len(values) > _SAMPLE:
        sample = values.slice(0, _SAMPLE)
        if pc.count_distinct(sample).as_py() <= _FEW:
            encoded = values.dictionary_encode()
            return form.kernel(encoded.dictionary).take(encoded.indices)
    return form.kernel(values)


__all__ = ["CHUNK", "COLUMN_FORMS", "ColumnForm", "cast_like_sql", "render"]
