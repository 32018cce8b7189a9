"""Fingerprints of a dataset's direct identifiers, made from where they stand and kept in the region.

Every column that the catalogue calls `direct` and that can be told by its values (`KINDS`) is read, in all
tables of the dataset, whether the contract sends them or not: from the site, or for contracts that read files
from those files. The set is kept in the transfer's own folder (0600), with a token of what it was made from;
it is made anew when the token, the catalogue or the key has changed. Nothing of a value is kept.

For a site the token is the snapshot (`pg_current_snapshot`), the server's start and each table's numbers:
where it is the same, nothing that could be seen has been committed since. On a server that is written to, the
set is made anew for each run, which takes seconds for a million people. PostgreSQL's own counts of changed
rows come up to ten seconds late.
Left out: identifiers of other datasets, views, foreign tables.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow.parquet as pq

from ringfort.catalog.identifiers import counted_as_direct
from ringfort.disclosure.forms_sql import type_class
from ringfort.errors import CheckFailedError, MissingEnvironmentError
from ringfort.privacy.fingerprint import FingerprintBuilder, Fingerprints
from ringfort.sites.connect import admin_connection
from ringfort.sites.copy_out import SiteColumn, read_batches
from ringfort.sites.keystore import write_private
from ringfort.transfer.extract import ExtractError, site_dsn
from ringfort.transfer.inspect import KeptFingerprints, read_kept
from ringfort.transfer.source import files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from ringfort.catalog.model import Catalogue, Column, Table
    from ringfort.config import Config
    from ringfort.policy.contract import Contract

KINDS = frozenset({"name", "email", "phone", "address", "iban", "card", "national_id", "key", "code"})
FILE = "identifiers"
FORMAT = "ringfort-identifiers/1"

_SNAPSHOT = "SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text"
_NUMBERS = """
SELECT c.oid::bigint, coalesce(pg_relation_filenode(c.oid), 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""


@dataclass(frozen=True)
class IdentifierSource:
    """What a set is made from. `progress` gets the rows as they are read."""

    config: Config
    contract: Contract
    catalogue: Catalogue
    key: bytes
    progress: Callable[[int], None] = lambda _: None

    def tables(self) -> list[tuple[Table, tuple[Column, ...]]]:
        """The dataset's tables with their direct identifiers, without those that have none."""
        found = []
        for table in self.catalogue.dataset(self.contract.dataset).tables:
            columns = tuple(each for each in counted_as_direct(table) if is_identifier(each))
            if columns:
                found.append((table, columns))
        return found


def is_identifier(column: Column) -> bool:
    """Whether a column's values are fingerprinted; keys that are numbers are not, they say nothing alone."""
    if column.identifiability != "direct" or column.kind not in KINDS or column.references is not None:
        return False
    return column.kind != "key" or type_class(column.data_type) in {"text", "uuid"}


def kept_fingerprints(source: IdentifierSource, folder: Path) -> KeptFingerprints | None:
    """The set of a dataset, made or made anew if it has to be; None if there is nothing to fingerprint."""
    tables = source.tables()
    if not tables:
        return None
    path = folder / FILE
    if source.contract.source_country:
        return _kept(path, source, tables, None)
    database = source.catalogue.dataset(source.contract.dataset).database
    site = source.config.site_of(database)
    if site is None:
        raise MissingEnvironmentError(f"no site holds database `{database}`")
    try:
        with (
            site_dsn(source.config, site, database) as dsn,
            admin_connection(dsn, application_name="ringfort transfer", autocommit=False) as connection,
        ):
            return _kept(path, source, tables, connection)
    except psycopg.Error as error:
        raise ExtractError(
            f"the site refused to be read for its identifiers ({error.sqlstate or 'no SQLSTATE'})",
            hint="may its administrator read every table of the catalogue?",
        ) from None


def _kept(
    path: Path,
    source: IdentifierSource,
    tables: Sequence[tuple[Table, tuple[Column, ...]]],
    connection: psycopg.Connection[tuple[Any, ...]] | None,
) -> KeptFingerprints:
    if connection is not None:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SELECT set_config('search_path', 'pg_catalog', true)")
    about = {
        "format": FORMAT,
        "catalogue": source.catalogue.digest(),
        "columns": [[table.schema, table.name, [each.name for each in columns]] for table, columns in tables],
        "state": _state(source, tables, connection),
    }
    head = json.dumps(about, sort_keys=True).encode()
    found = _current(path, head, source.key)
    if found is not None:
        return found
    builder = FingerprintBuilder(source.key)
    for table, columns in tables:
        batches = (
            _from_files(source, table, columns)
            if connection is None
            else _from_site(connection, table, columns)
        )
        for batch in batches:
            names = batch.schema.names
            builder.add_rows([(each.kind, batch.column(each.name)) for each in columns if each.name in names])
            source.progress(batch.num_rows)
    prints = builder.finish().fingerprints
    data = len(head).to_bytes(4) + head + prints.to_bytes()
    write_private(path, data)
    return KeptFingerprints(str(path), hashlib.sha256(data).hexdigest(), len(prints))


def _current(path: Path, head: bytes, key: bytes) -> KeptFingerprints | None:
    """The set that is kept, if it was made from the same under the same key."""
    try:
        data = read_kept(path)
    except MissingEnvironmentError:
        return None
    size = int.from_bytes(data[:4])
    if data[4 : 4 + size] != head:
        return None
    try:
        prints = Fingerprints.from_bytes(data[4 + size :], key)
    except CheckFailedError:
        return None
    return KeptFingerprints(str(path), hashlib.sha256(data).hexdigest(), len(prints))


def _state(
    source: IdentifierSource,
    tables: Sequence[tuple[Table, tuple[Column, ...]]],
    connection: psycopg.Connection[tuple[Any, ...]] | None,
) -> list[Any]:
    if connection is None:
        return [
            [str(path), path.stat().st_size, path.stat().st_mtime_ns]
            for table, _ in tables
            for path in _files(source, table)
        ]
    state: list[Any] = [*(connection.execute(_SNAPSHOT).fetchone() or ())]
    for table, _ in tables:
        row = connection.execute(_NUMBERS, (table.schema, table.name)).fetchone()
        state.append([table.schema, table.name, *(row or ())])
    return state


def _files(source: IdentifierSource, table: Table) -> list[Path]:
    stated = source.contract.table(table.name)
    return files_of(source.config.folder / stated.files) if stated is not None and stated.files else []


def _from_files(
    source: IdentifierSource, table: Table, columns: Sequence[Column]
) -> Iterator[pa.RecordBatch]:
    for path in _files(source, table):
        with pq.ParquetFile(path) as file:
            there = [each.name for each in columns if each.name in file.schema_arrow.names]
            if there:
                yield from file.iter_batches(65_536, columns=there)


def _from_site(
    connection: psycopg.Connection[tuple[Any, ...]], table: Table, columns: Sequence[Column]
) -> Iterator[pa.RecordBatch]:
    wanted = [SiteColumn(each.name, each.data_type) for each in columns]
    with connection.cursor() as cursor:
        yield from read_batches(cursor, table.schema, table.name, wanted)


__all__ = ["KINDS", "IdentifierSource", "is_identifier", "kept_fingerprints"]
