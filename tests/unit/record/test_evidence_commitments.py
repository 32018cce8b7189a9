"""What control entries commit: evidence that is missing, halved, emptied, reordered, exchanged or foreign."""

from __future__ import annotations

import json

import pytest
from tests.faults.record.ledger_at_work import (
    FOLDER,
    FixedClock,
    Work,
    admitted,
    basic,
    open_core,
    session_opened,
)
from tests.faults.record.simulated_disk import File, SimulatedDisk

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_control_evidence as entries
from ringfort.ledger.entry import EvidenceStream, JournalPosition, decode, encode
from ringfort.ledger.errors import EntryError, FoldError
from ringfort.ledger.evidence import encode_record, scan_records
from ringfort.record.errors import LedgerBehindError
from ringfort.record.verify import verify_folder

EVIDENCE = FOLDER / "evidence"


@pytest.fixture(scope="module")
def worked():
    """A month's end on the way, several rounds, several segments."""
    disk = SimulatedDisk()
    Work(disk).run()
    # each run of a writer begins a segment of its own
    for _ in range(2):
        Work(disk, FixedClock(FixedClock().moment.replace(month=12, day=5))).more(open_core)
    return disk


@pytest.fixture
def disk(worked):
    made = SimulatedDisk()
    made.files = {path: File(bytearray(file.content())) for path, file in worked.files.items()}
    made.folders = set(worked.folders)
    return made


def verified(disk):
    return verify_folder(FOLDER, disk=disk)


def problems(disk):
    return [str(each) for each in verified(disk).report.problems]


def segments(disk, stream=""):
    return sorted(path for path in disk.files if EVIDENCE in path.parents and stream in str(path))


def records(disk, path):
    return [(each.number, each.sealed) for each in scan_records(disk.files[path].content())[0]]


def put(disk, path, found):
    disk.files[path] = File(bytearray(b"".join(encode_record(*each) for each in found)))


def test_a_sound_folder_verifies_and_says_how_much_was_looked_at(disk):
    findings = verified(disk)
    assert [str(each) for each in findings.report.problems] == []
    assert [each.stream for each in findings.streams] == ["2026-11", "2026-12"]
    assert sum(each.groups for each in findings.streams) == 9 + 2 * 2
    assert all((each.before, each.uncovered) == (0, 0) for each in findings.streams)
    assert findings.uncommitted == 0
    assert len(findings.notes) == 1
    assert "private key" in findings.notes[0]


def remove_all(disk):
    for path in segments(disk):
        del disk.files[path]


def empty_all(disk):
    for path in segments(disk):
        disk.files[path] = File()


def halve_a_segment(disk):
    path = segments(disk)[0]
    data = disk.files[path].content()
    disk.files[path] = File(bytearray(data[: len(data) // 2]))


def cut_at_a_record(disk):
    path = segments(disk)[0]
    put(disk, path, records(disk, path)[:-1])


def cut_the_first_record(disk):
    path = segments(disk)[0]
    put(disk, path, records(disk, path)[1:])


def leave_out_one_in_the_middle(disk):
    path = segments(disk)[0]
    found = records(disk, path)
    put(disk, path, [*found[:2], *found[3:]])


def reorder(disk):
    path = segments(disk)[0]
    found = records(disk, path)
    put(disk, path, [found[1], found[0], *found[2:]])


def renumber(disk):
    path = segments(disk)[0]
    (one, first), (two, second), *rest = records(disk, path)
    put(disk, path, [(one, second), (two, first), *rest])


def exchange_one(disk):
    path = segments(disk)[0]
    found = records(disk, path)
    put(disk, path, [*found[:1], (found[1][0], found[1][1][:-1] + b"x"), *found[2:]])


def a_group_twice(disk):
    path = segments(disk)[0]
    found = records(disk, path)
    put(disk, path, [*found, found[-1]])


def a_foreign_group_between(disk):
    path = segments(disk)[0]
    (one, first), *rest = records(disk, path)
    put(disk, path, [(one, first), (one + 1, b"foreign"), *rest])


def a_foreign_group_behind(disk):
    path = segments(disk)[-1]
    put(disk, path, [*records(disk, path), (10**6, b"foreign")])


def a_foreign_segment(disk):
    put(disk, EVIDENCE / "2026-12" / "0000000001000000.seg", [(10**6, b"foreign")])


def a_foreign_stream(disk):
    put(disk, EVIDENCE / "2026-10" / "0000000000000001.seg", [(1, b"foreign")])


def a_stream_beside(disk):
    put(disk, EVIDENCE / "2026-12.x" / "0000000000000001.seg", [(1, b"foreign")])


def remove_one_segment_of_several(disk):
    del disk.files[segments(disk, "2026-12")[-1]]


def remove_a_stream(disk):
    for path in segments(disk, "2026-11"):
        del disk.files[path]


def one_byte(disk):
    data = bytearray(disk.files[segments(disk)[0]].content())
    data[100] ^= 1
    disk.files[segments(disk)[0]] = File(data)


def behind_the_last_record(disk):
    path = segments(disk, "2026-11")[0]
    disk.files[path] = File(bytearray(disk.files[path].content() + b"more"))


@pytest.mark.parametrize(
    ("change", "stream", "why"),
    [
        (remove_all, "2026-11", "are missing"),
        (empty_all, "2026-12", "are missing"),
        (halve_a_segment, "2026-11", "are missing"),
        (cut_at_a_record, "2026-11", "1 of 6 groups that control entry"),
        (cut_the_first_record, "2026-11", "are missing"),
        (leave_out_one_in_the_middle, "2026-11", "are missing"),
        (reorder, "2026-11", "stands after group"),
        (renumber, "2026-11", "are not those that control entry"),
        (exchange_one, "2026-11", "are not those that control entry"),
        (a_group_twice, "2026-11", "stands after group"),
        (a_foreign_group_between, "2026-11", "there are more groups than control entry"),
        (a_foreign_group_behind, "2026-12", "are in no commitment"),
        (a_foreign_segment, "2026-12", "are in no commitment"),
        (a_foreign_stream, "2026-10", "is of a shard that the control log does not know"),
        (a_stream_beside, "2026-12.x", "are in no commitment"),
        (remove_one_segment_of_several, "2026-12", "are missing"),
        (remove_a_stream, "2026-11", "3 of 3 groups"),
        (one_byte, "2026-11", "damaged at byte"),
        (behind_the_last_record, "2026-11", "damaged at byte"),
    ],
)
def test_what_became_of_evidence_is_told_with_its_place(disk, change, stream, why):
    change(disk)
    found = [each for each in problems(disk) if each.startswith(f"evidence/{stream}:")]
    assert found, problems(disk)
    assert why in found[0]


def test_which_groups_are_missing_is_narrowed_by_the_commitments(disk):
    path = segments(disk, "2026-12")[-1]
    kept = [each.stream for each in verified(disk).report.commitments if each.stream.stream == "2026-12"]
    put(disk, path, records(disk, path)[:-1])
    (problem,) = problems(disk)
    assert f"between group {kept[-2].last} and group {kept[-1].last}" in problem


def test_one_entry_a_round_that_has_evidence_and_no_round_of_its_own():
    work = Work(SimulatedDisk())
    work.run(groups=3)  # one round in it, then the end
    kinds = [decode(data).TYPE for log, _, data, _ in entries_of(work.disk) if log == "control"]
    assert kinds.count("EvidenceCommitted") == 1
    core = open_core(work.disk, work.clock)
    size = core.control.size
    core.close()
    for _ in range(3):  # nothing new: the writer may come and go, and adds nothing
        core = open_core(work.disk, work.clock)
        assert core.round_due() is None
        core.close()
        assert core.control.size == size


def entries_of(disk):
    from tests.faults.record.ledger_at_work import ledger_entries

    for log, found in ledger_entries(disk).items():
        for index, data in enumerate(found):
            yield log, index, data, True


def test_a_ledger_from_before_is_neither_failed_nor_passed_as_checked(disk, monkeypatch):
    """Its writer made no commitments; then a writer of today goes on with it."""
    from ringfort.record.core import LedgerCore

    old = SimulatedDisk()
    with monkeypatch.context() as before:
        before.setattr(LedgerCore, "_commit_evidence", lambda _: None)
        Work(old).run(groups=3)
    del old.files[FOLDER / "acknowledged"]
    findings = verified(old)
    assert [str(each) for each in findings.report.problems] == []
    assert findings.uncommitted == 18
    size = findings.report.state.size
    assert any(f"evidence before entry {size} is not committed" in each for each in findings.notes)
    assert findings.streams[0].before == 3
    Work(old, FixedClock()).more(open_core)
    findings = verified(old)
    assert [str(each) for each in findings.report.problems] == []
    assert findings.uncommitted == 18
    first = findings.report.committed_from
    assert any(f"evidence before entry {first} is not committed" in each for each in findings.notes)
    assert (findings.streams[0].before, findings.streams[0].groups) == (3, 2)
    for path in segments(old)[1:]:
        del old.files[path]
    assert any("are missing" in each for each in problems(old))


def committed(clock, *streams, journals=()):
    return entries.EvidenceCommitted(**basic(clock), streams=streams, journals=journals)


def stream(last=5, groups=2, pieces=3, **other):
    values = {"stream": "2026-11", "after": 0, "last": last, "groups": groups, "pieces": pieces, **other}
    return EvidenceStream(**{"chain": "ab" * 32, **values})


@pytest.fixture
def state():
    core = open_core(SimulatedDisk(), FixedClock())
    return core.state


@pytest.mark.parametrize(
    "made",
    [
        lambda c: committed(c, stream(last=4)),
        lambda c: committed(c, stream(last=5, groups=3, pieces=4)),
        lambda c: committed(c, stream(last=6, groups=2, pieces=4)),
        lambda c: committed(c, stream(last=6, groups=3, pieces=3)),
        lambda c: committed(c, stream(last=6, groups=3, pieces=4, after=1)),
        lambda c: committed(c, stream(stream="2026-10")),
        lambda c: committed(c, stream(stream="2026-11.a", last=0)),
        lambda c: committed(c, stream(stream="2026-11.a", groups=4, pieces=3)),
        lambda c: committed(c, journals=(JournalPosition("writer", 7, "ab" * 32),)),
        lambda c: entries.EvidenceDropped(
            **basic(c), streams=(stream(),), before="2026-12-01T00:00:00Z", by="x"
        ),
    ],
)
def test_commitments_only_grow(state, made):
    clock = FixedClock()
    first = committed(clock, stream(), journals=(JournalPosition("writer", 7, "ab" * 32),))
    state.apply(first)
    before = state.copy()
    with pytest.raises(FoldError):
        state.apply(made(clock))
    assert state == before
    state.apply(committed(clock, stream(last=6, groups=3, pieces=4)))


def test_lists_of_streams_are_strict():
    clock = FixedClock()
    sound = encode(committed(clock, stream(), stream(stream="2026-11.a")))
    assert encode(decode(sound)) == sound
    values = json.loads(sound)
    for change in (
        lambda v: v["streams"].reverse(),
        lambda v: v["streams"].append(v["streams"][1]),
        lambda v: v["streams"][0].update(more=1),
        lambda v: v["streams"][0].pop("after"),
        lambda v: v["streams"][0].update(last=-1),
        lambda v: v["streams"][0].update(chain="x"),
        lambda v: v.update(streams={}),
    ):
        changed = json.loads(json.dumps(values))
        change(changed)
        with pytest.raises(EntryError):
            decode(json.dumps(changed, sort_keys=True, separators=(",", ":")).encode())


def test_only_the_writer_commits(state):
    core = open_core(SimulatedDisk(), FixedClock())
    from ringfort.record.errors import RefusedError

    with pytest.raises(RefusedError):
        core.stage_control([encode(committed(FixedClock(), stream()))])


# The journal's end


def journal_of(disk):
    return sorted(path for path in disk.files if path.parent == FOLDER / "journal")


def killed():
    """A writer that is gone without an orderly end, with acknowledged entries in the journal only."""
    disk = SimulatedDisk()
    work = Work(disk)
    work.run(groups=3)
    core = open_core(disk, work.clock)
    for name in ("una", "aoife", "ciara"):
        core.stage_control(
            [
                encode(
                    control.PrincipalRegistered(
                        **basic(work.clock), name=name, country="IE", employer="", role="support"
                    )
                )
            ]
        )
        core.commit()
    return disk, work.clock


def test_an_unpublished_tail_verifies_and_what_cannot_be_told_is_said():
    disk, _ = killed()
    findings = verified(disk)
    assert [str(each) for each in findings.report.problems] == []
    assert findings.pending == 3
    assert findings.mark.number == findings.journal.number
    assert any("cannot be told" in each for each in findings.notes)


def test_evidence_that_is_in_the_journal_only_is_counted():
    disk = SimulatedDisk()
    work = Work(disk)
    work.begin(open_core)
    core = open_core(disk, work.clock)
    core.stage_control([encode(session_opened(work.clock, "s", b"input"))], blobs=[b"input"])
    core.commit()
    for seq in range(3):
        piece = bytes(32) + b"%d" % seq
        core.stage_traffic(admitted(work.clock, "s", seq, core.durable_control, piece), piece)
        core.commit()
        findings = verified(disk)
        assert findings.ok, [str(each) for each in findings.report.problems]
        assert findings.in_journal == seq + 1
        assert any("not committed yet" in each for each in findings.notes)
    core.close()
    assert verified(disk).in_journal == 0


def test_a_writer_goes_on_when_evidence_is_missing_and_says_so(disk, caplog):
    for path in segments(disk, "2026-12"):
        del disk.files[path]
    core = open_core(disk, FixedClock(FixedClock().moment.replace(month=12, day=6)))
    core.close()
    seen = [getattr(each, "event", "") for each in caplog.records]
    assert any("evidence/2026-12: " in each for each in problems(disk))
    assert seen == ["evidence-missing"]


def test_a_zeroed_tail_is_no_crash():
    disk, clock = killed()
    path = journal_of(disk)[-1]
    from ringfort.record.journal import scan_segment

    data = bytearray(disk.files[path].content())
    scan = scan_segment(bytes(data), int(path.name[:8]))
    start = data.find(scan.groups[-1].body) - 52
    data[start:] = bytes(len(data) - start)
    disk.files[path] = File(data)
    assert any("what was acknowledged since is missing" in each for each in problems(disk))
    with pytest.raises(LedgerBehindError):
        open_core(disk, clock)


def test_an_emptied_or_missing_journal_is_no_crash():
    for change in (
        lambda disk, path: disk.files.pop(path),
        lambda disk, path: disk.files.update({path: File()}),
        lambda disk, path: disk.files.update({path: File(bytearray(16_384))}),
    ):
        disk, clock = killed()
        for path in journal_of(disk):
            change(disk, path)
        assert problems(disk)
        with pytest.raises(Exception, match="journal"):
            open_core(disk, clock)


def test_an_emptied_journal_whose_notes_were_set_back_is_told_by_the_control_log():
    disk, clock = killed()
    for path in journal_of(disk):
        del disk.files[path]
    disk.files[FOLDER / "published"] = File(bytearray(b"0 " + b"00" * 32 + b"\n"))
    del disk.files[FOLDER / "acknowledged"]
    assert any("a control entry says that it reached group" in each for each in problems(disk))
    with pytest.raises(LedgerBehindError):
        open_core(disk, clock)


def test_after_an_orderly_end_nothing_is_left_over():
    disk = SimulatedDisk()
    work = Work(disk)
    work.run(groups=3)
    findings = verified(disk)
    assert findings.mark.closed
    assert not any("orderly" in each for each in findings.notes)
    other, _ = killed()
    disk.files.update({path: other.files[path] for path in journal_of(other)})
    assert any("orderly end" in each for each in problems(disk))


def test_a_changed_mark_is_told():
    disk, clock = killed()
    disk.files[FOLDER / "acknowledged"] = File(bytearray(b"running 1\n"))
    assert any("mark of what was acknowledged last has been changed" in each for each in problems(disk))
    with pytest.raises(LedgerBehindError):
        open_core(disk, clock)
    del disk.files[FOLDER / "acknowledged"]
    assert any("mark of what was acknowledged last is missing" in each for each in problems(disk))
