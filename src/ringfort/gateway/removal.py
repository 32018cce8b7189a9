"""Takes away what Ringfort made in a database: profiles, copies of the catalogue, mapping tables, roles.

What is there is listed first, and removed in one transaction, so a try that fails leaves all of it. Ours is
what the registry of this database names (`ringfort.profile`), the schemas of fixed names, and roles of
operate sessions and transfers whose every right lies in this database; the role `ringfort_views`, which
databases of one server share, goes with the last of them. What only looks like ours is left, and named: it
may be another deployment's. The organisation's tables are never touched but for these roles' rights on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ringfort.disclosure import catalog_copies, views
from ringfort.disclosure.forms_sql import SCHEMA
from ringfort.disclosure.statement_surface import ORDERED_SUFFIX
from ringfort.errors import CheckFailedError
from ringfort.gateway.provisioner_operate import PREFIX
from ringfort.sites import transfer_roles

if TYPE_CHECKING:
    Connection = psycopg.Connection[tuple[Any, ...]]

_OUR_NAMES = r"^rf_[0-9a-f]{24}(_ordered)?$"
_SCHEMAS = """
SELECT nspname, pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = ANY (%s) OR nspname ~ %s
"""
_ROLES = """
SELECT r.rolname, NOT EXISTS (SELECT FROM pg_shdepend AS d WHERE d.refclassid = 'pg_authid'::regclass
    AND d.refobjid = r.oid AND d.dbid <> o.oid
    AND NOT (d.classid = 'pg_database'::regclass AND d.objid = o.oid)),
  EXISTS (SELECT FROM pg_shdepend AS d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid)
FROM pg_roles AS r, pg_database AS o
WHERE o.datname = current_database()
  AND (r.rolname ~ %s OR starts_with(r.rolname, %s) OR starts_with(r.rolname, %s))
ORDER BY 1
"""
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = ANY (%s)"


@dataclass(frozen=True)
class Remains:
    """What Ringfort made in one database; `left` looks like it and is not known to be ours."""

    database: str
    schemas: tuple[str, ...]
    roles: tuple[str, ...]
    owner: bool
    left: tuple[str, ...]


def remains(connection: Connection) -> Remains:
    """What is in the database that `connection` is in. Changes nothing."""
    (database,) = connection.execute("SELECT current_database()").fetchone() or ("",)
    registered: set[str] = set()
    registry = connection.execute(
        "SELECT to_regclass(%s)", (views.REGISTRY.as_string(connection),)
    ).fetchone()
    if registry is not None and registry[0] is not None:
        rows = connection.execute(sql.SQL("SELECT role FROM {}").format(views.REGISTRY))
        registered = {row[0] for row in rows}
    ours = {*registered, *(each + ORDERED_SUFFIX for each in registered), SCHEMA, *catalog_copies.SCHEMAS}
    schemas, left = [], []
    fixed = [SCHEMA, *catalog_copies.SCHEMAS]
    for name, may in connection.execute(_SCHEMAS, (fixed, _OUR_NAMES)):
        if name in ours and may:
            schemas.append(name)
        else:
            left.append(f"schema {name}")
    roles = []
    for name, here, used in connection.execute(
        _ROLES, (_OUR_NAMES, PREFIX, transfer_roles.PREFIX)
    ).fetchall():
        if name.startswith(transfer_roles.PREFIX) and transfer_roles.is_live(connection, name):
            left.append(f"role {name}, of a transfer that is running")
        elif name in registered or (here and used and not name.startswith("rf_")):
            roles.append(name)
        else:
            left.append(f"role {name}")
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (views.OWNER,)).fetchone()
    # the registry's schema goes last, so that whatever is cut off can be found again
    schemas.sort(key=lambda each: (each == SCHEMA, each))
    return Remains(database, tuple(schemas), tuple(roles), found is not None, tuple(left))


def remove_remains(connection: Connection, found: Remains) -> tuple[str, ...]:
    """Remove it; gives what had to be left. Raises `CheckFailedError` if sessions are open."""
    row = connection.execute(_SESSIONS, (list(found.roles),)).fetchone()
    if row is not None and row[0]:
        raise CheckFailedError(
            f"{row[0]} sessions are open in database `{found.database}`",
            hint="another `ringfort up` serves it; end them first",
        )
    left = list(found.left)
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '10s'")
        for role in found.roles:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        for schema in found.schemas:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
        for role in found.roles:
            _drop_role(connection, role, left)
        if found.owner:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(views.OWNER)))
            _drop_role(connection, views.OWNER, left)
    return tuple(left)


def _drop_role(connection: Connection, role: str, left: list[str]) -> None:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    except psycopg.errors.DependentObjectsStillExist:
        left.append(f"role {role}, which another database uses")


__all__ = ["Remains", "remains", "remove_remains"]
