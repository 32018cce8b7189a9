"""One database of a site, as the provisioner sees it: bootstrap, binding and audit; profiles are beneath.

Synchronous, with administrative connections; the process calls it from threads. Every change of the database
is one transaction under one advisory lock, so a crash leaves all of it or nothing, and two provisioners do
not meet half-way. Invariant: on a database that is not ours nothing is revoked from PUBLIC. DESIGN section 5.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from psycopg import sql

from ringfort.disclosure import audit, catalog_copies, forms_sql, views
from ringfort.disclosure.binding import CHANGES, RELATIONS, binding_from, binding_json, binding_of
from ringfort.disclosure.column_types import COLUMN_TYPES, column_types
from ringfort.errors import CheckFailedError
from ringfort.gateway.provisioner_connections import administration_error
from ringfort.gateway.provisioner_profiles import Profiles, audit_of
from ringfort.sites.transfer_roles import Swept, sweep_and_say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.catalog.model import Dataset
    from ringfort.disclosure.audit import Finding
    from ringfort.disclosure.profile import Binding

    Connection = psycopg.Connection[tuple[Any, ...]]


class SiteDatabase(Profiles):
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
        super().__init__(database=database, dsn=dsn, limits=limits)
        self.site = site
        self.country = country
        self.ours = ours
        self.findings: tuple[Finding, ...] = ()
        self.audited = False
        self.swept = Swept()
        self._found: dict[tuple[tuple[str, str], ...], tuple[str, Binding]] = {}
        self._bindings: dict[str, Binding] = {}

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
        """The catalogued tables as the database has them now; read anew only if one has changed."""
        wanted = tuple((table.schema, table.name) for dataset in datasets for table in dataset.tables)
        named = {"schemas": [each[0] for each in wanted], "tables": [each[1] for each in wanted]}
        with self._looking() as connection:
            (mark,) = connection.execute(CHANGES, named).fetchone() or ("",)
            known = self._found.get(wanted)
            if known is not None and known[0] == mark:
                return known[1]
            types = column_types(connection.execute(COLUMN_TYPES, named).fetchall())
            found = binding_of(connection.execute(RELATIONS, named).fetchall(), types)
        self._found = {wanted: (mark, found)}
        return found

    def bound(self, catalogue: str, datasets: Iterable[Dataset], *, anew: bool = False) -> Binding:
        """The numbers that the catalogue of this digest was bound to; binds it if it never was, or `anew`."""
        known = self._bindings.get(catalogue)
        if known is not None and not anew:
            return known
        with self._looking() as connection:
            row = connection.execute(
                sql.SQL("SELECT relations FROM {} WHERE catalogue = %s").format(views.BINDING), (catalogue,)
            ).fetchone()
            if row is not None and not anew:
                found = binding_from(row[0])
            else:
                found = self.found(datasets)
                connection.execute(
                    sql.SQL(
                        "INSERT INTO {} (catalogue, relations) VALUES (%s, %s) ON CONFLICT (catalogue) "
                        "DO UPDATE SET relations = EXCLUDED.relations, bound = now()"
                    ).format(views.BINDING),
                    (catalogue, orjson.dumps(binding_json(found)).decode()),
                )
        self._bindings = {catalogue: found}
        return found

    def audit(self) -> tuple[Finding, ...]:
        """List what profile roles can reach; on a database of ours, first take the surplus away.

        Roles that killed transfers left are dropped, wherever the database is: Ringfort made them.
        """
        with self._auditing() as connection:
            self.swept = sweep_and_say(connection, self.database)
            roles = self._roles(connection)
            found = audit_of(connection, roles)
            if self.ours:
                with self.alone(connection):
                    for statement in audit.hardening_statements(found, noted=True):
                        with contextlib.suppress(psycopg.Error), connection.transaction():
                            connection.execute(statement.encode())
                found = audit_of(connection, roles)
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


__all__ = ["SiteDatabase", "administration_error"]
