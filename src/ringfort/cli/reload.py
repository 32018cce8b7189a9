"""`ringfort reload`: new workers with the settings as they are now, without dropping a session."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import typer

from ringfort.config import load_config
from ringfort.errors import CheckFailedError, MissingEnvironmentError
from ringfort.gateway.ipc import IpcClient, IpcLostError, RemoteError
from ringfort.gateway.supervisor import SUPERVISOR_SOCKET
from ringfort.paths import sockets_folder

RELOAD_SECONDS = 120.0

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


def command(folder: Path = _FOLDER, as_json: bool = _JSON) -> None:
    """Replace the workers of a gateway that is up, without dropping a session.

    New workers read ringfort.toml and the certificate, then take over; the old ones accept nothing more,
    finish their sessions and end. [limits] and most of [gateway] can be changed so; whatever concerns another
    process takes a restart, and is refused here with nothing changed. Policies, catalogue and zones are not
    reloaded: see `ringfort policy apply`.

    Example: ringfort reload ./shop
    """
    config = load_config(folder)
    answer = asyncio.run(_ask(str(sockets_folder(config.folder) / SUPERVISOR_SOCKET)))
    if as_json:
        typer.echo(json.dumps({key: answer[key] for key in ("workers", "finishing")}))
    else:
        typer.echo(
            f"{answer['workers']} new workers serve, {answer['finishing']} old ones finish their sessions"
        )


async def _ask(path: str) -> dict[str, Any]:
    client = IpcClient(path, timeout=RELOAD_SECONDS)
    try:
        return await client.request("reload")
    except IpcLostError:
        raise MissingEnvironmentError(
            "the deployment is not up", hint="start it with `ringfort up` first"
        ) from None
    except RemoteError as error:
        raise CheckFailedError(error.message, hint=error.hint, sqlstate=error.sqlstate) from None
    finally:
        client.close()
