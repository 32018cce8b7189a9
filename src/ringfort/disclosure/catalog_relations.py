"""Which system catalogue relations a statement may read, and which of their columns it may not touch.

The list stands in `catalog_relations.txt`. Columns after the `-` hold data values (`attmissingval`),
statistics (`reltuples`), bodies of functions and views, or options that may hold secrets; a statement that
reads such a relation may not name them, nor reach them through `*`, a whole row or a NATURAL JOIN.
"""

from __future__ import annotations

from ringfort.disclosure.word_list import read_lines


def _read() -> dict[tuple[str, str], frozenset[str]]:
    relations: dict[tuple[str, str], frozenset[str]] = {}
    for schema, lines in read_lines("catalog_relations.txt").items():
        for line in lines:
            name, _, columns = line.partition(" - ")
            relations[schema, name] = frozenset(columns.split())
    return relations


RELATIONS: dict[tuple[str, str], frozenset[str]] = _read()
"""(schema, relation) -> columns that may not be touched."""


__all__ = ["RELATIONS"]
