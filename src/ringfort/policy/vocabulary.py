"""What policies can talk about: the entities, actions and context that Ringfort hands to Cedar.

Entity types: `User` (role, country, employer), `Dataset`, `Table` in a Dataset, and `Column` in a Table with
what the catalogue says of it. One `Action` per form of the ladder. The same words stand, with explanations
for the people who write policies, in `defaults/schema.cedarschema`; `bundle` refuses a schema that differs.

Entity ids are dotted names, `shop`, `shop.orders`, `shop.orders.email`; a part that holds a dot or a quote is
written as a quoted identifier of SQL, so that two different columns never share an id.

Invariant: a viewer's country that nobody proved, or that is not an ISO 3166-1 alpha-2 code, is `ZZ`, which is
never in the region.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from ringfort.catalog.model import IDENTIFIABILITIES, KINDS, PROTECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.catalog.model import Column
    from ringfort.policy.engine import Entity, Uid
    from ringfort.policy.request import HeldGrant

UNPROVEN_COUNTRY = "ZZ"
ROLES = ("support", "analyst", "engineer", "operator", "approver", "overseer")
"""The roles that the shipped policies know; an organisation may use others."""

CLOSED_ATTRIBUTES: dict[str, frozenset[str]] = {
    "protection": frozenset(PROTECTIONS),
    "identifiability": frozenset(IDENTIFIABILITIES),
    "kind": KINDS,
}
"""Attributes of a column whose values form a closed list: anything else in a policy is a slip of the pen."""
COUNTRY_ATTRIBUTES = frozenset({"country", "viewer_country", "site_country"})

_COUNTRY = re.compile(r"[A-Z]{2}")


def country_code(text: object) -> str:
    """`text` if it is a country code, else `ZZ`."""
    return text if isinstance(text, str) and _COUNTRY.fullmatch(text) else UNPROVEN_COUNTRY


def in_region(country: str, region: Iterable[str]) -> bool:
    """Whether a proven country lies in the region."""
    return country != UNPROVEN_COUNTRY and country in region


def entity_name(*parts: str) -> str:
    """The id of a dataset, table or column entity from the names on the way to it."""
    return ".".join(
        '"' + part.replace('"', '""') + '"' if "." in part or '"' in part or not part else part
        for part in parts
    )


def user_uid(name: str) -> Uid:
    """The uid of a principal."""
    return {"type": "User", "id": name}


def action_uid(form: str) -> Uid:
    """The uid of the action that asks for a form."""
    return {"type": "Action", "id": str(form)}


def column_uid(dataset: str, table: str, column: str) -> Uid:
    """The uid of a column."""
    return {"type": "Column", "id": entity_name(dataset, table, column)}


def user_entity(name: str, *, role: str, country: str, employer: str) -> Entity:
    """A principal as Cedar sees it."""
    attributes = {"role": role, "country": country_code(country), "employer": employer}
    return {"uid": user_uid(name), "attrs": attributes, "parents": []}


def table_entities(dataset: str, table: str) -> list[Entity]:
    """A table and the dataset it lies in."""
    parent = {"type": "Dataset", "id": entity_name(dataset)}
    return [
        {"uid": parent, "attrs": {}, "parents": []},
        {"uid": {"type": "Table", "id": entity_name(dataset, table)}, "attrs": {}, "parents": [parent]},
    ]


def column_entity(dataset: str, table: str, column: Column) -> Entity:
    """A classified column as Cedar sees it."""
    return {
        "uid": column_uid(dataset, table, column.name),
        "attrs": {
            "dataset": dataset,
            "table": table,
            "name": column.name,
            "protection": column.protection,
            "identifiability": column.identifiability,
            "kind": column.kind,
        },
        "parents": [{"type": "Table", "id": entity_name(dataset, table)}],
    }


def context_json(
    *,
    viewer_country: str,
    region: Iterable[str],
    site: str,
    site_country: str,
    purpose: str,
    ticket: str,
    granted: Iterable[str],
    grants: Iterable[HeldGrant] | None = (),
) -> str:
    """The context of a request, as JSON. `grants` are those that cover what is asked about.

    None leaves them out, for a schema that does not have them.
    """
    grants_seen = [
        {"kind": each.kind, "purpose": each.purpose, "ticket": each.ticket} for each in grants or ()
    ]
    return json.dumps(
        ({} if grants is None else {"grants": grants_seen})
        | {
            "in_region": in_region(viewer_country, region),
            "viewer_country": viewer_country,
            "site": site,
            "site_country": country_code(site_country),
            "purpose": purpose,
            "ticket": ticket,
            "granted": sorted(granted),
        }
    )
