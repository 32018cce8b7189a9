"""What is served, what is not and why, as `up`, `status`, `site audit` and clients hear it."""

import json
import re
import signal
import subprocess
import uuid

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.live_deployment import COMMAND, WITH_PARENT, environment, run_ringfort, wait_for


class Beside:
    """A deployment beside a database that is not ours."""

    def __init__(self, folder, dsn):
        self.folder, self.dsn = folder, dsn
        self.database = conninfo_to_dict(dsn)["dbname"]
        self.ready, self.output = folder.parent / "ready.json", folder.parent / "up.txt"
        made = run_ringfort("init", str(folder), "--from", dsn)
        assert made.returncode == 0, made.stderr
        toml = folder / "ringfort.toml"
        toml.write_text(re.sub(r"(?m)^((?:http_)?port) = .*$", r"\1 = 0", toml.read_text()))
        added = run_ringfort(
            "principal", "add", str(folder), "aoife", "--country", "IE", "--employer", "acme", "--role",
            "support", "--password-stdin", stdin="correct horse battery\n",
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*WITH_PARENT, *COMMAND, "up", str(folder), "--ready-file", str(self.ready)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment(),
            )  # fmt: skip
        self.said = wait_for(self._said, seconds=300)

    def _said(self):
        assert self.process.poll() is None, self.output.read_text()
        text = self.output.read_text()
        return text if "gateway     127" in text and text.endswith("\n") else ""

    def administer(self, *statements):
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            for each in statements:
                admin.execute(each)

    def ringfort(self, *arguments):
        group, *rest = arguments
        return run_ringfort(group, *(str(self.folder) if each == "DIR" else each for each in rest))

    def status(self):
        shown = self.ringfort("status", "DIR", "--json")
        return shown.returncode, json.loads(shown.stdout)

    def connect(self):
        host, _, port = json.loads(self.ringfort("status", "DIR", "--json").stdout)["gateway"].rpartition(":")
        return psycopg.connect(
            host=host, port=port, dbname=self.database, user="aoife",
            password="correct horse battery", options="-cringfort.purpose=customer-support",
        )  # fmt: skip

    def refusal(self):
        with pytest.raises(psycopg.OperationalError) as refused:
            self.connect()
        text = str(refused.value)
        assert not re.search("zebra|quagga|okapi", text), text  # the administrators' names
        found = re.search(r"reference ([0-9a-f]{8})", text)
        assert found, text
        return found[1]

    def logged(self, reference):
        lines = self.ringfort("logs", "DIR", "--level", "warning").stdout.splitlines()
        return [each for each in lines if reference in each]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(150) == 0


@pytest.fixture
def beside(tmp_path, fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA zebra")
        admin.execute("CREATE TABLE zebra.people (id bigint PRIMARY KEY, email text, country text)")
        admin.execute("INSERT INTO zebra.people VALUES (1, 'ann@example.org', 'IE')")
        admin.execute("CREATE TABLE zebra.quagga (id bigint PRIMARY KEY, note text)")
        admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        admin.execute("REVOKE ALL ON DATABASE " + conninfo_to_dict(fresh_database)["dbname"] + " FROM PUBLIC")
        admin.execute("GRANT USAGE ON SCHEMA zebra TO PUBLIC")
        admin.execute("GRANT SELECT ON zebra.quagga TO PUBLIC")
    made = Beside(tmp_path / "crm", fresh_database)
    yield made
    if made.process.poll() is None:
        made.stop()


def test_what_is_not_served_is_said_and_served_once_it_is_mended(beside):
    # a surplus: anybody may read a table
    assert "not served" in beside.said
    assert "connect     psql" not in beside.said
    assert "ringfort site audit" in beside.said
    assert not beside.ready.exists()
    code, status = beside.status()
    assert (code, status["databases"][0]["served"]) == (1, False)
    assert all(each["running"] for each in status["processes"])
    assert {each["name"] for each in status["processes"]} >= {"writer", "provisioner", "parser", "worker-0"}
    assert "quagga" in status["databases"][0]["reason"]
    reference = beside.refusal()
    assert any("quagga" in line for line in beside.logged(reference))
    audit = beside.ringfort("site", "audit", "DIR")
    assert audit.returncode == 1
    assert "surplus" in audit.stdout
    assert "quagga" in audit.stdout

    # the SQL that the audit prints is the way out
    hardening = json.loads(beside.ringfort("site", "audit", "DIR", "--json").stdout)["hardening"]
    beside.administer(*hardening)
    wait_for(lambda: beside.status()[0] == 0, seconds=300, pause=0.5)
    ready = json.loads(wait_for(lambda: beside.ready.exists() and beside.ready.read_text()))
    assert [(each["name"], each["served"]) for each in ready["databases"]] == [(beside.database, True)]
    with beside.connect() as connection:
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (1,)

    # a column that was renamed under the catalogue is a fault that names it to the operator only
    beside.administer("ALTER TABLE zebra.people RENAME COLUMN email TO okapi")
    reference = beside.refusal()
    assert any("people" in line for line in beside.logged(reference))
    beside.administer("ALTER TABLE zebra.people RENAME COLUMN okapi TO email")

    # a database that nobody may enter is no surplus
    with psycopg.connect(beside.dsn, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {beside.database} ALLOW_CONNECTIONS false")
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (beside.database,)
        )
    audit = beside.ringfort("site", "audit", "DIR")
    assert audit.returncode == 3
    assert "could not be audited" in audit.stderr
    assert "surplus" not in audit.stdout + audit.stderr
    code, status = beside.status()
    assert (code, status["databases"][0]["served"]) == (1, False)
    beside.refusal()
    wait_for(lambda: not beside.ready.exists())
    with psycopg.connect(beside.dsn, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {beside.database} ALLOW_CONNECTIONS true")
    wait_for(lambda: beside.status()[0] == 0, seconds=300, pause=0.5)

    beside.stop()
    assert not beside.ready.exists()
    assert beside.ringfort("status", "DIR").returncode == 3


@pytest.fixture
def as_boss(fresh_database):
    """The database, and the connection string of an administrator who is no superuser."""
    boss = f"boss_{uuid.uuid4().hex[:8]}"
    name = conninfo_to_dict(fresh_database)["dbname"]
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {boss} LOGIN CREATEROLE PASSWORD 'boss-password'")
        admin.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        admin.execute(f"GRANT CREATE, CONNECT ON DATABASE {name} TO {boss} WITH GRANT OPTION")
        admin.execute("CREATE SCHEMA zebra")
        admin.execute("CREATE TABLE zebra.people (id bigint PRIMARY KEY, email text, country text)")
        admin.execute("INSERT INTO zebra.people VALUES (1, 'ann@example.org', 'IE')")
        admin.execute(f"GRANT USAGE ON SCHEMA zebra TO {boss} WITH GRANT OPTION")
        admin.execute(f"GRANT SELECT ON zebra.people TO {boss} WITH GRANT OPTION")
    yield boss, make_conninfo(fresh_database, user=boss, password="boss-password")
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute(f"DROP OWNED BY {boss} CASCADE")


def test_a_schema_that_the_administrator_may_not_use_is_named_to_operators(tmp_path, fresh_database, as_boss):
    """Without USAGE nothing of it can be shown: the table is named, the session hears no name of a schema."""
    boss, dsn = as_boss
    beside = Beside(tmp_path / "crm", dsn)
    try:
        with psycopg.connect(fresh_database, autocommit=True) as admin:
            for each in json.loads(beside.ringfort("site", "audit", "DIR", "--json").stdout)["hardening"]:
                admin.execute(each)
        wait_for(lambda: beside.status()[0] == 0, seconds=60, pause=0.5)
        with psycopg.connect(fresh_database, autocommit=True) as admin:
            admin.execute(f"REVOKE ALL ON SCHEMA zebra FROM {boss} CASCADE")
        with beside.connect() as session, pytest.raises(psycopg.Error) as told:
            session.execute("SELECT count(*) FROM people")
        assert told.value.sqlstate == "55000"
        assert "zebra" not in str(told.value)
        audit = beside.ringfort("site", "audit", "DIR").stdout
        assert "fault       zebra.people cannot be read: its view is not made" in audit
        (fault,) = beside.status()[1]["databases"][0]["faults"]
        assert (fault["table"], "42501" in fault["reason"]) == ("zebra.people", True)
        logged = beside.ringfort("logs", "DIR", "--level", "warning", "--event", "view-left-out").stdout
        assert "is without view people" in logged
        with psycopg.connect(fresh_database, autocommit=True) as admin:
            admin.execute(f"GRANT USAGE ON SCHEMA zebra TO {boss} WITH GRANT OPTION")
        wait_for(lambda: not beside.status()[1]["databases"][0]["faults"], seconds=120, pause=0.5)
        with beside.connect() as session:
            assert session.execute("SELECT count(*) FROM people").fetchone() == (1,)
    finally:
        beside.stop()
