"""`ringfort remove`: take a deployment away, from its folder, its embedded server and its external sites."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import typer

from ringfort.config import load_config
from ringfort.errors import CheckFailedError, MissingEnvironmentError, RingfortError, UsageError
from ringfort.gateway.removal import Remains, remains, remove_remains
from ringfort.paths import Layout, leftovers, remove_server_folder, server_place
from ringfort.sites import orphans
from ringfort.sites.connect import admin_connection, describe, dsn_parts, read_dsn

_PARTS = (
    "ringfort.toml", "catalog.toml", "zones.toml", "policy", "transfers", "secrets", "state", "logs",
    "init-unfinished",
)  # fmt: skip


@dataclass
class _Found:
    """What there is of a deployment."""

    folder: Path
    parts: list[Path] = field(default_factory=list)
    servers: dict[Path, Path] = field(default_factory=dict)
    sites: list[tuple[str, str, str]] = field(
        default_factory=list
    )  # site, connection string, its description
    remains: dict[str, Remains] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def command(
    folder: Path | None = typer.Argument(None, metavar="DIR", help="The deployment folder."),
    *,
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    dry_run: bool = typer.Option(False, "--dry-run", help="List what would go, and change nothing."),
    keep_ledger: Path | None = typer.Option(
        None, "--keep-ledger", metavar="DEST", help="Copy the ledger to this new folder first."
    ),
    leave_sites: bool = typer.Option(
        False, "--leave-sites", help="Do not touch external sites, such as one that is gone."
    ),
    orphaned: bool = typer.Option(
        False, "--orphans", help="Embedded databases whose deployment folder is gone, in place of DIR."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Take a deployment away: lists everything first, then asks.

    Removed are the folder with its keys and its ledger, the data of embedded servers, and at external sites
    every role and schema that Ringfort made there. The tables of an external site stay as they are. With the
    keys go all pseudonyms, with the ledger the record: keep it with --keep-ledger while it must be kept.

    Exit code 0 gone, 1 refused (it is up, or sessions are open), 2 no deployment, 3 a site cannot be reached.

    Example: ringfort remove ./shop --dry-run

    Example: ringfort remove ./shop --keep-ledger ./shop-ledger --yes
    """
    if orphaned:
        _remove_orphans(yes=yes, dry_run=dry_run, as_json=as_json)
        return
    if folder is None:
        raise UsageError("what is to be removed is missing", hint="name DIR, or give --orphans")
    found = _look(folder.absolute(), leave_sites=leave_sites)
    lock = _lock(found.folder)
    try:
        if not as_json:
            _show(found, keep_ledger)
        if not dry_run:
            _confirm(f"remove all of this of {found.folder}?", yes=yes)
            if keep_ledger is not None:
                _keep(found.folder, keep_ledger)
            _remove(found)
    finally:
        os.close(lock)
    if as_json:
        typer.echo(json.dumps(_json(found, removed=not dry_run), ensure_ascii=False, indent=2))
    elif not dry_run:
        for each in found.kept:
            typer.echo(f"left: {each}")
        typer.echo(f"removed {found.folder}")


def _look(folder: Path, *, leave_sites: bool) -> _Found:
    """What there is, of a whole, a half-made or a half-removed deployment."""
    layout = Layout(folder)
    marks = (
        folder / "ringfort.toml", folder / "init-unfinished", layout.state / "sites",
        layout.secrets / "ledger.key",
    )  # fmt: skip
    if not any(each.exists() for each in marks):
        raise UsageError(f"`{folder}` is no deployment", hint="name the folder that `ringfort init` made")
    found = _Found(folder, parts=[folder / each for each in _PARTS if (folder / each).exists()])
    embedded = layout.state / "sites"
    for site in sorted(embedded.iterdir()) if embedded.is_dir() else ():
        found.servers[site] = server_place(site)
    for path in sorted(layout.secrets.glob("site-*.dsn")):
        name = path.name.removeprefix("site-").removesuffix(".dsn")
        if embedded / name in found.servers:
            continue
        for database in _databases(folder, name) or [str(dsn_parts(read_dsn(path)).get("dbname") or "")]:
            dsn = read_dsn(path, database)
            found.sites.append((name, dsn, describe(dsn)))
    if leave_sites:
        found.kept += [f"what is at {told}" for _, _, told in found.sites]
        found.sites.clear()
    for _, dsn, told in found.sites:
        try:
            with admin_connection(dsn, application_name="ringfort remove") as connection:
                found.remains[told] = remains(connection)
        except RingfortError as error:
            raise MissingEnvironmentError(
                f"site {told}: {error.message}", hint="make it reachable, or leave it with --leave-sites"
            ) from None
    found.kept += [str(each) for each in sorted(folder.iterdir()) if each not in found.parts]
    return found


def _databases(folder: Path, site: str) -> list[str]:
    try:
        config = load_config(folder)
    except RingfortError:  # a broken deployment can be removed, too
        return []
    return [name for each in config.sites if each.name == site for name in each.databases]


def _lock(folder: Path) -> int:
    """The lock of `ringfort up`: held, so that it does not start meanwhile."""
    state = folder / "state"
    if state.is_dir():
        descriptor = os.open(state / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    else:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CheckFailedError(f"`{folder}` is up", hint="stop `ringfort up` first") from None
    return descriptor


def _show(found: _Found, keep_ledger: Path | None) -> None:
    typer.echo("to be removed:")
    for part in found.parts:
        typer.echo(f"  {part}")
    for place in found.servers.values():
        typer.echo(f"  {place}, the data of an embedded server")
    for told, each in found.remains.items():
        typer.echo(f"  at {told}:")
        for line in (*(f"schema {one}" for one in each.schemas), *(f"role {one}" for one in each.roles)):
            typer.echo(f"    {line}")
        if each.owner:
            typer.echo("    role ringfort_views, if no other database uses it")
        for line in each.left:
            typer.echo(f"    left, not known to be this deployment's: {line}")
    for line in found.kept:
        typer.echo(f"left: {line}")
    if (found.folder / "state" / "ledger").exists() and keep_ledger is None:
        typer.echo("WARNING: the ledger, the record of every access, is lost; --keep-ledger DEST keeps it")
    if (found.folder / "secrets").exists():
        typer.echo("WARNING: with secrets/ pseudonyms can never be led back, and evidence never be opened")


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask", hint="add --yes, after a --dry-run")
    typer.confirm(question, abort=True)


def _keep(folder: Path, target: Path) -> None:
    source = folder / "state" / "ledger"
    if not source.is_dir():
        raise UsageError(f"`{folder}` holds no ledger", hint="leave --keep-ledger out")
    if target.exists() or target.absolute().is_relative_to(folder):
        raise UsageError(f"`{target}` is there already, or within DIR", hint="name a new folder elsewhere")
    staged = target.with_name(f".{target.name}.new")
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(source, staged, symlinks=True)
    staged.rename(target)


def _remove(found: _Found) -> None:
    """Sites first, for what is in `secrets` opens them; the mark of a deployment last."""
    for _, dsn, told in found.sites:
        try:
            with admin_connection(dsn, application_name="ringfort remove") as connection:
                left = remove_remains(connection, found.remains[told])
        except psycopg.Error as error:
            raise MissingEnvironmentError(
                f"site {told} refused ({error.sqlstate or 'no SQLSTATE'}); nothing was removed there",
                hint="is its role the one that `ringfort up` uses? then run it again",
            ) from None
        found.kept += [f"{each} at {told}" for each in left]
    for site, place in found.servers.items():
        _remove_server(place)
        remove_server_folder(site)
    for part in reversed(found.parts):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    if not any(found.folder.iterdir()):
        found.folder.rmdir()


def _remove_server(place: Path) -> None:
    """End a server that a crash left; one that somebody uses is refused."""
    lock = place / "lock"
    if lock.exists():
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CheckFailedError(
                    f"the server in `{place}` is in use", hint="stop what runs on it"
                ) from None
            orphans.end_server(place / "data")


def _remove_orphans(*, yes: bool, dry_run: bool, as_json: bool) -> None:
    found = leftovers()
    if not as_json:
        for place, origin in found:
            typer.echo(f"{place}  the database of {origin}, which is gone")
        if not found:
            typer.echo("there are none")
    if found and not dry_run:
        _confirm(f"remove these {len(found)} databases?", yes=yes)
        for place, _ in found:
            _remove_server(place)
            shutil.rmtree(place)
    if as_json:
        listed = [{"folder": str(place), "deployment": str(origin)} for place, origin in found]
        typer.echo(json.dumps({"removed": not dry_run, "orphans": listed}, indent=2))


def _json(found: _Found, *, removed: bool) -> dict[str, Any]:
    return {
        "removed": removed,
        "folder": str(found.folder),
        "parts": [str(each) for each in found.parts],
        "servers": [str(each) for each in found.servers.values()],
        "sites": {
            told: {"schemas": list(each.schemas), "roles": list(each.roles), "left": list(each.left)}
            for told, each in found.remains.items()
        },
        "left": found.kept,
    }
