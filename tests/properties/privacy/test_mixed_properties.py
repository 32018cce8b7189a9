"""Strings of digits and letters: libffx's integers, with its own cycle walking, are the oracle."""

import ffx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.privacy import mixed
from ringfort.privacy.ff1 import FF1


@st.composite
def columns(draw):
    digits = draw(st.integers(0, 38))
    letters = draw(st.integers(0, 27).filter(lambda many: mixed.fits(digits, many)))
    rows = draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    places = np.array([rng.permutation(digits + letters) < letters for _ in range(rows)], np.bool_)
    places = places.reshape(rows, digits + letters)
    return np.where(places, rng.integers(0, 26, places.shape), rng.integers(0, 10, places.shape)).astype(
        np.uint8
    ), places


def number(values, places):
    total = 0
    for value, letter in zip(values.tolist(), places.tolist(), strict=True):
        total = total * (26 if letter else 10) + value
    return total


@given(st.binary(min_size=16, max_size=16), columns(), st.binary(max_size=20))
@settings(max_examples=60)
def test_it_is_what_libffx_says(key, column, tweak):
    values, places = column
    ff1 = FF1(key, 2)
    got = mixed.encipher(ff1, values, places, tweak, inverse=False)
    assert (mixed.encipher(ff1, got, places, tweak, inverse=True) == values).all()
    many = int(places[0].sum()) if len(places) else 0
    size = mixed.domain(places.shape[1] - many, many)
    for row in range(len(values)):
        said = ffx.FF1(key).encrypt_int(number(values[row], places[row]), domain=size, tweak=tweak)
        assert number(got[row], places[row]) == said


def test_what_fits():
    assert not mixed.fits(5, 0)
    assert not mixed.fits(0, 4)
    assert mixed.fits(6, 0)
    assert mixed.fits(2, 4)
    assert mixed.fits(38, 0)
    assert not mixed.fits(39, 0)
    assert not mixed.fits(10**9, 10**9)
