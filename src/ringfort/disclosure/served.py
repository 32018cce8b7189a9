"""What a decision is worth in the database: the form of each column that is really served.

Policy may permit a form that a column of its kind and type does not have, such as a pseudonym of a flag. Then
a less revealing one is served, never a more revealing one (`forms_sql.rendering`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ringfort.disclosure.forms_sql import rendering
from ringfort.policy.disclosure_map import DisclosureMap

if TYPE_CHECKING:
    from ringfort.catalog.model import Catalogue


def as_served(decision: DisclosureMap, catalogue: Catalogue) -> DisclosureMap:
    """The decision with the form that each column is served in; where it differs, the reason says so."""
    columns = dict(decision.columns)
    for dataset in catalogue.datasets:
        for table in dataset.tables:
            for column in table.columns:
                key = (dataset.name, table.name, column.name)
                found = columns.get(key)
                if found is None:
                    continue
                form = rendering(found.form, column.kind, column.data_type).form
                if form is not found.form:
                    reason = (
                        f"{found.reason} (permitted as {found.form}, which a column of kind {column.kind}"
                        f" and type {column.data_type} does not have)"
                    )
                    columns[key] = dataclasses.replace(found, form=form, reason=reason)
    return DisclosureMap(columns)
