"""Fingerprints of a dataset's direct identifiers, made from where they stand and kept in the region.

Every column that the catalogue calls `direct` and that can be told by its values (`KINDS`) is read, in all
tables of the dataset, whether the contract sends them or not: from the site in the snapshot of the rows, or
for contracts that read files from those files. The set is kept in the transfer's own folder (0600), with what
it was made from. Nothing of a value is kept.

**Kept up to date.** A set of a site is brought to the snapshot at hand by the rows that may be new since the
one before (`changed_rows`); where that cannot be told, everything is read anew. What went stays in the set
until it is made anew, which it is after a month or as many changed rows as there are rows; whoever prepares
one ahead of a run (`ahead`) makes it anew after a week or a quarter of the rows, so that a run need not. One
of files is added to where files were added, and made anew where one changed or went. A set of other columns,
another key or another way of folding is made anew.

It is written whole or not at all: who is killed leaves the set of before, which is brought up to date again.
Left out: identifiers of other datasets.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from ringfort.catalog.identifiers import counted_as_direct
from ringfort.disclosure.forms_sql import type_class
from ringfort.errors import CheckFailedError, MissingEnvironmentError
from ringfort.privacy.fingerprint import FingerprintBuilder, Fingerprints, derived_key
from ringfort.private_files import write_private
from ringfort.sites.connect import admin_connection
from ringfort.sites.copy_out import SiteColumn, read_batches
from ringfort.transfer.arrow_types import plain_batch
from ringfort.transfer.changed_rows import SiteState, condition, site_state, table_key
from ringfort.transfer.extract import ExtractError, site_dsn
from ringfort.transfer.inspect import KeptFingerprints, load_fingerprints, read_kept
from ringfort.transfer.source import files_of, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from ringfort.catalog.model import Catalogue, Column, Table
    from ringfort.config import Config
    from ringfort.policy.contract import Contract
    from ringfort.transfer.source import SourceTable

    Connection = psycopg.Connection[tuple[Any, ...]]
    Tables = Sequence[tuple[Table, tuple[Column, ...]]]

KINDS = frozenset({"name", "email", "phone", "address", "iban", "card", "national_id", "key", "code"})
FILE = "identifiers"
FORMAT = "ringfort-identifiers/2"
LOCK_SECONDS = 60

_DAY = 86_400
_OLD, _OLD_AHEAD = 30 * _DAY, 7 * _DAY
_FEW = 1_000  # changed rows for which a set that stayed the same is not written again


@dataclass(frozen=True)
class IdentifierSource:
    """What a set is made from. `progress` gets the rows as they are read.

    `files` are the contract's files as the run looked at them, where it reads files. `ahead` is true where no
    run waits for the set.
    """

    config: Config
    contract: Contract
    catalogue: Catalogue
    key: bytes
    progress: Callable[[int], None] = lambda _: None
    files: Mapping[str, SourceTable] = field(default_factory=dict)
    ahead: bool = False

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


def kept_fingerprints(
    source: IdentifierSource, folder: Path, connection: Connection | None = None
) -> KeptFingerprints | None:
    """The set of a dataset, brought up to date or made; None if there is nothing to fingerprint.

    `connection` is the transaction that reads the rows, with its tables locked and checked: rows and
    identifiers are then of one snapshot and of the same columns. Without it a snapshot of its own is taken.
    """
    tables = source.tables()
    if not tables:
        return None
    for left in folder.glob(f".{FILE}.*"):  # by one that was killed while it wrote
        left.unlink(missing_ok=True)
    path = folder / FILE
    if source.contract.source_country:
        return _of_files(path, source, tables)
    if connection is not None:
        return _of_site(path, source, tables, connection)
    database = source.catalogue.dataset(source.contract.dataset).database
    site = source.config.site_of(database)
    if site is None:
        raise MissingEnvironmentError(f"no site holds database `{database}`")
    try:
        with (
            site_dsn(source.config, site, database) as dsn,
            admin_connection(dsn, application_name="ringfort transfer", autocommit=False) as own,
        ):
            _begin(own, tables)
            return _of_site(path, source, tables, own)
    except psycopg.errors.LockNotAvailable:
        raise MissingEnvironmentError(
            "the tables could not be read: another session keeps one of them locked, as a migration does",
            hint="wait until it is done, then run the command again",
        ) from None
    except psycopg.Error as error:
        raise ExtractError(
            f"the site refused to be read for its identifiers ({error.sqlstate or 'no SQLSTATE'})",
            hint="may its administrator read every table of the catalogue?",
        ) from None


def _begin(connection: Connection, tables: Tables) -> None:
    """Begin a snapshot in which no column is renamed between the look at it and the reading."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    for name, value in (("search_path", "pg_catalog"), ("row_security", "off"), ("lock_timeout", "")):
        setting = sql.Literal(value) if value else sql.Literal(f"{LOCK_SECONDS}s")
        connection.execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), setting))
    for table, _ in tables:
        try:
            with connection.transaction():
                connection.execute(
                    sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(
                        sql.Identifier(table.schema, table.name)
                    )
                )
        except psycopg.errors.WrongObjectType:
            continue  # a materialised view or a foreign table, which is read whole


@dataclass(frozen=True)
class _Set:
    """A set that is kept: what it was made from, and what it holds."""

    about: dict[str, Any]
    prints: Fingerprints
    kept: KeptFingerprints


def _of_site(
    path: Path, source: IdentifierSource, tables: Tables, connection: Connection
) -> KeptFingerprints:
    now = site_state(
        connection, [(table.schema, table.name, [each.name for each in columns]) for table, columns in tables]
    )
    base = _current(path, source, tables)
    if base is not None and not _serves(base, now, ahead=source.ahead):
        base = None
    earlier = None if base is None else SiteState.from_json(base.about["site"])
    builder = FingerprintBuilder(source.key)
    changed = rows = 0
    for table, columns in tables:
        wanted = [SiteColumn(each.name, each.data_type) for each in columns]
        where = condition(now, earlier, table_key(table.schema, table.name))
        with connection.cursor() as cursor:
            for batch in read_batches(cursor, table.schema, table.name, wanted, where):
                _take(builder, columns, batch)
                source.progress(batch.num_rows)
                rows += batch.num_rows
                changed += batch.num_rows if where is not None else 0
    about: dict[str, Any] = {"site": now.to_json(), "made": now.time, "changed": 0, "rows": rows}
    if base is not None:
        about |= {each: base.about[each] for each in ("made", "rows")}
        about["changed"] = base.about["changed"] + changed
    few = changed < _FEW and changed * 10 <= about["rows"]
    same = earlier is not None and earlier.relations == now.relations and few
    return _written(path, source, tables, builder, about, base, same=same)


def _serves(base: _Set, now: SiteState, *, ahead: bool) -> bool:
    """Whether a set may be brought up to date."""
    site = base.about.get("site")
    if site is None or not now.follows(SiteState.from_json(site)):
        return False
    if now.time - base.about["made"] > (_OLD_AHEAD if ahead else _OLD):
        return False
    return bool(base.about["changed"] * (4 if ahead else 1) <= base.about["rows"])


def _of_files(path: Path, source: IdentifierSource, tables: Tables) -> KeptFingerprints:
    files = [(table, columns, each) for table, columns in tables for each in _files(source, table)]
    now = {json.dumps([table.name, str(each)]): list(state) for table, _, (each, state) in files}
    base = _current(path, source, tables)
    before = {} if base is None else base.about.get("files", {})
    if base is None or not before or any(now.get(name) != state for name, state in before.items()):
        base, before = None, {}
    builder = FingerprintBuilder(source.key)
    for table, columns, (each, _) in files:
        if json.dumps([table.name, str(each)]) in before:
            continue
        with opened(each) as file:
            there = [one.name for one in columns if one.name in file.schema_arrow.names]
            for batch in map(plain_batch, file.iter_batches(65_536, columns=there)) if there else ():
                _take(builder, columns, batch)
                source.progress(batch.num_rows)
    return _written(path, source, tables, builder, {"files": now}, base, same=before == now)


def _files(source: IdentifierSource, table: Table) -> Iterator[tuple[Path, tuple[Any, ...]]]:
    """The files of a table, each with what is another where it changed."""
    looked_at = source.files.get(table.name)
    if looked_at is not None:
        for each in looked_at.files:
            yield Path(each.path), astuple(each)
        return
    stated = source.contract.table(table.name)
    for path in files_of(source.config.folder / stated.files) if stated is not None and stated.files else ():
        found = path.stat()
        yield path, (found.st_size, found.st_mtime_ns)


def _take(builder: FingerprintBuilder, columns: Sequence[Column], batch: pa.RecordBatch) -> None:
    names = batch.schema.names
    builder.add_rows([(each.kind, batch.column(each.name)) for each in columns if each.name in names])


def _current(path: Path, source: IdentifierSource, tables: Tables) -> _Set | None:
    """The set that is kept, if it is of these columns and was written under this key."""
    try:
        data = read_kept(path)
    except MissingEnvironmentError:
        return None
    size = int.from_bytes(data[:4])
    head, tag = data[4 : 4 + size][:-32], data[4 : 4 + size][-32:]
    if not hmac.compare_digest(_tag(source.key, head), tag):
        return None
    about = json.loads(head)
    if (about["format"], about["columns"]) != (FORMAT, _columns(tables)):
        return None
    try:
        prints = Fingerprints.from_bytes(memoryview(data)[4 + size :], source.key)
    except CheckFailedError:
        return None
    return _Set(about, prints, KeptFingerprints(str(path), hashlib.sha256(data).hexdigest(), len(prints)))


def can_be_used(kept: KeptFingerprints, key: bytes) -> bool:
    """Whether a run that goes on can use the set that it began with: whole, ours, and of this version."""
    try:
        data = read_kept(Path(kept.path))
        size = int.from_bytes(data[:4])
        head, tag = data[4 : 4 + size][:-32], data[4 : 4 + size][-32:]
        if not hmac.compare_digest(_tag(key, head), tag) or json.loads(head)["format"] != FORMAT:
            return False
        load_fingerprints(kept, key)
    except (CheckFailedError, MissingEnvironmentError):
        return False
    return True


def _written(  # noqa: PLR0917 - one place for both kinds of source
    path: Path, source: IdentifierSource, tables: Tables, builder: FingerprintBuilder, about: dict[str, Any],
    base: _Set | None, *, same: bool,
) -> KeptFingerprints:  # fmt: skip
    """Keep what was taken in and what was kept before; `same` if that need not be written for itself."""
    prints = builder.finish(None if base is None else base.prints).fingerprints
    if base is not None and same and len(prints) == len(base.prints):
        return base.kept
    head = json.dumps({"format": FORMAT, "columns": _columns(tables), **about}, sort_keys=True).encode()
    head += _tag(source.key, head)
    data = b"".join((len(head).to_bytes(4), head, prints.to_bytes()))
    write_private(path, data)
    return KeptFingerprints(str(path), hashlib.sha256(data).hexdigest(), len(prints))


def _columns(tables: Tables) -> list[Any]:
    return [
        [table.schema, table.name, [[each.name, each.kind] for each in columns]] for table, columns in tables
    ]


def _tag(key: bytes, head: bytes) -> bytes:
    return hmac.digest(derived_key(key, "made from"), head, "sha256")


__all__ = ["KINDS", "IdentifierSource", "can_be_used", "is_identifier", "kept_fingerprints"]
