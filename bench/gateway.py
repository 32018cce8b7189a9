"""The gateway against pgbouncer and against the server directly.

    python bench/gateway.py [--quick] [--json FILE]

`pgbench -S` with 8 clients, simple and prepared, and COPY of one million rows; all peers in turns in one run.
Prints medians, ratios, and the CPU time that the gate and pgbouncer take for one statement.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from deployment import Target, peers
from harness import Report, Series, cpu_seconds, options
from ringfort.sites.binaries import find_binaries

CLIENTS = 8


def pgbench(target: Target, mode: str, seconds: int) -> tuple[float, float]:
    """Transactions a second, and the proxy's CPU microseconds for each."""
    program = find_binaries().program("pgbench")
    before = sum(cpu_seconds(pid) for pid in target.pids)
    answer = subprocess.run(
        [program, "-S", "-n", "-M", mode, "-c", str(CLIENTS), "-j", "1", "-T", str(seconds)],
        env=target.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    used = sum(cpu_seconds(pid) for pid in target.pids) - before
    found = re.search(r"tps = ([0-9.]+) \(without", answer.stdout)
    done = re.search(r"actually processed: (\d+)", answer.stdout)
    if answer.returncode != 0 or found is None or done is None:
        raise SystemExit(f"error: pgbench through {target.name} failed: {answer.stderr.strip()[-500:]}")
    return float(found.group(1)), used / max(1, int(done.group(1))) * 1e6


def copy_out(target: Target, rows: int) -> float:
    """Rows a second of COPY to a client that throws them away."""
    program = find_binaries().program("psql")
    statement = f"COPY (SELECT * FROM pgbench_accounts LIMIT {rows}) TO STDOUT"  # noqa: S608 - a number of ours
    begun = time.perf_counter()
    with Path("/dev/null").open("wb") as nothing:
        subprocess.run(
            [program, "-X", "-q", "-c", statement], env=target.environment(), stdout=nothing, check=True
        )
    return rows / (time.perf_counter() - begun)


def main() -> None:
    arguments = options(__doc__.splitlines()[0]).parse_args()
    rounds, seconds = (3, 2) if arguments.quick else (5, 6)
    rows = 200_000 if arguments.quick else 1_000_000
    report = Report(arguments.json)
    with peers(scale=2 if arguments.quick else 10) as targets:
        if "pgbouncer" not in targets:
            print("pgbouncer is not installed: its column is missing", file=sys.stderr)
        for mode in ("simple", "prepared"):
            rate = Series(f"pgbench -S, {CLIENTS} clients, {mode}", "statements/s")
            cpu = Series(f"CPU per statement, {mode}", "us")

            def run(target: Target, mode: str = mode, cpu: Series = cpu) -> float:
                tps, micros = pgbench(target, mode, seconds)
                if target.pids:
                    cpu.values.setdefault(target.name, []).append(micros)
                return tps

            rate.measure(rounds, {name: lambda each=each: run(each) for name, each in targets.items()})
            report.add(rate, "ringfort")
            report.add(cpu, "ringfort")
        copy = Series(f"COPY of {rows:,} rows", "rows/s")
        copy.measure(rounds, {name: lambda each=each: copy_out(each, rows) for name, each in targets.items()})
        report.add(copy, "ringfort")
    report.close()


if __name__ == "__main__":
    main()
