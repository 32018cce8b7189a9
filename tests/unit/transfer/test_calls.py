"""Calls within a process: several at once, results in order, and nobody goes on where another failed."""

import threading

import pytest

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.transfer.calls import AT_ONCE, go_on, in_process

SECONDS = 60.0


def names():
    return [each.name for each in threading.enumerate() if each.name.startswith("ringfort-part")]


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_results_come_in_the_order_of_the_items(count):
    later = {each: threading.Event() for each in range(count)}

    def call(_common, number):
        if number % 2 == 0 and number + 1 in later:  # the one after it ends first
            assert later[number + 1].wait(SECONDS)
        later[number].set()
        return number

    assert list(in_process(call, None, range(count))) == list(range(count))
    assert not names()


def test_some_run_at_once_and_no_more():
    together = threading.Barrier(AT_ONCE, timeout=SECONDS)
    running, most, lock = [0], [0], threading.Lock()

    def call(_common, number):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait()
        with lock:
            running[0] -= 1
        return number

    assert len(list(in_process(call, None, range(4 * AT_ONCE)))) == 4 * AT_ONCE
    assert most[0] == AT_ONCE


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (UsageError("as it is"), UsageError),
        (ValueError("7654321"), MissingEnvironmentError),
        (MemoryError(), MissingEnvironmentError),
    ],
)
def test_a_fault_ends_the_calls_beside_it(fault, told):
    begun, ended = threading.Event(), []

    def call(_common, number):
        if number == 0:
            assert begun.wait(SECONDS)
            raise fault
        begun.set()
        wait = threading.Event()
        try:
            while True:  # as long as somebody waits for it
                go_on()
                wait.wait(0.01)
        finally:
            ended.append(number)

    with pytest.raises(told) as raised:
        list(in_process(call, None, range(20)))
    assert "7654321" not in str(raised.value)
    assert 1 in ended
    assert not names()


def test_who_stops_in_the_middle_leaves_no_call():
    def call(_common, number):
        wait = threading.Event()
        while number:
            go_on()
            wait.wait(0.01)
        return number

    results = in_process(call, None, range(20))
    assert next(results) == 0
    results.close()
    assert not names()


def test_a_call_by_itself_goes_on():
    go_on()
