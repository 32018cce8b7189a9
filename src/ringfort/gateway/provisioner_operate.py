"""Operate sessions: a grant of the kind `operate`, made a login role that acts as the owner of its tables.

The session must state the grant's purpose and ticket, from within the region; its tables lie in one schema
and belong to one owner. An owner that is more than that (a superuser, CREATEROLE, a predefined role) is
refused: real tables are what was approved, not the server. The role may log in until the grant ends, acts as
the owner from its first statement on, and is dropped once it has expired. What may be sent is the
allow-list's (`statement_operate`): the owner may reach more tables than the grant covers, so here the gate is
narrower than the wall. What a permitted change reaches in the database itself (cascades, children, triggers)
is computed when the session opens (`provisioner_reach`), and refused if the grants do not cover it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ringfort.errors import CheckFailedError
from ringfort.gateway.provisioner_decision import NotDecidedError
from ringfort.gateway.provisioner_reach import missing, reach
from ringfort.gateway.verifiers import postgres_verifier
from ringfort.pgwire.scram import build_verifier
from ringfort.policy.canonical import canonical_bytes
from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap
from ringfort.policy.forms import Form
from ringfort.policy.grants import covered
from ringfort.policy.request import input_document
from ringfort.policy.vocabulary import UNPROVEN_COUNTRY

if TYPE_CHECKING:
    from ringfort.catalog.model import Catalogue, Table
    from ringfort.disclosure.profile import Binding
    from ringfort.gateway.provisioner_decision import Ground
    from ringfort.policy.request import AccessRequest

    Connection = psycopg.Connection[tuple[Any, ...]]

LOG = logging.getLogger(__name__)
FORMAT = "ringfort-operate-input/1"
PREFIX = "ringfort_operate_"  # not that of profiles, whose connections may be kept for the next session
CONNECTIONS = 4
STATEMENT_MS = 60_000
IDLE_MS = 60_000
LOCK_MS = 10_000
CHECK_MS = 2_000
_REFUSED = "42501"


@dataclass(frozen=True)
class Operation:
    """What an operate session is given, and what that stands on. `tables` lie in `schema`."""

    role: str
    database: str
    schema: str
    tables: tuple[Table, ...]
    until: str
    input: bytes
    map: bytes
    effects: frozenset[str] = frozenset()
    """What a change of the tables may set off, as the grants name it."""

    @property
    def digest(self) -> str:
        """What stands in place of a profile's digest."""
        return hashlib.sha256(self.input + self.map).hexdigest()

    @property
    def names(self) -> frozenset[tuple[str, str]]:
        """Schema and name of each table."""
        return frozenset((self.schema, table.name) for table in self.tables)

    @property
    def columns(self) -> list[str]:
        """Names of the tables' columns."""
        return sorted({column.name for table in self.tables for column in table.columns})


def decide_operation(
    ground: Ground, catalogue: Catalogue, region: frozenset[str], request: AccessRequest
) -> Operation:
    """What `request`, whose grants are those of the kind `operate`, may operate on; raises if nothing."""
    grants = [
        each for each in request.grants if (each.purpose, each.ticket) == (request.purpose, request.ticket)
    ]
    if not grants:
        raise NotDecidedError(
            "no operate grant is in force for this purpose and ticket",
            hint="ask for one with `ringfort request --operate`",
            sqlstate=_REFUSED,
        )
    if any(each == UNPROVEN_COUNTRY or each not in region for each in request.countries()):
        raise NotDecidedError(
            "operate sessions are opened from within the region only",
            hint="connect from a network of the region",
            sqlstate=_REFUSED,
        )
    datasets = {each.name for each in catalogue.for_database(request.database)}
    found = covered(catalogue, sorted({name for each in grants for name in each.tables}))
    tables = {(dataset, table.name): table for dataset, table in found if dataset in datasets}
    schemas = {table.schema for table in tables.values()}
    if len(schemas) != 1:
        raise NotDecidedError(
            "the grant covers tables of several schemas, or none of this database",
            hint="ask for a grant on tables of one schema",
            sqlstate=_REFUSED,
        )
    document = input_document(
        FORMAT,
        evaluator=ground.evaluator,
        policy=ground.policy,
        catalogue=ground.catalogue,
        region=region,
        request=request.to_json(),
    )
    names = ", ".join(each.id for each in grants)
    columns = {
        (dataset.name, table.name, column.name): ColumnDisclosure(Form.RAW, (), f"operate grant {names}")
        if (dataset.name, table.name) in tables
        else ColumnDisclosure(Form.HIDDEN, (), "no operate grant covers it")
        for dataset in catalogue.for_database(request.database)
        for table in dataset.tables
        for column in table.columns
    }
    salt = canonical_bytes([request.principal.name, request.database, sorted(each.id for each in grants)])
    return Operation(
        role=PREFIX + hashlib.sha256(salt).hexdigest()[:24],
        database=request.database,
        schema=schemas.pop(),
        tables=tuple(tables.values()),
        until=min(each.until for each in grants),
        input=document,
        map=DisclosureMap(columns).to_json(),
        effects=frozenset().union(*(each.effects for each in grants)),
    )


def owner_of(connection: Connection, operation: Operation, bound: Binding) -> str:
    """The one role that owns the tables; raises `CheckFailedError` if it will not do."""
    names = [table.name for table in operation.tables]
    rows = connection.execute(
        "SELECT c.relname, c.oid::bigint, c.relowner::bigint, pg_get_userbyid(c.relowner) FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY (%s) AND c.relkind IN ('r', 'p')",
        (operation.schema, names),
    ).fetchall()
    numbers = {name: table.oid for (schema, name), table in bound.items() if schema == operation.schema}
    if {row[0]: row[1] for row in rows} != {name: numbers.get(name) for name in names}:
        raise NotDecidedError(
            "a table of the grant is no longer what was classified",
            hint="the operator looks, then runs `ringfort site rebind`",
            sqlstate="55000",
        )
    if len({row[2] for row in rows}) != 1:
        raise NotDecidedError(
            "the tables of the grant have several owners",
            hint="ask for a grant on tables of one owner",
            sqlstate=_REFUSED,
        )
    powerful = connection.execute(
        "SELECT 1 FROM pg_roles AS r WHERE pg_has_role(%s::oid, r.oid, 'MEMBER') AND (r.rolsuper "
        "OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls "
        "OR (r.rolname LIKE 'pg\\_%%' AND r.rolname <> 'pg_database_owner')) LIMIT 1",
        (rows[0][2],),
    ).fetchone()
    if powerful is not None:
        raise NotDecidedError(
            "the owner of the tables may do more than own tables",
            hint="give the tables to a role without SUPERUSER, CREATEROLE and predefined roles",
            sqlstate=_REFUSED,
        )
    usable = connection.execute(
        "SELECT has_schema_privilege(%s::oid, %s, 'USAGE')", (rows[0][2], operation.schema)
    ).fetchone()
    if usable != (True,):
        raise CheckFailedError(
            "the owner of the tables may not use their schema",
            hint=f"GRANT USAGE ON SCHEMA to `{rows[0][3]}`",
            sqlstate=_REFUSED,
        )
    return str(rows[0][3])


def require_reach(connection: Connection, operation: Operation, bound: Binding) -> None:
    """Raise unless a change of the tables reaches, as the database is now, only what the grants cover.

    Names of what is reached are for the log: the session's client may not know of them.
    """
    found = reach(
        connection,
        [table.oid for (schema, name), table in bound.items() if (schema, name) in operation.names],
    )
    lacking = missing(found, operation.effects)
    if lacking:
        LOG.warning(
            "an operate session is refused: its tables reach %s", lacking, extra={"event": "operate-reach"}
        )
        raise NotDecidedError(
            "a change of the grant's tables reaches more than the grant covers",
            hint="`ringfort request --operate` shows what; ask for all of the tables, or --with-triggers",
            sqlstate=_REFUSED,
        )


def make_role(connection: Connection, operation: Operation, owner: str) -> str:
    """Make the role, or give it a new password; gives the password. Drops expired ones."""
    drop_expired(connection)
    password = secrets.token_urlsafe(32)
    verifier = postgres_verifier(build_verifier(password, secrets.token_bytes(16)))
    role = sql.Identifier(operation.role)
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (operation.role,)).fetchone()
    connection.execute(
        sql.SQL(
            "{} ROLE {} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
            "CONNECTION LIMIT {} PASSWORD {} VALID UNTIL {}"
        ).format(
            sql.SQL("ALTER" if known else "CREATE"),
            role,
            sql.Literal(CONNECTIONS),
            sql.Literal(verifier),
            sql.Literal(operation.until),
        )
    )
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(owner), role))
    connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(operation.database), role)
    )
    settings: list[tuple[str, sql.Composable]] = [
        ("role", sql.Literal(owner)),
        # others may make functions in the tables' schema: what is called as the server's own is the server's
        ("search_path", sql.SQL("pg_catalog, {}").format(sql.Identifier(operation.schema))),
        ("default_transaction_read_only", sql.SQL("off")),
        ("statement_timeout", sql.Literal(STATEMENT_MS)),
        ("idle_in_transaction_session_timeout", sql.Literal(IDLE_MS)),
        ("lock_timeout", sql.Literal(LOCK_MS)),
        ("client_connection_check_interval", sql.Literal(CHECK_MS)),
        ("row_security", sql.SQL("on")),
        ("standard_conforming_strings", sql.SQL("on")),
    ]
    for name, value in settings:
        connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), value))
    return password


def drop_expired(connection: Connection) -> None:
    """Drop the roles of grants that have ended, unless a backend of theirs is still going down."""
    rows = connection.execute(
        "SELECT rolname, current_database() FROM pg_roles WHERE rolname LIKE 'ringfort\\_operate\\_%' "
        "AND rolvaliduntil < now() AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = rolname)"
    ).fetchall()
    for name, database in rows:
        role = sql.Identifier(name)
        # one of another database stays for that one's turn: it holds a privilege there
        with contextlib.suppress(psycopg.Error), connection.transaction():
            revoke = sql.SQL("REVOKE ALL ON DATABASE {} FROM {}")
            connection.execute(revoke.format(sql.Identifier(database), role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


__all__ = [
    "PREFIX",
    "Operation",
    "decide_operation",
    "drop_expired",
    "make_role",
    "owner_of",
    "require_reach",
]
