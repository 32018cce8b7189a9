"""The site audit: everything that a profile's role could reach in a database, against what it needs.

A profile's role holds what was granted to it and what was granted to PUBLIC. Each query lists one sort of
such access; rows are judged here. `surplus` is more than a profile needs and refuses serving; `noted` is
listed and recorded, but reaches no data by itself. Each finding carries the SQL that would take it away:
nothing is run on a database that is not ours without an explicit step of its operator.

Invariants: pure; a sort of access that no query covers does not exist for the audit, so the list below is
the claim: roles' attributes, memberships, ownership, settings by database; databases (CONNECT, TEMPORARY,
CREATE), schemas, relations, columns, sequences, functions (SECURITY DEFINER, untrusted languages, built-in
ones opened up, extensions that reach outside), large objects, foreign servers and wrappers, languages,
tablespaces, parameters (15+), default privileges, the views' owner; and temporary files without a limit.
What PostgreSQL itself gives to PUBLIC in `pg_catalog` and `information_schema` is not listed: `pg_init_privs`
says what that is. DESIGN principle 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import orjson

from ringfort.disclosure.views import OWNER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Severity = Literal["surplus", "noted"]
FORMAT = "ringfort-site-audit/1"
OUTSIDE_EXTENSIONS = (
    "adminpack", "dblink", "file_fdw", "http", "lo", "pageinspect", "pg_net", "pg_surgery", "plproxy",
    "plsh", "postgres_fdw", "xml2",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One access that a profile's role has. `remedy` is SQL that takes it away, "" if there is none."""

    severity: Severity
    sort: str
    grantee: str
    thing: str
    privilege: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.grantee}: {self.privilege} on {self.sort} {self.thing}"

    def to_json(self) -> list[str]:
        """For the report, in the order of the fields."""
        return [self.severity, self.sort, self.grantee, self.thing, self.privilege, self.remedy]


@dataclass(frozen=True)
class AuditQuery:
    """Rows (severity, grantee, thing, privilege, remedy); parameters `roles`, `owner`, `outside`."""

    sort: str
    text: str
    since: int = 14


def _read() -> tuple[AuditQuery, ...]:
    text = resources.files("ringfort.disclosure").joinpath("audit_queries.sql").read_text("utf-8")
    prologue, *parts = re.split(r"^-- sort: ", text, flags=re.MULTILINE)
    queries = []
    for part in parts:
        head, _, body = part.partition("\n")
        sort, _, since = head.partition(" (since ")
        queries.append(AuditQuery(sort, prologue + body, int(since.rstrip(")") or 14)))
    return tuple(queries)


QUERIES: tuple[AuditQuery, ...] = _read()


def parameters(roles: Iterable[str]) -> dict[str, Any]:
    """What the queries are run with; `roles` are the profile roles of the database."""
    return {"roles": sorted(roles), "owner": OWNER, "outside": list(OUTSIDE_EXTENSIONS)}


def findings(sort: str, rows: Sequence[Sequence[Any]]) -> list[Finding]:
    """The rows of the query of `sort`, as findings."""
    return [
        Finding(
            "noted" if severity == "noted" else "surplus",
            sort,
            str(grantee),
            str(thing),
            str(privilege),
            str(remedy or ""),
        )
        for severity, grantee, thing, privilege, remedy in rows
    ]


def surplus(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """What refuses serving."""
    return tuple(each for each in found if each.severity == "surplus")


def hardening_statements(found: Iterable[Finding], *, noted: bool = False) -> list[str]:
    """The SQL that takes the surplus away (with `noted` true: that, too), each statement once.

    For the operator to read and run: roles that rely on PUBLIC need a grant of their own first.
    """
    chosen = [each.remedy for each in found if each.remedy and (noted or each.severity == "surplus")]
    return list(dict.fromkeys(chosen))


def report(
    site: str, database: str, found: Iterable[Finding], *, catalogue: str = "", binding: str = ""
) -> bytes:
    """The findings as canonical JSON, for the ledger's blob. Names of objects only, no data value.

    `catalogue` and `binding` are digests: the catalogue in force and the numbers that it is bound to.
    """
    document = {
        "format": FORMAT,
        "site": site,
        "database": database,
        "catalogue": catalogue,
        "binding": binding,
        "findings": sorted(each.to_json() for each in found),
    }
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


__all__ = [
    "QUERIES",
    "AuditQuery",
    "Finding",
    "findings",
    "hardening_statements",
    "parameters",
    "report",
    "surplus",
]
