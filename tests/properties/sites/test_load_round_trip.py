"""What is loaded is what the file holds: byte for byte, and in what it means."""

import datetime as dt
import decimal
import math
import uuid
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfort.sites.copy_binary import HEADER, TRAILER, Encoder, LoadError
from ringfort.sites.load import load_file, load_tabular
from ringfort.sites.tabular import Tabular

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


def integers(bits, *, signed=True):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.one_of(st.integers(low, high), st.sampled_from([low, high, 0]))


def decimals(precision, scale):
    top = 10**precision - 1
    context = decimal.Context(prec=100)
    return st.integers(-top, top).map(lambda value: decimal.Decimal(value).scaleb(-scale, context))


# PostgreSQL's own limits, in microseconds and days since 1970
STAMPS = st.one_of(
    st.integers(-210_866_803_200_000_000, 2**63 - 1),
    st.sampled_from([-210_866_803_200_000_000, 2**63 - 1, 0]),
)
DAYS = st.one_of(st.integers(-2_440_588, 2_145_042_905), st.sampled_from([-2_440_588, 2_145_042_905, 0]))

KINDS = {
    "bool": (pa.bool_(), st.booleans()),
    "int8": (pa.int8(), integers(8)),
    "int16": (pa.int16(), integers(16)),
    "int32": (pa.int32(), integers(32)),
    "int64": (pa.int64(), integers(64)),
    "uint8": (pa.uint8(), integers(8, signed=False)),
    "uint16": (pa.uint16(), integers(16, signed=False)),
    "uint32": (pa.uint32(), integers(32, signed=False)),
    "uint64": (pa.uint64(), integers(64, signed=False)),
    "float16": (pa.float16(), st.floats(width=16).map(np.float16)),
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), st.floats()),
    "decimal": (pa.decimal128(38, 9), decimals(38, 9)),
    "whole": (pa.decimal128(20, 0), decimals(20, 0)),
    "wide": (pa.decimal256(76, 40), decimals(76, 40)),
    "hundreds": (pa.decimal128(5, -2), decimals(5, -2)),
    "text": (pa.string(), TEXT),
    "large": (pa.large_string(), TEXT),
    "view": (pa.string_view(), TEXT),
    "category": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["", "a", "ü", "日本"])),
    "bytes": (pa.binary(), st.binary(max_size=20)),
    "fixed": (pa.binary(4), st.binary(min_size=4, max_size=4)),
    "date32": (pa.date32(), DAYS),
    "stamp_us": (pa.timestamp("us"), STAMPS),
    "stamp_tz": (pa.timestamp("us", "Europe/Dublin"), STAMPS),
    "stamp_s": (pa.timestamp("s"), st.integers(-210_866_803_200, 9_223_372_036_853)),
    "stamp_ns": (
        pa.timestamp("ns"),
        st.integers(-(2**63) // 1000 + 1, 2**63 // 1000 - 1).map(lambda us: us * 1000),
    ),
    "time": (pa.time64("us"), st.integers(0, 86_399_999_999)),
    "time_s": (pa.time32("s"), st.integers(0, 86_399)),
    "span": (pa.duration("us"), integers(64)),
}


@st.composite
def tables(draw):
    names = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6, unique=True))
    rows = draw(st.integers(0, 12))
    columns = {}
    for name in names:
        kind, values = KINDS[name]
        columns[name] = array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
    return pa.table(columns)


def array(values, kind):
    if pa.types.is_temporal(kind):  # from their numbers, to reach beyond Python's years
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    return pa.array(values, kind)


def opened(table):
    return Tabular(Path("values.parquet"), table.num_rows, table.schema, (), table)


@pytest.fixture(scope="module")
def database(postgres_server):
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
        connection.execute("DROP TABLE IF EXISTS loaded")


def load(connection, table):
    connection.execute("DROP TABLE IF EXISTS loaded")
    return load_tabular(connection, opened(table), table="loaded")


@given(tables())
@SLOW
def test_every_value_comes_back_byte_for_byte(database, table):
    report = load(database, table)
    assert report.rows == table.num_rows
    with database.cursor().copy("COPY loaded TO STDOUT (FORMAT BINARY)") as copy:
        back = b"".join(bytes(each) for each in copy)
    encoder = Encoder(table.schema)
    assert back == HEADER + b"".join(encoder.encode(each) for each in table.to_batches()) + TRAILER


@given(tables())
@SLOW
def test_a_slice_of_a_batch_is_encoded_like_a_copy_of_it(table):
    for batch in table.to_batches():
        part = batch.slice(batch.num_rows // 3, batch.num_rows // 2)
        copied = pa.RecordBatch.from_pylist(part.to_pylist(), part.schema) if _plain(part) else part
        assert Encoder(table.schema).encode(part) == Encoder(table.schema).encode(copied)


def _plain(batch):
    return not any(
        pa.types.is_temporal(each.type) or pa.types.is_floating(each.type) for each in batch.schema
    )


def test_every_value_means_the_same(database):
    utc = dt.UTC
    moment = dt.datetime.fromisoformat("2011-12-09T12:50:00.000001")
    token = uuid.UUID("12345678-1234-5678-1234-567812345678")
    table = pa.table(
        {
            "i": pa.array([1, None], pa.int64()),
            "u": pa.array([2**64 - 1, None], pa.uint64()),
            "f": pa.array([0.1, None], pa.float64()),
            "d": pa.array([decimal.Decimal("-12345.6780"), None], pa.decimal128(12, 4)),
            "h": pa.array([decimal.Decimal("12E2"), None], pa.decimal128(5, -2)),
            "t": pa.array(["naïve 'quoted' \\N \t\n", None], pa.string()),
            "e": pa.array(["", None], pa.string()),
            "b": pa.array([b"\0\xff\\x", None], pa.binary()),
            "date": pa.array([dt.date(1899, 12, 31), None], pa.date32()),
            "date64": pa.array([dt.date(2024, 2, 29), None], pa.date64()),
            "ts": pa.array(
                [dt.datetime.fromisoformat("2011-12-09T12:50:00.000001"), None], pa.timestamp("us")
            ),
            "tz": pa.array([dt.datetime(2011, 12, 9, 12, 50, tzinfo=utc), None], pa.timestamp("ms", "UTC")),
            "time": pa.array([dt.time(23, 59, 59, 999_999), None], pa.time64("ns")),
            "span": pa.array([dt.timedelta(days=-1, microseconds=5), None], pa.duration("ns")),
            "list": pa.array([[1, 2, None], None], pa.list_(pa.int64())),
            "struct": pa.array([{"a": "ü", "b": dt.date(2024, 1, 1)}, None]),
            "uuid": pa.array([token, None], pa.uuid()),
            "nothing": pa.array([None, None], pa.null()),
            'na"me': pa.array([True, None], pa.bool_()),
        }
    )
    report = load(database, table)
    rows = database.execute("SELECT * FROM loaded").fetchall()
    assert rows[1] == (None,) * table.num_columns
    value = dict(zip(table.column_names, rows[0], strict=True))
    assert value["u"] == 2**64 - 1
    assert value["f"] == 0.1
    assert value["d"] == decimal.Decimal("-12345.6780")
    assert str(value["d"]) == "-12345.6780"
    assert value["h"] == 1200
    assert value["t"] == "naïve 'quoted' \\N \t\n"
    assert value["e"] == ""
    assert value["b"] == b"\0\xff\\x"
    assert value["date"] == dt.date(1899, 12, 31)
    assert value["date64"] == dt.date(2024, 2, 29)
    assert value["ts"] == moment
    assert value["tz"] == dt.datetime(2011, 12, 9, 12, 50, tzinfo=utc)
    assert value["time"] == dt.time(23, 59, 59, 999_999)
    assert value["span"] == dt.timedelta(days=-1, microseconds=5)
    assert value["list"] == [1, 2, None]
    assert value["struct"] == {"a": "ü", "b": "2024-01-01"}
    assert value["uuid"] == token
    assert value["nothing"] is None
    assert value['na"me'] is True
    types = dict(report.columns)
    assert types["tz"] == "timestamp with time zone"
    assert types["d"] == "numeric(12,4)"
    declared = database.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'loaded'::regclass AND attnum > 0 ORDER BY attnum"
    ).fetchall()
    assert declared == list(report.columns)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308])
def test_extreme_floats_are_kept(database, value):
    load(database, pa.table({"f": pa.array([value])}))
    (back,) = database.execute("SELECT f FROM loaded").fetchone()
    assert repr(back) == repr(value)


def test_nanoseconds_are_cut_and_told(database):
    report = load(database, pa.table({"t": pa.array([1_999, -1], pa.timestamp("ns"))}))
    assert "nanoseconds" in report.notes[0]
    assert database.execute("SELECT extract(epoch FROM t) * 1000000 FROM loaded").fetchall() == [(1,), (-1,)]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array(["fine", "a\0b", None, "\0"]), "NUL bytes in 2 rows"),
        (pa.array([b"fine", b"\xff", None, b"\xfe"]).view(pa.string()), "not UTF-8 in 2 rows"),
        (pa.array([0, 2**62], pa.timestamp("s")), "beyond PostgreSQL's range in 1 rows"),
        (pa.array([-(2**62)], pa.timestamp("us")), "beyond PostgreSQL's range in 1 rows"),
        (pa.array([-(2**31)], pa.int32()).cast(pa.date32()), "dates beyond PostgreSQL's range"),
        (pa.array([-1], pa.int64()).cast(pa.time64("us")), "times of day"),
        (pa.array([2**62], pa.duration("s")), "beyond PostgreSQL's range"),
        (pa.array([{"a": "\0"}]), "jsonb cannot in 1 rows"),
        (pa.array([[math.nan]]), "jsonb cannot in 1 rows"),
        (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "cannot be loaded"),
    ],
)
def test_what_postgresql_cannot_hold_is_refused_as_a_whole(database, column, words):
    table = pa.table({"good": pa.nulls(len(column)), "bad column": column})
    with pytest.raises(LoadError) as caught:
        load(database, table)
    assert "`bad column`" in caught.value.message
    assert words in caught.value.message
    assert "nothing was loaded" in caught.value.message
    assert database.execute("SELECT to_regclass('loaded')").fetchone() == (None,)


def test_a_value_that_a_later_batch_cannot_hold_undoes_the_earlier_ones(database):
    values = ["x" * 100] * 100_000 + ["\0"]
    with pytest.raises(LoadError, match="1 rows"):
        load(database, pa.table({"t": pa.array(values)}))
    assert database.execute("SELECT to_regclass('loaded')").fetchone() == (None,)


def test_an_existing_table_is_left_alone(database):
    load(database, pa.table({"a": [1]}))
    with pytest.raises(LoadError, match="already"):
        load_tabular(database, opened(pa.table({"a": [2]})), table="loaded")
    assert database.execute("SELECT a FROM loaded").fetchall() == [(1,)]


def test_wide_rows_travel_in_bounded_batches():
    table = pa.table({"t": pa.array(["x" * 1_000_000] * 64)})
    sizes = [each.num_rows for each in opened(table).batches()]
    assert sum(sizes) == 64
    assert max(sizes) <= 17


def test_a_damaged_file_loads_nothing(database, tmp_path):
    path = tmp_path / "damaged.parquet"
    rows = np.random.default_rng(1).integers(0, 2**60, 200_000)
    pq.write_table(
        pa.table({"a": rows}), path, compression="none", use_dictionary=False, row_group_size=100_000
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 60] = b"\xff" * 60
    path.write_bytes(data)
    database.execute("DROP TABLE IF EXISTS loaded")
    try:
        load_file(database, path, table="loaded")
    except LoadError:
        assert database.execute("SELECT to_regclass('loaded')").fetchone() == (None,)
    else:  # the bytes fell on values: then Parquet has no way to tell
        assert database.execute("SELECT count(*) FROM loaded").fetchone() == (200_000,)


def test_the_real_data_set_loads_as_it_is(database, retail_parquet):
    database.execute("DROP TABLE IF EXISTS loaded")
    steps = []
    report = load_file(
        database, retail_parquet, table="loaded", progress=lambda done, total: steps.append((done, total))
    )
    assert report.rows == 541_909
    assert steps[-1] == (541_909, 541_909)
    assert steps == sorted(steps)
    assert dict(report.columns)["CustomerID"] == "double precision"
    source = pq.read_table(retail_parquet)
    null_ids, negative, ids = database.execute(
        'SELECT count(*) FILTER (WHERE "CustomerID" IS NULL), count(*) FILTER (WHERE "Quantity" < 0),'
        ' sum("CustomerID") FROM loaded'
    ).fetchone()
    assert null_ids == source["CustomerID"].null_count
    assert negative == sum(value < 0 for value in source["Quantity"].to_pylist())
    assert ids == sum(value for value in source["CustomerID"].to_pylist() if value is not None)
    assert database.execute('SELECT count(DISTINCT "Country") FROM loaded').fetchone() == (38,)
