"""A decision laid out for people: column, form, and the policies or the reason behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.errors import UsageError
from ringfort.policy.forms import Form
from ringfort.policy.vocabulary import entity_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from ringfort.catalog.model import Catalogue
    from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap


@dataclass(frozen=True)
class Explanation:
    """One column of a decision. `label` is the shortest name that is clear in this decision."""

    label: str
    dataset: str
    table: str
    column: str
    disclosure: ColumnDisclosure
    view: str = ""

    def to_json(self) -> dict[str, Any]:
        """The explanation as a JSON object."""
        return {
            "dataset": self.dataset,
            "table": self.table,
            "column": self.column,
            "view": self.view or self.table,
            "form": str(self.disclosure.form),
            "policies": list(self.disclosure.policies),
            "reason": self.disclosure.reason,
        }


def explain(decision: DisclosureMap, catalogue: Catalogue, table: str = "") -> tuple[Explanation, ...]:
    """The columns of a decision in catalogue order, of all tables or of `table` (or `dataset.table`).

    Raises `UsageError` if the decision covers no such table.
    """
    covered = {key[:2] for key in decision.columns}
    tables = [
        (dataset.name, each)
        for dataset in catalogue.datasets
        for each in dataset.tables
        if (dataset.name, each.name) in covered
    ]
    if table:
        wanted = [
            (dataset, each)
            for dataset, each in tables
            if table in {each.name, f"{dataset}.{each.name}", entity_name(dataset, each.name)}
        ]
        if not wanted:
            known = ", ".join(f"`{each.name}`" for _, each in tables) or "none"
            raise UsageError(f"there is no table `{table}` here", hint=f"catalogued tables: {known}")
        tables = wanted
    several = len({dataset for dataset, _ in tables}) > 1
    return tuple(
        Explanation(
            label=entity_name(*([dataset] if several else []), each.name, column.name)
            + (f" (view {each.view})" if each.view else ""),
            dataset=dataset,
            table=each.name,
            column=column.name,
            disclosure=decision.columns[dataset, each.name, column.name],
            view=each.view,
        )
        for dataset, each in tables
        for column in each.columns
    )


def joined_by_position(decision: DisclosureMap, stored_order: AbstractSet[str]) -> tuple[str, ...]:
    """The datasets of a decision whose rows come as they are stored: recipients can be joined by position.

    `stored_order` are the datasets for which the policy accepts that. None where only raw values are shown.
    """
    shown = {each.form for each in decision.columns.values()} - {Form.HIDDEN}
    if shown <= {Form.RAW}:
        return ()
    visible = {key[0] for key, each in decision.columns.items() if each.form is not Form.HIDDEN}
    return tuple(sorted(visible & stored_order))


def as_text(explanations: Sequence[Explanation]) -> str:
    """Aligned lines `table.column  form  reason`, full width, one per column.

    A table whose view has another name is followed by that name.
    """
    widths = (
        max((len(each.label) for each in explanations), default=0),
        max((len(each.disclosure.form) for each in explanations), default=0),
    )
    return "\n".join(
        f"{each.label:<{widths[0]}}  {each.disclosure.form:<{widths[1]}}  {each.disclosure.reason}".rstrip()
        for each in explanations
    )
