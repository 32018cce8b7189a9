"""What `ringfort init` proposes of a database that was never analysed, and what is then shown far away.

A table of people with what a proposal gets wrong if one generic word or a missing statistic decides: from the
first look at it to an analyst in a third country who asks for all of it.
"""

import json
import re
import subprocess

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.live_deployment import COMMAND, WITH_PARENT, environment, run_ringfort, wait_for

from ringfort.sites.postgres import EmbeddedServer

PASSWORD = "correct horse battery"
# column: its type, and as SQL what row n of 900 holds
RESTRICTED = {
    "hiv_status": ("smallint", "n % 2"),
    "asylum_status": ("text", "(ARRAY['granted', 'pending', 'rejected'])[1 + n % 3]"),
    "crime_type": ("text", "(ARRAY['a', 'b', 'c', 'd'])[1 + n % 4]"),
    "treatment_group": ("integer", "n % 3"),
    "krankheit": ("boolean", "n % 5 = 0"),
    "vakbond_lid": ("smallint", "n % 2"),
    "wyznanie": ("text", "(ARRAY['x1', 'x2'])[1 + n % 2]"),
    "lab": ("text", "(ARRAY['positive', 'negative'])[1 + n % 2]"),
}
REDUCED = {
    "gehalt": ("numeric(10,2)", "3000 + n * 1.37"),
    "weight": ("double precision", "50 + n * 0.071"),
    "job_title": ("text", "(ARRAY['nurse', 'electrician', 'priest', 'clerk'])[1 + n % 4]"),
    "sex": ("integer", "1 + n % 2"),
    "geschlecht": ("text", "(1 + n % 2)::text"),
    "group_code": ("smallint", "n % 4"),
    "level": ("text", "(ARRAY['gold', 'silver'])[1 + n % 2]"),
    "telefono2": ("text", "'+353 86 ' || (1000000 + n * 7919)"),
}
HIDDEN = {"alias": ("text", "'Q' || md5(n::text)"), "activation_key": ("text", "md5('k' || n)")}
ALL = RESTRICTED | REDUCED | HIDDEN
TABLE = "staff"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """The DSN of an organisation's own database, and the deployment that `ringfort init` made of it."""
    top = tmp_path_factory.mktemp("proposed")
    declared = ", ".join(f"{name} {kind}" for name, (kind, _) in ALL.items())
    selected = ", ".join(value for _, value in ALL.values())
    with EmbeddedServer(top / "server", durable=False) as server:
        with psycopg.connect(server.admin_dsn(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE clinic")
        with psycopg.connect(server.admin_dsn("clinic"), autocommit=True) as admin:
            columns = f"id bigint PRIMARY KEY, email text, {declared}"
            admin.execute(f"CREATE TABLE {TABLE} ({columns}) WITH (autovacuum_enabled = off)")
            rows = f"SELECT n, 'p' || n || '@example.ie', {selected} FROM generate_series(1, 900) n"
            admin.execute(f"INSERT INTO {TABLE} {rows}")
            query = "SELECT reltuples FROM pg_class WHERE relname = %s"
            assert admin.execute(query, (TABLE,)).fetchone()[0] <= 0
        folder = top / "clinic"
        done = run_ringfort("init", str(folder), "--from", server.admin_dsn("clinic"))
        assert done.returncode == 0, done.stderr
        config = folder / "ringfort.toml"
        config.write_text(re.sub(r"(?m)^(port|http_port) = [0-9]+", r"\1 = 0", config.read_text()))
        yield server.admin_dsn("clinic"), folder


@pytest.fixture
def gateway(clinic, tmp_path):
    """Where the gateway listens, once the database is served."""
    dsn, folder = clinic
    facts = ("--country", "US", "--role", "analyst", "--employer", "Example", "--password-stdin")
    done = run_ringfort("principal", "add", str(folder), "dana", *facts, stdin=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    ready, output = tmp_path / "ready.json", tmp_path / "output.txt"
    command = [*WITH_PARENT, *COMMAND, "up", str(folder), "--ready-file", str(ready)]
    with (
        output.open("wb") as written,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT, env=environment()
        ) as process,
    ):
        try:
            # what the audit prints takes from PUBLIC what a server has by default, and is run by its owner
            wait_for(lambda: process.poll() is not None or "not served" in output.read_text(), 200)
            audited = run_ringfort("site", "audit", str(folder), "--json")
            with psycopg.connect(dsn, autocommit=True) as admin:
                for statement in json.loads(audited.stdout)["hardening"]:
                    admin.execute(statement)
            wait_for(lambda: ready.exists() or process.poll() is not None, 200)
            yield json.loads(ready.read_text())["gateway"]
        finally:
            process.terminate()
            process.wait(150)


def test_an_analyst_far_away_sees_none_of_it_raw(clinic, gateway):
    own, folder = clinic
    dsn = make_conninfo(
        host=gateway["host"],
        port=gateway["port"],
        dbname="clinic",
        user="dana",
        password=PASSWORD,
        sslmode="verify-full",
        sslrootcert=str(folder / "secrets" / "tls" / "ca.pem"),
        options="-c ringfort.purpose=product-analytics",
    )
    with psycopg.connect(dsn, autocommit=True) as analyst:
        count = f"SELECT count(*) FROM {TABLE}"  # a new pseudonym takes its moment
        wait_for(lambda: analyst.execute(count).fetchone() == (900,))
        cursor = analyst.execute(f"SELECT * FROM {TABLE}")
        columns = [each.name for each in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    assert len(rows) == 900
    assert set(columns) & {*REDUCED}
    assert not set(columns) & {*RESTRICTED, *HIDDEN, "email"}
    with psycopg.connect(own) as admin:
        listed = ", ".join(f"{name}::text" for name in ALL)
        real = admin.execute(f"SELECT {listed} FROM {TABLE}").fetchall()
    raw = {name: {row[at] for row in real} for at, name in enumerate(ALL)}
    for name in set(columns) & set(REDUCED):
        shown = {str(row[name]) for row in rows}
        assert not shown & raw[name], name
    explained = run_ringfort("policy", "explain", str(folder), "--as", "dana", "--table", TABLE)
    forms = dict(re.findall(rf"{TABLE}\.(\w+)\s+(\w+)", explained.stdout))
    assert {forms[name] for name in (*RESTRICTED, *HIDDEN, "email")} == {"hidden"}
    assert {forms[name] for name in REDUCED} <= {"generalised", "hidden", "pseudonym"}


def test_the_proposal_says_what_it_is_unsure_of_and_warns_of_names(clinic):
    _, folder = clinic
    text = (folder / "catalog.toml").read_text()
    for name in RESTRICTED:
        line = next(each for each in text.splitlines() if re.match(rf"{name}\s*=", each))
        assert 'protection = "restricted"' in line, line
        assert "unsure" in line, line
    alias = next(each for each in text.splitlines() if re.match(r"alias\s*=", each))
    assert "protection" not in alias
    checked = run_ringfort("policy", "check", str(folder))
    assert "unclassified beside direct identifiers" in checked.stdout + checked.stderr
    assert "`alias`" in checked.stdout + checked.stderr
