"""Who asks, from where and for what: the input of a decision.

Values only. A request is taken as it comes and made safe by `decide`; `to_json` is what the ledger keeps, so
that an overseer can decide again from the same input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.policy.canonical import canonical_bytes
from ringfort.policy.vocabulary import UNPROVEN_COUNTRY, country_code

if TYPE_CHECKING:
    from collections.abc import Iterable


def input_document(
    form: str, *, evaluator: str, policy: str, catalogue: str, region: Iterable[str], request: dict[str, Any]
) -> bytes:
    """All that a decision depends on, as canonical JSON of the format `form`.

    `policy` and `catalogue` are digests: with what they name the decision can be made again.
    """
    return canonical_bytes(
        {
            "format": form,
            "evaluator": evaluator,
            "policy": policy,
            "catalogue": catalogue,
            "region": sorted(set(region)),
            "request": request,
        }
    )


@dataclass(frozen=True)
class Principal:
    """A registered person or service; `country` is an ISO 3166-1 alpha-2 code."""

    name: str
    country: str
    employer: str
    role: str

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "name": self.name,
            "country": self.country,
            "employer": self.employer,
            "role": self.role,
        }


@dataclass(frozen=True)
class ViewerSource:
    """One source for where the viewer is: `registration`, `network zone`, `token` or `certificate`.

    `country` is "" where the source was asked and could not say.
    """

    source: str
    country: str


@dataclass(frozen=True)
class HeldGrant:
    """A grant in force for the principal. `tables` are catalogued names, `dataset` or `dataset.table`.

    `until` is RFC 3339, UTC. Policies do not see it, nor the id: the session ends with the grant.
    """

    id: str
    kind: str
    purpose: str
    ticket: str
    tables: tuple[str, ...]
    until: str
    effects: tuple[str, ...] = ()
    """What a change of its tables may set off, by name; of operate grants alone."""

    def to_json(self) -> dict[str, Any]:
        """The grant as a JSON object. No effects, no word of them."""
        return ({"effects": list(self.effects)} if self.effects else {}) | {
            "id": self.id,
            "kind": self.kind,
            "purpose": self.purpose,
            "ticket": self.ticket,
            "tables": list(self.tables),
            "until": self.until,
        }


@dataclass(frozen=True)
class AccessRequest:
    """A request to see a database. `grants` are those in force; `time` is RFC 3339, UTC.

    `granted` names purposes as if a grant for each were in force on every table: what-ifs and tests use it.
    Policies do not see `time`: a session outlives the moment it was decided in. It is kept for the record.
    """

    principal: Principal
    purpose: str
    ticket: str
    viewer: tuple[ViewerSource, ...]
    site: str
    site_country: str
    database: str
    granted: frozenset[str]
    time: str
    grants: tuple[HeldGrant, ...] = ()

    def countries(self) -> tuple[str, ...]:
        """Every country that a source claims for the viewer, sorted; `ZZ` for a source that could not say."""
        claimed = {country_code(each.country) for each in self.viewer}
        return tuple(sorted(claimed)) or (UNPROVEN_COUNTRY,)

    def to_json(self) -> dict[str, Any]:
        """The request as a JSON object; equal requests give equal objects. No grants, no word of them."""
        held = {"grants": [each.to_json() for each in self.grants]} if self.grants else {}
        return held | {
            "principal": self.principal.to_json(),
            "purpose": self.purpose,
            "ticket": self.ticket,
            "viewer": [{"source": each.source, "country": each.country} for each in self.viewer],
            "site": self.site,
            "site_country": self.site_country,
            "database": self.database,
            "granted": sorted(self.granted),
            "time": self.time,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AccessRequest:
        """The inverse of `to_json`; raises `ValueError` if the shape is another."""
        try:
            request = cls(
                principal=Principal(**data["principal"]),
                purpose=data["purpose"],
                ticket=data["ticket"],
                viewer=tuple(ViewerSource(**each) for each in data["viewer"]),
                site=data["site"],
                site_country=data["site_country"],
                database=data["database"],
                granted=frozenset(data["granted"]),
                time=data["time"],
                grants=tuple(
                    HeldGrant(
                        **(
                            each
                            | {"tables": tuple(each["tables"]), "effects": tuple(each.get("effects", ()))}
                        )
                    )
                    for each in data.get("grants", ())
                ),
            )
            same = request.to_json() == data
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("is not a request") from error
        if not same or request.fault():
            raise ValueError("is not a request")
        return request

    def fault(self) -> str:
        """What makes the request unfit to be decided on, "" if nothing: a field that is not Unicode text."""
        if not _has_shape(self.principal, self.viewer, self.granted, self.grants):
            return "the request is not of the shape that is decided on"
        texts: list[object] = [
            self.principal.name,
            self.principal.country,
            self.principal.employer,
            self.principal.role,
            self.purpose,
            self.ticket,
            self.site,
            self.site_country,
            self.database,
            self.time,
            *self.granted,
        ]
        for each in self.viewer:
            texts += [each.source, each.country]
        for held in self.grants:
            texts += [held.id, held.kind, held.purpose, held.ticket, held.until, *held.tables]
        for text in texts:
            if not isinstance(text, str):
                return "the request holds something that is not text"
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                return "the request holds text that is not Unicode"
        return ""


def _has_shape(principal: object, viewer: object, granted: object, grants: object) -> bool:
    """Whether the parts are of their types: who builds a request at run time may get them wrong."""
    return (
        isinstance(principal, Principal)
        and isinstance(viewer, tuple)
        and all(isinstance(each, ViewerSource) for each in viewer)
        and isinstance(granted, frozenset)
        and isinstance(grants, tuple)
        and all(isinstance(each, HeldGrant) and isinstance(each.tables, tuple) for each in grants)
    )
