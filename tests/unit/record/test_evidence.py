from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.record.ledger_at_work import CountingRandomness
from tests.faults.record.simulated_disk import SimulatedDisk

from ringfort.ledger.evidence import encode_record, record_digest, scan_records
from ringfort.record.evidence import (
    EvidenceError,
    EvidenceStore,
    Opener,
    Sealer,
    digest,
    public_half,
)

PRIVATE = bytes(range(1, 33))
FOLDER = Path("/evidence")


def sealer(start=0):
    return Sealer(public_half(PRIVATE), CountingRandomness(start))


def test_only_the_private_key_opens_what_was_sealed():
    pieces = [bytes(32) + b"select 1", bytes(32), b"x" * 100_000]
    sealed = sealer().seal("2026-11", pieces)
    assert b"select 1" not in sealed
    assert Opener(PRIVATE).open("2026-11", sealed) == pieces
    with pytest.raises(EvidenceError):
        Opener(bytes(range(2, 34))).open("2026-11", sealed)
    with pytest.raises(EvidenceError):
        Opener(PRIVATE).open("2026-12", sealed)


def test_a_changed_byte_is_found():
    sealed = sealer().seal("2026-11", [b"some evidence"])
    for position in range(0, len(sealed), 7):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(EvidenceError):
            Opener(PRIVATE).open("2026-11", bytes(changed))
    with pytest.raises(EvidenceError):
        Opener(PRIVATE).open("2026-11", b"")


def test_equal_evidence_is_sealed_differently():
    one = sealer()
    assert len({one.seal("s", [b"same"]), one.seal("s", [b"same"]), sealer(1).seal("s", [b"same"])}) == 3


def record(number, sealed):
    return number, encode_record(number, sealed)


def test_evidence_is_found_by_digest():
    disk = SimulatedDisk()
    store, sealing = EvidenceStore(disk, FOLDER), sealer()
    store.append(
        "2026-11",
        [
            record(1, sealing.seal("2026-11", [b"one", b"two"])),
            record(4, sealing.seal("2026-11", [b"three"])),
        ],
    )
    store.append("2026-12", [record(5, sealing.seal("2026-12", [b"four"]))])
    store.close()
    again = EvidenceStore(disk, FOLDER)
    assert again.recover() == {"2026-11": 4, "2026-12": 5}
    for piece in (b"one", b"two", b"three", b"four"):
        assert again.find(Opener(PRIVATE), digest(piece)) == piece
    assert again.find(Opener(PRIVATE), digest(b"five")) is None


def test_a_torn_segment_is_cut_back_and_a_damaged_one_told():
    disk = SimulatedDisk()
    sealing = sealer()
    store = EvidenceStore(disk, FOLDER)
    store.append("s", [record(1, sealing.seal("s", [b"one"])), record(2, sealing.seal("s", [b"two"]))])
    path = next(iter(disk.files))
    disk.files[path].durable[-1] ^= 1
    with pytest.raises(EvidenceError):
        list(EvidenceStore(disk, FOLDER).groups("s"))
    assert EvidenceStore(disk, FOLDER).recover() == {"s": 1}
    assert [number for number, _ in EvidenceStore(disk, FOLDER).groups("s")] == [1]


def test_a_damaged_segment_that_cannot_be_rebuilt_stays_as_it_is():
    disk = SimulatedDisk()
    sealing = sealer()
    EvidenceStore(disk, FOLDER).append("s", [record(each, sealing.seal("s", [b"one"])) for each in (1, 2, 3)])
    path = next(iter(disk.files))
    disk.files[path].durable[200] ^= 1
    before = bytes(disk.files[path].durable)
    asked = []
    found = EvidenceStore(disk, FOLDER).recover(lambda stream, last: asked.append((stream, last)) or False)
    assert (found, asked) == ({"s": 1}, [("s", 1)])
    assert disk.files[path].durable == before


def test_records_end_where_they_stop_verifying():
    data = encode_record(1, b"one") + encode_record(2, b"two")

    def found(data):
        records, end = scan_records(data)
        return [(each.number, each.sealed) for each in records], end

    assert found(data) == ([(1, b"one"), (2, b"two")], len(data))
    assert found(data + b"junk")[1] == len(data)
    assert found(data[:-1])[0] == [(1, b"one")]
    assert found(b"") == ([], 0)
    assert [each.digest for each in scan_records(data)[0]] == [
        record_digest(1, b"one"),
        record_digest(2, b"two"),
    ]
