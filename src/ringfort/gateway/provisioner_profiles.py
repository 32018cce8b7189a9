"""Profiles in a database: made, found as they were made, completed, retired, collected.

A profile is made once, under its digest, in one transaction, and never altered but for its password, which is
new for each run and reaches the server only as a SCRAM verifier. Whether a known one is still as it was made
is told by the row versions of its role and views: one question that locks no relation. Only if those moved,
the views themselves are compared, by the text of their stored action.

Fail alone: a table whose view cannot be made (locked, not readable by the administrator) costs that view. The
profile is made without it, `missing` says why, and `complete` tries again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from psycopg import sql

from ringfort.disclosure import audit, forms_sql, views
from ringfort.disclosure.profile import maps_from_json
from ringfort.disclosure.statement_surface import ORDERED_SUFFIX
from ringfort.errors import CheckFailedError, MissingEnvironmentError
from ringfort.gateway.mapping_state import LOCKED, LONGEST_PAUSE, fault_words
from ringfort.gateway.provisioner_connections import SiteConnections
from ringfort.gateway.provisioner_operate import drop_expired, make_role, owner_of, require_reach
from ringfort.gateway.provisioner_reach import Reach, numbers_of, reach
from ringfort.gateway.verifiers import postgres_verifier
from ringfort.pgwire.scram import build_verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ringfort.disclosure.audit import Finding
    from ringfort.disclosure.profile import Binding, MapPlan, Profile, ViewPlan
    from ringfort.gateway.provisioner_operate import Operation
    from ringfort.privacy.pseudonym import Domain

    Connection = psycopg.Connection[tuple[Any, ...]]

LOG = logging.getLogger(__name__)
GRACE_SECONDS = 600.0
STATEMENTS_AT_ONCE = 500
_MARK = sql.SQL(
    """
    SELECT r.oid::text || ' ' || p.digest || md5(coalesce(string_agg(
        concat_ws(' ', c.oid, c.xmin, w.oid, w.xmin), ',' ORDER BY c.oid, w.oid), ''))
    FROM {} AS p JOIN pg_roles AS r ON r.rolname = p.role
    LEFT JOIN pg_namespace AS n ON n.nspname IN (p.role, p.role || %s)
    LEFT JOIN pg_class AS c ON c.relnamespace = n.oid
    LEFT JOIN pg_rewrite AS w ON w.ev_class = c.oid WHERE p.digest = %s GROUP BY r.oid, p.digest
    """
).format(views.REGISTRY)
_DEFINITIONS = """
SELECT CASE n.nspname WHEN %(schema)s THEN '' ELSE 'ordered ' END || c.relname,
    md5(w.ev_action::text), c.reloptions::text, pg_get_userbyid(c.relowner), c.relacl::text
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_rewrite AS w ON w.ev_class = c.oid WHERE n.nspname IN (%(schema)s, %(ordered)s)
"""
_LOCKED = """
SELECT DISTINCT relation::bigint FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = ANY (%s)
"""


@dataclass
class _Made:
    """A profile of this run: its password, the mark of its rows, and why views are `missing`."""

    profile: Profile
    password: str
    mark: str
    missing: dict[str, str] = field(default_factory=dict)
    due: float = 0.0
    pause: float = 2.0
    since: float = field(default_factory=time.time)


class Profiles(SiteConnections):
    """The profiles of one database. Thread-safe."""

    def __init__(self, *, database: str, dsn: str, limits: views.RoleLimits | None = None) -> None:
        super().__init__(database=database, dsn=dsn)
        self.limits = limits or views.RoleLimits()
        self._made: dict[str, _Made] = {}
        self._passwords: dict[str, str] = {}
        self._opened: dict[str, float] = {}
        self._expected: dict[str, tuple[Domain, str]] = {}
        self._started = time.monotonic()

    def _roles(self, connection: Connection) -> list[str]:
        rows = connection.execute(sql.SQL("SELECT role FROM {}").format(views.REGISTRY)).fetchall()
        return [row[0] for row in rows]

    # -- opening -------------------------------------------------------------------------------------

    def ensure_profile(self, profile: Profile) -> str:
        """Make the profile if it is not there; gives the password of its role for this run."""
        return self.known_profile(profile) or self.make_profile(profile)

    def known_profile(self, profile: Profile) -> str | None:
        """The password of a profile that is there as it was made, None if it has to be made.

        Waits for no change and for no lock. The first time in a run the role gets its new password.
        """
        self._opened[profile.role] = time.monotonic()
        made = self._made.get(profile.digest)
        with self._looking() as connection:
            mark = _mark(connection, profile)
            if made is not None and made.mark == mark:
                return made.password
            found = self._intact(connection, profile)
            if found is None:
                return None
            if made is None:
                made = self._adopt(connection, profile, found)
            made.mark = mark or ""
            return made.password

    def _adopt(self, connection: Connection, profile: Profile, found: dict[str, str]) -> _Made:
        """A profile of an earlier run, as of now with a password of this one."""
        password, verifier = _new_password()
        connection.execute(views.password_statement(profile.role, verifier))
        _execute(connection, self._settings(connection, profile))  # those of this release
        missing = dict.fromkeys(sorted(set(profile.relations) - found.keys()), "it was not there before")
        made = _Made(profile, password, "", missing)
        self._made[profile.digest] = made
        return made

    def _settings(self, connection: Connection, profile: Profile) -> list[sql.Composed]:
        settings = views.role_settings(profile, self.limits)
        may = views.may_limit_files(connection.info.server_version)
        if connection.execute(may.encode()).fetchone() == (True,):
            settings.append(views.files_statement(profile, self.limits))
        return settings

    def make_profile(self, profile: Profile) -> str:
        """Make the profile, or find that somebody has; gives the password of its role for this run."""
        password = self.known_profile(profile)
        if password is not None:
            return password
        started = time.monotonic()
        password, verifier = _new_password()
        with self._change.lock:
            try:
                with self._changing() as connection:
                    missing = self._create(connection, profile, verifier)
            except MissingEnvironmentError:  # whatever it was, the next try says which table it is about
                LOG.info(
                    "profile %s in %s is made view by view",
                    profile.role,
                    self.database,
                    extra={"event": "profile-by-view", "session": None},
                )
                with self._changing() as connection:
                    missing = self._create(connection, profile, verifier, one_by_one=True)
            with self._at(self._change) as connection:
                mark = _mark(connection, profile)
        made = _Made(profile, password, mark or "", missing)
        self._made[profile.digest] = made
        for name, reason in missing.items():
            LOG.warning(
                "profile %s in %s is without view %s: %s", profile.role, self.database, name, reason,
                extra={"event": "view-left-out", "session": None},
            )  # fmt: skip
        if time.monotonic() - started > 1:
            LOG.info(
                "profile %s in %s is made, which took %.1f s", profile.role, self.database,
                time.monotonic() - started, extra={"event": "profile-made", "session": None},
            )  # fmt: skip
        return password

    def missing(self, profile: Profile) -> dict[str, str]:
        """Views of a profile that are not there, with the reason."""
        made = self._made.get(profile.digest)
        return dict(made.missing) if made is not None else {}

    def left_out(self) -> list[tuple[str, str, str, float]]:
        """Role, base table, reason and since when (seconds since 1970) of each view that is not there."""
        found = []
        for made in list(self._made.values()):
            tables = {each.name: f"{each.schema}.{each.table}" for each in made.profile.views}
            found += [
                (made.profile.role, tables.get(name, name), why, made.since)
                for name, why in made.missing.items()
            ]
        return found

    def complete(self) -> bool:
        """Try to make views that are missing; true if one was made."""
        news = False
        for made in [each for each in self._made.values() if each.missing and each.due <= time.monotonic()]:
            profile = made.profile
            with self._changing() as connection:
                if self._intact(connection, profile) is None:
                    continue  # dropped meanwhile
                wanted = [each for each in profile.views if each.name in made.missing]
                left = self._locked(connection, wanted)  # new profiles wait here: not for a lock as well
                wanted = [each for each in wanted if each.name not in left]
                if wanted:
                    connection.execute(views.may_create(profile, True))
                    left |= self._views_one_by_one(connection, profile, wanted)
                    connection.execute(views.may_create(profile, False))
                    self._register(connection, profile)
                mark = _mark(connection, profile)
            news = news or len(left) < len(made.missing)
            made.missing, made.mark = left, mark or ""
            made.pause = min(made.pause * 2, LONGEST_PAUSE)
            made.due = time.monotonic() + made.pause
        return news

    def _create(
        self, connection: Connection, profile: Profile, verifier: str, *, one_by_one: bool = False
    ) -> dict[str, str]:
        """All of a profile in a transaction; gives the views that had to be left out, with the reason."""
        self._remove(connection, profile.role)
        present = connection.execute(
            "SELECT substr(relname, 5) FROM pg_class WHERE relnamespace = %s::regnamespace "
            "AND relkind = 'r' AND relname = ANY (%s)",
            (forms_sql.SCHEMA, [each.table for each in profile.maps]),
        ).fetchall()
        before, after = views.frame_statements(
            profile, verifier, self.limits, maps=frozenset(row[0] for row in present)
        )
        _execute(connection, before)
        _execute(connection, self._settings(connection, profile))
        missing = self._locked(connection, profile.views)
        wanted = [each for each in profile.views if each.name not in missing]
        if one_by_one:
            missing |= self._views_one_by_one(connection, profile, wanted)
        else:
            _execute(connection, [each for view in wanted for each in views.view_statements(profile, view)])
        _execute(connection, after)
        for each in profile.maps:
            self._expected.pop(each.id, None)
        self._register(connection, profile)
        found = audit.surplus(audit_of(connection, [profile.role]))
        own = [each for each in found if each.grantee == profile.role]
        if own:
            raise CheckFailedError(f"the new profile could reach more than it needs: {own[0]}")
        return missing

    @staticmethod
    def _locked(connection: Connection, plans: Sequence[ViewPlan]) -> dict[str, str]:
        """Views whose table somebody has locked at present, with that as the reason."""
        rows = connection.execute(_LOCKED, ([each.oid for each in plans],)).fetchall()
        locked = {row[0] for row in rows}
        return {each.name: LOCKED for each in plans if each.oid in locked}

    @staticmethod
    def _views_one_by_one(
        connection: Connection, profile: Profile, wanted: Sequence[ViewPlan]
    ) -> dict[str, str]:
        left = {}
        for view in wanted:
            try:
                with connection.transaction():
                    _execute(connection, views.view_statements(profile, view))
            except psycopg.Error as error:
                if connection.broken:
                    raise
                left[view.name] = fault_words(error.sqlstate)
        return left

    @staticmethod
    def _register(connection: Connection, profile: Profile) -> None:
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (digest, role, definition, views) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (digest) DO UPDATE SET views = EXCLUDED.views"
            ).format(views.REGISTRY),
            (
                profile.digest,
                profile.role,
                orjson.dumps(profile.to_json()).decode(),
                orjson.dumps(_definitions(connection, profile.role)).decode(),
            ),
        )

    @staticmethod
    def _intact(connection: Connection, profile: Profile) -> dict[str, str] | None:
        """Its views, if the profile is there, role and views as they were made."""
        row = connection.execute(
            sql.SQL(
                "SELECT p.views FROM {} AS p JOIN pg_roles AS r ON r.rolname = p.role WHERE p.digest = %s"
            ).format(views.REGISTRY),
            (profile.digest,),
        ).fetchone()
        if row is None:
            return None
        found = _definitions(connection, profile.role)
        return found if row[0] == found else None

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
        with self._auditing() as connection:
            return reach(connection, numbers_of(connection, tables))

    # -- the end of profiles -------------------------------------------------------------------------

    def _remove(self, connection: Connection, role: str) -> None:
        connection.execute(sql.SQL("DELETE FROM {} WHERE role = %s").format(views.REGISTRY), (role,))
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
            _execute(connection, views.drop_statements(role, self.database))
        else:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(role)))
        for digest, made in list(self._made.items()):
            if made.profile.role == role:
                del self._made[digest]

    def kept(self) -> list[tuple[Domain, str, tuple[MapPlan, ...]]]:
        """Domain, key id and mapping tables of each profile that is there."""
        with self._looking() as connection:
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

    def unexpect(self, ids: Iterable[str]) -> None:
        """These mapping tables are not kept for themselves any more."""
        for each in ids:
            self._expected.pop(each, None)

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


def _new_password() -> tuple[str, str]:
    """A password and its verifier."""
    password = secrets.token_urlsafe(32)
    return password, postgres_verifier(build_verifier(password, secrets.token_bytes(16)))


def _execute(connection: Connection, statements: Sequence[sql.Composed]) -> None:
    """Many statements in few round trips."""
    for start in range(0, len(statements), STATEMENTS_AT_ONCE):
        connection.execute(sql.SQL(";\n").join(statements[start : start + STATEMENTS_AT_ONCE]))


def _mark(connection: Connection, profile: Profile) -> str | None:
    """The versions of the rows that a profile consists of, None if it is not there."""
    row = connection.execute(_MARK, (ORDERED_SUFFIX, profile.digest)).fetchone()
    return None if row is None else str(row[0])


def _definitions(connection: Connection, schema: str) -> dict[str, str]:
    """The views of a profile's schemas: name -> digest of stored action, options, owner and privileges."""
    named = {"schema": schema, "ordered": schema + ORDERED_SUFFIX}
    rows = connection.execute(_DEFINITIONS, named).fetchall()
    return {row[0]: hashlib.sha256(orjson.dumps(row[1:])).hexdigest() for row in rows}


def audit_of(connection: Connection, roles: list[str]) -> tuple[Finding, ...]:
    """What these roles can reach."""
    found: list[Finding] = []
    for query in audit.QUERIES:
        if connection.info.server_version >= query.since * 10_000:
            rows = connection.execute(query.text.encode(), audit.parameters(roles)).fetchall()
            found += audit.findings(query.sort, rows)
    return tuple(found)


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


__all__ = ["Profiles", "audit_of"]
