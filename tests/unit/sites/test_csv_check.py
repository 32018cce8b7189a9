"""A CSV file that a reader would take in wrongly is refused with its line; what is legal is read right."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.errors import RingfortError
from ringfort.sites import csv_check
from ringfort.sites.tabular import open_tabular


@pytest.fixture
def read(tmp_path):
    def open_it(data):
        path = tmp_path / "data.csv"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        opened = open_tabular(path)
        return [row for batch in opened.batches() for row in batch.to_pylist()], opened.notes

    return open_it


def refused(read, data):
    with pytest.raises(RingfortError) as caught:
        read(data)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint
    return caught.value.message


ROWS = "".join(f"{number},x\n" for number in range(3_000))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n1,x\n2,"secret\n' + ROWS, 3),  # to the end of the file
        ('a,b\n1,"secret\n2,"y"\n', 2),  # the next value's quote would close it
        ('a,b\n1,"one\ntwo"\n2,"secret\n3,z\n4,"q"\n', 4),  # behind a legal line break
        ('a,b\n1,"secret" \n2,y\n', 2),
        ('a,b\n1,"sec""ret\n2,y\n', 2),
        ('a,b\n1,"secret\\" x",\n', 2),  # escaped in a way that is none
        ('"a,b\n1,x\n', 1),
        ('a,b\n"1"2,x\n', 2),
    ],
)
def test_an_unclosed_quote_is_refused_with_the_line_at_which_it_opens(read, text, line, end):
    message = refused(read, text.replace("\n", end).encode())
    assert "is not closed where its value ends" in message
    assert message.endswith(f"opens in line {line}")


@pytest.mark.parametrize("block", [16, 17, 64])
def test_lines_are_the_same_wherever_blocks_end(read, monkeypatch, block):
    monkeypatch.setattr(csv_check, "BLOCK_BYTES", block)
    text = 'a,b\r\n1,"x ""y"" z"\r\n2,"one\r\ntwo\r\nthree"\r\n3,Ångström\r\n'
    assert len(read(text)[0]) == 3
    assert refused(read, text + '4,"secret\r\n5,"y"\r\n').endswith("opens in line 7")
    assert "line 7" in refused(read, text + '4,5" secret\r\n')
    assert "line 7 and has 3" in refused(read, text + "1,2,secret\r\n")
    assert "line 7 cannot be read" in refused(read, text.encode() + b"4,\xff\r\n")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('a,b\n1,5" secret\n', "in line 2 within a value that does not begin with one"),
        ('a,b\n1,x\n2, "secret"\n', "in line 3 within a value"),
        ("a;b\n1;x\n2;y;secret\n3\n", "2 rows of"),
        ("a;b\n\n1;x\n2;y;secret\n3\n", "the first begins in line 4 and has 3, the names are 2"),
        (b"a,b\n1,x\n2,\xe9secret\n", "is not UTF-8: line 3 cannot be read"),
        (b"a,b\n1,x\n2,\xc3", "line 3 cannot be read"),
        ("a,b\n1,é\n".encode("utf-16"), "is not UTF-8 but UTF-16"),
        ("a,b\n1,x\n".encode("utf-16-le"), "is not UTF-8 but UTF-16"),
        ("a,b\n1,x\n".encode("utf-32"), "is not UTF-8 but UTF-32"),
        ("a,b\n1,x\n2,sec\0ret\n", "column `b` holds NUL bytes in 1 rows, the first in line 3"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(read, data, words):
    assert words in refused(read, data)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_is_legal_is_read_right(read, delimiter, end, mark):
    values = [
        {"n": "a", "text": f"one{end}two"},
        {"n": "b", "text": f'5" pipe{delimiter} "x"'},
        {"n": "c", "text": ""},
        {"n": '"', "text": "é"},
    ]
    lines = [delimiter.join(f'"{each}"'.replace('"n"', "n") for each in values[0])]
    for row in values:
        lines += [delimiter.join('"' + each.replace('"', '""') + '"' for each in row.values()), ""]
    rows, _ = read(mark + end.join(lines))
    assert rows == values


def test_mixed_line_ends_and_blank_lines_are_read_right(read):
    rows, _ = read("a,b\r\n1,x\n2,y\r3,z\r\n\r\n\n4,w")
    assert [each["b"] for each in rows] == ["x", "y", "z", "w"]


def test_a_value_over_many_lines_is_read_and_named(read):
    rows, notes = read('a,b\n1,"' + "line\n" * 200 + 'end"\n2,y\n')
    assert len(rows) == 2
    assert any("begins in line 2 goes over 201 lines" in each for each in notes)


def test_long_values_are_read_up_to_a_bound(read, monkeypatch):
    long = "x" * (9 * 1024 * 1024)
    rows, _ = read(f'a,b\n1,"{long}\n"\n2,{long}\n')
    assert [len(each["b"]) for each in rows] == [len(long) + 1, len(long)]
    assert csv_check.MAX_FIELD_BYTES == 100 * 1024 * 1024
    monkeypatch.setattr(csv_check, "MAX_FIELD_BYTES", 5 * 1024 * 1024)
    for text in (f'a,b\n1,y\n2,"{long}"\n', f"a,b\n1,y\n2,{long}\n"):
        assert "line 3" in refused(read, text)


CELLS = st.text(st.sampled_from(list('ab",;\n\r é')), min_size=1, max_size=8)


@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(5, 40),
)
@settings(max_examples=80, deadline=None)
def test_whatever_a_writer_of_csv_writes_is_admitted(tmp_path_factory, rows, end, block):
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_text(written.getvalue(), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_check, "BLOCK_BYTES", block)
        csv_check.check_csv(path, ",")
    assert [
        tuple(each.values()) for batch in open_tabular(path).batches() for each in batch.to_pylist()
    ] == rows
