"""What is told of linkage between recipients: the figures for whoever may open them, else coarse classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.privacy.reidentification_recipients import Linked
from ringfort.transfer.share_classes import BETWEEN_RECIPIENTS, share_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ringfort.transfer.other_recipients import OtherRecipient

BETWEEN = "between_recipients"
"""What it is called in a document of measures."""
NOT_MEASURED = "not measured"
WARN_FROM = 0.01
"""The share of rows or of people from which on a preview warns."""


@dataclass(frozen=True)
class Shared:
    """A column that two recipients can compare, and the form in which they can."""

    name: str
    form: str


@dataclass(frozen=True)
class SharedTable:
    """A table that both are sent: `columns` both can compare, `histories`: both see whose each row is."""

    name: str
    columns: tuple[Shared, ...]
    histories: bool


@dataclass(frozen=True)
class TableLinkage:
    """What links two recipients in one table. `alone` and `smallest` are places among its columns."""

    table: SharedTable
    all: Linked
    linked: Linked
    alone: tuple[tuple[int, Linked], ...]
    smallest: tuple[int, ...]
    by_smallest: Linked

    def to_json(self) -> dict[str, Any]:
        """The exact figures, as a JSON object."""
        names = [each.name for each in self.table.columns]
        return {
            "table": self.table.name,
            "columns": {each.name: each.form for each in self.table.columns},
            "all": self.all.to_json(),
            "linked": self.linked.to_json(),
            "alone": {names[at]: figures.to_json() for at, figures in self.alone},
            "smallest": [names[at] for at in self.smallest],
            "linked_by_smallest": self.by_smallest.to_json(),
        }

    def coarse(self) -> dict[str, Any]:
        """In classes."""
        names = [each.name for each in self.table.columns]
        return {
            "columns": {each.name: each.form for each in self.table.columns},
            "rows": share(self.linked.rows, self.all.rows),
            "people": share(self.linked.people, self.all.people) if self.all.people else NOT_MEASURED,
            "alone": {
                names[at]: share(figures.share(self.all.rows, self.all.people), 1)
                for at, figures in self.alone
                if figures.rows or figures.people
            },
            "smallest": [names[at] for at in self.smallest],
        }


@dataclass(frozen=True)
class Pair:
    """This release and another recipient's. `histories` are those known by all their rows, None: not seen."""

    other: OtherRecipient
    tables: tuple[TableLinkage, ...]
    all_people: int
    people: int
    histories: int | None

    @property
    def most(self) -> float:
        """The greatest share of rows or of people that is linked in any way."""
        shares = [each.linked.share(each.all.rows, each.all.people) for each in self.tables]
        shares.append(Linked(0, max(self.people, self.histories or 0)).share(0, self.all_people))
        return max(shares)

    def about(self) -> dict[str, Any]:
        """Who it is, as a JSON object."""
        recipient = self.other.contract.recipient
        return {
            "recipient": recipient.entity, "country": recipient.country,
            "purpose": self.other.contract.purpose, "transfer": self.other.contract.name,
            "holds": self.other.holds, "releases": list(self.other.releases),
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The exact figures, as a JSON object."""
        return self.about() | {
            "tables": [each.to_json() for each in self.tables],
            "people": self.all_people,
            "linked_people": self.people,
            "linked_by_history": self.histories,
        }

    def coarse(self) -> dict[str, Any]:
        """In classes."""
        unknown = not self.all_people
        return self.about() | {
            "tables": {each.table.name: each.coarse() for each in self.tables},
            "people": NOT_MEASURED if unknown else share(self.people, self.all_people),
            "people_by_history": NOT_MEASURED
            if unknown or self.histories is None
            else share(self.histories, self.all_people),
            "warning": self.most >= WARN_FROM,
        }


@dataclass(frozen=True)
class Between:
    """What was measured between recipients, and what was not: transfers, each with the reason."""

    pairs: tuple[Pair, ...] = ()
    unmeasured: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there was anybody to compare with."""
        return bool(self.pairs or self.unmeasured)

    def shown(self) -> dict[str, Any]:
        """Coarse classes, as a JSON object."""
        return {
            "warned_from": f"{WARN_FROM * 100:.0f} %",
            "recipients": [each.coarse() for each in self.pairs],
            "not_measured": list(self.unmeasured),
        }

    def exact(self) -> dict[str, Any]:
        """The figures, as a JSON object."""
        return {
            "recipients": [each.to_json() for each in self.pairs],
            "not_measured": list(self.unmeasured),
        }


def share(part: float, whole: float) -> str:
    """A share as one of the classes between recipients."""
    return share_class(part, whole, BETWEEN_RECIPIENTS)


def between_lines(shown: Mapping[str, Any]) -> Iterator[str]:
    """What is shown of linkage between recipients, for people to read."""
    if not shown:
        return
    for each in shown["recipients"]:
        who = f"{each['recipient']} ({each['country']}, {each['purpose']})"
        yield f"linkage with {who} by transfer {each['transfer']}, {each['holds']}:"
        if not each["tables"]:
            yield "  nothing that both are sent can be compared"
        for table, found in each["tables"].items():
            yield from _table_lines(table, found)
        if each["tables"]:
            by_history = each["people_by_history"]
            more = "" if by_history == NOT_MEASURED else f"; by all their rows at once: {by_history}"
            yield f"  people, by any row: {each['people']}{more}"
        if each["warning"]:
            yield (
                f"warning: {who} and this recipient can be joined without a common pseudonym, in"
                f" {shown['warned_from']} or more of rows or people: send what links them coarser to one of"
                " them, or not at all"
            )
    for each in shown["not_measured"]:
        yield f"linkage not measured with {each}"


def _table_lines(table: str, found: Mapping[str, Any]) -> Iterator[str]:
    columns = ", ".join(f"{name} ({form})" for name, form in found["columns"].items())
    if not columns:
        yield f"  {table}: no column in common"
        return
    yield f"  {table}: rows {found['rows']}, people {found['people']}, by {columns}"
    if len(found["columns"]) > 1:
        for name, alone in found["alone"].items():
            yield f"    by {name} alone: {alone}"
    if 1 < len(found["smallest"]) < len(found["columns"]):
        yield f"    most of it by {', '.join(found['smallest'])}"


__all__ = [
    "BETWEEN",
    "NOT_MEASURED",
    "WARN_FROM",
    "Between",
    "Pair",
    "Shared",
    "SharedTable",
    "TableLinkage",
    "between_lines",
    "share",
]
