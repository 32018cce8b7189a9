"""`ringfort keys`: what wraps the secrets of pseudonyms, and moving them to another key-encryption key."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from ringfort.cli.acting import AS, REASON, STDIN, grant_option, leave
from ringfort.cli.password import ask_password
from ringfort.config import load_config
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.gateway.irreversible import REWRAP, Act
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_acts import KeysRewrapped
from ringfort.privacy.stated_text import stated
from ringfort.record.client import open_ledger
from ringfort.sites.custody import ROOT, Custody, CustodySettings
from ringfort.sites.pkcs11 import PREFIX
from ringfort.system import operator_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringfort.sites.custody import Rewrapped
    from ringfort.sites.kek_files import KekFile

app = typer.Typer(no_args_is_help=True, help="Custody of the secrets of pseudonyms.")

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


@app.command("status")
def status(folder: Path = _FOLDER, as_json: bool = _JSON) -> None:
    """Show the configured store, the keys that are in files, and with which key each secret is wrapped.

    No secret is opened: it works without the token.

    Example: ringfort keys status ./shop
    """
    config = load_config(folder)
    custody = Custody(CustodySettings.of(config))
    found = custody.status()
    files = custody.files.all()
    count = Counter(each.kek for each in found)
    if as_json:
        secrets = [
            {"name": each.name, "wrapped_with": each.kek or None} | ({} if each.sound else {"sound": False})
            for each in found
        ]
        keys = [
            {"id": each.id, "file": str(each.path), "place": each.place, "secrets": count[each.id]}
            for each in files
        ]
        shown = {"store": config.keys.store, "opened": False, "keys": keys, "secrets": secrets}
        typer.echo(json.dumps(shown, indent=2))
        return
    typer.echo(f"store  {config.keys.store}")
    for key in files:
        typer.echo(f"key  {key.id}  {key.path}  {_place(key, config.keys.store, count[key.id])}")
    for kek in sorted(count.keys() - {each.id for each in files} - {""}):
        where = "in the token" if kek.startswith(PREFIX) else "not here: name its file with --old-key"
        typer.echo(f"key  {kek}  {where}  wraps {_secrets(count[kek])}")
    for each in found:
        plain = "plain: run `ringfort keys rewrap`"
        typer.echo(
            f"{each.name}  {each.kek or (plain if each.sound else 'damaged: restore it from a backup')}"
        )
    typer.echo("as the files say: no secret was opened, so whether a key opens its secrets was not checked")


@app.command("rewrap")
def rewrap(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    who: str = AS,
    grant: str = grant_option("rewrap"),
    reason: str = REASON,
    new_key: bool = typer.Option(
        False,
        "--new-key",
        help="Make a new key in place of the file's; the one before is destroyed at the end.",
    ),
    old_key: Path | None = typer.Option(
        None,
        "--old-key",
        metavar="FILE",
        help="The key before, where `keys.kek_file` now names another file.",
    ),
    password_stdin: bool = STDIN,
    as_json: bool = _JSON,
) -> None:
    """Wrap every secret with the key of the configured store, which is made if there is none.

    To rotate a key in a file: --new-key; nothing is restarted. To move, from a file to a token, to another
    label in the token, or back: set [keys] in ringfort.toml, run this, restart `ringfort up`. To another
    file: set `keys.kek_file`, and name the file of before with --old-key.

    A secret that is wrapped so already stays as it is. Killed at any point, the deployment opens as before,
    and the command goes on where it was. The key before is destroyed once every secret was opened without it;
    one in a token or in a file elsewhere is named, for you to remove. Secrets keep their values, and
    pseudonyms stay the same. Backups hold what the old key wrapped: back up anew, and destroy its copies.

    It takes an approved request (`ringfort request --rewrap`) and is put on record with who did it, first.

    Example: ringfort keys rewrap ./shop --new-key --as olga --grant g-1a2b3c4d
    """
    if new_key and old_key is not None:
        raise UsageError("--new-key and --old-key do not go together", hint="one after the other")
    config = load_config(folder)
    act = Act(REWRAP, who, grant, operator_name(), stated(reason))
    password = ask_password(who, stdin=password_stdin)
    custody = Custody(CustodySettings.of(config))
    with open_ledger(config.folder) as ledger, _bar(quiet=as_json) as progress:  # a second command waits
        given = leave(config, ledger, act, password)
        named = {each.kek for each in custody.status()}
        if old_key is not None:
            custody.keep(old_key)
        if custody.has(ROOT):
            custody.get(ROOT)  # before a key is made: what opens it is here
        made = custody.make_current()
        rotating = new_key and not (made or custody.files.before())  # one that was cut off is finished first
        kek = custody.make_next() if rotating else custody.current.id
        entry = KeysRewrapped(time=format_time(datetime.now(UTC)), actor="command", kek=kek, **given.fields())
        ledger.append([entry], condition=given.condition(), blobs=(given.input,))
        if rotating:
            custody.use_next(kek)
        done = custody.rewrap(progress)
    remove = _to_remove(custody, named, old_key) if not done.left else []
    if as_json:
        shown = {
            "store": config.keys.store, "key_made": made or rotating, "key": kek, "wrapped": done.moved,
            "left": [{"name": name, "why": why} for name, why in done.left], "destroyed": done.destroyed,
            "to_remove": remove,
        }  # fmt: skip
        typer.echo(json.dumps(shown))
    else:
        _tell(done, kek, remove, made=made or rotating)
        if new_key and not rotating and not made:
            typer.echo("that was a rotation that had been cut off: run it again for another key")
    if done.left:
        name, why = done.left[0]
        raise MissingEnvironmentError(
            f"{_secrets(len(done.left))} could not be wrapped anew, keys before are kept: `{name}`: {why}",
            hint="restore it from a backup or give it up (`ringfort domain erase`, `ringfort canary remove`),"
            " and run this again",
        )


def _tell(done: Rewrapped, kek: str, remove: list[str], *, made: bool) -> None:
    if made:
        typer.echo(f"made the key-encryption key {kek}")
    typer.echo(f"wrapped {len(done.moved)} secrets with {kek}" if done.moved else "nothing was to be done")
    for each in done.destroyed:
        typer.echo(f"every secret opens without {each}, which was destroyed")
    for each in remove:
        typer.echo(f"to be removed by you, after a restart of `ringfort up`: {each}")


def _to_remove(custody: Custody, named: set[str], old_key: Path | None) -> list[str]:
    """Keys that wrapped something before, wrap nothing now, and are not ours to destroy."""
    still = {each.kek for each in custody.status()}
    found = [
        f"{each.id} in {each.path}"
        for each in custody.files.all()
        if each.id in named - still and each.place == "in use"
    ]
    found += [f"{each} in the token" for each in sorted(named - still) if each.startswith(PREFIX)]
    return found + ([str(old_key)] if old_key is not None else [])


def _place(key: KekFile, store: str, count: int) -> str:
    if key.place == "next":
        return "made by a rotation that was cut off, and not used yet: `ringfort keys rewrap --new-key`"
    if key.place == "before":
        return f"kept until `ringfort keys rewrap` is done, wraps {_secrets(count)}"
    return f"{'in use' if store == 'file' else 'not in use'}, wraps {_secrets(count)}"


def _secrets(count: int) -> str:
    return "1 secret" if count == 1 else f"{count} secrets"


@contextlib.contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("secrets"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("secrets", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


__all__ = ["app"]
