"""docs/reference is what the code says, and nothing that a person can meet is left out of it."""

import os
import subprocess
import sys

import pytest

from ringfort.cli import application, reference
from ringfort.cli.reference import command_tree, walk
from ringfort.ledger.entry import entry_types

PAGES = reference.pages()


def run(*arguments, **environment):
    command = [sys.executable, "-m", "ringfort.cli.reference", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def test_committed_pages_are_what_the_code_says():
    for name, text in PAGES.items():
        assert (reference.FOLDER / name).read_text(encoding="utf-8") == text, (
            f"docs/reference/{name} differs: run `python -m ringfort.cli.reference`"
        )
    assert {each.name for each in reference.FOLDER.iterdir()} == set(PAGES)


def test_pages_are_the_same_whatever_the_seed_of_hashes():
    answer = run("--check", PYTHONHASHSEED="1")
    assert (answer.returncode, answer.stderr) == (0, "")


def test_check_ends_with_one_if_a_page_differs_and_writes_nothing(tmp_path):
    assert reference.main(["--folder", str(tmp_path)]) == 0
    assert reference.main(["--check", "--folder", str(tmp_path)]) == 0
    (tmp_path / "forms.md").write_text("something else", encoding="utf-8")
    answer = run("--check", "--folder", str(tmp_path))
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        "error: docs/reference/forms.md differs from the code",
        "hint: run `python -m ringfort.cli.reference`",
    ]
    assert (tmp_path / "forms.md").read_text(encoding="utf-8") == "something else"


def test_every_command_and_option_is_there():
    for name, command in reference.walk(reference.command_tree()):
        assert f"\n## {name}\n" in PAGES["commands.md"]
        section = PAGES["commands.md"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and not reference._own(parameter):
                    assert option in section


def test_every_setting_and_environment_variable_is_there():
    for name in [*reference.setting_names(), *reference.environment_names()]:
        assert f"| `{name}` |" in PAGES["settings.md"]
    assert "gateway.host" in reference.setting_names()
    assert "RINGFORT_PG_BINDIR" in reference.environment_names()


def test_every_entry_type_and_field_is_there():
    for (name, version), spec in entry_types().items():
        head = f"\n### {name} (version {version})\n"
        section = PAGES["entries.md"].partition(head)[2].partition("\n### ")[0]
        assert section
        for field, _ in spec.checks:
            assert field in {"time", "actor"} or f"| `{field}` |" in section


def test_every_sqlstate_is_there():
    found = reference.sqlstates()
    assert {"08P01", "28P01", "42501", "58030"} <= set(found)
    for each in found:
        assert f"| `{each}` |" in PAGES["sqlstates.md"]


def test_words_that_are_missing_are_noticed():
    words = reference.Words()
    assert words.get("settings", "gateway.host")
    assert not words.missing
    assert words.get("settings", "gateway.colour") == ""
    assert words.need(" ", "no help for `ringfort sing`") == " "
    assert words.missing == ["no words in [settings] for `gateway.colour`", "no help for `ringfort sing`"]


def test_words_that_nothing_needs_are_noticed():
    words = reference.Words()
    assert "words in [settings] for `gateway.host`, which the code does not have" in words.stale()
    words.get("settings", "gateway.host")
    assert not any("`gateway.host`" in each for each in words.stale())


@pytest.mark.parametrize("indent", ["", "    "])
def test_a_docstring_reads_the_same_however_python_kept_its_indent(indent):
    text = f"Do it.\n\n{indent}At once,\n{indent}and well.\n\n{indent}Example: ringfort up ./shop\n"
    assert reference._paragraphs(text) == "Do it.\n\nAt once,\nand well.\n\n```\nringfort up ./shop\n```"


WRONG = {
    ("request", "DIR", "--as", "x"): ("missing option `--for`", "For how long", "ringfort request --help"),
    ("domain", "erase", "DIR"): (
        "missing option `--recipient`",
        "legal entity",
        "ringfort domain erase --help",
    ),
    ("ledger", "drop-evidence", "DIR"): ("missing option `--before`", "first month", "drop-evidence --help"),
    ("principal", "add", "DIR"): ("missing argument `NAME`", "connect as", "ringfort principal add --help"),
    ("principal", "add", "DIR", "x", "--country"): ("option `--country` requires an argument", "", "--help"),
    ("foo",): ("no such command `foo`", "", "ringfort --help"),
    ("sessions", "lst"): ("no such command `lst`", "", "ringfort sessions --help"),
    ("logs", "DIR", "--level", "loud"): (
        "invalid value for `--level`",
        "least grave",
        "ringfort logs --help",
    ),
    ("status", "DIR", "--bogus"): ("no such option: --bogus", "", "ringfort status --help"),
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage_is_an_error_with_a_hint(capsys, words):
    assert application.run(words) == 2
    error, hint, *more = capsys.readouterr().err.splitlines()
    message, about, where = WRONG[words]
    assert error.startswith(f"error: {message}")
    assert hint.startswith("hint: ")
    assert about in hint
    assert where in hint
    assert not more


def test_examples_of_a_command_stand_on_lines_of_their_own():
    """In the help of every command that has some: a paragraph each, or a block of code."""
    for path, command in walk(command_tree()):
        for part in (command.help or "").split("\n\n"):
            if "Example" in part:
                assert part.startswith("Example: ") or part.strip() in {"Examples:", "Example:"}, path
                assert part.count("Example") == 1, path
