"""How files are read: what CSV columns become, and what is refused in which words."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ringfort.errors import RingfortError, UsageError
from ringfort.sites.copy_binary import LoadError
from ringfort.sites.load import table_name
from ringfort.sites.tabular import open_tabular


@pytest.fixture
def csv_file(tmp_path):
    def write(text, *, encoding="utf-8", name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def rows(opened):
    return [row for batch in opened.batches() for row in batch.to_pylist()]


def test_types_are_inferred_and_told(csv_file):
    opened = open_tabular(
        csv_file(
            "id,price,day,at,name,empty\n1,2.5,2024-02-29,2024-02-29T10:00:00Z,Áine,\n2,3,2024-03-01,,,\n"
        )
    )
    assert dict(opened.columns) == {
        "id": "bigint",
        "price": "double precision",
        "day": "date",
        "at": "timestamp with time zone",
        "name": "text",
        "empty": "text",
    }
    assert "`day` date" in opened.notes[-1]
    assert rows(opened)[1]["name"] is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("1,22,333", "bigint"),
        ("0,-5,9223372036854775807", "bigint"),
        ("001,22,333", "text"),
        ("+353861234567,1,2", "text"),
        ("353861234567,+1,2", "text"),
        ("9999999999999999999,1,2", "text"),
        ("12345678901234567890123,1,2", "text"),
        ("0.5,-0.25,1e3", "double precision"),
        ("01.5,2,3", "text"),
        ("0.1234567890123456789,1,2", "text"),
        ("NA,1,2", "text"),
    ],
)
def test_a_number_is_one_only_if_nothing_is_lost(csv_file, values, kind):
    opened = open_tabular(csv_file("n\n" + values.replace(",", "\n") + "\n"))
    assert opened.columns == (("n", kind),)
    if kind == "text":
        assert [each["n"] for each in rows(opened)] == values.split(",")


def test_an_empty_text_is_not_null(csv_file):
    opened = open_tabular(csv_file('a,b\n"",x\n,y\n"NULL",z\n'))
    assert [each["a"] for each in rows(opened)] == ["", None, "NULL"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_separator_is_found(csv_file, delimiter):
    opened = open_tabular(
        csv_file(delimiter.join(["a", '"b,c;d"', "e"]) + "\n" + delimiter.join("123") + "\n")
    )
    assert [name for name, _ in opened.columns] == ["a", "b,c;d", "e"]
    assert ("separated" in opened.notes[0]) == (delimiter != ",")


def test_a_byte_order_mark_and_line_breaks_in_quotes_are_no_trouble(csv_file):
    opened = open_tabular(csv_file('\ufeffa,b\r\n"one\r\ntwo",2\r\n'))
    assert rows(opened) == [{"a": "one\r\ntwo", "b": 2}]


@pytest.mark.parametrize(
    ("text", "encoding", "words"),
    [
        ("", "utf-8", "no first line"),
        ("a,b\n1\n", "utf-8", "1 rows"),
        ("a,b\n1,2\n1,2,secret@example.com\n1,2\n", "utf-8", "too many or too few columns"),
        ("a,a\n1,2\n", "utf-8", "two columns are called `a`"),
        ("a,\n1,2\n", "utf-8", "a column is called ``"),
        ("a,ctid\n1,2\n", "utf-8", "`ctid`"),
        (f"{'x' * 64}\n1\n", "utf-8", "a column is called"),
        ("a,b\nà,é\n", "latin-1", "not UTF-8"),
        ("à,é\n1,2\n", "latin-1", "not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_without_its_values(csv_file, text, encoding, words):
    with pytest.raises(RingfortError) as caught:
        open_tabular(csv_file(text, encoding=encoding))
    assert words in caught.value.message
    assert "secret@example.com" not in caught.value.message + caught.value.hint


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        open_tabular(tmp_path / "no.csv")
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(UsageError, match="neither"):
        open_tabular(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(UsageError, match="no Parquet file"):
        open_tabular(tmp_path / "a.parquet")


def test_parquet_columns_that_cannot_be_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"xmin": [1]}), path)
    with pytest.raises(LoadError, match="`xmin`"):
        open_tabular(path)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("online_retail.parquet", "online_retail"),
        ("Köln Kunden (2024).csv", "koln_kunden_2024"),
        ("2024.csv", "data_2024"),
        ("日本.csv", "data"),
        ("a" * 80 + ".csv", "a" * 40),
    ],
)
def test_a_file_gives_a_plain_name(file, name):
    assert table_name(Path(file)) == name
