"""The writer's core on a simulated disk: what it refuses, and how it refuses to start."""

from __future__ import annotations

import hashlib

import pytest
from tests.faults.record.ledger_at_work import (
    FOLDER,
    CountingRandomness,
    FixedClock,
    Work,
    admitted,
    basic,
    ledger_entries,
    open_core,
    session_opened,
)
from tests.faults.record.simulated_disk import File, SimulatedDisk

from ringfort.errors import RingfortError
from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_traffic as traffic
from ringfort.ledger.entry import decode, encode
from ringfort.ledger.errors import ConditionFailedError, EntryError, FoldError
from ringfort.ledger.folds import Condition
from ringfort.ledger.verify import verify
from ringfort.record.core import MAX_EVIDENCE_BYTES, ROUND_BYTES
from ringfort.record.errors import LedgerBehindError, RecordError, RefusedError
from ringfort.record.store import FolderStore


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def core(clock):
    made = open_core(SimulatedDisk(), clock)
    made.stage_control(
        [
            encode(
                control.PolicyActivated(
                    **basic(clock), bundle=hashlib.sha256(b"bundle").hexdigest(), evaluator="e"
                )
            ),
            encode(
                control.CatalogueActivated(**basic(clock), catalogue=hashlib.sha256(b"catalogue").hexdigest())
            ),
            registered(clock, "maeve"),
        ],
        blobs=[b"bundle", b"catalogue"],
    )
    made.commit()
    return made


def registered(clock, name):
    return encode(
        control.PrincipalRegistered(**basic(clock), name=name, country="IE", employer="", role="support")
    )


def removed(clock, name):
    return encode(control.PrincipalRemoved(**basic(clock), name=name))


def test_a_new_ledger_says_who_it_is(core):
    assert core.durable_control == 5
    first = decode(core.control_entries(0)[0])
    assert isinstance(first, control.LogOpened)
    assert first.vkey == core.control.vkey
    assert core.state.shards["2026-11"].origin == "ledger.example/test/traffic/2026-11"


def test_nothing_is_told_before_it_is_durable(core, clock):
    core.stage_control([registered(clock, "una")])
    assert core.durable_control == 5
    assert len(core.control_entries(0)) == 5
    core.commit()
    assert core.durable_control == 6


def test_conditions_guard_appends(core, clock):
    size = core.durable_control
    core.stage_control([registered(clock, "una")], condition=Condition(("principal:una",), size))
    with pytest.raises(ConditionFailedError):
        core.stage_control([removed(clock, "una")], condition=Condition(("principal:una",), size))
    core.stage_control([removed(clock, "una")], condition=Condition(("principal:una",), size + 1))


def test_several_entries_are_appended_all_or_none(core, clock):
    before = core.state.copy()
    with pytest.raises(FoldError):
        core.stage_control([registered(clock, "una"), removed(clock, "nobody")])
    assert core.state == before
    assert not core.commit()
    assert core.stage_control([registered(clock, "una"), removed(clock, "una")]) == [5, 6]


@pytest.mark.parametrize(
    "entry",
    [
        lambda clock: encode(control.LogOpened(**basic(clock), origin="x", vkey="y")),
        lambda clock: encode(control.TrafficAnchored(**basic(clock), origin="x", size=1, root="ab" * 32)),
        lambda clock: encode(traffic.StatementsEnded(**basic(clock), ended=())),
        lambda clock: encode(session_opened(clock, "s1", b"not given")),
        lambda clock: registered(clock, "una") + b" ",
    ],
)
def test_what_does_not_belong_in_control_is_refused(core, clock, entry):
    with pytest.raises((RefusedError, EntryError)):
        core.stage_control([entry(clock)])
    assert not core.commit()


def test_what_does_not_belong_in_traffic_is_refused(core, clock):
    piece = bytes(32) + b"select 1"
    good = admitted(clock, "s1", 0, core.durable_control, piece)
    for data, evidence in (
        (good, b""),
        (good, piece + b"x"),
        (good + b" ", piece),
        (registered(clock, "una"), b""),
        (encode(traffic.ControlReferenced(**basic(clock), size=1, root="ab" * 32)), b""),
        (encode(traffic.StatementsEnded(**basic(clock), ended=())), piece),
        (admitted(clock, "s1", 0, core.durable_control + 1, piece), piece),
    ):
        with pytest.raises((RefusedError, EntryError)):
            core.stage_traffic(data, evidence)
    assert not core.commit()
    core.stage_traffic(good, piece)
    assert core.commit()


def test_a_stale_control_size_is_refused_after_the_stated_time(core, clock):
    old = core.durable_control
    core.stage_control([registered(clock, "una")])
    core.commit()
    piece = bytes(32)
    clock.advance(9)
    core.stage_traffic(admitted(clock, "s1", 0, old, piece), piece)
    clock.advance(2)
    with pytest.raises(RefusedError, match="out of date"):
        core.stage_traffic(admitted(clock, "s1", 1, old, piece), piece)
    core.stage_traffic(admitted(clock, "s1", 2, old + 1, piece), piece)


def test_each_control_size_is_referred_to_once(core, clock):
    piece = bytes(32)
    first = core.durable_control
    core.stage_traffic(admitted(clock, "s1", 0, first, piece), piece)
    core.stage_control([registered(clock, "una")])
    core.commit()
    for seq, size in enumerate((first + 1, first, first + 1), start=1):
        core.stage_traffic(admitted(clock, "s1", seq, size, piece), piece)
        core.commit()
    core.close()
    entries = [decode(each) for each in ledger_entries(core.disk)["traffic/2026-11"]]
    assert [(type(each).__name__, getattr(each, "size", None)) for each in entries] == [
        ("ControlReferenced", first),
        ("StatementAdmitted", None),
        ("ControlReferenced", first + 1),
        ("StatementAdmitted", None),
        ("StatementAdmitted", None),
        ("StatementAdmitted", None),
    ]


def test_rounds_keep_the_merge_delay_and_then_rest(core):
    assert core.round_due() is not None
    for _ in range(3):
        publication = core.begin_round()
        if publication is None:
            break
        assert core.round_due() is None
        core.publish(publication)
        core.end_round(publication)
    assert core.begin_round() is None
    assert core.round_due() is None


def test_a_round_begins_at_once_when_much_evidence_waits(core, clock):
    assert core.round_due() > core._monotonic()
    piece = bytes(MAX_EVIDENCE_BYTES)
    for seq in range(3):
        core.stage_traffic(admitted(clock, "s1", seq, core.durable_control, piece), piece)
        core.commit()
    assert core.pending_bytes > ROUND_BYTES
    assert core.round_due() <= core._monotonic()
    publication = core.begin_round()
    assert core.pending_bytes == 0
    core.publish(publication)
    core.end_round(publication)


def test_without_an_evidence_key_evidence_is_refused(clock):
    from ringfort.record.core import LedgerCore, LedgerSettings

    settings = LedgerSettings(FOLDER, "ledger.example/test", bytes(32), segment_bytes=16_384)
    core = LedgerCore(settings, clock=clock, randomness=CountingRandomness(), disk=SimulatedDisk())
    core.open()
    with pytest.raises(RefusedError):
        core.stage_traffic(admitted(clock, "s1", 0, core.durable_control, bytes(32)), bytes(32))


def finished():
    disk = SimulatedDisk()
    work = Work(disk)
    work.run()
    return disk, work.clock


def snapshot(disk):
    copy = SimulatedDisk()
    copy.folders = set(disk.folders)
    copy.files = {path: File(bytearray(file.content())) for path, file in disk.files.items()}
    return copy


def half_done():
    disk = SimulatedDisk()
    Work(disk, FixedClock()).run(groups=4)
    return disk


def parts(disk, *names):
    return {path: file for path, file in disk.files.items() if path.relative_to(FOLDER).parts[0] in names}


@pytest.mark.parametrize(
    "names", [("journal",), ("control",), ("traffic",), ("journal", "traffic"), ("journal", "control")]
)
def test_a_partly_restored_backup_does_not_start_or_loses_nothing(names):
    disk, clock = finished()
    entries = ledger_entries(disk)
    old = half_done()
    for path in parts(disk, *names):
        del disk.files[path]
    disk.files.update(parts(old, *names))
    try:
        open_core(disk, clock).close()
    except RecordError:
        return
    # Older tiles, but the journal still holds all that they lack: the very same tree again.
    assert names == ("traffic",)
    assert ledger_entries(disk)["traffic/2026-11"] == entries["traffic/2026-11"]
    assert verify(FolderStore(FOLDER, disk)).ok


def test_a_missing_journal_does_not_start():
    disk, clock = finished()
    for path in parts(disk, "journal"):
        del disk.files[path]
    with pytest.raises(LedgerBehindError, match="journal"):
        open_core(disk, clock)


def test_another_key_or_origin_does_not_start():
    disk, clock = finished()
    from ringfort.record.core import LedgerCore, LedgerSettings

    for settings in (
        LedgerSettings(FOLDER, "ledger.example/test", bytes(32)),
        LedgerSettings(FOLDER, "ledger.example/other", bytes(range(32))),
    ):
        with pytest.raises(RingfortError):
            LedgerCore(settings, clock=clock, randomness=CountingRandomness(), disk=snapshot(disk)).open()


def test_a_changed_published_entry_does_not_start():
    disk, clock = finished()
    for path, file in disk.files.items():
        if "control/tile/entries" in str(path):
            file.durable[10] ^= 1
    with pytest.raises(LedgerBehindError):
        open_core(disk, clock)


def test_a_checkpoint_changed_by_somebody_else_stops_the_writer(core):
    publication = core.begin_round()
    core.publish(publication)
    core.end_round(publication)
    path = FOLDER / "control" / "checkpoint"
    core.disk.files[path] = File(bytearray(b"another"))
    core.stage_control([registered(core._clock, "una")])
    core.commit()
    publication = core.begin_round()
    with pytest.raises(RecordError, match="not the one"):
        core.publish(publication)
    with pytest.raises(RecordError):
        core.commit()


def test_months_follow_one_another(clock):
    disk = SimulatedDisk()
    core = open_core(disk, clock)
    shards = []
    for _ in range(3):
        core.stage_traffic(encode(traffic.StatementsEnded(**basic(clock), ended=())))
        core.commit()
        shards.append(core.current_shard().shard)
        clock.advance(31 * 86_400)
    core.current_shard()
    core.commit()
    core.close()
    report = verify(FolderStore(FOLDER, disk))
    assert report.ok, report.problems
    assert shards == ["2026-11", "2026-12", "2027-01"]
    assert [each.closed is not None for each in report.state.shards.values()] == [True, True, True, False]
    again = open_core(disk, clock)
    assert set(again.shards) == {"2027-03"} or set(again.shards) == {"2027-01", "2027-03"}
    again.close()


def test_a_clock_that_goes_back_a_month_goes_on_in_the_newest_shard(clock):
    core = open_core(SimulatedDisk(), clock)
    clock.advance(86_400 * 2)
    core.current_shard()
    core.commit()
    core.close()
    clock.advance(-86_400 * 2)
    again = open_core(core.disk, clock)
    again.stage_traffic(encode(traffic.StatementsEnded(**basic(clock), ended=())))
    again.commit()
    assert again.shards["2026-12"].size == 2
