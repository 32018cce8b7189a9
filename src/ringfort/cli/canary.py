"""`ringfort canary`: made-up people who are planted only to be noticed where they should not be."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import typer

from ringfort.cli.acting import AS, REASON, STDIN, grant_option, leave
from ringfort.cli.password import ask_password
from ringfort.config import load_config
from ringfort.gateway.irreversible import CANARY, Act
from ringfort.ledger.acts import REMOVED
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_acts import CanaryMade, CanaryRemoved
from ringfort.privacy.stated_text import stated
from ringfort.record.client import open_ledger
from ringfort.sites.custody import CANARIES, Custody, CustodySettings
from ringfort.system import SystemRandomness, operator_name
from ringfort.transfer.canaries import Canary, canaries_of, keep, new_canary, read_canary

app = typer.Typer(
    no_args_is_help=True, help="Made-up people, planted to be noticed where they should not be."
)

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_ID = typer.Argument(..., metavar="ID", help="The canary, as `list` shows it.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


def _custody(folder: Path) -> Custody:
    return Custody(CustodySettings.of(load_config(folder)))


def _show(canary: Canary, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"id": canary.id, "subject": canary.subject or None, **canary.values}))
        return
    typer.echo(f"canary {canary.id}")
    for kind, value in canary.values.items():
        typer.echo(f"{kind:8}{value}")
    if canary.subject:
        typer.echo(f"subject {canary.subject}")


@app.command("new")
def new(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    domain: str = typer.Option(
        "example.org", "--domain", help="Of the e-mail address; best one of yours that takes no mail."
    ),
    subject: str = typer.Option(
        "", "--subject", help="The key of the row that you plant in the data subject's table."
    ),
    note: str = typer.Option("", "--note", help="Where you plant it; for `list`."),
    who: str = AS,
    grant: str = grant_option("canary"),
    reason: str = REASON,
    password_stdin: bool = STDIN,
    as_json: bool = _JSON,
) -> None:
    """Make a canary and print its name, e-mail address and code, which nobody has.

    Plant them where people stand: as a row, in documents, in notes. Every transfer that would let one of them
    out, in whatever writing, is stopped. With --subject the row's pseudonyms made for one recipient stop
    transfers to all others, and measures count how far the row stands out.

    It takes an approved request (`ringfort request --canary`), and is put on record with the canary's id and
    who made it, not with its values.

    Example: ringfort canary new ./shop --as olga --grant g-1a2b3c4d --subject 990017 --note "in customers"
    """
    config, custody = load_config(folder), _custody(folder)
    act, note = Act(CANARY, who, grant, operator_name(), stated(reason)), stated(note, "note")
    password = ask_password(who, stdin=password_stdin)
    with open_ledger(config.folder) as ledger:  # one command at a time writes secrets
        given = leave(config, ledger, act, password)
        canary = new_canary(custody, SystemRandomness(), _now(), domain, subject, note)
        entry = CanaryMade(time=canary.made, actor="command", canary=canary.id, **given.fields())
        ledger.append([entry], condition=given.condition(f"canary:{canary.id}"), blobs=(given.input,))
        keep(custody, canary)
    _show(canary, as_json)


@app.command("list")
def list_(folder: Path = _FOLDER, as_json: bool = _JSON) -> None:
    """List the canaries: id, when made, note. Their values are shown by `show` alone.

    Example: ringfort canary list ./shop
    """
    found = canaries_of(_custody(folder))
    if as_json:
        listed = [{"id": each.id, "made": each.made, "note": each.note} for each in found]
        typer.echo(json.dumps({"canaries": listed}, indent=2))
        return
    for each in found:
        typer.echo(f"{each.id}  {each.made}  {each.note}".rstrip())
    if not found:
        typer.echo("there are no canaries")


@app.command("show")
def show(folder: Path = _FOLDER, name: str = _ID, as_json: bool = _JSON) -> None:
    """Show a canary's values. They are secrets: whoever knows them can filter them out.

    Example: ringfort canary show ./shop 5f0c9a1be2d4
    """
    _show(read_canary(_custody(folder), name), as_json)


@app.command("remove")
def remove(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    name: str = _ID,
    who: str = AS,
    grant: str = grant_option("canary"),
    reason: str = REASON,
    password_stdin: bool = STDIN,
) -> None:
    """Forget a canary: from here on nothing looks for it. Take what was planted away first.

    It takes an approved request (`ringfort request --canary`) and is put on record with who did it, first.

    Example: ringfort canary remove ./shop 5f0c9a1be2d4 --as olga --grant g-1a2b3c4d
    """
    config, custody = load_config(folder), _custody(folder)
    act = Act(CANARY, who, grant, operator_name(), stated(reason))
    password = ask_password(who, stdin=password_stdin)
    with open_ledger(config.folder) as ledger:
        given = leave(config, ledger, act, password)
        canary = read_canary(custody, name)
        if ledger.state.canaries.get(canary.id) != REMOVED:  # else one that was cut off goes on
            entry = CanaryRemoved(time=_now(), actor="command", canary=canary.id, **given.fields())
            ledger.append([entry], condition=given.condition(f"canary:{canary.id}"), blobs=(given.input,))
        custody.destroy(f"{CANARIES}/{canary.id}.key")
    typer.echo(f"removed {canary.id}")


def _now() -> str:
    return format_time(datetime.now(UTC))


__all__ = ["app"]
