"""`ringfort sessions`: who is connected through the gateway, and ending a session.

The list is asked of each worker over its private socket. A kill is an entry of the control log,
`SessionKilled`: first it is on record, then the worker that has the session hears of it and cuts it off. So a
kill reaches a session wherever it is, and nobody is cut off without a name and a reason on record.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from ringfort.config import load_config
from ringfort.errors import CheckFailedError, MissingEnvironmentError, UsageError
from ringfort.gateway.workers import ask_workers
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import SessionKilled
from ringfort.paths import sockets_folder
from ringfort.privacy.stated_text import stated
from ringfort.record.client import open_ledger
from ringfort.system import operator_name

ACTOR = "operator"
_SHOWN = ("session", "principal", "state", "opened", "statements", "rows", "purpose", "ticket", "address")

app = typer.Typer(no_args_is_help=True, help="List and end the open sessions of a deployment that is up.")

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_SESSION = typer.Argument(
    "", metavar="SESSION", help="The session's id, as `ringfort sessions list` shows it."
)
_PRINCIPAL = typer.Option("", "--principal", metavar="NAME", help="Every session of this principal.")
_REASON = typer.Option("", "--reason", metavar="TEXT", help="Why; kept on record for good.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


@app.command("list")
def list_sessions(folder: Path = _FOLDER, principal: str = _PRINCIPAL, as_json: bool = _JSON) -> None:
    """List the open sessions of all workers.

    Example: ringfort sessions list ./shop
    """
    found = [each for each in open_sessions(folder) if principal in {"", each["principal"]}]
    if as_json:
        typer.echo(json.dumps({"sessions": found}, indent=2))
        return
    table = Table(*_SHOWN, box=None, pad_edge=False)
    for each in found:
        table.add_row(*(str(each.get(name, "")) for name in _SHOWN))
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    console.print(table if found else "no session is open", highlight=False)


@app.command("kill")
def kill(
    folder: Path = _FOLDER,
    session: str = _SESSION,
    principal: str = _PRINCIPAL,
    reason: str = _REASON,
    as_json: bool = _JSON,
) -> None:
    """End a session, or every session of a principal, now.

    It is put on record with your name and the reason, then the session is cut off, in the middle of a
    result too. The principal may connect again: to keep somebody out, use `ringfort principal remove`. Exit
    code 1 if there is no such session.

    Example: ringfort sessions kill ./shop 4be59f725ba46edef971e160 --reason "left the building"

    Example: ringfort sessions kill ./shop --principal wei
    """
    if bool(session) == bool(principal):
        raise UsageError("name a session or a principal", hint="see `ringfort sessions list`")
    reason = stated(reason)
    killed = [
        each["session"]
        for each in open_sessions(folder)
        if each["session"] == session or (principal and each["principal"] == principal)
    ]
    if killed:
        with open_ledger(folder) as ledger:
            now = format_time(datetime.now(UTC))
            ledger.append(
                [
                    SessionKilled(time=now, actor=ACTOR, session=each, by=operator_name(), reason=reason)
                    for each in killed
                ]
            )
    elif session:
        raise CheckFailedError(f"no session `{session}` is open", hint="see `ringfort sessions list`")
    if as_json:
        typer.echo(json.dumps({"killed": killed}))
    else:
        typer.echo("\n".join(f"killed {each}" for each in killed) or f"`{principal}` has no open session")


def open_sessions(folder: Path) -> list[dict[str, Any]]:
    """Every open session of every worker, oldest first; raises `MissingEnvironmentError` if it is not up."""
    config = load_config(folder)
    answers = asyncio.run(ask_workers(str(sockets_folder(config.folder)), "sessions"))
    if not answers:
        raise MissingEnvironmentError(
            f"`{config.folder}` is not up", hint="start it with `ringfort up` first"
        )
    silent = sum("silent" in answer for answer in answers)
    if silent:
        sys.stderr.write(
            f"warning: {silent} of {len(answers)} workers did not answer; theirs are missing here\n"
        )
    found = [
        {**each, "worker": answer["worker"]} for answer in answers for each in answer.get("sessions", ())
    ]
    return sorted(found, key=lambda each: (each["opened"], each["session"]))


__all__ = ["app", "open_sessions"]
