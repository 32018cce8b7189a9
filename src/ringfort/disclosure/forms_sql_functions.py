r"""The SQL functions behind the forms `masked` and `generalised`: one expression each, all of them total.

No input raises (an error text would echo the value). Text is compared in collation "C" and cut to
`TEXT_LIMIT` characters first, so that no collation and no length can make a function fail or slow; regular
expressions use no back reference. What is not of the expected shape becomes `***`, `other` or `unknown`: less
is told, never more. NULL stays NULL. The bodies are SQL-standard (`RETURN ...`): names are bound when a
function is made, so it needs no SET clause and PostgreSQL can inline it.

In the texts below `$S` is the value as cut text, `$DIGITS` its digits, `$COMPACT` its ASCII letters (as
capitals) and digits. Names carry `VERSION`: a view made with an older one keeps its meaning, and a new
version gives every profile a new digest. Which kind uses which: `forms_sql.py`. DESIGN section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ringfort.privacy.country_groups import COUNTRY_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VERSION = 1
TEXT_LIMIT = 320
_S = f'left(value COLLATE "C", {TEXT_LIMIT})'
_TEXTS = {
    "$DIGITS": f"regexp_replace({_S}, '[^0-9]', '', 'g')",
    "$COMPACT": f"upper(regexp_replace({_S}, '[^0-9A-Za-z]', '', 'g'))",
    "$S": _S,
}
_PROVIDERS = (
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com icloud.com me.com "
    "aol.com proton.me protonmail.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de mail.ru yandex.ru "
    "qq.com 163.com 126.com sina.com orange.fr wanadoo.fr free.fr laposte.net libero.it virgilio.it "
    "naver.com hotmail.co.uk hotmail.fr hotmail.de yahoo.co.uk yahoo.fr yahoo.de yahoo.co.jp "
    "daum.net uol.com.br"
)
_BANDS = [0, 1, 2, 5, *(step * 10**power for power in range(1, 10) for step in (1, 2, 5))]


@dataclass(frozen=True)
class FormFunction:
    """`ringfort.NAME(value ARGUMENT) RETURNS RETURNS`, its body a single SQL expression."""

    name: str
    argument: str
    returns: str
    expression: str


def _array(values: Iterable[str]) -> str:
    return "ARRAY[" + ", ".join("'" + each.replace("'", "''") + "'" for each in values) + "]"


# -- text --------------------------------------------------------------------------------------------------

_EMAIL = r"$S ~ '^[^@\s]+@[^@\s]+\.[A-Za-z]{2,24}$'"
_IBAN = "$COMPACT ~ '^[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}$'"
_CARD = "($S ~ '^[0-9 -]{12,30}$' AND length($DIGITS) BETWEEN 12 AND 19)"
_DIALLED = "regexp_replace($DIGITS, '^00', '')"

_TEXT_CASES: dict[
    str, tuple[str, str]
] = {  # name -> CASE branches for what is not NULL, and the word if none
    "mask_email": (
        rf"""WHEN {_EMAIL} THEN CASE WHEN length(split_part($S, '@', 1)) > 2 THEN left($S, 1) ELSE '' END
        || '***@' || left(split_part($S, '@', 2), 1) || '***' || substring($S FROM '\.[A-Za-z]{{2,24}}$')""",
        "***",
    ),
    "general_email": (
        f"""WHEN lower(split_part($S, '@', 2)) = ANY ({_array(_PROVIDERS.split())}) AND {_EMAIL}
        THEN '@' || lower(split_part($S, '@', 2))""",
        "other",
    ),
    "mask_phone": ("WHEN length($DIGITS) BETWEEN 7 AND 20 THEN '***' || right($DIGITS, 2)", "***"),
    "general_phone": (
        rf"""WHEN $S !~ '^\s*(\+|00)' OR length({_DIALLED}) NOT BETWEEN 7 AND 18 THEN 'unknown'
        WHEN {_DIALLED} ~ '^[17]' THEN '+' || left({_DIALLED}, 1)
        WHEN {_DIALLED} ~ '^(2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])'
        THEN '+' || left({_DIALLED}, 2)
        WHEN {_DIALLED} ~ '^[2-9]' THEN '+' || left({_DIALLED}, 3)""",
        "unknown",
    ),
    "mask_name": (
        r"""WHEN $S ~ '\S' THEN regexp_replace(substring(left($S, 120) FROM '^\s*(\S+(?:\s+\S+){0,2})'),
        '(\S)\S*', '\1***', 'g')""",
        "***",
    ),
    "mask_ip": (
        r"""WHEN $S ~ '^\s*[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?\s*$'
        THEN substring($S FROM '^\s*([0-9]+\.[0-9]+\.[0-9]+)') || '.0/24'
        WHEN $S ~ '^\s*[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){2}:[0-9A-Fa-f:.]*(/[0-9]{1,3})?\s*$'
        THEN substring($S FROM '^\s*([0-9A-Fa-f]+:[0-9A-Fa-f]+:[0-9A-Fa-f]+)') || '::/48'""",
        "***",
    ),
    "general_ip": (
        r"""WHEN $S ~ '^\s*[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?\s*$'
        THEN substring($S FROM '^\s*([0-9]+\.[0-9]+)') || '.0.0/16'
        WHEN $S ~ '^\s*[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:.]*(/[0-9]{1,3})?\s*$'
        THEN substring($S FROM '^\s*([0-9A-Fa-f]+:[0-9A-Fa-f]+)') || '::/32'""",
        "***",
    ),
    "mask_iban": (f"WHEN {_IBAN} THEN left($COMPACT, 2) || '** **** ' || right($COMPACT, 4)", "***"),
    "general_iban": (f"WHEN {_IBAN} THEN left($COMPACT, 2)", "unknown"),
    "mask_card": (f"WHEN {_CARD} THEN '**** ' || right($DIGITS, 4)", "***"),
    "general_card": (
        f"""WHEN NOT {_CARD} THEN 'unknown' WHEN $DIGITS ~ '^4' THEN 'Visa'
        WHEN $DIGITS ~ '^(5[1-5]|2[2-7])' THEN 'Mastercard' WHEN $DIGITS ~ '^3[47]'
        THEN 'American Express'""",
        "other",
    ),
    "mask_number_end": ("WHEN length($COMPACT) BETWEEN 8 AND 40 THEN '***' || right($COMPACT, 2)", "***"),
    "mask_code": ("WHEN length($COMPACT) BETWEEN 5 AND 40 THEN left($COMPACT, 2) || '***'", "***"),
    "mask_address": (
        "WHEN length($S) >= 8 THEN regexp_replace(left(btrim($S), 3), '[0-9]', '*', 'g') || '***'",
        "***",
    ),
    "mask_postcode": (
        """WHEN length($COMPACT) BETWEEN 5 AND 10 THEN left($COMPACT, 3) || '**'
        WHEN length($COMPACT) = 4 THEN left($COMPACT, 2) || '**'""",
        "***",
    ),
    "general_postcode": ("WHEN length($COMPACT) BETWEEN 4 AND 10 THEN left($COMPACT, 2) || '***'", "***"),
    "mask_city": (r"WHEN $S ~ '\S' THEN substring($S FROM '\S') || '***'", "***"),
    "general_country": (
        "\n".join(
            rf"WHEN upper(btrim($S, E' \t\n\r')) = ANY ({_array(names)}) THEN '{group}'"
            for group, names in COUNTRY_GROUPS.items()
        ),
        "other",
    ),
    "mask_url": (
        r"""WHEN $S ~ '^[^/?#]*//[^/?#]*@' THEN '***'
        WHEN $S ~ '^\s*[A-Za-z][A-Za-z0-9+.-]{1,15}://[A-Za-z0-9.-]{1,253}([:/?#]|\s*$)'
        THEN substring($S FROM '://([A-Za-z0-9.-]{1,253})')""",
        "***",
    ),
    "general_user_agent": (
        """WHEN $S ~ 'Edge?/' THEN 'Edge' WHEN $S ~ 'OPR/|Opera' THEN 'Opera'
        WHEN $S ~ 'Firefox/' THEN 'Firefox' WHEN $S ~ 'Chrome/|CriOS/' THEN 'Chrome'
        WHEN $S ~ 'Safari/' THEN 'Safari'""",
        "other",
    ),
    "general_text": (
        "WHEN octet_length(value) = 0 THEN '(no text)'\n"
        + "\n".join(
            f"WHEN octet_length(value) <= {size} THEN '(text of up to {size} bytes)'"
            for size in (20, 100, 500, 2500)
        ),
        "(longer text)",
    ),
    "age": (
        r"""WHEN $S ~ '^\s*9[0-9]\s*$' THEN '90 or more' WHEN $S ~ '^\s*0?[0-9]\s*$' THEN '0-9'
        WHEN $S ~ '^\s*[1-8][0-9]\s*$' THEN replace('x0-x9', 'x', substring($S FROM '[1-8]'))""",
        "other",
    ),
    "day": (r"WHEN $S ~ '^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN substring($S FROM '[0-9-]{10}')", "unknown"),
    "month": (r"WHEN $S ~ '^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN substring($S FROM '[0-9-]{7}')", "unknown"),
}
_TEXT_YEAR = (
    r"coalesce(substring($S FROM '^\s*([0-9]{4})-[0-9]{2}-[0-9]{2}'), "
    r"substring($S FROM '^\s*[0-9]{1,2}[./-][0-9]{1,2}[./-]([0-9]{4})(?![0-9])'))"
)
_TEXT_ONLY = frozenset({"age", "day", "month"})  # other types have a function of this name as well


def _text_functions() -> Iterator[FormFunction]:
    cases = _TEXT_CASES | {
        "year": (f"WHEN {_TEXT_YEAR} IS NOT NULL THEN {_TEXT_YEAR}", "unknown"),
        "born": (
            f"WHEN {_TEXT_YEAR} IS NOT NULL THEN {_five_years(f'({_TEXT_YEAR})::integer')}",
            "unknown",
        ),
    }
    for name, (branches, nothing) in cases.items():
        expression = f"CASE WHEN value IS NULL THEN NULL {branches} ELSE '{nothing}' END"
        for mark, meaning in _TEXTS.items():
            expression = expression.replace(mark, meaning)
        suffix = "_text" if name in {*_TEXT_ONLY, "year", "born"} else ""
        yield FormFunction(f"{name}{suffix}", "text", "text", expression)


# -- dates, numbers, networks ------------------------------------------------------------------------------

DAY_OF = {  # type class -> (SQL type, its day); total, and no matter which time zone is set
    "date": ("date", "value"),
    "timestamp": ("timestamp without time zone", "value::date"),
    "timestamptz": ("timestamp with time zone", "timezone('UTC', value)::date"),
}


def _five_years(year: str) -> str:
    low = f"(floor({year} / 5.0) * 5)::integer"
    return f"{low}::text || '-' || ({low} + 4)::text"


def _date_functions() -> Iterator[FormFunction]:
    for name, (argument, day) in DAY_OF.items():
        year = f"extract(year FROM {day})::integer"
        month = f"{year}::text || '-' || lpad((extract(month FROM {day})::integer)::text, 2, '0')"
        for function, returns, expression in (
            ("day", "date", day),
            ("month", "text", month),
            ("year", "integer", year),
            ("born", "text", _five_years(year)),
        ):
            finite = f"CASE WHEN isfinite({day}) THEN {expression} END"  # an infinity says nothing: NULL
            yield FormFunction(f"{function}_{name}", argument, returns, finite)


def _number_functions() -> Iterator[FormFunction]:
    labels = [*(f"{low}-{high}" for low, high in pairwise(_BANDS)), f"{_BANDS[-1]} or more"]
    for name, number in (("numeric", "numeric"), ("float", "double precision")):
        odd = f"value = 'NaN'::{number} OR abs(value) = 'Infinity'::{number}"
        bounds = "ARRAY[" + ", ".join(f"{each}::{number}" for each in _BANDS) + "]"
        yield FormFunction(
            f"band_{name}",
            number,
            "text",
            f"CASE WHEN {odd} THEN 'unknown' WHEN value = 0 THEN '0' "
            "ELSE CASE WHEN value < 0 THEN 'minus ' ELSE '' END || "
            f"({_array(labels)})[width_bucket(abs(value), {bounds})] END",
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
    for name, v4, v6 in (("mask_inet", 24, 48), ("general_inet", 16, 32)):
        yield FormFunction(
            name,
            "inet",
            "text",
            f"CASE family(value) WHEN 4 THEN text(network(set_masklen(value, {v4}))::inet) "
            f"WHEN 6 THEN text(network(set_masklen(value, {v6}))::inet) END",
        )


FUNCTIONS: tuple[FormFunction, ...] = tuple(
    FormFunction(f"{each.name}_v{VERSION}", each.argument, each.returns, each.expression)
    for each in (
        *_text_functions(),
        *_date_functions(),
        *_number_functions(),
        *_network_functions(),
    )
)

__all__ = ["DAY_OF", "FUNCTIONS", "TEXT_LIMIT", "VERSION", "FormFunction"]
