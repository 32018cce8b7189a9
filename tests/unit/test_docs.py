"""The manual points at nothing that is not there, and says nothing that belongs elsewhere."""

import re
import shlex
from pathlib import Path

import pytest

from ringfort.cli import reference
from ringfort.config import EEA, load_config

REPOSITORY = Path(__file__).parent.parent.parent
DOCS = REPOSITORY / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md")])
OURS = [each for each in PAGES if each.name != "README.md" or each.parent != REPOSITORY]
FORBIDDEN = {
    "a registry's host": r"pypi\.org|pythonhosted|npmjs|debian\.org|proxy\.golang",
    "a path of one machine": r"(?<![\w.])/(?:work|root|home|Users|mnt|tmp/[a-z])/?\b",
    "a folder beside the repository": r"\.\./shared",
    "how the work is organised": r"\b(?:sprint|backlog|milestone|pull request|issue \d+)\b",
    "pseudonymised data called anonymous": r"\banonymi[sz]ed?\b",
    "a word left for later": r"\b(?:TODO|TBD|FIXME|XXX)\b",
}


def anchors(text):
    """Anchors of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def code_blocks(text):
    return re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def name(path):
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name(page)} points at {target}"
        assert found.is_relative_to(REPOSITORY), f"{name(page)} points at {target}"
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), f"{name(page)} points at {target}"


@pytest.mark.parametrize("page", OURS, ids=name)
def test_every_file_of_the_repository_that_is_named_exists(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.])((?:src|tests|docs|bench)/[\w./-]*\w)", text):
        assert (REPOSITORY / path).exists(), f"{name(page)} names {path}"


@pytest.mark.parametrize("page", OURS, ids=name)
def test_no_page_says_what_does_not_belong_there(page):
    text = page.read_text(encoding="utf-8")
    for what, pattern in FORBIDDEN.items():
        found = re.search(pattern, text)
        assert found is None, f"{name(page)} holds {what}: {found and found.group()}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_is_shown_exists(page):
    """Command lines in code blocks: known commands, known options, as many arguments as are needed."""
    commands = dict(reference.walk(reference.command_tree()))
    for block in code_blocks(page.read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if "ringfort " in line else []
            if not words or words[0] not in {"ringfort", ".venv/bin/ringfort"} or words[1:2] == ["COMMAND"]:
                continue
            words = list(words)
            found = "ringfort"
            while len(words) > 1 and f"{found} {words[1]}" in commands:
                found = f"{found} {words.pop(1)}"
            options = {
                each for option in commands[found].params for each in [*option.opts, *option.secondary_opts]
            }
            options |= {"--help"}
            for word in words[1:]:
                if word.startswith("-"):
                    assert word.partition("=")[0] in options, f"{name(page)}: {line}"


def test_every_page_is_on_the_map():
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        path = page.relative_to(DOCS).as_posix()
        if path != "README.md" and (page.parent.name != "adr" or page.name == "README.md"):
            assert f"]({path})" in text, f"docs/README.md does not lead to {path}"


def test_settings_that_a_page_shows_are_valid(tmp_path):
    """Every TOML block that begins with `organisation` is a whole ringfort.toml."""
    shown = 0
    for page in OURS:
        for block in code_blocks(page.read_text(encoding="utf-8")):
            if block.startswith("organisation"):
                (tmp_path / "ringfort.toml").write_text(block, encoding="utf-8")
                assert load_config(tmp_path).region.countries[0] in EEA
                shown += 1
    assert shown
