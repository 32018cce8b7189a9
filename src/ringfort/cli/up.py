"""`ringfort up`: start everything, say where to connect, stop cleanly on SIGINT or SIGTERM."""

from __future__ import annotations

import logging
from enum import StrEnum
from pathlib import Path

import typer

from ringfort import logs
from ringfort.gateway.supervisor import Supervisor

LOG = logging.getLogger(__name__)


class LogFormat(StrEnum):
    """How log lines are written."""

    text = "text"
    json = "json"


def command(
    folder: Path = typer.Argument(
        ..., metavar="DIR", help="The deployment folder that `ringfort init` made."
    ),
    ready_file: Path | None = typer.Option(
        None,
        "--ready-file",
        metavar="PATH",
        help="Keep a JSON file there exactly while every database is served.",
    ),
    log_format: LogFormat | None = typer.Option(
        None, "--log-format", help="How log lines are written; else what `log.format` in ringfort.toml says."
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print nothing but errors."),
) -> None:
    """Start the sites, the ledger and the gateway of DIR, and keep them up.

    Stops cleanly on Ctrl-C or SIGTERM. What each process has to say goes to standard error and to DIR/logs,
    and `ringfort logs DIR` shows it.

    Example: ringfort up ./shop

    Example: ringfort up ./shop --ready-file /run/shop.json

    Example: ringfort up ./shop --log-format json
    """
    supervisor = Supervisor(
        folder, log_format=log_format.value if log_format else "", stderr="error" if quiet else "info"
    )
    logs.configure(supervisor.log_settings("supervisor"))
    ready = False
    with supervisor.interruptible():
        supervisor.start()
        ready = True
        supervisor.serve_ready_file(ready_file)
        if not quiet:
            typer.echo(supervisor.describe())
        supervisor.wait()
    if not ready:
        raise KeyboardInterrupt  # it was stopped before it served
    LOG.info("stopped", extra={"event": "process-stopped"})
