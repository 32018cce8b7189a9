"""Each durable write fails, before and after it took effect; the power goes: nothing acknowledged is lost."""

from __future__ import annotations

import hashlib
import random

import pytest
from tests.faults.record.ledger_at_work import (
    EVIDENCE_KEY,
    FOLDER,
    CountingRandomness,
    Work,
    ledger_entries,
    open_core,
)
from tests.faults.record.simulated_disk import SimulatedDisk

from ringfort.ledger.checkpoint import parse_unverified
from ringfort.ledger.merkle import CompactRange, leaf_hash
from ringfort.ledger.verify import verify
from ringfort.record.errors import JournalError, RecordError
from ringfort.record.evidence import EvidenceStore, Opener
from ringfort.record.store import BlobStore, FolderStore
from ringfort.record.verify import verify_folder


def total_operations():
    disk = SimulatedDisk()
    Work(disk).run()
    return disk.operations


TOTAL = total_operations()


def check_continues(work, disk):
    """A core opens on the disk, and all that was acknowledged is in a ledger that verifies."""
    clock = work.clock
    if disk.read(FOLDER / "control" / "checkpoint") is not None:
        found = verify_folder(FOLDER, disk=disk)
        assert found.ok, [str(each) for each in found.report.problems]
    core = open_core(disk, clock, randomness=CountingRandomness(1000))
    core.close()
    found = verify_folder(FOLDER, disk=disk)
    assert found.ok, [str(each) for each in found.report.problems]
    assert found.uncommitted == 0
    assert sum(each.before + each.uncovered for each in found.streams) == 0
    store = FolderStore(FOLDER, disk)
    blobs = BlobStore(FOLDER / "blobs", disk)
    report = verify(store, has_blob=lambda digest: blobs.get(digest) is not None, names=store.names)
    assert report.ok, [str(each) for each in report.problems]
    entries = ledger_entries(disk)
    found = [each for log in sorted(entries) for each in entries[log]]
    positions = {each: index for index, each in enumerate(found)}
    assert len(positions) == len(found)
    missing = [each for each in work.acknowledged if each not in positions]
    assert missing == []
    for log in entries:
        kept = [each for each in work.acknowledged if each in set(entries[log])]
        assert [positions[each] for each in kept] == sorted(positions[each] for each in kept)
    for blob in work.blobs:
        assert blobs.get(hashlib.sha256(blob).hexdigest()) == blob
    held = EvidenceStore(disk, FOLDER / "evidence")
    opener = Opener(EVIDENCE_KEY)
    pieces = {
        piece
        for shard in held.shards()
        for _, sealed in held.groups(shard)
        for piece in opener.open(shard, sealed)
    }
    assert set(work.evidence) <= pieces
    check_never_forked(work, entries)


def check_never_forked(work, entries):
    """Every checkpoint ever seen is a tree that the present one began with."""
    seen = {}
    for data in work.checkpoints:
        checkpoint = parse_unverified(data)
        seen.setdefault(checkpoint.origin.removeprefix("ledger.example/test/"), {})[checkpoint.size] = (
            checkpoint.root
        )
    for log, roots in seen.items():
        tree = CompactRange()
        if 0 in roots:
            assert roots[0] == tree.root()
        for entry in entries[log]:
            tree.append(leaf_hash(entry))
            if tree.size in roots:
                assert roots[tree.size] == tree.root()
        assert max(roots) <= tree.size


def test_the_work_itself_is_sound():
    disk = SimulatedDisk()
    work = Work(disk)
    work.run()
    assert {"control", "traffic/2026-11", "traffic/2026-12"} == set(ledger_entries(disk))
    assert len([each for each in disk.names(FOLDER / "journal") if each.endswith(".seg")]) < 6
    check_continues(work, disk)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("part", range(8))
def test_each_write_failing_once(after_effect, part):
    for number in range(1 + part, TOTAL + 1, 8):
        randomness = random.Random(number)
        disk = SimulatedDisk()
        disk.fail_at, disk.fail_after_effect = number, after_effect
        disk.fail_forever = randomness.random() < 0.5
        work = Work(disk)
        with pytest.raises((RecordError, OSError)):
            work.run()
        # The process ends; the machine goes on, or the power goes as well.
        disk.fail_at = -1
        check_continues(work, disk if randomness.random() < 0.3 else disk.crashed(randomness))


@pytest.mark.parametrize("part", range(4))
def test_the_power_going_at_any_operation(part):
    for number in range(1 + part, TOTAL + 1, 4):
        randomness = random.Random(number)
        disk = SimulatedDisk()
        disk.fail_at, disk.fail_forever = number, True
        work = Work(disk)
        with pytest.raises((RecordError, OSError)):
            work.run()
        once = disk.crashed(randomness)
        once.fail_at = -1
        # It goes again while the ledger is being rebuilt.
        once.fail_at, once.fail_forever = randomness.randrange(1, 12), True
        try:
            open_core(once, work.clock, randomness=CountingRandomness(500)).close()
        except (RecordError, OSError):
            once = once.crashed(randomness)
        once.fail_at = -1
        check_continues(work, once)


def test_a_core_that_failed_acknowledges_nothing_more():
    disk = SimulatedDisk()
    core = open_core(disk)
    disk.fail_at, disk.fail_forever = disk.operations + 1, True
    core.stage_control([], blobs=[b"x"])
    with pytest.raises(JournalError):
        core.commit()
    disk.fail_at = -1
    for call in (core.commit, core.begin_round, lambda: core.stage_control([])):
        with pytest.raises(JournalError):
            call()
    core.close()
