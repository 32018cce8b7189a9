"""`ringfort ledger`: verify a ledger, show its entries, print its verifier key."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ringfort.errors import UsageError
from ringfort.ledger.entry import CONTROL, TRAFFIC, check, decode, entry_types
from ringfort.ledger.entry_control import LogOpened
from ringfort.ledger.errors import EntryError, NoteError
from ringfort.ledger.verify import Problem, Report, verify
from ringfort.record.errors import JournalError, NoLedgerError, RecordError
from ringfort.record.inspect import JournalView, all_entries, check_journal, read_journal, require_ledger
from ringfort.record.store import BlobStore, FolderStore, HttpStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app = typer.Typer(
    name="ledger",
    help="Verify the ledger, show its entries, print its verifier key.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_WHERE = "A deployment folder, or a ledger folder."


@app.command("verify")
def verify_command(
    where: Annotated[str, typer.Argument(metavar="DIR|URL", help=_WHERE + " Or where a ledger is served.")],
    vkey: Annotated[
        str,
        typer.Option(
            metavar="KEY", help="The control log's verifier key, kept from an earlier day or another place."
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Recompute the whole ledger from its entries, and name the first bad entry if anything differs.

    Every entry is decoded and folded, every tile, root hash and checkpoint made again, anchors and references
    between the logs compared; of a folder also the journal and the blobs. Works while the ledger is being
    written.

    Without --vkey the ledger's own key is used: that shows that the ledger is consistent, not whose it is.

    Exit code: 0 it verifies, 1 it does not, 2 wrong usage, 3 there is no ledger.

    Example: ringfort ledger verify ./shop

    Example: ringfort ledger verify http://127.0.0.1:6480 --vkey "$(ringfort ledger vkey ./shop)"
    """
    journal: JournalView | None = None
    problems: list[Problem] = []
    pending = 0
    with _progress(quiet=as_json) as progress:
        try:
            if where.startswith(("http://", "https://")):
                report = _verify_url(where, vkey, progress)
            else:
                folder = _ledger_folder(where)
                try:
                    journal = read_journal(folder)  # before the checkpoints: see record.inspect
                except JournalError as error:
                    problems.append(Problem("journal", None, "", error.message))
                report = _verify_folder(folder, vkey, progress)
                if journal is not None:
                    pending, found = check_journal(folder, journal, report.state)
                    problems += found if report.ok else []
        except NoteError as error:
            raise UsageError(
                f"`--vkey` is {error.message}", hint="`ringfort ledger vkey DIR` prints it"
            ) from None
    report.problems += problems
    if as_json:
        typer.echo(json.dumps(_as_json(report, journal, pending), indent=2))
    else:
        _print_report(report, journal, pending)
    if not report.ok:
        raise typer.Exit(1)


@app.command("show")
def show_command(
    where: Annotated[str, typer.Argument(metavar="DIR", help=_WHERE)],
    kind: Annotated[str, typer.Option("--type", metavar="TYPE", help="Only entries of this type.")] = "",
    log: Annotated[str, typer.Option(metavar="control|traffic", help="Only entries of this log.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest of each log.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show entries, also those that are durable but not yet under a checkpoint.

    Nothing is verified here: `ringfort ledger verify` does that.

    Example: ringfort ledger show ./shop --type SessionOpened

    Example: ringfort ledger show ./shop --log traffic --limit 20 --json
    """
    types = sorted({name for name, _ in entry_types()})
    if kind and kind not in types:
        raise UsageError(f"`{kind}` is no entry type", hint="one of " + ", ".join(types))
    if log not in {"", CONTROL, TRAFFIC}:
        raise UsageError(f"`{log}` is no log", hint="`control` or `traffic`")
    newest: dict[str, deque[dict[str, Any]]] = {}
    for name, index, data, published in all_entries(_ledger_folder(where)):
        if log and name.partition("/")[0] != log:
            continue
        entry = _fields(data)
        if kind and entry["type"] != kind:
            continue
        shown = {"log": name, "index": index, "published": published, "entry": entry}
        newest.setdefault(name, deque(maxlen=limit)).append(shown)
    entries = [each for found in newest.values() for each in found]
    if as_json:
        typer.echo(json.dumps({"entries": entries}, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    for each in entries:
        entry = dict(each["entry"])
        head = f"{each['log']} {each['index']}"
        facts = f"{entry.pop('time')}  {entry.pop('type')}  by {entry.pop('actor')}"
        entry.pop("v")
        mark = "" if each["published"] else "  (not yet published)"
        console.print(f"{head:<24} {facts}{mark}", markup=False)
        for field, value in entry.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            console.print(f"    {field}: {text}", markup=False)
    if not entries:
        Console(stderr=True).print("no entry matches", style="dim")


@app.command("vkey")
def vkey_command(where: Annotated[str, typer.Argument(metavar="DIR", help=_WHERE)]) -> None:
    """Print the control log's verifier key, to be kept by whoever verifies.

    Example: ringfort ledger vkey ./shop
    """
    for _, _, data, _ in all_entries(_ledger_folder(where)):
        first = decode(data)
        if isinstance(first, LogOpened):
            typer.echo(first.vkey)
            return
        break
    raise NoLedgerError("the ledger has no first entry that names its key")


def _fields(data: bytes) -> dict[str, Any]:
    """An entry's JSON fields; of bytes that are no entry only that they are none."""
    try:
        return check(data)[1]
    except EntryError as error:
        return {"type": "(no entry)", "v": 0, "time": "", "actor": "", "problem": error.message}


def _ledger_folder(where: str) -> Path:
    folder = Path(where)
    inner = folder / "state" / "ledger"
    chosen = inner if inner.is_dir() else folder
    require_ledger(chosen)
    return chosen


def _verify_folder(folder: Path, vkey: str, progress: Callable[[str, int, int], None]) -> Report:
    store, blobs = FolderStore(folder), BlobStore(folder / "blobs")

    def has_blob(digest: str) -> bool:
        try:
            return blobs.get(digest) is not None
        except RecordError:
            return False

    return verify(store, vkey=vkey, has_blob=has_blob, names=store.names, progress=progress)


def _verify_url(where: str, vkey: str, progress: Callable[[str, int, int], None]) -> Report:
    with contextlib.closing(HttpStore(where)) as store:
        if store.read(f"{CONTROL}/checkpoint") is None:
            raise NoLedgerError(f"there is no ledger at `{where}`", hint="give the address up to /control")
        return verify(store, vkey=vkey, progress=progress)


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _log, _done, _size: None
        return
    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:

        def advance(log: str, done: int, size: int) -> None:
            task = tasks.get(log)
            if task is None:
                task = tasks[log] = bar.add_task(log, total=size)
            bar.update(task, completed=done, total=size)

        yield advance


def _as_json(report: Report, journal: JournalView | None, pending: int) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "vkey": report.vkey,
        "vkey_given": report.trusted,
        "entries": report.entries,
        "statements_without_end": report.unended,
        "logs": [
            {
                "log": each.log,
                "origin": each.origin,
                "size": each.size,
                "root": each.root,
                "dropped": each.dropped,
            }
            for each in report.logs
        ],
        "journal": None
        if journal is None
        else {"groups": journal.groups, "torn_tail": journal.torn, "unpublished_entries": pending},
        "problems": [
            {"log": each.log, "index": each.index, "resource": each.resource, "why": each.why}
            for each in report.problems
        ],
    }


def _print_report(report: Report, journal: JournalView | None, pending: int) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for each in report.logs:
        note = "  (closed and no longer published)" if each.dropped else ""
        console.print(f"{each.origin}  {each.size:,} entries  root {each.root}{note}", markup=False)
    if journal is not None:
        torn = ", the last write was cut off before it was acknowledged" if journal.torn else ""
        console.print(
            f"journal  {journal.groups:,} groups, {pending:,} entries not yet published{torn}", markup=False
        )
    if report.unended:
        console.print(f"{report.unended:,} admitted statements have no recorded end", markup=False)
    for problem in report.problems:
        console.print(f"violation: {problem}", markup=False)
    if report.ok:
        console.print(f"the ledger verifies: {report.entries:,} entries", markup=False)
        if not report.trusted:
            console.print(
                "with its own key; to know whose ledger it is, give --vkey with a key you kept", markup=False
            )
            console.print(f"vkey  {report.vkey}", markup=False)
    else:
        console.print("the ledger does not verify", markup=False)
