"""`ringfort domain`, `pseudonym` and `keys`: with real processes, and on a folder that is not up."""

import contextlib
import io
import json
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from tests.live_deployment import (
    ANALYST,
    ENGINEER,
    OPERATOR,
    OVERSEER,
    SUPPORT,
    Who,
    fresh_purpose,
    fresh_word,
    wait_for,
)

from ringfort.catalog.load import load_catalogue
from ringfort.cli.application import run
from ringfort.config import load_config
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import CatalogueActivated, PolicyActivated, PrincipalRegistered
from ringfort.privacy.methods import pseudonymise
from ringfort.privacy.pseudonym import Domain
from ringfort.record.client import open_ledger
from ringfort.sites.domains import DomainStore

EMPLOYER = "Example"
PASSWORD = f"{OPERATOR.password}\n"
APPROVER = Who("ronan", "IE", "approver")
NOW = "2026-11-21T12:00:00.000000Z"
COLUMN = "demo.views.person_id"
JOIN = "SELECT count(*) FROM people p JOIN views v ON v.person_id = p.id"
ONE = "SELECT count(*) FROM views WHERE person_id = %s"
SOME = "SELECT DISTINCT person_id FROM views WHERE person_id IS NOT NULL ORDER BY 1 LIMIT {}"


@pytest.fixture(scope="module")
def approvers(live):
    """Two: a table with a restricted column needs both to have its pseudonyms resolved."""
    made = [Who(fresh_word(), "IE", "approver") for _ in range(2)]
    for who in made:
        added(live, who)
    yield made
    for who in made:
        command(live, "principal", "remove", "DIR", who.name)


def added(live, who):
    facts = ("--country", who.country, "--role", who.role, "--employer", EMPLOYER, "--password-stdin")
    done(live, "principal", "add", "DIR", who.name, *facts, stdin=f"{who.password}\n")


@pytest.fixture
def purpose():
    """A domain of the test's own."""
    return fresh_purpose()


@dataclass
class Done:
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


def command(live, *arguments, stdin=""):
    """A command line in this process, against the deployment that is up: starting Python takes most of it."""
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(live.folder) if each == "DIR" else each for each in arguments])
    finally:
        sys.stdin = before
    return Done(code, out.getvalue(), err.getvalue())


def done(live, *arguments, stdin=""):
    made = command(live, *arguments, stdin=stdin)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout) if "--json" in arguments else made.stdout


def entries(live, kind=""):
    options = ("--type", kind) if kind else ()
    shown = done(live, "ledger", "show", "DIR", "--json", "--limit", "1000000", *options)
    return [each["entry"] for each in shown["entries"]]


def domain(purpose):
    return ("--recipient", EMPLOYER, "--purpose", purpose)


def seen(connection, count=5):
    return [str(each) for (each,) in connection.execute(SOME.format(count))]


def in_force(live, purpose):
    (known,) = [
        each
        for each in done(live, "domain", "list", "DIR", "--json")["domains"]
        if each["purpose"] == purpose
    ]
    return known["epochs"]


def gone(connection):
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def maps(live):
    """Name -> rows of every mapping table."""
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        names = admin.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'ringfort'::regnamespace "
            "AND relkind = 'r' AND relname LIKE 'map\\_%'"
        ).fetchall()
        return {
            name: admin.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("ringfort", name))
            ).fetchone()[0]
            for (name,) in names
        }


def grant(live, approvers, kind, who=SUPPORT):
    asked = (f"--{kind}", "--purpose", "complaint", "--ticket", "T-9", "--table", "demo.views")
    name = act(live, "request", *asked, "--for", "10m", who=who)["grant"]
    for each in approvers:
        if act(live, "approve", name, who=each)["state"] == "active":
            break
    return name


def leave(live, approvers, kind, *about):
    """An operator's request to do what cannot be undone, approved: the rest of the command line."""
    asked = act(live, "request", f"--{kind}", *about, "--ticket", "T-9", "--for", "10m", who=OPERATOR)
    assert (asked["needed"], asked["tables"]) == (1, [])
    assert act(live, "approve", asked["grant"], who=approvers[0])["state"] == "active"
    return ("--as", OPERATOR.name, "--password-stdin", "--grant", asked["grant"])


def act(live, name, *arguments, who):
    return done(
        live, name, "DIR", *arguments, "--as", who.name, "--password-stdin", "--json",
        stdin=f"{who.password}\n",
    )  # fmt: skip


def undo(live, kind, purpose, grant, pseudonyms, *more, who=SUPPORT, column=COLUMN, password=None):
    return command(live,
        "pseudonym", kind, "DIR", "--as", who.name, "--password-stdin", "--grant", grant, *domain(purpose),
        "--column", column, "--json", *more,
        stdin="\n".join([password or who.password, *pseudonyms, ""]),
    )  # fmt: skip


def refused(made, *words):
    assert made.returncode in {1, 2}, made.stdout + made.stderr
    assert not made.stdout
    for each in words:
        assert each in made.stderr, made.stderr
    return made.stderr


def truth(live):
    """Person ids that the table really holds."""
    with psycopg.connect(live.admin_dsn()) as admin:
        return {str(each) for (each,) in admin.execute("SELECT DISTINCT person_id FROM views")}


def test_a_rotation_changes_every_pseudonym_and_cuts_what_shows_the_old(live, approvers, purpose):
    with live.connect(ANALYST, purpose=purpose) as analyst, live.connect(OVERSEER, purpose=purpose) as other:
        old = seen(analyst)
        counted = analyst.execute(
            "SELECT count(*) FROM people p JOIN views v ON v.person_id = p.id"
        ).fetchone()
        before = maps(live)
        given = leave(live, approvers, "rotate", *domain(purpose))
        line = ("domain", "rotate", "DIR", *domain(purpose), *given, "--reason", "yearly", "--json")
        answer = done(live, *line, stdin=PASSWORD)
        assert answer["epoch"] == 2
        wait_for(lambda: gone(analyst))
        assert not gone(other)  # it shows no pseudonym, and goes on
    after = maps(live)
    assert len(after) == len(before)
    assert len(set(after) & set(before)) < len(before)
    assert sorted(after.values()) == sorted(before.values())  # filled before anybody came back
    with live.connect(ANALYST, purpose=purpose) as analyst:
        assert not set(seen(analyst)) & set(old)
        again = analyst.execute(JOIN).fetchone()
        assert again == counted
        assert analyst.execute(ONE, (old[0],)).fetchone() == (0,)
    assert [each["status"] for each in in_force(live, purpose)] == ["retired", "in force"]
    (entry,) = [each for each in entries(live, "DomainRotated") if each["purpose"] == purpose]
    assert (entry["epoch"], entry["reason"], entry["v"], entry["derivation"]) == (2, "yearly", 3, 2)
    assert (entry["principal"], entry["grant"]) == (OPERATOR.name, given[-1])
    shown = done(live, "domain", "list", "DIR")
    assert "epoch 1" in shown
    done(live, "ledger", "verify", "DIR", "--json")


def test_an_erased_domain_gives_nothing_back(live, approvers, purpose):
    with live.connect(ANALYST, purpose=purpose) as analyst:
        old = seen(analyst)
        before = set(maps(live))
        line = (
            "domain",
            "erase",
            "DIR",
            *domain(purpose),
            *leave(live, approvers, "erase", *domain(purpose)),
        )
        refused(command(live, *line, stdin=PASSWORD), "nobody to confirm", "--yes")
        assert not gone(analyst)
        ids = [each["domain"] for each in in_force(live, purpose)]
        secrets = [live.folder / "secrets" / "domains" / f"{each}.key" for each in ids]
        assert all(each.exists() for each in secrets)
        held = grant(live, approvers, "resolve")
        answer = done(live, *line, "--yes", "--json", stdin=PASSWORD)
        assert answer["erased"] == [1]
        wait_for(lambda: gone(analyst))
    assert not any(each.exists() for each in secrets)
    assert not set(maps(live)) - before
    assert len(maps(live)) < len(before)
    refused(undo(live, "resolve", purpose, held, old, "--epoch", "1"), "epoch 1", "erased")
    refused(undo(live, "resolve", purpose, held, old), "no epoch in force")
    refused(command(live, *line, "--yes", stdin=PASSWORD), "erased already")
    rotating = leave(live, approvers, "rotate", *domain(purpose))
    made = command(live, "domain", "rotate", "DIR", *domain(purpose), *rotating, stdin=PASSWORD)
    refused(made, "no epoch in force")
    with live.connect(ANALYST, purpose=purpose) as analyst:  # a new epoch, with a secret that never was
        new = seen(analyst)
        assert not set(new) & set(old)
    assert [each["status"] for each in in_force(live, purpose)] == ["erased", "in force"]
    bridging = grant(live, approvers, "bridge", who=OPERATOR)
    refused(undo(live, "bridge", purpose, bridging, old, "--epoch", "1", who=OPERATOR), "erased")
    made = undo(live, "resolve", purpose, held, [*old, new[0]])
    found = [each["answer"] for each in json.loads(made.stdout)["answers"]]
    assert found[:-1] == [None] * len(old)
    assert found[-1] in truth(live)
    done(live, "ledger", "verify", "DIR", "--json")


def test_pseudonyms_are_resolved_on_a_grant_and_on_record(live, approvers, purpose):
    with live.connect(ANALYST, purpose=purpose) as analyst, live.connect(ENGINEER, purpose="other") as other:
        pseudonyms, foreign = seen(analyst), seen(other, 1)
    waiting = grant(live, approvers[:1], "resolve")
    refused(undo(live, "resolve", purpose, waiting, pseudonyms), "is requested, not in force")
    act(live, "approve", waiting, who=approvers[1])
    nobody = str(uuid.uuid4())
    made = undo(live, "resolve", purpose, waiting, [*pseudonyms, *foreign, nobody, pseudonyms[0]])
    assert made.returncode == 0, made.stderr
    assert not made.stderr
    answer = json.loads(made.stdout)
    assert [each["pseudonym"] for each in answer["answers"]] == [*pseudonyms, *foreign, nobody]
    values = [each["answer"] for each in answer["answers"]]
    assert values[5:] == [None, None]
    assert set(values[:5]) <= truth(live)
    assert len(set(values[:5])) == 5
    (entry,) = [each for each in entries(live, "PseudonymsResolved") if each["act"] == answer["act"]]
    assert (entry["principal"], entry["asked"], entry["found"]) == (SUPPORT.name, 7, 5)
    assert (entry["grant"], entry["column"], entry["epoch"]) == (waiting, COLUMN, 1)
    assert [each["act"] for each in entries(live, "PseudonymsDisclosed")].count(answer["act"]) == 1
    told = json.dumps(entries(live)) + "".join(each.read_text() for each in live.logs.glob("*.log"))
    assert not any(each in told for each in pseudonyms)
    done(live, "ledger", "verify", "DIR", "--json")
    # once more as text; and what was asked counts, whatever was found
    made = command(live,
        "pseudonym", "resolve", "DIR", "--as", SUPPORT.name, "--password-stdin", "--grant", waiting,
        *domain(purpose), "--column", COLUMN, stdin=f"{SUPPORT.password}\n{pseudonyms[0]}\n{nobody}\n",
    )  # fmt: skip
    assert made.stdout == f"{pseudonyms[0]}\t{values[0]}\n{nobody}\t\n"
    many = [str(uuid.uuid4()) for _ in range(92)]
    refused(undo(live, "resolve", purpose, waiting, many), "may have 100 pseudonyms", "had 9")
    assert undo(live, "resolve", purpose, waiting, many[:91]).returncode == 0
    refused(undo(live, "resolve", purpose, waiting, many[:1]), "had 100")


def test_written_forms_of_transfers_are_resolved_too(live, approvers, purpose):
    live.connect(ANALYST, purpose=purpose).close()
    (column,) = [
        each
        for table in load_catalogue(live.folder / "catalog.toml").dataset("demo").tables
        for each in table.columns
        if f"demo.{table.name}.{each.name}" == COLUMN
    ]
    with open_ledger(live.folder) as ledger:
        given = Domain(EMPLOYER, purpose)
        secret = DomainStore.of(load_config(live.folder)).secret(given, ledger.state)
    value = min(truth(live))
    facts = {"kind": "key", "secret": secret, "domain": given, "identity_space": column.identity_space}
    written = pseudonymise(pa.array([value, "4711471147"]), method="siv", **facts).to_pylist()
    held = grant(live, approvers, "resolve")
    made = undo(live, "resolve", purpose, held, written, "--method", "siv")
    assert [each["answer"] for each in json.loads(made.stdout)["answers"]] == [value, None]
    refused(undo(live, "resolve", purpose, held, written, "--method", "rot13"), "no such method")
    refused(undo(live, "resolve", purpose, held, written), "line 1 is no pseudonym")


def test_resolving_is_refused_to_whoever_lacks_anything(live, approvers, purpose):
    with live.connect(ANALYST, purpose=purpose) as analyst:
        pseudonyms = seen(analyst, 1)
    count = len(entries(live, "PseudonymsResolved"))
    held = grant(live, approvers, "resolve")
    refused(undo(live, "resolve", purpose, "g-00000000", pseudonyms), "no such grant")
    refused(undo(live, "resolve", purpose, held, pseudonyms, who=ANALYST), "no such grant")
    refused(undo(live, "resolve", purpose, held, pseudonyms, password="wrong"), "not the password")
    refused(undo(live, "bridge", purpose, held, pseudonyms, "--epoch", "1"), "no such grant")
    refused(undo(live, "resolve", purpose, held, pseudonyms, column="demo.people.id"), "does not cover")
    refused(undo(live, "resolve", purpose, held, pseudonyms, column="demo.views.nothing"), "no column")
    refused(undo(live, "resolve", "never-used", held, pseudonyms), "no epoch in force")
    refused(undo(live, "resolve", purpose, held, pseudonyms, "--epoch", "7"), "no epoch 7")
    wrong = refused(undo(live, "resolve", purpose, held, ["4711-secret"]), "line 1 is no pseudonym")
    assert "4711" not in wrong
    refused(undo(live, "resolve", purpose, held, []), "no pseudonym was given")
    # outside the region even an approved grant does not do: here the request cannot be approved at all
    abroad = Who(fresh_word(), "US", "support")
    added(live, abroad)
    name = grant(live, [], "resolve", who=abroad)
    for who, words in ((approvers[0], "pseudonyms-are-undone-in-the-region"), (abroad, "on their own")):
        words_of = ("--as", who.name, "--password-stdin")
        refused(command(live, "approve", "DIR", name, *words_of, stdin=f"{who.password}\n"), words)
    held = grant(live, approvers, "bridge")  # approved, but the act itself is for operators
    refused(undo(live, "bridge", purpose, held, pseudonyms, "--epoch", "1"), "policy does not permit")
    held = grant(live, approvers, "bridge", who=OPERATOR)
    bridging = undo(live, "bridge", purpose, held, pseudonyms, "--epoch", "1", who=OPERATOR)
    refused(bridging, "one epoch to another")
    command(live, "principal", "remove", "DIR", abroad.name)
    assert len(entries(live, "PseudonymsResolved")) == count


def test_a_bridge_leads_from_the_old_epoch_to_the_new_and_shows_no_value(live, approvers, purpose):
    with live.connect(ANALYST, purpose=purpose) as analyst:
        old = seen(analyst)
        counts = [analyst.execute(ONE, (each,)).fetchone() for each in old]
    given = leave(live, approvers, "rotate", *domain(purpose))
    done(live, "domain", "rotate", "DIR", *domain(purpose), *given, stdin=PASSWORD)
    held = grant(live, approvers, "bridge", who=OPERATOR)
    made = undo(live, "bridge", purpose, held, old, "--epoch", "1", who=OPERATOR)
    assert made.returncode == 0, made.stderr
    new = [each["answer"] for each in json.loads(made.stdout)["answers"]]
    with live.connect(ANALYST, purpose=purpose) as analyst:
        assert counts == [analyst.execute(ONE, (each,)).fetchone() for each in new]
    assert not truth(live) & set(new)
    (entry,) = [each for each in entries(live, "PseudonymsBridged") if each["purpose"] == purpose]
    assert (entry["epoch"], entry["to_epoch"], entry["asked"], entry["found"]) == (1, 2, 5, 5)
    resolving = grant(live, approvers, "resolve")  # the retired epoch can be resolved without its tables
    back = undo(live, "resolve", purpose, resolving, old, "--epoch", "1")
    there = undo(live, "resolve", purpose, resolving, new)
    assert [each["answer"] for each in json.loads(back.stdout)["answers"]] == [
        each["answer"] for each in json.loads(there.stdout)["answers"]
    ]


CHANGED = {
    "who acts is registered anew": lambda who, _: (PrincipalRegistered, {"name": who.name, **FACTS}),
    "somebody who approved is registered anew": lambda _, approver: (
        PrincipalRegistered,
        {"name": approver.name, **FACTS, "role": "approver"},
    ),
    "the catalogue": lambda *_: (CatalogueActivated, {}),
    "the policy": lambda *_: (PolicyActivated, {}),
}
FACTS = {"country": "IE", "employer": EMPLOYER, "role": "support"}


@pytest.mark.parametrize("changed", CHANGED)
@pytest.mark.parametrize("kind", ["resolve", "bridge"])
def test_what_an_answer_stands_on_changes_while_it_is_looked_for(live, approvers, purpose, kind, changed):
    """A lock holds the table until the ground is another: nothing is answered, nothing is on record."""
    who = Who(fresh_word(), "IE", "operator" if kind == "bridge" else "support")
    added(live, who)
    with live.connect(ANALYST, purpose=purpose) as analyst:
        some = seen(analyst)
    if kind == "bridge":
        given = leave(live, approvers, "rotate", *domain(purpose))
        done(live, "domain", "rotate", "DIR", *domain(purpose), *given, stdin=PASSWORD)
    name = grant(live, approvers, kind, who=who)
    more = ("--epoch", "1") if kind == "bridge" else ()
    line = ("pseudonym", kind, "DIR", "--as", who.name, "--password-stdin", "--grant", name, *domain(purpose))
    with psycopg.connect(live.admin_dsn()) as holder, ThreadPoolExecutor(1) as thread:
        holder.execute("LOCK TABLE views, people IN ACCESS EXCLUSIVE MODE")
        asking = thread.submit(
            live.ringfort, *line, "--column", COLUMN, "--json", *more,
            stdin="\n".join([who.password, *some, ""]),
        )  # fmt: skip
        wait_for(lambda: asking.done() or waits_for_tables(live))
        with open_ledger(live.folder) as ledger:
            made, facts = CHANGED[changed](who, approvers[0])
            state = ledger.state
            if made is PolicyActivated:
                facts = {"bundle": state.policy, "evaluator": state.evaluator}
            elif made is CatalogueActivated:
                facts = {"catalogue": state.catalogue}
            ledger.append([made(time=format_time(datetime.now(UTC)), actor="operator", **facts)])
        holder.rollback()
        made = asking.result()
    refused(made)
    assert "changed meanwhile" in made.stderr or "not in force" in made.stderr, made.stderr
    wanted = {"resolve": "PseudonymsResolved", "bridge": "PseudonymsBridged"}[kind]
    assert not [each for each in entries(live, wanted) if each["principal"] == who.name]
    done(live, "principal", "remove", "DIR", who.name)


def waits_for_tables(live):
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        return admin.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'ringfort pseudonym' "
            "AND wait_event_type = 'Lock'"
        ).fetchone()


def test_nobody_breaks_the_glass_to_resolve(live):
    made = command(live, "break-glass", "DIR", "--resolve", "--as", SUPPORT.name)
    assert made.returncode == 2


# -- a folder that is not up -------------------------------------------------------------------------------


def test_a_domain_whose_purpose_is_not_listed_any_more_is_shown_as_retired(own_live):
    """Until the purpose is listed again, which goes on with the same epoch."""

    def shown():
        text = done(own_live, "domain", "list", "DIR")
        (line,) = [each for each in text.splitlines() if each.startswith(f"{EMPLOYER}  {purpose}")]
        (known,) = [
            each
            for each in done(own_live, "domain", "list", "DIR", "--json")["domains"]
            if each["purpose"] == purpose
        ]
        return "retired" in line, known["retired"], known["epochs"]

    purpose = fresh_purpose()
    with own_live.connect(ANALYST, purpose=purpose) as session:
        session.execute(JOIN)
    retired, as_json, epochs = shown()
    assert (retired, as_json) == (False, False)
    own_live.edit("policy/policy.toml", f'{purpose} = ""\n', "")
    done(own_live, "policy", "apply", "DIR")
    assert shown() == (True, True, epochs)
    with (own_live.folder / "policy" / "policy.toml").open("a") as file:
        file.write(f'{purpose} = ""\n')
    done(own_live, "policy", "apply", "DIR")
    assert shown() == (False, False, epochs)
