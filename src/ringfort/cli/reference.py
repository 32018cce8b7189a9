"""The reference pages of the manual, made from the code: `python -m ringfort.cli.reference [--check]`.

Writes `docs/reference/{commands,settings,entries,sqlstates,forms,events}.md`; with `--check` it writes
nothing and ends with 1 if a page differs. What the code does not say by itself stands in
`reference_words.toml`.

Invariant: nothing goes undocumented unnoticed. A command or option without help, an entry type without a
docstring, a setting, environment variable, SQLSTATE, kind or rendering without words, and words for what no
longer exists are one `CheckFailedError` that names all of them. The pages depend on the code alone: no time,
no path of a machine, no difference between Python 3.11 and 3.13.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import inspect
import re
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer
from typer.core import TyperArgument

from ringfort import config
from ringfort.catalog.model import IDENTIFIABILITIES, KINDS, PROTECTIONS
from ringfort.cli import application as command_line
from ringfort.disclosure.forms_sql import UNPSEUDONYMISED, pseudonym_type_of, rendering
from ringfort.disclosure.statement_settings import SETTABLE, SHOWABLE
from ringfort.errors import CheckFailedError, RingfortError
from ringfort.ledger.entry import Entry, entry_types
from ringfort.logs.events import EVENTS
from ringfort.pgwire.parameters import _KEPT, PURPOSE, TICKET
from ringfort.pgwire.redaction import _PASSED
from ringfort.policy.forms import WITHOUT_ANSWER, Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SOURCE = Path(__file__).parent.parent
FOLDER = SOURCE.parent.parent / "docs" / "reference"
_HEAD = "<!-- Made by `python -m ringfort.cli.reference`; changes made here are lost. -->\n\n"
_TYPES = {  # what a cell of the table says, and a type that stands for it
    "text": "text", "integers": "bigint", "floats": "double precision", "numeric": "numeric", "date": "date",
    "timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone", "uuid": "uuid",
    "inet": "inet",
}  # fmt: skip
_SQLSTATE = re.compile(r"(0[0-9ABFLPZ]|2[0-9BDF]|3[0-9BDF]|4[0-4]|5[34578]|72|F0|HV|P0|XX)[0-9A-Z]{3}")
_COMMAND = re.compile(r"(Example: *)?([^.|]+ \| )?(ringfort|psql|make) ")
_NOT_OURS = ("demo/", "pgwire/redaction.py")  # postcodes; what stands for a site's own states


class Words:
    """`reference_words.toml`; remembers what was asked for, and what was not there."""

    def __init__(self) -> None:
        text = resources.files("ringfort.cli").joinpath("reference_words.toml").read_text(encoding="utf-8")
        self._sections: dict[str, dict[str, Any]] = tomllib.loads(text)
        self._used: set[tuple[str, str]] = set()
        self.missing: list[str] = []

    def get(self, section: str, name: str) -> str:
        """The words for `name`; noted as missing if there are none."""
        self._used.add((section, name))
        found = self._sections[section].get(name, "")
        if isinstance(found, dict):
            found = f"`{found['name']}` | {found['meaning']}"
        return self.need(str(found), f"no words in [{section}] for `{name}`")

    def text(self, name: str, **values: str) -> str:
        """The paragraphs called `name`, with `values` in their places."""
        return self.get("texts", name).format(**values)

    def has(self, section: str, name: str) -> bool:
        """Whether there are words for `name`."""
        return name in self._sections[section]

    def need(self, text: str, problem: str) -> str:
        """`text`; noted as missing if it is empty."""
        if not text.strip():
            self.missing.append(problem)
        return text

    def stale(self) -> list[str]:
        """Words that nothing asked for."""
        return [
            f"words in [{section}] for `{name}`, which the code does not have"
            for section, names in self._sections.items()
            for name in names
            if (section, name) not in self._used
        ]


def pages() -> dict[str, str]:
    """File name -> text of every page; raises `CheckFailedError` if something is undocumented."""
    words = Words()
    made = {
        "commands.md": _HEAD + _commands(words),
        "settings.md": _HEAD + _settings(words),
        "entries.md": _HEAD + _entries(words),
        "sqlstates.md": _HEAD + _sqlstates(words),
        "forms.md": _HEAD + _forms(words),
        "events.md": _HEAD + _events(words),
    }
    problems = words.missing + words.stale()
    if problems:
        raise CheckFailedError(
            f"the reference is not complete: {'; '.join(problems)}",
            hint="give the command or option a help text, or correct src/ringfort/cli/reference_words.toml",
        )
    return made


# -- commands ----------------------------------------------------------------------------------------------


def command_tree() -> Any:  # noqa: ANN401 - typer keeps its command classes to itself
    """The `ringfort` command with everything that is registered."""
    return typer.main.get_command(command_line.register_all())


def walk(command: Any, name: str = "ringfort") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - as above
    """Every command that a person can type, groups included, in the order of registration."""
    yield name, command
    for each in getattr(command, "commands", {}).values():
        if not each.hidden:
            yield from walk(each, f"{name} {each.name}")


def _commands(words: Words) -> str:
    parts = ["# Commands\n\n", words.text("commands")]
    for name, command in walk(command_tree()):
        help_text = words.need(command.help or "", f"no help for `{name}`")
        arguments = [each for each in command.params if isinstance(each, TyperArgument)]
        options = [each for each in command.params if not isinstance(each, TyperArgument) and not _own(each)]
        usage = [name, *(_shown(each) for each in arguments), *(["[OPTIONS]"] if options else [])]
        if hasattr(command, "commands"):
            usage.append("COMMAND ...")
        parts.append(f"\n## {name}\n\n```\n{' '.join(usage)}\n```\n\n{_paragraphs(help_text)}\n")
        rows = [
            (
                _cell(f"`{_shown(each)}`"),
                _cell(words.need(each.help or "", f"no help for `{_shown(each)}` of `{name}`")),
                _default(each),
            )
            for each in [*arguments, *options]
            if not each.hidden
        ]
        if rows:
            parts.append("\n" + _table(("argument or option", "what it does", "default"), rows))
    return "".join(parts)


def _own(option: Any) -> bool:  # noqa: ANN401
    """Whether it is one of typer's own options."""
    return option.name in {"help", "install_completion", "show_completion"}


def _shown(parameter: Any) -> str:  # noqa: ANN401
    metavar = parameter.metavar or _type_name(parameter.type_descriptor.annotation, parameter.name)
    if isinstance(parameter, TyperArgument):
        shown = parameter.metavar or parameter.name.upper()
        shown = shown if parameter.required else f"[{shown}]"
        return f"{shown}..." if parameter.nargs == -1 else shown
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {metavar}"


def _type_name(annotation: object, name: str) -> str:
    """`PATH` for `Path`, `int` and the like by name; whatever else by the parameter's."""
    return {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}.get(
        cast("type", annotation), name.upper()
    )


def _default(parameter: Any) -> str:  # noqa: ANN401
    if parameter.required:
        return "required"
    value = parameter.default
    plain = isinstance(value, str | int | float | Path) and not isinstance(value, bool)
    return f"`{value}`" if plain and str(value) else ""


def _paragraphs(text: str) -> str:
    """A docstring as Markdown; a paragraph of command lines becomes code. However the text is indented."""
    shown = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\b", "")):
        lines = [each.strip() for each in paragraph.splitlines() if each.strip()]
        if lines and _COMMAND.match(lines[0]):
            code = lines[0].removeprefix("Example:").strip()
            for each in lines[1:]:
                code += f"\n{each}" if _COMMAND.match(each) else f" {each}"
            shown.append(f"```\n{code}\n```")
        elif lines:
            shown.append("\n".join(lines))
    return "\n\n".join(shown)


# -- settings ----------------------------------------------------------------------------------------------


def setting_names() -> dict[str, object]:
    """Every key of `ringfort.toml` and its default; sites stand as `site.KEY`."""
    names: dict[str, object] = {"organisation": ""}
    for section, kind in (
        ("region", config.RegionConfig),
        ("gateway", config.GatewayConfig),
        ("gateway.authentication", config.AuthenticationConfig),
        ("gateway.client_certificates", config.ClientCertificatesConfig),
        ("gateway.oidc", config.OidcConfig),
        ("ledger", config.LedgerConfig),
        ("limits", config.LimitsConfig),
        ("keys", config.KeysConfig),
        ("measures", config.MeasuresConfig),
        ("transfers", config.TransfersConfig),
        ("log", config.LogConfig),
        ("site", config.SiteConfig),
    ):
        for each in dataclasses.fields(kind):
            default = "" if each.default is dataclasses.MISSING else each.default
            names[f"{section}.{each.name}"] = default
    return names


def environment_names() -> list[str]:
    """Names of environment variables that the source reads."""
    found = {
        str(node.args[0].value)
        for _, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"os.environ.get", "os.getenv"}
        and isinstance(node.args[0], ast.Constant)
    }
    return sorted(found)


def _settings(words: Words) -> str:
    rows = [
        (f"`{name}`", _cell(words.get("settings", name)), _cell(_toml(value)))
        for name, value in setting_names().items()
    ]
    variables = [(f"`{each}`", _cell(words.get("environment", each))) for each in environment_names()]
    startup = words.text("startup", purpose=PURPOSE, ticket=TICKET, kept=_list(_KEPT.values()))
    later = words.text("later", settable=_list(SETTABLE), showable=_list(SHOWABLE - SETTABLE))
    return "".join(
        (
            f"# Settings\n\n## ringfort.toml\n\n{words.text('settings')}\n",
            _table(("key", "meaning", "default"), rows),
            "\n## Environment\n\n",
            _table(("variable", "meaning"), variables),
            f"\n## What a client sets when it connects\n\n{startup}",
            f"\n## What a client sets later\n\n{later}",
        )
    )


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "the EEA" if list(value) == config.EEA else f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, str):
        return f'`"{value}"`' if value else ""
    return f"`{value}`"


# -- events of log lines -----------------------------------------------------------------------------------


def _events(words: Words) -> str:
    rows = [(f"`{each.name}`", each.level, _cell(each.meaning)) for each in sorted(EVENTS)]
    return f"# Events in the logs\n\n{words.text('events')}\n" + _table(("event", "level", "meaning"), rows)


# -- ledger entries ----------------------------------------------------------------------------------------


def _entries(words: Words) -> str:
    parts = ["# Ledger entries\n\n", words.text("entries")]
    common = {each.name for each in dataclasses.fields(Entry)}
    for log in ("control", "traffic"):
        parts.append(f"\n## {log.capitalize()} log\n")
        for (name, version), spec in entry_types().items():
            if spec.log != log:
                continue
            meaning = words.need(inspect.getdoc(spec.kind) or "", f"entry type `{name}` has no docstring")
            kept = words.get("retentions", str(spec.kind.RETENTION))
            parts.append(f"\n### {name} (version {version})\n\n{meaning}\n\nKept {kept}.\n")
            rows = [
                (f"`{each.name}`", _cell(words.get("field_types", str(each.type))))
                for each in dataclasses.fields(spec.kind)
                if each.name not in common
            ]
            if rows:
                parts.append("\n" + _table(("field", "holds"), rows))
    for each in dataclasses.fields(Entry):
        words.get("field_types", str(each.type))
    return "".join(parts)


# -- SQLSTATEs ---------------------------------------------------------------------------------------------


def sqlstates() -> list[str]:
    """Every SQLSTATE that the source writes, but those that only stand for what a site said."""
    return sorted(
        {
            value
            for path, tree in _trees()
            if not path.startswith(_NOT_OURS)
            for value in _constants(tree)
            if _SQLSTATE.fullmatch(value)
        }
    )


def _sqlstates(words: Words) -> str:
    rows = []
    for each in sqlstates():
        name, _, meaning = words.get("sqlstates", each).partition(" | ")
        rows.append((f"`{each}`", _cell(name), _cell(meaning)))
    return "".join(
        (
            f"# SQLSTATEs\n\n## What Ringfort itself says\n\n{words.text('sqlstates')}\n",
            _table(("SQLSTATE", "condition", "meaning"), rows),
            f"\n## What the site says\n\n{words.text('site', passed=_list(_PASSED))}",
        )
    )


@functools.cache
def _trees() -> list[tuple[str, ast.Module]]:
    """Every module of the source: its path below the package, and its tree."""
    return [
        (path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(SOURCE.rglob("*.py"))
    ]


def _constants(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes) and node.value.isascii():
                yield node.value.decode()


# -- catalogue classes and forms ---------------------------------------------------------------------------


def _forms(words: Words) -> str:
    parts = ["# Catalogue classes and forms\n\n## The ladder\n\nFrom most to least revealing:\n\n"]
    parts.append(_table(("form", "what is shown"), [(f"`{each}`", _form(words, each)) for each in Form]))
    for title, section, names in (
        ("protection", "protections", PROTECTIONS),
        ("identifiability", "identifiabilities", IDENTIFIABILITIES),
        ("kind", "kinds", sorted(KINDS)),
    ):
        rows = [(f"`{each}`", _cell(words.get(section, each))) for each in names]
        parts.append(f"\n## {title.capitalize()}\n\n" + _table((title, "meaning"), rows))
    with_pseudonyms = [label for label, data_type in _TYPES.items() if pseudonym_type_of(data_type)]
    parts.append(f"\n## What each kind shows\n\n{words.text('forms', types=', '.join(with_pseudonyms))}\n")
    shown = [row for kind in sorted(KINDS) for row in _kind_rows(words, kind)]
    parts.append(_table(("kind", "types", "masked", "generalised", "pseudonym"), shown))
    return "".join(parts)


def _form(words: Words, form: Form) -> str:
    later = " (acts as `hidden`: nothing answers in it yet)" if form in WITHOUT_ANSWER else ""
    return _cell(words.get("forms", form) + later)


def _kind_rows(words: Words, kind: str) -> Iterator[tuple[str, ...]]:
    """A row for each way in which some types of `kind` are shown; types that only hide share the last one."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for label, data_type in _TYPES.items():
        shown = [_shows(words, form, kind, data_type) for form in (Form.MASKED, Form.GENERALISED)]
        groups.setdefault(tuple(shown), []).append(label)
    hidden = groups.pop(("hidden", "hidden"), [])
    pseudonym = "never" if kind in UNPSEUDONYMISED else "yes"
    for cells, types in groups.items():
        yield f"`{kind}`", ", ".join(types), *cells, pseudonym
    if hidden:
        yield f"`{kind}`", "other types" if groups else "every type", "hidden", "hidden", pseudonym


def _shows(words: Words, form: Form, kind: str, data_type: str) -> str:
    how = rendering(form, kind, data_type)
    if how.form is Form.HIDDEN:
        return "hidden"
    if how.form is not form:
        return f"as {how.form}"
    name = re.sub(r"_v[0-9]+$", "", how.function)
    return _cell(words.get("functions", name if words.has("functions", name) else name.rpartition("_")[0]))


# -- Markdown ----------------------------------------------------------------------------------------------


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in sorted(names))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(each)} |\n".replace("|  |", "| |") for each in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or with `--check` compare them; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ringfort.cli.reference", description="Make docs/reference."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a page differs")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pages lie")
    options = parser.parse_args(arguments)
    try:
        made = pages()
    except RingfortError as error:
        return command_line.report(error)
    different = [name for name, text in made.items() if _read(options.folder / name) != text]
    if options.check:
        for name in different:
            sys.stderr.write(f"error: docs/reference/{name} differs from the code\n")
        if different:
            sys.stderr.write("hint: run `python -m ringfort.cli.reference`\n")
        return 1 if different else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in different:
        (options.folder / name).write_text(made[name], encoding="utf-8")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
