"""A line is one line, of bounded length, and holds nothing that an exception or a client brought along."""

import json
import logging

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfort.errors import CheckFailedError
from ringfort.logs.line import MOST_BYTES, Line, line_of, read_line, safe


def record(words, *arguments, name="ringfort.test", event="fault", session=None, error=None):
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, words, arguments, info)
    made.event, made.session = event, session
    return line_of(made, "worker-0")


def test_the_fields_of_a_line():
    line = record("it %s", "rains", session="s-1")
    assert (line.level, line.process, line.event, line.session) == ("warning", "worker-0", "fault", "s-1")
    assert line.message == "it rains"
    assert line.time.endswith("Z")
    assert line.text().endswith(" warning worker-0 fault s-1 it rains")
    assert json.loads(line.json())["message"] == "it rains"


INJECTIONS = [
    "x\n2026-11-28T00:00:00.000Z critical worker-0 fault - forged",
    "x\r\nforged",
    "x\x1b[2Jgone",
    "x\u2028forged",
    "x\u202eforged",
    "x\x00forged",
    "x\x85forged",
    "\ud800",
]


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_name_that_a_client_chose_makes_no_second_line(name):
    line = record("the principal `%s` is unknown", name, session=name)
    for text in (line.text(), line.json()):
        assert len(text.splitlines()) == 1
        assert "\x1b" not in text
        assert read_line(text) == line
    assert line.event == "fault"


@given(st.text(), st.text(), st.text(max_size=5_000))
def test_any_text_is_one_line_of_bounded_length_and_is_read_back(name, session, long):
    line = record("%s and %s", name, long, session=session)
    for text in (line.text(), line.json()):
        assert len(text.splitlines()) == 1
        assert read_line(text) == line
    assert len(line.text().encode()) <= MOST_BYTES


SECRET = "geheim-4711"
PSYCOPG = psycopg.errors.InvalidTextRepresentation(f'invalid input syntax for type integer: "{SECRET}"')
ERRORS = [
    PSYCOPG,
    psycopg.OperationalError(f"connection failed: password={SECRET}"),
    ValueError(SECRET),
    KeyError(SECRET),
    FileNotFoundError(2, "No such file or directory", SECRET),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    ExceptionGroup(SECRET, [ValueError(SECRET), PSYCOPG]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
def test_what_an_exception_says_is_not_said(error):
    for line in (
        record("it failed: %s", error),
        record("it failed", error=error),
        record("it failed", name="asyncio", error=error),
        record(f"Task failed: {error}", name="distributed.worker"),
        record("args were %s", SECRET, name="distributed.worker"),
    ):
        assert SECRET not in line.text()
    assert type(error).__name__ in record("it failed: %s", error).message


def test_our_own_words_are_said():
    error = CheckFailedError("the site is away")
    assert record("not served: %s", error).message == "not served: the site is away"


def test_the_sqlstate_is_said():
    assert "22P02" in record("it failed: %s", PSYCOPG).message


@pytest.mark.parametrize(
    "text",
    [
        f"host=db password={SECRET} dbname=x",
        f"host=db password = '{SECRET} and more' dbname=x",
        f"postgresql://admin:{SECRET}@db/x",
        f"PASSWORD: {SECRET}",
        f"SCRAM-SHA-256$4096:{SECRET}",
        f"-----BEGIN PRIVATE KEY----- {SECRET}",
        f"token={SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_left_out(text):
    assert SECRET not in safe(text)


def test_a_wrong_template_is_still_a_line():
    assert record("%d people", "many").message == "%d people"


@pytest.mark.parametrize("text", ["", "hello", "{", "{}", '{"time": 1}', "a b c d e f", "[1]"])
def test_what_is_no_line_is_none(text):
    assert read_line(text) is None


def test_a_line_without_session_and_words():
    line = Line("2026-11-28T00:00:00.000Z", "info", "writer", "started", "", "")
    assert read_line(line.text()) == line
    assert read_line(line.json()) == line
