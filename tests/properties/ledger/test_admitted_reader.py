"""The quick check of admitted statements never says yes to what the strict check refuses."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfort.ledger.entry import check, encode
from ringfort.ledger.entry_templates import AdmittedReader
from ringfort.ledger.entry_traffic import StatementAdmitted
from ringfort.ledger.errors import EntryError

ENTRY = StatementAdmitted(
    time="2026-11-21T23:59:59.000001Z",
    actor="worker-0",
    session="ab" * 12,
    seq=7,
    control=3,
    kind="read",
    shape='{"kind":"select"}',
    evidence="0f" * 32,
)
DATA = encode(ENTRY)


def strict(data):
    try:
        spec, values = check(data)
    except EntryError:
        return None
    return (values["evidence"], values["control"]) if spec.kind is StatementAdmitted else None


def test_an_ordinary_entry_is_read_quickly():
    assert AdmittedReader().read(DATA) == ("0f" * 32, 3)


@given(
    st.text(min_size=1), st.text(min_size=1), st.text(), st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1)
)
def test_what_it_reads_is_what_the_strict_check_reads(actor, session, shape, seq, control):
    try:
        data = encode(
            dataclasses.replace(ENTRY, actor=actor, session=session, shape=shape, seq=seq, control=control)
        )
    except EntryError:
        return
    assert AdmittedReader().read(data) in (None, strict(data))


@given(st.integers(0, len(DATA) - 1), st.binary(max_size=3))
def test_a_changed_entry_is_never_taken_for_a_valid_one(position, replacement):
    data = DATA[:position] + replacement + DATA[position + 1 :]
    found = AdmittedReader().read(data)
    assert found is None or found == strict(data)


@pytest.mark.parametrize("time", [b"2026-02-31T10:00:00", b"2026-11-21T24:00:00", b"1999-01-01T00:00:00"])
def test_a_moment_that_does_not_exist_is_left_to_the_strict_check(time):
    reader = AdmittedReader()
    assert reader.read(DATA) is not None
    assert reader.read(DATA.replace(b"2026-11-21T23:59:59", time)) is None
