"""Rows stand by (place, rest), every bit of both, however much they agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.transfer.sorted_rows import sort_by

WORDS = st.one_of(
    st.integers(0, 3),  # differ in the last bits alone
    st.sampled_from([0, 1 << 63, (1 << 63) + 1, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)


def check(place, rest):
    order = sort_by(place, rest)
    right = np.lexsort((rest, place))
    assert sorted(order.tolist()) == list(range(len(place)))
    assert np.array_equal(place[order], place[right])
    assert np.array_equal(rest[order], rest[right])


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(WORDS, WORDS), max_size=300))
def test_rows_are_in_the_order_of_every_bit(rows):
    check(np.array([one for one, _ in rows], np.uint64), np.array([two for _, two in rows], np.uint64))


@pytest.mark.parametrize("people", [1, 2, 700, 60_000, 2**40])
@pytest.mark.parametrize("shift", [0, 20, 40])
def test_many_rows_of_few_or_many_people(people, shift):
    """`shift`: words that agree in their first bits, as far as no key is likely to."""
    draw = np.random.default_rng(people + shift)
    place = draw.integers(0, people, 70_000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    rest = draw.integers(0, 2**64, 70_000, dtype=np.uint64)
    check(place >> np.uint64(shift), rest >> np.uint64(shift))
