"""The part of `policy/tests.toml` that is about grants: who may approve which, as examples.

    [[test]]
    name = "an approver at home approves what support asks for"
    action = "approve"                                # or "break-glass": `as` takes the grant itself
    as = { role = "approver", country = "IE" }
    asked_by = { role = "support", country = "IE" }   # for "approve"
    related = "report line"                           # or "self"; left out: neither
    grant = { kind = "view", purpose = "customer-support", protection = "restricted" }
    expect = "permitted"                              # or "denied"
    because = "approvers-in-the-region-approve"

A grant is given by the strictest protection that it covers, or by `table`, a name of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ringfort.catalog.model import Catalogue, Column, Dataset, Protection, Table
from ringfort.policy.grants import APPROVE, ActRequest, GrantDecision, GrantFacts, decide_grant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.policy.bundle import CompiledBundle
    from ringfort.policy.request import Principal

EXAMPLE = "example"
RELATIONS = ("", "self", "report line")
GRANT_KEYS = ("kind", "purpose", "ticket", "protection", "table", "for")
_TIME = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class GrantExample:
    """An act on a grant: which, on what, and how the two people are related."""

    action: str
    asked_by: Principal | None
    related: str
    kind: str
    purpose: str
    ticket: str
    protection: str
    table: str
    seconds: int

    def decide(
        self, bundle: CompiledBundle, catalogue: Catalogue, region: Iterable[str], actor: Principal
    ) -> GrantDecision:
        """What policy says."""
        if not self.table:
            column = Column(EXAMPLE, "text", cast("Protection", self.protection), "none", "unknown")
            table = Table("public", EXAMPLE, (column,))
            catalogue = Catalogue((Dataset(EXAMPLE, EXAMPLE, "", (table,)),))
        requester = actor if self.action != APPROVE or self.related == "self" else self.asked_by or actor
        line = (actor.name,) if self.related == "report line" else ()
        grant = GrantFacts(
            EXAMPLE, self.kind, self.purpose, self.ticket, (self.table or EXAMPLE,), self.seconds
        )
        request = ActRequest(self.action, actor, (), requester, line, grant, 0, 1, _TIME)
        return decide_grant(bundle, catalogue, region, request)


__all__ = ["GRANT_KEYS", "RELATIONS", "GrantExample"]
