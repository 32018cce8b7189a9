"""A ledger that is written while it is verified: whatever happens between two reads, it verifies.

The writer works exactly between two reads of the verifier, at each of them in turn, so nothing here depends
on time.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading

import pytest
from tests.faults.record.ledger_at_work import FOLDER, FixedClock, admitted, basic, open_core, session_opened
from tests.faults.record.simulated_disk import SimulatedDisk

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_traffic as traffic
from ringfort.ledger.entry import StatementEnd, encode
from ringfort.ledger.verify import verify
from ringfort.record.disk import OsDisk
from ringfort.record.http import LedgerServer
from ringfort.record.store import FolderStore, HttpStore
from ringfort.record.verify import verify_folder


class BusyWriter:
    """A core that opens a session, admits and ends statements, and publishes, each time `work` is called."""

    def __init__(self, advance=1.0, disk=None, folder=FOLDER):
        self.disk, self.clock, self.advance = disk or SimulatedDisk(), FixedClock(), advance
        self.core = open_core(self.disk, self.clock, folder=folder)
        entries = [
            control.PolicyActivated(
                **basic(self.clock), bundle=hashlib.sha256(b"bundle").hexdigest(), evaluator="e"
            ),
            control.CatalogueActivated(
                **basic(self.clock), catalogue=hashlib.sha256(b"catalogue").hexdigest()
            ),
            control.PrincipalRegistered(
                **basic(self.clock), name="maeve", country="IE", employer="", role="support"
            ),
        ]
        self.core.stage_control([encode(each) for each in entries], blobs=[b"bundle", b"catalogue", b"input"])
        self.core.commit()
        self.session = 0
        for _ in range(3):
            self.work()

    def work(self):
        self.clock.advance(self.advance)
        self.session += 1
        name = f"s{self.session}"
        self.core.stage_control([encode(session_opened(self.clock, name, b"input"))])
        self.core.commit()
        for seq in range(3):
            piece = bytes(32) + b"%d" % seq
            self.core.stage_traffic(admitted(self.clock, name, seq, self.core.durable_control, piece), piece)
        ends = tuple(StatementEnd(name, seq, 1, 1, "complete") for seq in range(2))
        self.core.stage_traffic(encode(traffic.StatementsEnded(**basic(self.clock), ended=ends)))
        self.core.commit()
        for _ in range(2):
            publication = self.core.begin_round()
            if publication is not None:
                self.core.publish(publication)
                self.core.end_round(publication)


class StoreWithAWriter:
    """A ledger's published files; `between(number)` is called before each read or listing."""

    def __init__(self, inner, between):
        self.inner, self.between, self.count = inner, between, 0

    def _turn(self):
        self.count += 1
        self.between(self.count)

    def read(self, path):
        self._turn()
        return self.inner.read(path)

    def names(self, path):
        self._turn()
        return self.inner.names(path)


def reads_of_a_quiet_ledger(advance):
    store = StoreWithAWriter(FolderStore(FOLDER, BusyWriter(advance).disk), lambda _: None)
    assert verify(store, names=store.names).ok
    return store.count


# the month ends a minute after the writer's clock begins: the second opens and closes shards meanwhile
@pytest.mark.parametrize("advance", [1.0, 17.0, 86_400 * 20.0])
def test_a_writer_between_any_two_reads_is_no_violation(advance):
    reads = reads_of_a_quiet_ledger(advance)
    for at in range(1, reads + 1, max(1, reads // 80)):
        writer = BusyWriter(advance)
        files = FolderStore(FOLDER, writer.disk)
        store = StoreWithAWriter(files, lambda n, at=at, w=writer: w.work() if n == at else None)
        report = verify(store, names=store.names)
        assert report.problems == [], (at, [str(each) for each in report.problems])


def test_a_writer_between_all_reads_is_no_violation():
    writer = BusyWriter()
    left = [60]

    def between(_):
        if left[0]:
            left[0] -= 1
            writer.work()

    store = StoreWithAWriter(FolderStore(FOLDER, writer.disk), between)
    report = verify(store, names=store.names)
    assert [str(each) for each in report.problems] == []


def test_a_writer_between_any_two_requests_is_no_violation(tmp_path):
    """The same over HTTP, with real files."""
    folder = tmp_path / "ledger"
    writer = BusyWriter(disk=OsDisk(), folder=folder)
    with LedgerServer(folder, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with contextlib.closing(HttpStore(server.url)) as remote:
            for at in range(1, 16):
                store = StoreWithAWriter(remote, lambda n, at=at: writer.work() if n == at else None)
                report = verify(store)
                assert report.problems == [], (at, [str(each) for each in report.problems])
        server.shutdown()


def test_a_session_that_was_never_opened_is_still_found():
    writer = BusyWriter()
    piece = bytes(32) + b"x"
    writer.core.stage_traffic(admitted(writer.clock, "nobody", 0, writer.core.durable_control, piece), piece)
    writer.core.commit()
    writer.work()
    store = FolderStore(FOLDER, writer.disk)
    report = verify(store, names=store.names)
    assert any("was not opened in the control log before it" in each.why for each in report.problems)


class DiskWithAWriter:
    """The port's reads, with the writer at work between them."""

    def __init__(self, disk, between):
        self._disk, self._between, self.count = disk, between, 0

    def __getattr__(self, name):
        method = getattr(self._disk, name)
        if name not in {"read", "names", "size"}:
            return method

        def called(*arguments):
            self.count += 1
            self._between(self.count)
            return method(*arguments)

        return called


@pytest.mark.parametrize("advance", [1.0, 17.0])
def test_a_writer_between_any_two_reads_of_a_folder_is_no_violation(advance):
    quiet = DiskWithAWriter(BusyWriter(advance).disk, lambda _: None)
    assert verify_folder(FOLDER, disk=quiet).ok
    for at in range(1, quiet.count + 1, max(1, quiet.count // 80)):
        writer = BusyWriter(advance)
        disk = DiskWithAWriter(writer.disk, lambda n, at=at, w=writer: w.work() if n == at else None)
        findings = verify_folder(FOLDER, disk=disk)
        assert findings.report.problems == [], (at, [str(each) for each in findings.report.problems])
        assert findings.uncommitted == 0


def test_a_writer_in_the_middle_of_a_round_is_no_violation():
    """Durable but not yet published; in a round; then with evidence that nothing published commits."""
    writer = BusyWriter()
    core = writer.core
    core.stage_control([encode(session_opened(writer.clock, "mid", b"input"))])
    core.commit()
    piece = bytes(32) + b"mid"
    core.stage_traffic(admitted(writer.clock, "mid", 0, core.durable_control, piece), piece)
    core.commit()
    assert verify_folder(FOLDER, disk=writer.disk).ok
    publication = core.begin_round()
    assert verify_folder(FOLDER, disk=writer.disk).ok
    for stream, records in publication.evidence:
        core.evidence.append(stream, records)
    findings = verify_folder(FOLDER, disk=writer.disk)
    assert findings.ok, [str(each) for each in findings.report.problems]
    assert sum(each.uncovered for each in findings.streams) == 0
