"""A transfer from a site that is up: the running writer records it, and sessions go on beside it."""

import json
import uuid

import psycopg
import pytest
from tests.live_deployment import ANALYST, fresh_word

PASSWORD = "correct horse battery"
CONTRACT = """\
dataset = "demo"
purpose = "product-analytics"
owner = "OWNER"
approver = "APPROVER"
schedule = "on-demand"
retention = "30d"
recipient = { principal = "RECIPIENT", entity = "Example", country = "US" }
legal = { mechanism = "standard-contractual-clauses", assessment = "TIA-1" }
volume = { rows = 1_000_000, per = "year" }
target = { address = "TARGET" }

[table.people.column]
id = "pseudonym"
born = "generalised"
country = "generalised"

[table.vault.column]
owner_id = "pseudonym"
label = "raw"
"""


@pytest.fixture(scope="module")
def people(live):
    """A recipient, an owner and an approver."""
    names = {}
    for title, country, role in (
        ("RECIPIENT", "US", "analyst"),
        ("OWNER", "IE", "operator"),
        ("APPROVER", "IE", "approver"),
    ):
        name = names[title] = fresh_word()
        facts = ("--country", country, "--role", role, "--employer", "Example", "--password-stdin")
        done = live.ringfort("principal", "add", "DIR", name, *facts, stdin=f"{PASSWORD}\n")
        assert done.returncode == 0, done.stderr
    yield names
    for name in names.values():
        live.ringfort("principal", "remove", "DIR", name)


def test_a_transfer_runs_beside_sessions_and_shows_the_same_pseudonyms(live, people, tmp_path):
    text = CONTRACT.replace("TARGET", str(tmp_path / "outbox"))
    for title, name in people.items():
        text = text.replace(title, name)
    folder = live.folder / "transfers"
    folder.mkdir(exist_ok=True)
    (folder / "beside.toml").write_text(text)
    arguments = ("transfer", "approve", "DIR", "beside", "--as", people["APPROVER"], "--password-stdin")
    done = live.ringfort(*arguments, stdin=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    with psycopg.connect(live.dsn(ANALYST)) as session:
        seen = {row[0] for row in session.execute("SELECT id FROM people")}
        done = live.ringfort("transfer", "run", "DIR", "beside", "--json")
        assert done.returncode == 0, done.stderr
        assert len(session.execute("SELECT id FROM people").fetchall()) == len(seen)
    released = json.loads(done.stdout)
    import pyarrow.parquet as pq

    run = tmp_path / "outbox" / released["run"]
    got = {
        uuid.UUID(bytes=getattr(each, "bytes", each))
        for each in pq.read_table(run / "people")["id"].to_pylist()
    }
    assert got == seen
    vkey = live.ringfort("ledger", "vkey", "DIR").stdout.strip()
    verified = live.ringfort("transfer", "verify", str(run), "--vkey", vkey)
    assert verified.returncode == 0, verified.stdout
    (entry,) = [each for each in live.entries("TransferPublished") if each["run"] == released["run"]]
    assert entry["transfer"] == "beside"
