from datetime import UTC, datetime, timedelta

import pytest

from ringfort.gateway.clock_watch import ClockContradictsError, ClockWatch, Deadline, require_clock
from ringfort.ledger.entry import format_time
from ringfort.ledger.folds import ControlState

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("jump", [-86_400.0, -5.0, 5.0, 3_600.0])
def test_a_jump_of_the_clock_is_seen_once(jump):
    watch = ClockWatch(1_000.0, 50.0)
    assert watch.look(1_001.0, 51.0) == 0
    assert watch.look(1_002.0 + jump, 52.0) == jump
    assert watch.look(1_003.0 + jump, 53.0) == 0


def test_small_corrections_are_none():
    watch = ClockWatch(1_000.0, 50.0)
    assert watch.look(1_002.0, 51.0) == 0
    assert watch.look(1_002.5, 52.0) == 0


@pytest.mark.parametrize("back", [0.0, 30.0, 86_400.0])
def test_a_clock_that_is_set_back_prolongs_nothing(back):
    deadline = Deadline(1_600.0, 1_000.0, 50.0)
    assert deadline.left(1_100.0, 150.0) == 500
    assert deadline.left(1_100.0 - back, 150.0) == 500
    assert deadline.left(1_600.0 - back, 650.0) <= 0


def test_a_clock_that_is_set_forward_ends_at_once():
    assert Deadline(1_600.0, 1_000.0, 50.0).left(2_000.0, 60.0) < 0


@pytest.mark.parametrize(
    ("ahead", "decides"), [(-3_600, True), (0, True), (59, True), (61, False), (10**7, False)]
)
def test_nothing_is_decided_while_the_clock_is_behind_the_record(ahead, decides):
    state = ControlState(time=format_time(NOW + timedelta(seconds=ahead)))
    if decides:
        require_clock(state, NOW)
        return
    with pytest.raises(ClockContradictsError) as caught:
        require_clock(state, NOW)
    assert (caught.value.sqlstate, "time service" in caught.value.hint) == ("57P03", True)


def test_an_empty_record_contradicts_no_clock():
    require_clock(ControlState(), NOW)
