"""The doors of the forms on columns: kinds of Arrow columns, and values that no database could hold."""

import decimal

import pyarrow as pa
import pytest

from ringfort.errors import UsageError
from ringfort.privacy.columns import CHUNK, COLUMN_FORMS, cast_like_sql, render

EMAILS = ["jan.murphy@example.com", None, "jm@example.com", "x"]
MASKED = ["j***@e***.com", None, "***@e***.com", "***"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(EMAILS),
        pa.array(EMAILS, pa.large_string()),
        pa.array(EMAILS, pa.string_view()),
        pa.array(EMAILS).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, None, 2, 3]), pa.array([*EMAILS, *map(str, range(500))])),
        pa.chunked_array([EMAILS[:1], [], EMAILS[1:]]),
        pa.chunked_array(
            [pa.array(EMAILS[:2]).dictionary_encode(), pa.array(EMAILS[2:]).dictionary_encode()]
        ),
        pa.array(["skip", *EMAILS, "skip"]).slice(1, 4),
        pa.array(EMAILS, pa.large_string()).slice(0),
    ],
)
def test_columns_of_all_kinds(column):
    assert render("mask_email_v2", column).to_pylist() == MASKED
    assert render("mask_email_v2", column).type == pa.string()


def test_empty_and_null_columns():
    for name, form in COLUMN_FORMS.items():
        nothing = render(name, pa.nulls(3))
        assert nothing.null_count == len(nothing) == 3
        assert form.returns in {None, nothing.type}
    assert len(render("mask_name_v3", pa.chunked_array([], pa.string()))) == 0
    assert cast_like_sql(pa.chunked_array([], pa.int64()), "text").type == pa.string()


@pytest.mark.parametrize("distinct", [3, 10_000])
def test_long_columns_go_in_pieces(distinct):
    count = 2 * CHUNK + 7
    column = pa.array([f"jan{number % distinct}@host{number % 7}.com" for number in range(count)])
    assert render("mask_email_v2", column).to_pylist() == ["j***@h***.com"] * count
    numbers = pa.array(range(count))
    assert render("band_numeric_v2", numbers).to_pylist()[-2:] == ["100000-200000"] * 2


def test_values_that_no_database_holds_are_taken_as_empty():
    raw = [b"Jan\xff Murphy", b"a\0b@example.com", "Zoë".encode(), None]
    for text, binary in ((pa.string(), pa.binary()), (pa.large_string(), pa.large_binary())):
        column = pa.array(raw, binary).view(text)
        assert render("mask_name_v3", column).to_pylist() == ["***", "***", "Z***", None]
        for name, form in COLUMN_FORMS.items():
            if form.argument in {"text", "inet", "numeric"}:
                render(name, column).validate(full=True)


def test_bytes_behind_nulls_do_not_matter():
    column = pa.Array.from_buffers(
        pa.string(),
        2,
        [pa.py_buffer(b"\x02"), pa.array([0, 3, 6], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\0\xffabc")],
    )
    assert render("mask_city_v2", column).to_pylist() == [None, "a***"]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("mask_email_v2", pa.array([1])),
        ("band_numeric_v2", pa.array([1.0])),
        ("band_float_v2", pa.array([1])),
        ("year_date_v2", pa.array([1])),
        ("year_timestamp_v2", pa.array(["2001-01-01"])),
        ("mask_inet_v2", pa.array([b"1"])),
        ("mask_email_v0", pa.array(["x"])),
        ("mask_email", pa.array(["x"])),
    ],
)
def test_what_is_no_argument_of_a_form_is_refused(name, column):
    with pytest.raises(UsageError):
        render(name, column)
    with pytest.raises(UsageError):
        render(name, column.slice(0, 0))


def test_casts_that_there_are_not():
    for column, cast in [(pa.array([[1]]), "text"), (pa.array([1]), "date"), (pa.array([True]), "numeric")]:
        with pytest.raises(UsageError):
            cast_like_sql(column, cast)
    assert cast_like_sql(pa.array([1]), "").to_pylist() == [1]


def test_casts_to_numbers():
    numbers = pa.array([decimal.Decimal("0.1"), decimal.Decimal("9007199254740993.5"), None])
    assert cast_like_sql(numbers, "double precision").to_pylist() == [0.1, 9007199254740994.0, None]
    assert cast_like_sql(numbers, "numeric").equals(numbers)
    assert cast_like_sql(pa.array([2**63 - 1]), "double precision").to_pylist() == [2.0**63]
    assert cast_like_sql(pa.array([0.1], pa.float32()), "double precision").to_pylist() == [
        0.10000000149011612
    ]
    assert cast_like_sql(pa.array(["1e999", "x", "NaN"]), "double precision").null_count == 2
