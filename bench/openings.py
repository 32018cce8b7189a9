"""How long it takes to open a session: of a profile that is known, and of a new one.

    python bench/openings.py [--quick] [--json FILE]

Over a few tables and over 600, each idle, while the pseudonyms of a large table are being filled, and while
that table is locked ACCESS EXCLUSIVE. A new profile is that of a purpose that nobody has stated before: its
domain is opened, its views are made, its fills begin. Prints p50 and p95 in milliseconds from the client's
first byte until it may send a statement; asserts nothing about time.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from deployment import DATABASE, PASSWORD, Target, make, throwaway, up
from harness import ended_quietly, options

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW, MANY = 6, 600
KNOWN = "known"
_TABLE = """\
[dataset.bench.table.{name}.column]
id = {{ type = "bigint", {classes}, kind = "key", identity_space = "{name}.id" }}
note = {{ type = "text", {classes}, kind = "content" }}
"""
_CLASSES = 'protection = "protected", identifiability = "direct"'
POLICY = """\
@id("bench-keys")
permit(principal, action == Action::"pseudonym", resource)
when { principal.role == "bench" && resource.kind == "key" };

@id("bench-values")
permit(principal, action == Action::"raw", resource)
when { principal.role == "bench" && resource.kind != "key" };
"""
LARGE = "t1"


@dataclass(frozen=True)
class Size:
    """How much of everything is done: openings of a known profile, of new ones over few and many tables."""

    rows: int
    known: int
    new_few: int
    new_many: int


FULL = Size(3_000_000, 200, 30, 10)
QUICK = Size(500_000, 40, 8, 3)


def load(dsn: str, tables: int, rows: int) -> None:
    """One large table, and the others with a hundred rows each."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(1, tables + 1):
            name = sql.Identifier(f"t{number}")
            count = rows if f"t{number}" == LARGE else 100
            connection.execute(sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, note text)").format(name))
            connection.execute(
                sql.SQL("INSERT INTO {} SELECT n, 'note ' || n FROM generate_series(1, {}) AS n").format(
                    name, sql.Literal(count)
                )
            )


def opened(target: Target, purpose: str) -> float:
    """Milliseconds until a session is open; it is closed again."""
    begun = time.perf_counter()
    with psycopg.connect(
        host=target.host,
        port=target.port,
        user=target.user,
        password=PASSWORD,
        dbname=DATABASE,
        sslmode="disable",
        options=f"-c ringfort.purpose={purpose}",
    ):
        return (time.perf_counter() - begun) * 1000


@contextlib.contextmanager
def locked(dsn: str) -> Iterator[None]:
    """The large table is locked by somebody."""
    with psycopg.connect(dsn) as connection:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(LARGE)))
        yield
        connection.rollback()


def percentile(values: list[float], percent: int) -> float:
    """The value that so many per cent are not above."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def measure(target: Target, dsn: str, size: Size, tables: int, names: Iterator[str]) -> list[dict[str, Any]]:
    """All conditions over one deployment."""
    found = []
    opened(target, KNOWN)
    new = size.new_few if tables == FEW else size.new_many
    for condition in ("idle", "a fill runs", "a table is locked"):
        with contextlib.ExitStack() as stack:
            if condition == "a fill runs":
                opened(target, next(names))
            elif condition == "a table is locked":
                stack.enter_context(locked(dsn))
            known = [opened(target, KNOWN) for _ in range(size.known)]
            fresh = [opened(target, next(names)) for _ in range(new)]
        for profile, values in (("known", known), ("new", fresh)):
            facts = {
                "tables": tables,
                "condition": condition,
                "profile": profile,
                "openings": len(values),
                "p50": round(percentile(values, 50), 1),
                "p95": round(percentile(values, 95), 1),
            }
            found.append(facts)
            print(
                f"{tables:4} tables, {condition}: {profile} profile,"
                f" p50 {facts['p50']} ms, p95 {facts['p95']} ms, of {len(values)}",
                flush=True,
            )
    return found


def main() -> None:
    arguments = options(__doc__.splitlines()[0]).parse_args()
    size = QUICK if arguments.quick else FULL
    found: list[dict[str, Any]] = []
    for tables in (FEW, MANY):
        catalogue = "".join(
            _TABLE.format(name=f"t{number}", classes=_CLASSES) for number in range(1, tables + 1)
        )
        purposes = [f"p{number}" for number in range(3 * max(size.new_few, size.new_many) + 1)]

        def loading(dsn: str, rows: int, tables: int = tables) -> None:
            load(dsn, tables, rows)

        with ended_quietly(), throwaway() as folder:
            deployment = make(
                folder,
                size.rows,
                catalogue=catalogue,
                policy=POLICY,
                load=loading,
                purposes=[KNOWN, *purposes],
            )
            with up(deployment) as bed:
                found += measure(bed.plain["ringfort"], bed.admin_dsn, size, tables, iter(purposes))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
