"""`ringfort site`: what profile roles can reach in a database, and binding the catalogue to it anew."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import typer

from ringfort.config import Config, load_config
from ringfort.errors import CheckFailedError, MissingEnvironmentError, UsageError
from ringfort.gateway.ipc import IpcClient, IpcLostError, IpcTimeoutError, RemoteError
from ringfort.gateway.serving import described_waits
from ringfort.paths import sockets_folder

AUDIT_SECONDS = 120.0

app = typer.Typer(no_args_is_help=True, help="Audit the databases of a deployment that is up.")

_TRANSFER_ROLES = {
    "dropped": "was left by a transfer that was killed: dropped",
    "live": "is used by a transfer that is running",
    "left": "was left by a transfer that was killed, and could not be dropped",
}
_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_DATABASE = typer.Option("", "--database", metavar="D", help="Which database, if there are several.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


@app.command("audit")
def audit(folder: Path = _FOLDER, database: str = _DATABASE, as_json: bool = _JSON) -> None:
    """List what a profile's role can reach, the SQL that takes a surplus away, and tables not readable.

    A database with a surplus is not served. On a server of your own nothing is changed, but that roles which
    killed transfers left are dropped: the SQL is for you to run. What PUBLIC may do in an embedded site's
    database beyond need is revoked at every audit, those of the gateway too. Exit code 1 if there is a
    surplus, 3 if the database could not be audited.

    Example: ringfort site audit ./crm
    """
    config = load_config(folder)
    name = database_named(config, database)
    answer = _call(config, "audit", name)
    if answer["state"] == "failed":
        raise MissingEnvironmentError(
            f"database `{name}` could not be audited: {answer['reason']}", hint=answer["hint"]
        )
    if as_json:
        shown = ("served", "findings", "hardening", "faults", "fills", "transfer_roles")
        typer.echo(json.dumps({key: answer[key] for key in shown}, indent=2))
    else:
        for severity, sort, grantee, thing, privilege, _ in answer["findings"]:
            typer.echo(f"{severity:9} {sort}: {grantee} has {privilege} on {thing}")
        typer.echo("served" if answer["served"] else f"not served: {answer['reason']}")
        for what, names in answer["transfer_roles"].items():
            for name in names:
                typer.echo(f"role {name}  {_TRANSFER_ROLES[what]}")
        for line in described_waits(answer["faults"], answer["fills"]):
            typer.echo(line)
        if answer["hardening"]:
            typer.echo("\n-- takes it away; read it before you run it as the owner:")
            for statement in answer["hardening"]:
                typer.echo(f"{statement.rstrip(';')};")
    if not answer["served"]:
        raise typer.Exit(1)


@app.command("rebind")
def rebind(folder: Path = _FOLDER, database: str = _DATABASE, as_json: bool = _JSON) -> None:
    """Say that the tables of the database are those that catalog.toml classifies, after you looked.

    Needed when a table was dropped and made again, or a database restored. Until then sessions are refused,
    since a name may have come to mean something else.

    Example: ringfort site rebind ./crm
    """
    config = load_config(folder)
    answer = _call(config, "rebind", database_named(config, database))
    if as_json:
        typer.echo(json.dumps({"relations": answer["relations"]}))
    else:
        typer.echo(f"bound the catalogue to {answer['relations']} relations")


def database_named(config: Config, name: str) -> str:
    """The database that a command is about: `name`, or the only one there is."""
    known = [each for site in config.sites for each in site.databases]
    if not name and len(known) == 1:
        return known[0]
    if name not in known:
        raise UsageError(
            f"there is no database `{name}`" if name else "there are several databases",
            hint="use --database with one of " + ", ".join(known),
        )
    return name


def _call(config: Config, operation: str, database: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        path = sockets_folder(config.folder) / "provisioner.sock"
        client = IpcClient(str(path), timeout=AUDIT_SECONDS)
        try:
            return await client.request(operation, database=database)
        finally:
            client.close()

    try:
        return asyncio.run(ask())
    except RemoteError as error:
        raise CheckFailedError(error.message, hint=error.hint, sqlstate=error.sqlstate) from None
    except IpcTimeoutError:
        raise MissingEnvironmentError(
            f"database `{database}` did not answer within {AUDIT_SECONDS:.0f} seconds",
            hint="see `ringfort logs DIR --process provisioner`",
        ) from None
    except IpcLostError:
        raise MissingEnvironmentError(
            f"`{config.folder}` is not up", hint="start it with `ringfort up` first"
        ) from None
