"""Lookups and joins by pseudonym against the same by raw key, through the gateway, and at the server itself.

    python bench/lookup.py [--quick] [--json FILE]

One million people and five million events of theirs (with --quick a twentieth). `raw` and `pseudonym` are the
same principal through the gateway, whose purpose decides in which form keys are shown; `server` is a plain
login past it. All in turns in one run; medians, and the median of the ratios of neighbouring runs. The plans
of the pseudonym's queries are printed with --explain. It asserts nothing about time; what was looked up is
checked: each peer gets the same rows, counts and sums.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from deployment import Bed, Target, make, throwaway, up
from harness import Report, Series, ended_quietly, in_turns, options

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

PEOPLE = 50_000  # for each step of scale
EVENTS = 5  # for each of the people
PURPOSES = {"raw": "bench-raw", "pseudonym": "bench-pseudonym"}
PAIRS = [("raw", "server"), ("pseudonym", "raw"), ("pseudonym", "server")]
_CLASSES = 'protection = "protected", identifiability = "direct"'
CATALOGUE = f"""\
[dataset.bench.table.people.column]
id = {{ type = "bigint", {_CLASSES}, kind = "key" }}
name = {{ type = "text", {_CLASSES}, kind = "name" }}
born = {{ type = "date", {_CLASSES}, kind = "birth_date" }}
country = {{ type = "text", {_CLASSES}, kind = "country" }}
[dataset.bench.table.events.column]
id = {{ type = "bigint", {_CLASSES}, kind = "number" }}
person_id = {{ type = "bigint", {_CLASSES}, kind = "key", references = "people.id" }}
day = {{ type = "date", {_CLASSES}, kind = "date" }}
amount = {{ type = "integer", {_CLASSES}, kind = "amount" }}
"""
POLICY = f"""\
@id("bench-raw")
permit(principal, action == Action::"raw", resource)
when {{ principal.role == "bench" && (context.purpose == "{PURPOSES["raw"]}" || resource.kind != "key") }};

@id("bench-pseudonym")
permit(principal, action == Action::"pseudonym", resource)
when {{ principal.role == "bench" && resource.kind == "key" }};
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
ALTER TABLE events ADD FOREIGN KEY (person_id) REFERENCES people;
"""
_FIRST = (
    "SELECT id FROM people ORDER BY name, born LIMIT 200"  # the same people, whatever their key is called
)
POINTS = {
    "a person by key": "SELECT * FROM people WHERE id = %s",
    "a person's events by key": "SELECT * FROM events WHERE person_id = %s",
    "a person joined with the events": (
        "SELECT p.name, e.day, e.amount FROM people p JOIN events e ON e.person_id = p.id WHERE p.id = %s"
    ),
}
JOINS = {
    "join of all, counted": "SELECT count(*) FROM people p JOIN events e ON e.person_id = p.id",
    "join of all, by country": (
        "SELECT p.country, count(*), sum(e.amount) FROM people p JOIN events e ON e.person_id = p.id "
        "GROUP BY p.country ORDER BY p.country"
    ),
    "events of each person, counted": (
        "SELECT count(*), max(n) FROM (SELECT person_id, count(*) AS n FROM events GROUP BY person_id) AS t"
    ),
}


@dataclass(frozen=True)
class Size:
    """How much of everything is done."""

    scale: int
    rounds: int
    lookups: int


FULL = Size(20, 5, 200)
QUICK = Size(1, 3, 50)


def load(dsn: str, scale: int) -> None:
    """The tables."""
    people = PEOPLE * scale
    with psycopg.connect(dsn, autocommit=True) as connection:
        script = _DDL.format(people=people, events=people * EVENTS)
        connection.execute(sql.SQL(script))  # type: ignore[arg-type] - made of constants and numbers


def connect(target: Target) -> psycopg.Connection[Any]:
    """A connection of a peer; libpq's own variables say how."""
    facts = target.environment()
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password"}
    names |= {"PGDATABASE": "dbname", "PGSSLMODE": "sslmode", "PGOPTIONS": "options"}
    return psycopg.connect(**{names[key]: facts[key] for key in names if key in facts}, autocommit=True)


def points(peers: dict[str, psycopg.Connection[Any]], size: Size, report: Report) -> None:
    """One key after the other, prepared, one client: milliseconds for each."""
    keys = {name: [row[0] for row in peer.execute(_FIRST)] for name, peer in peers.items()}
    for title, statement in POINTS.items():
        series = Series(title, "ms")
        rows: dict[str, int] = {}
        for name in in_turns(size.rounds, peers):
            taken = []
            counted = 0
            for key in keys[name][: size.lookups]:
                begun = time.perf_counter()
                counted += len(peers[name].execute(statement, (key,), prepare=True).fetchall())
                taken.append(time.perf_counter() - begun)
            series.add(name, sorted(taken)[len(taken) // 2] * 1000)
            rows[name] = counted
        _same(title, rows)
        report.add(series, PAIRS)


def joins(peers: dict[str, psycopg.Connection[Any]], size: Size, report: Report) -> None:
    """Everything joined with everything: seconds."""
    for title, statement in JOINS.items():
        series = Series(title, "s")
        answers: dict[str, object] = {}
        for name in in_turns(size.rounds, peers):
            begun = time.perf_counter()
            answers[name] = peers[name].execute(statement).fetchall()
            series.add(name, time.perf_counter() - begun)
        _same(title, answers)
        report.add(series, PAIRS)


def _same(title: str, answers: dict[str, Any]) -> None:
    if any(each != answers["server"] for each in answers.values()):
        raise SystemExit(f"error: {title}: the peers gave different answers")


def explain(bed: Bed) -> None:
    """Plans of the joins over the pseudonyms' views, as the role of that profile."""
    with psycopg.connect(bed.admin_dsn, autocommit=True) as admin:
        roles = admin.execute(
            "SELECT role FROM ringfort.profile WHERE jsonb_array_length(definition -> 'maps') > 0"
        ).fetchall()
        admin.execute(sql.SQL("SET search_path = {}, pg_catalog").format(sql.Identifier(roles[0][0])))
        admin.execute("SET jit = off")
        for title, statement in JOINS.items():
            print(title)
            for (line,) in admin.execute(sql.SQL("EXPLAIN ANALYZE " + statement)):  # type: ignore[arg-type]
                print("   ", line)


def arguments_of(parser: ArgumentParser, given: Sequence[str] | None = None) -> Any:  # noqa: ANN401 - argparse's
    parser.add_argument("--explain", action="store_true", help="print the plans of the joins by pseudonym")
    return parser.parse_args(given)


def main() -> None:
    arguments = arguments_of(options(__doc__.splitlines()[0]))
    size = QUICK if arguments.quick else FULL
    report = Report(arguments.json)
    with ended_quietly(), throwaway() as folder:
        deployment = make(
            folder, size.scale, catalogue=CATALOGUE, policy=POLICY, load=load, purposes=PURPOSES.values()
        )
        with up(deployment) as bed:
            gate = bed.plain["ringfort"]
            targets = [
                bed.plain["server"],
                *(gate.called(form, purpose) for form, purpose in PURPOSES.items()),
            ]
            peers = {target.name: connect(target) for target in targets}
            try:
                points(peers, size, report)
                joins(peers, size, report)
                if arguments.explain:
                    explain(bed)
            finally:
                for peer in peers.values():
                    peer.close()
    report.close()


if __name__ == "__main__":
    main()
