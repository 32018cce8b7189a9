"""What the benchmark's database holds: pgbench's tables, wide rows, and people in several forms.

`people` is shown to the one principal of the benchmark as it is, masked, or with its key as a pseudonym,
by the purpose that a session states: the policies are made for that.
"""

from __future__ import annotations

import os
import subprocess

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ringfort.sites.binaries import find_binaries

WIDE_COLUMNS = 60
FORMS = {"raw": "bench-raw", "masked": "bench-masked", "pseudonym": "bench-pseudonym"}  # form -> purpose
PEOPLE = {
    "id": ("bigint", "key"),
    "name": ("text", "name"),
    "email": ("text", "email"),
    "phone": ("text", "phone"),
    "born": ("date", "birth_date"),
    "city": ("text", "city"),
    "iban": ("text", "iban"),
    "ip": ("inet", "ip_address"),
}
_DDL = """\
CREATE TABLE wide AS SELECT n AS id, {columns} FROM generate_series(1, {rows}) AS n;
CREATE TABLE people (id bigint PRIMARY KEY, name text, email text, phone text, born date, city text,
    iban text, ip inet);
INSERT INTO people SELECT n, 'Given' || n % 977 || ' Family' || n % 7919,
    'given' || n % 977 || '.family' || n % 7919 || '@example.com', '+353 86 ' || 1000000 + n,
    date '1950-01-01' + n % 20000, 'City' || n % 300, 'IE29AIBK931152' || 10000000 + n,
    '192.0.2.0'::inet + n % 250 FROM generate_series(1, {rows}) AS n;
"""
ADMISSION = (
    "GRANT CONNECT ON DATABASE bench TO bench_direct",
    "GRANT USAGE ON SCHEMA public TO bench_direct",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench_direct",
)


def fill(dsn: str, scale: int) -> None:
    """The tables, with 100,000 accounts, 10,000 wide rows and 10,000 people for each step of `scale`."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    names |= {"dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
    facts = {names[key]: str(value) for key, value in conninfo_to_dict(dsn).items() if key in names}
    program = find_binaries().program("pgbench")
    done = subprocess.run(
        [program, "-i", "-q", "-s", str(scale)],
        env={**os.environ, **facts},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"error: pgbench -i failed: {done.stderr.strip()[-500:]}")
    columns = [f"'text number {each} of row ' || n AS t{each:02}" for each in range(WIDE_COLUMNS)]
    with psycopg.connect(dsn, autocommit=True) as connection:
        script = _DDL.format(columns=", ".join(columns), rows=10_000 * scale)
        connection.execute(sql.SQL(script))  # type: ignore[arg-type] - made of constants and numbers


def _columns(table: str, columns: dict[str, tuple[str, str]], classes: str) -> str:
    lines = [f"[dataset.bench.table.{table}.column]"]
    lines += [
        f'{name} = {{ type = "{data_type}", {classes}, kind = "{kind}" }}'
        for name, (data_type, kind) in columns.items()
    ]
    return "\n".join(lines) + "\n"


_PUBLIC = 'protection = "public", identifiability = "none"'
CATALOGUE = (
    _columns(
        "pgbench_accounts",
        {
            "aid": ("integer", "number"),
            "bid": ("integer", "number"),
            "abalance": ("integer", "amount"),
            "filler": ("character(84)", "content"),
        },
        _PUBLIC,
    )
    + _columns("pgbench_branches", {"bid": ("integer", "number")}, _PUBLIC)
    + _columns(
        "wide",
        {"id": ("integer", "number")} | {f"t{each:02}": ("text", "content") for each in range(WIDE_COLUMNS)},
        _PUBLIC,
    )
    + _columns("people", PEOPLE, 'protection = "protected", identifiability = "direct"')
)
POLICY = f"""\
@id("bench-raw")
permit(principal, action == Action::"raw", resource)
when {{ principal.role == "bench" && context.purpose == "{FORMS["raw"]}" }};

@id("bench-masked")
permit(principal, action == Action::"masked", resource)
when {{ principal.role == "bench" && context.purpose == "{FORMS["masked"]}" }};

@id("bench-masked-keeps-keys")
permit(principal, action == Action::"raw", resource)
when {{ principal.role == "bench" && context.purpose == "{FORMS["masked"]}" && resource.kind == "key" }};

@id("bench-pseudonym-of-the-key")
permit(principal, action == Action::"pseudonym", resource)
when {{ principal.role == "bench" && context.purpose == "{FORMS["pseudonym"]}" && resource.kind == "key" }};

@id("bench-pseudonym-else-raw")
permit(principal, action == Action::"raw", resource)
when {{ principal.role == "bench" && context.purpose == "{FORMS["pseudonym"]}" && resource.kind != "key" }};
"""
