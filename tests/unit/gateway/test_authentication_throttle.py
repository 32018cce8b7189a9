"""How often a password may be guessed."""

import pytest

from ringfort.config import AuthenticationConfig
from ringfort.gateway.authentication_throttle import Refusal, Throttle, network_of

SETTINGS = AuthenticationConfig(
    failures_before_delay=3, address_failures_before_delay=6, delay_seconds=1.0, longest_delay_seconds=60.0
)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    return Throttle(SETTINGS, clock)


def fail(throttle, principal="ann", address="192.0.2.1"):
    attempt = throttle.begin(principal, address)
    if isinstance(attempt, Refusal):
        return False
    throttle.end(attempt, "failed")
    return True


def succeed(throttle, principal="ann", address="192.0.2.1"):
    attempt = throttle.begin(principal, address)
    if isinstance(attempt, Refusal):
        return False
    throttle.end(attempt, "succeeded")
    return True


def test_delays_double_up_to_the_longest(throttle, clock):
    assert [fail(throttle, address=f"192.0.2.{n}") for n in range(3)] == [True] * 3
    waits = []
    for number in range(9):
        start = clock.now
        while not fail(throttle, address=f"192.0.2.{100 + number}"):
            clock.now += 0.5
        waits.append(clock.now - start)
    assert waits[:6] == [1, 2, 4, 8, 16, 32]
    assert max(waits[6:]) == 60
    assert sum(waits) >= 60 * (12 - 3 - 7)  # what is not waited for now is not forgotten meanwhile


def test_a_principal_is_guessed_once_in_the_longest_delay_from_any_number_of_addresses(throttle, clock):
    guesses = 0
    for step in range(6000):
        guesses += fail(throttle, address=f"2001:db8:{step % 5000:x}::1")
        clock.now += 1
    assert guesses <= 6000 / 60 + 3 + 7


def test_an_address_is_counted_over_all_names(throttle, clock):
    assert sum(fail(throttle, f"name {n}", f"2001:db8::{n:x}") for n in range(100)) == 6
    clock.now += 1
    assert fail(throttle, "other", "2001:db8::ffff")
    assert not fail(throttle, "another", "2001:db8::1")
    assert fail(throttle, "another", "2001:db8:0:1::1")


def test_a_success_forgets_the_principals_failures_not_the_addresses(throttle, clock):
    for _ in range(3):
        assert fail(throttle, "victim", "192.0.2.9")
        assert succeed(throttle, "own", "192.0.2.9")
    for _ in range(3):
        fail(throttle, f"more {_}", "192.0.2.9")
    assert not succeed(throttle, "own", "192.0.2.9")


def test_who_is_where_he_always_is_is_not_kept_out(throttle):
    assert succeed(throttle, "ann", "192.0.2.1")
    for n in range(50):
        fail(throttle, "ann", f"198.51.100.{n}")
    assert not succeed(throttle, "ann", "203.0.113.1")
    assert succeed(throttle, "ann", "192.0.2.1")


def test_after_a_delay_one_attempt_at_a_time(throttle, clock):
    for n in range(3):
        fail(throttle, address=f"192.0.2.{n}")
    clock.now += 1
    first = throttle.begin("ann", "192.0.2.50")
    assert isinstance(throttle.begin("ann", "192.0.2.51"), Refusal)
    throttle.end(first, "abandoned")
    second = throttle.begin("ann", "192.0.2.51")
    assert isinstance(second, int)
    clock.now += 121  # its worker died: nobody says how it went
    assert isinstance(throttle.begin("ann", "192.0.2.52"), int)


def test_many_at_once_cost_their_time_afterwards(throttle, clock):
    attempts = [throttle.begin("ann", f"192.0.2.{n}") for n in range(100)]
    for attempt in attempts:
        throttle.end(attempt, "failed")
    guesses = 0
    for _ in range(97):
        clock.now += 60
        guesses += fail(throttle, address="203.0.113.7")
    assert guesses <= 97


def test_many_at_once_with_the_right_password(throttle):
    attempts = [throttle.begin("ann", "192.0.2.1") for _ in range(300)]
    assert all(isinstance(each, int) for each in attempts)
    for attempt in attempts:
        throttle.end(attempt, "succeeded")


def test_going_away_is_no_guess(throttle):
    for _ in range(100):
        throttle.end(throttle.begin("ann", "192.0.2.1"), "abandoned")
    assert succeed(throttle)


def test_the_first_refusal_of_a_delay_is_told_apart(throttle, clock):
    for n in range(3):
        fail(throttle, address=f"192.0.2.{n}")
    assert throttle.begin("ann", "192.0.2.9") == Refusal(True)
    assert throttle.begin("ann", "192.0.2.9") == Refusal(False)
    clock.now += 1
    assert fail(throttle)
    assert throttle.begin("ann", "192.0.2.9") == Refusal(True)


def test_memory_is_bounded(clock):
    throttle = Throttle(SETTINGS, clock, most=100)
    for n in range(5000):
        fail(throttle, f"name {n}", f"2001:db8:{n:x}::1")
    assert len(throttle._records) == 100
    for n in range(20_000):
        throttle.begin(f"name {n}", "x")
    assert len(throttle._attempts) <= 8192


def test_unknown_numbers_are_nothing(throttle):
    for number in (-1, 0, 7, 10**30):
        throttle.end(number, "failed")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("somewhere", "somewhere"),
    ],
)
def test_places(address, place):
    assert network_of(address) == place
