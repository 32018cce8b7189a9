"""Loads a Parquet or CSV file into a new table: all of it or nothing, types kept, progress told.

One transaction: CREATE TABLE and COPY BINARY; the statistics that the catalogue scan reads follow.
Identifiers go through `psycopg.sql`, column names stay as the file has them. refs/residency.md: COPY in is
the bottleneck, not the relay.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from psycopg import sql

from ringfort.sites.copy_binary import HEADER, TRAILER, Encoder, LoadError
from ringfort.sites.tabular import Tabular, check_columns, open_tabular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class LoadReport:
    """What was loaded: `columns` are (name, PostgreSQL type), `notes` what a person should be told."""

    schema: str
    table: str
    rows: int
    columns: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def load_file(
    connection: psycopg.Connection[tuple[Any, ...]],
    path: Path,
    *,
    table: str,
    schema: str = "public",
    progress: Callable[[int, int], None] | None = None,
) -> LoadReport:
    """Load `path` into the new table `schema.table`; `progress` gets (rows done, rows in all).

    Raises `UsageError` if the file is not readable, `LoadError` if its data cannot be loaded or the table is
    there already; then the database is as it was.
    """
    return load_tabular(connection, open_tabular(path), table=table, schema=schema, progress=progress)


def load_tabular(
    connection: psycopg.Connection[tuple[Any, ...]],
    source: Tabular,
    *,
    table: str,
    schema: str = "public",
    progress: Callable[[int, int], None] | None = None,
) -> LoadReport:
    """`load_file` for an open file."""
    check_columns(source)
    encoder = Encoder(source.schema)
    name = sql.Identifier(schema, table)
    done = 0
    try:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(_create_table(name, source))
            for done in _copy(cursor, name, encoder, source.batches()):
                if progress is not None:
                    progress(done, source.rows)
    except psycopg.errors.DuplicateTable:
        raise LoadError(f"there is a table `{schema}.{table}` already", hint="choose another name") from None
    except psycopg.Error as error:  # its words can hold values
        state = error.sqlstate or "no SQLSTATE"
        raise LoadError(
            f"the server refused the data of `{source.path.name}` ({state}); nothing was loaded",
            sqlstate=state,
        ) from None
    except (pa.ArrowException, UnicodeDecodeError):
        raise LoadError(
            f"`{source.path.name}` holds values that cannot be read; nothing was loaded"
        ) from None
    connection.execute(sql.SQL("ANALYZE {}").format(name))
    return LoadReport(schema, table, done, source.columns, (*source.notes, *encoder.notes))


def copy_arrow(
    connection: psycopg.Connection[tuple[Any, ...]],
    table: sql.Identifier,
    data: pa.Table,
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Copy an Arrow table into an existing one with the same columns; `progress` gets the rows done.

    Raises `LoadError` for values that PostgreSQL cannot hold and `psycopg.Error` for what the server refuses.
    """
    with connection.transaction(), connection.cursor() as cursor:
        for done in _copy(cursor, table, Encoder(data.schema), data.to_batches(max_chunksize=16_384)):
            if progress is not None:
                progress(done)


def _copy(
    cursor: psycopg.Cursor[tuple[Any, ...]],
    table: sql.Identifier,
    encoder: Encoder,
    batches: Iterable[pa.RecordBatch],
) -> Iterator[int]:
    """COPY the batches in; yields the number of rows done after each."""
    done = 0
    with cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(table)) as copy:
        copy.write(HEADER)
        for batch in batches:
            copy.write(encoder.encode(batch))
            done += batch.num_rows
            yield done
        copy.write(TRAILER)


def table_name(path: Path) -> str:
    """A plain name for the table, dataset and database of a file: a to z, 0 to 9 and _, at most 40."""
    plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:40].rstrip("_")
    if not name:
        return "data"
    return name if name[0].isalpha() else f"data_{name}"[:40].rstrip("_")


def _create_table(name: sql.Identifier, source: Tabular) -> sql.Composed:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(data_type))
        for column, data_type in source.columns
    ]
    return sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(columns))
