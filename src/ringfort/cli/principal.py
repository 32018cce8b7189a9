"""`ringfort principal`: who may come to the gate. Facts go to the ledger, verifiers to `secrets/scram`."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from ringfort.cli.password import read_line
from ringfort.config import load_config
from ringfort.errors import CheckFailedError, UsageError
from ringfort.gateway.authentication_certificate import MOST, credential
from ringfort.gateway.verifiers import PRINCIPAL_NAME, make_verifier
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import PrincipalRegistered, PrincipalRemoved
from ringfort.ledger.entry_control_credentials import CredentialRegistered, CredentialRemoved
from ringfort.ledger.entry_control_grants import PrincipalRegisteredUnder
from ringfort.ledger.folds import Condition
from ringfort.paths import private_folder
from ringfort.privacy.stated_text import stated
from ringfort.private_files import write_private
from ringfort.record.client import SyncLedger, open_ledger
from ringfort.record.reading import read_ledger
from ringfort.system import SystemRandomness

ROLES = ("support", "analyst", "engineer", "operator", "approver", "overseer")
_COUNTRY = re.compile(r"[A-Z]{2}")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_ACTOR = "operator"
ALONE_SECONDS = 30.0

app = typer.Typer(no_args_is_help=True, help="Register, list and remove who may connect.")

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_NAME = typer.Argument(..., metavar="NAME", help="What they connect as: letters, digits and _ . -")
_CERTIFICATE = typer.Option(
    "",
    help="A name in their client certificate: cn:NAME, san:dns:NAME, san:email:ADDRESS or san:uri:URI.",
)
_TOKEN = typer.Option("", help="What the token's claim that names principals holds for them.")
_STDIN = typer.Option(False, "--password-stdin", help="Read the password from standard input, one line.")


@app.command("add")
def add(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    name: str = _NAME,
    country: str = typer.Option(..., help="ISO 3166-1 alpha-2 code of where they work from, such as IE."),
    employer: str = typer.Option(..., help="The legal entity that employs them."),
    role: str = typer.Option(..., help=f"One of {', '.join(ROLES)}, or a role of your own policies."),
    manager: str = typer.Option(
        "", help="Who manages them: a registered principal. They then approve nothing for each other."
    ),
    password_stdin: bool = _STDIN,
    certificate: str = _CERTIFICATE,
    token: str = _TOKEN,
    no_password: bool = typer.Option(False, "--no-password", help="Give no password, only what is named."),
) -> None:
    """Register a principal. Without --password-stdin a password is made and printed once.

    Who has a token registered comes in with tokens, not with a password.

    Takes effect at once, also while the gateway is up.

    Example: ringfort principal add ./shop aoife --country IE --employer Shop --role support

    Example: pass show dana | ringfort principal add ./shop dana --country US --employer Shop --role analyst
    --password-stdin

    Example: ringfort principal add ./shop etl --country IE --employer Shop --role engineer --no-password
    --certificate san:dns:etl.shop.example
    """
    config = load_config(folder)
    _check_new_name(name)
    if not _COUNTRY.fullmatch(country):
        raise UsageError(f"`{country}` is not a country code", hint="use ISO 3166-1 alpha-2, such as IE")
    employer, role = stated(employer, "employer"), stated(role, "role")
    if not employer:
        raise UsageError("the employer is not a name", hint="give 1 to 200 printable characters")
    if not _ROLE.fullmatch(role):
        raise UsageError(f"`{role}` is not a role name", hint=f"shipped roles: {', '.join(ROLES)}")
    credentials = _credentials(name, certificate, token)
    if no_password and (password_stdin or not credentials):
        raise UsageError(
            "without a password the principal needs a certificate or a token",
            hint="give --certificate or --token, and no --password-stdin",
        )
    no_password = no_password or bool(token)
    password = read_line() if password_stdin else secrets.token_urlsafe(18)
    with _alone(config.folder), open_ledger(config.folder) as ledger:
        size = ledger.state.size
        if name in ledger.state.principals:
            raise UsageError(
                f"`{name}` is registered already",
                hint="`ringfort principal password` changes the password; remove first to change the facts",
            )
        if manager:
            _require(ledger, manager)
        _require_free(ledger, credentials)
        if not no_password:
            # the verifier first: by itself it opens nothing
            _write_verifier(config.folder, name, password)
        facts = {"name": name, "country": country, "employer": employer, "role": role}
        entry: PrincipalRegistered | PrincipalRegisteredUnder = (
            PrincipalRegisteredUnder(time=_now(), actor=_ACTOR, manager=manager, **facts)
            if manager
            else PrincipalRegistered(time=_now(), actor=_ACTOR, **facts)
        )
        people = (name, manager) if manager else (name,)
        keys = tuple(f"principal:{each}" for each in people)
        ledger.append([entry, *credentials], condition=Condition(keys, size))
    if role not in ROLES:
        _note(f"`{role}` is not a shipped role: only policies that name it permit it anything")
    typer.echo(f"registered {name} ({role}, {country})")
    if not password_stdin and not no_password:
        typer.echo(f"password {password}")


@app.command("credential")
def credential_command(
    folder: Path = _FOLDER,
    name: str = _NAME,
    certificate: str = _CERTIFICATE,
    token: str = _TOKEN,
    remove_method: str = typer.Option(
        "", "--remove", help="`certificate` or `token`: it opens nothing any more."
    ),
) -> None:
    """Register which certificate or token stands for a principal, or remove it. Open sessions end.

    Example: ringfort principal credential ./shop aoife --certificate san:email:aoife@shop.example

    Example: ringfort principal credential ./shop aoife --remove certificate
    """
    config = load_config(folder)
    _check_name(name)
    entries: list[CredentialRegistered | CredentialRemoved] = [*_credentials(name, certificate, token)]
    with _alone(config.folder), open_ledger(config.folder) as ledger:
        condition = Condition((f"principal:{name}",), ledger.state.size)
        _require(ledger, name)
        _require_free(ledger, entries)
        if remove_method:
            if (name, remove_method) not in ledger.state.credentials:
                raise UsageError(f"`{name}` has no `{remove_method}` registered", hint="see `principal list`")
            entries.append(CredentialRemoved(time=_now(), actor=_ACTOR, name=name, method=remove_method))
        if not entries:
            raise UsageError("nothing to register or remove", hint="give --certificate, --token or --remove")
        ledger.append(entries, condition=condition)
    typer.echo(f"changed the credentials of {name}")


@app.command("password")
def password(folder: Path = _FOLDER, name: str = _NAME, password_stdin: bool = _STDIN) -> None:
    """Give a principal another password. Open sessions go on; the old one opens no new session.

    Example: ringfort principal password ./shop aoife
    """
    config = load_config(folder)
    _check_name(name)
    fresh = read_line() if password_stdin else secrets.token_urlsafe(18)
    with _alone(config.folder), open_ledger(config.folder) as ledger:
        _require(ledger, name)
        _write_verifier(config.folder, name, fresh)
    typer.echo(f"changed the password of {name}")
    if not password_stdin:
        typer.echo(f"password {fresh}")


@app.command("remove")
def remove(folder: Path = _FOLDER, name: str = _NAME) -> None:
    """Remove a principal: open sessions end within a second, and no new one opens.

    Example: ringfort principal remove ./shop aoife
    """
    config = load_config(folder)
    _check_name(name)
    with _alone(config.folder), open_ledger(config.folder) as ledger:
        condition = Condition((f"principal:{name}",), ledger.state.size)
        _require(ledger, name)
        ledger.append([PrincipalRemoved(time=_now(), actor=_ACTOR, name=name)], condition=condition)
        (config.folder / "secrets" / "scram" / f"{name}.json").unlink(missing_ok=True)
    typer.echo(f"removed {name}")


@app.command("list")
def list_principals(
    folder: Path = _FOLDER, as_json: bool = typer.Option(False, "--json", help="Print one JSON document.")
) -> None:
    """List who is registered, from the ledger.

    Example: ringfort principal list ./shop --json
    """
    state = read_ledger(folder).state
    credentials = dict(state.credentials)
    found = sorted(state.principals.values(), key=lambda each: each.name)
    rows = [
        {
            "name": each.name,
            "country": each.country,
            "employer": each.employer,
            "role": each.role,
            "manager": each.manager,
            "certificate": credentials.get((each.name, "certificate"), ""),
            "token": credentials.get((each.name, "token"), ""),
        }
        for each in found
    ]
    if as_json:
        typer.echo(json.dumps({"principals": rows}, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "role", "country", "employer", "manager"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(row["name"], row["role"], row["country"], row["employer"], row["manager"])
    Console().print(table if rows else "nobody is registered; `ringfort principal add` does it")


def register(ledger: SyncLedger, folder: Path, entry: PrincipalRegistered, password_text: str) -> None:
    """Register with an open ledger, for commands that set up a whole deployment."""
    _write_verifier(folder, entry.name, password_text)
    ledger.append([entry])


def _credentials(name: str, certificate: str, token: str) -> list[CredentialRegistered]:
    found = {}
    if certificate:
        found["certificate"] = credential(certificate)
        if not found["certificate"]:
            raise UsageError(
                f"`{certificate}` is not a name in a certificate",
                hint="write cn:NAME, san:dns:NAME, san:email:ADDRESS or san:uri:URI",
            )
    if token:
        found["token"] = token
        if len(token) > MOST or not token.isprintable():
            raise UsageError("the token's name is not valid", hint=f"give 1 to {MOST} printable characters")
    return [
        CredentialRegistered(time=_now(), actor=_ACTOR, name=name, method=method, subject=subject)
        for method, subject in found.items()
    ]


def _require_free(ledger: SyncLedger, entries: Sequence[CredentialRegistered | CredentialRemoved]) -> None:
    """One certificate or token stands for one principal."""
    taken = {(method, subject): name for (name, method), subject in ledger.state.credentials.items()}
    for each in entries:
        if isinstance(each, CredentialRegistered):
            holder = taken.get((each.method, each.subject), each.name)
            if holder != each.name:
                raise UsageError(
                    f"`{each.subject}` stands for `{holder}` already",
                    hint=f"`ringfort principal credential DIR {holder} --remove {each.method}` frees it",
                )


def _check_name(name: str) -> None:
    if not PRINCIPAL_NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` is not a principal's name",
            hint="use letters, digits and _ . -, at most 63, no - first",
        )


def _check_new_name(name: str) -> None:
    """A name that is registered now is in the record for good: it gives away no address and no number."""
    _check_name(name)
    try:
        stated(name, "name")
    except UsageError as error:
        raise UsageError(
            error.message,
            hint="it goes into the record for good: give a name that is theirs here alone, such as `aoife`",
        ) from None


def _require(ledger: SyncLedger, name: str) -> None:
    if name not in ledger.state.principals:
        raise UsageError(f"`{name}` is not registered", hint="`ringfort principal list` shows who is")


def _write_verifier(folder: Path, name: str, text: str) -> None:
    place = private_folder(folder / "secrets" / "scram")
    write_private(place / f"{name}.json", make_verifier(text, SystemRandomness()))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One command at a time changes principals: a verifier is a file, which no condition guards.

    Hold it before the ledger is opened, so that what is read there is newer than what any other has done.
    """
    place = private_folder(folder / "secrets" / "scram")
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + ALONE_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise CheckFailedError(
                        "another command changes principals at present", hint="try again in a moment"
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _note(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")


def _now() -> str:
    return format_time(datetime.now(UTC))
