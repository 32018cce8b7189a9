"""Entry point of `ringfort`: answers signals before anything heavy is imported, then runs the command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ringfort import interruption

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
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
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
