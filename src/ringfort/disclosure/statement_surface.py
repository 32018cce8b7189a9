"""What a session can name: the surface that statements are judged against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ORDERED_SUFFIX = "_ordered"
"""What the schema of a profile's ordered views is called, behind the name of its schema."""


@dataclass(frozen=True)
class Shown:
    """What a view shows: its columns, and those of them that are pseudonyms, in their order.

    `stored_order`: the policy accepts that its rows come as they are stored. `ordered`: the schema in which a
    view of this name gives the same rows in order, "" if there is none.
    """

    relation: str
    columns: tuple[str, ...]
    pseudonyms: tuple[str, ...] = ()
    stored_order: bool = False
    ordered: str = ""


@dataclass(frozen=True)
class Surface:
    """What a session can name: the views of its profile, or the tables that an operate session was granted.

    `relations`: names of the views; `schema`: the profile's schema, which may qualify them; `columns`: names
    of the views' columns, used for shapes only. `operate`: the relations may be changed. `types`: numbers of
    types outside of pg_catalog that columns have which are shown as they are, and which a parameter may be of
    (column_types.py); no matter for a parser.
    `shown`: the views, if the order of their rows must be filled in where a statement leaves it open
    (statement_order.py); empty where everything is shown as it is.
    """

    relations: frozenset[str]
    schema: str = ""
    columns: frozenset[str] = frozenset()
    operate: bool = False
    types: frozenset[int] = frozenset()
    shown: tuple[Shown, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """What verdicts may be cached by."""
        return (self.schema, self.relations, self.columns, self.operate, self.types, self.shown)

    def to_json(self) -> dict[str, Any]:
        """As the parser process takes it."""
        out: dict[str, Any] = {
            "relations": sorted(self.relations),
            "schema": self.schema,
            "columns": sorted(self.columns),
        }
        if self.operate:
            out["operate"] = True
        if self.types:
            out["types"] = sorted(self.types)
        if self.shown:
            out["shown"] = [
                [each.relation, list(each.columns), list(each.pseudonyms), each.stored_order, each.ordered]
                for each in self.shown
            ]
        return out

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Surface:
        """The inverse of `to_json`; all but `relations` may be missing."""
        return cls(
            relations=frozenset(value["relations"]),
            schema=str(value.get("schema", "")),
            columns=frozenset(value.get("columns", ())),
            operate=value.get("operate") is True,
            types=frozenset(map(int, value.get("types", ()))),
            shown=tuple(
                Shown(str(relation), tuple(columns), tuple(pseudonyms), bool(stored), str(ordered))
                for relation, columns, pseudonyms, stored, ordered in value.get("shown", ())
            ),
        )


__all__ = ["Shown", "Surface"]
