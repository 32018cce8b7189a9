"""Who may approve a grant, take one without asking, or undo pseudonyms: the decision and its whole input.

`grants.cedar` is asked with its own schema (`grants.cedarschema`), apart from the policies about columns: a
rule about who sees what says nothing about who approves. A bundle without them permits nobody.

`decide_grant` is total and pure: what cannot be decided is denied, with the reason; the same input gives the
same answer. That an approval of one's own request never counts is not left to policy: the ledger's fold
refuses it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ringfort.errors import UsageError
from ringfort.policy.engine import Query
from ringfort.policy.grant_rules import ACT_KINDS, STRICTEST_FIRST
from ringfort.policy.request import Principal, input_document
from ringfort.policy.vocabulary import (
    action_uid,
    entity_name,
    in_region,
    table_entities,
    user_entity,
    user_uid,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.catalog.model import Catalogue, Table
    from ringfort.policy.bundle import CompiledBundle
    from ringfort.policy.engine import Engine, Entity, Uid

APPROVE, BREAK_GLASS, RESOLVE, BRIDGE = "approve", "break-glass", "resolve", "bridge"
ACTIONS = (APPROVE, BREAK_GLASS, RESOLVE, BRIDGE, *ACT_KINDS)
INPUT_FORMAT = "ringfort-grant-input/1"
_UNCLASSIFIED = "restricted"
_ANYBODY = "anybody"


class Outcome(StrEnum):
    """What policy says of an act on a grant."""

    PERMITTED = "permitted"
    DENIED = "denied"


@dataclass(frozen=True)
class GrantDecision:
    """The answer; `policies` are the permits, or the forbids that fired."""

    form: Outcome
    policies: tuple[str, ...]
    reason: str

    @property
    def permitted(self) -> bool:
        """Whether the act may be done."""
        return self.form is Outcome.PERMITTED


@dataclass(frozen=True)
class GrantFacts:
    """What is asked for; `tables` are catalogued names, `dataset` or `dataset.table`."""

    id: str
    kind: str
    purpose: str
    ticket: str
    tables: tuple[str, ...]
    seconds: int
    effects: tuple[str, ...] = ()
    """What a change of the tables may set off, by name; policies do not see it."""
    recipient: str = ""
    epoch: int = 0
    before: str = ""
    """For dropping evidence: it is of shards that ended before this."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; what an act is about is named for those that are about something."""
        about: dict[str, Any] = {"effects": list(self.effects)} if self.effects else {}
        if self.recipient or self.epoch:
            about |= {"recipient": self.recipient, "epoch": self.epoch}
        if self.before:
            about |= {"before": self.before}
        return {
            "id": self.id,
            "kind": self.kind,
            "purpose": self.purpose,
            "ticket": self.ticket,
            "tables": list(self.tables),
            "seconds": self.seconds,
        } | about


@dataclass(frozen=True)
class ActRequest:
    """Somebody wants to act on a grant. `*_managers` are chains of managers as registered, nearest first."""

    action: str
    actor: Principal
    actor_managers: tuple[str, ...]
    requester: Principal
    requester_managers: tuple[str, ...]
    grant: GrantFacts
    approvals: int
    needed: int
    time: str

    @property
    def oneself(self) -> bool:
        """Whether the one who acts is the one whom the grant is for."""
        return self.actor.name == self.requester.name

    @property
    def report_line(self) -> bool:
        """Whether one of the two manages the other."""
        return self.actor.name in self.requester_managers or self.requester.name in self.actor_managers

    def to_json(self) -> dict[str, Any]:
        """The request as a JSON object; equal requests give equal objects."""
        return {
            "action": self.action,
            "actor": self.actor.to_json(),
            "actor_managers": list(self.actor_managers),
            "requester": self.requester.to_json(),
            "requester_managers": list(self.requester_managers),
            "grant": self.grant.to_json(),
            "approvals": self.approvals,
            "needed": self.needed,
            "time": self.time,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ActRequest:
        """The inverse of `to_json`; raises `ValueError` if the shape is another."""
        try:
            grant = dict(data["grant"])
            grant["tables"] = tuple(grant["tables"])
            grant["effects"] = tuple(grant.get("effects", ()))
            request = cls(
                action=data["action"],
                actor=Principal(**data["actor"]),
                actor_managers=tuple(data["actor_managers"]),
                requester=Principal(**data["requester"]),
                requester_managers=tuple(data["requester_managers"]),
                grant=GrantFacts(**grant),
                approvals=data["approvals"],
                needed=data["needed"],
                time=data["time"],
            )
            same = request.to_json() == data
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("is not a request to act on a grant") from error
        if not same:
            raise ValueError("is not a request to act on a grant")
        return request


def covered(catalogue: Catalogue, names: Iterable[str]) -> list[tuple[str, Table]]:
    """The tables (with their datasets' names) that names of a grant cover.

    Raises `UsageError` for a name that the catalogue does not have.
    """
    found: dict[tuple[str, str], Table] = {}
    for name in names:
        hits = [
            (dataset.name, table)
            for dataset in catalogue.datasets
            for table in dataset.tables
            if name in {entity_name(dataset.name), entity_name(dataset.name, table.name)}
        ]
        if not hits:
            known = sorted(entity_name(each.name) for each in catalogue.datasets)
            raise UsageError(
                f"the catalogue has no table or dataset `{name}`",
                hint="write dataset.table, or a dataset for all of its tables; datasets: " + ", ".join(known),
            )
        found.update({(dataset, table.name): table for dataset, table in hits})
    return [(dataset, table) for (dataset, _), table in found.items()]


def protections(tables: Iterable[tuple[str, Table]]) -> tuple[str, ...]:
    """The protections of all columns of `tables`, strictest first."""
    classes = {column.protection or _UNCLASSIFIED for _, table in tables for column in table.columns}
    return tuple(each for each in STRICTEST_FIRST if each in classes) or (_UNCLASSIFIED,)


def decide_grant(
    bundle: CompiledBundle, catalogue: Catalogue, region: Iterable[str], request: ActRequest
) -> GrantDecision:
    """Whether policy permits the act; never raises for what the request holds."""
    engine = bundle.grant_engine
    if engine is None:
        return _denied("the policy in force has no grants.cedar, so nobody may do this")
    if request.action not in ACTIONS:
        return _denied("there is no such act")
    if request.action in ACT_KINDS and not _knows(engine, request.action):
        return _denied(
            f"the policy in force is older than the act `{request.action}`: take grants.cedarschema and what "
            "grants.cedar says of it from a fresh `ringfort init` into policy/, then `ringfort policy apply`"
        )
    try:
        covered(catalogue, request.grant.tables)
    except UsageError as error:
        return _denied(error.message)
    try:
        entities, queries = grant_query(catalogue, frozenset(region), request)
    except (TypeError, ValueError):
        return _denied("the request holds something that policy cannot be asked about")
    (answer,) = engine.authorise(engine.entities(entities), queries)
    if answer.allowed:
        return GrantDecision(Outcome.PERMITTED, answer.policies, ", ".join(answer.policies))
    why = [f"{each} forbids it" for each in answer.policies] + [f"denied because {e}" for e in answer.errors]
    return GrantDecision(Outcome.DENIED, answer.policies, "; ".join(why) or "no policy permits it")


def grant_query(
    catalogue: Catalogue, region: frozenset[str], request: ActRequest
) -> tuple[list[Entity], list[Query]]:
    """What Cedar is asked; raises `UsageError` if the grant names what is not catalogued."""
    tables = covered(catalogue, request.grant.tables)
    context = _context(request, region)
    query = Query(user_uid(request.actor.name), action_uid(request.action), _uid(request), context)
    return _entities(request, tables), [query]


def grant_input(
    bundle: CompiledBundle, catalogue: Catalogue, region: Iterable[str], request: ActRequest
) -> bytes:
    """All that the decision depends on, as canonical JSON: with bundle and catalogue it can be made again."""
    return input_document(
        INPUT_FORMAT,
        evaluator=bundle.evaluator,
        policy=bundle.digest,
        catalogue=catalogue.digest(),
        region=region,
        request=request.to_json(),
    )


def _knows(engine: Engine, action: str) -> bool:
    """Whether the schema has the action."""
    people = Principal(_ANYBODY, "ZZ", "", "")
    facts = GrantFacts(_ANYBODY, action, "", "", (), 1)
    request = ActRequest(action, people, (), people, (), facts, 0, 1, "")
    query = Query(user_uid(_ANYBODY), action_uid(action), _uid(request), _context(request, frozenset()))
    return not engine.faults(_entities(request, []), [query])


def _denied(reason: str) -> GrantDecision:
    return GrantDecision(Outcome.DENIED, (), reason)


def _uid(request: ActRequest) -> Uid:
    return {"type": "Grant", "id": request.grant.id}


def _entities(request: ActRequest, tables: list[tuple[str, Table]]) -> list[Entity]:
    actor = request.actor
    classes = protections(tables)
    found: dict[tuple[str, str], Entity] = {}
    for dataset, table in tables:
        for each in table_entities(dataset, table.name):
            found[each["uid"]["type"], each["uid"]["id"]] = each
    parents = [{"type": "Table", "id": entity_name(dataset, table.name)} for dataset, table in tables]
    grant = {
        "uid": _uid(request),
        "attrs": {
            "kind": request.grant.kind,
            "purpose": request.grant.purpose,
            "ticket": request.grant.ticket,
            "seconds": request.grant.seconds,
            "protection": classes[0],
            "protections": list(classes),
        },
        "parents": parents,
    }
    user = user_entity(actor.name, role=actor.role, country=actor.country, employer=actor.employer)
    return [user, grant, *found.values()]


def _context(request: ActRequest, region: frozenset[str]) -> str:
    requester = request.requester
    return json.dumps(
        {
            "in_region": in_region(request.actor.country, region),
            "requester": {
                "role": requester.role,
                "country": requester.country,
                "employer": requester.employer,
                "in_region": in_region(requester.country, region),
            },
            "oneself": request.oneself,
            "report_line": request.report_line,
            "manager_known": bool(request.requester_managers),
            "approvals": request.approvals,
            "needed": request.needed,
        }
    )


__all__ = [
    "ACTIONS",
    "APPROVE",
    "BREAK_GLASS",
    "BRIDGE",
    "RESOLVE",
    "ActRequest",
    "GrantDecision",
    "GrantFacts",
    "Outcome",
    "covered",
    "decide_grant",
    "grant_input",
    "grant_query",
    "protections",
]
