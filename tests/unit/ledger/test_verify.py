from __future__ import annotations

import random

import pytest
from tests.unit.ledger.ledger_in_memory import (
    BASIC,
    DIGEST,
    SHARD,
    MemoryLedger,
    admitted,
    ended,
    session_opened,
    setup_entries,
    signer,
    small_ledger,
)

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_traffic as traffic
from ringfort.ledger.checkpoint import Checkpoint
from ringfort.ledger.entry import encode
from ringfort.ledger.errors import NoteError
from ringfort.ledger.merkle import EMPTY_ROOT
from ringfort.ledger.tiles import decode_bundle
from ringfort.ledger.verify import verify

VKEY = signer("control").key.text
TRAFFIC = f"traffic/{SHARD}"


def check(ledger, **options):
    return verify(ledger, names=ledger.names, **options)


def published(*traffic_entries, reference=True):
    ledger = MemoryLedger()
    if reference:
        ledger.reference()
    ledger.add_traffic(*traffic_entries)
    ledger.publish()
    return ledger


def only_problem(report):
    assert len(report.problems) == 1, [str(each) for each in report.problems]
    return report.problems[0]


def test_a_sound_ledger_verifies():
    ledger = small_ledger()
    report = check(ledger, vkey=VKEY)
    assert report.problems == []
    assert report.trusted
    assert [(each.log, each.size) for each in report.logs] == [("control", 7), (TRAFFIC, 9)]
    assert report.entries == 16
    assert report.unended == 2
    assert report.state.policy == DIGEST


def test_without_a_key_the_ledger_is_only_consistent():
    report = check(small_ledger())
    assert report.ok
    assert not report.trusted
    assert report.vkey == VKEY


def test_another_key_is_a_violation_and_no_key_is_refused():
    other = signer("another").key.text
    problem = only_problem(check(small_ledger(), vkey=other))
    assert problem.resource == "control/checkpoint"
    with pytest.raises(NoteError):
        check(small_ledger(), vkey="nonsense")


def bad_entry_of(path, data, position):
    """The entries that a change at `position` of a resource may be blamed on; None: the checkpoint."""
    _log, _, rest = path.partition("/tile/")
    if not rest:
        return None
    level, _, number = rest.partition("/")
    if level != "entries":
        return {position // 32}
    width = int(number.partition(".p/")[2])
    start = 0
    for index, entry in enumerate(decode_bundle(data, width)):
        start += 2 + len(entry)
        if position < start:
            return {index}
    raise AssertionError(position)


def test_every_changed_byte_is_found_and_the_entry_named():
    ledger = small_ledger()
    randomness = random.Random(1)
    for path, data in list(ledger.store.items()):
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1 << randomness.randrange(8)
            ledger.store[path] = bytes(changed)
            report = check(ledger, vkey=VKEY)
            assert not report.ok, (path, position)
            first = report.problems[0]
            assert first.log == path.rpartition("/checkpoint")[0] or path.startswith(first.log + "/tile/")
            blamed = bad_entry_of(path, data, position)
            if blamed is None:
                assert first.index is None
                assert first.resource == path
            else:
                assert first.index in blamed, (path, position, str(first))
        ledger.store[path] = data
    assert check(ledger, vkey=VKEY).ok


def test_changed_bytes_are_found_in_a_ledger_of_several_tiles():
    ledger = MemoryLedger()
    ledger.reference()
    size = ledger.control.size
    for seq in range(600):
        ledger.add_traffic(admitted("s1", seq, size))
        if seq % 200 == 0:
            ledger.publish()
    ledger.publish()
    assert check(ledger).ok
    assert f"{TRAFFIC}/tile/1/000.p/2" in ledger.store
    randomness = random.Random(2)
    for path, data in list(ledger.store.items()):
        for position in {0, len(data) - 1, *(randomness.randrange(len(data)) for _ in range(3))}:
            changed = bytearray(data)
            changed[position] ^= 1 << randomness.randrange(8)
            ledger.store[path] = bytes(changed)
            report = check(ledger, vkey=VKEY)
            assert not report.ok, (path, position)
            if path == f"{TRAFFIC}/tile/0/001":
                assert report.problems[0].index == 256 + position // 32
                assert "hash in the tile" in report.problems[0].why
            if path == f"{TRAFFIC}/tile/1/000.p/2":
                assert report.problems[0].index == position // 32 * 256
        ledger.store[path] = data


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 100])
def test_a_resource_cut_short_or_missing_is_found(cut):
    whole = small_ledger()
    for path in whole.store:
        ledger = small_ledger()
        ledger.store[path] = ledger.store[path][:cut]
        assert not check(ledger).ok, path


def test_a_missing_resource_is_found():
    for path in small_ledger().store:
        ledger = small_ledger()
        del ledger.store[path]
        current = ".p/7" if path.startswith("control/") else ".p/9"
        left_over = ".p/" in path and not path.endswith(current)
        assert check(ledger).ok == left_over, path


def test_a_signed_checkpoint_of_another_tree_is_found():
    ledger = small_ledger()
    size = ledger.traffic.size
    for checkpoint in (
        Checkpoint(signer(TRAFFIC).key.name, size, bytes(32)),
        Checkpoint(signer(TRAFFIC).key.name, size + 1, ledger.traffic.root()),
        Checkpoint(signer(TRAFFIC).key.name, (1 << 62), ledger.traffic.root()),
        Checkpoint(signer(TRAFFIC).key.name, 0, EMPTY_ROOT),
        Checkpoint("ledger.example/another", size, ledger.traffic.root()),
    ):
        ledger.store[f"{TRAFFIC}/checkpoint"] = checkpoint.sign([signer(TRAFFIC)])
        report = check(ledger)
        assert report.problems[0].log == TRAFFIC, checkpoint


def test_a_log_cut_back_behind_its_anchor_is_found():
    ledger = MemoryLedger()
    ledger.reference()
    ledger.add_traffic(admitted("s1", 0, 6))
    ledger.publish()
    short = dict(ledger.store)
    ledger.add_traffic(admitted("s1", 1, 6))
    ledger.publish()
    ledger.anchor()
    ledger.publish()
    assert check(ledger).ok
    ledger.store.update({path: data for path, data in short.items() if path.startswith(TRAFFIC)})
    problem = only_problem(check(ledger))
    assert "anchors" in problem.why
    assert problem.log == TRAFFIC


def test_a_rewritten_traffic_log_contradicts_its_anchor():
    ledger = small_ledger()
    rewritten = MemoryLedger()
    rewritten.reference()
    rewritten.add_traffic(*(admitted("s1", seq + 10, 6) for seq in range(8)))
    rewritten.publish()
    ledger.store.update({path: data for path, data in rewritten.store.items() if path.startswith(TRAFFIC)})
    problem = check(ledger).problems[0]
    assert (problem.log, problem.index) == (TRAFFIC, 6)
    assert "anchors" in problem.why


@pytest.mark.parametrize(
    ("entries", "index", "why"),
    [
        ([admitted("s1", 0, 5)], 1, "nothing before it refers to"),
        ([admitted("nobody", 0, 6)], 1, "not opened"),
        ([admitted("s1", 0, 6), admitted("s1", 0, 6)], 2, "twice"),
        ([ended(("s1", 7))], 1, "not admitted"),
        ([control.CatalogueActivated(**BASIC, catalogue=DIGEST)], 1, "does not belong"),
        ([b"{}"], 1, "type and version"),
        ([encode(admitted("s1", 0, 6)) + b" "], 1, "canonical"),
        ([b'{"type":"Surprise","v":1}'], 1, "unknown type"),
        ([traffic.ControlReferenced(**BASIC, size=6, root=DIGEST)], 1, "root"),
        ([traffic.ControlReferenced(**BASIC, size=99, root=DIGEST)], 1, "99"),
    ],
)
def test_traffic_that_does_not_follow_is_found(entries, index, why):
    problem = only_problem(check(published(*entries)))
    assert (problem.log, problem.index) == (TRAFFIC, index)
    assert why in problem.why


def test_traffic_without_any_reference_is_found():
    problem = only_problem(check(published(ended(), reference=False)))
    assert (problem.log, problem.index) == (TRAFFIC, 0)


@pytest.mark.parametrize(
    "entry",
    [
        control.PrincipalRemoved(**BASIC, name="nobody"),
        session_opened("s2", principal="nobody"),
        control.ShardOpened(**BASIC, shard=SHARD, origin="x", vkey="y"),
        control.TrafficAnchored(**BASIC, origin="x", size=1, root=DIGEST),
        admitted("s1", 0, 1),
        b"not json",
    ],
)
def test_control_that_does_not_follow_is_found(entry):
    ledger = MemoryLedger(*setup_entries(), entry)
    ledger.publish()
    problem = only_problem(check(ledger))
    assert (problem.log, problem.index) == ("control", 5)


def test_a_missing_blob_is_found():
    assert check(small_ledger(), has_blob=lambda _: True).ok
    problem = only_problem(check(small_ledger(), has_blob=lambda _: False))
    assert (problem.log, problem.index) == ("control", 2)


def test_a_closed_shard_must_end_as_control_says():
    ledger = small_ledger()
    closing = {"shard": SHARD, "origin": signer(TRAFFIC).key.name, "size": 9}
    ledger.add_control(control.ShardClosed(**BASIC, **closing, root=DIGEST))
    ledger.publish()
    assert not check(ledger).ok
    ledger = small_ledger()
    ledger.add_control(control.ShardClosed(**BASIC, **closing, root=ledger.traffic.root().hex()))
    ledger.publish()
    assert check(ledger).ok
    for path in [each for each in ledger.store if each.startswith(TRAFFIC)]:
        del ledger.store[path]
    report = check(ledger)
    assert report.ok
    assert [each.dropped for each in report.logs] == [False, True]


def test_a_ledger_that_grows_while_it_is_read_verifies():
    ledger = small_ledger()

    class Growing:
        def read(self, path):
            data = ledger.read(path)
            if path == f"{TRAFFIC}/checkpoint" and ledger.control.size == 7:
                ledger.add_control(session_opened("s2"))
                ledger.reference()
                ledger.publish()
                return ledger.read(path)
            return data

    report = verify(Growing())
    assert report.ok, report.problems
    assert report.logs[0].size == 8


def test_nothing_at_all_is_a_report():
    assert not verify(_Empty()).ok
    assert verify(_Empty(), vkey=VKEY).problems[0].resource == "control/checkpoint"


class _Empty:
    def read(self, path):
        del path
