"""Entry point of `ringfort`: answers signals before anything heavy is imported, then runs the command."""

from __future__ import annotations

import sys

from ringfort import interruption


def main() -> None:
    """Run the command line of this process and exit with its code."""
    interruption.install()
    from ringfort.cli.application import run  # noqa: PLC0415 - a second of imports, behind the handler

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
