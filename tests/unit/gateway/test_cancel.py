import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ringfort.gateway.board import SLOTS
from ringfort.gateway.cancel import LONG_KEY, CancelForwarder, is_key, make_key, slot_of
from ringfort.pgwire.startup import CancelRequest


@given(st.integers(0, SLOTS - 1), st.booleans())
def test_a_key_names_its_worker(slot, long):
    process, secret = make_key(slot, {}, long=long)
    assert slot_of(process) == slot
    assert 0 < process < 1 << 31
    assert len(secret) == (LONG_KEY if long else 4)


def test_numbers_are_not_taken_twice():
    taken = {}
    for _ in range(1_000):
        process, secret = make_key(3, taken, long=False)
        assert process not in taken
        taken[process] = secret
    assert len(set(taken.values())) > 990


def test_only_the_whole_secret_is_the_key():
    assert is_key(b"abcd", b"abcd")
    assert not is_key(b"abce", b"abcd")
    assert not is_key(b"abc", b"abcd")
    assert not is_key(b"abcd" * 8, b"abcd")
    assert not is_key(bytes(4), None)


def test_a_request_for_a_worker_that_is_not_there_is_dropped(tmp_path):
    asyncio.run(CancelForwarder(str(tmp_path)).forward(CancelRequest(0xFFFF_FFFF, b"abcd")))
    asyncio.run(CancelForwarder("").forward(CancelRequest(1, b"abcd")))
