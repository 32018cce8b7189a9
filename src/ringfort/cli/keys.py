"""`ringfort keys`: what wraps the secrets of pseudonyms, and moving them to another key-encryption key."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import typer

from ringfort.cli.acting import AS, REASON, STDIN, grant_option, leave
from ringfort.cli.password import ask_password
from ringfort.config import load_config
from ringfort.gateway.irreversible import REWRAP, Act
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_acts import KeysRewrapped
from ringfort.privacy.stated_text import stated
from ringfort.record.client import open_ledger
from ringfort.sites.custody import Custody, CustodySettings
from ringfort.system import operator_name

app = typer.Typer(no_args_is_help=True, help="Custody of the secrets of pseudonyms.")

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


@app.command("status")
def status(folder: Path = _FOLDER, as_json: bool = _JSON) -> None:
    """Show which store is configured, and with which key each secret is wrapped.

    Nothing is opened: it works without the token.

    Example: ringfort keys status ./shop
    """
    config = load_config(folder)
    found = Custody(CustodySettings.of(config)).status()
    if as_json:
        secrets = [{"name": each.name, "wrapped_with": each.kek or None} for each in found]
        typer.echo(json.dumps({"store": config.keys.store, "opened": False, "secrets": secrets}, indent=2))
        return
    typer.echo(f"store  {config.keys.store}")
    for each in found:
        typer.echo(f"{each.name}  {each.kek or 'plain: run `ringfort keys rewrap`'}")
    typer.echo("as the files say: nothing was opened, so whether a key opens its secret was not checked")


@app.command("rewrap")
def rewrap(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    who: str = AS,
    grant: str = grant_option("rewrap"),
    reason: str = REASON,
    password_stdin: bool = STDIN,
    as_json: bool = _JSON,
) -> None:
    """Wrap every secret with the key of the configured store, which is made if there is none.

    For a move from a file to a token or back: set [keys] in ringfort.toml, run this, restart `ringfort up`.
    A secret that is wrapped so already stays as it is; interrupted, it goes on where it was. Secrets keep
    their values, and pseudonyms stay the same. Backups hold what the old key wrapped: destroy the old key.

    It takes an approved request (`ringfort request --rewrap`) and is put on record with who did it, first.

    Example: ringfort keys rewrap ./shop --as olga --grant g-1a2b3c4d
    """
    config = load_config(folder)
    act = Act(REWRAP, who, grant, operator_name(), stated(reason))
    password = ask_password(who, stdin=password_stdin)
    custody = Custody(CustodySettings.of(config))
    with open_ledger(config.folder) as ledger:  # a second command waits
        given = leave(config, ledger, act, password)
        made = custody.make_current()
        entry = KeysRewrapped(
            time=format_time(datetime.now(UTC)), actor="command", kek=custody.current.id, **given.fields()
        )
        ledger.append([entry], condition=given.condition(), blobs=(given.input,))
        moved = custody.rewrap()
    if as_json:
        typer.echo(
            json.dumps(
                {"store": config.keys.store, "key_made": made, "key": custody.current.id, "wrapped": moved}
            )
        )
        return
    if made:
        typer.echo(f"made the key-encryption key {custody.current.id}")
    typer.echo(
        f"wrapped {len(moved)} secrets with {custody.current.id}" if moved else "nothing was to be done"
    )


__all__ = ["app"]
