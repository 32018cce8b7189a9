"""The demo's results as tables for a terminal, and as one JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ringfort.demo.identities import PERSON_COLUMNS, VISITORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfort.demo.scenario import Sight

HIDDEN = "hidden"


def person_table(seen: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """One person, side by side as each identity sees them."""
    table = Table(title=title, title_justify="left", header_style="bold", expand=False)
    table.add_column("column", style="bold", no_wrap=True)
    for identity in VISITORS:
        table.add_column(identity.title, overflow="fold", max_width=36)
    for column in PERSON_COLUMNS:
        cells = [_cell(seen.get(identity.title, {}), column) for identity in VISITORS]
        table.add_row(column, *cells)
    return table


def _cell(row: Mapping[str, Any], column: str) -> Text:
    if column not in row:
        return Text(HIDDEN, style="dim italic")
    value = row[column]
    return Text("NULL", style="dim") if value is None else Text(str(value))


def analysis_table(sight: Sight) -> Table:
    """What the analyst's join by pseudonym gave."""
    table = Table(header_style="bold")
    for name in sight.analysis_columns:
        table.add_column(name)
    for row in sight.analysis:
        table.add_row(*(str(value) for value in row))
    return table


def refusal_table(sight: Sight) -> Table:
    """What was refused, and why."""
    table = Table(title="what was refused, and why", title_justify="left", header_style="bold")
    table.add_column("who tried what", overflow="fold", max_width=34)
    table.add_column("SQLSTATE", no_wrap=True)
    table.add_column("answer", overflow="fold")
    for each in sight.refusals:
        tried = Text(f"{each.who}: {each.what}")
        if each.statement:
            tried.append(f"\n{each.statement}", style="dim")
        answer = Text(each.message)
        if each.hint:
            answer.append(f"\nhint: {each.hint}", style="dim")
        table.add_row(tried, each.sqlstate, answer)
    return table


def as_json(sight: Sight) -> dict[str, Any]:
    """The same for scripts; a column that is absent is hidden."""
    return {
        "people": [
            {name: {key: _plain(value) for key, value in row.items()} for name, row in person.items()}
            for person in sight.people
        ],
        "analysis": {
            "columns": sight.analysis_columns,
            "rows": [[_plain(value) for value in row] for row in sight.analysis],
        },
        "refusals": [vars(each) for each in sight.refusals],
        "not_refused": sight.leaks,
    }


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
