"""The forms `masked` and `generalised` as SQL: one function per rendering, in schema `ringfort`.

The functions themselves are in `forms_sql_functions.py`, the same for Arrow columns in
`ringfort.privacy.columns`. Ages are told by five-year bands of birth years, not
by years lived: an age that ticks over tells the birthday.

| kind                    | masked                          | generalised                            |
|-------------------------|---------------------------------|----------------------------------------|
| email                   | `j***@e***.com`                 | `@gmail.com` for large providers       |
| phone                   | last two digits                 | country calling code                   |
| name                    | initials of up to three words   | -                                      |
| ip_address              | /24, /48                        | /16, /32                               |
| iban                    | country, last four              | country                                |
| card                    | last four digits                | scheme                                 |
| national_id, code       | last two; first two characters  | -                                      |
| address                 | first three characters          | -                                      |
| postcode                | first three (two) characters    | first two                              |
| city                    | first character                 | -                                      |
| country                 | -                               | region group                           |
| birth_date              | year                            | five-year band                         |
| date                    | month                           | year                                   |
| timestamp               | day                             | month                                  |
| age                     | -                               | ten-year band                          |
| amount, number          | -                               | 1-2-5 band with sign                   |
| location (a coordinate) | -                               | whole degree, downwards                |
| url                     | host                            | -                                      |
| user_agent              | -                               | browser family                         |
| free_text, content      | what looks like personal data   | a note of the length, no text          |
|                         | struck out                      |                                        |
| key, gender, category, flag, unknown | -                  | -                                      |

`-`, and any SQL type that a cell has no function for, falls to the next less revealing form that renders:
masked to generalised, generalised to hidden. It never falls to `pseudonym`, which is less revealing but links
rows, and only policy may permit that. `pseudonym` itself falls to hidden for types without pseudonyms and for
the kinds in `UNPSEUDONYMISED` (few values, whose frequencies give them away, or long text).
Left out: `aggregate` and `noisy`, which nothing renders yet. DESIGN sections 2 (principle 4) and 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from psycopg import sql

from ringfort.disclosure.forms_sql_functions import FUNCTIONS, VERSION
from ringfort.policy.forms import Form
from ringfort.privacy.form_rules import versioned

if TYPE_CHECKING:
    from ringfort.privacy.pseudonym import PseudonymType

SCHEMA = "ringfort"

TypeClass = Literal[
    "text", "integer", "float", "numeric", "date", "timestamp", "timestamptz", "uuid", "inet", "other"
]
UNPSEUDONYMISED = frozenset({"flag", "gender", "age", "country", "free_text", "content"})

_CLASSES: dict[str, TypeClass] = {
    "text": "text", "character varying": "text", "character": "text", "bpchar": "text", "citext": "text",
    "name": "text", "smallint": "integer", "integer": "integer", "bigint": "integer", "real": "float",
    "double precision": "float", "numeric": "numeric", "date": "date",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz", "uuid": "uuid",
    "inet": "inet", "cidr": "inet",
}  # fmt: skip
_PSEUDONYM_TYPES: dict[TypeClass, PseudonymType] = {
    "text": "text", "integer": "number", "float": "number", "numeric": "number", "date": "date",
    "timestamp": "timestamp", "timestamptz": "instant", "uuid": "uuid",
}  # fmt: skip


@dataclass(frozen=True)
class Rendering:
    """How a column is shown: the form that is really served, and for masks the function and its cast."""

    form: Form
    function: str = ""
    cast: str = ""  # the column is cast to this type first; "" for none
    returns: str = ""


def type_class(data_type: str) -> TypeClass:
    """The class of a PostgreSQL type as `format_type` writes it; `other` for arrays, domains, enums, ..."""
    return _CLASSES.get(bare_type(data_type), "other")


def bare_type(data_type: str) -> str:
    """A PostgreSQL type without its length, precision or scale."""
    return re.sub(r"\s*\([0-9, -]*\)", "", data_type).strip()


def pseudonym_type_of(data_type: str) -> PseudonymType | None:
    """The type of pseudonyms of a PostgreSQL type, None if it has none."""
    return _PSEUDONYM_TYPES.get(type_class(data_type))


def rendering(form: Form, kind: str, data_type: str) -> Rendering:
    """What is served for a column of `kind` and type where policy permits `form`: the table above."""
    cls = type_class(data_type)
    if form is Form.RAW:
        return Rendering(Form.RAW)
    if form is Form.PSEUDONYM:
        if cls in _PSEUDONYM_TYPES and kind not in UNPSEUDONYMISED:
            return Rendering(Form.PSEUDONYM)
        return Rendering(Form.HIDDEN)
    for step in (Form.MASKED, Form.GENERALISED):
        if form.rank <= step.rank:
            found = _RENDERINGS.get((step, kind), {}).get(cls)
            if found is not None:
                name, cast = found
                return Rendering(step, name, cast, _BY_NAME[name].returns)
    return Rendering(Form.HIDDEN)


def create_statements() -> list[sql.Composed]:
    """Statements that make the functions; run with `search_path` set to `pg_catalog` alone. Idempotent."""
    create = sql.SQL(
        "CREATE OR REPLACE FUNCTION {}(value {}) RETURNS {} LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN {}"
    )
    return [
        create.format(
            sql.Identifier(SCHEMA, each.name),
            sql.SQL(each.argument),
            sql.SQL(each.returns),
            sql.SQL(each.expression),
        )
        for each in FUNCTIONS
    ]


_BY_NAME = {each.name: each for each in FUNCTIONS}

_Cell = dict[TypeClass, tuple[str, str]]


def _cell(text: str = "", *, digits: bool = False, **others: str) -> _Cell:
    """Functions by type class, each with the cast that the column needs."""
    casts = {"integer": "numeric", "numeric": "numeric", "float": "double precision"}
    cell: _Cell = {}
    if text:
        cell["text"] = (versioned(text), "text")
        if digits:  # such values are often stored as whole numbers
            cell["integer"] = (versioned(text), "text")
            cell["numeric"] = (versioned(text), "text")
    for cls, name in others.items():
        cell[cls] = (versioned(name), casts.get(cls, ""))  # type: ignore[index] # names of type classes
    return cell


def _numbers(name: str, text: str = "") -> _Cell:
    return _cell(text, integer=f"{name}_numeric", numeric=f"{name}_numeric", float=f"{name}_float")


def _dates(name: str) -> _Cell:
    return _cell(
        f"{name}_text", date=f"{name}_date", timestamp=f"{name}_timestamp", timestamptz=f"{name}_timestamptz"
    )


_RENDERINGS: dict[tuple[Form, str], _Cell] = {
    (Form.MASKED, "email"): _cell("mask_email"),
    (Form.GENERALISED, "email"): _cell("general_email"),
    (Form.MASKED, "phone"): _cell("mask_phone", digits=True),
    (Form.GENERALISED, "phone"): _cell("general_phone"),
    (Form.MASKED, "name"): _cell("mask_name"),
    (Form.MASKED, "ip_address"): _cell("mask_ip", inet="mask_inet"),
    (Form.GENERALISED, "ip_address"): _cell("general_ip", inet="general_inet"),
    (Form.MASKED, "iban"): _cell("mask_iban"),
    (Form.GENERALISED, "iban"): _cell("general_iban"),
    (Form.MASKED, "card"): _cell("mask_card", digits=True),
    (Form.GENERALISED, "card"): _cell("general_card", digits=True),
    (Form.MASKED, "national_id"): _cell("mask_number_end", digits=True),
    (Form.MASKED, "code"): _cell("mask_code", digits=True),
    (Form.MASKED, "address"): _cell("mask_address"),
    (Form.MASKED, "postcode"): _cell("mask_postcode", digits=True),
    (Form.GENERALISED, "postcode"): _cell("general_postcode", digits=True),
    (Form.MASKED, "city"): _cell("mask_city"),
    (Form.GENERALISED, "country"): _cell("general_country"),
    (Form.MASKED, "birth_date"): _dates("year"),
    (Form.GENERALISED, "birth_date"): _dates("born"),
    (Form.MASKED, "date"): _dates("month"),
    (Form.GENERALISED, "date"): _dates("year"),
    (Form.MASKED, "timestamp"): _dates("day"),
    (Form.GENERALISED, "timestamp"): _dates("month"),
    (Form.GENERALISED, "age"): _numbers("age", "age_text"),
    (Form.GENERALISED, "amount"): _numbers("band"),
    (Form.GENERALISED, "number"): _numbers("band"),
    (Form.GENERALISED, "location"): _cell(numeric="degree_numeric", float="degree_float"),
    (Form.MASKED, "url"): _cell("mask_url"),
    (Form.GENERALISED, "user_agent"): _cell("general_user_agent"),
    (Form.MASKED, "free_text"): _cell("mask_text"),
    (Form.MASKED, "content"): _cell("mask_text"),
    (Form.GENERALISED, "free_text"): _cell("general_text"),
    (Form.GENERALISED, "content"): _cell("general_text"),
}

__all__ = [
    "FUNCTIONS",
    "SCHEMA",
    "UNPSEUDONYMISED",
    "VERSION",
    "Rendering",
    "TypeClass",
    "bare_type",
    "create_statements",
    "pseudonym_type_of",
    "rendering",
    "type_class",
]
