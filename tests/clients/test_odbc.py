"""The ODBC driver (psqlodbc) by unixODBC's `isql`. `make clients` runs this where both are installed."""

import re
import shutil
import subprocess

import pytest
from tests.clients.foreign_client import documented
from tests.live_deployment import ANALYST, environment

DRIVER = "PostgreSQL Unicode"


def installed():
    if shutil.which("isql") is None or shutil.which("odbcinst") is None:
        return False
    return DRIVER in subprocess.run(["odbcinst", "-q", "-d"], capture_output=True, text=True).stdout


pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not installed(), reason="unixODBC with psqlodbc is not installed (odbc-postgresql)"),
]


@pytest.fixture
def isql(live, tmp_path):
    """Run one line; cells of the answer, or what it said."""
    (text,) = (each.strip() for each in documented(live, "") if each.startswith("DRIVER="))
    assert f"UID={ANALYST.name}" in text

    def run(line):
        done = subprocess.run(
            ["isql", "-v", "-b", "-d|", "-k", f"{text};PWD={ANALYST.password}"],
            input=line + "\n",
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment() | {"HOME": str(tmp_path)},
            timeout=60,
        )
        return done.stdout + done.stderr

    return run


def rows(said):
    return [re.split(r"\s*\|\s*", line.strip()) for line in said.splitlines() if line.strip()]


def test_rows_come(isql):
    assert rows(isql("SELECT label, 7 AS seven FROM vault ORDER BY label LIMIT 2")) == [
        ["shelf 0", "7"],
        ["shelf 1", "7"],
    ]
    assert rows(isql("SELECT country, count(*) FROM people GROUP BY 1 ORDER BY 1 LIMIT 1"))[0][0] == "Asia"


def test_errors_have_their_sqlstate(isql):
    assert "[42703]" in isql("SELECT h_text FROM vault")
    assert "[42501]" in isql("DELETE FROM vault")


def test_tables_and_columns_are_listed(isql):
    names = {cells[2] for cells in rows(isql("help")) if len(cells) > 2}
    assert {"messages", "payments", "people", "vault", "videos", "views"} <= names
    assert [cells[3] for cells in rows(isql("help vault"))][:3] == ["id", "owner_id", "label"]
