"""Whether an existing PostgreSQL can be a site: a supported version, and the rights that it takes.

Reads only. What will be made there later (a schema, a role that owns views, a role and a schema for each
profile) is told before anything is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.errors import MissingEnvironmentError

if TYPE_CHECKING:
    import psycopg

WILL_BE_MADE = (
    "schema `ringfort` (functions and mapping tables), role `ringfort_views` (no login, owns views), and for "
    "each profile one login role and one schema of views, both called `rf_...`; your tables stay as they are"
)


@dataclass(frozen=True)
class ExternalSite:
    """What was found: `warnings` do not stop anybody, but should be read."""

    database: str
    version: int
    warnings: tuple[str, ...]


_RIGHTS = """
SELECT current_database(), current_setting('server_version_num')::int / 10000, pg_is_in_recovery(),
  r.rolsuper, r.rolcreaterole, has_database_privilege(current_database(), 'CREATE'),
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), inet_server_addr() IS NULL
FROM pg_roles r WHERE r.rolname = current_user"""
_UNGRANTABLE = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  AND NOT has_table_privilege(c.oid, 'SELECT WITH GRANT OPTION')"""
_PARTITIONED = """
SELECT count(DISTINCT pg_partition_root(c.oid)), count(*) FILTER (WHERE c.relispartition)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind = 'p' OR c.relispartition) AND c.relkind IN ('r', 'p', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'"""


def inspect_site(connection: psycopg.Connection[tuple[Any, ...]]) -> ExternalSite:
    """Check the database that `connection` is in; raises `MissingEnvironmentError` if it cannot be a site."""
    row = connection.execute(_RIGHTS).fetchone()
    if row is None:
        raise MissingEnvironmentError("the server does not say what the role may do")
    database, version, standby, superuser, create_role, create, tls, local = row
    if standby:
        raise MissingEnvironmentError(
            "the server is a standby: nothing can be made there", hint="use the primary"
        )
    if not (superuser or create_role):
        raise MissingEnvironmentError(
            "the role may not create roles",
            hint="as a superuser: ALTER ROLE ... CREATEROLE, or use another role",
        )
    if not create:
        raise MissingEnvironmentError(
            f"the role may not create schemas in `{database}`",
            hint=f'as its owner: GRANT CREATE ON DATABASE "{database}" TO ...',
        )
    warnings = []
    if not (tls or local):
        warnings.append("the connection is not encrypted: add sslmode=verify-full to the connection string")
    counted = connection.execute(_UNGRANTABLE).fetchone()
    if counted is not None and counted[0]:
        warnings.append(
            f"{counted[0]} tables cannot be shown to anybody: the role may not grant SELECT on them"
        )
    partitioned = connection.execute(_PARTITIONED).fetchone()
    if partitioned is not None and partitioned[0]:
        warnings.append(
            f"{partitioned[1]} partitions are read through the partitioned tables that they belong to "
            f"({partitioned[0]}), and not listed by themselves"
        )
    return ExternalSite(database, version, tuple(warnings))
