"""The forms on Arrow columns of numbers, dates and times give what the database's functions give."""

import decimal
import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from tests.forms_columns import agree, quick, shown

from ringfort.privacy.columns import render
from ringfort.privacy.form_rules import BANDS
from ringfort.privacy.generalise_date import FIRST_DAY, LAST_DAY


def test_floats(database):
    def check(values):
        agree(database, "double precision", values, pa.array(values, pa.float64()))

    edges = [
        0.0,
        5e-324,
        2.2250738585072014e-308,
        0.5,
        0.9999999999999999,
        89.99999999999999,
        90.0,
        149.9,
        150.0,
    ]
    edges += [float(band) for band in BANDS] + [math.nextafter(band, 0) for band in BANDS]
    edges += [4.9999999999999995e9, 1.7976931348623157e308, math.inf, math.nan]
    check([None, *edges, *(-each for each in edges)])

    @given(st.lists(st.one_of(st.none(), st.floats(), st.floats(-1e4, 1e4)), min_size=200, max_size=400))
    @quick(6)
    def run(values):
        check(values)

    run()
    single = [0.1, -89.99, 1e10, math.inf, math.nan]
    agree(database, "double precision", np.array(single, np.float32).tolist(), pa.array(single, pa.float32()))


def test_numerics(database):
    def check(values, column):
        agree(database, "numeric", values, column)

    texts = [
        None, "0", "-0.000", "NaN", "Infinity", "-Infinity", "0.0000000000000000000000001", "-0.5",
        "-1.0", "9.99",
        "89.999999999999999999999999999999", "90", "149.99999999999999999999", "150", "-90",
        "99999999999999999999.5",
        "-99999999999999999999.5", "-9.5", "9" * 5000, "-" + "9" * 5000 + ".1", "007", "1." + "0" * 400 + "1",
        *map(str, BANDS), *(f"-{band}" for band in BANDS), *(f"{band - 1}.{'9' * 30}" for band in BANDS[1:]),
    ]  # fmt: skip
    check(texts, pa.array(texts))

    @given(
        st.lists(st.integers(-(10**18) + 1, 10**18 - 1), min_size=100, max_size=200),
        st.sampled_from(
            [(18, 0), (18, 5), (18, 18), (38, 20), (38, 38), (30, 0), (76, 30), (76, 76), (21, 3), (9, 2)]
        ),
    )
    @quick(10)
    def run(numbers, shape):
        precision, scale = shape
        context = decimal.Context(prec=200)
        kept = [number % 10 ** (precision - 1) for number in numbers] if precision < 18 else numbers
        values = [None, *(decimal.Decimal(number).scaleb(-scale, context) for number in kept)]
        if precision > 40:
            values += [each * 10**17 for each in values if each]
        arrow = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
        check(values, pa.array(values, arrow))

    run()
    for bits, low, high in (
        (pa.int64(), -(2**63), 2**63 - 1),
        (pa.uint64(), 0, 2**64 - 1),
        (pa.int8(), -128, 127),
    ):
        values = [None, low, high, low + 1, high - 1, 0, 1, 9, 10, 89, 90, 100]
        check(values, pa.array(values, bits))
    for arrow in (pa.decimal32(9, 2), pa.decimal64(18, 4), pa.decimal128(5, -3)):
        values = [None, *(decimal.Decimal(each) for each in (0, 5000, -5000, 99000, -99000))]
        check(values, pa.array(values, arrow))


DAYS = [
    None, 2**31 - 1, -(2**31), FIRST_DAY, LAST_DAY["date"], -719_163, -719_162, -719_528, 0, -1, 11_016,
    2_932_896, 2_932_897, *range(-800_000, 60_000, 1997),
]  # fmt: skip
DAY = 86_400_000_000
TIMES = [
    None, 2**63 - 1, -(2**63), FIRST_DAY * DAY, 106_751_990 * DAY + DAY - 1, 0, -1, 1, 10, DAY - 1,
    DAY, -719_162 * DAY, -719_162 * DAY - 1, 120_000, 946_684_800_000_000, 946_684_799_999_999,
    *range(-80_000 * DAY, 20_000 * DAY, 12_345_678_901_234),
]  # fmt: skip


def from_binary(connection, kind, numbers):
    """Dates or times from PostgreSQL's own binary format, whose infinities are the ends of the integers."""
    size, epoch = ("i", 10_957) if kind == "date" else ("q", 10_957 * DAY)
    ends = {2**31 - 1, -(2**31)} if kind == "date" else {2**63 - 1, -(2**63)}
    connection.execute("DROP TABLE IF EXISTS times")
    connection.execute(sql.SQL("CREATE TEMP TABLE times (v {})").format(sql.SQL(kind)))
    with connection.cursor().copy("COPY times FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for number in numbers:
            copy.write(struct.pack("!h", 1))
            if number is None:
                copy.write(struct.pack("!i", -1))
            else:
                copy.write(
                    struct.pack(f"!i{size}", struct.calcsize(size), number - (number not in ends) * epoch)
                )
        copy.write(struct.pack("!h", -1))
    return [row[0] for row in connection.execute("SELECT v::text FROM times")]


@pytest.mark.parametrize(
    ("kind", "argument", "numbers", "arrow"),
    [
        ("date", "date", DAYS, pa.date32()),
        ("timestamp", "timestamp without time zone", TIMES, pa.timestamp("us")),
        ("timestamptz", "timestamp with time zone", TIMES, pa.timestamp("us", "UTC")),
        ("timestamptz", "timestamp with time zone", TIMES, pa.timestamp("us", "Europe/Dublin")),
    ],
)
def test_dates_and_times(database, kind, argument, numbers, arrow):
    column = pa.array(numbers, pa.int32() if kind == "date" else pa.int64()).view(arrow)
    texts = from_binary(database, kind, numbers)
    assert shown(column) == texts
    agree(database, argument, texts, column)


def test_other_units_of_time(database):
    seconds = [
        each if each is None or abs(each) >= 2**63 - 1 else each // 1_000_000 * 1_000_000 for each in TIMES
    ]
    texts = from_binary(database, "timestamp", seconds)
    limits = {2**63 - 1, -(2**63)}
    for unit, factor in (("s", 1_000_000), ("ms", 1000)):
        scaled = [each if each in {None, *limits} else each // factor for each in seconds]
        column = pa.array(scaled, pa.int64()).view(pa.timestamp(unit))
        assert shown(column) == texts
        agree(database, "timestamp without time zone", texts, column)
    days = from_binary(database, "date", DAYS)
    ends = {2**31 - 1: 2**63 - 1, -(2**31): -(2**63)}
    wide = [each and (ends[each] if each in ends else each * 86_400_000) for each in DAYS]
    agree(database, "date", days, pa.array(wide, pa.int64()).view(pa.date64()))
    column = pa.array([0, 1_999, -1, 10**18, None], pa.timestamp("ns"))
    assert shown(column)[:3] == [
        "1970-01-01 00:00:00",
        "1970-01-01 00:00:00.000001",
        "1969-12-31 23:59:59.999999",
    ]
    assert shown(render("day_timestamp_v2", column))[:3] == ["1970-01-01", "1970-01-01", "1969-12-31"]
