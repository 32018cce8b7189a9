"""Values of Arrow columns as text are what PostgreSQL writes for them."""

import decimal
import math
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from tests.forms_columns import quick, shown

from ringfort.privacy.columns import cast_like_sql


def test_floats_as_text(database):
    def check(values, kind, arrow):
        texts = [
            row[0]
            for row in database.execute(
                sql.SQL(
                    "SELECT v::{}::text FROM unnest(%s::float8[]) WITH ORDINALITY AS t(v, n) ORDER BY n"
                ).format(sql.SQL(kind)),
                (values,),
            )
        ]
        assert shown(pa.array(values, arrow)) == texts
        numerics = [
            row[0]
            for row in database.execute(
                sql.SQL(
                    "SELECT v::{}::numeric::text FROM unnest(%s::float8[]) WITH ORDINALITY t(v, n) ORDER BY n"
                ).format(sql.SQL(kind)),
                (values,),
            )
        ]
        assert cast_like_sql(pa.array(values, arrow), "numeric").to_pylist() == numerics

    edges = [
        None,
        0.0,
        -0.0,
        1e15,
        123456789012345678.0,
        999999999999999.9,
        1e-4,
        1e-5,
        2.0**-44,
        9007199254740993.0,
    ]
    edges += [5e-324, 1.7976931348623157e308, 2e23, 1e23, 9.5367431640625e-07, math.inf, -math.inf, math.nan]
    edges += [2.0**power for power in range(-1074, 1023, 13)]
    edges += [each for power in range(-5, 18) for each in (10.0**power, math.nextafter(10.0**power, 0))]
    check([*edges, *(each and -each for each in edges)], "float8", pa.float64())
    check([0.5, -1.0, 123456.75], "float8", pa.float64())
    singles = [
        0.1,
        1e5,
        999999.0,
        1e6,
        16777216.0,
        3.4028234663852886e38,
        1e-45,
        0.3,
        *(2.0**n for n in range(-140, 127)),
    ]
    check(np.array(singles, np.float32).astype(np.float64).tolist(), "float4", pa.float32())

    @given(
        st.lists(
            st.one_of(st.floats(), st.floats(-1e15, 1e15), st.floats(-1e3, 1e3)), min_size=300, max_size=400
        ),
        st.lists(st.one_of(st.floats(width=32), st.floats(-1e6, 1e6, width=32)), min_size=300, max_size=400),
    )
    @quick(3)
    def run(values, singles):
        check(values, "float8", pa.float64())
        check(singles, "float4", pa.float32())

    run()


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([None, True, False]), "boolean"),
        (pa.array([None, -(2**63), 2**63 - 1, 0]), "bigint"),
        (pa.array([None, "", "é\n"]).dictionary_encode(), "text"),
        (pa.array([None, "", "é\n"], pa.string_view()), "text"),
        (pa.array([0, 1, 86_399_999_999, 120_000, None], pa.time64("us")), "time"),
        (pa.array([b"", b"\x00\xff", None]), "bytea"),
    ],
)
def test_other_values_as_text(database, column, kind):
    values = column.to_pylist()
    rows = database.execute(
        sql.SQL("SELECT v::text FROM unnest(%s::{}[]) WITH ORDINALITY AS t(v, n) ORDER BY n").format(
            sql.SQL(kind)
        ),
        (values,),
    )
    assert shown(column) == [row[0] for row in rows]


def test_decimals_and_uuids_as_text(database):
    numbers = [
        None,
        *(decimal.Decimal(each).scaleb(-12) for each in (0, 1, -1, 10**12, 123_456_789, -(10**20))),
    ]
    rows = database.execute(
        "SELECT v::text FROM unnest(%s::numeric[]) WITH ORDINALITY AS t(v, n) ORDER BY n", (numbers,)
    )
    assert shown(pa.array(numbers, pa.decimal128(38, 12))) == [row[0] for row in rows]
    ids = [None, *(uuid.UUID(int=each) for each in (0, 2**128 - 1, 0x0123_4567_89AB_CDEF << 64 | 0x1234))]
    column = pa.array([each and each.bytes for each in ids], pa.binary(16))
    assert shown(column) == [each and str(each) for each in ids]
    assert shown(column.slice(2)) == [str(each) for each in ids[2:]]
    assert shown(column[:0]) == []
