from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.faults.record.simulated_disk import SimulatedDisk

from ringfort.record.errors import JournalError
from ringfort.record.journal import (
    GROUP_OVERHEAD,
    SEGMENT_HEADER_BYTES,
    Journal,
    scan_segment,
    segment_numbers,
)
from ringfort.record.records import (
    BlobRecord,
    ControlRecord,
    EvidenceRecord,
    TrafficRecord,
    decode_records,
    encode_records,
)

FOLDER = Path("/journal")
SEGMENT = 8_192


def bodies(count, size=700):
    randomness = random.Random(count)
    return [bytes([number % 255 + 1]) + randomness.randbytes(size - 1) for number in range(count)]


def written(groups):
    disk = SimulatedDisk()
    journal = Journal(disk, FOLDER, SEGMENT)
    assert journal.recover() == []
    for each in groups:
        journal.append(each)
    return disk, journal


def recovered(disk):
    journal = Journal(disk, FOLDER, SEGMENT)
    return journal, [each.body for each in journal.recover()]


def segment(disk, number=1):
    return disk.files[FOLDER / f"{number:08d}.seg"].durable


def test_what_was_appended_is_found_again_and_goes_on():
    groups = bodies(30)
    disk, _ = written(groups[:20])
    assert len(disk.names(FOLDER)) == 2
    journal, found = recovered(disk)
    assert found == groups[:20]
    for each in groups[20:]:
        journal.append(each)
    journal.close()
    assert recovered(disk)[1] == groups
    assert [each.number for each in Journal(disk, FOLDER, SEGMENT).recover()] == list(range(1, 31))


def test_a_group_larger_than_a_segment_gets_its_own():
    groups = [b"a" * 10, b"b" * 50_000, b"c" * 10]
    disk, _ = written(groups)
    assert recovered(disk)[1] == groups


def test_a_prepared_segment_is_taken():
    disk, journal = written(bodies(6))
    assert journal.wants_spare()
    journal.prepare()
    assert "spare" in disk.names(FOLDER)
    for each in bodies(10):
        journal.append(each)
    assert "spare" not in disk.names(FOLDER)
    assert len(recovered(disk)[1]) == 16


def test_segments_go_when_their_groups_are_durable_elsewhere():
    groups = bodies(40)
    disk, journal = written(groups)
    assert journal.first_segment == 1
    journal.release(25)
    kept = recovered(disk)[1]
    assert kept == groups[40 - len(kept) :]
    assert 15 <= len(kept) < 40
    journal.release(40)
    assert len(disk.names(FOLDER)) == 1
    journal.append(b"more")
    assert recovered(disk)[1][-1] == b"more"


def test_every_changed_byte_of_what_was_written_is_refused():
    groups = bodies(4, 150)
    disk, _ = written(groups)
    data = segment(disk)
    end = scan_segment(bytes(data), 1).end
    for position in range(end):
        data[position] ^= 1 << position % 8
        with pytest.raises(JournalError):
            recovered(disk)
        data[position] ^= 1 << position % 8
    assert recovered(disk)[1] == groups


def test_bytes_far_behind_the_end_belong_to_no_acknowledged_group():
    disk, _ = written(bodies(3))
    segment(disk)[-1] = 7
    assert recovered(disk)[1] == bodies(3)
    assert segment(disk)[-1] == 0


def test_a_write_cut_off_at_any_sector_is_cleared():
    groups = bodies(5, 1_500)
    whole, _ = written(groups)
    final = bytes(segment(whole))
    before = len(groups[0]) * 4 + GROUP_OVERHEAD * 4 + SEGMENT_HEADER_BYTES
    end = before + GROUP_OVERHEAD + 1_500
    sectors = list(range(before // 512, (end - 1) // 512 + 1))
    for missing in range(1, 1 << len(sectors)):
        disk, _ = written(groups)
        data = segment(disk)
        for bit, sector in enumerate(sectors):
            if missing >> bit & 1:
                start, stop = max(before, sector * 512), min(end, sector * 512 + 512)
                data[start:stop] = bytes(stop - start)
        journal, found = recovered(disk)
        assert found == groups[:4]
        assert not any(segment(disk)[before:])
        journal.append(groups[4])
        assert bytes(segment(disk)) == final
        assert recovered(disk)[1] == groups


def test_a_group_lost_in_the_middle_is_refused():
    groups = bodies(5, 1_500)
    start = SEGMENT_HEADER_BYTES + GROUP_OVERHEAD + 1_500
    for sector in range(start // 512 + 1, (start + GROUP_OVERHEAD + 1_500) // 512):
        disk, _ = written(groups)
        segment(disk)[sector * 512 : sector * 512 + 512] = bytes(512)
        with pytest.raises(JournalError):
            recovered(disk)


def test_segments_must_follow_one_another():
    disk, _ = written(bodies(40))
    names = disk.names(FOLDER)
    assert len(names) > 3
    without_middle = SimulatedDisk()
    without_middle.files = {path: file for path, file in disk.files.items() if path.name != names[1]}
    with pytest.raises(JournalError, match="missing"):
        recovered(without_middle)
    first, second = disk.files[FOLDER / names[1]], disk.files[FOLDER / names[2]]
    first.durable, second.durable = second.durable, first.durable
    with pytest.raises(JournalError):
        recovered(disk)


def test_a_torn_group_is_refused_where_a_segment_follows():
    disk, _ = written(bodies(20))
    data = segment(disk)
    end = scan_segment(bytes(data), 1).end
    data[end - 600 : end] = bytes(600)
    with pytest.raises(JournalError):
        recovered(disk)


def test_segment_names():
    assert segment_numbers(["00000002.seg", "00000001.seg", "spare", "x.seg", "00000003.seg.new"]) == [1, 2]


def test_records_round_trip():
    records = [
        BlobRecord(b"blob"),
        ControlRecord(7, (b"one", b"", b"three")),
        TrafficRecord("2026-11", 1 << 40, (b"x" * 65_535,)),
        EvidenceRecord("2026-11", b"sealed"),
        ControlRecord(0, ()),
    ]
    assert decode_records(encode_records(records)) == records
    assert decode_records(b"") == []


@pytest.mark.parametrize("cut", range(1, 40))
def test_records_cut_short_are_refused(cut):
    body = encode_records([TrafficRecord("2026-11", 3, (b"one", b"two"))])
    if cut < len(body):
        with pytest.raises(JournalError):
            decode_records(body[:-cut])
    with pytest.raises(JournalError):
        decode_records(b"Z" + body[1:])
