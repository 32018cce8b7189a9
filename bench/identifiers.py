"""What reading from a site and taking fingerprints costs: a table of people on an embedded PostgreSQL.

`copy` is PostgreSQL's own COPY BINARY of the same columns, thrown away as it comes; `read` the same decoded
into columns; `anew` the fingerprints made of all people (names in two columns, e-mail address, phone);
`nothing changed` and `1 % changed` bring the set up to date. All in one process, each once unless --rounds.

    python bench/identifiers.py [--rows N] [--rounds N] [--json FILE]
    python bench/transfer.py --only site [--rows N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.catalog.words import given_names
from ringfort.config import load_config
from ringfort.paths import Layout, private_folder
from ringfort.policy.contract_source import load_contract
from ringfort.sites.copy_out import SiteColumn, read_batches
from ringfort.sites.postgres import EmbeddedServer
from ringfort.transfer.fingerprints import IdentifierSource, kept_fingerprints

ROWS = 1_000_000
COLUMNS = (("first_name", "name"), ("last_name", "name"), ("email", "email"), ("phone", "phone"))
_CONTRACT = """\
dataset = "people"
purpose = "analysis"
owner = "olga"
approver = "ronan"
schedule = "on-demand"
retention = "30d"
recipient = { principal = "acme", entity = "Acme", country = "US" }
legal = { mechanism = "standard-contractual-clauses", assessment = "TIA-1" }
volume = { rows = 1_000_000_000, per = "year" }
target = { address = "outbox" }
[table.people.column]
id = "pseudonym"
"""
_FILL = """
INSERT INTO people SELECT i, first, last, lower(first) || '.' || lower(last) || i || '@example.org',
    '+353 86 ' || lpad(i::text, 8, '0'), 'Cork'
FROM generate_series(1, %(rows)s) AS i,
LATERAL (SELECT initcap((%(names)s::text[])[1 + hashint8(i) & 4095]) AS first,
    initcap(translate(substr(md5((hashint8(i * 7) & 262143)::text), 1, 9), '0123456789', 'aeioulnrst'))
        AS last) AS n
"""


def prepare(folder: Path, dsn: str, rows: int) -> IdentifierSource:
    """The people in the database, and what a transfer knows of them."""
    (folder / "ringfort.toml").write_text(
        'organisation = "X"\n[site.s]\nkind = "external"\ncountry = "IE"\ndatabases = ["postgres"]\n'
    )
    private_folder(folder / "secrets")
    secret = Layout(folder).site_dsn("s")
    secret.touch(0o600)
    secret.write_text(dsn)
    path = folder / "people.toml"
    path.write_text(_CONTRACT)
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(
            "CREATE TABLE people (id bigint PRIMARY KEY, first_name text, last_name text, email text,"
            " phone text, city text)"
        )
        names = (sorted(given_names()) * 2)[:4096]
        admin.execute(_FILL, {"rows": rows, "names": names})
        admin.execute("VACUUM ANALYZE people")
    columns = tuple(
        Column(name, "text", protection="restricted", identifiability="direct", kind=kind)
        for name, kind in COLUMNS
    )
    dataset = Dataset("people", "postgres", tables=(Table("public", "people", columns),))
    contract, _ = load_contract(path)
    return IdentifierSource(load_config(folder), contract, Catalogue((dataset,)), bytes(range(32)))


def copied(dsn: str) -> float:
    """Seconds to take what PostgreSQL sends and throw it away."""
    begun = time.perf_counter()
    listed = sql.SQL(", ").join(sql.Identifier(name) for name, _ in COLUMNS)
    with (
        psycopg.connect(dsn) as connection,
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY (SELECT {} FROM people) TO STDOUT (FORMAT BINARY)").format(listed)) as copy,
    ):
        for _ in copy:
            pass
    return time.perf_counter() - begun


def read(dsn: str) -> float:
    """Seconds to read the columns as batches."""
    begun = time.perf_counter()
    wanted = [SiteColumn(name, "text") for name, _ in COLUMNS]
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        for _ in read_batches(cursor, "public", "people", wanted):
            pass
    return time.perf_counter() - begun


def updated(source: IdentifierSource, folder: Path) -> tuple[float, int]:
    """Seconds to bring the set up to date, and the rows that were read for it."""
    counted: list[int] = []
    begun = time.perf_counter()
    kept_fingerprints(replace(source, progress=counted.append), folder)
    return time.perf_counter() - begun, sum(counted)


def measure(rows: int, rounds: int) -> dict[str, float]:
    """Medians of seconds."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="ringfort-bench-") as top:
        place = Path(top)
        place.chmod(0o711)
        with EmbeddedServer(place / "site", durable=False) as server:
            dsn = server.admin_dsn("postgres")
            source = prepare(place, dsn, rows)
            for number in range(rounds):
                folder = private_folder(place / f"kept{number}")
                found.setdefault("copy", []).append(copied(dsn))
                found.setdefault("read", []).append(read(dsn))
                for name in ("anew", "nothing changed", "1 % changed"):
                    if name.startswith("1"):
                        with psycopg.connect(dsn, autocommit=True) as admin:
                            admin.execute(
                                "UPDATE people SET last_name = 'Mac' || last_name WHERE id % 100 = 1"
                            )
                    seconds, seen = updated(source, folder)
                    expected = {"anew": rows, "nothing changed": 0}.get(name, len(range(1, rows + 1, 100)))
                    if seen != expected:
                        raise SystemExit(f"error: {seen:,} rows were read, not {expected:,}")
                    found.setdefault(name, []).append(seconds)
    return {name: statistics.median(each) for name, each in found.items()}


def show(rows: int, rounds: int, target: Path | None) -> None:
    """Measure and print."""
    medians = measure(rows, rounds)
    print(f"{rows:,} people on a site, four columns of identifiers; median of {rounds}")
    for name, seconds in medians.items():
        print(
            f"{name}: {seconds:.2f} s, {rows / seconds / 1e6:.2f} million people/s,"
            f" {medians['copy'] / seconds:.2f} of copy, {medians['anew'] / seconds:.1f} times as fast as anew"
        )
    if target:
        target.write_text(json.dumps({"rows": rows, "rounds": rounds, "medians": medians}, indent=2))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args(arguments)
    show(given.rows, given.rounds, given.json)


if __name__ == "__main__":
    main(sys.argv[1:])
