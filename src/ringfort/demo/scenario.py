"""Connects to a running gateway as several identities and notes what each could see, and what was refused.

Real clients over the real protocol: psycopg through TLS and SCRAM, as anybody would connect. The same people
are looked at by everybody: for whom a key is shown as a pseudonym, the demo asks inside the enclave, with the
administrative connection, which pseudonym stands for that person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ringfort.demo.identities import ANALYSIS, ANALYST, ATTEMPTS, STRANGER, VISITORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ringfort.demo.identities import Attempt

DATABASE = "demo"
_UUID = 2950  # pg_type.oid


@dataclass(frozen=True)
class Gate:
    """Where the gateway is, and the passwords of those who may come."""

    host: str
    port: int
    passwords: Mapping[str, str]

    def dsn(self, name: str, purpose: str, password: str | None = None) -> str:
        """A connection string as any client would use it."""
        return make_conninfo(
            host=self.host,
            port=self.port,
            dbname=DATABASE,
            user=name,
            password=self.passwords[name] if password is None else password,
            sslmode="require",
            connect_timeout=20,
            options=f"-c ringfort.purpose={purpose}" if purpose else "",
        )


@dataclass(frozen=True)
class Refusal:
    """A refusal as the client got it."""

    who: str
    what: str
    statement: str
    sqlstate: str
    message: str
    hint: str


@dataclass
class Sight:
    """What everybody saw: per person and visitor (title), column -> value; what is absent is hidden."""

    people: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    analysis: list[tuple[Any, ...]] = field(default_factory=list)
    analysis_columns: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    """Attempts that were not refused: there must be none."""


def choose_people(admin_dsn: str, count: int) -> list[int]:
    """Ids of people whose rows are full enough to compare, from as many countries."""
    with psycopg.connect(admin_dsn) as connection:
        rows = connection.execute(
            "SELECT DISTINCT ON (country) id FROM people WHERE name IS NOT NULL AND email IS NOT NULL"
            " AND phone IS NOT NULL AND born IS NOT NULL AND iban IS NOT NULL AND ip IS NOT NULL"
            " AND address IS NOT NULL AND country IN ('GR', 'IE', 'BG', 'FR') ORDER BY country DESC, id"
        ).fetchall()
    return [int(row[0]) for row in rows][:count]


def pseudonyms_of(admin_dsn: str, ids: Sequence[int]) -> dict[str, int]:
    """Every pseudonym of these ids, in whatever domain -> the id. Read inside the enclave."""
    found: dict[str, int] = {}
    with psycopg.connect(admin_dsn) as connection:
        maps = connection.execute(
            "SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
            " AND a.attname = 'raw' AND a.atttypid = 'bigint'::regtype"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'ringfort'::regnamespace"
            " AND c.relname LIKE 'map\\_%'"
        ).fetchall()
        for (name,) in maps:
            query = sql.SQL("SELECT pseudonym::text, raw FROM {} WHERE raw = ANY(%s)").format(
                sql.Identifier("ringfort", name)
            )
            found.update({row[0]: int(row[1]) for row in connection.execute(query, [list(ids)])})
    return found


def look(gate: Gate, admin_dsn: str, ids: Sequence[int]) -> Sight:
    """Everybody looks at the same people, then tries what is not permitted."""
    sight = Sight(people=[{} for _ in ids])
    for identity in VISITORS:
        with psycopg.connect(gate.dsn(identity.name, identity.purpose), autocommit=True) as connection:
            for number, person in enumerate(ids):
                sight.people[number][identity.title] = _person(connection, admin_dsn, person)
            if identity is ANALYST:
                cursor = connection.execute(ANALYSIS)
                sight.analysis_columns = [each.name for each in cursor.description or ()]
                sight.analysis = cursor.fetchall()
            for attempt in ATTEMPTS:
                if attempt.identity is identity:
                    _try(connection, attempt, sight)
    _stranger(gate, sight)
    return sight


def _person(connection: psycopg.Connection[Any], admin_dsn: str, person: int) -> dict[str, Any]:
    """One person as this connection sees them; {} if the table is hidden as a whole."""
    try:
        described = connection.execute("SELECT * FROM people LIMIT 0")
    except psycopg.Error:
        return {}
    columns = {each.name: each for each in described.description or ()}
    if "id" not in columns:
        return {}
    keys: list[Any] = [person]
    if columns["id"].type_code == _UUID:
        keys = [key for key, of in pseudonyms_of(admin_dsn, [person]).items() if of == person]
    for key in keys:
        row = connection.execute("SELECT * FROM people WHERE id = %s", [key]).fetchone()
        if row is not None:
            return dict(zip(columns, row, strict=True))
    return {}


def _try(connection: psycopg.Connection[Any], attempt: Attempt, sight: Sight) -> None:
    try:
        connection.execute(attempt.statement.encode())
    except psycopg.Error as error:
        sight.refusals.append(_refusal(attempt.identity.title, attempt.what, attempt.statement, error))
        return
    sight.leaks.append(f"{attempt.identity.title}: {attempt.what}")


def _stranger(gate: Gate, sight: Sight) -> None:
    try:
        psycopg.connect(gate.dsn(STRANGER, "curiosity", "guessed-password")).close()
    except psycopg.OperationalError as error:
        sight.refusals.insert(0, _refusal("a stranger", "connect with a wrong password", "", error))
        return
    sight.leaks.append("a stranger: connected with a wrong password")


def _refusal(who: str, what: str, statement: str, error: psycopg.Error) -> Refusal:
    diagnostic = error.diag
    text = (diagnostic.message_primary or str(error)).strip()
    if (
        diagnostic.message_primary is None and "FATAL:" in text
    ):  # libpq gives a failed connection as text only
        text = text.rpartition("FATAL:")[2].strip()
    message, _, hint = text.partition("\n")
    hint = diagnostic.message_hint or hint.removeprefix("HINT:").strip()
    return Refusal(who, what, statement, error.sqlstate or "28P01", message.strip(), hint)
