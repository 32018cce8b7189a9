"""FF1 in columns is FF1: fastfpe (Rust) and libffx (Python) are the oracles; deciphering is the inverse."""

import fastfpe
import ffx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.privacy import digits
from ringfort.privacy.ff1 import CHUNK, FF1, fits

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
KEYS = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
TWEAKS = st.binary(max_size=40)
RADICES = st.integers(2, 36)


@st.composite
def columns(draw, radices=RADICES, longest=60):
    """Radix, and a few strings of one length that are a domain of a million or more."""
    radix = draw(radices)
    shortest = next(length for length in range(2, 99) if fits(radix, length))
    length = draw(st.integers(shortest, max(shortest, longest)))
    rows = draw(st.lists(st.lists(st.integers(0, radix - 1), min_size=length, max_size=length), max_size=4))
    return radix, np.array(rows, np.uint16 if radix > 256 else np.uint8).reshape(len(rows), length)


def text(row):
    return "".join(ALPHABET[each] for each in row)


@given(KEYS, columns(), TWEAKS)
def test_it_is_what_fastfpe_says(key, column, tweak):
    radix, numerals = column
    got = FF1(key, radix).encipher(numerals, tweak)
    said = [fastfpe.ff1.encrypt(key.hex(), tweak.hex(), ALPHABET[:radix], text(row)) for row in numerals]
    assert [text(row) for row in got] == said
    assert (FF1(key, radix).decipher(got, tweak) == numerals).all()


@given(KEYS, columns(longest=24), TWEAKS)
@settings(max_examples=30)
def test_it_is_what_libffx_says(key, column, tweak):
    radix, numerals = column
    got = FF1(key, radix).encipher(numerals, tweak)
    assert [text(row) for row in got] == [
        ffx.FF1(key, radix=radix).encrypt(text(row), tweak=tweak) for row in numerals
    ]


@given(KEYS, columns(st.sampled_from([37, 256, 1000, 65_536]), 12), TWEAKS)
def test_any_radix_comes_back_and_columns_are_single_strings(key, column, tweak):
    radix, numerals = column
    ff1 = FF1(key, radix)
    got = ff1.encipher(numerals, tweak)
    assert (got < radix).all()
    assert (ff1.decipher(got, tweak) == numerals).all()
    network = ff1._network(numerals.shape[1])
    assert [network.one(row.tolist(), tweak, inverse=False) for row in numerals] == got.tolist()


@given(KEYS, columns(), st.data())
def test_each_row_may_have_its_tweak(key, column, data):
    radix, numerals = column
    size = data.draw(st.integers(0, 24))
    tweaks = [data.draw(st.binary(min_size=size, max_size=size)) for _ in numerals]
    matrix = np.frombuffer(b"".join(tweaks), np.uint8).reshape(len(tweaks), size)
    ff1 = FF1(key, radix)
    got = ff1.encipher(numerals, matrix)
    for row, tweak in enumerate(tweaks):
        assert (got[row] == ff1.encipher(numerals[row : row + 1], tweak)[0]).all()
    assert (ff1.decipher(got, matrix) == numerals).all()


@given(st.integers(1, 18), st.lists(st.integers(0, 10**18 - 1), min_size=1, max_size=9))
def test_digits_to_numbers_and_back(length, values):
    values = np.array([each % 10**length for each in values], np.uint64)
    matrix = np.full((len(values), length + 3), 77, np.uint8)
    digits.put(matrix, 2, 2 + length, 10, values)
    assert ["".join(map(str, row[2:-1])) for row in matrix] == [f"{v:0{length}}" for v in values.tolist()]
    assert (matrix[:, [0, 1, -1]] == 77).all()
    assert (digits.number(matrix, 2, 2 + length) == values).all()
    assert (digits.number(matrix | 48, 2, 2 + length) == values).all() if length else True


def test_several_chunks():
    numerals = np.random.default_rng(3).integers(0, 10, (2 * CHUNK + 3, 16)).astype(np.uint8)
    ff1 = FF1(bytes(range(16)))
    got = ff1.encipher(numerals, b"tweak")
    assert len({row.tobytes() for row in got}) == len({row.tobytes() for row in numerals})
    assert (ff1.decipher(got, b"tweak") == numerals).all()
    for row in (0, CHUNK - 1, CHUNK, 2 * CHUNK + 2):
        assert (got[row] == ff1.encipher(numerals[row : row + 1], b"tweak")[0]).all()
    assert ff1.encipher(numerals[:0]).shape == (0, 16)


def test_it_is_a_permutation_of_the_smallest_domain():
    numbers = np.arange(1_000_000, dtype=np.uint64)
    first, second = FF1(bytes(16)).halves(numbers // np.uint64(1000), numbers % np.uint64(1000), 6)
    assert len(np.unique(first * np.uint64(1000) + second)) == 1_000_000


def test_what_can_be_searched_is_refused():
    with pytest.raises(ValueError, match="million"):
        FF1(bytes(16)).encipher(np.zeros((1, 5), np.uint8))
    assert not fits(2, 19)
    assert fits(2, 20)
    assert fits(1000, 2)
    assert not fits(10**6, 1)
    with pytest.raises(ValueError, match="64 bits"):
        FF1(bytes(16)).halves(np.zeros(1, np.uint64), np.zeros(1, np.uint64), 40)
    for key, radix in ((bytes(15), 10), (bytes(16), 1), (bytes(16), 65_537)):
        with pytest.raises(ValueError):
            FF1(key, radix)
