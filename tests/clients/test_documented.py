"""The examples of docs/clients.md, as they stand there, against this gateway."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.clients.foreign_client import documented
from tests.live_deployment import ANALYST, environment

FOLDER = Path(__file__).parent
NODE = pytest.mark.skipif(
    not (FOLDER / "node" / "node_modules" / "pg").exists() or shutil.which("node") is None,
    reason="node-postgres is not installed: `make clients` does that where there is npm",
)


def run(command, live, **more):
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment() | {"PGPASSWORD": ANALYST.password},
        timeout=60,
        **more,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_psql(live):
    (line,) = documented(live, "sh")
    assert line.startswith('psql "')
    program = shutil.which("psql")
    if program is None:
        pytest.skip("psql is not installed")
    text = line.strip().removeprefix('psql "').removesuffix('"')
    assert run([program, "-X", "-At", text, "-c", "SELECT count(*) FROM people"], live) == "300\n"


def test_python(live):
    psycopg, asyncpg, sqlalchemy = documented(live, "python")
    assert run([sys.executable, "-c", psycopg], live) == "(300,)\n"
    assert run([sys.executable, "-c", asyncpg], live) == "300\n"
    shown = run([sys.executable, "-c", sqlalchemy], live)
    assert "'people'" in shown
    assert "EEA" in shown


@NODE
@pytest.mark.clients
def test_node(live):
    (text,) = documented(live, "js")
    command = ["node", "--input-type=module", "-e", text]
    assert run(command, live, cwd=FOLDER / "node") == "[ { count: '300' } ]\n"
