"""Deployments that an older Ringfort made go on as they were; a rotation begins the newest derivation.

What the older code left is pinned: its files of custody, its entry, and pseudonyms that left
(`tests/vectors/privacy/epochs_of_derivation_1.json`). The rest is real: processes, databases, releases.
"""

import dataclasses
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests import transfer_deployment
from tests.cli.test_domain import act, done, entries, in_force, refused, undo
from tests.live_deployment import ANALYST, OPERATOR, SUPPORT, Who, deployment, wait_for
from tests.transfer_deployment import CONTRACT, ENTITY, NAME, shown

from ringfort.ledger.entry import decode, format_time
from ringfort.record.client import open_ledger

PINS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "privacy" / "epochs_of_derivation_1.json").read_text()
)
APPROVERS = (Who("ronan", "IE", "approver"), Who("maeve", "IE", "approver"))


def made_before(folder, pinned):
    """Give a deployment that has no domain yet the secrets and the epoch that the old code made."""
    (opened,) = [decode(pinned["opened"].encode())]
    for name in ("root.key", "kek.key", f"domains/{opened.domain}.key"):
        path = folder / "secrets" / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(pinned["files"][name], encoding="ascii")
        path.chmod(0o600)
    with open_ledger(folder) as ledger:
        assert not ledger.state.pseudonymisation
        ledger.append([dataclasses.replace(opened, time=format_time(datetime.now(UTC)))])


# -- the gateway -------------------------------------------------------------------------------------------

PURPOSE = "analytics"
LINE = ("--recipient", "Example", "--purpose", PURPOSE)
CODES = PINS["Example analytics"]["left"]["ff1 demo.codes.code"]
TABLES = """
CREATE TABLE codes (id bigint PRIMARY KEY, person_id bigint NOT NULL REFERENCES people, code text);
INSERT INTO codes SELECT n, (SELECT min(id) FROM people), c FROM unnest(ARRAY[{}]) WITH ORDINALITY AS x(c, n);
""".format(", ".join(f"'{value}'" for value, _ in CODES))
DESCRIBED = """
[dataset.demo.table.codes]
schema = "public"
primary_key = ["id"]
subject_path = "person_id -> people.id"
[dataset.demo.table.codes.column]
id = { protection = "interoperable", identifiability = "quasi", kind = "key", type = "bigint" }
code = { protection = "protected", identifiability = "direct", kind = "code", type = "text" }
[dataset.demo.table.codes.column.person_id]
protection = "interoperable"
identifiability = "direct"
kind = "key"
type = "bigint"
references = "people.id"
"""


@pytest.fixture(scope="module")
def old_live():
    with deployment(people=60, tables=TABLES, described=DESCRIBED) as made:
        made_before(made.folder, PINS["Example analytics"])
        made.start()
        for who in APPROVERS:
            made.register(who)
        yield made


def granted(live, kind, *about, who=SUPPORT):
    name = act(live, "request", f"--{kind}", *about, "--ticket", "T-9", "--for", "30m", who=who)["grant"]
    for each in APPROVERS:
        if act(live, "approve", name, who=each)["state"] == "active":
            break
    return name


def answers(made):
    assert made.returncode == 0, made.stderr
    return [each["answer"] for each in json.loads(made.stdout)["answers"]]


def test_a_database_from_before_goes_on_and_is_led_back_across_the_rotation(old_live):
    live = old_live
    pinned = PINS["Example analytics"]["left"]
    people = dict(map(reversed, pinned["cmac demo.people.id"]))
    column = ("--method", "cmac")
    tables = ("--purpose", "complaint", "--table", "demo.views", "--table", "demo.codes")

    # before: the same pseudonyms as ever, in views, in lookups and in joins
    with live.connect(ANALYST, purpose=PURPOSE) as analyst:
        rows = analyst.execute("SELECT id FROM people").fetchall()
        known = [str(each) for (each,) in rows if str(each) in people]
        assert len(rows) == 60
        assert len(known) == sum(value <= 60 for value in people.values())
        assert analyst.execute("SELECT count(*) FROM people WHERE id = %s", (known[0],)).fetchone() == (1,)
        codes = {str(each) for (each,) in analyst.execute("SELECT code FROM codes")}
        assert codes == {new for _, new in pinned["cmac demo.codes.code"]}
        joined = analyst.execute(
            "SELECT count(*) FROM people p JOIN views v ON v.person_id = p.id"
        ).fetchone()
        seen = [
            str(each)
            for (each,) in analyst.execute("SELECT DISTINCT person_id FROM views LIMIT 5")
            if str(each) in people
        ]
    assert [each["derivation"] for each in in_force(live, PURPOSE)] == [1]
    text = done(live, "domain", "list", "DIR")
    assert "in force, derivation 1: `ringfort domain rotate` begins one of derivation 2" in text
    resolving = granted(live, "resolve", *tables)
    assert answers(undo(live, "resolve", PURPOSE, resolving, seen)) == [str(people[each]) for each in seen]

    # the rotation
    rotating = granted(live, "rotate", *LINE, who=OPERATOR)
    given = ("--as", OPERATOR.name, "--password-stdin", "--grant", rotating)
    done(live, "domain", "rotate", "DIR", *LINE, *given, stdin=f"{OPERATOR.password}\n")
    assert [(each["status"], each["derivation"]) for each in in_force(live, PURPOSE)] == [
        ("retired", 1),
        ("in force", 2),
    ]
    assert "begins one of" not in done(live, "domain", "list", "DIR")
    assert [each["v"] for each in entries(live, "DomainOpened") if each["purpose"] == PURPOSE] == [1]
    (entry,) = entries(live, "DomainRotated")
    assert (entry["v"], entry["derivation"], entry["epoch"]) == (3, 2, 2)

    def now():
        with live.connect(ANALYST, purpose=PURPOSE) as session:
            return (
                {str(each) for (each,) in session.execute("SELECT id FROM people")},
                session.execute(
                    "SELECT count(*) FROM people p JOIN views v ON v.person_id = p.id"
                ).fetchone(),
            )

    new, again = now()
    assert len(new) == 60
    assert not new & set(people)
    assert again == joined

    # after: what left before is led back and bridged, by every method, in both directions
    old_epoch = ("--epoch", "1")
    assert answers(undo(live, "resolve", PURPOSE, resolving, seen, *old_epoch, *column)) == [
        str(people[each]) for each in seen
    ]
    assert answers(undo(live, "resolve", PURPOSE, resolving, seen)) == [None] * len(seen)
    bridging = granted(live, "bridge", *tables, who=OPERATOR)
    there = answers(undo(live, "bridge", PURPOSE, bridging, seen, *old_epoch, who=OPERATOR))
    assert set(there) <= new
    back = undo(live, "bridge", PURPOSE, bridging, there, "--epoch", "2", "--to-epoch", "1", who=OPERATOR)
    assert answers(back) == seen
    for method in ("ff1", "siv", "cmac"):
        values, left = zip(*pinned[f"{method} demo.codes.code"], strict=True)
        facts = {"column": "demo.codes.code"}
        how = ("--method", method)
        got = undo(live, "resolve", PURPOSE, resolving, left, *old_epoch, *how, **facts)
        assert answers(got) == list(values)
        got = undo(live, "bridge", PURPOSE, bridging, left, *old_epoch, *how, who=OPERATOR, **facts)
        over = answers(got)
        assert None not in over
        assert not set(over) & set(left)
        got = undo(live, "resolve", PURPOSE, resolving, over, *how, **facts)
        assert answers(got) == list(values)
    live.verify()

    # and after a restart, when nothing is in memory
    live.stop()
    live.start()
    assert wait_for(now) == (new, again)
    assert answers(undo(live, "resolve", PURPOSE, resolving, seen, *old_epoch)) == [
        str(people[each]) for each in seen
    ]


def test_a_new_domain_of_a_deployment_from_before_has_the_newest_derivation(old_live):
    with old_live.connect(ANALYST, purpose="other") as analyst:
        analyst.execute("SELECT id FROM people LIMIT 1")
    assert [each["derivation"] for each in in_force(old_live, "other")] == [2]


def test_files_of_another_backup_give_nothing_whatever_the_derivation(old_live):
    """The random value of another epoch under the name of this one: not even its old pseudonyms."""
    live = old_live
    resolving = granted(live, "resolve", "--purpose", "complaint", "--table", "demo.codes")
    left = [new for _, new in CODES]
    folder = live.folder / "secrets" / "domains"
    live.connect(ANALYST, purpose="p").close()
    one, two = (folder / f"{in_force(live, each)[0]['domain']}.key" for each in (PURPOSE, "p"))
    kept = one.read_bytes()
    live.stop()
    shutil.copy(two, one)
    try:
        live.start()
        how = ("--epoch", "1", "--method", "ff1")
        refused(undo(live, "resolve", PURPOSE, resolving, left, *how, column="demo.codes.code"), "secret")
    finally:
        live.stop()
        one.write_bytes(kept)


# -- transfers ---------------------------------------------------------------------------------------------

WRITTEN = (
    ('name = "pseudonym"', 'name = { form = "pseudonym", method = "siv" }'),
    ('born = "gen', 'phone = { form = "pseudonym", method = "ff1", allow = ["phone"] }\nborn = "gen'),
)


@pytest.fixture(scope="module")
def old_files(tmp_path_factory):
    deployed = transfer_deployment.make(tmp_path_factory.mktemp("before") / "deployment")
    made_before(deployed.folder, PINS[f"{ENTITY} product-analytics"])
    path = deployed.folder / "data" / "customers" / "a.parquet"
    table = pq.read_table(path)
    phones = table.column("phone").to_pylist()
    for row, (value, _) in enumerate(PINS[f"{ENTITY} product-analytics"]["left"]["ff1 shop.customers.phone"]):
        phones[row] = value
    at = table.schema.get_field_index("phone")
    pq.write_table(table.set_column(at, "phone", [phones]), path)
    return deployed.write(CONTRACT, *WRITTEN).approve()


def left(deployed):
    made = shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    folder = deployed.outbox / made["run"]
    customers = pq.read_table(folder / "customers")
    columns = {
        name: [str(each) for each in customers.column(name).to_pylist()] for name in ("id", "name", "phone")
    }
    orders = {str(each) for each in pq.read_table(folder / "orders").column("customer_id").to_pylist()}
    assert orders <= set(columns["id"])
    return folder, columns


def test_a_transfer_of_before_goes_on_and_changes_with_the_rotation(old_files):
    deployed, pinned = old_files, PINS[f"{ENTITY} product-analytics"]["left"]
    folder, columns = left(deployed)
    for place, name in (
        ("cmac shop.customers.id", "id"),
        ("siv shop.customers.name", "name"),
        ("ff1 shop.customers.phone", "phone"),
    ):
        assert {new for _, new in pinned[place]} <= set(columns[name]), place
    warning = "`ff1` leave under derivation 1"
    assert warning in deployed.ringfort("transfer", "preview", "DIR", NAME).stdout
    listed = deployed.ringfort("domain", "list", "DIR").stdout
    assert "derivation 1: `ringfort domain rotate`" in listed
    domain = ("--recipient", ENTITY, "--purpose", "product-analytics")
    who = ("--as", "olga", "--password-stdin")
    password = {"stdin": f"{transfer_deployment.PASSWORD}\n", "check": True}
    asked = ("request", "DIR", *who, "--rotate", *domain, "--ticket", "T-1", "--for", "10m", "--json")
    grant = shown(deployed.ringfort(*asked, **password))["grant"]
    deployed.ringfort("approve", "DIR", grant, "--as", "ronan", "--password-stdin", **password)
    deployed.ringfort("domain", "rotate", "DIR", *domain, *who, "--grant", grant, **password)
    assert warning not in deployed.ringfort("transfer", "preview", "DIR", NAME).stdout
    again, changed = left(deployed)
    assert [pq.read_metadata(each).num_rows for each in sorted((again / "customers").iterdir())] == [
        pq.read_metadata(each).num_rows for each in sorted((folder / "customers").iterdir())
    ]
    for name, values in columns.items():
        assert len(set(changed[name])) == len(set(values))
        assert len(set(changed[name]) & set(values)) <= 3, name  # phones have ten million possible values
    assert deployed.ringfort("ledger", "verify", "DIR").returncode == 0
    vkey = deployed.vkey()
    for each in (folder, again):
        assert deployed.ringfort("transfer", "verify", str(each), "--vkey", vkey).returncode == 0
