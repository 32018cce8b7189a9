"""How `ringfort transfer` shows things: progress, a preview, an outcome, a list, a verification."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ringfort.policy.contract import MECHANISMS
from ringfort.transfer.linkage_figures import BETWEEN, between_lines
from ringfort.transfer.measures import shown_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfort.transfer.listing import Listed
    from ringfort.transfer.preview import Preview
    from ringfort.transfer.run import Outcome
    from ringfort.transfer.verify import Verification


class _Bar:
    """A progress bar on standard error."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        """The next stage."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=None if total < 0 else total)

    def advance(self, amount: int) -> None:
        """So much of it."""
        if self._task is not None:
            self._bar.advance(self._task, amount)


class _Quiet:
    def stage(self, name: str, total: int) -> None:
        """Nothing."""

    def advance(self, amount: int) -> None:
        """Nothing."""


@contextlib.contextmanager
def progress_bar(*, quiet: bool) -> Iterator[_Bar | _Quiet]:
    """A progress bar on standard error, where a person looks; else nothing."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield _Quiet()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar)


def show_preview(found: Preview) -> None:
    """Print what a run would send, and what stands against it."""
    contract = found.contract
    article = MECHANISMS[contract.mechanism]
    typer.echo(
        f"{contract.name}: {contract.dataset} to {contract.recipient.entity} ({contract.recipient.country}),"
        f" for {contract.purpose}"
    )
    typer.echo(
        f"{contract.mechanism} ({article})" + (f", {contract.assessment}" if contract.assessment else "")
    )
    width = max(len(each["column"]) for each in found.columns)
    for each in found.columns:
        method = f" ({each['method']})" if each["method"] else ""
        form = f"{each['form'] + method:<20}"
        typer.echo(f"  {each['column']:<{width}}  {form}  policy: {each['permitted']}, {each['reason']}")
    for table, rows in found.rows.items():
        typer.echo(f"{table}: {'unknown number of' if rows < 0 else f'{rows:,}'} rows")
    typer.echo(f"to {contract.target.address}, kept by the recipient for {contract.retention_days} days")
    for line in (*found.notes, *shown_lines(found.measures), *between_lines(found.between)):
        typer.echo(line)
    for problem in found.against:
        typer.echo(f"against it: {problem}")
    if not found.against:
        typer.echo("nothing stands against a run")


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """For `--json`."""
    return {
        "released": True,
        "transfer": outcome.transfer,
        "run": outcome.run,
        "resumed": outcome.resumed,
        "address": outcome.address,
        "files": outcome.files,
        "rows": outcome.rows,
        "bytes": outcome.bytes,
        "index": outcome.index,
        "measures": dict(outcome.measures),
        "without_value": dict(outcome.lost),
        "notes": list(outcome.notes),
    }


def show_outcome(outcome: Outcome) -> None:
    """Print what was released."""
    again = ", which was cut off," if outcome.resumed else ""
    typer.echo(f"released {outcome.transfer}, run {outcome.run}{again} to {outcome.address}")
    typer.echo(f"{outcome.rows:,} rows in {outcome.files:,} files, {outcome.bytes:,} bytes")
    typer.echo(f"recorded as entry {outcome.index} of the control log")
    for column, rows in outcome.lost.items():
        typer.echo(f"note: {rows:,} values of {column} have no such form and left as NULL", err=True)
    for line in outcome.notes:
        typer.echo(f"note: {line}", err=True)
    for line in (*shown_lines(outcome.measures), *between_lines(outcome.measures.get(BETWEEN, {}))):
        typer.echo(line)


def show_listed(each: Listed) -> None:
    """Print one transfer of a list."""
    typer.echo(f"{each.name}  {each.approval}, {each.due}, {each.used}")
    for line in each.lines:
        typer.echo(f"    {line}")


def verification_json(found: Verification) -> dict[str, Any]:
    """For `--json`."""
    release = found.release
    return {
        "ok": found.ok,
        "release": found.address,
        "problems": found.problems,
        "not_verified": found.not_verified,
        "origin": release.origin if release else "",
        "index": release.index if release else -1,
        "tree_size": release.tree_size if release else 0,
        "manifest": release.manifest.to_json() if release else None,
    }


def show_verification(found: Verification) -> None:
    """Print what a verification found."""
    release = found.release
    if release is not None:
        manifest = release.manifest
        typer.echo(f"{manifest.transfer}, run {manifest.run}, for {manifest.entity} ({manifest.country})")
        typer.echo(
            f"entry {release.index} of {release.origin}, under its checkpoint of size {release.tree_size}"
        )
        typer.echo(
            f"{manifest.rows:,} rows in {len(manifest.files):,} files;"
            f" to be deleted by {manifest.delete_by[:10]}"
        )
        for table in manifest.tables:
            forms = ", ".join(f"{each.name} {each.form}" for each in table.columns)
            typer.echo(f"  {table.name}: {forms}")
    for each in found.not_verified:
        typer.echo(f"not verified: {each}")
    for problem in found.problems:
        typer.echo(f"violation: {problem}")
    typer.echo("the release verifies" if found.ok else "the release does not verify")


__all__ = [
    "outcome_json",
    "progress_bar",
    "show_listed",
    "show_outcome",
    "show_preview",
    "show_verification",
    "verification_json",
]
