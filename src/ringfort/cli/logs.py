"""`ringfort logs`: what every process of a deployment said, merged by time."""

from __future__ import annotations

import heapq
import os
import re
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ringfort.config import load_config
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.logs.file import log_files
from ringfort.logs.line import LEVELS, Line, read_line
from ringfort.paths import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLLOW_SECONDS = 0.25
_MOST_LINE = 65_536


class Level(StrEnum):
    """How grave a line is."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"
    critical = "critical"


def command(  # noqa: PLR0917 - typer's options
    folder: Path = typer.Argument(..., metavar="DIR", help="The deployment folder."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on with what comes, until Ctrl-C."),
    level: Level = typer.Option(Level.info, "--level", help="The least grave lines to show."),
    process: str = typer.Option(
        "", "--process", metavar="NAME", help="Only this process, such as `worker-0`, or this kind, `worker`."
    ),
    event: str = typer.Option("", "--event", metavar="NAME", help="Only lines of this event."),
    session: str = typer.Option("", "--session", metavar="ID", help="Only lines about this session."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object a line."),
) -> None:
    """Show what every process of DIR said, merged by time.

    The lines are those in DIR/logs, in whichever format they were written. `docs/reference/events.md` says
    what each event means.

    Example: ringfort logs ./shop --level warning

    Example: ringfort logs ./shop --follow --process worker

    Example: ringfort logs ./shop --event database-not-served --json
    """
    load_config(folder)
    if process and not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", process):
        raise UsageError(f"`{process}` is no name of a process", hint="for example `worker` or `provisioner`")
    place = Layout(folder).logs

    def wanted(line: Line) -> bool:
        kind = re.sub(r"-[0-9]+$", "", line.process)
        return (
            line.gravity >= LEVELS.index(level.value)
            and (not process or process in {line.process, kind})
            and (not event or line.event == event)
            and (not session or line.session == session)
        )

    def show(line: Line) -> None:
        if wanted(line):
            typer.echo(line.json() if as_json else line.text())

    try:
        ends: dict[tuple[int, int], int] = {}
        for line in heapq.merge(*_by_name(place, ends), key=lambda each: each.time):
            show(line)
        while follow:
            for line in sorted(_new_lines(place, ends), key=lambda each: each.time):
                show(line)
            time.sleep(FOLLOW_SECONDS)
    except OSError as error:
        raise MissingEnvironmentError(
            f"the logs in `{place}` cannot be read: {(error.strerror or 'unreadable').lower()}",
            hint="read them as the account that runs `ringfort up`",
        ) from None


def _by_name(place: Path, ends: dict[tuple[int, int], int]) -> list[Iterator[Line]]:
    """For each name of a log file its lines, oldest first; notes how far each file was read."""
    grouped: dict[str, list[Path]] = {}
    for path in log_files(place):
        grouped.setdefault(re.sub(r"\.log(\.[0-9]+)?$", "", path.name), []).append(path)
    return [_lines(paths, ends) for paths in grouped.values()]


def _lines(paths: list[Path], ends: dict[tuple[int, int], int]) -> Iterator[Line]:
    for path in paths:
        yield from _read(path, ends)


def _new_lines(place: Path, ends: dict[tuple[int, int], int]) -> Iterator[Line]:
    for path in log_files(place):
        yield from _read(path, ends)


def _read(path: Path, ends: dict[tuple[int, int], int]) -> Iterator[Line]:
    """The whole lines of a file that were not read yet; a file is known by its inode, whatever its name."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return  # it was rotated away just now
    with file:
        found = os.fstat(file.fileno())
        key = (found.st_dev, found.st_ino)
        at = ends.get(key, 0)
        if found.st_size <= at:
            ends[key] = min(at, found.st_size)
            return
        file.seek(at)
        while data := file.readline(_MOST_LINE):
            if not data.endswith(b"\n"):
                return  # being written
            at += len(data)
            ends[key] = at
            line = read_line(data[:-1].decode(errors="replace"))
            if line is not None:
                yield line


__all__ = ["command"]
