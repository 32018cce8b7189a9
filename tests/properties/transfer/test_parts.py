"""What a part writes depends on its rows alone: not on files, row groups, encodings, or who does it."""

import datetime as dt
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.disclosure.forms_sql import versioned
from ringfort.privacy.pseudonym import Domain
from ringfort.transfer.part import Job, run_part
from ringfort.transfer.reduce import ColumnPlan, ReductionPlan, reduce_batch
from ringfort.transfer.source import SourceTable, files_of, open_files, parts_of

SCHEMA = pa.schema(
    [("id", pa.int64()), ("word", pa.string()), ("born", pa.date32()), ("amount", pa.float64())]
)
PLAN = ReductionPlan(
    (
        ColumnPlan("id", "pseudonym", "key", method="cmac", identity_space="s"),
        ColumnPlan("word", "raw"),
        ColumnPlan("born", "render", function=versioned("born_date")),
        ColumnPlan("amount", "render", function=versioned("band_float")),
    ),
    Domain("Acme", "p", 1),
    bytes(range(32)),
)
DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.sampled_from(["a", "b", "", "é", "long " * 20]) | st.text(max_size=8),
        st.none() | DAYS,
        st.none() | st.floats(),
    ),
    max_size=200,
)
BATCH = 32


def table(rows):
    columns = list(zip(*rows, strict=True)) if rows else [[], [], [], []]
    return pa.table([pa.array(list(values), each.type) for values, each in zip(columns, SCHEMA, strict=True)],
                    schema=SCHEMA)  # fmt: skip


def digests(folder, whole, cuts, group, output):
    """The SHA-256 of each part of a table that is cut into files like this."""
    data = folder / "data"
    data.mkdir()
    at = 0
    for number, rows in enumerate([*cuts, whole.num_rows]):
        pq.write_table(whole.slice(at, rows), data / f"{number:03d}.parquet", row_group_size=group)
        at += rows
    opened = open_files("t", files_of(data), len(SCHEMA))
    source = SourceTable("t", opened.files, BATCH, ("word",))
    parts = folder / "parts"
    parts.mkdir()
    job = Job(str(parts), output, {"t": PLAN})
    return [run_part(job, each).sha256 for each in parts_of(source)]


@pytest.mark.parametrize("output", ["parquet", "csv"])
@settings(max_examples=25, deadline=None)
@given(
    rows=ROWS,
    cuts=st.lists(st.integers(0, 90), max_size=4),
    groups=st.tuples(st.integers(1, 99), st.integers(1, 99)),
)
def test_files_and_row_groups_leave_no_trace(output, rows, cuts, groups):
    whole = table(rows)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        assert digests(Path(one), whole, [], groups[0], output) == digests(
            Path(two), whole, cuts, groups[1], output
        )


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 200))
def test_a_row_is_reduced_alone(rows, cut):
    whole = table(rows).combine_chunks().to_batches()
    if not whole:
        return
    (batch,) = whole
    together = pa.Table.from_batches([reduce_batch(PLAN, batch)])
    pieces = [batch.slice(0, cut), batch.slice(cut)]
    apart = [pa.Table.from_batches([reduce_batch(PLAN, each)]) for each in pieces if each.num_rows]
    assert [row for each in apart for row in each.to_pylist()] == together.to_pylist()
