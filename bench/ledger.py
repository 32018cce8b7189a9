"""Rates of the ledger: the writer process with a gateway-like client, the sequencer, verification.

    python bench/ledger.py [--quick] [--json FILE]

The client runs in this process on uvloop: every statement is one entry (the pre-rendered form) and one piece
of evidence (a 32-byte salt and a short text), its admission awaited; ends ride along, 100 to an entry.
Figures are medians; the writer's CPU is what its process used, so "half a core" is 0.5 CPU seconds for each
second.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from ringfort.ledger import entry_control as control
from ringfort.ledger.entry import StatementEnd, encode, format_time
from ringfort.ledger.entry_templates import AdmittedTemplate, StatementForm
from ringfort.ledger.entry_traffic import StatementsEnded
from ringfort.ledger.sequencer import Sequencer
from ringfort.ledger.verify import verify
from ringfort.record.channel import LedgerChannel
from ringfort.record.evidence import public_half
from ringfort.record.store import FolderStore

SHAPE = '{"select":["shop.customers.id","shop.customers.country"],"where":["shop.customers.id"]}'
TEXT = b"SELECT id, country FROM customers WHERE id = 12345"


def now() -> str:
    return format_time(datetime.now(UTC))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def open_session(channel: LedgerChannel) -> None:
    blobs = [b"bundle", b"catalogue", b"input"]
    bundle, catalogue, given = (hashlib.sha256(each).hexdigest() for each in blobs)
    basic = {"time": now(), "actor": "bench"}
    await channel.append(
        [
            encode(control.PolicyActivated(**basic, bundle=bundle, evaluator="bench")),
            encode(control.CatalogueActivated(**basic, catalogue=catalogue)),
            encode(
                control.PrincipalRegistered(**basic, name="maeve", country="IE", employer="", role="support")
            ),
            encode(
                control.SessionOpened(
                    **basic,
                    session="5f1d0c9ab3e74c21",
                    principal="maeve",
                    purpose="bench",
                    ticket="",
                    site="dublin-1",
                    database="shop",
                    viewer=(),
                    storage_country="IE",
                    processing_country="IE",
                    viewing_country="IE",
                    input=given,
                    map=given,
                    profile=given,
                    policy=bundle,
                    catalogue=catalogue,
                    zones="",
                    evaluator="bench",
                )
            ),
        ],
        blobs=blobs,
    )


class Client:
    """`clients` statements under way at any moment, as that many database sessions would keep."""

    def __init__(self, channel: LedgerChannel, clients: int, total: int, rate: float) -> None:
        self.channel = channel
        self.template = AdmittedTemplate("worker-1", "5f1d0c9ab3e74c21")
        self.form = StatementForm("read", SHAPE)
        self.clients, self.total, self.rate = clients, total, rate
        self.seq = self.done = 0
        self.ended: list[StatementEnd] = []
        self.waits: list[float] = []
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.salts = memoryview(os.urandom(32 * 4096))
        self.paced = 0.0

    def admit(self) -> None:
        """Send one statement; the next follows when it is answered, unless a rate is kept."""
        seq = self.seq
        self.seq += 1
        start = (seq % 4096) * 32
        piece = bytes(self.salts[start : start + 32]) + TEXT
        digest = hashlib.sha256(piece).hexdigest()
        entry = self.template.render(seq, self.channel.control_size, self.form, digest, now())
        begun = time.perf_counter()

        def answered(durable: bool) -> None:  # noqa: FBT001 - the channel calls it so
            assert durable, self.channel.last_refusal
            self.waits.append(time.perf_counter() - begun)
            self.done += 1
            self.ended.append(StatementEnd("5f1d0c9ab3e74c21", seq, 1, 40, "complete"))
            if len(self.ended) == 100:
                self.channel.note(
                    encode(StatementsEnded(time=now(), actor="worker-1", ended=tuple(self.ended)))
                )
                self.ended.clear()
            if self.done == self.total:
                self.finished.set_result(None)
            elif not self.rate and self.seq < self.total:
                self.admit()

        self.channel.admit(entry, piece, answered)

    async def run(self) -> dict[str, float]:
        """Until all are answered; gives rate and waits."""
        begun = time.perf_counter()
        if self.rate:
            while self.seq < self.total:
                due = min(self.total, int((time.perf_counter() - begun) * self.rate))
                while self.seq < due:
                    self.admit()
                await asyncio.sleep(0.0005)
        else:
            for _ in range(min(self.clients, self.total)):
                self.admit()
        await self.finished
        took = time.perf_counter() - begun
        waits = sorted(self.waits)
        return {
            "entries_per_second": self.total / took,
            "wait_ms_median": waits[len(waits) // 2] * 1e3,
            "wait_ms_p99": waits[len(waits) * 99 // 100] * 1e3,
        }


def start_writer(folder: Path, merge_delay: float = 5.0) -> tuple[subprocess.Popen[bytes], str]:
    path = str(folder / "w.sock")
    config = {
        "folder": str(folder / "ledger"),
        "socket": path,
        "origin": "bench.example/log",
        "key": base64.b64encode(os.urandom(32)).decode(),
        "evidence_public": base64.b64encode(public_half(os.urandom(32))).decode(),
        "merge_delay_seconds": merge_delay,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ringfort.record.writer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(config).encode())
    process.stdin.close()
    process.stdout.readline()
    return process, path


def writer_rate(clients: int, total: int, rate: float = 0.0) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="ringfort-bench-") as name:
        folder = Path(name)
        process, path = start_writer(folder)

        async def scenario() -> dict[str, float]:
            channel = await LedgerChannel.connect(
                path, actor="bench", on_control=lambda *_: None, on_lost=lambda error: print("lost:", error)
            )
            await open_session(channel)
            before, own = cpu_seconds(process.pid), time.process_time()
            begun = time.perf_counter()
            figures = await Client(channel, clients, total, rate).run()
            took = time.perf_counter() - begun
            figures["writer_cpu_share"] = (cpu_seconds(process.pid) - before) / took
            figures["writer_cpu_us_per_entry"] = (cpu_seconds(process.pid) - before) / total * 1e6
            figures["client_cpu_us_per_entry"] = (time.process_time() - own) / total * 1e6
            channel.close()
            return figures

        figures = uvloop.run(scenario())
        process.terminate()
        process.wait()
        begun = time.perf_counter()
        report = verify(FolderStore(folder / "ledger"))
        figures["verify_entries_per_second"] = report.entries / (time.perf_counter() - begun)
        assert report.ok, report.problems
        return figures


def sequencer_rate(total: int) -> dict[str, float]:
    form, template = StatementForm("read", SHAPE), AdmittedTemplate("worker-1", "5f1d0c9ab3e74c21")
    entries = [template.render(seq, 7, form, "ab" * 32, now()) for seq in range(total)]
    made = Sequencer()
    begun = time.perf_counter()
    for each in entries:
        made.append(each)
    appended = time.perf_counter() - begun
    made.drain()
    return {
        "append_us_per_entry": appended / total * 1e6,
        "tiles_us_per_entry": (time.perf_counter() - begun) / total * 1e6,
    }


def median_of(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(each[name] for each in runs), 3) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, under a minute")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    total, rounds = (30_000, 1) if options.quick else (150_000, 3)
    plan: list[tuple[str, Any]] = [
        ("sequencer", lambda: sequencer_rate(total)),
        ("writer at 15,000 entries/s", lambda: writer_rate(0, total, 15_000.0)),
        ("writer, 8 statements under way", lambda: writer_rate(8, total // 2)),
        ("writer, 32 statements under way", lambda: writer_rate(32, total)),
        ("writer, 1,000 statements under way", lambda: writer_rate(1_000, total)),
    ]
    figures: dict[str, dict[str, float]] = {}
    for title, measure in plan:
        figures[title] = median_of([measure() for _ in range(rounds)])
        print(title)
        for name, value in figures[title].items():
            print(f"    {name:<28} {value:>14,.3f}")
    if options.json:
        Path(options.json).write_text(json.dumps({"bench": "ledger", "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
