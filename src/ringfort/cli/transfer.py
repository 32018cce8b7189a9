"""`ringfort transfer`: contracts about what leaves the region; preview, approve, run, list, verify, open."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import typer

from ringfort.cli.password import ask_password
from ringfort.cli.transfer_shown import (
    outcome_json,
    progress_bar,
    show_listed,
    show_outcome,
    show_preview,
    show_verification,
    verification_json,
)
from ringfort.config import Config, load_config
from ringfort.errors import UsageError
from ringfort.gateway.granting import proven
from ringfort.ledger.errors import NoteError
from ringfort.ledger.note import VerifierKey
from ringfort.ledger.transfers import PUBLISHED
from ringfort.policy.contract import Target
from ringfort.privacy.stated_text import stated
from ringfort.record.client import open_ledger
from ringfort.record.disk import OsDisk
from ringfort.record.reading import read_ledger
from ringfort.system import SystemClock
from ringfort.transfer.desk import TransferDesk, confirm_deleted, read_contract
from ringfort.transfer.ending import WITHDRAWN, Ending, known_transfer
from ringfort.transfer.ending import withdraw as withdraw_approval
from ringfort.transfer.listing import list_transfers
from ringfort.transfer.measures import released_figures
from ringfort.transfer.opening import cosign_release, make_seal_key, make_signing_key, open_sealed
from ringfort.transfer.prepare import prepare_transfer
from ringfort.transfer.preview import preview_transfer
from ringfort.transfer.publish import Place, place_of
from ringfort.transfer.run import TransferStoppedError, run_transfer
from ringfort.transfer.runners import ENGINES, Runner, runner_of
from ringfort.transfer.seal import COSIGNATURE
from ringfort.transfer.state import TransferFolder
from ringfort.transfer.verify import verify_release

app = typer.Typer(no_args_is_help=True, help="Move data out of the region, by contract.")

_DIR = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_NAME = typer.Argument(..., metavar="NAME", help="The contract transfers/NAME.toml.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")
_AS = typer.Option(
    ..., "--as", metavar="NAME", help="Who acts: a registered principal, whose password is asked."
)
_STDIN = typer.Option(False, "--password-stdin", help="Read the password from standard input, one line.")
_WORKERS = typer.Option(0, "--workers", metavar="N", min=0, help="So many worker processes; 0: this process.")
_ENGINE = typer.Option("local", "--engine", metavar="|".join(ENGINES), help="Where parts are done.")
_SCHEDULER = typer.Option("", "--scheduler", metavar="ADDRESS", help="Of `--engine dask`: tls://host:8786.")
_RELEASE = typer.Argument(..., metavar="RELEASE", help="The folder of one run, or s3://bucket/prefix/run.")
_VKEY = typer.Option(..., "--vkey", metavar="KEY", help="The ledger's verifier key, kept from another day.")
_ENDPOINT = typer.Option(
    "", "--endpoint", metavar="URL", help="Of an S3-compatible address that is not Amazon's."
)


@app.command("preview")
def preview(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _DIR,
    name: str = _NAME,
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Reduce, inspect and measure everything, and release nothing."
    ),
    compare: list[str] = typer.Option(
        [], "--compare", metavar="CONTRACT", help="Measure linkage with this contract, too: a name or a file."
    ),
    workers: int = _WORKERS,
    engine: str = _ENGINE,
    scheduler: str = _SCHEDULER,
    as_json: bool = _JSON,
) -> None:
    """Show what a contract would send: each column's form and the policies behind it; no value of anybody.

    Where other recipients hold rows of the dataset, or have a contract that is approved, it says how much of
    this could be joined with theirs by values that both are shown, and warns.

    Exit code 0 if a run might begin, 1 if policy or record stand against it, 2 if the file is invalid.

    Example: ringfort transfer preview ./shop us-analytics

    Example: ringfort transfer preview ./shop us-analytics --dry-run --workers 2 --json

    Example: ringfort transfer preview ./shop us-analytics --compare drafts/uk-marketing.toml
    """
    config = load_config(folder)
    with progress_bar(quiet=as_json) as progress:
        found = preview_transfer(
            config, name, _runner(config, engine, workers, scheduler) if dry_run else None, progress, compare
        )
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        show_preview(found)
    if found.against:
        raise typer.Exit(1)


@app.command("approve")
def approve(
    folder: Path = _DIR,
    name: str = _NAME,
    who: str = _AS,
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """Approve exactly this contract, as the approver whom it names; a changed one needs another approval.

    Example: ringfort transfer approve ./shop us-analytics --as ronan
    """
    config = load_config(folder)
    contract = read_contract(config.folder, name)
    password = ask_password(who, stdin=password_stdin)
    with open_ledger(config.folder) as ledger:
        proven(config.folder / "secrets", ledger.state, who, password)
        TransferDesk(config, ledger, contract).approve(who)
    digest = contract.contract.digest
    if as_json:
        typer.echo(json.dumps({"transfer": name, "contract": digest, "approver": who}))
    else:
        typer.echo(
            f"approved {name}, contract {digest[:12]}; `ringfort transfer run {folder} {name}` may begin"
        )


@app.command("withdraw")
def withdraw(
    folder: Path = _DIR,
    name: str = _NAME,
    who: str = _AS,
    reason: str = typer.Option("", "--reason", metavar="TEXT", help="Why, in a line that names no person."),
    password_stdin: bool = _STDIN,
) -> None:
    """Take an approval back, as its approver or owner: nothing of this transfer leaves from then on.

    A run that is recorded and not published yet is given up on record, as `ringfort transfer abandon` does.

    Example: ringfort transfer withdraw ./shop us-analytics --as ronan --reason "TIA-2026-014 is out of date"
    """
    config, reason, clock = load_config(folder), stated(reason), SystemClock()
    password = ask_password(who, stdin=password_stdin)
    with open_ledger(config.folder) as ledger:
        proven(config.folder / "secrets", ledger.state, who, password)
        withdraw_approval(config, ledger, name, who, reason, clock=clock)
    typer.echo(f"withdrew the approval of {name}")
    try:
        held = TransferFolder(config.folder, name, OsDisk())
    except UsageError as error:
        typer.echo(f"note: {error.message}; it looks again before it publishes", err=True)
        return
    with contextlib.closing(held):
        for each in Ending(config, name, clock).abandon(held, WITHDRAWN):
            typer.echo(f"gave up {each.run} of {name}, which was {each.was}: {each.told}")


@app.command("run")
def run(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _DIR,
    name: str = _NAME,
    workers: int = _WORKERS,
    engine: str = _ENGINE,
    scheduler: str = _SCHEDULER,
    as_json: bool = _JSON,
) -> None:
    """Read, reduce, inspect, measure, record, then release; or go on with the run that was cut off.

    What leaves is the same bytes whoever does the work. A finding stops the run: nothing leaves, and the
    record holds which column and how many rows.

    Exit code 0 released, 1 stopped or refused, 2 wrong usage, 3 a fault of the machine: run it again.

    Example: ringfort transfer run ./shop us-analytics --workers 2

    Example: ringfort transfer run ./shop us-analytics --engine dask --scheduler tls://scheduler.example:8786
    """
    config = load_config(folder)
    try:
        with progress_bar(quiet=as_json) as progress:
            runner = _runner(config, engine, workers, scheduler)
            outcome = run_transfer(config, name, runner, progress=progress)
    except TransferStoppedError as error:
        if as_json:
            document = {"released": False, "why": error.message, "findings": list(error.findings)}
            typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        raise
    if as_json:
        typer.echo(json.dumps(outcome_json(outcome), ensure_ascii=False, indent=2))
    else:
        show_outcome(outcome)


@app.command("prepare")
def prepare(folder: Path = _DIR, name: str = _NAME, as_json: bool = _JSON) -> None:
    """Bring the fingerprints of identifiers up to date ahead of a run, which then reads only what changed.

    Run it from time to time (cron), above all before the first run of a large dataset. Nothing leaves.

    Example: ringfort transfer prepare ./shop us-analytics
    """
    config = load_config(folder)
    with progress_bar(quiet=as_json) as progress:
        prepared = prepare_transfer(config, name, progress)
    if as_json:
        typer.echo(json.dumps({"rows": prepared.rows, "fingerprints": prepared.fingerprints}, indent=2))
    else:
        typer.echo(f"{name}: {prepared.rows:,} rows read, {prepared.fingerprints:,} fingerprints kept")


@app.command("abandon")
def abandon_command(folder: Path = _DIR, name: str = _NAME) -> None:
    """Give up a run that was cut off, recorded or not: what it made is deleted, and the record says so.

    Without this, the next run goes on with it. Of one that was recorded and not published, what had reached
    the target is removed; it counts with what had left, and was published if it is there whole. The
    contract's file is not needed.

    Example: ringfort transfer abandon ./shop us-analytics
    """
    config = load_config(folder)
    known_transfer(config, read_ledger(config.folder).state.transfers, name)  # before a folder is made for it
    with contextlib.closing(TransferFolder(config.folder, name, OsDisk())) as held:
        ended = Ending(config, name, SystemClock()).abandon(held)
    for each in ended:
        if each.status == PUBLISHED:
            typer.echo(f"{each.run} of {name} is on record as published: {each.told}")
        else:
            typer.echo(f"gave up {each.run} of {name}, which was {each.was}: {each.told}")
    if not ended:
        typer.echo(f"no run of {name} was cut off")


@app.command("list")
def list_command(folder: Path = _DIR, as_json: bool = _JSON) -> None:
    """List transfers: approval, when each is due, how much of its cap is used, what is to be deleted.

    Exit code 1 if a recipient should have deleted something and has not confirmed it.

    Example: ringfort transfer list ./shop
    """
    config = load_config(folder)
    now = datetime.now(UTC)
    found = list_transfers(config, now)
    if as_json:
        typer.echo(
            json.dumps({"transfers": [each.to_json() for each in found]}, ensure_ascii=False, indent=2)
        )
    else:
        for each in found:
            show_listed(each)
        if not found:
            typer.echo("there is no contract in transfers/; transfers.md of the manual shows one")
    if any(each.overdue for each in found):
        raise typer.Exit(1)


@app.command("figures")
def figures(
    folder: Path = _DIR,
    name: str = _NAME,
    run_id: str = typer.Option("", "--run", metavar="RUN", help="Another run than the last."),
) -> None:
    """Print the exact figures of re-identification of a released run, as one JSON document.

    They are sealed in the record; it takes `secrets/evidence.key` to open them. Evidence for an assessment,
    not a statement that the data is anonymous.

    Example: ringfort transfer figures ./shop us-analytics
    """
    found = released_figures(load_config(folder), name, run_id)
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))


@app.command("deleted")
def deleted(
    folder: Path = _DIR,
    name: str = _NAME,
    run_id: str = typer.Argument(..., metavar="RUN", help="The run, as `ringfort transfer list` shows it."),
    reference: str = typer.Option(..., "--reference", metavar="TEXT", help="Where the confirmation stands."),
) -> None:
    """Record that the recipient confirmed that it deleted a run.

    Example: ringfort transfer deleted ./shop us-analytics 20261122T061500Z-1a2b3c4d --reference DEL-2027-003
    """
    config, reference = load_config(folder), stated(reference, "reference")
    with open_ledger(config.folder) as ledger:
        confirm_deleted(ledger, name, run_id, reference)
    typer.echo(f"recorded that {run_id} of {name} is deleted")


@app.command("verify")
def verify(  # noqa: PLR0917 - typer calls it by name
    release: str = _RELEASE,
    vkey: str = _VKEY,
    overseer: str = typer.Option(
        "", "--overseer", metavar="KEY", help="The overseer's verifier key, to verify its cosignature."
    ),
    endpoint: str = _ENDPOINT,
    deployment: Path | None = typer.Option(
        None, "--deployment", metavar="DIR", help="Where the ledger is, to hear what it says since."
    ),
    as_json: bool = _JSON,
) -> None:
    """Check a release, as its recipient or anybody: proof of the ledger, manifest, every file. Works offline.

    A file that the manifest does not name is a violation. What is there and was not verified is listed. The
    proof shows that it was recorded; with --deployment, one that was given up since is a violation.

    `ringfort ledger vkey DIR` prints the verifier key; take it from the sender by another way than the files.

    Exit code 0 it holds, 1 it does not, 2 wrong usage.

    Example: ringfort transfer verify ./inbox/20261122T061500Z-1a2b3c4d --vkey "$KEY"
    """
    place = _place(release, endpoint)
    with progress_bar(quiet=as_json) as progress:
        progress.stage("verifying", -1)
        cosigner = _key(overseer, "--overseer") if overseer else None
        record = None if deployment is None else read_ledger(deployment).state
        found = verify_release(place, _key(vkey), overseer=cosigner, record=record)
    if as_json:
        typer.echo(json.dumps(verification_json(found), ensure_ascii=False, indent=2))
    else:
        show_verification(found)
    if not found.ok:
        raise typer.Exit(1)


@app.command("key")
def key_command(
    path: Path = typer.Argument(..., metavar="FILE", help="The new file; only you can read it."),
    name: str = typer.Option("", "--name", metavar="NAME", help="Make a key that signs, under this name."),
) -> None:
    """Make a key, as recipient or overseer of sealed releases; prints the half that others need.

    Without --name it opens shares, and the contract's [seal] names its public half; with --name it signs.

    Example: ringfort transfer key ./overseer.key

    Example: ringfort transfer key ./overseer-signing.key --name overseer.example
    """
    if name:
        try:
            typer.echo(f"vkey {make_signing_key(path, name)}")
        except NoteError as error:
            raise UsageError(f"`--name` is no name: {error.message}") from None
    else:
        typer.echo(f"public {make_seal_key(path)}")


@app.command("cosign")
def cosign_command(  # noqa: PLR0917 - typer calls it by name
    release: str = _RELEASE,
    vkey: str = _VKEY,
    key: Path = typer.Option(
        ..., "--key", metavar="FILE", help="The overseer's key, as the contract names it."
    ),
    signing_key: Path = typer.Option(
        ..., "--signing-key", metavar="FILE", help="The overseer's signing key."
    ),
    endpoint: str = _ENDPOINT,
    out: Path | None = typer.Option(
        None, "--out", metavar="FILE", help="Where to write it; else cosignature.note in the release."
    ),
) -> None:
    """As overseer, release your share of a sealed release, after every file of it verifies.

    Example: ringfort transfer cosign ./20261122T061500Z-1a2b3c4d --vkey "$KEY" --key ./overseer.key
    --signing-key ./overseer-signing.key
    """
    if out is None and release.startswith("s3://"):
        raise UsageError("where to write the cosignature is missing", hint="give --out")
    note = cosign_release(_place(release, endpoint), _key(vkey), key, signing_key)
    target = out or Path(release) / COSIGNATURE
    try:
        with target.open("xb") as file:
            file.write(note)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise UsageError(f"cannot write `{target}`: {reason}", hint="name another with --out") from None
    typer.echo(f"cosigned: {target}")


@app.command("open")
def open_command(  # noqa: PLR0917 - typer calls it by name
    release: str = _RELEASE,
    vkey: str = _VKEY,
    key: Path = typer.Option(
        ..., "--key", metavar="FILE", help="The recipient's key, as the contract names it."
    ),
    overseer: str = typer.Option(..., "--overseer", metavar="KEY", help="The overseer's verifier key."),
    target: Path = typer.Option(..., "--to", metavar="FOLDER", help="The new folder for the opened files."),
    cosignature: Path | None = typer.Option(
        None, "--cosignature", metavar="FILE", help="The overseer's; else cosignature.note in the release."
    ),
    endpoint: str = _ENDPOINT,
) -> None:
    """As recipient, open a sealed release with your key and the overseer's cosignature.

    Example: ringfort transfer open ./20261122T061500Z-1a2b3c4d --vkey "$KEY" --key ./recipient.key
    --overseer "$OVERSEER" --to ./opened
    """
    with progress_bar(quiet=False) as progress:
        progress.stage("opening", -1)
        count = open_sealed(
            _place(release, endpoint), _key(vkey), key, _key(overseer, "--overseer"), cosignature, target,
            progress.advance,
        )  # fmt: skip
    typer.echo(f"opened {count:,} files into {target}")


# -- what commands share -----------------------------------------------------------------------------------


def _runner(config: Config, engine: str, workers: int, scheduler: str) -> Runner:
    watched = config.transfers
    return runner_of(
        engine, workers, scheduler,
        silence_seconds=watched.silence_seconds, always_workers=watched.always_workers,
    )  # fmt: skip


def _place(release: str, endpoint: str) -> Place:
    if release.startswith("s3://"):
        return place_of(Target(release, endpoint=endpoint), "")
    if endpoint:
        raise UsageError("a folder has no endpoint", hint="leave --endpoint out")
    if not Path(release).is_dir():
        raise UsageError(f"there is no folder `{release}`", hint="give the folder of one run")
    return place_of(Target(release), "")


def _key(vkey: str, option: str = "--vkey") -> VerifierKey:
    try:
        return VerifierKey.parse(vkey)
    except NoteError as error:
        raise UsageError(
            f"`{option}` is {error.message}", hint="`ringfort ledger vkey DIR` prints it"
        ) from None
