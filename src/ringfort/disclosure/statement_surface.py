"""What a session can name: the surface that statements are judged against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Surface:
    """What a session can name: the views of its profile, or the tables that an operate session was granted.

    `relations`: names of the views; `schema`: the profile's schema, which may qualify them; `columns`: names
    of the views' columns, used for shapes only. `operate`: the relations may be changed. `types`: numbers of
    types of their columns that are none of pg_catalog, which a parameter may be of; no matter for a parser.
    """

    relations: frozenset[str]
    schema: str = ""
    columns: frozenset[str] = frozenset()
    operate: bool = False
    types: frozenset[int] = frozenset()

    @property
    def key(self) -> tuple[str, frozenset[str], frozenset[str], bool, frozenset[int]]:
        """What verdicts may be cached by."""
        return (self.schema, self.relations, self.columns, self.operate, self.types)

    def to_json(self) -> dict[str, Any]:
        """As the parser process takes it."""
        return {
            "relations": sorted(self.relations),
            "schema": self.schema,
            "columns": sorted(self.columns),
        } | ({"operate": True} if self.operate else {})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Surface:
        """The inverse of `to_json`; `schema`, `columns` and `types` may be missing."""
        return cls(
            relations=frozenset(value["relations"]),
            schema=str(value.get("schema", "")),
            columns=frozenset(value.get("columns", ())),
            operate=value.get("operate") is True,
            types=frozenset(map(int, value.get("types", ()))),
        )


__all__ = ["Surface"]
