"""What the benchmarks share: options, medians, ratios, CPU time of processes, the report.

Peers are measured in the same run, in turns (A B C, B C A, ...), because machines are shared and noisy; what
is reported is the median of the ratios of neighbouring measurements, not a ratio of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TICKS = os.sysconf("SC_CLK_TCK")


def options(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="same shape, smaller: under a minute")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there as JSON")
    return parser


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def descendants(pid: int) -> list[int]:
    """The ids of all processes below `pid`."""
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
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

    def measure(self, rounds: int, peers: Mapping[str, Callable[[], float]]) -> None:
        """Run every peer once a round, starting each round with another, so that none is always first."""
        names = list(peers)
        for number in range(rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                self.values.setdefault(name, []).append(peers[name]())

    def median(self, peer: str) -> float:
        """The median of a peer's measurements."""
        return statistics.median(self.values[peer])

    def ratio(self, peer: str, against: str) -> float:
        """The median over rounds of `peer` divided by `against` of the same round."""
        pairs = zip(self.values[peer], self.values[against], strict=True)
        return statistics.median(one / other for one, other in pairs)


@dataclass
class Report:
    """Prints lines as they come and writes them as JSON at the end."""

    path: Path | None
    results: list[dict[str, Any]] = field(default_factory=list)

    def add(self, series: Series, subject: str) -> None:
        """Print medians of all peers, and the subject's ratio to each of the others."""
        medians = {peer: series.median(peer) for peer in series.values}
        ratios = {peer: series.ratio(subject, peer) for peer in series.values if peer != subject}
        shown = "  ".join(f"{peer} {value:,.4g}" for peer, value in medians.items())
        against = "  ".join(f"{subject}/{peer} {value:.2f}" for peer, value in ratios.items())
        print(f"{series.name:34} {shown} {series.unit}   {against}", flush=True)
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
        """Write the JSON file, if one was asked for."""
        if self.path is not None:
            self.path.write_text(json.dumps({"results": self.results}, indent=1) + "\n")
