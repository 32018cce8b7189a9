"""One database of a site, as the provisioner sees it: bootstrap, binding, audit, profiles, collection.

Synchronous, with an administrative connection; the process calls it from threads. Every change of the
database is one transaction under one advisory lock, so a crash leaves all of it or nothing, and two
provisioners do not meet half-way. Invariants: a profile is made once, under its digest, and never altered
but for its password, which is new for each run and reaches the server only as a SCRAM verifier; on a
database that is not ours nothing is revoked from PUBLIC; error texts of the server are not passed on.
DESIGN section 5.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from psycopg import sql

from ringfort.disclosure import audit, catalog_copies, forms_sql, views
from ringfort.disclosure.binding import RELATIONS, binding_from, binding_json, binding_of
from ringfort.disclosure.profile import Binding, Profile, maps_from_json
from ringfort.disclosure.statement_surface import ORDERED_SUFFIX
from ringfort.errors import CheckFailedError, MissingEnvironmentError
from ringfort.gateway.provisioner_operate import drop_expired, make_role, owner_of, require_reach
from ringfort.gateway.provisioner_reach import Reach, numbers_of, reach
from ringfort.gateway.verifiers import postgres_verifier
from ringfort.pgwire.scram import build_verifier
from ringfort.sites.connect import admin_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ringfort.catalog.model import Dataset
    from ringfort.disclosure.audit import Finding
    from ringfort.disclosure.profile import MapPlan
    from ringfort.gateway.provisioner_operate import Operation
    from ringfort.privacy.pseudonym import Domain

    Connection = psycopg.Connection[tuple[Any, ...]]

PROVISION_LOCK = 0x52465052  # "RFPR"
GRACE_SECONDS = 600.0
_NAMING_CLASSES = frozenset({"08", "28", "2B", "3D", "3F", "42", "53", "55", "57"})


class SiteDatabase:
    """A database of a site. `ours` is true for an embedded one: then surplus access is taken away.

    Thread-safe: one caller at a time holds the connection.
    """

    def __init__(
        self,
        *,
        site: str,
        country: str,
        database: str,
        dsn: str,
        ours: bool,
        limits: views.RoleLimits | None = None,
    ) -> None:
        self.site = site
        self.country = country
        self.database = database
        self.dsn = dsn
        self.ours = ours
        self.limits = limits or views.RoleLimits()
        self.findings: tuple[Finding, ...] = ()
        self.audited = False
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._passwords: dict[str, str] = {}
        self._opened: dict[str, float] = {}
        self._expected: dict[str, tuple[Domain, str]] = {}
        self._started = time.monotonic()

    # -- connection --------------------------------------------------------------------------------

    def connect(self) -> Connection:
        """A new administrative connection, autocommit, with nothing but `pg_catalog` in its search path."""
        connection = admin_connection(self.dsn, application_name="ringfort provisioner")
        connection.execute("SET search_path = pg_catalog")
        return connection

    @contextlib.contextmanager
    def _administrator(self) -> Iterator[Connection]:
        with self._lock:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = self.connect()
                yield self._connection
            except psycopg.Error as error:
                connection, self._connection = self._connection, None
                if connection is not None:
                    with contextlib.suppress(psycopg.Error):
                        connection.close()
                raise administration_error(self.database, error) from None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction that changes the database, alone."""
        with self._administrator() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '10s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (PROVISION_LOCK,))
            yield connection

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(psycopg.Error):
                    self._connection.close()
                self._connection = None

    # -- bootstrap, binding, audit -----------------------------------------------------------------

    def bootstrap(self) -> None:
        """Schema `ringfort`, its tables and functions, and the views' owner. Idempotent.

        Raises `CheckFailedError` if the schema belongs to somebody else.
        """
        with self._changing() as connection:
            owner = connection.execute(
                "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %s",
                (forms_sql.SCHEMA,),
            ).fetchone()
            if owner is not None and not owner[0]:
                raise CheckFailedError(
                    f"schema `{forms_sql.SCHEMA}` of database `{self.database}` belongs to another role",
                    hint="drop it, or connect as its owner",
                )
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (views.OWNER,)).fetchone():
                connection.execute(views.owner_role_statement())
            self._join_owner(connection)
            for statement in views.bootstrap_statements():
                connection.execute(statement)
            for statement in forms_sql.create_statements():
                connection.execute(statement)
            self._make_copies(connection)
            if self.ours:
                connection.execute(
                    sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(self.database))
                )

    def _make_copies(self, connection: Connection) -> None:
        """The filtered copies of the catalogue, if they are not those of this release and server already."""
        columns = connection.execute(catalog_copies.COLUMNS_QUERY).fetchall()
        made = catalog_copies.statements(columns, connection.info.server_version)
        digest = catalog_copies.digest(made)
        kept = connection.execute(
            "SELECT obj_description(oid, 'pg_namespace'), pg_has_role(nspowner, 'USAGE') FROM pg_namespace "
            "WHERE nspname = ANY (%s)",
            (list(catalog_copies.SCHEMAS),),
        ).fetchall()
        if not all(row[1] for row in kept):
            raise CheckFailedError(
                f"a schema of the catalogue's copies in database `{self.database}` belongs to another role",
                hint="drop it, or connect as its owner",
            )
        if [row[0] for row in kept] == [digest] * len(catalog_copies.SCHEMAS):
            return
        for statement in views.copies_statements(made, digest):
            connection.execute(statement)
        for role in self._roles(connection):
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                connection.execute(views.copies_grant(role))

    def _join_owner(self, connection: Connection) -> None:
        """Who hands views over to their owner must be able to become it; superusers are."""
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if row is None or row[0]:
            return
        options = sql.SQL(
            " WITH INHERIT FALSE, SET TRUE" if connection.info.server_version >= 160_000 else ""
        )
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(views.OWNER)) + options)

    def found(self, datasets: Iterable[Dataset]) -> Binding:
        """The catalogued tables as the database has them now."""
        wanted = [(table.schema, table.name) for dataset in datasets for table in dataset.tables]
        with self._administrator() as connection:
            rows = connection.execute(
                RELATIONS, {"schemas": [each[0] for each in wanted], "tables": [each[1] for each in wanted]}
            ).fetchall()
        return binding_of(rows)

    def bound(self, catalogue: str, datasets: Iterable[Dataset], *, anew: bool = False) -> Binding:
        """The numbers that the catalogue of this digest was bound to; binds it if it never was, or `anew`."""
        with self._administrator() as connection:
            row = connection.execute(
                sql.SQL("SELECT relations FROM {} WHERE catalogue = %s").format(views.BINDING), (catalogue,)
            ).fetchone()
        if row is not None and not anew:
            return binding_from(row[0])
        found = self.found(datasets)
        with self._changing() as connection:
            connection.execute(
                sql.SQL(
                    "INSERT INTO {} (catalogue, relations) VALUES (%s, %s) ON CONFLICT (catalogue) DO UPDATE "
                    "SET relations = EXCLUDED.relations, bound = now()"
                ).format(views.BINDING),
                (catalogue, orjson.dumps(binding_json(found)).decode()),
            )
        return found

    def audit(self) -> tuple[Finding, ...]:
        """List what profile roles can reach; on a database of ours, first take the surplus away."""
        with self._administrator() as connection:
            roles = self._roles(connection)
            found = _audit(connection, roles)
            if self.ours:
                with self._changing() as changing:
                    for statement in audit.hardening_statements(found, noted=True):
                        with contextlib.suppress(psycopg.Error), changing.transaction():
                            changing.execute(statement.encode())
                found = _audit(connection, roles)
        self.findings, self.audited = found, True
        return found

    def require_audited(self) -> None:
        """Raise `CheckFailedError` unless the last audit found no surplus."""
        found = audit.surplus(self.findings)
        if not self.audited or found:
            first = f": {found[0]}" if found else ""
            raise CheckFailedError(
                f"database `{self.database}` is not served: {len(found)} accesses more than needed{first}"
                if self.audited
                else f"database `{self.database}` is not served: it has not been audited",
                hint="; ".join(audit.hardening_statements(found)[:3]) or "see the provisioner's log",
                sqlstate="57P03",
            )

    def _roles(self, connection: Connection) -> list[str]:
        rows = connection.execute(sql.SQL("SELECT role FROM {}").format(views.REGISTRY)).fetchall()
        return [row[0] for row in rows]

    # -- profiles ----------------------------------------------------------------------------------

    def ensure_profile(self, profile: Profile) -> str:
        """Make the profile if it is not there; gives the password of its role for this run."""
        with self._administrator() as connection:
            self._opened[profile.role] = time.monotonic()
            password = self._passwords.get(profile.role)
            if password is not None and self._intact(connection, profile):
                return password
            password = secrets.token_urlsafe(32)
            verifier = postgres_verifier(build_verifier(password, secrets.token_bytes(16)))
            with self._changing() as changing:
                if self._intact(changing, profile):
                    changing.execute(views.password_statement(profile.role, verifier))
                else:
                    self._create(changing, profile, verifier)
            self._passwords[profile.role] = password
            return password

    def ensure_operation(self, operation: Operation, bound: Binding) -> str:
        """Make the role of an operate session if it is not there; gives its password for this run."""
        with self._changing() as connection:
            owner = owner_of(connection, operation, bound)
            require_reach(connection, operation, bound)
            known = connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", (operation.role,)
            ).fetchone()
            password = self._passwords.get(operation.role) if known else None
            if password is None:
                password = make_role(connection, operation, owner)
        self._passwords[operation.role] = password
        return password

    def reach(self, tables: Iterable[tuple[str, str]]) -> Reach:
        """What a change of `tables` (schema and name) reaches beside them, as the database is now."""
        with self._administrator() as connection:
            return reach(connection, numbers_of(connection, tables))

    def _create(self, connection: Connection, profile: Profile, verifier: str) -> None:
        self._remove(connection, profile.role)
        present = connection.execute(
            "SELECT substr(relname, 5) FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' "
            "AND relname = ANY (%s)",
            (forms_sql.SCHEMA, [each.table for each in profile.maps]),
        ).fetchall()
        maps = frozenset(row[0] for row in present)
        for statement in views.create_statements(profile, verifier, self.limits, maps=maps):
            connection.execute(statement)
        for each in profile.maps:
            self._expected.pop(each.id, None)
        connection.execute(
            sql.SQL("INSERT INTO {} (digest, role, definition, views) VALUES (%s, %s, %s, %s)").format(
                views.REGISTRY
            ),
            (
                profile.digest,
                profile.role,
                orjson.dumps(profile.to_json()).decode(),
                orjson.dumps(_definitions(connection, profile.role)).decode(),
            ),
        )
        found = audit.surplus(_audit(connection, [profile.role]))
        own = [each for each in found if each.grantee == profile.role]
        if own:
            raise CheckFailedError(f"the new profile could reach more than it needs: {own[0]}")

    def _intact(self, connection: Connection, profile: Profile) -> bool:
        """Whether the profile is there, its role and its views as they were made."""
        row = connection.execute(
            sql.SQL(
                "SELECT p.views FROM {} AS p JOIN pg_roles AS r ON r.rolname = p.role WHERE p.digest = %s"
            ).format(views.REGISTRY),
            (profile.digest,),
        ).fetchone()
        return row is not None and row[0] == _definitions(connection, profile.role)

    def _remove(self, connection: Connection, role: str) -> None:
        connection.execute(sql.SQL("DELETE FROM {} WHERE role = %s").format(views.REGISTRY), (role,))
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
            for statement in views.drop_statements(role, self.database):
                connection.execute(statement)
        else:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(role)))

    def kept(self) -> list[tuple[Domain, str, tuple[MapPlan, ...]]]:
        """Domain, key id and mapping tables of each profile that is there."""
        with self._administrator() as connection:
            rows = connection.execute(sql.SQL("SELECT definition FROM {}").format(views.REGISTRY)).fetchall()
        return [maps_from_json(row[0]) for row in rows]

    def expect(self, domain: Domain, key: str, plans: Iterable[MapPlan]) -> None:
        """Make mapping tables that no profile uses yet, for a new epoch; they stay until one does."""
        with self._changing() as connection:
            for plan in plans:
                name = views.map_name(plan)
                if connection.execute("SELECT to_regclass(%s)", (name.as_string(),)).fetchone() == (None,):
                    for statement in views.map_statements(plan):
                        connection.execute(statement)
                self._expected[plan.id] = (domain, key)

    def retire(self, usable: Callable[[Domain, str], bool]) -> list[str]:
        """Drop every profile whose epoch (domain, key id) is not usable any more, in use or not.

        Its sessions are over by then; connections that linger are ended. Gives the mapping tables dropped.
        """
        with self._changing() as connection:
            rows = connection.execute(
                sql.SQL("SELECT role, definition FROM {}").format(views.REGISTRY)
            ).fetchall()
            gone = []
            for role, definition in rows:
                domain, kept_key, maps = maps_from_json(definition)
                if maps and not usable(domain, kept_key):
                    gone.append(role)
            for role in gone:
                with contextlib.suppress(psycopg.Error), connection.transaction():  # who may not, waits
                    connection.execute(
                        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = %s",
                        (role,),
                    )
                self._remove(connection, role)
                self._passwords.pop(role, None)
            stale = [each for each, of in self._expected.items() if not usable(*of)]
            for each in stale:
                del self._expected[each]
            dropped = self._drop_maps(connection) if gone or stale else []
            if gone:
                _revoke_unneeded(connection)
        return dropped

    def collect(self, keep: set[str], grace: float = GRACE_SECONDS) -> list[str]:
        """Drop profiles not in `keep` (digests), not opened for `grace` seconds and without a session.

        Mapping tables that no profile uses any longer go with them, and grants to the views' owner that no
        view needs. Gives the mapping tables that were dropped.
        """
        now = time.monotonic()
        with self._changing() as connection:
            rows = connection.execute(
                sql.SQL(
                    "SELECT digest, role, EXISTS (SELECT FROM pg_stat_activity WHERE usename = role) FROM {}"
                ).format(views.REGISTRY)
            ).fetchall()
            gone = [
                role
                for digest, role, busy in rows
                if not busy and digest not in keep and now - self._opened.get(role, self._started) >= grace
            ]
            for role in gone:
                self._remove(connection, role)
                self._passwords.pop(role, None)
            dropped = self._drop_maps(connection) if gone else []
            if gone:
                _revoke_unneeded(connection)
            drop_expired(connection)
        return dropped

    def _drop_maps(self, connection: Connection) -> list[str]:
        rows = connection.execute(
            sql.SQL(
                "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = %s::regnamespace "
                "AND c.relkind = 'r' AND c.relname ~ '^map_[0-9a-f]{{24}}$' AND NOT EXISTS (SELECT FROM {}, "
                "jsonb_array_elements(definition -> 'maps') AS m WHERE 'map_' || (m ->> 'id') = c.relname)"
            ).format(views.REGISTRY),
            (forms_sql.SCHEMA,),
        ).fetchall()
        names = [name for (name,) in rows if name.removeprefix("map_") not in self._expected]
        for name in names:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(forms_sql.SCHEMA, name)))
        return [name.removeprefix("map_") for name in names]


def _audit(connection: Connection, roles: list[str]) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for query in audit.QUERIES:
        if connection.info.server_version >= query.since * 10_000:
            rows = connection.execute(query.text.encode(), audit.parameters(roles)).fetchall()
            found += audit.findings(query.sort, rows)
    return tuple(found)


def _definitions(connection: Connection, schema: str) -> dict[str, str]:
    """The views of a profile's schemas: name -> digest of definition, options and owner."""
    rows = connection.execute(
        "SELECT CASE n.nspname WHEN %(schema)s THEN '' ELSE 'ordered ' END || c.relname, "
        "pg_get_viewdef(c.oid), c.reloptions::text, pg_get_userbyid(c.relowner), c.relacl::text "
        "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname IN (%(schema)s, %(ordered)s)",
        {"schema": schema, "ordered": schema + ORDERED_SUFFIX},
    ).fetchall()
    return {row[0]: hashlib.sha256(orjson.dumps(row[1:])).hexdigest() for row in rows}


def _revoke_unneeded(connection: Connection) -> None:
    """Columns that the views' owner may read and that no view of ours uses."""
    rows = connection.execute(
        """
        SELECT n.nspname, c.relname, a.attname FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace,
        LATERAL aclexplode(a.attacl) AS x
        WHERE x.grantee = %(owner)s::regrole AND NOT EXISTS (
            SELECT FROM pg_depend AS d JOIN pg_rewrite AS w ON w.oid = d.objid
            AND d.classid = 'pg_rewrite'::regclass JOIN pg_class AS v ON v.oid = w.ev_class
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum
            AND v.relowner = %(owner)s::regrole
        )
        """,
        {"owner": views.OWNER},
    ).fetchall()
    for schema, table, column in rows:
        connection.execute(
            sql.SQL("REVOKE ALL ({}) ON {} FROM {}").format(
                sql.Identifier(column), sql.Identifier(schema, table), sql.Identifier(views.OWNER)
            )
        )


def administration_error(database: str, error: psycopg.Error) -> MissingEnvironmentError:
    """The error in our words; the server's only for classes whose messages name objects, not values."""
    sqlstate = error.sqlstate or "57P03"
    reason = error.diag.message_primary or "" if sqlstate[:2] in _NAMING_CLASSES else ""
    return MissingEnvironmentError(
        f"the administration of database `{database}` failed with SQLSTATE {sqlstate}"
        + (f": {reason}" if reason else ""),
        hint="see the server's log",
    )


__all__ = ["SiteDatabase", "administration_error"]
