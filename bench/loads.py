"""What a client does in the benchmark: pgbench with its log of latencies, and a reader of bulk answers.

The reader lets libpq authenticate and then takes what comes from the socket without looking into it, so that
the client is no part of what is measured; what it got is checked by the answer's last messages. Nothing
goes wrong silently: a failed transaction, an error or a wrong number of rows ends the run.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import pq

from ringfort.sites.binaries import find_binaries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deployment import Target

BULK_SECONDS = 300
CONNECTIONS_A_SECOND = 64  # of a peer that is not slow; a slow one gets more time
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Run:
    """One run of pgbench: transactions a second, the proxy's CPU microseconds for each, latencies."""

    rate: float
    cpu: float
    latency: dict[int, float]  # percentile -> milliseconds


def pgbench(
    target: Target,
    seconds: int,
    *,
    clients: int = 8,
    mode: str = "simple",
    scripts: Sequence[str] = (),
    connect: bool = False,
) -> Run:
    """`pgbench -S`, or these scripts; with `connect` each transaction has a connection of its own.

    pgbench's clock runs while its clients connect: they get time for that, and more if too little was left.
    Unless connecting is the point, CPU time is counted from when all are connected, and the rate between the
    ends of the first and the last transaction (pgbench's own counts the time that disconnecting takes).
    """
    for room in (1, 3):
        duration = seconds + (0 if connect else room * clients // CONNECTIONS_A_SECOND)
        threads = min(clients, os.cpu_count() or 1)
        options = ["-n", "-l", "-M", mode, "-c", str(clients), "-j", str(threads), "-T", str(duration)]
        options += (["-C"] if connect else []) + ([] if scripts else ["-S"])
        with tempfile.TemporaryDirectory(prefix="ringfort-pgbench-") as name:
            folder = Path(name)
            for number, script in enumerate(scripts):
                (folder / f"{number}.sql").write_text(script)
                options += ["-f", f"{number}.sql"]
            code, used, since = _watched(target, options, folder, whole=connect)
            said = (folder / "output").read_text()
            log = _log(folder)
        rate = re.search(r"tps = ([0-9.]+) \((?:without initial|including reconnection)", said)
        failed = re.search(r"failed transactions: (\d+)", said)
        if code or (failed and int(failed.group(1))):
            raise SystemExit(
                f"error: pgbench {mode}, {clients} clients, {target.name}: {said.strip()[-500:]}"
            )
        if rate is None or not log:
            continue
        ends = [ended for ended, _ in log]
        if connect or max(ends) - min(ends) >= seconds / 2:
            counted = sum(1 for ended in ends if ended >= since) or len(ends)
            a_second = float(rate.group(1)) if connect else (len(ends) - 1) / (max(ends) - min(ends))
            return Run(a_second, used / counted * 1e6, _percentiles([took for _, took in log]))
    raise SystemExit(
        f"error: pgbench {mode}, {clients} clients, {target.name}: its clients were not connected in time"
    )


def warm_up(target: Target, clients: int) -> None:
    """All clients at once, not measured: a pooler connects to the server only when it must, one by one.

    Each client waits between two statements until the others have their server connections, too.
    """
    threads = min(clients, os.cpu_count() or 1)
    options = ["-n", "-c", str(clients), "-j", str(threads), "-t", "1", "-f", "/dev/stdin"]
    done = subprocess.run(
        [find_binaries().program("pgbench"), *options],
        env=target.environment(),
        input=f"SELECT 1;\n\\sleep {clients * 1000 // CONNECTIONS_A_SECOND} ms\nSELECT 1;\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"error: pgbench with {clients} clients, {target.name}: {done.stderr.strip()[-500:]}"
        )


def _watched(
    target: Target, options: Sequence[str], folder: Path, *, whole: bool
) -> tuple[int, float, float]:
    """Run pgbench in `folder`: exit code, CPU seconds of the proxy, and the moment they count from.

    That is the start if `whole`, else when a log holds its first lines: all clients are connected by then.
    """
    before, since = target.cpu_seconds(), 0.0
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [find_binaries().program("pgbench"), *options],
            env=target.environment(),
            cwd=folder,
            stdout=output,
            stderr=output,
        )
        try:
            while not whole and process.poll() is None:
                if any(each.stat().st_size for each in folder.glob("pgbench_log.*")):
                    before, since = target.cpu_seconds(), time.time()
                    break
                time.sleep(0.01)
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        return code, target.cpu_seconds() - before, since


def _log(folder: Path) -> list[tuple[float, int]]:
    """Of each transaction: when it ended (seconds since 1970), how long it took (microseconds)."""
    lines = [line.split() for each in folder.glob("pgbench_log.*") for line in each.read_text().splitlines()]
    return [(int(each[4]) + int(each[5]) / 1e6, int(each[2])) for each in lines]


def _percentiles(times: Sequence[int]) -> dict[int, float]:
    """Percentile -> milliseconds, of microseconds; nothing if there are too few."""
    if len(times) < 2:
        return {}
    cuts = statistics.quantiles(times, n=100)
    return {each: cuts[each - 1] / 1000 for each in PERCENTILES}


@dataclass(frozen=True)
class Bulk:
    """One bulk answer: bytes and rows a second, and the proxy's CPU milliseconds for each MB."""

    megabytes: float
    rows: float
    cpu: float


def bulk(target: Target, statement: str, rows: int) -> Bulk:
    """Ask by a simple query and take everything that comes; it must be `rows` rows."""
    connection = _connected(target)
    try:
        with socket.socket(fileno=os.dup(connection.socket)) as wire:
            wire.setblocking(True)
            wire.settimeout(BULK_SECONDS)
            text = statement.encode() + b"\0"
            before = target.cpu_seconds()
            begun = time.perf_counter()
            wire.sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)
            received, first, tail = _take(wire)
            seconds = time.perf_counter() - begun
            used = target.cpu_seconds() - before
    finally:
        connection.finish()
    tag = re.search(rb"C\0\0\0.(?:COPY|SELECT) (\d+)\0Z\0\0\0\x05I$", tail, flags=re.DOTALL)
    if first not in b"TH" or tag is None or int(tag.group(1)) != rows:
        shown = re.sub(r"[^ -~]+", " ", tail.decode("ascii", "replace"))
        raise SystemExit(f"error: a bulk answer from {target.name} is not {rows} rows: {shown[-300:]}")
    return Bulk(received / seconds / 1e6, rows / seconds, used * 1000 / (received / 1e6))


def _take(wire: socket.socket) -> tuple[int, bytes, bytes]:
    """Bytes until ReadyForQuery: how many, the first message's type, the last few."""
    room = memoryview(bytearray(1 << 20))
    received, first, tail = 0, b"", b""
    while not tail.endswith(b"Z\0\0\0\x05I"):
        count = wire.recv_into(room)
        if not count:
            break
        first = first or bytes(room[:1])
        tail = (tail + bytes(room[max(0, count - 512) : count]))[-512:]
        received += count
    return received, first, tail


def _connected(target: Target) -> pq.abc.PGconn:
    """Authenticated by libpq, without TLS: the socket carries plain protocol then."""
    given = target.environment()
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password"}
    names |= {"PGDATABASE": "dbname", "PGSSLMODE": "sslmode", "PGOPTIONS": "options"}
    facts = {names[name]: value for name, value in given.items() if name in names}
    quoted = " ".join(
        "{}='{}'".format(name, value.replace("\\", "\\\\").replace("'", "\\'"))
        for name, value in facts.items()
    )
    connection = pq.PGconn.connect(f"{quoted} gssencmode=disable".encode())
    if connection.status != pq.ConnStatus.OK:
        told = connection.error_message.decode(errors="replace").strip()
        raise SystemExit(f"error: {target.name} takes no connection: {told}")
    return connection


def values(target: Target, statement: str) -> list[str]:
    """The first column of a small answer."""
    connection = _connected(target)
    try:
        result = connection.exec_(statement.encode())
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise SystemExit(f"error: {target.name}: {result.error_message.decode(errors='replace').strip()}")
        return [(result.get_value(row, 0) or b"").decode() for row in range(result.ntuples)]
    finally:
        connection.finish()
