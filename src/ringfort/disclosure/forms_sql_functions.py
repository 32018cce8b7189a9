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

DAY_OF = {  # type class -> (SQL type, its day, its time zone); total, and no matter which zone is set
    "date": ("date", "value", ""),
    "timestamp": ("timestamp without time zone", "value::date", ""),
    "timestamptz": ("timestamp with time zone", "timezone('UTC', value)::date", " 00:00:00+00"),
}


def _date_functions() -> Iterator[FormFunction]:
    for name, (argument, day, zone) in DAY_OF.items():
        year = f"extract(year FROM {day})::integer"
        month = f"{year}::text || '-' || lpad((extract(month FROM {day})::integer)::text, 2, '0')"
        low = f"'{rules.YEARS[0]}-01-01{zone}'::{argument}"
        high = f"'{rules.YEARS[1] + 1}-01-01{zone}'::{argument}"
        told = f"value >= {low} AND value < {high}"  # of other years, and of infinities, nothing: NULL
        for function, returns, expression, when in (
            ("day", "date", day, told),
            ("month", "text", month, told),
            ("year", "integer", year, told),
            ("born", "text", five_years(year), "isfinite(value)"),
        ):
            whole = f"CASE WHEN {when} THEN {expression} END"
            yield FormFunction(f"{function}_{name}", argument, returns, whole)


def _number_functions() -> Iterator[FormFunction]:
    for name, number in (("numeric", "numeric"), ("float", "double precision")):
        odd = f"value = 'NaN'::{number} OR abs(value) = 'Infinity'::{number}"
        bounds = f"'{{{','.join(map(str, rules.BANDS))}}}'::{number}[]"
        yield FormFunction(
            f"band_{name}",
            number,
            "text",
            f"CASE WHEN {odd} THEN 'unknown' ELSE CASE WHEN value < 0 THEN 'minus ' ELSE '' END || "
            f"({array(rules.BAND_LABELS)})[width_bucket(abs(value), {bounds})] END",
        )
        low, high = rules.DEGREES
        no_sign = " + 0" if number == "double precision" else ""  # of a negative zero
        yield FormFunction(
            f"degree_{name}",
            number,
            number,
            f"CASE WHEN value >= {low} AND value < {high} THEN floor(value){no_sign} END",
        )
        ten = "(floor(value)::integer / 10 * 10)"  # dividing first would underflow for tiny floats
        yield FormFunction(
            f"age_{name}",
            number,
            "text",
            f"CASE WHEN value >= 0 AND value < 90 THEN {ten}::text || '-' || ({ten} + 9)::text "
            "WHEN value >= 90 AND value < 150 THEN '90 or more' WHEN value IS NOT NULL THEN 'other' END",
        )


def _network_functions() -> Iterator[FormFunction]:
    six = rules.MASK_NETWORKS[1], rules.GENERAL_NETWORKS[1]
    of_four = f"'{rules.IPV6_OF_IPV4}:/{16}'::inet"
    # of a 6to4 address the longer prefix would hold all of an address of version 4
    masked = f"CASE WHEN value <<= {of_four} THEN {six[1]} ELSE {six[0]} END"
    for name, v4, v6 in (
        ("mask_inet", rules.MASK_NETWORKS[0], masked),
        ("general_inet", rules.GENERAL_NETWORKS[0], str(six[1])),
    ):
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
