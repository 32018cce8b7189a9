"""AES-CMAC in columns is AES-CMAC: `cryptography`'s own, one value at a time, is the oracle."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from ringfort.privacy.cmac import CHUNK, LONG_BLOCKS, Cmac

KEYS = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
INT8 = st.integers(-(2**63), 2**63 - 1)


def oracle(key, message):
    one = CMAC(algorithms.AES(key))
    one.update(message)
    return one.finalize()


def column(messages):
    data = np.frombuffer(b"".join(messages), np.uint8)
    return data, np.cumsum([0, *(len(each) for each in messages)])


@given(KEYS, st.lists(st.binary(max_size=80), max_size=40))
def test_messages_of_any_length(key, messages):
    tags = Cmac(key).messages(*column(messages))
    assert [bytes(each) for each in tags] == [oracle(key, each) for each in messages]


@given(KEYS, st.lists(st.binary(min_size=16, max_size=16), max_size=40))
def test_single_blocks(key, messages):
    blocks = np.frombuffer(b"".join(messages), np.uint8).reshape(-1, 16)
    tags = Cmac(key).blocks(blocks)
    assert [bytes(each) for each in tags] == [oracle(key, each) for each in messages]


@given(KEYS, st.binary(min_size=8, max_size=8), st.lists(INT8, max_size=40))
def test_integers_and_back(key, label, values):
    cmac = Cmac(key)
    tags = cmac.integers(label, np.array(values, np.int64))
    assert [bytes(each) for each in tags] == [
        oracle(key, label + v.to_bytes(8, "big", signed=True)) for v in values
    ]
    opened, valid = cmac.open_integers(label, tags)
    assert opened.tolist() == values
    assert valid.all()


def test_what_is_no_tag_of_the_key_does_not_open():
    cmac = Cmac(bytes(16))
    _, valid = cmac.open_integers(b"label-01", cmac.integers(b"label-02", np.arange(100)))
    assert not valid.any()


def test_several_chunks_and_very_long_messages():
    rng = np.random.default_rng(7)
    sizes = rng.integers(0, 70, 2 * CHUNK + 3)
    sizes[[5, CHUNK - 1, CHUNK]] = [LONG_BLOCKS * 16, LONG_BLOCKS * 16 + 1, 100_000]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    data = rng.integers(0, 256, offsets[-1], np.uint8)
    tags = Cmac(b"k" * 16).messages(data, offsets)
    for row in [0, 1, 5, CHUNK - 1, CHUNK, CHUNK + 1, len(sizes) - 1, *range(100, 2 * CHUNK, 999)]:
        message = data[offsets[row] : offsets[row + 1]].tobytes()
        assert tags[row].tobytes() == oracle(b"k" * 16, message)
    values = rng.integers(-(2**62), 2**62, 2 * CHUNK + 3)
    cmac = Cmac(b"k" * 16)
    assert (cmac.open_integers(b"12345678", cmac.integers(b"12345678", values))[0] == values).all()


def test_nothing_gives_nothing():
    assert Cmac(bytes(16)).messages(np.empty(0, np.uint8), np.zeros(1, np.int64)).shape == (0, 16)
    assert Cmac(bytes(16)).integers(bytes(8), np.empty(0, np.int64)).shape == (0, 16)


@pytest.mark.parametrize("size", [0, 15, 17, 33])
def test_a_key_of_another_size_is_refused(size):
    with pytest.raises(ValueError):
        Cmac(bytes(size))
