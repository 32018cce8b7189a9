"""Who comes to the demo's gate, and what they try there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Somebody at the gate: the facts that were registered, and the purpose stated when connecting."""

    name: str
    title: str
    country: str
    employer: str
    role: str
    purpose: str = ""


SUPPORT = Identity("aoife", "support, Ireland", "IE", "Example Video", "support", "customer-support")
IDLE = Identity("aoife", "the same, no purpose", "IE", "Example Video", "support")
ANALYST = Identity("dana", "analyst, US", "US", "Example Video Inc", "analyst", "product-analytics")
ENGINEER = Identity("wei", "engineer, China", "CN", "Example Video Asia", "engineer", "maintenance")
VISITORS = (SUPPORT, IDLE, ANALYST, ENGINEER)
"""Everybody who looks; one person may come twice, with another purpose."""
STAFF = (SUPPORT, ANALYST, ENGINEER)
"""Everybody who is registered."""
STRANGER = "mallory"

PERSON_COLUMNS = (
    "id", "name", "email", "phone", "born", "gender", "address", "city", "postcode", "country", "ip", "iban",
    "created_at",
)  # fmt: skip
"""The columns of `people` in the order in which the comparison shows them."""


@dataclass(frozen=True)
class Attempt:
    """A statement that the gate is to refuse; `what` says in words what was tried."""

    identity: Identity
    what: str
    statement: str


ATTEMPTS = (
    Attempt(ANALYST, "read a hidden column", "SELECT email FROM people LIMIT 1"),
    Attempt(ANALYST, "reach the table beneath", "SELECT * FROM public.people LIMIT 1"),
    Attempt(
        ANALYST,
        "hide a query in a string",
        "SELECT query_to_xml('select email from public.people', true, true, '')",
    ),
    Attempt(ANALYST, "read a file of the server", "SELECT pg_read_file('/etc/passwd')"),
    Attempt(ENGINEER, "become somebody else", "SET ROLE postgres"),
    Attempt(ENGINEER, "escape by an escaped name", 'SELECT U&"pg_sl\\0065ep"(10)'),
    Attempt(SUPPORT, "change a row", "UPDATE people SET name = 'x'"),
    Attempt(SUPPORT, "copy to a program", "COPY (SELECT * FROM people) TO PROGRAM 'cat'"),
)

ANALYSIS = """\
SELECT videos.category, count(DISTINCT views.person_id) AS viewers, sum(views.watch_seconds) / 3600 AS hours
FROM views JOIN videos ON videos.id = views.video_id
GROUP BY videos.category ORDER BY hours DESC LIMIT 5"""
"""What the analyst is there for: a join by pseudonym, on real rows."""
