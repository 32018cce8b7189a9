"""The JDBC driver (pgjdbc): a small program, compiled here. `make clients` runs this where there is java.

The driver is the file that RINGFORT_JDBC_JAR names, or Debian's (package libpostgresql-jdbc-java).
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.clients.foreign_client import documented, facts
from tests.live_deployment import environment

from ringfort.sites.tls import ensure_tls

SOURCE = Path(__file__).parent / "java" / "Operations.java"
DRIVER = Path(os.environ.get("RINGFORT_JDBC_JAR") or "/usr/share/java/postgresql.jar")
OPERATIONS = re.findall(r'^ {8}operation\("(.+?)",', SOURCE.read_text(encoding="utf-8"), flags=re.MULTILINE)

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("javac") is None, reason="no java compiler (javac) is installed"),
    pytest.mark.skipif(
        not DRIVER.exists(),
        reason="the JDBC driver is not installed: libpostgresql-jdbc-java, or RINGFORT_JDBC_JAR",
    ),
]


def properties(live, folder):
    """The facts as a Java properties file."""
    told = facts(live)
    row = told.pop("row")
    with live.connect("aoife") as connection:  # as the server writes it
        (row["h_json"],) = connection.execute("SELECT h_json::text FROM vault WHERE id = 1").fetchone()
    row["h_array"] = ",".join(row["h_array"])
    other = folder / "other"
    other.mkdir()
    ensure_tls(other, ["localhost", "127.0.0.1"])
    lines = {name: told[name] for name in ("host", "port", "database", "ca_file")} | row
    lines["other_ca_file"] = other / "ca.pem"
    (lines["url"],) = (each.strip() for each in documented(live, "") if each.startswith("jdbc:"))
    for who in ("support", "analyst"):
        lines |= {f"{who}.{name}": value for name, value in told[who].items()}
    escaped = {name: str(value).replace("\\", "\\\\") for name, value in lines.items()}
    return "".join(f"{name}={value}\n" for name, value in escaped.items())


@pytest.fixture(scope="module")
def answered(live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("java")
    compiled = subprocess.run(
        ["javac", "-Xlint:all", "-Werror", "-cp", str(DRIVER), "-d", str(folder), str(SOURCE)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert compiled.returncode == 0, compiled.stderr
    done = subprocess.run(
        ["java", "-cp", f"{folder}{os.pathsep}{DRIVER}", "Operations"],
        input=properties(live, folder),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("\t") for line in done.stdout.splitlines())


def test_every_operation_was_done(answered):
    assert list(answered) == OPERATIONS


@pytest.mark.parametrize("operation", OPERATIONS)
def test_jdbc(answered, operation):
    assert not answered[operation], answered[operation].replace(" | ", "\n")
