"""The decision: principal x catalogue x context -> the form of every column, with reasons.

For each column Cedar is asked from the top of the ladder, one action per form, and the first permitted form
is taken. What is added to that can only reveal less:

- a column that nobody classified is hidden, without asking;
- where the sources for the viewer's country disagree, every claimed country is asked and the least revealing
  answer stands; a source that could not say counts as the unproven country `ZZ`, outside the region;
- a form for which Cedar reports any error is denied;
- a grant counts for the tables that it covers, and for no other;
- columns of one identity class (a key and its foreign keys) end in one form, the least revealing of theirs: a
  pseudonym beside the raw value of the same key would undo itself;
- `aggregate` and `noisy` act as `hidden` until something answers in them, and the reason says so.

`decide` is total and pure: odd input is decided as hidden, never raised, and equal input gives an equal map.

Cost: columns that no policy can tell apart share one answer. What policies can tell apart is known from their
text (`distinctions`), so that a wide catalogue asks a few dozen times.

DESIGN principles 4 to 6.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap
from ringfort.policy.engine import Query
from ringfort.policy.forms import ASKED, WITHOUT_ANSWER, Form, effective
from ringfort.policy.request import AccessRequest, HeldGrant, Principal, ViewerSource, input_document
from ringfort.policy.vocabulary import (
    action_uid,
    column_entity,
    column_uid,
    context_json,
    entity_name,
    table_entities,
    user_entity,
    user_uid,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ringfort.catalog.model import Catalogue, Column
    from ringfort.policy.bundle import CompiledBundle
    from ringfort.policy.disclosure_map import ColumnKey
    from ringfort.policy.distinctions import Distinctions
    from ringfort.policy.engine import Answer, Engine, Entities, Entity

INPUT_FORMAT = "ringfort-decision-input/1"

UNCLASSIFIED = "not classified in the catalogue"

_Vector = tuple[str | None, ...]


@dataclass(frozen=True)
class _Place:
    """A column where it stands."""

    dataset: str
    table: str
    column: Column

    @property
    def key(self) -> ColumnKey:
        return self.dataset, self.table, self.column.name

    @property
    def name(self) -> str:
        return entity_name(*self.key)

    @property
    def covered_by(self) -> set[str]:
        """The names by which a grant covers the column."""
        return {entity_name(self.dataset), entity_name(self.dataset, self.table)}


@dataclass
class _Ladder:
    """What the steps down the ladder gave for one column in one context."""

    form: Form = Form.HIDDEN
    permits: tuple[str, ...] = ()
    forbids: dict[str, list[Form]] = field(default_factory=dict)
    errors: dict[str, list[Form]] = field(default_factory=dict)

    def take(self, form: Form, answer: Answer) -> bool:
        """Note the answer for `form`; True if it is permitted."""
        for error in answer.errors:
            self.errors.setdefault(error, []).append(form)
        if answer.allowed:
            self.form, self.permits = form, answer.policies
            return True
        for policy in answer.policies:
            self.forbids.setdefault(policy, []).append(form)
        return False

    def disclosure(self, suffix: str) -> ColumnDisclosure:
        """The answer in words, as DESIGN section 9 shows it."""
        notes = [f"{policy} forbids {_named(forms)}" for policy, forms in self.forbids.items()]
        notes += [f"{_named(forms)} denied because {error}" for error, forms in self.errors.items()]
        if self.form in WITHOUT_ANSWER:
            head = f"{self.form} acts as hidden: permitted by {', '.join(self.permits)}, not available yet"
        elif self.form is Form.HIDDEN:
            head = "no policy permits any form"
        else:
            head = ", ".join(self.permits)
        reason = f"{head} ({'; '.join(notes)})" if notes else head
        policies = self.permits or tuple(sorted(self.forbids))
        return ColumnDisclosure(effective(self.form), policies, reason + suffix)


def decide(
    bundle: CompiledBundle,
    catalogue: Catalogue,
    region: Iterable[str],
    request: AccessRequest,
    *,
    top: Form = Form.RAW,
) -> DisclosureMap:
    """The form of every column of `request.database`; a database that is not catalogued gives an empty map.

    `region` holds ISO 3166-1 alpha-2 codes. The ladder begins at `top`: more revealing forms are not asked
    for. Never raises for what a request holds: what cannot be decided on is hidden, with the reason.
    """
    places = [
        _Place(dataset.name, table.name, column)
        for dataset in catalogue.for_database(request.database)
        for table in dataset.tables
        for column in table.columns
    ]
    fault = request.fault()
    if fault:
        return DisclosureMap({each.key: ColumnDisclosure(Form.HIDDEN, (), fault) for each in places})
    region = frozenset(region)
    told = bundle.engine.distinctions
    held = {
        each: tuple(grant for grant in request.grants if not set(grant.tables).isdisjoint(each.covered_by))
        for each in places
        if request.grants
    }
    vectors = [
        (*_vector(told, each), repr([grant.id for grant in held.get(each, ())]))
        if each.column.classified
        else None
        for each in places
    ]
    asked: dict[_Vector, _Place] = {}
    for place, vector in zip(places, vectors, strict=True):
        if vector is not None:
            asked.setdefault(vector, place)
    entities = bundle.engine.entities(_entities(request, asked.values()))

    @functools.cache
    def contexts(country: str, grants: tuple[HeldGrant, ...]) -> str:
        return _context(request, region, country, grants, told=bundle.sees_grants)

    by_country = {
        country: _climb(
            bundle.engine,
            entities,
            asked,
            request.principal.name,
            {vector: contexts(country, held.get(place, ())) for vector, place in asked.items()},
            top=top,
        )
        for country in request.countries()
    }
    answers = {
        vector: _strictest({country: ladders[vector] for country, ladders in by_country.items()})
        for vector in asked
    }

    found: dict[ColumnKey, ColumnDisclosure] = {}
    for place, vector in zip(places, vectors, strict=True):
        answer = ColumnDisclosure(Form.HIDDEN, (), UNCLASSIFIED) if vector is None else answers[vector]
        first = found.get(place.key)
        found[place.key] = answer if first is None or first.form.rank < answer.form.rank else first
    return DisclosureMap(_one_form_per_identity_class(places, found))


def decision_input(
    bundle: CompiledBundle, catalogue: Catalogue, region: Iterable[str], request: AccessRequest
) -> bytes:
    """All that a decision depends on, as canonical JSON: request, region, evaluator, digests of the rest.

    With the bundle and the catalogue of these digests, `decide` gives the recorded map again.
    """
    return input_document(
        INPUT_FORMAT,
        evaluator=bundle.evaluator,
        policy=bundle.digest,
        catalogue=catalogue.digest(),
        region=region,
        request=request.to_json(),
    )


def _entities(request: AccessRequest, asked: Iterable[_Place]) -> list[Entity]:
    """The principal, and the columns that are asked about with the tables and datasets they lie in."""
    principal = request.principal
    found = [
        user_entity(
            principal.name, role=principal.role, country=principal.country, employer=principal.employer
        )
    ]
    tables: dict[tuple[str, str], None] = {}
    for place in asked:
        tables.setdefault((place.dataset, place.table))
        found.append(column_entity(place.dataset, place.table, place.column))
    found += _distinct(each for table in tables for each in table_entities(*table))
    return found


def _context(
    request: AccessRequest, region: frozenset[str], country: str, held: tuple[HeldGrant, ...], *, told: bool
) -> str:
    return context_json(
        viewer_country=country,
        region=region,
        site=request.site,
        site_country=request.site_country,
        purpose=request.purpose,
        ticket=request.ticket,
        granted=request.granted | {each.purpose for each in held if each.kind == "view"},
        grants=held if told else None,
    )


def _climb(
    engine: Engine,
    entities: Entities,
    asked: Mapping[_Vector, _Place],
    principal: str,
    contexts: Mapping[_Vector, str],
    *,
    top: Form,
) -> dict[_Vector, _Ladder]:
    """Go down the ladder for each distinguishable column, each in its context; a batch per step."""
    ladders = {vector: _Ladder() for vector in asked}
    waiting = list(asked)
    for form in ASKED[top.rank :]:
        queries = [
            Query(user_uid(principal), action_uid(form), column_uid(*asked[each].key), contexts[each])
            for each in waiting
        ]
        answers = engine.authorise(entities, queries)
        waiting = [
            vector
            for vector, answer in zip(waiting, answers, strict=True)
            if not ladders[vector].take(form, answer)
        ]
    return ladders


def _strictest(ladders: Mapping[str, _Ladder]) -> ColumnDisclosure:
    """The least revealing of what each claimed country would give; among equals the first."""
    last = max(ladders, key=lambda country: effective(ladders[country].form).rank)
    if len({effective(each.form) for each in ladders.values()}) == 1:
        return ladders[last].disclosure("")
    others = ", ".join(
        f"{country} {effective(each.form)}" for country, each in ladders.items() if country != last
    )
    return ladders[last].disclosure(f" [sources for the viewer's country disagree: {last} decides, {others}]")


def _one_form_per_identity_class(
    places: Sequence[_Place], found: Mapping[ColumnKey, ColumnDisclosure]
) -> dict[ColumnKey, ColumnDisclosure]:
    """Give every column of an identity space the least revealing form among them."""
    least: dict[str, _Place] = {}
    for place in places:
        space = place.column.identity_space
        if space is not None:
            known = least.setdefault(space, place)
            if found[place.key].form.rank > found[known.key].form.rank:
                least[space] = place
    result: dict[ColumnKey, ColumnDisclosure] = {}
    for place in places:
        own = found[place.key]
        space = place.column.identity_space
        decisive = None if space is None else least[space]
        if decisive is not None and found[decisive.key].form is not own.form:
            other = found[decisive.key]
            reason = f"one form with {decisive.name}, the same identity: {other.reason}"
            own = ColumnDisclosure(other.form, other.policies, reason)
        result[place.key] = own
    return result


def _vector(told: Distinctions, place: _Place) -> _Vector:
    """What policies can tell a column apart by, as a key: equal keys get equal answers."""
    column, table = place.column, (place.dataset, place.table)
    return (
        told.attribute("protection", str(column.protection)),
        told.attribute("identifiability", str(column.identifiability)),
        told.attribute("kind", column.kind),
        told.attribute("dataset", place.dataset),
        told.attribute("table", place.table),
        told.attribute("name", column.name),
        told.entity("Dataset", entity_name(place.dataset)),
        told.entity("Table", entity_name(*table)),
        told.entity("Column", place.name),
    )


def _distinct(entities: Iterable[Entity]) -> list[Entity]:
    seen: dict[tuple[Any, Any], Entity] = {}
    for each in entities:
        seen.setdefault((each["uid"]["type"], each["uid"]["id"]), each)
    return list(seen.values())


def _named(forms: Sequence[Form]) -> str:
    return "every form" if len(forms) == len(ASKED) else ", ".join(forms)


__all__ = [
    "AccessRequest",
    "ColumnDisclosure",
    "DisclosureMap",
    "HeldGrant",
    "Principal",
    "ViewerSource",
    "decide",
    "decision_input",
]
