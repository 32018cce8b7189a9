"""Which system catalogue relations a statement may read, and what their copies show of them.

The list stands in `catalog_copies.txt`. A statement never reads the relation itself: `statement_rewrite` puts
the copy that `catalog_copies` makes in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.disclosure.word_list import read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

COPIES = "ringfort_catalog"
"""The schema of the copies, and of the functions that stand in for those that name objects."""
SYSTEM_COPIES = "ringfort_catalog_system"
"""The same copies with the system columns `tableoid` and `xmin` behind the others."""
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin"})


@dataclass(frozen=True)
class Shown:
    """What the copy of one relation shows: its rows, and what stands in columns that show something else."""

    rows: tuple[str, ...]
    columns: Mapping[str, str]


def _read() -> dict[tuple[str, str], Shown]:
    relations: dict[tuple[str, str], Shown] = {}
    for schema, lines in read_lines("catalog_copies.txt").items():
        for line in lines:
            name, _, rest = line.partition(": ")
            rows, *blanked = rest.split("; ")
            columns = dict(each.split(" = ", 1) for each in blanked)
            relations[schema, name] = Shown(tuple(each.strip() for each in rows.split(" | ")), columns)
    return relations


RELATIONS: Mapping[tuple[str, str], Shown] = _read()
"""(schema, relation) -> what its copy shows."""


def _read_guarded() -> dict[tuple[str, str], frozenset[str]]:
    relations: dict[tuple[str, str], frozenset[str]] = {}
    for schema, lines in read_lines("operate_relations.txt").items():
        for line in lines:
            name, _, columns = line.partition(" - ")
            relations[schema, name] = frozenset(columns.split())
    return relations


OPERATE_RELATIONS: Mapping[tuple[str, str], frozenset[str]] = _read_guarded()
"""(schema, relation) that an operate session reads itself -> columns that it may not touch."""


__all__ = ["COPIES", "OPERATE_RELATIONS", "RELATIONS", "SYSTEM_COLUMNS", "SYSTEM_COPIES", "Shown"]
