"""Rows out of a site into Parquet files in the region: one snapshot, no right beyond the columns.

All tables are read in one REPEATABLE READ, READ ONLY transaction, so they are of one moment. It runs as a
role made for this transfer, which may read the contract's columns and nothing else, is subject to row-level
security (and fails where that would leave rows out, instead of leaving them out), and is dropped
afterwards. Names, types and numbers are held against the catalogue under locks that the transaction took
first (`site_tables`): a renamed column would carry other values under a classified name. What inspection
must know of the site is read in the same snapshot (`Beside`).

The files are the run's own (0700), cut as the parts will be, and deleted with the run. Left out: resuming
within an extraction; a snapshot ends with its connection, so a run that was killed reads anew.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from ringfort.errors import CheckFailedError, MissingEnvironmentError
from ringfort.paths import Layout
from ringfort.sites.connect import admin_connection, read_dsn
from ringfort.sites.copy_out import SiteColumn, read_batches
from ringfort.sites.postgres import EmbeddedServer
from ringfort.sites.transfer_roles import drop_role, hold_role, sweep_and_say
from ringfort.transfer.site_tables import LOCK_SECONDS, LockedTables, ReadTable, look, read_together
from ringfort.transfer.source import PART_BATCHES, batch_rows, open_files, safe_name
from ringfort.transfer.writer import HashingFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ringfort.config import Config, SiteConfig
    from ringfort.transfer.plan import PlannedTable
    from ringfort.transfer.source import SourceTable

    Connection = psycopg.Connection[tuple[Any, ...]]

_COMPRESSION = "lz4"


class ExtractError(CheckFailedError):
    """The site did not give what the contract names."""

    default_sqlstate = "58000"  # system_error


@contextlib.contextmanager
def site_dsn(config: Config, site: SiteConfig, database: str) -> Iterator[str]:
    """The administrative DSN of a database; an embedded server that does not run is started meanwhile."""
    dsn = read_dsn(Layout(config.folder).site_dsn(site.name), database)
    try:
        _sweep(dsn, database)
    except MissingEnvironmentError:
        if site.kind != "embedded":
            raise
        with EmbeddedServer.of_site(config.folder, site.name, site.port) as server:
            dsn = server.admin_dsn(database)
            _sweep(dsn, database)
            yield dsn
    else:
        yield dsn


def _sweep(dsn: str, database: str) -> None:
    """Drop the roles of transfers that were killed; raises `MissingEnvironmentError` without the database."""
    with admin_connection(dsn, application_name="ringfort transfer") as admin:
        sweep_and_say(admin, database)


@dataclass(frozen=True)
class Beside:
    """What else is read in the snapshot of the rows, by the administrator: these tables, by this function."""

    tables: tuple[ReadTable, ...] = ()
    read: Callable[[Connection], None] = lambda _: None


def extract(  # noqa: PLR0917 - one caller
    dsn: str,
    catalogue: str,
    tables: Sequence[PlannedTable],
    folder: Path,
    progress: Callable[[int], None],
    beside: Beside | None = None,
    lock_seconds: float = LOCK_SECONDS,
) -> tuple[SourceTable, ...]:
    """Read the tables into `folder`; `progress` gets the rows as they come.

    Raises `SchemaDriftError`, `ExtractError` and `MissingEnvironmentError`; no word of the server is told.
    """
    beside = beside or Beside()
    every = read_together(
        [
            *beside.tables,
            *(
                ReadTable(
                    each.catalogued.schema,
                    each.catalogued.name,
                    tuple((one.catalogued.name, one.catalogued.data_type) for one in each.columns),
                )
                for each in tables
            ),
        ]
    )
    try:
        with admin_connection(dsn, application_name="ringfort transfer") as admin:
            role = hold_role(admin)
            held = LockedTables(admin, catalogue, every, look(admin, catalogue, every))
            try:
                with admin_connection(dsn, application_name="ringfort transfer", autocommit=False) as reader:
                    _begin(reader)
                    held.lock(reader, lock_seconds)
                    beside.read(reader)
                    _make_role(admin, role, tables)  # under the locks: rights are given by name, too
                    # a lock that it did not have yet makes this transaction hear of the role
                    reader.execute("LOCK TABLE pg_catalog.pg_language IN ACCESS SHARE MODE")
                    made = _read(reader, role, tables, folder, progress)
                    held.require_same()
                    return made
            finally:
                drop_role(admin, role)
    except psycopg.Error as error:
        state = error.sqlstate or "no SQLSTATE"
        hint = "is the site up, and may its administrator make roles and read the tables of the catalogue?"
        if state == "42501" and "row-level security" in str(error):
            hint = "row-level security would leave rows out: give the role a policy, or read another table"
        raise ExtractError(f"the site refused to be read ({state})", hint=hint) from None


def estimated_rows(dsn: str, tables: Sequence[PlannedTable]) -> dict[str, int]:
    """How many rows each table has by the site's statistics; -1 where it has none."""
    found = {}
    with admin_connection(dsn, application_name="ringfort transfer") as admin:
        for each in tables:
            row = admin.execute(
                "SELECT c.reltuples::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = %s AND c.relname = %s",
                (each.catalogued.schema, each.catalogued.name),
            ).fetchone()
            found[each.stated.name] = -1 if row is None else int(row[0])
    return found


def _make_role(admin: Connection, role: str, tables: Sequence[PlannedTable]) -> None:
    """The role that reads, without any right but to these columns."""
    name = sql.Identifier(role)
    with admin.transaction():
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(name))
        superuser = admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if superuser is not None and not superuser[0]:
            admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
        for schema in {each.catalogued.schema for each in tables}:
            admin.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), name))
        for each in tables:
            admin.execute(
                sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(
                    sql.SQL(", ").join(sql.Identifier(column.catalogued.name) for column in each.columns),
                    sql.Identifier(each.catalogued.schema, each.catalogued.name),
                    name,
                )
            )


def _begin(reader: Connection) -> None:
    """Begin the transaction that reads; none of this takes its snapshot."""
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    for name, value in (
        ("search_path", "pg_catalog"), ("row_security", "off"), ("statement_timeout", "0"),
        ("datestyle", "ISO, YMD"), ("timezone", "UTC"), ("intervalstyle", "postgres"),
        ("extra_float_digits", "1"), ("bytea_output", "hex"), ("lc_monetary", "C"),
    ):  # fmt: skip
        reader.execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))


def _read(
    reader: Connection,
    role: str,
    tables: Sequence[PlannedTable],
    folder: Path,
    progress: Callable[[int], None],
) -> tuple[SourceTable, ...]:
    made = []
    with reader.cursor() as cursor:
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        for each in tables:
            columns = [SiteColumn(one.catalogued.name, one.catalogued.data_type) for one in each.columns]
            source = read_batches(cursor, each.catalogued.schema, each.catalogued.name, columns)
            place = folder / safe_name(each.stated.name)
            place.mkdir(mode=0o700)
            schema = pa.schema([pa.field(one.name, one.arrow) for one in columns])
            paths = list(_write(place, source, schema, batch_rows(len(columns)), progress))
            made.append(open_files(each.stated.name, paths, len(columns)))
    return tuple(made)


def _write(
    folder: Path,
    source: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    rows: int,
    progress: Callable[[int], None],
) -> Iterator[Path]:
    """The rows as files of `PART_BATCHES` row groups of `rows` rows each; at least one file."""
    groups = _regrouped(source, rows, progress)
    for number in itertools.count():
        first = next(groups, None)
        if first is None and number:
            return
        path = folder / f"{number:06d}.parquet"
        file = HashingFile(path)
        try:
            with pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, compression=_COMPRESSION) as writer:
                if first is not None:
                    for group in itertools.chain([first], itertools.islice(groups, PART_BATCHES - 1)):
                        writer.write_table(group, row_group_size=rows)
            file.close()
        except BaseException:
            file.abort()
            raise
        yield path


def _regrouped(
    source: Iterator[pa.RecordBatch], rows: int, progress: Callable[[int], None]
) -> Iterator[pa.Table]:
    """Tables of exactly `rows` rows but for the last."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in source:
        progress(batch.num_rows)
        waiting.append(batch)
        held += batch.num_rows
        while held >= rows:
            together = pa.Table.from_batches(waiting)
            yield together.slice(0, rows).combine_chunks()
            rest = together.slice(rows)
            waiting, held = rest.to_batches(), rest.num_rows
    if held:
        yield pa.Table.from_batches(waiting).combine_chunks()


__all__ = ["Beside", "ExtractError", "estimated_rows", "extract", "site_dsn"]
