"""Profile -> SQL: role, schema, mapping tables and security-barrier views, as composed statements.

Everything a profile's role can reach is made here, in statements that run in one transaction: either all of
it is there or nothing. Names stand as `sql.Identifier`, never as text. The statements expect `search_path`
set to `pg_catalog` alone, so that every operator and function in a view is the server's own.

Invariants: the views belong to `ringfort_views` (NOLOGIN NOBYPASSRLS, owner of no table, SELECT on just the
columns in need), so row-level security of the base tables holds beneath; the profile's role has USAGE on
its schema, SELECT on its views, the filtered copies of the catalogue, CONNECT to its database, nothing else.
A pseudonym is joined from a mapping table: NOT NULL keys by an inner join, others by a left join, and in both
cases a row whose pseudonym is not there yet is not shown until it is. DESIGN section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from ringfort.disclosure.catalog_copies import SCHEMAS as COPIES
from ringfort.disclosure.forms_sql import SCHEMA, bare_type
from ringfort.disclosure.statement_settings import CEILINGS
from ringfort.disclosure.statement_surface import ORDERED_SUFFIX
from ringfort.policy.forms import Form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.disclosure.profile import MapPlan, Profile, ViewColumn, ViewPlan

OWNER = "ringfort_views"
REGISTRY = sql.Identifier(SCHEMA, "profile")
BINDING = sql.Identifier(SCHEMA, "binding")


@dataclass(frozen=True)
class RoleLimits:
    """What one profile role may take. Times in milliseconds; 0 is no limit."""

    connections: int = 200
    statement_ms: int = CEILINGS["statement_timeout"]
    idle_in_transaction_ms: int = CEILINGS["idle_in_transaction_session_timeout"]
    lock_ms: int = CEILINGS["lock_timeout"]
    work_mem: str = "16MB"  # for each sort or hash of each worker of a statement
    hash_mem_multiplier: float = 2.0
    temp_files: str = "4GB"  # on disk at once, for each process of a session; where it may be set
    parallel_workers: int = CEILINGS["max_parallel_workers_per_gather"]
    connection_check_ms: int = 2_000  # a statement whose worker was killed must not run on for nobody


def bootstrap_statements() -> list[sql.Composed]:
    """Schema `ringfort` and its bookkeeping tables; idempotent. The owner role is the caller's business."""
    return [
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)),
        sql.SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(sql.Identifier(SCHEMA)),
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (digest text PRIMARY KEY, role text NOT NULL, "
            "definition jsonb NOT NULL, views jsonb NOT NULL, created timestamptz NOT NULL DEFAULT now())"
        ).format(REGISTRY),
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (catalogue text PRIMARY KEY, relations jsonb NOT NULL, "
            "bound timestamptz NOT NULL DEFAULT now())"
        ).format(BINDING),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(SCHEMA), sql.Identifier(OWNER)),
    ]


def owner_role_statement() -> sql.Composed:
    """The role that owns the views."""
    return sql.SQL(
        "CREATE ROLE {} NOLOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    ).format(sql.Identifier(OWNER))


def create_statements(
    profile: Profile, verifier: str, limits: RoleLimits | None = None, *, maps: frozenset[str] = frozenset()
) -> list[sql.Composed]:
    """All of a profile, for one transaction; `maps` are the ids of mapping tables that are there already.

    `verifier` is a SCRAM-SHA-256 verifier, never a password.
    """
    before, after = frame_statements(profile, verifier, limits, maps=maps)
    return [*before, *(each for view in profile.views for each in view_statements(profile, view)), *after]


def frame_statements(
    profile: Profile, verifier: str, limits: RoleLimits | None = None, *, maps: frozenset[str] = frozenset()
) -> tuple[list[sql.Composed], list[sql.Composed]]:
    """What of a profile comes before its views, and what after them."""
    limits = limits or RoleLimits()
    role = sql.Identifier(profile.role)
    before = [
        sql.SQL(
            "CREATE ROLE {} LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
            "CONNECTION LIMIT {} PASSWORD {}"
        ).format(role, sql.Literal(limits.connections), sql.Literal(verifier)),
        *role_settings(profile, limits),
        *(sql.SQL("CREATE SCHEMA {}").format(each) for each in _schemas(profile)),
        may_create(profile, True),
    ]
    for plan in profile.maps:
        if plan.id not in maps:
            before += map_statements(plan)
    after = [
        may_create(profile, False),
        *(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(each, role) for each in _schemas(profile)),
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(profile.database), role),
        copies_grant(profile.role),
    ]
    return before, after


def may_create(profile: Profile, may: bool) -> sql.Composed:  # noqa: FBT001 - yes or no is all it says
    """Whether the views' owner may make views in a profile's schema: only meanwhile."""
    form = "GRANT CREATE, USAGE ON SCHEMA {} TO {}" if may else "REVOKE CREATE ON SCHEMA {} FROM {}"
    return sql.SQL(form).format(sql.SQL(", ").join(_schemas(profile)), sql.Identifier(OWNER))


def _schemas(profile: Profile) -> list[sql.Identifier]:
    """Where the views of a profile are, and those with their rows in order."""
    names = [profile.schema, *([profile.schema + ORDERED_SUFFIX] if profile.ordered else [])]
    return [sql.Identifier(each) for each in names]


def copies_grant(role: str) -> sql.Composed:
    """Let a profile's role read the filtered copies of the catalogue."""
    return sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(_copies(), sql.Identifier(role))


def _copies() -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(each) for each in COPIES)


def copies_statements(made: Iterable[str], digest: str) -> list[sql.Composed]:
    """The schemas of the copies with all that is `made` in them, anew; `digest` is kept as their comment.

    Only their owner may create in them, and only meanwhile.
    """
    owner = sql.Identifier(OWNER)
    statements = [sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(_copies())]
    for schema in COPIES:
        name = sql.Identifier(schema)
        statements += [
            sql.SQL("CREATE SCHEMA {}").format(name),
            sql.SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(name),
            sql.SQL("GRANT CREATE, USAGE ON SCHEMA {} TO {}").format(name, owner),
        ]
    statements.append(sql.SQL("SET LOCAL ROLE {}").format(owner))
    statements += [sql.Composed([sql.SQL(each)]) for each in made]
    statements.append(sql.SQL("RESET ROLE").format())
    for schema in COPIES:
        name = sql.Identifier(schema)
        statements += [
            sql.SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(name, owner),
            sql.SQL("COMMENT ON SCHEMA {} IS {}").format(name, sql.Literal(digest)),
        ]
    return statements


def role_settings(profile: Profile, limits: RoleLimits) -> list[sql.Composed]:
    """What a session of the role starts with. The gateway refuses statements that change it."""
    role = sql.Identifier(profile.role)
    settings: list[tuple[str, sql.Composable]] = [
        ("search_path", sql.SQL("{}, pg_catalog").format(sql.Identifier(profile.schema))),
        ("default_transaction_read_only", sql.SQL("on")),
        ("statement_timeout", sql.Literal(limits.statement_ms)),
        ("idle_in_transaction_session_timeout", sql.Literal(limits.idle_in_transaction_ms)),
        ("lock_timeout", sql.Literal(limits.lock_ms)),
        ("work_mem", sql.Literal(limits.work_mem)),
        ("hash_mem_multiplier", sql.Literal(limits.hash_mem_multiplier)),
        ("max_parallel_workers_per_gather", sql.Literal(limits.parallel_workers)),
        ("client_connection_check_interval", sql.Literal(limits.connection_check_ms)),
        ("row_security", sql.SQL("on")),
        # no statistics pass a security barrier: joins are overestimated a thousandfold, so that they would be
        # compiled for nothing, and sorted for a merge join where a hash does
        ("jit", sql.SQL("off")),
        ("enable_mergejoin", sql.SQL("off")),
        # results are put in a full order (statement_order.py): a cursor that is read to its end sorts once
        ("cursor_tuple_fraction", sql.Literal(1)),
        ("standard_conforming_strings", sql.SQL("on")),
    ]
    return [
        sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), value)
        for name, value in settings
    ]


def may_limit_files(server_version: int) -> str:
    """The question whether the administrator may give roles a `temp_file_limit`."""
    granted = "has_parameter_privilege('temp_file_limit', 'SET')" if server_version >= 150_000 else "false"
    return f"SELECT current_setting('is_superuser') = 'on' OR {granted}"


def files_statement(profile: Profile, limits: RoleLimits) -> sql.Composed:
    """How much a process of the role may keep in temporary files; only some administrators may say that."""
    return sql.SQL("ALTER ROLE {} SET temp_file_limit = {}").format(
        sql.Identifier(profile.role), sql.Literal(limits.temp_files)
    )


def password_statement(role: str, verifier: str) -> sql.Composed:
    """A new password for a profile's role, as a SCRAM-SHA-256 verifier."""
    return sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))


def map_name(plan: MapPlan) -> sql.Identifier:
    """A mapping table's name."""
    return sql.Identifier(SCHEMA, plan.table)


def map_statements(plan: MapPlan) -> list[sql.Composed]:
    """A mapping table, made new. UNLOGGED: derived, refilled at start, and in no WAL or replica."""
    name = sql.Identifier(SCHEMA, plan.table)
    return [
        sql.SQL("CREATE UNLOGGED TABLE {} (raw {} NOT NULL, pseudonym uuid NOT NULL)").format(
            name, map_raw_type(plan)
        ),
        *map_index_statements(plan),
        sql.SQL("REVOKE ALL ON {} FROM PUBLIC").format(name),
        sql.SQL("GRANT SELECT ON {} TO {}").format(name, sql.Identifier(OWNER)),
    ]


def map_raw_type(plan: MapPlan) -> sql.Composable:
    """Type and collation of a mapping table's raw column."""
    raw: sql.Composable = sql.SQL(plan.storage_type)  # from the closed list of types with pseudonyms
    if plan.collation:
        raw = sql.SQL("{} COLLATE {}").format(raw, sql.Identifier(*plan.collation))
    return raw


def map_index_statements(plan: MapPlan) -> list[sql.Composed]:
    """The indexes of a mapping table, both ways. Raw values are unique, or a view would double its rows.

    Long values do not fit a btree: they are found by a hash index, and 128 bits of hash keep them unique.
    """
    name = sql.Identifier(SCHEMA, plan.table)
    hashed = {"text": "hashtextextended", "numeric": "hash_numeric_extended"}.get(plan.storage_type, "")
    forms = {
        "raw": "CREATE INDEX {} ON {} USING hash (raw)" if hashed else "CREATE UNIQUE INDEX {} ON {} (raw)",
        "pseudonym": "CREATE INDEX {} ON {} (pseudonym)",
    }
    if hashed:
        forms["one"] = f"CREATE UNIQUE INDEX {{}} ON {{}} ({hashed}(raw, 0), {hashed}(raw, 1))"
    else:
        forms = {
            "raw": forms["raw"] + " INCLUDE (pseudonym)",
            "pseudonym": forms["pseudonym"] + " INCLUDE (raw)",
        }
    return [sql.SQL(form).format(sql.Identifier(f"{plan.table}_{key}"), name) for key, form in forms.items()]


def map_unindex_statements(plan: MapPlan) -> list[sql.Composed]:
    """The indexes away, for the time of a bulk load."""
    keys = ("raw", "pseudonym", "one") if plan.wide else ("raw", "pseudonym")
    return [sql.SQL("DROP INDEX {}").format(sql.Identifier(SCHEMA, f"{plan.table}_{each}")) for each in keys]


def drop_statements(role: str, database: str) -> list[sql.Composed]:
    """A profile away: its views, schema, grants and role. No session may use it."""
    return [
        sql.SQL("DROP SCHEMA IF EXISTS {}, {} CASCADE").format(
            sql.Identifier(role), sql.Identifier(role + ORDERED_SUFFIX)
        ),
        sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}").format(_copies(), sql.Identifier(role)),
        sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(sql.Identifier(database), sql.Identifier(role)),
        sql.SQL("DROP ROLE {}").format(sql.Identifier(role)),
    ]


def view_query(view: ViewPlan, maps: dict[str, MapPlan], *, ordered: bool = False) -> sql.Composed:
    """The SELECT of a view.

    `ordered`: its rows come in the order that statement_order.py would fill in, along the index of a mapping
    table: through a security barrier no order from outside finds that index.
    """
    table = sql.Identifier("t")
    columns: list[sql.Composable] = []
    values: list[sql.Composable] = []
    first: sql.Composable | None = None
    joins: list[sql.Composable] = []
    conditions: list[sql.Composable] = []
    for number, column in enumerate(view.columns):
        source = sql.SQL("{}.{}").format(table, sql.Identifier(column.name))
        name = sql.Identifier(column.name)
        if column.rendering.form is not Form.PSEUDONYM:
            values.append(_rendered(column, source))
            columns.append(sql.SQL("{} AS {}").format(values[-1], name))
            continue
        plan = maps[column.map]
        alias = sql.Identifier(f"m{number}")
        pseudonym = sql.SQL("{}.pseudonym").format(alias)
        values.append(pseudonym)
        columns.append(sql.SQL("{} AS {}").format(pseudonym, name))
        if first is None and column.not_null:
            first = pseudonym
        join = sql.SQL("JOIN" if column.not_null else "LEFT JOIN")
        joins.append(
            sql.SQL("{} {} AS {} ON {}.raw = {}").format(
                join,
                sql.Identifier(SCHEMA, plan.table),
                alias,
                alias,
                source_expression(plan, column.data_type, source),
            )
        )
        if not column.not_null:
            conditions.append(sql.SQL("({} IS NULL OR {} IS NOT NULL)").format(source, pseudonym))
    query = sql.SQL("SELECT {} FROM {} AS {}").format(
        sql.SQL(", ").join(columns), sql.Identifier(view.schema, view.table), table
    )
    if joins:
        query += sql.SQL(" ") + sql.SQL(" ").join(joins)
    if conditions:
        query += sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions)
    if ordered and first is not None:
        query += sql.SQL(" ORDER BY {}, ROW({}) USING OPERATOR(pg_catalog.*<)").format(
            first, sql.SQL(", ").join(values)
        )
    return query


def _rendered(column: ViewColumn, source: sql.Composable) -> sql.Composable:
    how = column.rendering
    if how.form is Form.RAW:
        return source
    if how.cast:
        cast = sql.SQL(how.cast)  # a constant of `forms_sql`
        source = sql.SQL("({})::{}").format(source, cast)
    return sql.SQL("{}({})").format(sql.Identifier(SCHEMA, how.function), source)


def source_expression(plan: MapPlan, data_type: str, source: sql.Composable) -> sql.Composable:
    """A base column as the raw column of its mapping table compares with it: same type, same collation."""
    if bare_type(data_type) in {"character", "bpchar", "citext", "name"}:
        source = sql.SQL("({})::text").format(source)
    if plan.collation:
        source = sql.SQL("({} COLLATE {})").format(source, sql.Identifier(*plan.collation))
    return source


def _handed_over(name: sql.Identifier, role: str) -> list[sql.Composed]:
    return [
        sql.SQL("REVOKE ALL ON {} FROM PUBLIC").format(name),
        sql.SQL("GRANT SELECT ON {} TO {}").format(name, sql.Identifier(role)),
        # last: afterwards an administrator who is no superuser may not grant any more
        sql.SQL("ALTER VIEW {} OWNER TO {}").format(name, sql.Identifier(OWNER)),
    ]


def view_statements(profile: Profile, view: ViewPlan) -> list[sql.Composed]:
    """One view of a profile, with the privileges that it needs."""
    maps = {each.id: each for each in profile.maps}
    name = sql.Identifier(profile.schema, view.name)
    base = sql.Identifier(view.schema, view.table)
    needed = sql.SQL(", ").join(sql.Identifier(each.name) for each in view.columns)
    return [
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(view.schema), sql.Identifier(OWNER)),
        sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(needed, base, sql.Identifier(OWNER)),
        sql.SQL("CREATE VIEW {} WITH (security_barrier = true) AS {}").format(name, view_query(view, maps)),
        *_handed_over(name, profile.role),
        *(_ordered_statements(profile, view, maps) if view.ordered else ()),
    ]


def _ordered_statements(profile: Profile, view: ViewPlan, maps: dict[str, MapPlan]) -> list[sql.Composed]:
    """The view once more, with its rows in order, for queries that take its first rows."""
    name = sql.Identifier(profile.schema + ORDERED_SUFFIX, view.name)
    query = view_query(view, maps, ordered=True)
    return [
        sql.SQL("CREATE VIEW {} WITH (security_barrier = true) AS {}").format(name, query),
        *_handed_over(name, profile.role),
    ]


__all__ = [
    "BINDING",
    "OWNER",
    "REGISTRY",
    "RoleLimits",
    "bootstrap_statements",
    "copies_grant",
    "copies_statements",
    "create_statements",
    "drop_statements",
    "files_statement",
    "frame_statements",
    "map_index_statements",
    "map_name",
    "map_raw_type",
    "map_statements",
    "map_unindex_statements",
    "may_create",
    "may_limit_files",
    "owner_role_statement",
    "password_statement",
    "role_settings",
    "source_expression",
    "view_query",
    "view_statements",
]
