"""Words of people on every command line and at the gate: what looks like personal data is not recorded."""

import contextlib
import io
import sys

import psycopg
import pytest
from tests.live_deployment import ANALYST, SUPPORT

from ringfort.cli.application import run
from ringfort.cli.reference import command_tree, walk

ASK = ("--as", "aoife", "--password-stdin", "--table", "demo.vault", "--for", "10m")
REQUEST = ("request", "DIR", *ASK)
GLASS = ("break-glass", "DIR", *ASK)
ACT = ("DIR", "g-1a2b3c4d", "--as", "aoife", "--password-stdin")
ADD = ("principal", "add", "DIR", "nuala", "--country", "IE", "--password-stdin")
GIVEN = ("--as", "aoife", "--password-stdin", "--grant", "g-1a2b3c4d")
DOMAIN = ("DIR", "--recipient", "Example", "--purpose", "none-such", *GIVEN)
WAYS = {
    ("request", "purpose"): (*REQUEST, "--ticket", "T-1"),
    ("request", "ticket"): (*REQUEST, "--purpose", "incident"),
    ("request", "reason"): (*REQUEST, "--purpose", "incident"),
    ("break-glass", "purpose"): (*GLASS, "--ticket", "T-1", "--reason", "x"),
    ("break-glass", "ticket"): (*GLASS, "--purpose", "incident", "--reason", "x"),
    ("break-glass", "reason"): (*GLASS, "--purpose", "incident"),
    ("deny", "reason"): ("deny", *ACT),
    ("revoke", "reason"): ("revoke", *ACT),
    ("review", "reason"): ("review", *ACT, "--outcome", "justified"),
    ("principal add", "employer"): (*ADD, "--role", "support"),
    ("principal add", "role"): (*ADD, "--employer", "Example"),
    ("sessions kill", "reason"): ("sessions", "kill", "DIR", "--principal", "nobody"),
    ("domain rotate", "reason"): ("domain", "rotate", *DOMAIN),
    ("domain erase", "reason"): ("domain", "erase", *DOMAIN, "--yes"),
    ("transfer withdraw", "reason"): (
        "transfer",
        "withdraw",
        "DIR",
        "c",
        "--as",
        "aoife",
        "--password-stdin",
    ),
    ("transfer deleted", "reference"): ("transfer", "deleted", "DIR", "c", "r"),
    ("canary new", "note"): ("canary", "new", "DIR", *GIVEN),
    ("canary new", "reason"): ("canary", "new", "DIR", *GIVEN),
    ("canary remove", "reason"): ("canary", "remove", "DIR", "0123456789ab", *GIVEN),
    ("pseudonym prepare", "purpose"): ("pseudonym", "prepare", "DIR", "--principal", "aoife"),
    ("keys rewrap", "reason"): ("keys", "rewrap", "DIR", *GIVEN),
    ("ledger drop-evidence", "reason"): ("ledger", "drop-evidence", "DIR", "--before", "2026-01", *GIVEN),
}
"""A command and its option for words that are kept, with the rest of the command line."""
FREE = {"reason", "ticket", "note", "reference", "employer", "role", "comment", "description", "purpose"}
LOOKS_UP = {"domain rotate", "domain erase", "pseudonym resolve", "pseudonym bridge", "policy explain"}
"""Commands that take a purpose only to find what there is, or to try a decision."""
TRIED = {"purpose", "role", "ticket", "employer"}
TEXTS = (
    "ask jan@example.org", "jan(at)example.org", "0871.234.567", "\uff10\uff18\uff17\uff11\uff12\uff13\uff14",
    "IE29AIBK93115212345678", "a\nb", "a\u202eb", "x" * 201,
)  # fmt: skip


def test_every_option_for_words_is_tried_here():
    found = set()
    for path, command in walk(command_tree()):
        name = path.removeprefix("ringfort ")
        words = {option.name for option in command.params} & FREE
        found |= {(name, each) for each in words if not (name in LOOKS_UP and each in TRIED)}
    assert found == set(WAYS)


@pytest.mark.parametrize(("command", "option"), list(WAYS))
def test_no_command_puts_personal_data_on_record(live, command, option):
    for text in TEXTS:
        line = [str(live.folder) if each == "DIR" else each for each in WAYS[command, option]]
        out, err, before = io.StringIO(), io.StringIO(), sys.stdin
        sys.stdin = io.StringIO("a password\n")
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run([*line, f"--{option}", text])
        finally:
            sys.stdin = before
        said = err.getvalue()
        assert code == 2, (text, said)
        assert said.startswith("error: ")
        assert f"the {option}" in said, said
        assert text not in said


@pytest.mark.parametrize("setting", ["purpose", "ticket"])
@pytest.mark.parametrize("text", ["0871.234.567", "0871-234-567", "087/1234567", "IE29AIBK93115212345678"])
def test_no_session_puts_personal_data_on_record(live, setting, text):
    stated = {"purpose": SUPPORT.purpose or ANALYST.purpose, "ticket": "INC-20261127-0042", setting: text}
    options = " ".join(f"-cringfort.{name}={value}" for name, value in stated.items())
    with pytest.raises(psycopg.OperationalError, match="look like") as caught:
        psycopg.connect(live.dsn(SUPPORT), options=options)
    assert text not in str(caught.value)
    for entry in live.entries("SessionOpened"):
        assert entry[setting] != text


@pytest.mark.parametrize(
    "name",
    ["jan@example.org", "0871234567", "tel.0871.234.567", "p_4111111111111111", "353-87-123-4567", "u123456"],
)
def test_a_name_that_is_an_address_or_a_number_is_not_registered(live, name):
    """It would stand in every entry about them, for good."""
    facts = ("--country", "IE", "--employer", "Example", "--role", "support", "--password-stdin")
    done = live.ringfort("principal", "add", "DIR", name, *facts, stdin="correct horse\n")
    assert done.returncode == 2
    assert "of the name look like" in done.stderr
    assert "it goes into the record for good" in done.stderr
    assert name not in {each.get("name") for each in live.entries("PrincipalRegistered")}
