"""`ringfort policy`: check the policies of a folder, explain a decision, put the folder into force."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ringfort.catalog.identifiers import remarks as identifier_remarks
from ringfort.config import Config, load_config
from ringfort.disclosure.served import as_served
from ringfort.errors import RingfortError, UsageError
from ringfort.gateway.activation import Folder, activate, load_folder, read_folder
from ringfort.gateway.catalogue_live import LiveCheck, check_live
from ringfort.policy.bundle import ANY_PURPOSE
from ringfort.policy.decide import AccessRequest, Principal, ViewerSource, decide
from ringfort.policy.explain import Explanation, as_text, explain, joined_by_position
from ringfort.policy.request import HeldGrant
from ringfort.policy.vocabulary import UNPROVEN_COUNTRY, country_code, entity_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringfort.errors import ConfigurationError
    from ringfort.policy.tests_file import PolicyTestResult

app = typer.Typer(help="Check, explain and apply the policies of a folder.", no_args_is_help=True)

_DIR = typer.Argument(..., metavar="DIR", help="The deployment folder that `ringfort init` made.")
_OFFLINE = typer.Option(False, "--offline", help="Do not look at the databases.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")
_COLOURS = {
    "raw": "bold red",
    "masked": "yellow",
    "generalised": "cyan",
    "pseudonym": "green",
    "hidden": "dim",
}


@app.command("check")
def check(folder: Path = _DIR, offline: bool = _OFFLINE, as_json: bool = _JSON) -> None:
    """Validate policies and catalogue together and run policy/tests.toml.

    The catalogue is held against the databases that can be reached: tables, columns, types, names of views.

    Exit code 0 if all is well, 1 if a test fails, 2 if a file is invalid.

    Example: ringfort policy check ./shop
    """
    loaded = read_folder(load_config(folder))
    live = _live(loaded, offline=offline)
    problems = (*loaded.problems, *live.errors(loaded.config.folder / "catalog.toml"))
    results = () if loaded.problems else loaded.run_tests()
    failed = [each for each in results if not each.passed]
    if as_json:
        document = _check_json(loaded, results, problems, live)
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        for problem in problems:
            _report(problem)
        for each in failed:
            typer.echo(_failure(loaded, each))
        if not loaded.problems:
            typer.echo(_summary(loaded, results))
        for note in live.notes:
            _note(note)
    if problems or failed:
        raise typer.Exit(2 if problems else 1)


@app.command("explain")
def explain_command(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _DIR,
    name: str = typer.Option("", "--as", metavar="NAME", help="A registered principal."),
    purpose: str = typer.Option("", "--purpose", metavar="P", help="The purpose it states."),
    ticket: str = typer.Option("", "--ticket", metavar="T", help="The ticket it states."),
    seen_from: str | None = typer.Option(
        None, "--from", metavar="COUNTRY", help="Where it sits, such as US; left out: where it is registered."
    ),
    table: str = typer.Option("", "--table", metavar="T", help="Only this table."),
    database: str = typer.Option("", "--database", metavar="D", help="Which database, if there are several."),
    role: str = typer.Option("", "--role", metavar="R", help="What if its role were this."),
    country: str = typer.Option("", "--country", metavar="CC", help="What if it were registered there."),
    employer: str = typer.Option("", "--employer", metavar="E", help="What if this were its employer."),
    grant: list[str] = typer.Option(
        [], "--grant", metavar="G", help="What if a grant for this purpose and the ticket were in force."
    ),
    as_json: bool = _JSON,
) -> None:
    """Show in which form a principal sees each column, and which policies decided.

    With --role and --country no principal needs to be registered.

    Example: ringfort policy explain ./shop --as us_analyst --table customers
    """
    loaded = read_folder(load_config(folder))
    compiled = loaded.ready()
    purposes = compiled.settings.purposes
    stated, purpose = purpose, purposes.admitted(purpose) or ""
    if stated and not purpose:
        near = ", ".join(f"`{each}`" for each in purposes.nearest(stated)[:5])
        raise UsageError(
            f"purpose `{stated}` is not one of those in policy/policy.toml",
            hint=f"listed are {near}" if near else "none is listed",
        )
    principal, in_force = _principal(loaded.config, name, role, country, employer)
    viewer = [ViewerSource("registration", principal.country)]
    if seen_from is not None:
        if seen_from and country_code(seen_from) != seen_from:
            raise UsageError(f"`{seen_from}` is not an ISO 3166-1 alpha-2 code", hint="for example IE")
        viewer.append(ViewerSource("network zone", seen_from))
    database = _database(loaded, database)
    site = loaded.config.site_of(database)
    datasets = tuple(sorted(entity_name(each.name) for each in loaded.catalogue.datasets))
    request = AccessRequest(
        principal=principal,
        purpose=purpose,
        ticket=ticket,
        viewer=tuple(viewer),
        site=site.name if site else "",
        site_country=site.country if site else UNPROVEN_COUNTRY,
        database=database,
        granted=frozenset(grant),
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        grants=tuple(HeldGrant("what-if", "view", each, ticket, datasets, "") for each in sorted(set(grant))),
    )
    decision = decide(compiled, loaded.catalogue, loaded.config.region.countries, request)
    served = as_served(decision, loaded.catalogue)
    rows = explain(served, loaded.catalogue, table)
    joined = joined_by_position(served, compiled.settings.accept_stored_order)
    applied = not in_force or in_force == (compiled.digest, loaded.catalogue.digest())
    if as_json:
        document = {
            "request": request.to_json(),
            "policy": compiled.digest,
            "catalogue": loaded.catalogue.digest(),
            "evaluator": compiled.evaluator,
            "in_force": applied if in_force else None,
            "joined_by_position": list(joined),
            "columns": [each.to_json() for each in rows],
        }
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    if purposes.listed is None:
        _note(ANY_PURPOSE)
    if not applied:
        _note("this is what the files in DIR say, which is not in force: see `ringfort policy apply`")
    for dataset in joined:
        _note(
            f"the policy lets the rows of dataset `{dataset}` come as they are stored: recipients can be"
            " joined by position, row by row, whatever their pseudonyms"
        )
    _print_rows(rows)


@app.command("apply")
def apply(folder: Path = _DIR, offline: bool = _OFFLINE, as_json: bool = _JSON) -> None:
    """Put the folder's policies, catalogue and network zones into force, if they validate and pass.

    What does not fit the databases that can be reached is refused, as by `ringfort policy check`.

    Works whether the gateway is up or not. Open sessions whose view would change are ended.

    Example: ringfort policy apply ./shop
    """
    from ringfort.record.client import open_ledger  # noqa: PLC0415 - checking needs no ledger

    config = load_config(folder)
    loaded = load_folder(config)
    live = _live(loaded, offline=offline)
    errors = live.errors(config.folder / "catalog.toml")
    for each in errors[:-1]:
        _report(each)
    if errors:
        raise errors[-1]
    for note in live.notes:
        _note(note)
    with open_ledger(config.folder) as ledger:
        activated = activate(config, ledger)
        size = ledger.state.size
    for warning in activated.warnings:
        _note(warning)
    if as_json:
        typer.echo(json.dumps({"changes": activated.changes, "control_size": size}, indent=2))
    else:
        typer.echo("\n".join(activated.changes) or "everything that DIR says is in force already")


def _live(loaded: Folder, *, offline: bool) -> LiveCheck:
    if offline:
        return LiveCheck((), ())
    return check_live(loaded.config, loaded.catalogue)


def _principal(
    config: Config, name: str, role: str, country: str, employer: str
) -> tuple[Principal, tuple[str, str] | None]:
    """The principal asked about, and the policy and catalogue in force if the ledger was looked at."""
    if country and country_code(country) != country:
        raise UsageError(f"`{country}` is not an ISO 3166-1 alpha-2 code", hint="for example IE")
    if role and country:
        return Principal(name or "somebody", country, employer, role), None
    if not name:
        raise UsageError(
            "nobody to explain for", hint="name a principal with --as, or give --role and --country"
        )
    from ringfort.record.reading import read_ledger  # noqa: PLC0415 - a what-if needs none

    state = read_ledger(config.folder).state
    known = state.principals.get(name)
    if known is None:
        names = ", ".join(f"`{each}`" for each in sorted(state.principals)[:10]) or "none"
        raise UsageError(
            f"no principal `{name}` is registered",
            hint=f"registered: {names}; or give --role and --country",
        )
    principal = Principal(name, country or known.country, employer or known.employer, role or known.role)
    return principal, (state.policy, state.catalogue)


def _database(loaded: Folder, database: str) -> str:
    known = list(dict.fromkeys(each.database for each in loaded.catalogue.datasets))
    if database and database not in known:
        names = ", ".join(f"`{each}`" for each in known) or "none"
        raise UsageError(f"the catalogue has no database `{database}`", hint=f"catalogued: {names}")
    if database:
        return database
    if len(known) != 1:
        names = ", ".join(f"`{each}`" for each in known)
        raise UsageError(
            "the catalogue has several databases" if known else "the catalogue is empty",
            hint=f"choose one with --database: {names}" if known else "describe tables in catalog.toml",
        )
    return known[0]


def _print_rows(rows: Sequence[Explanation]) -> None:
    if not sys.stdout.isatty():
        typer.echo(as_text(rows))
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for each in rows:
        form = str(each.disclosure.form)
        grid.add_row(Text(each.label), Text(form, style=_COLOURS.get(form, "")), Text(each.disclosure.reason))
    Console().print(grid)


def _failure(loaded: Folder, result: PolicyTestResult) -> str:
    test, got = result.test, result.got
    where = f"{loaded.bundle.path_of('tests.toml')}:{test.line}"
    because = f" because of {test.because}" if test.because else ""
    return (
        f"FAIL {where}: {test.name}\n"
        f"     expected {test.expect}{because}\n"
        f"     got      {got.form}: {got.reason}"
    )


def _summary(loaded: Folder, results: Sequence[PolicyTestResult]) -> str:
    compiled = loaded.ready()
    columns = [
        column
        for dataset in loaded.catalogue.datasets
        for table in dataset.tables
        for column in table.columns
    ]
    open_questions = sum(not each.classified for each in columns)
    files = len({each.source.file for each in compiled.policies})
    passed, catalogue = sum(each.passed for each in results), loaded.catalogue.digest()
    lines = [
        f"policies   {len(compiled.policies)} in {files} files, valid ({compiled.digest[:12]})",
        f"catalogue  {len(columns)} columns, {open_questions} unclassified ({catalogue[:12]})",
        f"tests      {passed} of {len(results)} pass",
    ]
    listed = compiled.settings.purposes.listed
    lines.insert(1, "purposes   " + ("any" if listed is None else ", ".join(sorted(listed)) or "none"))
    if open_questions:
        lines.append("note: an unclassified column is hidden from everybody: classify it in catalog.toml")
    lines += [f"note: {each}" for each in (*identifier_remarks(loaded.catalogue), *compiled.remarks())]
    return "\n".join(lines)


def _check_json(
    loaded: Folder,
    results: Sequence[PolicyTestResult],
    problems: Sequence[ConfigurationError],
    live: LiveCheck,
) -> dict[str, Any]:
    return {
        "ok": not problems and all(each.passed for each in results),
        "policy": loaded.bundle.digest,
        "catalogue": loaded.catalogue.digest(),
        "problems": [
            {
                "path": str(each.path) if each.path else None,
                "line": each.line,
                "message": each.message,
                "hint": each.hint,
            }
            for each in problems
        ],
        "notes": [
            *identifier_remarks(loaded.catalogue),
            *(loaded.compiled.remarks() if loaded.compiled else ()),
            *live.notes,
        ],
        "tests": [
            {
                "name": each.test.name,
                "line": each.test.line,
                "passed": each.passed,
                "expected": str(each.test.expect),
                "got": str(each.got.form),
                "policies": list(each.got.policies),
                "reason": each.got.reason,
            }
            for each in results
        ],
    }


def _report(error: RingfortError) -> None:
    typer.echo(f"error: {error.message}", err=True)
    if error.hint:
        typer.echo(f"hint: {error.hint}", err=True)


def _note(text: str) -> None:
    typer.echo(f"note: {text}", err=True)
