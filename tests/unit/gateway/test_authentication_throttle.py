"""How often a password may be guessed."""

import pytest

from ringfort.config import AuthenticationConfig
from ringfort.gateway.authentication_throttle import Busy, Refusal, Throttle, network_of

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


@pytest.mark.parametrize(
    ("names", "addresses", "most"),
    [
        (["ann"], [f"192.0.2.{n}" for n in range(200)], 3),
        ([f"name {n}" for n in range(200)], ["192.0.2.1"], 6),
        ([f"name {n}" for n in range(200)], [f"2001:db8::{n:x}" for n in range(200)], 6),
        (["ann"], [f"2001:db8::{n:x}" for n in range(200)], 3),
        (["ann"], ["192.0.2.1", "::ffff:192.0.2.1"] * 100, 3),
    ],
)
def test_a_bundle_gets_no_more_guesses_than_one_by_one(throttle, names, addresses, most):
    """All are opened before the first one ends; who is told to wait comes again when others have ended."""
    waiting = [(names[n % len(names)], addresses[n % len(addresses)]) for n in range(600)]
    guesses = 0
    while waiting:
        begun = [(each, throttle.begin(*each)) for each in waiting]
        waiting = [each for each, answer in begun if isinstance(answer, Busy)]
        for _, answer in begun:
            if isinstance(answer, int):
                guesses += 1
                throttle.end(answer, "failed")
    assert guesses <= most


def test_failures_leave_less_room_for_a_bundle(throttle):
    fail(throttle)
    attempts = [throttle.begin("ann", "192.0.2.1") for _ in range(10)]
    assert sum(isinstance(each, int) for each in attempts) == 2


def test_many_at_once_with_the_right_password_wait_for_each_other(throttle):
    waiting, entered = 300, 0
    while waiting:
        attempts = [throttle.begin("ann", "192.0.2.1") for _ in range(waiting)]
        assert not any(isinstance(each, Refusal) for each in attempts)
        for attempt in attempts:
            if isinstance(attempt, int):
                throttle.end(attempt, "succeeded")
                waiting, entered = waiting - 1, entered + 1
    assert entered == 300


def test_without_a_name_the_address_alone_is_counted(throttle):
    for _ in range(6):
        throttle.end(throttle.begin(None, "192.0.2.1"), "failed")
    assert isinstance(throttle.begin(None, "192.0.2.1"), Refusal)
    assert succeed(throttle, "", "192.0.2.2")


def test_what_is_in_flight_is_forgotten_when_it_ends_however_it_ends(throttle, clock):
    for outcome in ("failed", "succeeded", "abandoned"):
        throttle.end(throttle.begin("ann", "192.0.2.1"), outcome)
    for _ in range(5):
        throttle.begin("bob", "192.0.2.2")
    clock.now += 121
    throttle.begin("carl", "192.0.2.3")
    assert len(throttle._in_flight) == 2


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
        throttle.begin(f"name {n}" * 1000, f"address {n}")
    assert len(throttle._attempts) <= 8192
    assert len(throttle._in_flight) <= 2 * 8192
    assert all(len(name) == 16 for _, name in throttle._in_flight)


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
