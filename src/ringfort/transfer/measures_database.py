"""DuckDB as measures use it: with the deployment's limits of memory and threads, spilling to a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import duckdb

from ringfort import interruption
from ringfort.errors import MissingEnvironmentError
from ringfort.paths import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ringfort.config import Config

SPILL = "spill"


class _Query:
    """What DuckDB is asked, as something that an interrupted command can stop."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def stop_work(self) -> None:
        """End the query that runs, if one does."""
        self._connection.interrupt()


@contextlib.contextmanager
def measures_database(config: Config, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the deployment's limits; what does not fit is spilled to a folder that goes away."""
    spill = private_folder(folder / SPILL)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{config.measures.memory_mib}MiB",
        "temp_directory": str(spill),
        "threads": _threads(config),
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
    }
    try:
        with duckdb.connect(":memory:", config=settings) as connection:
            query = _Query(connection)
            interruption.watch(query)
            yield connection
    except duckdb.Error as error:
        raise MissingEnvironmentError(
            f"re-identification could not be measured ({type(error).__name__})",
            hint="raise measures.memory_mib, or make room for spill files",
        ) from None
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _threads(config: Config) -> int:
    return config.measures.threads or len(os.sched_getaffinity(0))


def relation(connection: duckdb.DuckDBPyConnection, name: str, *paths: Path) -> None:
    """Give the rows of these Parquet files a name."""
    connection.read_parquet([str(each) for each in paths]).create_view(name, replace=True)


__all__ = ["SPILL", "measures_database", "relation"]
