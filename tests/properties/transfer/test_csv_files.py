"""CSV files of a release, read by other programs: every value comes back, NULL and empty text told apart."""

import csv
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.transfer.writer import write_part

ODD = ['"', '""', ",", "\n", "\r\n", "\r", "a\nb", "\n\n", " ", "\t", "NULL", "\\N", ";", "#", "'", "\ufeff"]
TEXT = (
    st.none()
    | st.sampled_from(["", *ODD])
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
)
TABLES = st.integers(1, 3).flatmap(
    lambda columns: st.lists(st.lists(TEXT, min_size=columns, max_size=columns), max_size=12).map(
        lambda rows: (columns, rows)
    )
)


def written(folder, columns, rows):
    names = [f"c {at}" for at in range(columns)]
    schema = pa.schema([(each, pa.string()) for each in names])
    arrays = [pa.array(list(each), pa.string()) for each in zip(*rows, strict=True)]
    batches = [pa.record_batch(arrays, schema=schema)] if rows else []
    path = Path(folder) / "one.csv"
    write_part(path, "csv", iter(batches), schema)
    return path, names


def empty_is_null(rows):
    return [[each or None for each in row] for row in rows]


@settings(max_examples=150, deadline=None)
@given(TABLES)
def test_other_programs_read_what_was_written(table):
    columns, rows = table
    with tempfile.TemporaryDirectory() as folder:
        path, names = written(folder, columns, rows)
        with path.open(newline="", encoding="utf-8") as file:
            head, *read = list(csv.reader(file))  # which knows no NULL; a line with nothing has no field
        assert head == names
        assert empty_is_null([each or [None] for each in read]) == empty_is_null(rows)
        arrow = pa_csv.read_csv(
            path,
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pa_csv.ConvertOptions(
                column_types={each: pa.string() for each in names}, null_values=[""],
                strings_can_be_null=True, quoted_strings_can_be_null=False,
            ),
        )  # fmt: skip
        assert [list(each.values()) for each in arrow.to_pylist()] == rows


@settings(max_examples=50, deadline=None)
@given(TABLES.filter(lambda each: each[0] > 1))
def test_pandas_and_duckdb_read_what_was_written(table):
    pandas = pytest.importorskip("pandas")
    columns, rows = table
    with tempfile.TemporaryDirectory() as folder:
        path, _ = written(folder, columns, rows)
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
        assert empty_is_null(frame.values.tolist()) == empty_is_null(rows)
        with duckdb.connect() as connection:
            found = connection.execute(
                "SELECT * FROM read_csv(?, header = true, all_varchar = true, delim = ',', quote = '\"',"
                " escape = '\"', allow_quoted_nulls = false, new_line = '\\n', auto_detect = false,"
                " columns = {" + ", ".join(f"'c {at}': 'VARCHAR'" for at in range(columns)) + "})",
                [str(path)],
            ).fetchall()
        assert [list(each) for each in found] == rows
