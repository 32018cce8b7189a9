"""`ringfort pseudonym prepare`: the pseudonyms of what somebody would see, made before they ask.

The provisioner makes and fills; this process asks it, and looks on. To interrupt it ends the looking only.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from ringfort.cli.domain import ask_provisioner
from ringfort.cli.site import database_named
from ringfort.config import Config, load_config
from ringfort.errors import MissingEnvironmentError
from ringfort.gateway.serving import described_waits
from ringfort.privacy.stated_text import stated

LOOK_SECONDS = 0.5


def prepare(
    folder: Path = typer.Argument(..., metavar="DIR", help="The deployment folder."),
    principal: str = typer.Option(..., "--principal", metavar="NAME", help="The registered principal."),
    purpose: str = typer.Option(..., "--purpose", metavar="P", help="The purpose, as policy.toml lists it."),
    database: str = typer.Option("", "--database", metavar="D", help="Which database, if there are several."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document, once it is done."),
) -> None:
    """Make the pseudonyms that a principal would see for a purpose, before anybody asks.

    The provisioner makes the profile that policy gives the principal, as seen from the country of their
    registration, and fills its mapping tables; this command shows how far it is. Ctrl-C ends only the
    looking: the provisioner goes on, and the same command shows how far it is. The domain is opened if it
    was not. Exit code 1 if a table cannot be read at present: it is tried again.

    Example: ringfort pseudonym prepare ./shop --principal dana --purpose product-analytics
    """
    config = load_config(folder)
    name = database_named(config, database)
    purpose = stated(purpose, "purpose")  # it opens a domain, which is on record for good
    made = _ask(config, "prepare", database=name, principal=principal, purpose=purpose)
    found = _look_on(config, name, made["maps"], quiet=as_json)
    if as_json:
        shown = {"purpose": made["purpose"], "profile": made["profile"], "tables": made["tables"], **found}
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        columns = f"the pseudonyms of {found['ready']} of {found['columns']} columns are ready"
        typer.echo(f"{made['tables']} tables for {made['purpose'] or 'no purpose'}: {columns}")
        for line in described_waits(found["faults"], []):
            typer.echo(line)
    if found["faults"]:
        raise typer.Exit(1)


def _look_on(config: Config, database: str, maps: list[str], *, quiet: bool) -> dict[str, Any]:
    """Until every column has its pseudonyms or a fault; with a bar on standard error."""
    bar = Progress(
        TextColumn("pseudonyms"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[columns]}"),
        console=Console(stderr=True),
        disable=quiet,
    )
    with bar:
        task = bar.add_task("", total=100, columns="")
        while True:
            found = _ask(config, "prepared", database=database, maps=maps)
            columns = f"{found['ready']} of {found['columns']} columns"
            bar.update(task, completed=found["percent"], columns=columns)
            if not found["waiting"]:
                return found
            time.sleep(LOOK_SECONDS)


def _ask(config: Config, op: str, **fields: object) -> dict[str, Any]:
    answer = ask_provisioner(config, op, **fields)
    if answer is None:
        raise MissingEnvironmentError(
            f"`{config.folder}` is not up", hint="start it with `ringfort up` first"
        )
    return answer


__all__ = ["prepare"]
