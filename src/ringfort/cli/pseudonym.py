"""`ringfort pseudonym`: pseudonyms led back to values, or from one epoch to another, as acts on record.

The provisioner does it: this process never sees a secret, a mapping table or an administrative connection.
Pseudonyms come on standard input or from a file, one a line; the answer goes to standard output and nowhere
else. Who acts proves it with their password, as for grants.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from ringfort.cli.domain import ask_provisioner
from ringfort.cli.password import ask_password
from ringfort.cli.pseudonym_prepare import prepare
from ringfort.config import load_config
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.gateway.undoing import MOST_AT_ONCE, MOST_LENGTH, parse_pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINE = MOST_LENGTH + 2

app = typer.Typer(no_args_is_help=True, help="Prepare pseudonyms; lead them back, with an approval.")

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_AS = typer.Option(
    ..., "--as", metavar="NAME", help="Who acts: a registered principal, whose password is asked."
)
_RECIPIENT = typer.Option(..., "--recipient", metavar="NAME", help="The legal entity that received them.")
_PURPOSE = typer.Option(..., "--purpose", metavar="P", help="The purpose of the domain.")
_EPOCH = typer.Option(0, "--epoch", metavar="N", help="The epoch that they are of; else the one in force.")
_COLUMN = typer.Option(..., "--column", metavar="D.T.C", help="The column, as dataset.table.column.")
_METHOD = typer.Option(
    "cmac", "--method", metavar="M", help="cmac: as the database shows; ff1, siv: as transfers write."
)
_FILE = typer.Option(None, "--file", metavar="FILE", help="Read them from this file, not standard input.")
_STDIN = typer.Option(False, "--password-stdin", help="Read the password from standard input, one line.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")

app.command("prepare")(prepare)


@app.command("resolve")
def resolve(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    who: str = _AS,
    grant: str = typer.Option(..., "--grant", metavar="GRANT", help="Your grant of the kind `resolve`."),
    recipient: str = _RECIPIENT,
    purpose: str = _PURPOSE,
    column: str = _COLUMN,
    epoch: int = _EPOCH,
    method: str = _METHOD,
    file: Path | None = _FILE,
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """Lead pseudonyms of one column back to their values.

    It takes a grant (`ringfort request --resolve`), is put on record with how many were asked, and is
    limited by [resolve] in policy/grants.toml. The answer is a line for each: the pseudonym, a tab, the
    value; nothing after the tab where the column holds no value for it in that epoch.

    Example: ringfort pseudonym resolve ./shop --as aoife --grant g-1a2b3c4d --recipient "ACME Inc"
    --purpose product-analytics --column shop.customers.id < pseudonyms.txt
    """
    answer = _act(
        "resolve", folder, who, file, stdin=password_stdin, grant=grant, recipient=recipient, purpose=purpose,
        column=column, epoch=epoch, method=method,
    )  # fmt: skip
    _tell(answer, as_json)


@app.command("bridge")
def bridge(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    who: str = _AS,
    grant: str = typer.Option(..., "--grant", metavar="GRANT", help="Your grant of the kind `bridge`."),
    recipient: str = _RECIPIENT,
    purpose: str = _PURPOSE,
    column: str = _COLUMN,
    epoch: int = typer.Option(..., "--epoch", metavar="N", help="The epoch that they are of."),
    to_epoch: int = typer.Option(0, "--to-epoch", metavar="N", help="The other; else the one in force."),
    method: str = _METHOD,
    file: Path | None = _FILE,
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """Lead pseudonyms of one epoch to those of another epoch of the same domain.

    For work at home only: whoever gives the answer to the recipient undoes the rotation. It takes a grant
    (`ringfort request --bridge`) and a permission of its own, and is put on record. No value is shown.

    Example: ringfort pseudonym bridge ./shop --as olga --grant g-1a2b3c4d --recipient "ACME Inc"
    --purpose product-analytics --column shop.customers.id --epoch 1 < old.txt
    """
    answer = _act(
        "bridge", folder, who, file, stdin=password_stdin, grant=grant, recipient=recipient, purpose=purpose,
        column=column, epoch=epoch, to_epoch=to_epoch, method=method,
    )  # fmt: skip
    _tell(answer, as_json)


def _act(
    op: str, folder: Path, who: str, file: Path | None, *, stdin: bool, **fields: object
) -> dict[str, Any]:
    config = load_config(folder)
    password = ask_password(who, stdin=stdin)
    pseudonyms = _read(file, str(fields["method"]))
    answer = ask_provisioner(config, op, principal=who, password=password, pseudonyms=pseudonyms, **fields)
    if answer is None:
        raise MissingEnvironmentError(
            f"`{config.folder}` is not up", hint="start it with `ringfort up` first"
        )
    return answer


def _read(file: Path | None, method: str) -> list[str]:
    if file is None:
        return list(_lines(sys.stdin, method))
    try:
        with file.open(encoding="utf-8") as source:
            return list(_lines(source, method))
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot read `{file}`: {(error.strerror or 'error').lower()}", hint="name another file"
        ) from None


def _lines(source: TextIO, method: str) -> Iterator[str]:
    count = 0
    try:
        for number in range(1, 10 * MOST_AT_ONCE):
            line = source.readline(MOST_LINE)
            if not line:
                break
            if line.strip():
                count += 1
                if count > MOST_AT_ONCE:
                    raise UsageError(f"at most {MOST_AT_ONCE} pseudonyms can be given at once")
                yield parse_pseudonym(line.strip(), number, method)
    except UnicodeDecodeError:
        raise UsageError("what was given is no text", hint="give one pseudonym a line") from None
    if not count:
        raise UsageError("no pseudonym was given", hint="give them on standard input, one a line")


def _tell(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        answer["answers"] = [{"pseudonym": first, "answer": second} for first, second in answer["answers"]]
        typer.echo(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    for pseudonym, found in answer["answers"]:
        typer.echo(f"{pseudonym}\t{_one_line(found or '')}")


def _one_line(text: str) -> str:
    """A value that cannot draw on a terminal or look like two."""
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


__all__ = ["app"]
