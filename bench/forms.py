"""Masks and generalisations on Arrow columns beside the same functions in PostgreSQL: rows a second.

    python bench/forms.py [--quick] [--json FILE]

Every function gets a column of its own kind, most values different. PostgreSQL is one backend that reads a
table in memory and renders each row (EXPLAIN ANALYZE: nothing is sent), less what reading alone takes.
`copy` is COPY of the people of `bench/gateway.py` to nowhere, masked as its view does it and as they are.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
from psycopg import sql

from harness import Report, Series, ended_quietly, in_turns, options
from ringfort.disclosure.forms_sql import SCHEMA, create_statements
from ringfort.privacy.columns import COLUMN_FORMS, render
from ringfort.privacy.form_rules import versioned
from ringfort.sites.postgres import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS, DATABASE = "columns", "PostgreSQL"
VALUES: dict[str, tuple[str, str]] = {  # function -> SQL type and a value for row n
    "mask_email": ("text", "'jan.murphy' || n || '@example' || n % 977 || '.com'"),
    "general_email": ("text", "'jan.murphy' || n || '@gmail.com'"),
    "mask_phone": ("text", "'+353 86 ' || 1000000 + n"),
    "general_phone": ("text", "'+353 86 ' || 1000000 + n"),
    "mask_name": ("text", "'Given' || n % 977 || ' Family' || n"),
    "mask_ip": ("text", "'10.' || n % 256 || '.' || n / 256 % 256 || '.7'"),
    "mask_iban": ("text", "'IE29AIBK931152' || 10000000 + n"),
    "mask_card": ("text", "'4111 1111 11' || 10 + n % 90 || ' ' || 1000 + n"),
    "mask_code": ("text", "'INV-' || 100000 + n"),
    "mask_address": ("text", "n % 1000 || ' Main Street ' || n"),
    "mask_postcode": ("text", "'D' || n % 100 || ' X' || n"),
    "mask_city": ("text", "'City' || n"),
    "general_country": ("text", "(ARRAY['Ireland', 'DE', 'nowhere' || n])[1 + n % 3]"),
    "mask_url": ("text", "'https://example.org:8443/path/' || n || '?q=1'"),
    "general_user_agent": ("text", "'Mozilla/5.0 (X11; Linux x86_64) Chrome/' || n || '.0 Safari/537.36'"),
    "mask_text": (
        "text",
        "'Order ' || n || ' has not come, call +353 86 1234567 or write to jan@example.com'",
    ),
    "born_text": ("text", "(date '1950-01-01' + n)::text"),
    "born_date": ("date", "date '1950-01-01' + n % 20000"),
    "month_timestamptz": ("timestamp with time zone", "timestamptz '2000-01-01' + n * interval '1 minute'"),
    "band_numeric": ("numeric", "n * 1.5"),
    "band_float": ("double precision", "n * 1.5"),
    "mask_inet": ("inet", "'192.0.2.0'::inet + n"),
}
PEOPLE = {
    "mask_name": "name",
    "mask_email": "email",
    "mask_phone": "phone",
    "year_date": "born",
    "mask_city": "city",
    "mask_iban": "iban",
    "mask_inet": "ip",
}  # function -> column
_PEOPLE_DDL = """\
CREATE TABLE people AS SELECT n, 'Given' || n % 977 || ' Family' || n % 7919 AS name,
    'given' || n % 977 || '.family' || n % 7919 || '@example.com' AS email,
    '+353 86 ' || 1000000 + n AS phone, date '1950-01-01' + n % 20000 AS born, 'City' || n % 300 AS city,
    'IE29AIBK931152' || 10000000 + n AS iban,
    '192.0.2.0'::inet + n % 250 AS ip FROM generate_series(1, {}) AS n"""


def column(connection: psycopg.Connection, data_type: str) -> pa.Array:
    """The values of the table as a column of the type that `render` takes."""
    shown = "v::text" if data_type == "inet" else "v"
    values = [row[0] for row in connection.execute(sql.SQL("SELECT {} FROM given").format(sql.SQL(shown)))]
    return pa.array(values)


def milliseconds(connection: psycopg.Connection, statement: str) -> float:
    """What the backend took to run a statement whose rows go nowhere."""
    plan = connection.execute("EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) " + statement)  # type: ignore[operator]
    found = re.search(r"Execution Time: ([\d.]+)", "\n".join(row[0] for row in plan))
    if found is None:
        raise SystemExit("error: PostgreSQL did not say how long a statement took")
    return float(found[1])


def functions(connection: psycopg.Connection, rows: int, rounds: int, report: Report) -> None:
    for function, (data_type, value) in VALUES.items():
        name = versioned(function)
        connection.execute("DROP TABLE IF EXISTS given")
        connection.execute(
            f"CREATE TABLE given AS SELECT ({value})::{data_type} AS v FROM generate_series(1, {rows}) AS n"  # type: ignore[arg-type] # noqa: S608
        )
        values = column(connection, data_type)
        series = Series(f"{name} ({COLUMN_FORMS[name].argument})", "million rows/s")
        for peer in in_turns(rounds, (COLUMNS, DATABASE)):
            if peer == COLUMNS:
                begun = time.perf_counter()
                render(name, values)
                seconds = time.perf_counter() - begun
            else:
                reading = milliseconds(connection, "SELECT v FROM given")
                call = f"SELECT {SCHEMA}.{name}(v) FROM given"  # noqa: S608
                seconds = max(milliseconds(connection, call) - reading, 0.001) / 1000
            series.add(peer, rows / seconds / 1e6)
        report.add(series, [(COLUMNS, DATABASE)])


def copy(connection: psycopg.Connection, rows: int, rounds: int, report: Report) -> None:
    connection.execute(sql.SQL(_PEOPLE_DDL).format(sql.Literal(rows)))
    masked = ", ".join(f"{SCHEMA}.{versioned(each)}({column})" for each, column in PEOPLE.items())
    ways: dict[str, Callable[[], object]] = {
        "raw": lambda: connection.execute("COPY people TO '/dev/null'"),
        "masked": lambda: connection.execute(
            f"COPY (SELECT n, {masked} FROM people) TO '/dev/null'"  # type: ignore[arg-type] # noqa: S608
        ),
    }
    series = Series("COPY of people", "million rows/s")
    for peer in in_turns(rounds, ways):
        begun = time.perf_counter()
        ways[peer]()
        series.add(peer, rows / (time.perf_counter() - begun) / 1e6)
    report.add(series, [("masked", "raw")])


def main() -> None:
    given = options(__doc__.partition("\n")[0]).parse_args()
    rows, rounds = (50_000, 2) if given.quick else (1_000_000, 5)
    report = Report(given.json)
    with ended_quietly(), tempfile.TemporaryDirectory(prefix="ringfort-bench-") as folder:
        Path(folder).chmod(0o711)
        os.environ["RINGFORT_SERVER_STATE"] = folder
        with (
            EmbeddedServer(Path(folder) / "site", durable=False) as server,
            psycopg.connect(server.admin_dsn(), autocommit=True, prepare_threshold=None) as connection,
        ):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
            connection.execute("SET search_path = pg_catalog")
            for statement in create_statements():
                connection.execute(statement)
            connection.execute("SET search_path = public")
            connection.execute("SET max_parallel_workers_per_gather = 0")
            functions(connection, rows, rounds, report)
            copy(connection, rows, rounds, report)
    report.close()


if __name__ == "__main__":
    main()
