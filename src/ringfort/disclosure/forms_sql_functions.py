r"""The SQL functions behind the forms `masked` and `generalised`: one expression each, all of them total.

No input raises (an error text would echo the value). Text is compared in collation "C" and cut to
`form_rules.TEXT_LIMIT` characters first, so that no collation and no length can make a function fail or slow;
regular expressions use no back reference. What is not of the expected shape becomes `***`, `other` or
`unknown`: less is told, never more. NULL stays NULL. The bodies are SQL-standard (`RETURN ...`): names are
bound when a function is made, so it needs no SET clause and PostgreSQL can inline it.

Names carry a version (`form_rules.versioned`). A view made with an older one keeps its meaning: that function
is no longer made, but neither changed nor dropped where it is. The new one gives profiles that use it a new
digest. Which kind uses which: `forms_sql.py`; text: `forms_sql_text.py`; the same on Arrow columns:
`ringfort.privacy.columns`. DESIGN section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.disclosure.forms_sql_text import TEXT_BODIES, array, five_years
from ringfort.privacy import form_rules as rules
from ringfort.privacy.form_rules import VERSION, versioned

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class FormFunction:
    """`ringfort.NAME(value ARGUMENT) RETURNS RETURNS`, its body a single SQL expression."""

    name: str
    argument: str
    returns: str
    expression: str


# -- dates, numbers, networks ------------------------------------------------------------------------------

DAY_OF = {  # type class -> (SQL type, its day); total, and no matter which time zone is set
    "date": ("date", "value"),
    "timestamp": ("timestamp without time zone", "value::date"),
    "timestamptz": ("timestamp with time zone", "timezone('UTC', value)::date"),
}


def _date_functions() -> Iterator[FormFunction]:
    for name, (argument, day) in DAY_OF.items():
        year = f"extract(year FROM {day})::integer"
        month = f"{year}::text || '-' || lpad((extract(month FROM {day})::integer)::text, 2, '0')"
        for function, returns, expression in (
            ("day", "date", day),
            ("month", "text", month),
            ("year", "integer", year),
            ("born", "text", five_years(year)),
        ):
            finite = f"CASE WHEN isfinite({day}) THEN {expression} END"  # an infinity says nothing: NULL
            yield FormFunction(f"{function}_{name}", argument, returns, finite)


def _number_functions() -> Iterator[FormFunction]:
    for name, number in (("numeric", "numeric"), ("float", "double precision")):
        odd = f"value = 'NaN'::{number} OR abs(value) = 'Infinity'::{number}"
        bounds = f"'{{{','.join(map(str, rules.BANDS))}}}'::{number}[]"
        yield FormFunction(
            f"band_{name}",
            number,
            "text",
            f"CASE WHEN {odd} THEN 'unknown' WHEN value = 0 THEN '0' "
            "ELSE CASE WHEN value < 0 THEN 'minus ' ELSE '' END || "
            f"({array(rules.BAND_LABELS)})[width_bucket(abs(value), {bounds})] END",
        )
        yield FormFunction(f"degree_{name}", number, number, "floor(value)")
        ten = "(floor(value)::integer / 10 * 10)"  # dividing first would underflow for tiny floats
        yield FormFunction(
            f"age_{name}",
            number,
            "text",
            f"CASE WHEN value >= 0 AND value < 90 THEN {ten}::text || '-' || ({ten} + 9)::text "
            "WHEN value >= 90 AND value < 150 THEN '90 or more' WHEN value IS NOT NULL THEN 'other' END",
        )


def _network_functions() -> Iterator[FormFunction]:
    for name, (v4, v6) in (("mask_inet", rules.MASK_NETWORKS), ("general_inet", rules.GENERAL_NETWORKS)):
        yield FormFunction(
            name,
            "inet",
            "text",
            f"CASE family(value) WHEN 4 THEN text(network(set_masklen(value, {v4}))::inet) "
            f"WHEN 6 THEN text(network(set_masklen(value, {v6}))::inet) END",
        )


FUNCTIONS: tuple[FormFunction, ...] = tuple(
    FormFunction(versioned(each.name), each.argument, each.returns, each.expression)
    for each in (
        *(FormFunction(name, "text", "text", body) for name, body in TEXT_BODIES.items()),
        *_date_functions(),
        *_number_functions(),
        *_network_functions(),
    )
)

__all__ = ["DAY_OF", "FUNCTIONS", "VERSION", "FormFunction"]
