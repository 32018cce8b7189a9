"""The forms on Arrow columns give what the database's functions give: byte for byte, whatever the text.

Each example is one array of some hundred values, rendered by every function of its type, here and in a real
PostgreSQL. Numbers and times: `test_forms_columns_numbers.py`; values as text: `test_forms_columns_cast.py`.
"""

import re

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tests.forms_columns import agree, by_database, quick, shown

from ringfort.disclosure.forms_sql import FUNCTIONS, rendering
from ringfort.policy.forms import Form
from ringfort.privacy.characters import LETTER
from ringfort.privacy.columns import COLUMN_FORMS, render

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
