"""`normalised_key`: equal keys mean equal verdicts, unless the verdict says that it depends on a literal."""

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ringfort.disclosure.statement_key import MAX_KEY_BYTES
from ringfort.disclosure.statements import Surface, judge, normalised_key

SURFACE = Surface(frozenset({"customers", "orders"}), "rf_1", frozenset({"id", "email"}))

INTEGERS = st.integers(0, 2**40).map(str)
STRINGS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12).map(
    lambda text: "'" + text.replace("'", "''") + "'"
)
SETTINGS = st.sampled_from(
    ["'jit'", "'role'", "'TimeZone'", "'customers'", "'secret'", "'pg_class'", "'off'", "'UTF8'"]
)
LITERALS = st.one_of(INTEGERS, STRINGS, SETTINGS)
# templates with places for literals; `{}` is one
TEMPLATES = st.sampled_from(
    [
        "SELECT * FROM customers WHERE id = {} AND email = {}",
        "SELECT id, {} FROM customers WHERE id IN ({}, {}, {}) LIMIT {}",
        'SELECT "id" FROM "customers" AS "a b {}" WHERE "email" = {}',
        "SELECT set_config({}, {}, false)",
        "SELECT current_setting({}), {}",
        "SELECT {}::regclass, CAST({} AS text)",
        "SELECT to_regclass({}), to_regtype({})",
        "SELECT setting FROM pg_settings WHERE name = {}",
        "SELECT pg_sleep({}), set_config({}, {}, false)",
        "SET jit = {}",
        "SET client_encoding = {}",
        "SET TIME ZONE {}",
        "FETCH {} FROM c",
        "SELECT 'x'::varchar({}), interval {}, {} ::numeric({}, {})",
        "SELECT date {}, E{}, B{}, x{}",
        "COPY (SELECT {}) TO STDOUT (DELIMITER {})",
        "SELECT g.g FROM generate_series({}, {}) g",
        "SELECT {} ORDER BY {}; SELECT {}",
        "VALUES ({}), ({})",
        "SELECT a{}, {}a, {}.{}, ${}, -{}, {}{} FROM orders",
        "SELECT count(*) FROM orders WHERE total > {} FETCH FIRST {} ROWS ONLY",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT {}",
        "EXECUTE p ({}, {})",
        "SELECT float({}) {}",
    ]
)


def fill(template, literals):
    parts = template.split("{}")
    out = parts[0]
    for part, literal in zip(parts[1:], literals, strict=False):
        out += literal + part
    return out


@settings(max_examples=250, deadline=None)
@given(TEMPLATES, st.lists(LITERALS, min_size=7, max_size=7), st.lists(LITERALS, min_size=7, max_size=7))
def test_equal_keys_mean_equal_verdicts(template, one, other):
    check(fill(template, one), fill(template, other))


# texts made of the pieces that fool tokenisers
PIECES = st.sampled_from(
    [
        "SELECT",
        "FROM customers",
        "WHERE id =",
        "'",
        "''",
        '"',
        "$",
        "$$",
        "$1",
        "$a$",
        "--",
        "/*",
        "*/",
        "\\",
        "E'",
        "U&'",
        'U&"',
        "UESCAPE '!'",
        "N'x'",
        "B'1'",
        "1",
        "23",
        "4.5",
        ".6",
        "7.",
        "8e9",
        "0x1F",
        "1_000",
        "a1",
        "_2",
        "é3",
        "1é",
        " ",
        "\n",
        ";",
        ",",
        "(",
        ")",
        "::",
        "text",
        "regclass",
        "set_config",
        "float(4)",
        "?",
        ":",
        "[1]",
        "='",
        "' '",
        "'\n'",
        "- -",
        "{}",
        "'{}'",
        '"{}"',
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=14), LITERALS, LITERALS)
@example(["SELECT", 'U&"', "a", '"', " ", "UESCAPE '!'"], "'!'", "'#'")
@example(["SELECT", '"', "{}", '"'], "1", "2")
@example(["SELECT", "'", "{}"], "1", "2")
def test_equal_keys_of_mangled_texts_mean_equal_verdicts(pieces, one, other):
    template = "".join(pieces)
    check(template.replace("{}", one), template.replace("{}", other))


def check(one, other):
    key = normalised_key(one.encode())
    assume(key is not None and key == normalised_key(other.encode()))
    first, second = judge(one, SURFACE), judge(other, SURFACE)
    if first.literal_dependent or second.literal_dependent:
        assert first.literal_dependent == second.literal_dependent, (one, other)
        return
    # what the grammar says of a syntax error may quote the text
    if first.sqlstate == second.sqlstate == "42601":
        return
    assert first == second, (one, other)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_key_or_none(text):
    key = normalised_key(text)
    assert key is None or (b"\0" not in text and len(key) <= 2 * len(text))


@given(st.text(max_size=60))
def test_texts_that_the_parser_must_see_have_no_key(text):
    for piece in ("--", "/*", "\\", "$$", "$a$", "U&'", "float(1)", "\0"):
        assert normalised_key((text + piece + text).encode("utf-8", "replace")) is None


def test_keys():
    assert normalised_key(b"SELECT 1") == normalised_key(b"SELECT 123456789")
    assert normalised_key(b"SELECT 1") != normalised_key(b"SELECT '1'")
    assert normalised_key(b"SELECT 1") != normalised_key(b"SELECT 1.5")
    assert normalised_key(b"SELECT 1") != normalised_key(b"SELECT 1234567890")
    assert normalised_key(b"SELECT 1") != normalised_key(b"SELECT $1")
    assert normalised_key(b"SELECT 1") != normalised_key(b"SELECT ?")
    assert (
        normalised_key(b"SELECT 'a'") == normalised_key(b"SELECT 'b -1'") != normalised_key(b"SELECT 'it''s'")
    )
    assert normalised_key(b'SELECT "a 1"') != normalised_key(b'SELECT "a 2"')
    assert normalised_key(b"SELECT \"it's 1\", 'x'") == normalised_key(b"SELECT \"it's 1\", 'y'")
    assert normalised_key(b"SELECT '\xff'") is None
    assert normalised_key("SELECT 'é'".encode()) == normalised_key(b"SELECT 'x'")
    assert normalised_key(b"SELECT " + b"1" * MAX_KEY_BYTES) is None
