"""The forms on Arrow columns give what the database's functions give: byte for byte, whatever the values.

Each example is one array of some hundred values, rendered by every function of its type, here and in a real
PostgreSQL.
"""

import decimal
import math
import re
import struct
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql
from tests.forms_database import forms_database

from ringfort.disclosure.forms_sql import FUNCTIONS, SCHEMA, rendering
from ringfort.policy.forms import Form
from ringfort.privacy.characters import LETTER
from ringfort.privacy.columns import COLUMN_FORMS, cast_like_sql, render
from ringfort.privacy.form_rules import BANDS
from ringfort.privacy.generalise_date import FIRST_DAY, LAST_DAY

SHAPES = [
    r"\s{0,2}[0-9]{1,4}-[0-9]{1,3}-[0-9]{1,3}.{0,3}", r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{3,5}.?",
    r".{0,5}@.{0,8}\.[a-zA-Z]{1,4}", r"[a-zé]{1,4}@(GMAIL|gmail|web|yahoo\.co)\.(com|de|fr|jp)",
    r"(\+|00|\v\+)?[0-9][0-9 ()-]{0,24}", r"[0-9 -]{10,32}", r"[A-Za-z]{2}[0-9]{2}[ A-Za-z0-9]{8,34}",
    r"\s?([0-9]{1,3}\.){3}[0-9]{1,4}(/[0-9]{1,3})?\s?",
    r"([0-9a-fA-F]{0,5}:){1,8}[0-9a-f]{0,4}(/[0-9]{1,3})?", r"\s?[0-9]{1,3}\s?",
    r"[a-z]{1,5}://[a-z.@:/?# ]{0,30}", r"\s?(Ie|IE|germany|U\.S\.|Éire|SÃO)\s?",
    r"[\s\S]{0,12}(Edge|OPR|Opera|Firefox|Chrome|Safari)/?[\s\S]{0,5}", r"(\S{1,5}\s{1,2}){1,5}",
    r"\s{0,3}\S{3,9}\s", r"[A-Z]\w{0,2} ?\w{1,4}",
]  # fmt: skip
NASTY = (
    " \t\n\v\f\r\x1c\x1d\x85\u00a0\u2003\u2028\u3000\ufeff\u200b@.:/-+#?&=_%'\"\\$^*()[]{}|<>,;0123456789"
    "abczABCZéÉßſİıσςΣ٠١٢٣²½ⅣＡ１Åǅ王小明ｶﾞ\u0301\u0327😀👨‍👩‍👧𝔘𝟘\u202e\x01\x7f\x80\uffff\U0010ffff"
)
DIRTY = [
    None, "", " ", "\n", "\v", "\t x", "***", "@", "a@b", "a@@b.com", "x@y.c", "a@.com", "ab@.x.com", "\\1",
    "%", "abc@b.co\n", "abc@b.com ", "é" * 400, "a" * 319 + "é", "x" * 400 + "@gmail.com",
    "x" * 309 + "@gmail.com", "x" * 310 + "@gmail.com", " " * 119 + "ab", " " * 120 + "ab",
    " " * 320 + "ab", " " * 400, "a\x1cb c", "1.2.3.4", "001.002.003.004", "1.2.3.4/99", "1.2.3.4/",
    " 1.2.3.4\v", "::1", "2001:db8::1", "2001:DB8:1::", "a:b:c", "IE29AIBK93115212345678",
    "ie29 aibk 9311 5212 3456 78", "DE00" + "0" * 31, "4111 1111 1111 1111", "4" * 19, "22-222222222222",
    "371111111111111", "----------------", "+353 86 123 4567", "00353861234567", "+0049301234567",
    "00 00 49 30 12 34 567", "٠١٢٣٤٥٦٧٨٩", "http://u:p@h/", "http://h", "http://" + "h" * 253,
    "http://" + "h" * 254 + "/", "HTTP://Host.example:80", "a://b", "abcdefghijklmnopq://h", "http://h\v",
    "http://h\u00a0", "99999-99-99", "0000-00-00", "0003-01-01", "31.12.9999", "1-1-19999", "1/2/1999x",
    "90", "9", "09", "009", "89 ", "100", "-1", "eire", "EIRE\v", " EIRE\n\n", "\u00a0EIRE", "éire",
    "korea, south", "Opera Edge/ Edg", "Safari/Chrome/", "x" * 20, "é" * 10, "é" * 11, "x" * 100,
    "x" * 2500, "x" * 2501, "\ufeffab", "ＡＢ１２", "1234 é 5678", "\U0010ffff" * 330,
]  # fmt: skip


@pytest.fixture(scope="module")
def database(postgres_server):
    with forms_database(postgres_server, "forms_columns") as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection


def functions(argument):
    return [each.name for each in FUNCTIONS if each.argument == argument]


def by_database(connection, argument, values, names=None):
    """What the database gives: a list of texts for each function of the argument type."""
    names = names or functions(argument)
    calls = sql.SQL(", ").join(
        sql.SQL("array_agg({}(v)::text ORDER BY n)").format(sql.Identifier(SCHEMA, each)) for each in names
    )
    statement = sql.SQL("SELECT {} FROM unnest(%s::{}[]) WITH ORDINALITY AS t(v, n)").format(
        calls, sql.SQL(argument)
    )
    row = connection.execute(statement, (values,)).fetchone()
    return dict(zip(names, [each or [] for each in row], strict=True))


def shown(column):
    return cast_like_sql(column, "text").to_pylist()


def agree(connection, argument, values, column):
    for name, expected in by_database(connection, argument, values).items():
        got = shown(render(name, column))
        assert len(got) == len(values)
        if argument == "text":
            assert [each is None for each in got] == [each is None for each in values], name
        wrong = [
            (value, here, there)
            for value, here, there in zip(values, got, expected, strict=True)
            if here != there
        ]
        assert not wrong, (name, wrong[:3])


def quick(examples):
    """Few large examples; not made smaller if one fails, since it names the value."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )


def test_every_function_has_a_column_form():
    assert {each.name: each.argument for each in FUNCTIONS} == {
        name: form.argument for name, form in COLUMN_FORMS.items()
    }


def test_text_that_somebody_thought_of(database):
    agree(database, "text", DIRTY, pa.array(DIRTY))
    agree(database, "text", DIRTY, pa.array(DIRTY, pa.large_string()))
    every = [f"a{chr(point)}1{chr(point)}b " for point in [*range(1, 0x300), *range(0x2000, 0x2070), 0x3000]]
    agree(database, "text", every, pa.array(every))


NAMES = {
    "森 淳": "*** ***", "森": "***", "森\u3000淳": "***", "J Smith": "*** S***", "Jo X": "J*** ***",
    "J. Smith": "*** S***", "J.P. Smith": "J*** S***", "O'Brien": "O***", "J": "***",
    "J\u200b Smith": "*** S***",
    " J\tX ": "*** ***", "  é\n Smith": "*** S***", "Ólafur Þór": "Ó*** Þ***", "Άννα": "Ά***", "Иван": "И***",
    "J ": "***", "a bc d ef": "*** b*** ***", "ab  c  de  f": "a*** *** d***", "e\u0301": "***",
    "e\u0301a": "e***", "😀 😀😀": "*** ***", "12 Monkeys": "*** M***", "٣أحمد": "***", "𝐉𝐚𝐧": "***",
    "": "***", " " * 119: "***", " " * 120 + "ab": "***", " " * 119 + "ab": "***", " " * 118 + "ab": "a***",
    " " * 320 + "ab": "***", "x" * 120 + " ab": "x***", "x" * 118 + " a": "x*** ***",
    "x" * 118 + " ab": "x*** ***", "x" * 117 + " ab": "x*** a***", "é" * 118 + " ab cd": "é*** ***",
    "a" + " " * 118 + "b": "*** ***", "a" + " " * 200 + "b": "***",
}  # fmt: skip


def masked_name(value):
    """What `mask_name` gives, written a third time: word by word."""
    letter = re.compile(f"[{LETTER}]")
    words = re.split(r"[\t-\r ]+", value[:120].strip("\t\n\v\f\r "))[:3]
    shown = [
        (word[0] if letter.match(word) and len(letter.findall(word)) > 1 else "") + "***" for word in words
    ]
    return " ".join(shown)


def test_names(database):
    mask = rendering(Form.MASKED, "name", "text").function

    def check(values):
        expected = [value if value is None else masked_name(value) for value in values]
        there = by_database(database, "text", values, [mask])[mask]
        here = shown(render(mask, pa.array(values, pa.string())))
        assert list(zip(values, there, strict=True)) == list(zip(values, expected, strict=True))
        assert list(zip(values, here, strict=True)) == list(zip(values, expected, strict=True))

    assert {value: masked_name(value) for value in NAMES} == NAMES
    check([None, *NAMES, *filter(None, DIRTY)])
    gap = st.text(st.sampled_from("  \t\v\n\u3000\x85"), min_size=1, max_size=3)
    long_gap = st.integers(100, 330).map(lambda size: " " * size)
    word = st.text(st.sampled_from("aZé.森淳😀\u0301\\*-"), min_size=1, max_size=4)
    long_word = st.integers(50, 330).map(lambda size: "é" * size)
    pieces = st.one_of(word, word, word, gap, gap, gap, long_gap, long_word)

    @given(st.lists(st.lists(pieces, max_size=9).map("".join), min_size=200, max_size=300))
    @quick(12)
    def run(values):
        check(values)

    run()


WRITTEN = [
    "JAN @ example.com", "a  @\n\n b", "a    @ b", " @ b", "a@ b@c", "me @ 5, at @ home",
    "write to jan.murphy@example.com or jürgen@müller.example, mailto:x@y.", "a@b@c @d @ e@", "[email]@x",
    "see https://example.org/u?id=7#f.", "ftp://u:p@h/x", "WWW.example.org/a b", "a.b://c", "x://",
    "www.", "std::cout", "IE29 AIBK 9311 5212 3456 78 please PAY", "xIE29AIBK93115212345678",
    "ie29aibk93115212345678", "IE29AIBK9311", "1.2.3.4 1.2.3 1.2.3.4.5",
    "fe80::1 ::1 2001:db8:1:2:3:4:5:6 aa:bb:cc:dd:ee:ff 12:30:45", "a:b:c:d::e:f",
    "+353 86 123 4567, (01) 234-5678, 0049/30/1234567", "+ (353) 861234567", "+1 2", "12 345 6",
    "12  34   56    78", "4111 1111 1111 1111", "4111\u00a01111\u20111111\u200b1111",
    "٠١٢٣٤٥٦٧ ０１２３４５ १२३४५६", "2024-01-31 12:30", "1,000,000", "x" * 1999 + " y",
    "x" * 2000, "x" * 2001,
    "é" * 2000, "é" * 2001, "a b " * 600, "a " * 990 + "jan.murphy@example.com or",
    "a " * 992 + "+353 86 123 4567 and so on", "a " * 990 + "IE29 AIBK 9311 5212 3456 78", "1" * 2500,
    " " * 2500, "a@" * 1200, "1 " * 1200, ":" * 2000, "a:" * 1000, "AA11" * 600, "www." * 500,
    "a" * 1990 + "@", "." * 1990 + "@",
]  # fmt: skip


def test_text_that_people_wrote(database):
    agree(database, "text", WRITTEN, pa.array(WRITTEN))
    parts = [
        st.sampled_from("@:.-+ ()/_[]<>\"'\n\u00a0\u200b\u2011٠１"),
        st.sampled_from(["www.", "://", "IE29", "::", "a:", "é"]),
        st.text("0123456789", max_size=5), st.text("abcABCxyz", max_size=5), st.sampled_from(WRITTEN[:24]),
    ]  # fmt: skip

    @given(st.lists(st.lists(st.one_of(parts), max_size=14).map("".join), min_size=150, max_size=200))
    @quick(10)
    def run(values):
        column = pa.array(values)
        expected = by_database(database, "text", values, ["mask_text_v2"])["mask_text_v2"]
        assert list(zip(values, shown(render("mask_text_v2", column)), strict=True)) == list(
            zip(values, expected, strict=True)
        )

    run()


def test_any_text(database):
    @given(
        st.lists(
            st.one_of(
                st.none(),
                st.text(st.sampled_from(NASTY), max_size=40),
                st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
                *[st.from_regex(re.compile(each), fullmatch=True) for each in SHAPES],
            ).map(lambda text: text and text.replace("\0", "")),
            min_size=150,
            max_size=250,
        )
    )
    @quick(12)
    def run(values):
        agree(database, "text", values, pa.array(values, pa.string()))

    run()


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


def test_addresses(database):
    edges = [
        None, "0.0.0.0/0", "1.2.3.4/8", "255.255.255.255", "::/0", "::", "::1", "::ffff:1.2.3.4",
        "ffff::/128",
        "1::", "0:0:1::", "0:1::", "1:0:1::", "1:0:0:1::", "1:0:2:3:4:5:6:7", "1:0:0:3:4:5:6:7",
        "0:0:0:3:4:5:6:7",
        "0:2:3:4:5:6:7:8", "1:2::4:5:6:7:8", "1:2:3:4:5:6:7:0", "::2:3:4:5:6:7:8", "fe80::1",
        "a:b:c:d:e:f:0:1",
    ]  # fmt: skip

    def check(values):
        texts = [
            row[0]
            for row in database.execute(
                "SELECT v::text FROM unnest(%s::inet[]) WITH ORDINALITY AS t(v, n) ORDER BY n", (values,)
            )
        ]
        agree(database, "inet", texts, pa.array(texts, pa.string()))
        short = [None if each is None else each.removesuffix("/32").removesuffix("/128") for each in texts]
        agree(database, "inet", short, pa.array(short, pa.string()))

    check(edges)
    group = st.sampled_from(["0", "0", "0", "1", "ab", "ffff"])

    @given(
        st.lists(
            st.one_of(st.ip_addresses().map(str), st.lists(group, min_size=8, max_size=8).map(":".join)),
            min_size=200,
            max_size=300,
        )
    )
    @quick(5)
    def run(values):
        check(values)

    run()
    wrong = pa.array(
        ["", "x", "1.2.3", "256.1.1.1", "1.2.3.4/33", "1::2::3", "1.2.3.4\n", "fe80::1%eth0", "é"]
    )
    assert render("mask_inet_v2", wrong).null_count == len(wrong)


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
