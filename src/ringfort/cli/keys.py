"""`ringfort keys`: what wraps the secrets of pseudonyms, and moving them to another key-encryption key."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from ringfort.config import load_config
from ringfort.record.client import open_ledger
from ringfort.sites.custody import Custody, CustodySettings

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
        typer.echo(json.dumps({"store": config.keys.store, "secrets": secrets}, indent=2))
        return
    typer.echo(f"store  {config.keys.store}")
    for each in found:
        typer.echo(f"{each.name}  {each.kek or 'plain: run `ringfort keys rewrap`'}")


@app.command("rewrap")
def rewrap(folder: Path = _FOLDER, as_json: bool = _JSON) -> None:
    """Wrap every secret with the key of the configured store, which is made if there is none.

    For a move from a file to a token or back: set [keys] in ringfort.toml, run this, restart `ringfort up`.
    A secret that is wrapped so already stays as it is; interrupted, it goes on where it was. Secrets keep
    their values, and pseudonyms stay the same. Backups hold what the old key wrapped: destroy the old key.

    Example: ringfort keys rewrap ./shop
    """
    config = load_config(folder)
    custody = Custody(CustodySettings.of(config))
    with open_ledger(config.folder):  # a second command waits
        made = custody.make_current()
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
