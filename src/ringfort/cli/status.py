"""`ringfort status`: what runs, what is served and why not, and how many sessions there are."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import typer

from ringfort.config import load_config
from ringfort.errors import MissingEnvironmentError
from ringfort.gateway.ipc import IpcClient, IpcError
from ringfort.gateway.serving import described
from ringfort.gateway.supervisor import SUPERVISOR_SOCKET
from ringfort.gateway.workers import ask_workers
from ringfort.paths import Layout, sockets_folder
from ringfort.record.errors import RecordError
from ringfort.record.inspect import Lag, read_lag

STATUS_SECONDS = 30.0

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


def command(folder: Path = _FOLDER, as_json: bool = _JSON) -> None:
    """Show what runs in DIR, and which databases are served.

    Exit code 0 if every database is served, 1 if one is not, 3 if DIR is not up.

    Example: ringfort status ./shop
    """
    config = load_config(folder)
    status = asyncio.run(_ask(sockets_folder(config.folder)))
    lag = _lag(config.folder)
    if lag is not None:
        status["ledger"] = {
            "unpublished_entries": lag.entries,
            "seconds_since_checkpoint": lag.checkpoint_seconds,
        }
    if as_json:
        typer.echo(json.dumps(status, indent=2))
    else:
        typer.echo(f"gateway     {status['gateway']}")
        typer.echo(f"ledger      {status['ledger_url']}")
        typer.echo(f"            {_lag_words(lag)}")
        for each in status["processes"]:
            state = "runs" if each["running"] else "has ended"
            typer.echo(f"process     {each['name']} {state} ({each['process']})")
        for each in status["sites"]:
            state = "runs" if each["running"] else "has ended"
            typer.echo(f"site        {each['name']} {state}, its files are in {each['folder']}")
        for line in described(status["databases"]):
            typer.echo(line)
        typer.echo(f"sessions    {status['sessions']}")
        typer.echo(f"logs        {status['logs']}")
    if not all(each["served"] for each in status["databases"]):
        raise typer.Exit(1)


def _lag(folder: Path) -> Lag | None:
    """The ledger's lag; nothing if it cannot be read, which `ringfort ledger verify` explains."""
    try:
        return read_lag(Layout(folder).state / "ledger")
    except RecordError:
        return None


def _lag_words(lag: Lag | None) -> str:
    if lag is None:
        return "its journal cannot be read at present: see `ringfort ledger verify`"
    if lag.checkpoint_seconds is None:
        return f"{lag.entries} entries wait to be published, and none is yet"
    return f"{lag.entries} entries wait to be published; last checkpoint {lag.checkpoint_seconds} s ago"


async def _ask(runtime: Path) -> dict[str, Any]:
    client = IpcClient(str(runtime / SUPERVISOR_SOCKET), timeout=STATUS_SECONDS)
    try:
        status = await client.request("status")
    except IpcError:
        raise MissingEnvironmentError(
            "the deployment is not up", hint="start it with `ringfort up` first"
        ) from None
    finally:
        client.close()
    workers = await ask_workers(str(runtime), "sessions")
    return {**status, "sessions": sum(len(each.get("sessions", ())) for each in workers)}


__all__ = ["command"]
