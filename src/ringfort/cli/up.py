"""`ringfort up`: start everything, say where to connect, stop cleanly on SIGINT or SIGTERM."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from ringfort.gateway.supervisor import Supervisor

_EPILOG = """\
Examples:

    ringfort up ./shop
    ringfort up ./shop --ready-file /run/shop.json
"""


def command(
    folder: Path = typer.Argument(
        ..., metavar="DIR", help="The deployment folder that `ringfort init` made."
    ),
    ready_file: Path | None = typer.Option(
        None, "--ready-file", metavar="PATH", help="Write a JSON file there once clients can connect."
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print nothing but errors."),
) -> None:
    """Start the sites, the ledger and the gateway of DIR, and keep them up.

    Stops cleanly on Ctrl-C or SIGTERM. What each process has to say is in DIR/state/log.
    """
    console = Console(stderr=True, quiet=quiet)
    supervisor = Supervisor(folder, say=lambda text: console.print(text, highlight=False))
    ready = False
    with supervisor.interruptible():
        supervisor.start()
        ready = True
        if ready_file is not None:
            supervisor.write_ready_file(ready_file)
        if not quiet:
            typer.echo(supervisor.describe())
        supervisor.wait()
    if not ready:
        raise KeyboardInterrupt  # it was stopped before it served
    if not quiet:
        console.print("stopped")


command.__doc__ = f"{command.__doc__}\n\n{_EPILOG}"
