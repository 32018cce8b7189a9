"""What filling in the order of rows costs: the same statements with it, and with stored order accepted.

    python bench/order.py [--quick] [--json FILE]

One million people and two million events of theirs (with --quick a twentieth), twice: in dataset `bench` the
gateway fills in what order a statement leaves open, in dataset `stored` the policy accepts the stored order.
Both by one principal who sees pseudonyms, through the gateway, in turns in one run; medians, and the median
of the ratios of neighbouring runs. It asserts nothing about time; that both give as many rows is checked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from deployment import DATABASE, make, throwaway, up
from harness import Report, Series, ended_quietly, in_turns, options
from lookup import connect

PEOPLE = 50_000  # for each step of scale
EVENTS = 2  # for each of the people
PURPOSE = "bench-pseudonym"
PAIRS = [("filled", "stored")]
_CLASSES = 'protection = "protected", identifiability = "direct"'
_TABLES = """\
[dataset.{dataset}.table.{prefix}people.column]
id = {{ type = "bigint", {classes}, kind = "key", identity_space = "people.id" }}
name = {{ type = "text", {classes}, kind = "name" }}
born = {{ type = "date", {classes}, kind = "birth_date" }}
country = {{ type = "text", {classes}, kind = "country" }}
[dataset.{dataset}.table.{prefix}events.column]
id = {{ type = "bigint", {classes}, kind = "number" }}
person_id = {{ type = "bigint", {classes}, kind = "key", identity_space = "people.id" }}
day = {{ type = "date", {classes}, kind = "date" }}
amount = {{ type = "integer", {classes}, kind = "amount" }}
"""
CATALOGUE = f'[dataset.stored]\ndatabase = "{DATABASE}"\n' + "".join(
    _TABLES.format(dataset=dataset, prefix=prefix, classes=_CLASSES)
    for dataset, prefix in (("bench", ""), ("stored", "stored_"))
)
POLICY = """\
@id("bench-keys")
permit(principal, action == Action::"pseudonym", resource)
when { principal.role == "bench" && resource.kind == "key" };

@id("bench-values")
permit(principal, action == Action::"raw", resource)
when { principal.role == "bench" && resource.kind != "key" };
"""
_DDL = """\
CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL, born date NOT NULL, country text NOT NULL);
INSERT INTO people SELECT n * 7, 'Given' || n % 977 || ' Family' || n % 7919, date '1950-01-01' + n % 20000,
    (ARRAY['IE', 'DE', 'FR', 'PL', 'ES'])[1 + n % 5] FROM generate_series(1, {people}) AS n;
CREATE TABLE events (id bigint PRIMARY KEY, person_id bigint NOT NULL, day date NOT NULL,
    amount integer NOT NULL);
INSERT INTO events SELECT n, 7 * (1 + n::bigint * 2654435761 % {people}), date '2020-01-01' + n % 1500,
    n % 1000 FROM generate_series(1, {events}) AS n;
CREATE INDEX ON events (person_id);
CREATE TABLE stored_people (LIKE people INCLUDING ALL);
INSERT INTO stored_people SELECT * FROM people;
CREATE TABLE stored_events (LIKE events INCLUDING ALL);
INSERT INTO stored_events SELECT * FROM events;
"""
_JOIN = "SELECT p.name, e.day FROM {0}people p JOIN {0}events e ON e.person_id = p.id"
STATEMENTS = {
    "the first ten rows": "SELECT * FROM {}people LIMIT 10",
    "the first thousand of a country": "SELECT * FROM {}people WHERE country = 'IE' LIMIT 1000",
    "the first ten by name": "SELECT * FROM {}people ORDER BY name LIMIT 10",
    "all rows": "SELECT * FROM {}people",
    "all rows of two columns": "SELECT id, born FROM {}people",
    "a join, first ten": f"{_JOIN} LIMIT 10",
    "a join, all rows": _JOIN,
    "counts by country": "SELECT country, count(*) FROM {}people GROUP BY country",
    "counts by person": "SELECT person_id, count(*) FROM {}events GROUP BY person_id",
    "distinct names": "SELECT DISTINCT name FROM {}people",
    "numbered rows": "SELECT count(n) FROM (SELECT row_number() OVER () AS n FROM {}people) s",
    "a list of all keys": "SELECT cardinality(array_agg(id)) FROM {}people",
    "a count": "SELECT count(*), max(born) FROM {}people",
}


@dataclass(frozen=True)
class Size:
    """How much of everything is done."""

    scale: int
    rounds: int


FULL = Size(20, 5)
QUICK = Size(1, 3)


def load(dsn: str, scale: int) -> None:
    """The tables."""
    people = PEOPLE * scale
    with psycopg.connect(dsn, autocommit=True) as connection:
        script = _DDL.format(people=people, events=people * EVENTS)
        connection.execute(sql.SQL(script))  # type: ignore[arg-type] - made of constants and numbers


def measure(peer: psycopg.Connection[Any], size: Size, report: Report) -> None:
    """Each statement in both datasets in turns: milliseconds until the last row is here."""
    for title, statement in STATEMENTS.items():
        series = Series(title, "ms")
        counted: dict[str, int] = {}
        for name in in_turns(size.rounds, ("filled", "stored")):
            text = statement.format("" if name == "filled" else "stored_")
            begun = time.perf_counter()
            result = peer.pgconn.exec_(text.encode())
            series.add(name, (time.perf_counter() - begun) * 1000)
            if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
                raise SystemExit(f"error: {title}: {result.error_message.decode()}")
            counted[name] = result.ntuples
        if counted["filled"] != counted["stored"]:
            raise SystemExit(f"error: {title}: the datasets gave different numbers of rows")
        report.add(series, PAIRS)


def main() -> None:
    arguments = options(__doc__.splitlines()[0]).parse_args()
    size = QUICK if arguments.quick else FULL
    report = Report(arguments.json)
    with ended_quietly(), throwaway() as folder:
        deployment = make(
            folder,
            size.scale,
            catalogue=CATALOGUE,
            policy=POLICY,
            load=load,
            purposes=[PURPOSE],
            stored_order=["stored"],
        )
        with up(deployment) as bed, connect(bed.plain["ringfort"].called("filled", PURPOSE)) as peer:
            measure(peer, size, report)
    report.close()


if __name__ == "__main__":
    main()
