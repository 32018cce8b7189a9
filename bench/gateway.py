"""The gateway against pgbouncer, pgpool2 and the server directly.

    python bench/gateway.py [--quick] [--json FILE] [--only PART]...

Parts: `rate` (pgbench -S with 1 to 256 clients, simple, extended, prepared: rate, latencies, CPU time of the
proxy), `connect` (new connections with and without TLS), `bulk` (COPY and wide rows), `forms` (masked and
pseudonymised views against raw ones, through the gateway). All peers in turns in one run; prints medians and
median ratios, and how long it all took: about twenty minutes, with --quick about two where nothing else runs.
It asserts nothing about time.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deployment import Bed, make, throwaway, up
from harness import Report, Series, ended_quietly, in_turns, options
from loads import PERCENTILES, Run, bulk, pgbench, values, warm_up
from proxies import PEERS, peer, program
from tables import FORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from deployment import Target

SUBJECT = "ringfort"
PAIRS = [(SUBJECT, other) for other in ("server", *PEERS)]
FORM_PAIRS = [("raw", "server"), ("masked", "raw"), ("pseudonym", "raw")]
MODES = ("simple", "extended", "prepared")
LOOKED_UP = 20  # different people that the point lookups ask for


@dataclass(frozen=True)
class Size:
    """How much of everything is done."""

    scale: int
    rounds: int
    seconds: int
    cells: tuple[tuple[int, str], ...]  # clients, mode


FULL = Size(10, 3, 4, tuple((clients, mode) for clients in (1, 8, 64, 256) for mode in MODES))
QUICK = Size(2, 1, 1, ((1, "prepared"), *((8, mode) for mode in MODES), (64, "prepared"), (256, "prepared")))


@dataclass
class Measured:
    """The series of one thing that is run by several peers."""

    name: str
    series: dict[str, Series]

    @classmethod
    def of(cls, name: str, units: Iterable[tuple[str, str]]) -> Measured:
        """`units`: what is measured, and its unit."""
        return cls(name, {what: Series(f"{name}: {what}", unit) for what, unit in units})

    def add(self, what: str, peer: str, value: float) -> None:
        """One more value."""
        self.series[what].add(peer, value)

    def report(self, report: Report, pairs: Iterable[tuple[str, str]] = PAIRS) -> None:
        """All that have values."""
        for each in self.series.values():
            if each.values:
                report.add(each, pairs)


def _runs(
    name: str, unit: str, rounds: int, targets: Sequence[Target], run: Callable[[Target], Run]
) -> Measured:
    """Rate, CPU time of those who have processes, and latencies."""
    latencies = [(f"p{each}", "ms") for each in PERCENTILES]
    measured = Measured.of(name, [("rate", unit), ("CPU of the proxy for each", "us"), *latencies])
    for target in in_turns(rounds, targets):
        got = run(target)
        measured.add("rate", target.name, got.rate)
        if target.processes():
            measured.add("CPU of the proxy for each", target.name, got.cpu)
        for percent, milliseconds in got.latency.items():
            measured.add(f"p{percent}", target.name, milliseconds)
    return measured


def rate(bed: Bed, size: Size, report: Report) -> None:
    """One row by its key, from all of pgbench's tables."""
    warm = 0
    for clients, mode in size.cells:
        if clients > warm:
            for target in bed.plain.values():
                if target.processes():
                    warm_up(target, clients)
            warm = clients

        def run(target: Target, clients: int = clients, mode: str = mode) -> Run:
            return pgbench(target, size.seconds, clients=clients, mode=mode)

        name = f"pgbench -S, {clients} clients, {mode}"
        _runs(name, "statements/s", size.rounds, list(bed.plain.values()), run).report(report)


def connect(bed: Bed, size: Size, report: Report) -> None:
    """A connection, one small statement, and its end; 8 clients at it."""

    def run(target: Target) -> Run:
        return pgbench(target, size.seconds, clients=8, scripts=["SELECT 1;\n"], connect=True)

    for name, targets in (("without TLS", bed.plain), ("with TLS", bed.tls)):
        title = f"connections {name}"
        _runs(title, "connections/s", size.rounds, list(targets.values()), run).report(report)


def bulks(bed: Bed, size: Size, report: Report) -> None:
    """COPY of narrow rows, and SELECT of wide ones."""
    rows = 100_000 * size.scale
    wide = 10_000 * size.scale
    for name, statement, count in (
        (f"COPY of {rows:,} rows", "COPY (SELECT * FROM pgbench_accounts) TO STDOUT", rows),
        (f"COPY of {wide:,} wide rows", "COPY (SELECT * FROM wide) TO STDOUT", wide),
        (f"SELECT of {wide:,} wide rows", "SELECT * FROM wide", wide),
    ):
        measured = Measured.of(name, [("rate", "MB/s"), ("CPU of the proxy for each MB", "ms")])
        for target in in_turns(size.rounds, bed.plain.values()):
            got = bulk(target, statement, count)
            measured.add("rate", target.name, got.megabytes)
            if target.processes():
                measured.add("CPU of the proxy for each MB", target.name, got.cpu)
        measured.report(report)


def forms(bed: Bed, size: Size, report: Report) -> None:
    """The same people as they are, masked, and with pseudonyms for keys: by key, and all of them."""
    gate = bed.plain[SUBJECT]
    targets = [bed.plain["server"], *(gate.called(form, purpose) for form, purpose in FORMS.items())]
    rows = 10_000 * size.scale
    statement = f"SELECT id FROM people ORDER BY name, id LIMIT {LOOKED_UP}"  # noqa: S608 - a number of ours
    scripts = {
        target.name: [
            f"SELECT * FROM people WHERE id = '{each}';\n"  # noqa: S608 - ids that the server gave
            for each in values(target, statement)
        ]
        for target in targets
    }

    def run(target: Target) -> Run:
        return pgbench(target, size.seconds, mode="prepared", scripts=scripts[target.name])

    title = "people by key in each form"
    _runs(title, "statements/s", size.rounds, targets, run).report(report, FORM_PAIRS)
    measured = Measured.of(f"COPY of {rows:,} people in each form", [("rate", "rows/s")])
    for target in in_turns(size.rounds, targets):
        got = bulk(target, "COPY (SELECT * FROM people) TO STDOUT", rows)
        measured.add("rate", target.name, got.rows)
    measured.report(report, FORM_PAIRS)


PARTS: dict[str, Callable[[Bed, Size, Report], None]] = {
    "rate": rate,
    "connect": connect,
    "bulk": bulks,
    "forms": forms,
}


def main() -> None:
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    report = Report(arguments.json)
    with ended_quietly(), throwaway() as folder, contextlib.ExitStack() as stack:
        deployment = make(folder, size.scale, purposes=FORMS.values())
        bed = stack.enter_context(up(deployment))
        tls = deployment / "secrets" / "tls"
        for name in PEERS:
            if program(name) is None:
                print(f"{name} is not installed: it is missing from the figures", file=sys.stderr)
                continue
            plain, encrypted = stack.enter_context(peer(name, folder, bed.plain["server"], tls))
            bed.plain[name], bed.tls[name] = plain, encrypted
        for targets in (bed.plain, bed.tls):  # the subject last: people read its ratios there
            targets[SUBJECT] = targets.pop(SUBJECT)
        for part in arguments.only or PARTS:
            PARTS[part](bed, size, report)
        report.close()


if __name__ == "__main__":
    main()
