from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfort.errors import ConfigurationError
from ringfort.toml_source import load_toml, locate, parse_toml

TEXT = """\
title = "x"

[site.dublin-1]
country = "IE"

[dataset."shop one".table.orders]
subject_path = "a"
column.id = { kind = "key" }
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("title",), 1),
        (("site", "dublin-1"), 3),
        (("site", "dublin-1", "country"), 4),
        (("dataset", "shop one", "table", "orders", "subject_path"), 7),
        (("dataset", "shop one", "table", "orders", "column", "id", "kind"), 8),
        (("nothing",), 1),
    ],
)
def test_a_key_path_is_found_at_its_line(keys, line):
    assert locate(TEXT, keys) == line


def test_a_syntax_error_names_file_and_line(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("a = 1\nb = \n")
    with pytest.raises(ConfigurationError) as caught:
        load_toml(path)
    assert caught.value.line == 2
    assert str(caught.value).startswith(f"{path}:2: not valid TOML")


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load_toml(tmp_path / "none.toml")
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_text_that_is_not_utf8_names_its_line(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigurationError, match=":2: is not UTF-8"):
        load_toml(path)


@given(st.text(max_size=200), st.lists(st.text(max_size=8), max_size=4))
def test_locate_is_total(text, keys):
    assert 1 <= locate(text, tuple(keys)) <= text.count("\n") + len(text) + 1


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused_with_a_line(text):
    line = 1
    try:
        parse_toml(text, Path("x.toml"))
    except ConfigurationError as error:
        line = error.line
    assert line >= 1
