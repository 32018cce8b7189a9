"""`ringfort domain`: pseudonymisation domains, their epochs, rotation and crypto-erasure.

While the deployment is up the provisioner does it, which holds the secrets and the databases; else this
process does, under the ledger's lock, and the databases follow at the next `ringfort up`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ringfort.cli.acting import AS, REASON, STDIN, grant_option, leave
from ringfort.cli.password import ask_password
from ringfort.config import load_config
from ringfort.errors import CheckFailedError, UsageError
from ringfort.gateway.ipc import IpcClient, IpcLostError, RemoteError
from ringfort.gateway.irreversible import ERASE, ROTATE, Act
from ringfort.ledger.domains import IN_FORCE
from ringfort.paths import sockets_folder
from ringfort.policy.bundle import purposes_of
from ringfort.policy.settings import Purposes
from ringfort.privacy.epoch_keys import NEWEST
from ringfort.privacy.stated_text import stated
from ringfort.record.client import open_ledger
from ringfort.record.reading import read_ledger
from ringfort.sites.domains import DomainStore, to_erase
from ringfort.system import operator_name

if TYPE_CHECKING:
    from ringfort.config import Config
    from ringfort.ledger.domains import Epoch, PseudonymisationDomain

SECONDS = 600.0

app = typer.Typer(no_args_is_help=True, help="Pseudonymisation domains: list, rotate, erase.")

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_RECIPIENT = typer.Option(..., "--recipient", metavar="NAME", help="The legal entity that receives.")
_PURPOSE = typer.Option(..., "--purpose", metavar="P", help="The purpose.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


@app.command("list")
def list_domains(folder: Path = _FOLDER, as_json: bool = _JSON) -> None:
    """List the domains with every epoch that there was, and what became of it.

    A domain is retired while the policy in force does not list its purpose: nothing is shown in it, and its
    mapping tables are gone. An epoch keeps the derivation of keys that it began with; a rotation begins one
    of the newest.

    Example: ringfort domain list ./shop
    """
    reading = read_ledger(folder)
    state = reading.state
    listed = Purposes() if not state.policy else purposes_of(reading.get_blob(state.policy))
    known = sorted(state.pseudonymisation.values(), key=lambda each: (each.recipient, each.purpose))
    if as_json:
        typer.echo(
            json.dumps({"domains": [_json(each, listed) for each in known]}, ensure_ascii=False, indent=2)
        )
        return
    for each in known:
        retired = (
            "" if listed.holds(each.purpose) else "  retired: the policy in force does not list the purpose"
        )
        typer.echo(f"{each.recipient}  {each.purpose}{retired}")
        for epoch in each.epochs:
            ended = f", {epoch.status} {epoch.ended[:19]}Z" if epoch.ended else f", {epoch.status}"
            derivation = f", derivation {epoch.derivation}"
            if epoch.status == IN_FORCE and epoch.derivation != NEWEST:
                derivation += f": `ringfort domain rotate` begins one of derivation {NEWEST}"
            opened = f"opened {epoch.opened[:19]}Z"
            typer.echo(f"  epoch {epoch.number}  {epoch.id}  {opened}{ended}{derivation}")
    if not known:
        typer.echo("there is no domain; the first session that shows pseudonyms opens one")


@app.command("rotate")
def rotate(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    recipient: str = _RECIPIENT,
    purpose: str = _PURPOSE,
    who: str = AS,
    grant: str = grant_option("rotate"),
    reason: str = REASON,
    password_stdin: bool = STDIN,
    as_json: bool = _JSON,
) -> None:
    """Begin a new epoch: everybody's pseudonyms in this domain change.

    The mapping tables of the new epoch are filled first; then it comes into force, sessions that show
    pseudonyms of the domain end, and the old epoch's tables and profiles are dropped. Its secret is kept,
    for `ringfort pseudonym resolve` and `bridge`, until it is erased.

    It takes an approved request (`ringfort request --rotate`) and is put on record with who did it.

    Example: ringfort domain rotate ./shop --recipient "ACME Inc" --purpose product-analytics --as olga
    --grant g-1a2b3c4d
    """
    config = load_config(folder)
    act = Act(ROTATE, who, grant, operator_name(), stated(reason), recipient, purpose)
    password = ask_password(who, stdin=password_stdin)
    answer = ask_provisioner(config, "domain-rotate", **_asked(act, password))
    if answer is None:
        with open_ledger(config.folder) as ledger:
            given = leave(config, ledger, act, password)
            domain = DomainStore.of(config).rotate(ledger, recipient, purpose, given)
        answer = {"epoch": domain.epoch}
    if as_json:
        typer.echo(json.dumps({"recipient": recipient, "purpose": purpose, "epoch": answer["epoch"]}))
    else:
        typer.echo(f"epoch {answer['epoch']} is in force; the one before is retired, and its secret is kept")


@app.command("erase")
def erase(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    recipient: str = _RECIPIENT,
    purpose: str = _PURPOSE,
    epoch: int = typer.Option(0, "--epoch", metavar="N", help="This epoch alone; else all that are left."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    who: str = AS,
    grant: str = grant_option("erase"),
    reason: str = REASON,
    password_stdin: bool = STDIN,
    as_json: bool = _JSON,
) -> None:
    """Destroy the secrets of a domain, so that its pseudonyms lead back to nobody, for good.

    What the recipient holds stays with it, as data without a way back. Older backups of `secrets/` hold the
    secret still, wrapped: destroy them, too. Sessions that show pseudonyms of the domain end; a later one
    opens a new epoch.

    It takes an approved request (`ringfort request --erase`) and is put on record with who did it.

    Example: ringfort domain erase ./shop --recipient "ACME Inc" --purpose product-analytics --epoch 1
    --as olga --grant g-1a2b3c4d
    """
    config = load_config(folder)
    act = Act(ERASE, who, grant, operator_name(), stated(reason), recipient, purpose, max(epoch, 0))
    if epoch < 0:
        raise UsageError("there is no epoch with a negative number")
    _, epochs = to_erase(read_ledger(folder).state, recipient, purpose, epoch)
    if not yes:
        _confirm(recipient, [each.number for each in epochs])
    password = ask_password(who, stdin=password_stdin)
    answer = ask_provisioner(config, "domain-erase", **_asked(act, password))
    if answer is None:
        with open_ledger(config.folder) as ledger:
            given = leave(config, ledger, act, password)
            done = DomainStore.of(config).erase(ledger, recipient, purpose, given, epoch)
        answer = {"epochs": [each.number for each in done], "dropped": False}
    if as_json:
        typer.echo(json.dumps({"recipient": recipient, "purpose": purpose, "erased": answer["epochs"]}))
        return
    numbers = ", ".join(map(str, answer["epochs"]))
    typer.echo(f"erased epoch {numbers}: no pseudonym of it can be made or led back any more")
    if not answer["dropped"]:
        typer.echo("what it left in the databases goes when they are up, and `ringfort up` runs")


def _asked(act: Act, password: str) -> dict[str, Any]:
    fields = {name: value for name, value in dataclasses.asdict(act).items() if name != "kind"}
    return {**fields, "password": password}


def ask_provisioner(config: Config, op: str, **fields: Any) -> dict[str, Any] | None:  # noqa: ANN401 - JSON
    """What the provisioner answers; None if the deployment is not up."""
    return asyncio.run(_ask(str(sockets_folder(config.folder) / "provisioner.sock"), op, fields))


async def _ask(path: str, op: str, fields: dict[str, Any]) -> dict[str, Any] | None:
    client = IpcClient(path, timeout=SECONDS)
    try:
        return await client.request(op, **fields)
    except IpcLostError:
        if client.connected:
            raise CheckFailedError(
                "the provisioner went away before it answered",
                hint="look at the record whether it was done, and try again",
            ) from None
        return None
    except RemoteError as error:
        kind = UsageError if error.sqlstate == UsageError.default_sqlstate else CheckFailedError
        raise kind(error.message, hint=error.hint, sqlstate=error.sqlstate) from None
    finally:
        client.close()


def _confirm(recipient: str, epochs: list[int]) -> None:
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to confirm it", hint="run it with --yes")
    numbers = ", ".join(map(str, epochs))
    sys.stderr.write(f"This destroys epoch {numbers} of the domain for good. There is no way back.\n")
    if input("Type the recipient's name to go on: ") != recipient:
        raise UsageError("that is not the recipient's name", hint="nothing was erased")


def _json(domain: PseudonymisationDomain, listed: Purposes) -> dict[str, Any]:
    return {
        "recipient": domain.recipient,
        "purpose": domain.purpose,
        "retired": not listed.holds(domain.purpose),
        "epochs": [_epoch(each) for each in domain.epochs],
    }


def _epoch(epoch: Epoch) -> dict[str, Any]:
    return {
        "epoch": epoch.number,
        "domain": epoch.id,
        "status": epoch.status,
        "derivation": epoch.derivation,
        "opened": epoch.opened,
        "ended": epoch.ended or None,
    }


__all__ = ["app", "ask_provisioner"]
