"""The `ringfort` command: registers the commands, turns errors into messages and exit codes.

Exit codes: 0 done, 1 a check failed or a violation was found, 2 wrong usage or invalid configuration,
3 environment. An interrupted command says in one line what is kept; its code is 128 and the signal's number.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.exceptions import TyperException

from ringfort import __version__, interruption, logs
from ringfort.cli.interrupted import what_is_kept
from ringfort.errors import MissingEnvironmentError, RingfortError, UsageError
from ringfort.system import operator_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COMMANDS = {  # name -> module and function
    "init": ("init", "command"),
    "up": ("up", "command"),
    "reload": ("reload", "command"),
    "remove": ("remove", "command"),
    "logs": ("logs", "command"),
    "status": ("status", "command"),
    "demo": ("demo", "command"),
    "request": ("grant", "request"),
    "approve": ("grant", "approve"),
    "deny": ("grant", "deny"),
    "revoke": ("grant", "revoke"),
    "grants": ("grant", "grants"),
    "break-glass": ("grant", "break_glass"),
    "review": ("grant", "review"),
}
_GROUPS = (
    "principal",
    "sessions",
    "policy",
    "transfer",
    "domain",
    "pseudonym",
    "keys",
    "canary",
    "ledger",
    "site",
)
_LIBRARY_INTERRUPTED = 130  # what typer makes of KeyboardInterrupt; no command of ours ends so by itself
_registered: set[str] = set()
_EPILOG = "Start with `ringfort demo`, or with your own data: `ringfort init DIR --from FILE`."

app = typer.Typer(
    name="ringfort",
    help="A protective environment around personal data: residency, gateways, privacy, oversight.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"ringfort {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Options that stand before the command."""


def _register(names: Iterable[str]) -> None:
    for name in names:
        if name in _registered:
            continue
        _registered.add(name)
        if name in _GROUPS:
            app.add_typer(import_module(f"ringfort.cli.{name}").app, name=name)
        else:
            module, function = _COMMANDS[name]
            app.command(name)(getattr(import_module(f"ringfort.cli.{module}"), function))


def register_all() -> typer.Typer:
    """The application with every command registered."""
    _register((*_COMMANDS, *_GROUPS))
    return app


def report(error: RingfortError) -> int:
    """Print an error the way every command does; gives the exit code."""
    logs.flush()  # what was said before stands before
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"hint: {error.hint}\n")
    return error.exit_code


def _not_permitted(error: PermissionError) -> RingfortError:
    """What an account that may not read a deployment's files is told: which, and whose they are."""
    path = os.fspath(error.filename) if isinstance(error.filename, str | os.PathLike) else ""
    hint = "run it as the deployment's account"
    for each in (Path(path), *Path(path).absolute().parents):
        with contextlib.suppress(OSError, KeyError):
            hint = f"run it as `{pwd.getpwuid(each.stat().st_uid).pw_name}`, whose files these are"
            break
    return MissingEnvironmentError(
        f"`{path or 'a file'}` cannot be read or written by `{operator_name()}`",
        hint=f"{hint}; who only verifies can do it over HTTP: `ringfort ledger verify URL`",
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command line; gives the exit code."""
    # Only what is asked for is imported: half a second matters to somebody who types.
    known = [each for each in arguments[:1] if each in {*_COMMANDS, *_GROUPS}]
    _register(known or (*_COMMANDS, *_GROUPS))
    interruption.running()
    try:
        code = _run(arguments)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(arguments)
    except Exception:
        if interruption.number():  # what was told to stop may end in an error of its own
            return _interrupted(arguments)
        raise
    return _interrupted(arguments) if code and interruption.number() else code


def _run(arguments: Sequence[str]) -> int:
    try:
        result = typer.main.get_command(app)(
            args=list(arguments), prog_name="ringfort", standalone_mode=False
        )
    except RingfortError as error:
        return error.exit_code if interruption.number() else report(error)
    except typer.Exit as error:
        return error.exit_code
    except TyperException as error:
        return _wrong_usage(error)
    except PermissionError as error:
        return report(_not_permitted(error))
    except BrokenPipeError:
        # the reader went away (`ringfort ledger show DIR | head`): nothing is wrong with us
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if result == _LIBRARY_INTERRUPTED:
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _wrong_usage(error: TyperException) -> int:
    """Say what is wrong with a command line, what the option or argument is for, and where more is said."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    show, message = getattr(error, "show", None), getattr(error, "format_message", lambda: "")()
    if show is not None and type(error).__name__ == "NoArgsIsHelpError":
        show()
        return UsageError.exit_code
    message = (message or str(error)).rstrip(".").replace("'", "`")
    words = " ".join((getattr(parameter, "help", None) or "").split()).rstrip(".")
    more = f"`{context.command_path if context else 'ringfort'} --help` shows what it takes, with an example"
    hint = f"{words}; {more}" if words else more
    return report(UsageError(message[:1].lower() + message[1:], hint=hint))


def _interrupted(arguments: Sequence[str]) -> int:
    logs.flush()
    sys.stderr.write(f"interrupted: {what_is_kept(arguments)}\n")
    return interruption.exit_code()
