from ringfort.ledger.entry import StatementEnd, check, encode
from ringfort.ledger.entry_templates import AdmittedReader, AdmittedTemplate, StatementForm
from ringfort.ledger.entry_traffic import SessionEnded, StatementRefused, StatementsEnded
from ringfort.record.open_work import ENDS_MOST, OpenWork

OWN = {"time": "2026-11-21T10:00:00Z", "actor": "worker-1"}
NOW = "2026-11-21T10:00:01Z"


def opened(session):
    return b'{"session":"%b","type":"SessionOpened"}' % session.encode()


def admit(work, session, seq):
    entry = AdmittedTemplate("worker-1", session).render(
        seq, 3, StatementForm("read", "{}"), "a" * 64, OWN["time"]
    )
    reader = AdmittedReader()
    assert reader.read(entry) is not None
    work.statements.add(reader.statement)


def note(work, entry):
    spec, values = check(encode(entry))
    work.noted(spec.kind.TYPE, values)


def ends(work, *ended):
    note(work, StatementsEnded(**OWN, ended=tuple(StatementEnd(*each) for each in ended)))


def test_who_ends_everything_leaves_nothing():
    work = OpenWork()
    work.appended([opened("s"), b'{"type":"PrincipalRegistered","name":"\\"type\\":\\"SessionOpened\\""}'])
    assert work
    admit(work, "s", 1)
    ends(work, ("s", 1, 5, 50, "complete"))
    note(
        work,
        SessionEnded(**OWN, session="s", outcome="closed by the client", statements=1, rows=5, bytes=50),
    )
    assert not work
    assert work.lost(NOW, "writer") == []


def test_what_a_lost_client_left_open_is_ended_with_what_is_known():
    work = OpenWork()
    work.appended([opened("s"), opened("t")])
    admit(work, "s", 1)
    admit(work, "s", 2)
    ends(work, ("s", 1, 5, 50, "complete"))
    note(
        work, StatementRefused(**OWN, session="t", seq=7, control=1, sqlstate="42501", reason="", evidence="")
    )
    statements, *sessions = work.lost(NOW, "writer")
    assert [tuple(vars(each).values()) for each in statements.ended] == [("s", 2, 0, 0, "worker lost")]
    assert [(each.session, each.outcome, each.statements, each.rows, each.bytes) for each in sessions] == [
        ("s", "worker lost", 2, 5, 50),
        ("t", "worker lost", 7, 0, 0),
    ]
    assert {each.actor for each in (statements, *sessions)} == {"writer"}
    assert not work


def test_many_ends_are_several_entries():
    work = OpenWork()
    for seq in range(1, 2 * ENDS_MOST + 2):
        admit(work, "s", seq)
    entries = work.lost(NOW, "writer")
    assert [len(each.ended) for each in entries] == [ENDS_MOST, ENDS_MOST, 1]
    assert all(len(encode(each)) < 65_535 for each in entries)
