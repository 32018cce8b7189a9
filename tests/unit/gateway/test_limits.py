import pytest

from ringfort.gateway.limits import SessionClock
from ringfort.gateway.settings import Limits


class Watched:
    """A session looked at once a second."""

    def __init__(self, **limits):
        self.clock = SessionClock(Limits(**limits), 0.0)
        self.now = 0.0
        self.statements = 0

    def pass_seconds(self, seconds, statements=0, **facts):
        """The first end within `seconds`, each with `statements`; None if it goes on."""
        for _ in range(seconds):
            self.now += 1.0
            self.statements += statements
            facts = {"at_work": False, "in_transaction": False} | facts
            end = self.clock.look(self.now, (self.statements,), **facts)
            if end is not None:
                return end
        return None


def test_nothing_ends_a_session_without_limits():
    assert Watched().pass_seconds(100_000) is None


def test_an_idle_session_ends():
    watched = Watched(idle_seconds=10)
    assert watched.pass_seconds(9, statements=1) is None
    assert watched.pass_seconds(9) is None
    end = watched.pass_seconds(1)
    assert (end.sqlstate, end.outcome) == ("57P05", "idle")


def test_an_idle_transaction_ends_with_a_state_of_its_own():
    assert Watched(idle_seconds=10).pass_seconds(11, in_transaction=True).sqlstate == "25P03"


def test_who_waits_for_an_answer_is_not_idle():
    watched = Watched(idle_seconds=10)
    assert watched.pass_seconds(1_000, at_work=True) is None
    assert watched.clock.idle(watched.now) == 0
    assert watched.pass_seconds(9) is None
    assert watched.pass_seconds(1) is not None


def test_a_session_ends_after_its_time_however_busy():
    watched = Watched(session_seconds=100)
    assert watched.pass_seconds(99, statements=1) is None
    assert watched.pass_seconds(1, at_work=True) == (
        "53400",
        "the session has reached its limit of time",
        "connect again: a new decision is made",
        "limit of time",
    )


@pytest.mark.parametrize(("rate", "ends"), [(1, False), (2, True)])
def test_statements_in_a_minute(rate, ends):
    end = Watched(statements_per_minute=60).pass_seconds(600, statements=rate)
    assert (end is not None) == ends
    if ends:
        assert (end.sqlstate, end.outcome) == ("53400", "limit of statements")


def test_a_burst_is_forgotten_after_a_minute_and_not_before():
    watched = Watched(statements_per_minute=100)
    assert watched.pass_seconds(1, statements=100) is None
    assert watched.pass_seconds(60) is None
    assert watched.pass_seconds(1, statements=100) is None
    assert watched.pass_seconds(30) is None
    assert watched.pass_seconds(1, statements=1) is not None
