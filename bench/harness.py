"""What the benchmarks share: options, medians, ratios, CPU time of processes, the report.

Peers are measured in the same run, in turns (A B C, B C A, ...), because machines are shared and noisy; what
is reported is the median of the ratios of neighbouring measurements, not a ratio of medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Peer = TypeVar("Peer")
TICKS = os.sysconf("SC_CLK_TCK")


def options(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="same shape, smaller: minutes become seconds")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there as JSON")
    return parser


@contextlib.contextmanager
def ended_quietly() -> Iterator[None]:
    """Ctrl-C and SIGTERM unwind everything that was started, and leave with their own exit code."""

    def ended(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads, and children that have ended, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(each) for each in fields[11:15]) / TICKS


def cpu_of_all(pids: Iterable[int]) -> float:
    """`cpu_seconds` of several processes; one that has ended since it was listed counts with its parent."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += cpu_seconds(pid)
    return total


def descendants(pid: int) -> list[int]:
    """The ids of all processes below `pid`."""
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = [int(each) for each in (task / "children").read_text().split()]
                found += children
                todo += children
    return found


@dataclass
class Series:
    """Measurements of several peers, taken in turns. `unit` is for people."""

    name: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, peer: str, value: float) -> None:
        """One more measurement of a peer."""
        self.values.setdefault(peer, []).append(value)

    def median(self, peer: str) -> float:
        """The median of a peer's measurements."""
        return statistics.median(self.values[peer])

    def ratio(self, peer: str, against: str) -> float | None:
        """The median over rounds of `peer` divided by `against` of the same round; none if that was zero."""
        pairs = zip(self.values[peer], self.values[against], strict=True)
        ratios = [one / other for one, other in pairs if other]
        return statistics.median(ratios) if ratios else None


def in_turns(rounds: int, peers: Iterable[Peer]) -> Iterator[Peer]:
    """Every peer once a round, each round beginning with another, so that none is always first."""
    line = list(peers)
    for number in range(rounds):
        shift = number % len(line)
        yield from line[shift:] + line[:shift]


@dataclass
class Report:
    """Prints lines as they come and writes them as JSON at the end."""

    path: Path | None
    results: list[dict[str, Any]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def add(self, series: Series, pairs: Iterable[tuple[str, str]]) -> None:
        """Print medians of all peers, and the ratio of each pair of them that has one."""
        medians = {peer: series.median(peer) for peer in series.values}
        ratios = {
            f"{one}/{other}": found
            for one, other in pairs
            if {one, other} <= medians.keys() and (found := series.ratio(one, other)) is not None
        }
        shown = "  ".join(f"{peer} {value:,.4g}" for peer, value in medians.items())
        against = "  ".join(f"{pair} {value:.2f}" for pair, value in ratios.items())
        print(f"{series.name:52} {shown} {series.unit}   {against}", flush=True)
        self.results.append(
            {
                "name": series.name,
                "unit": series.unit,
                "medians": medians,
                "ratios": ratios,
                "values": series.values,
            }
        )

    def close(self) -> None:
        """Say how long it took, and write the JSON file if one was asked for."""
        seconds = time.monotonic() - self.begun
        print(f"the whole run took {seconds:.0f} s", flush=True)
        if self.path is not None:
            document = {"seconds": round(seconds, 1), "results": self.results}
            self.path.write_text(json.dumps(document, indent=1) + "\n")
