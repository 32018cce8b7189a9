"""Any bytes, and valid bytes that somebody has changed: only the documented error escapes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import NUMBERS, SEEDS, TARGETS

EXAMPLES = 250


@st.composite
def changed(draw, seeds):
    """A seed in which some places were cut out, doubled, overwritten or filled with telling numbers."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.sampled_from([0, 1, 2, 4, 9]))
        way = draw(st.integers(0, 4))
        if way == 0:
            del data[at : at + size]
        elif way == 1:
            data[at:at] = data[at : at + 5 * size]
        elif way == 2:
            data[at : at + size] = draw(st.binary(max_size=6))
        elif way == 3:
            number = draw(st.sampled_from(NUMBERS))
            data[at : at + len(number)] = number
        else:
            data[at:at] = draw(st.sampled_from(seeds))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_only_the_documented_error_escapes(name):
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(changed(SEEDS[name]), changed(SEEDS[name]), st.binary(max_size=80)))
    def run(data):
        TARGETS[name](data)

    for seed in SEEDS[name]:
        TARGETS[name](seed)
    run()
