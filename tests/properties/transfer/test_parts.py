"""What a release holds depends on its rows alone: not on their order, on files, encodings, or who does it."""

import datetime as dt
import decimal
import random
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.disclosure.forms_sql import versioned
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.pseudonym import Domain
from ringfort.transfer.part import Job, ReleasePart, TableOrder, reduce_part, write_release_part
from ringfort.transfer.reduce import ColumnPlan, ReductionPlan, reduce_batch
from ringfort.transfer.source import SourceTable, files_of, open_files, parts_of

SCHEMA = pa.schema(
    [("id", pa.int64()), ("word", pa.string()), ("born", pa.date32()), ("amount", pa.float64())]
)
SECRET = EpochSecret(bytes(range(32)), NEWEST)
SHOWN = (
    ColumnPlan("word", "raw"),
    ColumnPlan("born", "render", function=versioned("born_date")),
    ColumnPlan("amount", "raw"),
)
LEADS = {
    "cmac": ColumnPlan("id", "pseudonym", "key", method="cmac", identity_space="s"),
    "siv": ColumnPlan("id", "pseudonym", "key", method="siv", identity_space="s"),
    "": None,
}
DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 5) | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.sampled_from(["a", "b", "", "é", "long " * 20]) | st.text(max_size=8),
        st.none() | DAYS,
        st.none() | st.sampled_from([0.0, -0.0, 1.5]) | st.floats(),
    ),
    max_size=200,
)
BATCH = 16


def table(rows):
    columns = list(zip(*rows, strict=True)) if rows else [[], [], [], []]
    return pa.table([pa.array(list(values), each.type) for values, each in zip(columns, SCHEMA, strict=True)],
                    schema=SCHEMA)  # fmt: skip


def plan_of(method, recipient="Acme"):
    lead = LEADS[method]
    columns = SHOWN if lead is None else (lead, *SHOWN)
    domain = None if lead is None else Domain(recipient, "p", 1)
    return ReductionPlan(columns, domain, None if lead is None else SECRET)


def release(folder, whole, plan, *, key=b"k" * 16, cuts=(), group=99, output="parquet", encoded=("word",),
            memory=1 << 20, batch=BATCH, dictionary=True):  # fmt: skip
    """The files of a table that is cut into source files like this, in the order of their numbers."""
    data = folder / "data"
    data.mkdir()
    at = 0
    for number, rows in enumerate([*cuts, whole.num_rows]):
        pq.write_table(whole.slice(at, rows), data / f"{number:03d}.parquet", row_group_size=group,
                       use_dictionary=dictionary)  # fmt: skip
        at += rows
    source = SourceTable("t", open_files("t", files_of(data), 4).files, batch, encoded)
    for name in ("parts", "rows"):
        (folder / name).mkdir()
    lead = next((each.name for each in plan.columns if each.action == "pseudonym"), "")
    job = Job(str(folder / "parts"), str(folder / "rows"), output, {"t": plan}, {"t": TableOrder(key, lead)},
              memory=memory)  # fmt: skip
    parts = parts_of(source)
    reduced = [reduce_part(job, each) for each in parts]
    files = tuple(file for each in reduced for file in each.files)
    written = [
        write_release_part(job, ReleasePart(source, each.number, each.first, each.rows, each.id, files))
        for each in reversed(parts)
    ]
    return [folder / "parts" / each.file for each in reversed(written)]


def content(files):
    return [each.read_bytes() for each in files]


@pytest.mark.parametrize("output", ["parquet", "csv"])
@pytest.mark.parametrize("method", LEADS)
@settings(max_examples=20, deadline=None)
@given(
    rows=ROWS,
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 90), max_size=4),
    groups=st.tuples(st.integers(1, 99), st.integers(1, 99)),
    memory=st.sampled_from([1, 2_000, 1 << 20]),
)
def test_order_files_encodings_and_memory_leave_no_trace(  # noqa: PLR0917 - hypothesis names them
    output, method, rows, seed, cuts, groups, memory
):
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    plan = plan_of(method)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first = release(Path(one), table(rows), plan, group=groups[0], output=output)
        second = release(
            Path(two), table(shuffled), plan, cuts=cuts, group=groups[1], output=output, encoded=(),
            memory=memory, dictionary=False,
        )  # fmt: skip
        assert content(first) == content(second)


def shown(files):
    """The rows of files, as they follow each other, bit by bit."""
    return [
        tuple(repr(each) for each in row.values())
        for file in files
        for row in pq.read_table(file).to_pylist()
    ]


@settings(max_examples=20, deadline=None)
@given(rows=ROWS, method=st.sampled_from(list(LEADS)))
def test_no_row_is_lost_or_made(rows, method):
    whole, plan = table(rows), plan_of(method)
    with tempfile.TemporaryDirectory() as folder:
        got = shown(release(Path(folder), whole, plan, memory=500))
        (batch,) = whole.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=SCHEMA)]
        with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
            reduced = pa.Table.from_batches([reduce_batch(plan, batch)])
            pq.write_table(reduced, file.name, store_schema=False)
            assert sorted(got) == sorted(shown([file.name]))


def test_parts_are_of_fixed_rows_and_ranges_of_the_pseudonym_however_few_have_most_rows(tmp_path):
    """One pseudonym has most of the rows, some rows are equal in everything, others have none."""
    ids = [7] * 900 + list(range(300)) + [None] * 200
    rows = [(each, "same" if at % 3 else f"w{at}", None, None) for at, each in enumerate(ids)]
    (tmp_path / "a").mkdir()
    files = release(tmp_path / "a", table(rows), plan_of("cmac"), memory=4_000)
    counts = [pq.ParquetFile(each).metadata.num_rows for each in files]
    assert counts == [BATCH * 8] * (len(rows) // (BATCH * 8)) + [len(rows) % (BATCH * 8)]
    together = pa.concat_tables([pq.read_table(each) for each in files]).column("id").combine_chunks()
    together = together.storage if isinstance(together.type, pa.BaseExtensionType) else together
    known = together.drop_null()
    assert known.equals(known.take(pc.array_sort_indices(known)))
    empty = np.flatnonzero(np.asarray(together.is_null()))
    assert len(empty) == 200
    assert set(range(empty[0], empty[0] + 200)) != set(empty.tolist())  # they stand among the others


TYPES = {
    "bool": (pa.bool_(), [True, False, None]),
    "int8": (pa.int8(), [-3, 0, 5]),
    "uint64": (pa.uint64(), [2**64 - 1, 0]),
    "half": (pa.float16(), [np.float16(1.5), np.float16(-0.0), None]),
    "float": (pa.float32(), [1.5, -0.0, 0.0, float("nan"), None]),
    "decimal": (pa.decimal128(12, 2), [decimal.Decimal("1.50"), decimal.Decimal("-1.50"), None]),
    "wide": (pa.decimal256(60, 2), [decimal.Decimal("1.50"), None]),
    "date": (pa.date32(), [dt.date(2000, 1, 1), None]),
    "time": (pa.time64("us"), [dt.time(1, 2, 3), None]),
    "short time": (pa.time32("ms"), [dt.time(1, 2, 3), None]),
    "timestamp": (pa.timestamp("us"), [dt.datetime(2000, 1, 1, 2), None]),  # noqa: DTZ001
    "zoned": (pa.timestamp("us", "UTC"), [dt.datetime(2000, 1, 1, 2, tzinfo=dt.UTC), None]),
    "text": (pa.string(), ["a", "", "longer than sixteen bytes", None]),
    "large text": (pa.large_string(), ["a", "", None]),
    "bytes": (pa.binary(), [b"a", b"", b"\0", None]),
    "large bytes": (pa.large_binary(), [b"a", b"", None]),
    "fixed": (pa.binary(5), [b"abcde", b"edcba", None]),
    "long fixed": (pa.binary(40), [b"a" * 40, None]),
    "uuid": (pa.uuid(), [bytes(16), bytes(range(16)), None]),
    "list": (pa.list_(pa.int32()), [[1, 2], [1], [], [None], None]),
    "texts": (pa.list_(pa.string()), [["a", "b"], ["ab"], [], [None], None]),
    "lists": (pa.list_(pa.list_(pa.int8())), [[[1], []], [[], [1]], [[1]], None]),
    "fixed list": (pa.list_(pa.int16(), 2), [[1, 2], [2, 1], None]),
    "struct": (
        pa.struct([("a", pa.int8()), ("b", pa.string())]),
        [{"a": 1, "b": None}, {"a": None, "b": "x"}, None],
    ),
    "map": (pa.map_(pa.string(), pa.int32()), [[("a", 1)], [("b", 1)], [], None]),
    "structs": (pa.list_(pa.struct([("a", pa.bool_())])), [[{"a": True}, None], [{"a": None}], None]),
    "nothing": (pa.null(), [None]),
}


@pytest.mark.parametrize("name", TYPES)
def test_every_type_that_is_shown_is_ordered(tmp_path, name):
    arrow, values = TYPES[name]
    draw = random.Random(name)
    rows = [(at % 4, draw.choice(values)) for at in range(150)]
    made = []
    plan = ReductionPlan((LEADS["cmac"], ColumnPlan("x", "raw")), Domain("Acme", "p", 1), SECRET)
    for number in range(3):
        draw.shuffle(rows)
        whole = pa.table([pa.array([each for each, _ in rows], pa.int64()), array(rows, arrow)], ["id", "x"])
        folder = tmp_path / str(number)
        folder.mkdir()
        made.append(release(folder, whole, plan, encoded=(), memory=600, cuts=[40 * number]))
    assert content(made[0]) == content(made[1]) == content(made[2])
    got = [row["x"] for file in made[0] for row in pq.read_table(file).to_pylist()]
    assert sorted(map(repr, got)) == sorted(map(repr, array(rows, arrow).to_pylist()))


def array(rows, arrow):
    values = [each for _, each in rows]
    if arrow == pa.uuid():
        return pa.ExtensionArray.from_storage(arrow, pa.array(values, pa.binary(16)))
    return pa.array(values, arrow)


def agreement(one, other, source_of):
    """The share of positions at which two releases show the same source row."""
    return sum(source_of(a) == source_of(b) for a, b in zip(one, other, strict=True)) / len(one)


@pytest.mark.parametrize("method", ["cmac", "siv", ""])
def test_two_domains_agree_on_positions_no_more_than_chance(tmp_path, method):
    """By row, part, row group and place in a dictionary: `word` leads back to the source row here."""
    whole = table([(at, f"w{at // 2}", None, float(at)) for at in range(2_000)])
    got = []
    for recipient, key in (("Acme", b"a" * 16), ("Other", b"b" * 16)):
        folder = tmp_path / recipient
        folder.mkdir()
        files = release(folder, whole, plan_of(method, recipient), key=key, batch=64)
        got.append((files, [row for each in files for row in pq.read_table(each).to_pylist()]))
    one, other = (rows for _, rows in got)
    assert agreement(one, other, lambda row: row["amount"]) < 0.005  # 1 in 2000 by chance
    words = [
        [pq.ParquetFile(each, read_dictionary=["word"]).read_row_group(0).column("word").chunk(0).to_pylist()
         for each in files]
        for files, _ in got
    ]  # fmt: skip
    for mine, others in zip(*words, strict=True):
        assert len(set(mine) & set(others)) / len(set(mine) | set(others)) < 0.2
    assert sum(mine[0] == others[0] for mine, others in zip(*words, strict=True)) <= 1


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 200))
def test_a_row_is_reduced_alone(rows, cut):
    whole = table(rows).combine_chunks().to_batches()
    if not whole:
        return
    (batch,) = whole
    plan = plan_of("cmac")
    together = pa.Table.from_batches([reduce_batch(plan, batch)])
    pieces = [batch.slice(0, cut), batch.slice(cut)]
    apart = [pa.Table.from_batches([reduce_batch(plan, each)]) for each in pieces if each.num_rows]
    assert repr([row for each in apart for row in each.to_pylist()]) == repr(together.to_pylist())
