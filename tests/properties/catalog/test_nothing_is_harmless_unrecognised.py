"""In a table about people nothing is proposed as harmless whose name has a word that no list knows."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringfort.catalog.column_patterns import name_words
from ringfort.catalog.sample import sampled
from ringfort.catalog.scan import propose
from ringfort.catalog.words import fold, word_lines, word_sections

FILE = "harmless.txt"
KNOWN = frozenset(
    name_words(word.strip("=*")).joined
    for section in word_sections(FILE)
    if section not in {"states", "judging states"}
    for line in word_lines(FILE, section)
    for word in line.split()
)
GENERIC = [
    "status", "type", "group", "class", "level", "title", "score", "size", "code", "flag", "kind",
    "category", "state", "rank", "points", "value", "amount", "count", "number", "index", "label",
    "result", "grade", "band", "version", "order", "active", "name", "total", "quantity", "date", "is", "has",
]  # fmt: skip
LETTERS = st.one_of(
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=9),
    st.text("αβγδεζηθικλμνξοπρστυφχψω", min_size=2, max_size=7),
    st.text("абвгдежзиклмнопрстуфхцчшщьюя", min_size=2, max_size=7),
    st.text("äöüßéèçñąęłšžőűıæøå", min_size=2, max_size=6),
    st.text("王小明森淳あいう", min_size=1, max_size=3),
)
WORDS = st.lists(st.one_of(LETTERS, st.sampled_from(GENERIC)), min_size=1, max_size=3)
NAMES = st.one_of(
    WORDS.map("_".join), WORDS.map(lambda words: "".join(map(str.capitalize, words))), WORDS.map("".join)
).filter(lambda name: 0 < len(name.encode()) <= 63)
VALUES = st.one_of(
    st.just([]),
    st.sampled_from(
        [["0", "1"], ["1", "2", "9"], ["a", "b"], ["yes", "no"], ["open", "closed"], ["EUR", "USD"]]
    ),
    st.lists(st.integers(0, 10**6).map(str), min_size=1, max_size=40),
    st.lists(st.floats(0, 1e6).map("{:.2f}".format), min_size=1, max_size=40),
    st.lists(LETTERS, min_size=1, max_size=40),
)
TYPES = st.sampled_from(
    [
        "text",
        "character varying(20)",
        "integer",
        "smallint",
        "bigint",
        "numeric(10,2)",
        "double precision",
        "boolean",
    ]
)
PEOPLE = {"id": ("bigint", list(range(1, 41))), "email": ("text", [f"p{n}@example.ie" for n in range(40)])}


@given(st.dictionaries(NAMES, st.tuples(TYPES, VALUES), min_size=1, max_size=6), st.booleans())
@example({"zork_status": ("integer", ["0", "1"]), "glorp": ("text", ["a", "b"])}, True)
@example(
    {"statuszork": ("boolean", []), "xactive": ("boolean", []), "blip_file_size_of": ("bigint", [])}, False
)
@settings(max_examples=250, deadline=None)
def test_a_word_that_no_list_knows_makes_nothing_harmless(columns, by_email):
    columns = {name: made for name, made in columns.items() if name.casefold() not in {"id", "email"}}
    own = {"id": PEOPLE["id"], **({"email": PEOPLE["email"]} if by_email else {})}
    for name, (kind, values) in columns.items():
        own[name] = (kind, [values[at % len(values)] for at in range(40)] if values else [None] * 40)
    table = sampled("persons", own, primary_key=("id",))
    for column in propose([table], dataset="d", database="d").datasets[0].tables[0].columns:
        if column.kind in {"key", "country"} or column.name not in columns:
            continue
        open_ = column.classified and column.protection != "restricted"
        if open_ and (column.identifiability == "none" or column.protection in {"interoperable", "public"}):
            words = name_words(column.name)
            unknown = [word for word in words.bare if word not in KNOWN and not word.isdigit()]
            assert not unknown or words.joined in KNOWN, (column, unknown, fold(column.name))
