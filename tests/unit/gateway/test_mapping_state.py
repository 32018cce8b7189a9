"""How far the pseudonyms of a column are, and what is said of it."""

import pytest

from ringfort.gateway.mapping_state import (
    LONGEST_PAUSE,
    Progress,
    Stage,
    Waiting,
    client_words,
    fault_words,
    together,
)


def test_a_column_is_filled_once():
    progress = Progress()
    assert progress.waiting(0) == Waiting()
    progress.begin(1000, 0.0)
    assert progress.waiting(5) == Waiting()
    progress.done = 250
    assert progress.waiting(10) == Waiting(25, 30)
    progress.done = 5000  # the statistics were old
    assert progress.waiting(10).percent == 99
    progress.finish()
    assert progress.waiting(10) is None
    progress.begin(1000, 20.0)  # what is new is looked for: views stay readable
    assert progress.filled


def test_a_fault_is_tried_again_after_longer_and_longer_and_told_once():
    progress = Progress()
    progress.begin(-1, 0)
    assert progress.fail("locked", 100.0, 1e9)
    assert progress.stage is Stage.WAITING
    assert progress.waiting(0) == Waiting(fault=True)
    pauses = []
    for _ in range(10):
        assert not progress.fail("locked", 100.0, 2e9)
        pauses.append(progress.due - 100.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert progress.since == 1e9
    assert progress.fail("away", 100.0, 3e9)
    progress.finish()
    assert (progress.fault, progress.waiting(0)) == ("", None)


def test_a_filled_column_stays_readable_with_a_fault_and_not_after_a_loss():
    progress = Progress()
    progress.begin(1, 0)
    progress.finish()
    progress.fail("locked", 0, 0)
    assert progress.waiting(0) is None
    assert progress.fault == "locked"
    progress.lose()
    assert progress.waiting(0) == Waiting(fault=True)


def test_of_several_the_longest_counts():
    assert together([]) is None
    assert together([Waiting(40, 7), Waiting(10, 90)]) == Waiting(10, 90)
    assert together([Waiting(40, 7), Waiting()]) == Waiting(-1, -1)
    assert together([Waiting(40, 7), Waiting(fault=True)]) == Waiting(fault=True)
    assert [each.soon for each in (Waiting(), Waiting(90, 5), Waiting(3, 300), Waiting(fault=True))] == [
        True, True, False, False
    ]  # fmt: skip


def test_clients_hear_per_cent_and_seconds_and_no_rows():
    assert client_words(["people"], Waiting(34, 40)) == (
        "the pseudonyms of people are being prepared: 34 %, about 40 s left",
        "come again in 40 s",
    )
    assert client_words(["b", "a"], Waiting())[0] == "the pseudonyms of a, b are being prepared"
    message, hint = client_words(["people"], Waiting(fault=True))
    assert message == "people cannot be read at present"
    assert "operator" in hint
    assert Waiting.from_json(Waiting(34, 40).to_json()) == Waiting(34, 40)


@pytest.mark.parametrize("sqlstate", ["55P03", "57014", "42501", "55000", "22012", "08001", "HV00N", "P0001"])
def test_operators_hear_why(sqlstate):
    assert sqlstate in fault_words(sqlstate)
    assert fault_words(None)
