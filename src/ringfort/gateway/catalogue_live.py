"""The catalogue held against the databases that it is about, where they can be reached.

What is refused here would otherwise be met at the first login: a table or column that is not there, another
type than the one that was classified, a view that the server's own catalogue would hide. Reads only, in
bounded time, names and types and no row. What cannot be reached is said, and is no fault of the catalogue.
"""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from ringfort.catalog.check import Problem, is_reserved
from ringfort.disclosure.binding import RELATIONS, binding_of
from ringfort.disclosure.forms_sql import bare_type, rendering, type_class
from ringfort.errors import RingfortError
from ringfort.paths import Layout
from ringfort.policy.forms import Form
from ringfort.sites.connect import admin_connection, read_dsn
from ringfort.toml_source import load_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ringfort.catalog.model import Catalogue, Column, Dataset, Table
    from ringfort.config import Config
    from ringfort.disclosure.profile import BoundColumn, BoundTable
    from ringfort.errors import ConfigurationError

    Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_SECONDS = 5
STATEMENT_MS = 10_000
_DECLARED = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL), y.typname, y.oid::bigint
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN unnest(%(schemas)s::text[], %(tables)s::text[]) AS w(s, t) ON w.s = n.nspname AND w.t = c.relname
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS y ON y.oid = a.atttypid
"""
_ELSEWHERE = """
SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|rf_|ringfort)'
AND n.nspname <> 'information_schema' ORDER BY 1 LIMIT 3
"""


@dataclass(frozen=True)
class LiveCheck:
    """What was found: `problems` stand against the catalogue, `notes` are what should be known."""

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    def errors(self, path: Path) -> tuple[ConfigurationError, ...]:
        """The problems with their lines in the catalogue's file."""
        if not self.problems:
            return ()
        document = load_toml(path)
        return tuple(document.error(each.message, *each.keys, hint=each.hint) for each in self.problems)


def check_live(config: Config, catalogue: Catalogue) -> LiveCheck:
    """Look at every database of the catalogue that can be reached."""
    problems: list[Problem] = []
    notes: list[str] = []
    for database in dict.fromkeys(each.database for each in catalogue.datasets):
        try:
            with _connected(config, database) as connection:
                for found in _problems(connection, catalogue.for_database(database)):
                    if isinstance(found, Problem):
                        problems.append(found)
                    else:
                        notes.append(found)
        except (RingfortError, psycopg.Error, PermissionError) as error:
            why = _why(error)
            notes.append(
                f"database `{database}` was not looked at ({why}): whether it has these tables, columns and"
                " types is not known; `--offline` leaves this out"
            )
    return LiveCheck(tuple(problems), tuple(notes))


def _why(error: Exception) -> str:
    if isinstance(error, RingfortError):
        return error.message
    if isinstance(error, PermissionError):
        return "this account may not read its connection string"
    return getattr(error, "sqlstate", None) or "no answer"


@contextlib.contextmanager
def _connected(config: Config, database: str) -> Iterator[Connection]:
    site = config.site_of(database)
    if site is None:
        raise RingfortError("no site holds it")
    dsn = make_conninfo(
        read_dsn(Layout(config.folder).site_dsn(site.name), database), connect_timeout=CONNECT_SECONDS
    )
    with admin_connection(dsn, application_name="ringfort policy") as connection:
        connection.execute("SELECT set_config('statement_timeout', %s, false)", (str(STATEMENT_MS),))
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(STATEMENT_MS),))
        yield connection


def _problems(connection: Connection, datasets: Iterable[Dataset]) -> Iterator[Problem | str]:
    every = [(dataset, table) for dataset in datasets for table in dataset.tables]
    wanted = {"schemas": [each.schema for _, each in every], "tables": [each.name for _, each in every]}
    declared = {row[:3]: row[3:] for row in connection.execute(_DECLARED, wanted)}
    binding = binding_of(connection.execute(RELATIONS, wanted).fetchall())
    for dataset, table in every:
        keys = ("dataset", dataset.name, "table", table.name)
        found = binding.get((table.schema, table.name))
        if found is None:
            yield _no_table(connection, table, keys)
            continue
        if is_reserved(table.seen_as):
            yield Problem(
                (*keys, *(("view",) if table.view else ())),
                f"a view `{table.seen_as}` would be hidden behind the server's own catalogue",
                "names with `pg_` are the server's: give it another, view = ...",
            )
        for column in table.columns:
            place = (*keys, "column", column.name)
            now = found.column(column.name)
            if now is None:
                yield _no_column(found, column, place)
                continue
            told, name, number = declared[table.schema, table.name, column.name]
            if not _same_type(connection, column.data_type, now, (told, name), number):
                yield Problem(
                    (*place, "type"),
                    f"column `{table.schema}.{table.name}.{column.name}` is of type `{told}`,"
                    f" not `{column.data_type}`",
                    f'look whether it is still what was classified, then write type = "{told}"',
                )
            elif _pointless(column, now):
                yield (
                    f"column `{table.schema}.{table.name}.{column.name}` of kind {column.kind} has type"
                    f" `{now.data_type}`, for which that kind has no masked or generalised form"
                )


def _no_table(connection: Connection, table: Table, keys: tuple[str, ...]) -> Problem:
    elsewhere = [row[0] for row in connection.execute(_ELSEWHERE, (table.name,))]
    hint = "take it out of the catalogue, or make it"
    if elsewhere:
        hint = "is it the one in schema " + " or ".join(f"`{each}`" for each in elsewhere) + "? set `schema`"
    return Problem(
        keys, f"the database has no table `{table.schema}.{table.name}`, or it may not be seen", hint
    )


def _no_column(found: BoundTable, column: Column, keys: tuple[str, ...]) -> Problem:
    near = difflib.get_close_matches(column.name, [each.name for each in found.columns], 3)
    return Problem(
        keys,
        f"table `{found.schema}.{found.name}` has no column `{column.name}`",
        "is it " + " or ".join(f"`{each}`" for each in near) + "?"
        if near
        else "take it out of the catalogue",
    )


def _same_type(
    connection: Connection, stated: str, now: BoundColumn, names: tuple[str, str], number: int
) -> bool:
    """Whether the stated type is the column's, under whichever of its names; lengths do not matter."""
    if bare_type(stated) in {bare_type(now.data_type), *map(bare_type, names)}:
        return True
    try:  # `int8`, `varchar`, `public.mood`, a domain's base
        row = connection.execute("SELECT to_regtype(%s)::oid::bigint", (stated,)).fetchone()
        base = connection.execute("SELECT to_regtype(%s)::oid::bigint", (now.data_type,)).fetchone()
    except psycopg.Error:  # no type at all
        return False
    return row is not None and row[0] is not None and row[0] in {number, None if base is None else base[0]}


def _pointless(column: Column, now: BoundColumn) -> bool:
    """Whether the kind has reduced forms, but none for this type, though text would have one."""
    if type_class(now.data_type) == "text" or not column.classified:
        return False
    forms = [rendering(Form.MASKED, column.kind, each).form for each in (now.data_type, "text")]
    return forms[0] is Form.HIDDEN and forms[1] is not Form.HIDDEN


__all__ = ["LiveCheck", "check_live"]
