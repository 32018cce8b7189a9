"""What a decision says of each column: its form, the policies that decided, and the reason in words.

A map is a value: canonical bytes, a digest, an inverse. It covers every column of the database that was asked
for; a column that it does not hold is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ringfort.policy.canonical import canonical_bytes, digest_of, parse_canonical
from ringfort.policy.forms import Form

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "ringfort-disclosure-map/1"

ColumnKey = tuple[str, str, str]
"""Dataset, table, column."""


@dataclass(frozen=True)
class ColumnDisclosure:
    """The form of one column. `policies` are the @ids that decided: permits of the form, or for `hidden` the
    forbids that stood in the way; `reason` says it in words."""  # noqa: D209, D205 - one sentence, two lines

    form: Form
    policies: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class DisclosureMap:
    """Columns and their forms, in catalogue order; equality and digest do not depend on the order."""

    columns: Mapping[ColumnKey, ColumnDisclosure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def __hash__(self) -> int:
        return hash(self.to_json())

    def form(self, dataset: str, table: str, column: str) -> Form:
        """The form of a column; `hidden` for one that the map does not hold."""
        found = self.columns.get((dataset, table, column))
        return Form.HIDDEN if found is None else found.form

    def forms(self) -> dict[ColumnKey, Form]:
        """The forms alone: two maps with equal forms may share a profile, whatever their reasons."""
        return {key: each.form for key, each in self.columns.items()}

    def digest(self) -> str:
        """SHA-256 of `to_json`, hexadecimal."""
        return digest_of(self.to_json())

    def to_json(self) -> bytes:
        """Canonical bytes: columns as `[dataset, table, column, form, [policies], reason]`, sorted."""
        rows = [
            [*key, str(each.form), list(each.policies), each.reason]
            for key, each in sorted(self.columns.items())
        ]
        return canonical_bytes({"format": FORMAT, "columns": rows})

    @classmethod
    def from_json(cls, blob: bytes) -> DisclosureMap:
        """The inverse of `to_json`; raises `ValueError` on anything but canonical bytes."""
        document = parse_canonical(blob)
        try:
            if document["format"] != FORMAT:
                raise ValueError("is not a disclosure map")
            columns: dict[ColumnKey, ColumnDisclosure] = {}
            for dataset, table, column, form, policies, reason in document["columns"]:
                columns[dataset, table, column] = ColumnDisclosure(Form(form), tuple(policies), reason)
            result = cls(columns)
            same = result.to_json() == blob
        except (KeyError, TypeError, AttributeError):
            raise ValueError("is not a disclosure map") from None
        if not same:
            raise ValueError("is not a disclosure map")
        return result
