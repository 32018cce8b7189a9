"""What a session can name: the surface that statements are judged against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Surface:
    """What a session can name: the views of its profile.

    `relations`: names of the views; `schema`: the profile's schema, which may qualify them; `columns`: names
    of the views' columns, used for shapes only.
    """

    relations: frozenset[str]
    schema: str = ""
    columns: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, frozenset[str], frozenset[str]]:
        """What verdicts may be cached by."""
        return (self.schema, self.relations, self.columns)

    def to_json(self) -> dict[str, Any]:
        """As the parser process takes it."""
        return {
            "relations": sorted(self.relations),
            "schema": self.schema,
            "columns": sorted(self.columns),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Surface:
        """The inverse of `to_json`; `schema` and `columns` may be missing."""
        return cls(
            relations=frozenset(value["relations"]),
            schema=str(value.get("schema", "")),
            columns=frozenset(value.get("columns", ())),
        )


__all__ = ["Surface"]
