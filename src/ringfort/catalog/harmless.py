"""What is recognised as saying nothing of a person: by a column's name and its values together.

The rule of `ringfort.catalog.about_people`: in a table that leads to people nothing is proposed `none` or
`interoperable` unless it is recognised here (keys and countries apart, which have rules of their own). A name
is recognised if it consists of listed words and one of them decides; a generic word that could stand for
anything (status, type, code, amount) decides only together with values that can mean nothing else, or in a
table of trade. Where values are asked for and none was seen, nothing is recognised. Pure. ADR 0033.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ringfort.catalog.column_patterns import listed, name_words
from ringfort.catalog.words import fold, word_lines, word_list

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringfort.catalog.column_patterns import Patterns
    from ringfort.catalog.detect import Finding
    from ringfort.catalog.sample import SampledColumn

FILE = "harmless.txt"
_MOST = 0.95
_FLAGS = frozenset({"true", "false", "t", "f", "0", "1", "y", "n", "yes", "no"})
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/\-]{0,39}")
NUMERIC = frozenset(
    {"smallint", "integer", "bigint", "real", "double precision", "numeric", "money", "decimal"}
)


def is_trade(table: str, columns: Sequence[str]) -> bool:
    """Whether a table holds lines of trade: by its name, or because a quantity and a price stand in it."""
    if not set(name_words(table).single).isdisjoint(_list("trade").words):
        return True
    deciding = _list("numbers decide")
    found = {word for each in columns for word in name_words(each).together & deciding.words}
    return len(found & _PRICES) >= 1 and len(found - _PRICES) >= 1


_PRICES = frozenset(
    {
        "price",
        "pvp",
        "coste",
        "costo",
        "unitprice",
        "listprice",
        "saleprice",
        "preis",
        "stuckpreis",
        "einzelpreis",
        "prix",
        "precio",
    }
    | {"prezzo", "preco", "prijs", "pris", "hinta", "hind", "cena", "kaina", "cijena", "ar", "pret", "цена"}
    | {"ціна", "τιμη", "fiyat"}
)


def is_harmless(column: SampledColumn, finding: Finding, *, trade: bool) -> bool:
    """Whether `column`, found to be `finding`, is recognised as saying nothing of a person."""
    if ends_technically(column):
        return True
    if finding.kind == "flag":
        return _named(column, "flags") and _all(column, _is_flag, unseen=column.base_type == "boolean")
    if finding.kind in {"amount", "number"}:
        return column.base_type in NUMERIC and (
            _named(column, "numbers")
            or _named(column, "technical numbers", "technical beside")
            or (trade and _named(column, "numbers of trade", "numbers beside", "numbers decide"))
        )
    if finding.kind == "code":
        return _named(column, "codes") and _all(column, _code_test(column))
    if finding.kind == "category":
        if _named(column, "states"):
            of_things = trade or not _list("of things").words.isdisjoint(name_words(column.name).bare)
            listed = _states() if of_things else _states() - _judging()
            if _all(column, lambda text: fold(text) in listed):
                return True
        return trade and _named(column, "goods") and column.seen > 0
    return False


def ends_technically(column: SampledColumn) -> bool:
    """Whether a name's last two words are of files and records, whatever they belong to."""
    words = name_words(column.name).bare
    if "".join(words[-2:]) not in _list("technical endings").words:
        return False
    return _all(column, lambda text: " " not in text.replace("; ", ";") and "@" not in text, unseen=True)


def _named(column: SampledColumn, subject: str, *beside: str) -> bool:
    deciding = _list(f"{subject} decide" if not beside else subject)
    others = [_list(each) for each in beside or (f"{subject} beside",)]
    words = name_words(column.name)
    if words.together.isdisjoint(deciding.words):
        return False
    if words.joined in deciding.words:
        return True
    known = deciding.words.union(*(each.words for each in others))
    return all(word in known or word.isdigit() for word in words.bare)


def _all(column: SampledColumn, test: Callable[[str], bool], *, unseen: bool = False) -> bool:
    if not column.seen:
        return unseen
    return sum(count for value, count in column.counts if test(value)) >= _MOST * column.seen


def _is_flag(text: str) -> bool:
    return fold(text) in _FLAGS


def _code_test(column: SampledColumn) -> Callable[[str], bool]:
    words = name_words(column.name).together
    if words & {"mimetype", "contenttype"}:
        return lambda text: text.split("/")[0].casefold() in _list("mime").words
    if any(word.startswith(_CURRENCY) for word in words):
        return lambda text: fold(text) in word_list("currencies.txt", "codes")
    return lambda text: _CODE.fullmatch(text.strip()) is not None and any(map(str.isdigit, text))


_CURRENCY = ("currency", "wahrung", "devise", "moneda", "valuta", "waluta", "mena", "penznem", "валута")


def _list(section: str) -> Patterns:
    return listed(FILE, section)


@lru_cache
def _judging() -> frozenset[str]:
    return frozenset(map(fold, word_lines(FILE, "judging states")))


@lru_cache
def _states() -> frozenset[str]:
    return frozenset(map(fold, word_lines(FILE, "states")))


__all__ = ["FILE", "NUMERIC", "ends_technically", "is_harmless", "is_trade"]
