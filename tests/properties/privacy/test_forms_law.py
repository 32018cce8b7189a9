"""Less is told, never more: what docs/forms.md says that a form may tell is all that any value makes it tell.

Three tests of every function, each in PostgreSQL and on columns, many values a query. Outputs are of the language
that the page states, whatever the value. Two values that differ in what is hidden give the same. Values that only
look like the kind, or assume a range that others have, give what tells nothing.
"""

# ruff: noqa: E501 - lists of values read best whole

import decimal
import math
import random
import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql
from tests.forms_database import forms_database

from ringfort.catalog.model import KINDS
from ringfort.disclosure.forms_sql import FUNCTIONS, SCHEMA, rendering
from ringfort.policy.forms import Form
from ringfort.privacy.columns import cast_like_sql, render
from ringfort.privacy.form_rules import versioned

PAGE = (Path(__file__).parents[3] / "docs" / "forms.md").read_text(encoding="utf-8")
ARROW = {
    "text": pa.string(), "inet": pa.string(), "numeric": pa.string(), "double precision": pa.float64(),
    "date": pa.date32(), "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
}  # fmt: skip


def languages():
    """Function without version -> the regular expression of the page's table."""
    body = PAGE.partition("## What each form may tell")[2].partition("\n## ")[0]
    made = {}
    for line in body.splitlines():
        if line.startswith("| `"):
            names, *_, shape = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))]
            pattern = (
                None if shape == "any text" else re.compile(shape.strip("`").replace("\\|", "|"), re.DOTALL)
            )
            for name in re.findall(r"`([a-z_.]+)`", names):
                made[name] = pattern
    return made


LANGUAGES = languages()


def language(function):
    name = function.rpartition("_v")[0]
    return LANGUAGES[name] if name in LANGUAGES else LANGUAGES[name.partition("_")[0] + "_..."]


@pytest.fixture(scope="module")
def database(postgres_server):
    with forms_database(postgres_server, "forms_law") as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection


def told(connection, function, values):
    """What a function gives for each value, in PostgreSQL and on columns, which is the same."""
    argument = next(each.argument for each in FUNCTIONS if each.name == function)
    statement = sql.SQL(
        "SELECT coalesce(array_agg({}(v)::text ORDER BY n), ARRAY[]::text[]) "
        "FROM unnest(%s::{}[]) WITH ORDINALITY AS t(v, n)"
    ).format(sql.Identifier(SCHEMA, function), sql.SQL(argument))
    there = connection.execute(statement, (values,)).fetchone()[0]
    here = cast_like_sql(render(function, pa.array(values, ARROW[argument])), "text").to_pylist()
    wrong = [each for each in zip(values, there, here, strict=True) if each[1] != each[2]]
    assert not wrong, (function, wrong[:3])
    return there


def check_language(connection, argument, values):
    for function in [each.name for each in FUNCTIONS if each.argument == argument]:
        shape = language(function)
        for value, shown in zip(values, told(connection, function, values), strict=True):
            if shape is not None and shown is not None:
                assert shape.fullmatch(shown), (function, value, shown)


def quick(examples):
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip


# -- odd values --------------------------------------------------------------------------------------------

DIGITS = [chr(at) for at in range(0x110000) if unicodedata.category(chr(at)) == "Nd"]
ZEROS = [each for each in DIGITS if unicodedata.digit(each) == 0]
UNSEEN = "\u200b\u200d\u2060\ufeff\u00ad\u0301\u20e3\ufe0f\u202e\u180e"
SHAPED = [
    "jan.murphy@example.com", "a@b.ie", "x@y.co", "jan@[192.0.2.1]", '"jan m"@x.com', "jan@murphy@x.com",
    "mary@mary-smith.name", "ü@ü.de", "+353 86 123 4567", "00353861234567", "+353 86 123 4567 ext 5", "112",
    "Zoë Ní Bhriain", "J Smith", "J.", "王小明", "Madonna", "Anne-Marie de la Cruz", "12 Main Street", "A 1",
    "Apt 5, 12 Main Street, Dublin", "１２ Main Street", "٣ شارع", "D02 X285", "1015", "101", "SW1A 1AA",
    "Köln", "Å", "Y", "Ii", "IE29 AIBK 9311 5212 3456 78", "IE29AIBK", "4111 1111 1111 1111", "4111 1111 111",
    "1234567TW", "RSSMRA85T10A562S", "INV-10023", "AB", "192.0.2.77", "1.2.3", "2001:db8:1:2::5",
    "1983-02-03", "0044-03-15", "03/02/1983", "12:30:45", "42", "007", "https://u:p@example.org/", "http://h/",
    "https://jan.murphy:8443@example.org/", "https://192.0.2.77/", "Mozilla/5.0 Firefox/128.0", "12-D-34567",
]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(SHAPED), st.sampled_from(SHAPED), st.sampled_from(DIGITS), st.sampled_from(UNSEEN),
    st.sampled_from([" ", "  ", "\t", "\n", "\u00a0", "\u3000", ".", "-", "/", ":", "@", "+", "😀", "𝔘", "ß", "Ⅳ"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
)  # fmt: skip


def disguised(text, random):
    """The text with its digits in another script, unseen characters between, or padding around."""
    zero = random.choice(ZEROS)
    way = random.randrange(4)
    if way == 0:
        return "".join(chr(ord(zero) + int(each)) if each in "0123456789" else each for each in text)
    if way == 1:
        return random.choice(UNSEEN).join(text)
    if way == 2:
        return random.choice(" \t\n\u3000.-_/") * random.randrange(1, 40) + text + " " * random.randrange(9)
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text)


def test_any_text_gives_what_the_page_states(database):
    chance = random.Random(8)
    check_language(database, "text", [*SHAPED, *(disguised(each, chance) for each in SHAPED * 12), ""])

    @given(st.lists(st.lists(PIECES, max_size=4).map("".join), min_size=150, max_size=250))
    @quick(6)
    def run(values):
        check_language(database, "text", [each.replace("\0", "") for each in values])

    run()


def plain(number):
    """A number as PostgreSQL writes a numeric."""
    exact = decimal.Decimal(number)
    return format(exact, "f") if exact.is_finite() else str(exact)


def test_any_number_date_or_network_gives_what_the_page_states(database):
    numbers = [
        "0",
        "-0.0",
        "1",
        "-1",
        "4.9",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e-300",
        "9" * 1000,
        "-" + "9" * 1000,
    ]
    numbers = [
        *numbers,
        "315904.55",
        "53349805",
        "-180",
        "-180.01",
        "180",
        "179.99",
        "150",
        "89.9",
        "1" + "0" * 130,
    ]
    check_language(database, "numeric", [plain(each) for each in numbers])
    floats = [float(each) for each in numbers] + [5e-324, -5e-324, 1.8e308, 2.0**63]
    check_language(database, "double precision", floats)

    @given(st.lists(st.floats(), min_size=200, max_size=300))
    @quick(4)
    def run(values):
        check_language(database, "double precision", values)
        check_language(database, "numeric", [plain(each) for each in values])

    run()
    days = [date.min, date.max, date(1000, 1, 1), date(999, 12, 31), date(1929, 12, 31), date(1930, 1, 1)]
    days += [date(1, 1, 1) + timedelta(days=chance) for chance in range(0, 3_650_000, 9973)]
    for argument in ("date", "timestamp without time zone", "timestamp with time zone"):
        check_language(database, argument, days if argument == "date" else [as_time(each) for each in days])
    networks = [
        "192.0.2.77",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "::1",
        "::ffff:192.0.2.77",
        "2002:c000:24d::1",
        "fe80::1",
    ]
    networks += ["2001:0:53aa:64c::1", "64:ff9b::192.0.2.77", "2001:db8:1:2::5/128", "ffff::/16"]
    check_language(database, "inet", networks)


# -- two values that differ in what is hidden --------------------------------------------------------------

ALNUM = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"


def word(chance, alphabet, least, most):
    return "".join(chance.choice(alphabet) for _ in range(chance.randint(least, most)))


def digits(chance, count):
    return word(chance, "0123456789", count, count)


def spaced(chance, text, signs=" -"):
    return (
        "".join(each + (chance.choice(signs) if chance.random() < 0.2 else "") for each in text[:-1])
        + text[-1]
    )


def an_iban(chance, size):
    rest = word(chance, ALNUM, int(size[2:]) - 17, int(size[2:]) - 17)
    return spaced(chance, size[:2] + digits(chance, 11) + rest + "AB12")


# function -> what makes a value: all values agree in what the function may tell
PAIRS = {
    "mask_email": lambda c: f"j{word(c, LOWER, 2, 20)}@e{word(c, LOWER, 2, 20)}{c.choice(['', '.gov', '.x-' + word(c, LOWER, 1, 9)])}.ie",
    "general_email": lambda c: f"{word(c, ALNUM + '.+_', 1, 30)}@GMail.com",
    "mask_phone": lambda c: f"{c.choice(['+', '00', '', 'tel. '])}{spaced(c, digits(c, c.randint(5, 12)), ' -/()')}67",
    "general_phone": lambda c: f"+353 {spaced(c, digits(c, c.randint(4, 12)))}",
    "mask_name": lambda c: f"{c.choice(['', '  '])}Z{word(c, LOWER + 'é', 1, 20)}{c.choice([' ', '  ', chr(9)])}B{word(c, LOWER, 1, 9)}{c.choice(['', ' '])}",
    "mask_ip": lambda c: f"192.0.2.{c.randint(0, 255)}{c.choice(['', '/32'])}",
    "general_ip": lambda c: f"192.0.{c.randint(0, 255)}.{c.randint(0, 255)}",
    "mask_inet": lambda c: f"2002:c000:{c.randint(0, 65535):x}::{c.randint(0, 65535):x}",
    "general_inet": lambda c: f"2001:db8:{c.randint(0, 65535):x}::{c.randint(0, 65535):x}",
    "mask_iban": lambda c: an_iban(c, "IE22"),
    "general_iban": lambda c: an_iban(c, "DE22"),
    "mask_card": lambda c: spaced(c, digits(c, c.randint(8, 15))) + "1234",
    "general_card": lambda c: "4" + spaced(c, digits(c, c.randint(11, 18))),
    "mask_number_end": lambda c: spaced(c, digits(c, c.randint(6, 20)) + word(c, ALNUM, 0, 9)) + "TW",
    "mask_code": lambda c: "IN" + spaced(c, word(c, ALNUM, 3, 30), " -/._"),
    "mask_address": lambda c: f"{c.choice(['', '  ', chr(9)])}{digits(c, 2)} {word(c, LOWER.upper(), 5, 40)} {digits(c, 3)}",
    "mask_postcode": lambda c: "D02" + c.choice(["", " ", "-"]) + word(c, ALNUM, 2, 7),
    "general_postcode": lambda c: "10" + word(c, ALNUM, 2, 8),
    "mask_city": lambda c: "K" + word(c, LOWER + "öß", 2, 20),
    "general_country": lambda c: c.choice(["IE", "de", "France", " EIRE ", "Espana"]),
    "mask_url": lambda c: f"{c.choice(['http', 'https', 'ftp'])}://{c.choice(['', word(c, LOWER, 1, 9) + '.'])}example.org{c.choice(['', ':8443'])}/{word(c, LOWER, 0, 20)}",
    "general_user_agent": lambda c: f"Mozilla/5.0 ({word(c, LOWER, 0, 20)}) Firefox/{c.randint(1, 200)}",
    "general_text": lambda c: word(c, ALNUM + " é", 21, 49),
    "day_text": lambda c: f"2024-05-17{c.choice(['', 'T', ' '])}",
    "month_text": lambda c: f"2024-05-{c.randint(1, 31):02}{c.choice(['', f'T{c.randint(10, 23)}:{c.randint(10, 59)}Z'])}",
    "year_text": lambda c: c.choice([f"1983-{c.randint(1, 12):02}-{c.randint(1, 28):02}", f"{c.randint(1, 31)}/{c.randint(1, 12)}/1983"]),
    "born_text": lambda c: f"198{c.randint(0, 4)}-{c.randint(1, 12):02}-{c.randint(1, 28):02}",
    "age_text": lambda c: f"{c.choice(['', ' '])}4{c.randint(0, 9)}",
    "age_numeric": lambda c: f"4{c.randint(0, 9)}.{digits(c, 30)}",
    "age_float": lambda c: 40 + c.random() * 9.9,
    "band_numeric": lambda c: f"-{c.randint(1000, 1999)}.{digits(c, 30)}",
    "band_float": lambda c: c.random() * 4.9,
    "degree_numeric": lambda c: f"-6.{digits(c, 29)}1",
    "degree_float": lambda c: 53 + c.random() * 0.99,
}  # fmt: skip
for _of in ("date", "timestamp", "timestamptz"):
    PAIRS |= {
        f"day_{_of}": lambda c, of=_of: (
            date(2024, 5, 17) if of == "date" else f"2024-05-17 {c.randint(10, 23)}:{c.randint(10, 59)}"
        ),
        f"month_{_of}": lambda c: date(2024, 5, c.randint(1, 31)),
        f"year_{_of}": lambda c: date(2024, c.randint(1, 12), c.randint(1, 28)),
        f"born_{_of}": lambda c: date(c.choice([1900, 1929, 5, 1000]), c.randint(1, 12), c.randint(1, 28)),
    }


def test_what_is_hidden_makes_no_difference(database):
    """Three hundred values that agree in what may be told give one and the same output, which tells that."""
    chance = random.Random(11)
    assert {versioned(each) for each in PAIRS} | {versioned("mask_text")} == {each.name for each in FUNCTIONS}
    nothing = {None, "***", "other", "unknown", "2100 or later"}
    for name, make in PAIRS.items():
        values = [make(chance) for _ in range(300)]
        argument = next(each.argument for each in FUNCTIONS if each.name == versioned(name))
        if argument.startswith("timestamp"):
            values = [as_time(each) for each in values]
        shown = set(told(database, versioned(name), values))
        assert len(shown) == 1, (name, shown)
        assert not shown & nothing, (name, values[:3])


def as_time(value):
    text = value if isinstance(value, str) else f"{value.year:04}-{value.month:02}-{value.day:02} 00:00"
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


# -- what only looks like the kind -------------------------------------------------------------------------

NOTHING = {
    "mask_email": ["jan", "@", "jan@", "@x.com", "jan@localhost", "jan@[192.0.2.1]", "jan@192.0.2.1", "a@b@c.com"],
    "mask_phone": ["112", "999999", "٠٨٦١٢٣٤٥٦٧", "０８６１２３４５６７", "086 123 456٧", "+353\u00a0861234567", "1" * 21],
    "general_phone": ["+٣٥٣ 861234567", "+353 86 1234567 or home", "086 1234567", "+353", "+353 86 123 456７"],
    "mask_ip": ["999.12.34.56", "256.1.1.1", "086.123.456.789", "1.2.3", "aa:bb:cc:dd:ee:ff", "12:30:45:12", "1:2:3:4:5:6:7:8:9", "2002:c000:24d::1", "1:2:3::4::5", "192.0.2.77x", "fe80:1:2::1%eth0"],
    "general_ip": ["999.12.34.56", "aa:bb:cc:dd:ee:ff", "12:30:45:12", "::ffff:192.0.2.77"],
    "mask_iban": ["XX29 AIBK 9311 5212 3456 78", "IE29 AIBK 9311 5212", "DE00 my password is secret", "IE29/AIBK/9311/5212/3456/78", "ＩＥ29AIBK93115212345678", "Jan Murphy 12 Main Street"],
    "general_iban": ["XX29AIBK93115212345678", "Ie said that he would", "IE29AIBK9311521234567"],
    "mask_card": ["41111111111", "4" * 20, "4111 1111 1111 111１", "4111.1111.1111.1111", "card 4111 1111 1111 1111"],
    "mask_number_end": ["Jan Murphy born", "1234567", "１２３４５６７８TW", "12345678, or 9", "AB12345", "12345678\u200bTW"],
    "mask_code": ["AB-1", "ÄÖINV10023", "INV 10023!", "Zoë Murphy", "A B C", "１INV10023", "jan@example.com"],
    "mask_address": ["A 1", "  A 1  ", "A 1 ........", " A       1 ", "A\u200b\u200b\u200b\u200b\u200b\u200b\u200b1", "١٢٣٤٥٦٧٨٩", "12 Oak", "", "北京市朝阳区"],
    "mask_postcode": ["101", "Dublin", "Dublin 4", "１２３４５", "D02 X28５", "10.15", "Main Street"],
    "general_postcode": ["101", "Dublin", "Dublin 4", "jan@x.com", "1.0.1.5"],
    "mask_city": ["Å", "Y", "Ii", "  D  ", "A.", "A1", "1010 Wien", "X\u200b\u200b\u200b", "E\u0301", "北京", "１２３", "𝐃𝐮𝐛𝐥𝐢𝐧", ""],
    "mask_name": ["J", "J.", "1Smith", "森", "王小明", "J\u200b", "E\u0301", "１２", "(", "😀😀", "", "𝐉𝐚𝐧"],
    "mask_url": ["https://u:p@example.org/", "https://192.0.2.77/", "http://localhost/", "https://jan.murphy:1234@x.org/", "https://[2001:db8::1]/", "https://müller.de/", "https://a..org/", "example.org", "https://example.org\\@x", "https://0861234567/"],
    "day_text": ["0861-23-45678", "2024-13-01", "2024-02-30", "2024-05-17 Jan Murphy", "0044-03-15", "0044-03-15 BC", "2024-05-171", "٢٠٢٤-٠٥-١٧", "12024-05-17", "2024-05-17 BC"],
    "year_text": ["99/99/1234", "12-34-5678", "03/02/0083", "1/2/19831", "31.12.1983 and more", "0000-01-01"],
    "born_text": ["99/99/1983", "1983-99-99", "about 1983"],
    "age_text": ["-1", "100", "4２", "4.5", "forty"],
    "age_numeric": ["-1", "150", "NaN", "Infinity", "1" + "0" * 200],
    "age_float": [-1.0, 150.0, math.nan, math.inf],
    "degree_numeric": ["315904.55", "53349805", "180", "-180.0001", "NaN", "Infinity", "-Infinity", "9" * 900, "-" + "9" * 900],
    "degree_float": [315904.55, 53349805.0, 180.0, -180.0001, math.nan, math.inf, -math.inf, 1e308],
    "band_numeric": ["NaN", "Infinity", "-Infinity"],
    "band_float": [math.nan, math.inf, -math.inf],
}  # fmt: skip
FORMS_OF_NOTHING = {None, "***", "other", "unknown"}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_not_of_the_kind_tells_nothing(database, name):
    values = NOTHING[name]
    shown = told(database, versioned(name), values)
    wrong = [(value, each) for value, each in zip(values, shown, strict=True) if each not in FORMS_OF_NOTHING]
    assert not wrong, wrong


def test_numbers_below_five_and_flags_give_one_band(database):
    assert set(told(database, versioned("band_numeric"), ["0", "-0", "1", "2", "4.99"])) == {"0-5"}
    assert set(told(database, versioned("band_float"), [0.0, -0.0, 1.0, 0.001])) == {"0-5"}
    assert told(database, versioned("degree_float"), [-0.0, 0.0]) == ["0", "0"]


# -- text that people wrote --------------------------------------------------------------------------------


def left(text):
    """How many digits are left one behind the other when all but letters and white space are taken away."""
    text = text.replace("[number]", "x").replace("[phone]", "x").replace("[iban]", "x").replace("[ip]", "x")
    plain = "".join("0" if unicodedata.digit(each, None) is not None else each for each in text)
    runs = re.findall(r"0+", re.sub(r"[^0a-zA-Z\n]", "", plain))
    return max(map(len, runs), default=0)


BETWEEN = ["", " ", "\u200b", "\u20e3", "\ufe0f\u20e3", "\u0301", "-", "\u2212", ",", "\u3000", " . "]


def test_digits_of_every_script_are_struck_out(database):
    number = "0861234567"
    values = []
    for zero in ZEROS:
        digit = [chr(ord(zero) + int(each)) for each in number]
        values += [f"call {between.join(digit)} now" for between in BETWEEN]
    values += [
        f"call {''.join(chr(base + int(each) - 1) for each in '861234567')} now"
        for base in (0x2460, 0x2474, 0x2776)
    ]
    for value, shown in zip(values, told(database, versioned("mask_text"), values), strict=True):
        assert left(shown) < 6, value
        assert shown.startswith("call ")
        assert shown.endswith(" now")
    ats = ["jan＠example.com", "jan ﹫ example.com", "jan@example.com"]
    assert set(told(database, versioned("mask_text"), ats)) == {"[email]"}


# -- types -------------------------------------------------------------------------------------------------


def test_a_type_without_a_rendering_is_hidden():
    odd = [
        "money", "interval", "int4range", "text[]", "integer[]", "json", "jsonb", "xml", "macaddr", "macaddr8", "bit",
        "bit varying(5)", "time without time zone", "time with time zone", "hstore", "bytea", "point", "tsvector",
        "oid", "public.mood", "public.email", "boolean", "uuid", "box", "numrange", "datemultirange", "pg_lsn",
    ]  # fmt: skip
    for kind in KINDS:
        for data_type in odd:
            for form in (Form.MASKED, Form.GENERALISED):
                assert rendering(form, kind, data_type).form is Form.HIDDEN, (kind, data_type)


@pytest.mark.parametrize("data_type", ["character varying(40)", "character(40)", "bpchar", "name", "citext"])
def test_padding_and_kinds_of_text_tell_no_more(database, data_type):
    """`character(n)` is padded: the cast to text takes the blanks away, and where they stay they count as nothing."""
    for kind in ("address", "city", "name", "email", "code", "postcode"):
        how = rendering(Form.MASKED, kind, data_type)
        assert how.cast == "text"
        values = ["A 1", "Å", "J", "a@b.name", "A1", "101"]
        padded = [each.ljust(40) for each in values]
        plain = told(database, how.function, values)
        with_blanks = told(database, how.function, padded)
        assert all(each in {"***", one} for each, one in zip(with_blanks, plain, strict=True))
