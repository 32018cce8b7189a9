"""What cannot be undone, asked for, approved and done by commands on a folder that is not up."""

import base64
import io
import json
import shutil
import sys
import uuid

import pytest
from tests.cli.test_domain import APPROVER, EMPLOYER, NOW, PASSWORD, domain
from tests.cli.test_ledger import with_evidence
from tests.live_deployment import OPERATOR, SITE

from ringfort.cli.application import run
from ringfort.cli.principal import register
from ringfort.config import load_config
from ringfort.gateway.activation import activate
from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.privacy.pseudonym import Domain
from ringfort.private_files import write_private
from ringfort.record.client import open_ledger
from ringfort.record.inspect import all_entries
from ringfort.sites.custody import Custody, CustodySettings
from ringfort.sites.deployment import Deployment, Plan
from ringfort.sites.domains import DomainStore


@pytest.fixture
def folder(tmp_path):
    """A deployment that is not up, with an operator, an approver and the shipped policy in force."""
    made = Deployment(tmp_path / "shop", Plan("Shop", SITE))
    made.begin()
    made.finish("")
    with_people(tmp_path / "shop")
    return tmp_path / "shop"


def with_people(folder):
    with open_ledger(folder) as ledger:
        activate(load_config(folder), ledger)
        for who in (OPERATOR, APPROVER):
            facts = {"country": "IE", "employer": EMPLOYER, "role": who.role}
            entry = PrincipalRegistered(time=NOW, actor="operator", name=who.name, **facts)
            register(ledger, folder, entry, who.password)


def ringfort(capsys, *arguments, stdin=""):
    before, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        code = run([str(each) for each in arguments])
    finally:
        sys.stdin = before
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def allowed(capsys, folder, kind, *about, approve=True):
    """What `leave` gives, on a folder that is not up."""
    line = (
        "request",
        folder,
        "--as",
        OPERATOR.name,
        "--password-stdin",
        f"--{kind}",
        *about,
        "--ticket",
        "T-1",
    )
    code, out, err = ringfort(capsys, *line, "--for", "10m", "--json", stdin=PASSWORD)
    assert code == 0, err
    name = json.loads(out)["grant"]
    if approve:
        line = ("approve", folder, name, "--as", APPROVER.name, "--password-stdin")
        code, _, err = ringfort(capsys, *line, stdin=f"{APPROVER.password}\n")
        assert code == 0, err
    return ("--as", OPERATOR.name, "--password-stdin", "--grant", name)


def recorded(folder, kind):
    with open_ledger(folder):
        pass
    ledger = folder / "state" / "ledger"
    found = [json.loads(data) for log, _, data, _ in all_entries(ledger) if log == "control"]
    return [each for each in found if each["type"] == kind]


def test_domains_of_a_folder_that_is_not_up(folder, capsys):
    code, out, _ = ringfort(capsys, "domain", "list", folder)
    assert (code, "there is no domain" in out) == (0, True)
    who = ("--recipient", "ACME Inc", "--purpose", "analytics")
    config = load_config(folder)
    line = ("request", folder, "--as", OPERATOR.name, "--password-stdin", "--rotate", *who, "--for", "10m")
    code, _, err = ringfort(capsys, *line, stdin=PASSWORD)
    assert (code, "no such pseudonymisation domain" in err) == (2, True)
    with open_ledger(folder) as ledger:
        DomainStore.of(config).ensure(ledger, "ACME Inc", "analytics")
    given = allowed(capsys, folder, "rotate", *who)
    code, out, err = ringfort(capsys, "domain", "rotate", folder, *who, *given, "--json", stdin=PASSWORD)
    assert code == 0, err
    assert json.loads(out)["epoch"] == 2
    given = allowed(capsys, folder, "erase", *who, "--epoch", "1")
    erase = ("domain", "erase", folder, *who, *given, "--yes")
    code, _, err = ringfort(capsys, *erase, "--epoch", "3", stdin=PASSWORD)
    assert (code, "no epoch 3" in err) == (2, True)
    for epoch in ((), ("--epoch", "2")):
        code, _, err = ringfort(capsys, *erase, *epoch, stdin=PASSWORD)
        assert (code, "is for epoch 1 alone" in err) == (1, True)
    code, out, err = ringfort(capsys, *erase, "--epoch", "1", stdin=PASSWORD)
    assert code == 0, err
    assert "goes when they are up" in out
    store = DomainStore.of(config)
    with open_ledger(folder) as ledger:
        statuses = [each.status for each in ledger.state.pseudonymisation["ACME Inc", "analytics"].epochs]
        assert statuses == ["erased", "in force"]
        assert store.secret(Domain("ACME Inc", "analytics", 2), ledger.state)


def test_keys_of_an_older_deployment_are_wrapped_when_they_are_asked_to_be(folder, capsys):
    config = load_config(folder)
    custody = Custody(CustodySettings.of(config))
    root = custody.get("root.key")
    for name in ("root.key", "kek.key"):
        custody._secrets.remove(name)
    write_private(folder / "secrets" / "root.key", base64.b64encode(root) + b"\n")
    code, out, _ = ringfort(capsys, "keys", "status", folder)
    assert code == 0
    assert "root.key  plain" in out
    given = allowed(capsys, folder, "rewrap")
    code, out, err = ringfort(capsys, "keys", "rewrap", folder, *given, "--json", stdin=PASSWORD)
    assert code == 0, err
    said = json.loads(out)
    assert (said["key_made"], said["wrapped"]) == (True, ["root.key"])
    code, out, _ = ringfort(capsys, "keys", "rewrap", folder, *given, stdin=PASSWORD)
    assert (code, out) == (0, "nothing was to be done\n")
    assert Custody(CustodySettings.of(config)).get("root.key") == root
    code, out, _ = ringfort(capsys, "keys", "status", folder, "--json")
    assert json.loads(out)["secrets"] == [{"name": "root.key", "wrapped_with": said["key"]}]
    first, second = recorded(folder, "KeysRewrapped")
    assert first["kek"] == second["kek"] == said["key"]
    assert (first["principal"], first["grant"]) == (OPERATOR.name, given[-1])


def test_a_key_in_a_file_is_rotated_in_place_and_moves_to_another_file(folder, capsys, tmp_path):
    config = load_config(folder)
    custody = Custody(CustodySettings.of(config))
    with open_ledger(folder) as ledger:
        DomainStore.of(config).ensure(ledger, "ACME Inc", "analytics")
    names, first, root = custody.names(), custody.current.id, custody.get("root.key")
    given = allowed(capsys, folder, "rewrap")

    def rewrap(*more, code=0):
        made, out, err = ringfort(capsys, "keys", "rewrap", folder, *given, *more, stdin=PASSWORD)
        assert made == code, err
        return out if code == 0 else err

    out = rewrap("--new-key")
    second = custody.current.id
    assert second != first
    assert f"wrapped 2 secrets with {second}" in out
    assert f"every secret opens without {first}, which was destroyed" in out
    assert sorted(each.name for each in (folder / "secrets").glob("kek.key*")) == ["kek.key"]
    assert custody.get("root.key") == root

    custody.use_next(custody.make_next())  # as a command that was killed after the switch
    code, out, _ = ringfort(capsys, "keys", "status", folder)
    assert (code, f"{second}  {folder}/secrets/kek.key.before-" in out) == (0, True)
    assert "kept until `ringfort keys rewrap` is done, wraps 2 secrets" in out
    assert "had been cut off: run it again for another key" in rewrap("--new-key")
    third = custody.current.id
    assert {each.kek for each in custody.status()} == {third}
    waiting = custody.make_next()  # as one that was killed before it
    assert f"{waiting}  {folder}/secrets/kek.key.next" in ringfort(capsys, "keys", "status", folder)[1]
    shown = json.loads(rewrap("--new-key", "--json"))
    assert (shown["key"], shown["destroyed"], shown["left"]) == (waiting, [third], [])
    assert shown["wrapped"] == names

    text = (folder / "ringfort.toml").read_text()
    (folder / "ringfort.toml").write_text(f'{text}\n[keys]\nkek_file = "{tmp_path}/apart.key"\n')
    assert "--old-key FILE" in rewrap(code=3)
    assert not (tmp_path / "apart.key").exists()
    code, out, _ = ringfort(capsys, "keys", "status", folder)
    assert (code, f"key  {waiting}  not here: name its file with --old-key" in out) == (0, True)
    assert "do not go together" in rewrap("--new-key", "--old-key", folder / "secrets/kek.key", code=2)
    out = rewrap("--old-key", folder / "secrets" / "kek.key")
    assert f"to be removed by you, after a restart of `ringfort up`: {folder}/secrets/kek.key" in out
    (folder / "secrets" / "kek.key").unlink()
    moved = Custody(CustodySettings.of(load_config(folder)))
    assert moved.get("root.key") == root
    assert moved.files.path == tmp_path / "apart.key"
    entries = recorded(folder, "KeysRewrapped")
    assert [each["kek"] for each in entries] == [second, third, waiting, moved.current.id]
    assert {each["grant"] for each in entries} == {given[-1]}


def test_a_damaged_secret_keeps_the_key_before_and_is_named(folder, capsys):
    config = load_config(folder)
    custody = Custody(CustodySettings.of(config))
    with open_ledger(folder) as ledger:
        DomainStore.of(config).ensure(ledger, "ACME Inc", "analytics")
    first = custody.current.id
    (name,) = [each for each in custody.names() if each != "root.key"]
    write_private(folder / "secrets" / name, b"ringfort-wrapped/1 torn")
    given = allowed(capsys, folder, "rewrap")
    code, out, err = ringfort(capsys, "keys", "rewrap", folder, *given, "--new-key", stdin=PASSWORD)
    assert (code, f"1 secret could not be wrapped anew, keys before are kept: `{name}`" in err) == (3, True)
    assert "destroyed" not in out
    assert custody.files.before() == [first]
    code, out, _ = ringfort(capsys, "keys", "status", folder)
    assert (code, f"{name}  damaged: restore it from a backup" in out) == (0, True)


def test_a_canary_is_made_and_removed_on_record_without_its_values(folder, capsys):
    given = allowed(capsys, folder, "canary")
    code, out, err = ringfort(
        capsys, "canary", "new", folder, *given, "--note", "in notes", "--json", stdin=PASSWORD
    )
    assert code == 0, err
    canary = json.loads(out)
    code, _, err = ringfort(capsys, "canary", "remove", folder, canary["id"], *given, stdin=PASSWORD)
    assert code == 0, err
    (made,), (removed,) = recorded(folder, "CanaryMade"), recorded(folder, "CanaryRemoved")
    assert made["canary"] == removed["canary"] == canary["id"]
    assert {made["principal"], removed["principal"]} == {OPERATOR.name}
    for value in (canary["name"], canary["email"], canary["code"], "in notes"):
        assert value not in json.dumps([made, removed])
    code, _, err = ringfort(capsys, "canary", "remove", folder, canary["id"], *given, stdin=PASSWORD)
    assert (code, "there is no canary" in err) == (2, True)


ACTS = {
    "rotate": ("domain", "rotate", "DIR", "--recipient", "ACME Inc", "--purpose", "analytics"),
    "erase": ("domain", "erase", "DIR", "--recipient", "ACME Inc", "--purpose", "analytics", "--yes"),
    "rewrap": ("keys", "rewrap", "DIR"),
    "canary": ("canary", "new", "DIR"),
    "drop-evidence": ("ledger", "drop-evidence", "DIR", "--before", "2026-01"),
}
DOMAIN = ("--recipient", "ACME Inc", "--purpose", "analytics")
ABOUT = {"rotate": DOMAIN, "erase": DOMAIN, "drop-evidence": ("--before", "2026-01")}


@pytest.mark.parametrize("kind", list(ACTS))
def test_nothing_that_cannot_be_undone_is_done_without_a_person_and_an_approval(folder, capsys, kind):
    with open_ledger(folder) as ledger:
        DomainStore.of(load_config(folder)).ensure(ledger, "ACME Inc", "analytics")
    about = ABOUT.get(kind, ())
    line = [folder if each == "DIR" else each for each in ACTS[kind]]
    before = tree(folder / "secrets")

    def refuses(*more, stdin=PASSWORD, code=1, says=""):
        made, _, err = ringfort(capsys, *line, *more, stdin=stdin)
        assert (made, says in err) == (code, True), err
        assert tree(folder / "secrets") == before

    refuses(code=2)
    waiting = allowed(capsys, folder, kind, *about, approve=False)
    refuses(*waiting, says="waits for its approval")
    refuses(*waiting, says="ringfort principal add DIR NAME --role approver")
    own = ("approve", folder, waiting[-1], "--as", OPERATOR.name, "--password-stdin")
    code, _, err = ringfort(capsys, *own, stdin=PASSWORD)
    assert (code, "nobody decides on their own" in err) == (1, True)
    given = allowed(capsys, folder, kind, *about)
    refuses(*given, stdin="wrong\n", says="that is not the password")
    refuses("--as", APPROVER.name, *given[2:], stdin=f"{APPROVER.password}\n", says="has no such grant")
    for other in set(ACTS) - {kind}:
        given_other = allowed(capsys, folder, other, *ABOUT.get(other, ()))
        refuses(*given_other, says="has no such grant")
    code, _, err = ringfort(
        capsys, "revoke", folder, given[-1], "--as", OPERATOR.name, "--password-stdin", stdin=PASSWORD
    )
    assert code == 0, err
    refuses(*given, says="is revoked, not in force")
    refuses(*given, "--reason", "ask jan(at)example.org", code=2, says="look like an e-mail address")
    for entry in ("DomainRotated", "DomainErased", "KeysRewrapped", "CanaryMade", "EvidenceDropped"):
        assert not recorded(folder, entry)


def test_a_policy_of_before_says_which_files_to_update(folder, capsys):
    policy = folder / "policy"
    schema = (policy / "grants.cedarschema").read_text()
    (policy / "grants.cedarschema").write_text(
        schema.replace(', erase, rotate, rewrap, canary, "drop-evidence" applies', " applies")
    )
    text = (policy / "grants.cedar").read_text()
    (policy / "grants.cedar").write_text(text[: text.index("// What cannot be undone: only at home")])
    tests = (policy / "tests.toml").read_text()
    (policy / "tests.toml").write_text(tests[: tests.index('[[test]]\nname = "an operator at home erases')])
    code, _, err = ringfort(capsys, "policy", "apply", folder)
    assert code == 0, err
    given = allowed(capsys, folder, "canary")
    code, _, err = ringfort(capsys, "canary", "new", folder, *given, stdin=PASSWORD)
    assert code == 1
    assert "older than the act `canary`: take grants.cedarschema" in err


def test_who_asks_is_told_if_nobody_is_left_who_may_approve(folder, capsys):
    code, _, err = ringfort(capsys, "principal", "remove", folder, APPROVER.name)
    assert code == 0, err
    line = ("request", folder, "--as", OPERATOR.name, "--password-stdin", "--rewrap", "--ticket", "T-1")
    code, _, err = ringfort(capsys, *line, "--for", "10m", stdin=PASSWORD)
    assert code == 0
    assert "ringfort principal add DIR NAME --role approver" in err


def tree(folder):
    return {each: each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}


def test_pseudonyms_need_a_deployment_that_is_up(folder, capsys, tmp_path):
    given = tmp_path / "pseudonyms"
    given.write_text(f"{uuid.uuid4()}\n")
    code, _, err = ringfort(
        capsys, "pseudonym", "resolve", folder, "--as", "ann", "--grant", "g", *domain("p"), "--column",
        "a.b.c", "--file", given, "--password-stdin", stdin="secret\n",
    )  # fmt: skip
    assert (code, "is not up" in err) == (3, True)


@pytest.fixture
def months(folder):
    """A folder whose ledger holds evidence of three months that are over."""
    with_evidence(folder, [(2026, 8), (2026, 9), (2026, 10)])
    with_people(folder)
    return folder / "state" / "ledger" / "evidence"


def streams(evidence):
    return sorted(each.name for each in evidence.iterdir())


def test_evidence_is_dropped_by_month_on_an_approved_request_and_that_is_on_record(folder, months, capsys):
    def drop(before, *more, stdin=""):
        return ringfort(capsys, "ledger", "drop-evidence", folder, "--before", before, *more, stdin=stdin)

    three = streams(months)
    code, out, _ = ringfort(capsys, "ledger", "verify", folder)
    assert (code, "evidence 2026-08  2 groups as committed" in out) == (0, True), out
    for wrong in ("2026-13", "soon", "2999-01"):
        assert drop(wrong)[0] == drop(wrong, "--dry-run")[0] == 2
    code, out, _ = drop("2026-10", "--dry-run")  # takes nobody's leave, and no key
    assert (code, len(out.splitlines())) == (0, 3)
    code, _, err = drop("2026-10")
    assert (code, "--drop-evidence --before 2026-10" in err) == (2, True)
    line = ("request", folder, "--as", OPERATOR.name, "--password-stdin", "--ticket", "T-1", "--for", "10m")
    for wrong in (("--drop-evidence",), ("--erase", "--before", "2026-10"), ("--before", "2026-10")):
        assert ringfort(capsys, *line, *wrong, stdin=PASSWORD)[0] == 2
    given = allowed(capsys, folder, "drop-evidence", "--before", "2026-10")
    for other in ("2026-09", "2026-11"):  # neither less nor more than somebody approved
        code, _, err = drop(other, *given, stdin=PASSWORD)
        assert (code, "is for evidence before 2026-10" in err) == (1, True)
    assert streams(months) == three
    assert "before 2026-10" in ringfort(capsys, "grants", folder)[1]

    code, _, err = drop("2026-10", *given, "--reason", "retention of a year", stdin=PASSWORD)
    assert code == 0, err
    assert streams(months) == ["2026-10", *three[3:]]
    code, out, _ = ringfort(capsys, "ledger", "verify", folder, "--json")
    assert (code, json.loads(out)["problems"]) == (0, [])
    assert [each["dropped"] for each in json.loads(out)["evidence"]][:3] == [True, True, False]
    (entry,) = recorded(folder, "EvidenceDropped")
    assert [each["stream"] for each in entry["streams"]] == ["2026-08", "2026-09"]
    assert (entry["v"], entry["principal"], entry["grant"]) == (2, OPERATOR.name, given[-1])
    assert entry["reason"] == "retention of a year"
    assert "no evidence of closed months" in drop("2026-10", *given, stdin=PASSWORD)[1]

    shutil.rmtree(months / "2026-10")
    code, out, _ = ringfort(capsys, "ledger", "verify", folder)
    assert (code, "violation: evidence/2026-10: " in out) == (1, True)


def test_deleted_without_an_entry_is_a_violation_and_interrupted_is_finished(folder, months, capsys):
    kept = folder / "kept"
    shutil.copytree(months / "2026-08", kept)
    shutil.rmtree(months / "2026-08")
    code, out, _ = ringfort(capsys, "ledger", "verify", folder)
    assert (code, "violation: evidence/2026-08: " in out) == (1, True)
    shutil.copytree(kept, months / "2026-08")
    given = allowed(capsys, folder, "drop-evidence", "--before", "2026-09")
    line = ("ledger", "drop-evidence", folder, "--before", "2026-09", *given)
    assert ringfort(capsys, *line, stdin=PASSWORD)[0] == 0
    shutil.copytree(kept, months / "2026-08")  # as after a death between entry and deletion
    code, out, _ = ringfort(capsys, "ledger", "verify", folder)
    assert (code, "on record as dropped and still there" in out) == (0, True)
    assert ringfort(capsys, *line, stdin=PASSWORD)[0] == 0
    assert not (months / "2026-08").exists()
