"""Which columns of a table may hold direct identifiers: what is fingerprinted, to be found elsewhere.

Those that the catalogue calls `direct`, and text that nobody has classified beside them: in a table of people
it may well be a part of their names, and a set of fingerprints without it would miss the whole name. Pure.
Whether a kind can be told by its values at all is the business of `ringfort.transfer.fingerprints`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfort.catalog.model import Catalogue, Column, Table

_TEXT = re.compile(r"(text|citext|name|character varying|varchar|character|char|bpchar)(\s*\(\d+\))?")
_ASSUMED_KIND = "name"  # what unclassified text is taken for: of all identifiers the one without a shape


def counted_as_direct(table: Table) -> tuple[Column, ...]:
    """The columns that are direct identifiers or may be, in their order; unclassified ones come as names."""
    unclassified = {each.name for each in unclassified_beside_direct(table)}
    return tuple(
        replace(each, protection="restricted", identifiability="direct", kind=_ASSUMED_KIND)
        if each.name in unclassified
        else each
        for each in table.columns
        if each.identifiability == "direct" or each.name in unclassified
    )


def unclassified_beside_direct(table: Table) -> tuple[Column, ...]:
    """Unclassified columns of text in a table that has a direct identifier, the key of a person included."""
    if not any(each.identifiability == "direct" for each in table.columns):
        return ()
    return tuple(
        each
        for each in table.columns
        if not each.classified and each.references is None and _TEXT.fullmatch(each.data_type.casefold())
    )


def remarks(catalogue: Catalogue) -> tuple[str, ...]:
    """What an operator should know of such columns, a sentence a table; names only."""
    found = []
    for dataset in catalogue.datasets:
        for table in dataset.tables:
            columns = unclassified_beside_direct(table)
            if columns:
                names = ", ".join(f"`{each.name}`" for each in columns)
                found.append(
                    f"unclassified beside direct identifiers in table `{dataset.name}.{table.name}`: {names};"
                    " inspections take such text for names: classify it in catalog.toml"
                )
    return tuple(found)


__all__ = ["counted_as_direct", "remarks", "unclassified_beside_direct"]
