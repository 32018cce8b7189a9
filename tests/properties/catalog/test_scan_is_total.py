"""No column name, type or value makes the scan raise, and whatever it proposes is a valid catalogue."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.catalog.check import problems
from ringfort.catalog.load import dump_catalogue, parse_catalogue
from ringfort.catalog.sample import sampled
from ringfort.catalog.scan import propose

TYPES = [
    "text", "varchar(20)", "integer", "bigint", "numeric(10,2)", "double precision", "date", "boolean",
    "timestamp with time zone", "uuid", "inet", "jsonb", "bytea", "text[]", "money", "mood",
    "time(3) without time zone",
]  # fmt: skip
LETTERS = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
NAMES = st.one_of(
    st.sampled_from(
        ["id", "customer_id", "CustomerID", "email", "Land", "born", "a.b", "a -> b", "x,y", " ", "№", "ID"]
    ),
    st.text(LETTERS, min_size=1, max_size=12),
).filter(lambda name: len(name.encode()) <= 63)
VALUES = st.one_of(
    st.none(),
    st.text(LETTERS, max_size=30),
    st.sampled_from(
        ["²³¹", "١٢٣٤٥٦٧٨", "1e999", "-0", "\u202e", "9" * 400, "0001-01-01", "@", "1.1.1.1", "ＩＥ"]
    ),
    st.from_regex(r"\A[0-9]{5,20}\Z"),
    st.from_regex(r"\A[a-z]{1,3}@[a-z]{1,3}\.ie\Z"),
)


@st.composite
def tables(draw):
    found = []
    for name in draw(st.lists(NAMES, unique=True, max_size=3)):
        columns = {}
        for column in draw(st.lists(NAMES, unique=True, max_size=5)):
            columns[column] = (draw(st.sampled_from(TYPES)), draw(st.lists(VALUES, max_size=25)))
        key = draw(st.sampled_from([(), *[(each,) for each in columns]]))
        found.append(sampled(name, columns, primary_key=key))
    return found


@given(tables())
@settings(max_examples=60, deadline=None)
def test_whatever_it_looks_at_it_proposes_a_valid_catalogue(tables):
    catalogue = propose(tables, dataset="d", database="d")
    assert problems(catalogue) == []
    assert parse_catalogue(dump_catalogue(catalogue), Path("catalog.toml")) == catalogue
    for table in catalogue.datasets[0].tables:
        for column in table.columns:
            assert column.classified or column.unsure
