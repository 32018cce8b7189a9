"""Served means that sessions open: a site that only the administrator's client can reach is not served."""

import re
import subprocess
import sys

import psycopg
import pytest
from tests.live_deployment import run_ringfort


@pytest.mark.parametrize("dsn", ["sslmode=prefer", "sslmode=require&sslrootcert=OTHER"])
def test_a_site_that_sessions_cannot_reach_is_not_served(fresh_database, tmp_path, dsn):
    """The administrator's client is content with less than a session is: served means that sessions open."""
    facts = psycopg.conninfo.conninfo_to_dict(fresh_database)
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute("CREATE TABLE people (id bigint PRIMARY KEY, email text)")
    folder = tmp_path / "crm"
    assert run_ringfort("init", folder, "--from", fresh_database, "--name", "crm").returncode == 0
    config = folder / "ringfort.toml"
    config.write_text(re.sub(r"(?m)^(port|http_port) = [0-9]+", r"\1 = 0", config.read_text()))
    (secret,) = (folder / "secrets").glob("site-*.dsn")
    other = dsn.replace("OTHER", str(folder / "secrets" / "tls" / "ca.pem"))
    place = f"{facts['host']}:{facts['port']}/{facts['dbname']}"
    secret.write_text(f"postgresql://{facts['user']}:{facts['password']}@{place}?{other}")
    with subprocess.Popen(
        [sys.executable, "-m", "ringfort.cli.main", "up", folder, "--ready-file", tmp_path / "ready"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as up:
        try:
            said = next(line for line in up.stdout if "served" in line)
        finally:
            up.terminate()
    assert said.startswith("not served")
    assert not (tmp_path / "ready").exists()
