"""What commands that cannot be undone share: who acts, on which approved request, and their leave.

A command that the provisioner carries out sends it who acts and the password. What is done in this process,
with the deployment down or because no process holds it, is decided here by the same rule
(`gateway.irreversible`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from ringfort.gateway.granting import Desk, proven
from ringfort.gateway.irreversible import Act, leave_for

if TYPE_CHECKING:
    from ringfort.config import Config
    from ringfort.record.client import SyncLedger
    from ringfort.sites.domains import Leave

AS = typer.Option(
    ..., "--as", metavar="NAME", help="Who acts: a registered principal, whose password is asked."
)
STDIN = typer.Option(False, "--password-stdin", help="Read the password from standard input, one line.")
REASON = typer.Option("", "--reason", metavar="TEXT", help="Why, in a line that names no person.")


def grant_option(kind: str) -> str:
    """The option that names the approved request."""
    found: str = typer.Option(
        ...,
        "--grant",
        metavar="GRANT",
        help=f"Your request that somebody else approved (`ringfort request --{kind}`).",
    )
    return found


def leave(config: Config, ledger: SyncLedger, act: Act, password: str) -> Leave:
    """Leave for an act, for whoever proves to be its principal; raises `NotPermittedError`."""
    proven(config.folder / "secrets", ledger.state, act.principal, password)
    desk = Desk(ledger, config.region.countries)
    now = datetime.now(UTC)
    return leave_for(ledger.state, desk.policy, desk.catalogue, config.region.countries, act, now)


__all__ = ["AS", "REASON", "STDIN", "grant_option", "leave"]
