"""A ledger core on a simulated disk, driven through everything it does; remembers what was acknowledged."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_traffic as traffic
from ringfort.ledger.checkpoint import parse_unverified
from ringfort.ledger.entry import StatementEnd, Viewer, encode, format_time
from ringfort.record.core import LedgerCore, LedgerSettings
from ringfort.record.evidence import public_half
from ringfort.record.inspect import published_entries, published_size
from ringfort.record.store import FolderStore

FOLDER = Path("/ledger")
SEED = bytes(range(32))
EVIDENCE_KEY = bytes(range(1, 33))


class FixedClock:
    """Stands still until told."""

    def __init__(self, start=datetime(2026, 11, 30, 23, 59, 0, tzinfo=UTC)) -> None:
        self.moment = start

    def now(self):
        return self.moment

    def monotonic(self):
        return self.moment.timestamp()

    def advance(self, seconds):
        self.moment += timedelta(seconds=seconds)


class CountingRandomness:
    """Different bytes each time, the same in each test."""

    def __init__(self, start=0):
        self.count = start

    def token(self, size):
        self.count += 1
        return hashlib.sha512(b"%d" % self.count).digest()[:size]


def open_core(disk, clock=None, segment_bytes=16_384, randomness=None, folder=FOLDER):
    clock = clock or FixedClock()
    settings = LedgerSettings(
        folder=folder,
        origin="ledger.example/test",
        seed=SEED,
        evidence_public=public_half(EVIDENCE_KEY),
        segment_bytes=segment_bytes,
    )
    core = LedgerCore(
        settings,
        clock=clock,
        randomness=randomness or CountingRandomness(),
        disk=disk,
        monotonic=clock.monotonic,
    )
    core.open()
    return core


def basic(clock, actor="tester"):
    return {"time": format_time(clock.now()), "actor": actor}


def session_opened(clock, session, blob):
    digest = hashlib.sha256(blob).hexdigest()
    return control.SessionOpened(
        **basic(clock),
        session=session,
        principal="maeve",
        purpose="p",
        ticket="",
        site="dublin-1",
        database="shop",
        viewer=(Viewer("registration", "IE"),),
        storage_country="IE",
        processing_country="IE",
        viewing_country="IE",
        input=digest,
        map=digest,
        profile=digest,
        policy=hashlib.sha256(b"bundle").hexdigest(),
        catalogue=hashlib.sha256(b"catalogue").hexdigest(),
        zones="",
        evaluator="e",
    )


def admitted(  # noqa: PLR0917 - the entry's own order
    clock, session, seq, size, evidence, shape="{}"
):
    return encode(
        traffic.StatementAdmitted(
            **basic(clock),
            session=session,
            seq=seq,
            control=size,
            kind="read",
            shape=shape,
            evidence=hashlib.sha256(evidence).hexdigest(),
        )
    )


class Work:
    """Appends, commits and publishes; `acknowledged` grows only when a commit has returned."""

    def __init__(self, disk, clock=None) -> None:
        self.disk = disk
        self.clock = clock or FixedClock()
        self.acknowledged: list[bytes] = []
        self.evidence: list[bytes] = []
        self.blobs: list[bytes] = []
        self.checkpoints: list[bytes] = []

    def begin(self, opened):
        """Policy, catalogue and a principal."""
        core = opened(self.disk, self.clock)
        self._basics(core)
        core.close()

    def _basics(self, core):
        self._control(
            core,
            [
                control.PolicyActivated(
                    **basic(self.clock), bundle=hashlib.sha256(b"bundle").hexdigest(), evaluator="e"
                ),
                control.CatalogueActivated(
                    **basic(self.clock), catalogue=hashlib.sha256(b"catalogue").hexdigest()
                ),
                control.PrincipalRegistered(
                    **basic(self.clock), name="maeve", country="IE", employer="", role="support"
                ),
            ],
            [b"bundle", b"catalogue"],
        )

    def run(self, groups=9) -> None:
        core = open_core(self.disk, self.clock)
        self._basics(core)
        seq = 0
        for group in range(groups):
            session = f"s{group}"
            self._control(
                core, [session_opened(self.clock, session, b"input %d" % group)], [b"input %d" % group]
            )
            staged = []
            for _ in range(6):
                piece = bytes([seq % 256]) * 32 + b"select %d" % seq
                entry = admitted(self.clock, session, seq, core.durable_control, piece, "x" * 300)
                core.stage_traffic(entry, piece)
                staged.append((entry, piece))
                seq += 1
            core.commit()
            self.acknowledged += [entry for entry, _ in staged]
            self.evidence += [piece for _, piece in staged]
            ends = tuple(StatementEnd(session, each, 1, 1, "complete") for each in range(seq - 6, seq - 1))
            core.stage_traffic(encode(traffic.StatementsEnded(**basic(self.clock), ended=ends)))
            core.commit()
            if group % 3 == 2:
                self._round(core)
            self.clock.advance(10)  # the month ends on the way
        core.close()
        self._remember_checkpoints()

    def more(self, opened):
        """Two groups with evidence, a round each, on a ledger that has worked before."""
        core = opened(self.disk, self.clock)
        for group in range(2):
            session = f"more-{core.control.size}"
            core.stage_control([encode(session_opened(self.clock, session, b"input 0"))], blobs=[b"input 0"])
            core.commit()
            for seq in range(3):
                piece = bytes([group]) * 32 + b"select %d" % seq
                core.stage_traffic(admitted(self.clock, session, seq, core.durable_control, piece), piece)
            core.commit()
            self._round(core)
        core.close()

    def _control(self, core, entries, blobs):
        data = [encode(each) for each in entries]
        core.stage_control(data, blobs=blobs)
        core.commit()
        self.acknowledged += data
        self.blobs += blobs

    def _round(self, core):
        publication = core.begin_round()
        if publication is not None:
            core.publish(publication)
            self._remember_checkpoints()
            core.end_round(publication)

    def _remember_checkpoints(self):
        for path, file in getattr(self.disk, "files", {}).items():
            if path.name == "checkpoint":
                self.checkpoints.append(file.content())


def ledger_entries(disk):
    """Every published entry by log."""
    store = FolderStore(FOLDER, disk)
    logs = ["control", *(f"traffic/{each}" for each in disk.names(FOLDER / "traffic"))]
    return {
        log: [data for _, data in published_entries(store, log, published_size(store, log))] for log in logs
    }


def known_roots(disk):
    """(origin, size) -> root of every published checkpoint file."""
    found = [
        parse_unverified(file.content()) for path, file in disk.files.items() if path.name == "checkpoint"
    ]
    return {(each.origin, each.size): each.root for each in found}
