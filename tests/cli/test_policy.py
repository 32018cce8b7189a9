"""`ringfort policy` as a person runs it: alone, on a ledger, and beside a running ledger writer."""

import base64
import json
import os
import pty
import re
import subprocess
import sys

import pytest
import typer

from ringfort.cli import policy
from ringfort.cli.application import report
from ringfort.errors import RingfortError
from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.policy.bundle import load_bundle, write_defaults
from ringfort.private_files import write_private
from ringfort.record.client import ledger_folder, open_ledger

CATALOGUE = """
[dataset.shop]
database = "shop"
subject = "customers.id"
[dataset.shop.table.customers]
schema = "public"
primary_key = ["id"]
[dataset.shop.table.customers.column]
id      = { type = "bigint", protection = "interoperable", identifiability = "direct", kind = "key" }
email   = { type = "text", protection = "restricted", identifiability = "direct", kind = "email" }
born    = { type = "date", protection = "protected", identifiability = "quasi", kind = "birth_date" }
added   = { type = "text" }
[dataset.shop.table.orders]
schema = "public"
primary_key = []
[dataset.shop.table.orders.column]
amount = { type = "numeric", protection = "protected", identifiability = "none", kind = "amount" }
"""
ANALYST = """\
customers.id     pseudonym    analysts-see-pseudonyms
customers.email  hidden       no policy permits any form (restricted-never-leaves-raw forbids raw, masked)
customers.born   generalised  analysts-see-quasi-identifiers-generalised
customers.added  hidden       not classified in the catalogue
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ringfort.toml").write_text('organisation = "Shop"\n[site.dublin-1]\ndatabases = ["shop"]\n')
    (tmp_path / "catalog.toml").write_text(CATALOGUE)
    write_defaults(tmp_path / "policy")
    return tmp_path


@pytest.fixture
def run_policy(capsys):
    """Run `ringfort policy ARGUMENTS` in this process; gives (exit code, stdout, stderr)."""

    def run(*arguments):
        try:
            result = typer.main.get_command(policy.app)(
                args=[str(each) for each in arguments], prog_name="ringfort policy", standalone_mode=False
            )
        except RingfortError as error:
            result = report(error)
        captured = capsys.readouterr()
        return result or 0, captured.out, captured.err

    return run


def test_check_passes_on_the_shipped_set(run_policy, folder):
    code, out, err = run_policy("check", folder, "--offline")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("policies   33 in 3 files, valid (")
    assert "customer-support" in lines.pop(1).removeprefix("purposes   ").split(", ")
    assert lines[1].startswith("catalogue  5 columns, 1 unclassified (")
    assert lines[2] == "tests      88 of 88 pass"
    assert lines[3].startswith("note: an unclassified column is hidden")
    assert lines[4].startswith(
        "note: unclassified beside direct identifiers in table `shop.customers`: `added`;"
    )
    notes = json.loads(run_policy("check", folder, "--offline", "--json")[1])["notes"]
    assert any("`shop.customers`: `added`;" in each for each in notes)


def test_check_shows_a_failing_test_and_exits_1(run_policy, folder):
    tests = folder / "policy" / "tests.toml"
    tests.write_text(
        tests.read_text()
        + '\n[[test]]\nname = "wish"\nas = { role = "analyst", country = "US" }\n'
        + 'column = "shop.customers.email"\nexpect = "raw"\nbecause = "support-in-region"\n'
    )
    code, out, _ = run_policy("check", folder)
    assert code == 1
    line = tests.read_text().splitlines().index('name = "wish"')
    assert (
        f"FAIL {tests}:{line}: wish\n"
        "     expected raw because of support-in-region\n"
        "     got      hidden: no policy permits any form (restricted-never-leaves-raw forbids raw, masked)\n"
    ) in out
    code, out, _ = run_policy("check", folder, "--json")
    document = json.loads(out)
    assert code == 1
    assert document["ok"] is False
    assert [each["name"] for each in document["tests"] if not each["passed"]] == ["wish"]


def test_check_shows_every_fault_and_exits_2(run_policy, folder):
    bad = folder / "policy" / "more.cedar"
    bad.write_text("""permit(principal, action, resource);

@id("x")
forbid(principal, action, resource)
when { resource.colour };
""")
    code, out, err = run_policy("check", folder)
    assert (code, out) == (2, "")
    assert f"error: {bad}:1: policy has no @id\nhint: " in err
    assert f"error: {bad}:5: policy `x`: attribute `colour`" in err
    code, out, _ = run_policy("check", folder, "--json")
    assert code == 2
    assert [each["line"] for each in json.loads(out)["problems"]] == [1, 5]


def test_explain_reads_as_the_manual_shows_it(run_policy, folder):
    code, out, err = run_policy(
        "explain", folder, "--role", "analyst", "--country", "US", "--table", "customers"
    )
    assert (code, out, err) == (0, ANALYST, "")


def test_explain_says_that_recipients_can_be_joined_by_position(run_policy, folder):
    path = folder / "policy" / "policy.toml"
    path.write_text(path.read_text().replace("accept_stored_order = []", 'accept_stored_order = ["shop"]'))
    analyst = ("explain", folder, "--role", "analyst", "--country", "US")
    code, out, err = run_policy(*analyst, "--table", "customers")
    assert (code, out) == (0, ANALYST)
    assert "note: the policy lets the rows of dataset `shop` come as they are stored" in err
    assert "joined by position" in err
    assert json.loads(run_policy(*analyst, "--json")[1])["joined_by_position"] == ["shop"]
    # what is shown raw only can be joined by its values
    raw = ("--role", "support", "--country", "IE", "--table", "orders", "--json")
    path.write_text(path.read_text().replace('["shop"]', "[]"))
    assert json.loads(run_policy("explain", folder, *raw)[1])["joined_by_position"] == []
    assert run_policy(*analyst)[2] == ""


def test_explain_what_if(run_policy, folder):
    def forms(*arguments):
        code, out, _ = run_policy(
            "explain", folder, "--role", "support", "--country", "IE", *arguments, "--json"
        )
        assert code == 0
        return {each["column"]: each["form"] for each in json.loads(out)["columns"]}

    helping = ("--purpose", "customer-support", "--ticket", "T-1")
    assert forms(*helping)["email"] == "raw"
    assert forms()["email"] == "masked"
    assert forms(*helping, "--from", "US")["email"] == "hidden"
    assert forms(*helping, "--from", "")["email"] == "hidden"
    assert forms(*helping, "--grant", "g", "--employer", "x", "--table", "orders") == {"amount": "raw"}


def test_explain_json_holds_the_whole_input(run_policy, folder):
    _, out, _ = run_policy("explain", folder, "--role", "analyst", "--country", "US", "--as", "ann", "--json")
    document = json.loads(out)
    assert document["request"]["principal"] == {
        "name": "ann",
        "country": "US",
        "employer": "",
        "role": "analyst",
    }
    assert document["request"]["site_country"] == "IE"
    assert len(document["policy"]) == len(document["catalogue"]) == 64


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "nobody to explain for"),
        (("--role", "analyst", "--country", "usa"), "`usa` is not an ISO"),
        (("--role", "analyst", "--country", "US", "--from", "us"), "`us` is not an ISO"),
        (("--role", "analyst", "--country", "US", "--table", "x"), "no table `x`"),
        (("--role", "analyst", "--country", "US", "--database", "x"), "no database `x`"),
    ],
)
def test_explain_refuses_what_it_cannot_answer(run_policy, folder, arguments, word):
    code, out, err = run_policy("explain", folder, *arguments)
    assert (code, out) == (2, "")
    assert word in err
    assert "hint: " in err


def test_a_missing_folder_is_told(run_policy, tmp_path):
    code, _, err = run_policy("check", tmp_path / "missing")
    assert code == 2
    assert "no such file" in err


def test_on_a_terminal_long_reasons_fold_instead_of_being_cut(folder):
    master, slave = pty.openpty()
    program = (
        "import sys, typer; from ringfort.cli import policy; policy.app(sys.argv[1:], standalone_mode=False)"
    )
    arguments = ["explain", str(folder), "--role", "engineer", "--country", "CN"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "60", "TERM": "xterm"},
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    assert process.wait() == 0
    text = shown.decode()
    assert "pseudonym" in text
    assert "…" not in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 60
    assert "high-risk-countries-see-no-personal-data" in "".join(line[28:].strip() for line in lines)


# -- with a ledger -------------------------------------------------------------------------------------


@pytest.fixture
def keys(folder):
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    found = {}
    for name in ("ledger", "evidence"):
        found[name] = base64.b64encode(os.urandom(32)).decode()
        write_private(secrets / f"{name}.key", found[name].encode())
    return found


def register(folder, name="us_analyst", role="analyst", country="US"):
    time = "2026-01-01T00:00:00Z"
    entry = PrincipalRegistered(time=time, actor="t", name=name, country=country, employer="e", role=role)
    with open_ledger(folder) as ledger:
        ledger.append([entry])


@pytest.fixture
def running_writer(folder, keys, tmp_path_factory):
    """The ledger writer as its own process, as `ringfort up` starts it."""
    from ringfort.record import evidence

    sockets = tmp_path_factory.mktemp("w")
    config = {
        "folder": str(ledger_folder(folder)),
        "socket": str(sockets / "s"),
        "origin": "ringfort.example/log",
        "key": keys["ledger"],
        "evidence_public": base64.b64encode(
            evidence.public_half(base64.b64decode(keys["evidence"]))
        ).decode(),
        "merge_delay_seconds": 5.0,
        "control_staleness_seconds": 10.0,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ringfort.record.writer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdin.write(json.dumps(config))
    process.stdin.close()
    assert json.loads(process.stdout.readline())["ready"] is True
    yield process
    process.terminate()
    process.stdout.close()
    assert process.wait(10) == 0


def test_apply_puts_the_folder_into_force_once(run_policy, folder, keys):
    code, out, err = run_policy("apply", folder, "--offline")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["policy", "catalogue", "network"]
    with open_ledger(folder) as ledger:
        assert ledger.state.policy == load_bundle(folder / "policy").digest
        assert ledger.get_blob(ledger.state.policy) == load_bundle(folder / "policy").to_bytes()
    assert run_policy("apply", folder, "--offline") == (
        0,
        "everything that DIR says is in force already\n",
        "",
    )
    code, out, _ = run_policy("apply", folder, "--json")
    assert json.loads(out)["changes"] == []


def test_apply_refuses_what_fails_its_tests(run_policy, folder, keys):
    (folder / "policy" / "more.cedar").write_text(
        '@id("open") permit(principal, action == Action::"raw", resource);'
    )
    code, out, err = run_policy("apply", folder)
    assert (code, out) == (1, "")
    assert "policy tests fail" in err
    assert not ledger_folder(folder).exists()


def test_explain_finds_the_registered_principal(run_policy, folder, keys):
    register(folder)
    run_policy("apply", folder)
    assert run_policy("explain", folder, "--as", "us_analyst", "--table", "customers") == (0, ANALYST, "")
    code, _, err = run_policy("explain", folder, "--as", "nobody")
    assert code == 2
    assert "no principal `nobody` is registered" in err
    assert "`us_analyst`" in err


def test_explain_makes_no_ledger(run_policy, folder, keys):
    code, _, err = run_policy("explain", folder, "--as", "us_analyst")
    assert code == 2
    assert "is registered" in err
    assert not ledger_folder(folder).exists()


def test_explain_says_that_the_files_are_not_in_force(run_policy, folder, keys):
    register(folder)
    run_policy("apply", folder)
    staff = folder / "policy" / "staff.cedar"
    staff.write_text(staff.read_text() + "// changed\n")
    code, out, err = run_policy("explain", folder, "--as", "us_analyst", "--table", "customers")
    assert (code, out) == (0, ANALYST)
    assert "not in force" in err
    _, out, _ = run_policy("explain", folder, "--as", "us_analyst", "--json")
    assert json.loads(out)["in_force"] is False


def test_all_of_it_works_beside_a_running_writer(run_policy, folder, running_writer):
    register(folder)
    code, out, _ = run_policy("apply", folder)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert run_policy("apply", folder)[1].startswith("everything")
    assert run_policy("explain", folder, "--as", "us_analyst", "--table", "customers") == (0, ANALYST, "")
