"""The order in which texts are read: nobody starves, nothing dropped is read, nothing waits for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ringfort.gateway.text_queue import SHORT_BYTES, Budgets, TextQueue, WaitingText

PRINCIPALS = st.sampled_from(["ann", "ben", "cat", "dan", "eve"])
SESSIONS = st.integers(0, 3).map(str)
SIZES = st.sampled_from([10, 100, SHORT_BYTES, SHORT_BYTES + 1, 200_000])


@given(
    backlog=st.lists(st.tuples(PRINCIPALS, SESSIONS), min_size=1, max_size=60),
    short=st.booleans(),
    victim=st.tuples(PRINCIPALS, st.integers(0, 9).map("v{}".format)),
)
def test_with_k_principals_waiting_a_new_sessions_text_is_read_within_k_turns_of_its_principal(
    backlog, short, victim
):
    queue = TextQueue()
    size = 10 if short else 200_000
    for principal, session in backlog:
        queue.put(WaitingText(principal, session, size, 0.0))
    late = WaitingText(*victim, size, 0.0)
    queue.put(late)
    principals = len({each.principal for each in queue})
    sessions = len({each.session for each in queue if each.principal == late.principal})
    for _ in range(principals * sessions):
        if queue.take(1.0, long=not short, short=short) is late:
            break
    else:
        pytest.fail("the text was not read in its turn")


@given(
    pouring=st.integers(1, 50),
    sessions=st.integers(1, 8),
    others=st.integers(1, 6),
)
def test_one_principal_with_many_sessions_gets_one_share(pouring, sessions, others):
    queue = TextQueue()
    for number in range(pouring):
        queue.put(WaitingText("flood", str(number % sessions), 10, 0.0))
    for number in range(others):
        queue.put(WaitingText(f"other{number}", "s", 10, 0.0))
    first = [queue.take(0.0, long=False).principal for _ in range(min(others + 1, pouring + others))]
    assert first.count("flood") == 1


def test_who_is_over_budget_waits_behind_who_is_not_and_is_forgiven_in_a_minute():
    queue = TextQueue(budgets=Budgets(session=10.0, principal=20.0))
    queue.budgets.charge("ann", "heavy", 11.0, 0.0)
    queue.put(WaitingText("ann", "heavy", 10, 0.0))
    for number in range(3):
        queue.put(WaitingText("ben", str(number), 10, 0.0))
    queue.put(WaitingText("ann", "light", 10, 0.0))
    order = [queue.take(0.0, long=True) for _ in range(5)]
    assert order[-1].session == "heavy"
    assert queue.budgets.exceeded("ann", "heavy", 1.0)
    assert not queue.budgets.exceeded("ann", "heavy", 30.0)
    queue.budgets.charge("ann", "light", 12.0, 1.0)
    assert queue.budgets.exceeded("ann", "new", 1.5)  # many sessions spend one principal's budget


def test_what_is_remembered_of_spending_is_bounded():
    budgets = Budgets()
    budgets.charge("heavy", "s", 100.0, 0.0)
    for number in range(10_000):
        budgets.charge(f"p{number}", "s", 0.001, 0.0)
    assert len(budgets._accounts) <= 4_096
    assert budgets.exceeded("heavy", "s", 1.0)


def test_a_short_text_never_waits_behind_a_long_one():
    queue = TextQueue()
    for number in range(20):
        queue.put(WaitingText("ann", str(number), 200_000, 0.0))
    queue.put(WaitingText("ann", "0", 10, 0.0))
    assert queue.take(0.0, long=False).size == 10
    assert queue.take(0.0, long=False) is None
    assert queue.take(0.0, long=True).size == 200_000


def test_the_only_lane_that_has_texts_is_read_by_all_who_may():
    queue = TextQueue()
    queue.put(WaitingText("ann", "s", 10, 0.0))
    assert queue.take(0.0, long=True).size == 10


class QueueMachine(RuleBasedStateMachine):
    """Texts come, go, are read and grow old; a plain list says what must be there."""

    def __init__(self):
        super().__init__()
        self.queue = TextQueue(wait_seconds=10.0, most_texts=12, most_bytes=900_000)
        self.waiting = []
        self.dropped = []
        self.now = 0.0

    @rule(principal=PRINCIPALS, session=SESSIONS, size=SIZES)
    def put(self, principal, session, size):
        text = WaitingText(principal, session, size, self.now)
        weights = {}
        for each in [*self.waiting, text]:
            weights[each.principal] = weights.get(each.principal, 0) + each.size + 1_024
        refused = self.queue.put(text)
        self.waiting.append(text)
        for each in refused:
            self.waiting.remove(each)
            self.dropped.append(each)
        if refused:  # it hits whoever has most waiting
            assert refused[0].principal in {
                who for who, weight in weights.items() if weight == max(weights.values())
            }

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def abandon(self, data):
        text = data.draw(st.sampled_from(self.waiting))
        assert self.queue.drop(text)
        assert not self.queue.drop(text)
        self.waiting.remove(text)
        self.dropped.append(text)

    @rule(long=st.booleans(), seconds=st.sampled_from([0.0, 0.01, 2.0]))
    def take(self, long, seconds):
        text = self.queue.take(self.now, long=long)
        if text is None:
            assert not [each for each in self.waiting if long or each.short]
            return
        assert text not in self.dropped
        assert long or text.short
        same = [
            each
            for each in self.waiting
            if (each.principal, each.session, each.short) == (text.principal, text.session, text.short)
        ]
        assert same[0] is text  # a session's texts are read in their order
        self.waiting.remove(text)
        self.dropped.append(text)
        self.queue.budgets.charge(text.principal, text.session, seconds, self.now)

    @rule(seconds=st.floats(0.1, 12.0))
    def time_goes_on(self, seconds):
        self.now += seconds
        for text in self.queue.overdue(self.now):
            self.waiting.remove(text)
            self.dropped.append(text)

    @invariant()
    def holds_what_waits(self):
        assert set(self.queue) == set(self.waiting)
        assert len(self.queue) <= 12
        assert sum(each.size + 1_024 for each in self.waiting) == self.queue._bytes
        if self.waiting:
            assert self.queue.next_overdue == min(each.since for each in self.waiting) + 10.0
        else:
            assert self.queue.next_overdue is None
            assert not self.queue._of_principal


TestQueueMachine = QueueMachine.TestCase
