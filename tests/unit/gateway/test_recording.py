import hashlib
import re

from tests.unit.gateway.simulators import SimulatedLedger, SimulatedLoop

from ringfort.gateway.recording import ENDS_MOST, EndsBatch, StatementRecorder, session_ended
from ringfort.ledger.entry import StatementEnd, decode
from ringfort.ledger.entry_templates import StatementForm
from ringfort.record.stamps import Salts, Stamps


def test_entries_are_canonical():
    ledger = SimulatedLedger()
    recorder = StatementRecorder(ledger, "worker-0", "s1", lambda durable: None)
    assert recorder.admit(StatementForm("read", '{"from":["t"]}'), b"QSELECT") == 1
    assert recorder.refuse("42501", "not on the list", b"QDROP") == 2
    for entry, evidence in zip(ledger.entries, ledger.evidence, strict=True):  # decoded strictly
        assert entry.evidence == hashlib.sha256(evidence).hexdigest()
    assert ledger.evidence[0][32:] == b"QSELECT"
    assert ledger.evidence[0][:32] != ledger.evidence[1][:32]


def test_ends_are_batched_and_canonical():
    ledger, loop = SimulatedLedger(), SimulatedLoop()
    ends = EndsBatch(ledger, "worker-0", loop)
    ends.add("s1", [(1, 2, 3, "complete")])
    ends.add("s2", [(1, 0, 0, "failed"), (2, 0, 0, "skipped")])
    assert (ledger.notes, len(loop.timers)) == ([], 1)
    loop.timers[0]()
    assert ledger.notes[0].ended == (
        StatementEnd("s1", 1, 2, 3, "complete"),
        StatementEnd("s2", 1, 0, 0, "failed"),
        StatementEnd("s2", 2, 0, 0, "skipped"),
    )


def test_many_ends_are_cut_into_entries_that_fit():
    ledger = SimulatedLedger()
    ends = EndsBatch(ledger, "worker-0", SimulatedLoop())
    ends.add("s" * 24, [(number, 2**53 - 1, 2**53 - 1, "complete") for number in range(1, 1001)])
    assert [len(note.ended) for note in ledger.notes] == [ENDS_MOST, ENDS_MOST, 1000 - 2 * ENDS_MOST]


def test_the_end_of_a_session():
    entry = decode(session_ended("worker-0", "s1", "client gone", statements=3, rows=2, size=1))
    assert (entry.TYPE, entry.outcome, entry.statements) == ("SessionEnded", "client gone", 3)


def test_stamps_are_rfc_3339_and_grow():
    stamps = Stamps()
    seen = [stamps.now() for _ in range(50)]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", each) for each in seen)
    assert sorted(seen) == seen


def test_salts_are_never_given_twice():
    salts = Salts()
    drawn = [salts.take() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert {len(each) for each in drawn} == {32}
