"""Entry point of `ringfort`: answers signals before anything heavy is imported, then runs the command."""

import signal
import sys

if (__name__ == "__main__" or sys.argv[0].endswith("ringfort")) and signal.getsignal(
    signal.SIGINT
) is signal.default_int_handler:
    # ahead of every other import, ours too: until `install` Ctrl-C ends the program, and not in Python's way
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from typing import TYPE_CHECKING

from ringfort import interruption

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: "Sequence[str]") -> int:
    """Run one command line; gives the exit code."""
    from ringfort.cli import application  # noqa: PLC0415 - a second of imports, behind the handler

    return application.run(arguments)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    interruption.install()
    from ringfort import logs  # noqa: PLC0415 - behind the handler
    from ringfort.process import conceal  # noqa: PLC0415 - behind the handler

    # what our code and libraries say beside a command's own words: one line each, without values
    logs.configure(logs.LogSettings(process="command", level="warning", stderr="warning"))
    conceal()
    code = run(sys.argv[1:])
    interruption.over()
    sys.exit(code)


if __name__ == "__main__":
    main()
