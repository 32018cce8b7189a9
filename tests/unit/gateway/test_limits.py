import pytest

from ringfort.gateway.limits import MINUTE_LOOKS, SessionClock, SpentEvidence
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


def evidence_end(clock, rate, seconds, begun=0.0, already=0):
    """After how many seconds of so many bytes a second the session ends; 0 if it goes on."""
    for second in range(1, seconds + 1):
        sent = already + rate * second
        if clock.look(begun + second, (second,), sent, at_work=False, in_transaction=False) is not None:
            return second
    return 0


@pytest.mark.parametrize(("rate", "ends"), [(16, 0), (17, 59), (100, 11), (1_001, 1), (500, 3), (0, 0)])
def test_evidence_is_bounded_a_minute(rate, ends):
    assert evidence_end(SessionClock(Limits(evidence_bytes_per_minute=1_000), 0.0), rate, 600) == ends
    assert evidence_end(SessionClock(Limits(), 0.0), rate, 600) == 0


def test_evidence_of_long_ago_does_not_count():
    clock = SessionClock(Limits(evidence_bytes_per_minute=1_000), 0.0)
    assert evidence_end(clock, 900, 1) == 0
    for second in range(2, 63):
        assert clock.look(second, (1,), 900, at_work=False, in_transaction=False) is None
    assert clock.evidence_of_last_minute(900) == 0
    assert clock.look(64.0, (2,), 1_900, at_work=False, in_transaction=False) is None
    assert clock.look(65.0, (3,), 1_901, at_work=False, in_transaction=False).outcome == "limit of evidence"


def test_connecting_again_gains_no_evidence():
    limits, spent, now, total = Limits(evidence_bytes_per_minute=1_000), SpentEvidence(), 0.0, 0
    while now < 600:  # 100 bytes a second, in sessions too short to be caught each alone
        clock, lived = SessionClock(limits, now, spent.of("maeve", now)), 0
        for _ in range(3):
            now += 1
            if clock.look(now, (1,), lived, at_work=False, in_transaction=False) is not None:
                break
            lived, total = lived + 100, total + 100
        spent.add("maeve", now, clock.evidence_of_last_minute(lived))
    assert total <= 10 * 1_300
    assert spent.of("una", now) == 0
    assert spent.of("maeve", now + MINUTE_LOOKS) == 0
