"""`ringfort ledger`: verify a ledger, show its entries, drop old evidence, print the verifier key."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ringfort.cli.acting import REASON, STDIN, leave
from ringfort.cli.password import ask_password
from ringfort.config import load_config
from ringfort.errors import UsageError
from ringfort.gateway.irreversible import DROP_EVIDENCE, Act
from ringfort.ledger.entry import CONTROL, TRAFFIC, check, decode, entry_types
from ringfort.ledger.entry_control import LogOpened
from ringfort.ledger.errors import EntryError, NoteError
from ringfort.ledger.verify import verify
from ringfort.privacy.stated_text import stated
from ringfort.record.dropping import drop_evidence, droppable, month_begins
from ringfort.record.errors import NoLedgerError
from ringfort.record.inspect import all_entries, require_ledger
from ringfort.record.store import HttpStore
from ringfort.record.verify import Findings, note_uncommitted, verify_folder
from ringfort.system import operator_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringfort.ledger.entry import EvidenceStream

app = typer.Typer(
    name="ledger",
    help="Verify the ledger, show its entries, drop old evidence, print the verifier key.",
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
    between the logs compared. Of a folder also the journal, the blobs, and evidence: that what control
    entries commit is there, whole and in order. Works while the ledger is being written. What was not looked
    at, or cannot be told apart, is said in lines that begin with `note`.

    Without --vkey the ledger's own key is used: that shows that the ledger is consistent, not whose it is.

    Exit code: 0 it verifies, 1 it does not, 2 wrong usage, 3 there is no ledger.

    Example: ringfort ledger verify ./shop

    Example: ringfort ledger verify http://127.0.0.1:6480 --vkey "$(ringfort ledger vkey ./shop)"
    """
    with _progress(quiet=as_json) as progress:
        try:
            if where.startswith(("http://", "https://")):
                findings = _verify_url(where, vkey, progress)
            else:
                findings = verify_folder(_ledger_folder(where), vkey, progress)
        except NoteError as error:
            raise UsageError(
                f"`--vkey` is {error.message}", hint="`ringfort ledger vkey DIR` prints it"
            ) from None
    if as_json:
        typer.echo(json.dumps(_as_json(findings), indent=2))
    else:
        _print_report(findings)
    if not findings.ok:
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


@app.command("drop-evidence")
def drop_evidence_command(  # noqa: PLR0917 - typer calls it by name
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The deployment folder.")],
    before: Annotated[
        str, typer.Option(metavar="MONTH", help="The first month that is kept, such as 2026-05.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, which takes no request.")
    ] = False,
    who: Annotated[
        str,
        typer.Option(
            "--as", metavar="NAME", help="Who acts: a registered principal, whose password is asked."
        ),
    ] = "",
    grant: Annotated[
        str,
        typer.Option(
            metavar="GRANT",
            help="Your request that somebody else approved (`ringfort request --drop-evidence`).",
        ),
    ] = "",
    reason: str = REASON,
    password_stdin: bool = STDIN,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Delete the evidence of months that are over, after its retention. It is gone for good.

    First an entry of the control log says what goes, who did it and on which request, and what it was: then
    the files are deleted. Entries stay, and verify; what they name can be opened by nobody any more. Evidence
    of a month whose shard is not closed yet stays. Interrupted, run it again.

    It takes an approved request (`ringfort request --drop-evidence`) for the same month.

    Example: ringfort ledger drop-evidence ./shop --before 2026-05 --dry-run

    Example: ringfort ledger drop-evidence ./shop --before 2026-05 --as olga --grant g-1a2b3c4d
    """
    gone = (
        droppable(folder, before)
        if dry_run
        else _drop(folder, before, Act(DROP_EVIDENCE, who, grant, "", reason), stdin=password_stdin)
    )
    if as_json:
        typer.echo(
            json.dumps(
                {"dropped": not dry_run, "streams": [dataclasses.asdict(each) for each in gone]}, indent=2
            )
        )
        return
    for each in gone:
        typer.echo(f"{each.stream}  {each.groups:,} groups up to group {each.last}")
    if not gone:
        typer.echo("there is no evidence of closed months before that")
    elif dry_run:
        typer.echo(
            "nothing was deleted; to do it, have a request for that month approved: `ringfort request`"
        )


def _drop(folder: Path, before: str, act: Act, *, stdin: bool) -> list[EvidenceStream]:
    if not act.principal or not act.grant:
        raise UsageError(
            "deleting evidence takes a person and an approved request: --as and --grant",
            hint=f"ask for one with `ringfort request DIR --as NAME --drop-evidence --before {before} ...`",
        )
    act = dataclasses.replace(act, by=operator_name(), reason=stated(act.reason), before=month_begins(before))
    config = load_config(folder)
    password = ask_password(act.principal, stdin=stdin)
    return drop_evidence(folder, before, lambda ledger: leave(config, ledger, act, password))


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


def _verify_url(where: str, vkey: str, progress: Callable[[str, int, int], None]) -> Findings:
    with contextlib.closing(HttpStore(where)) as store:
        if store.read(f"{CONTROL}/checkpoint") is None:
            raise NoLedgerError(f"there is no ledger at `{where}`", hint="give the address up to /control")
        findings = Findings(verify(store, vkey=vkey, progress=progress))
    note_uncommitted(findings)
    findings.notes.append(
        "not looked at: journal, blobs and evidence, which are not served; `ringfort ledger verify DIR` does"
    )
    return findings


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


def _as_json(findings: Findings) -> dict[str, Any]:
    report, journal, mark = findings.report, findings.journal, findings.mark
    return {
        "ok": findings.ok,
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
        else {
            "groups": journal.groups,
            "last_group": journal.number,
            "torn_tail": journal.torn,
            "unpublished_entries": findings.pending,
            "acknowledged_group": None if mark is None else mark.number,
            "orderly_end": mark is not None and mark.closed,
        },
        "evidence": [
            {
                "stream": each.stream,
                "groups_as_committed": each.groups,
                "groups_before_commitments": each.before,
                "groups_in_no_commitment": each.uncovered,
                "dropped": each.dropped,
            }
            for each in findings.streams
        ],
        "evidence_groups_not_yet_committed": findings.in_journal,
        "entries_with_uncommitted_evidence": findings.uncommitted,
        "notes": findings.notes,
        "problems": [
            {"log": each.log, "index": each.index, "resource": each.resource, "why": each.why}
            for each in report.problems
        ],
    }


def _print_report(findings: Findings) -> None:
    report, journal = findings.report, findings.journal
    console = Console(highlight=False, soft_wrap=True)
    for each in report.logs:
        note = "  (closed and no longer published)" if each.dropped else ""
        console.print(f"{each.origin}  {each.size:,} entries  root {each.root}{note}", markup=False)
    if journal is not None:
        console.print(
            f"journal  {journal.groups:,} groups, {findings.pending:,} entries not yet published",
            markup=False,
        )
    for stream in findings.streams:
        what = "dropped after its retention" if stream.dropped else f"{stream.groups:,} groups as committed"
        before = f", {stream.before:,} from before there were commitments" if stream.before else ""
        console.print(f"evidence {stream.stream}  {what}{before}", markup=False)
    if report.unended:
        console.print(f"{report.unended:,} admitted statements have no recorded end", markup=False)
    for text in findings.notes:
        console.print(f"note: {text}", markup=False)
    for problem in report.problems:
        console.print(f"violation: {problem}", markup=False)
    if findings.ok:
        console.print(f"the ledger verifies: {report.entries:,} entries", markup=False)
        if not report.trusted:
            console.print(
                "with its own key; to know whose ledger it is, give --vkey with a key you kept", markup=False
            )
            console.print(f"vkey  {report.vkey}", markup=False)
    else:
        console.print("the ledger does not verify", markup=False)
