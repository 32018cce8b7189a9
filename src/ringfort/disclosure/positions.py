"""Where the position of a row tells who it is: which views of a profile get an order of their own.

The nth row of a table is the same person in every profile. So in a profile that shows anything else than raw
values, the order of rows is filled in where a statement leaves it open (statement_order.py), but for datasets
whose stored order the policy accepts by name. A profile that shows raw values only keeps the stored order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.disclosure.statement_surface import ORDERED_SUFFIX, Shown
from ringfort.policy.forms import Form

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ringfort.disclosure.profile import Profile


def shown_views(profile: Profile, stored_order: AbstractSet[str]) -> tuple[Shown, ...]:
    """The views as a surface has them; none if the order of rows need not be filled in.

    `stored_order` are the datasets whose rows may be shown as they are stored.
    """
    forms = {column.rendering.form for view in profile.views for column in view.columns}
    if forms <= {Form.RAW}:
        return ()
    return tuple(
        Shown(
            view.name,
            tuple(each.name for each in view.columns),
            tuple(each.name for each in view.columns if each.rendering.form is Form.PSEUDONYM),
            view.dataset in stored_order,
            profile.schema + ORDERED_SUFFIX if view.ordered else "",
        )
        for view in sorted(profile.views, key=lambda view: view.name)
    )


__all__ = ["shown_views"]
