"""`load(dump(x)) == x`; canonical JSON is what RFC 8785 says and gives back the value."""

from dataclasses import replace
from pathlib import Path

import orjson
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.catalog.check import problems
from ringfort.catalog.load import dump_catalogue, parse_catalogue
from ringfort.catalog.model import IDENTIFIABILITIES, KINDS, PROTECTIONS, Catalogue, Column, Dataset, Table

NAMES = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=12),
).filter(lambda name: 0 < len(name.encode()) <= 63)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
SAFE = NAMES.map(lambda name: name.replace(",", "_").replace("->", "_").strip() or "x")


@st.composite
def columns(draw, name):
    classes = draw(
        st.one_of(
            st.just((None, None)),
            st.tuples(st.sampled_from(PROTECTIONS), st.sampled_from(IDENTIFIABILITIES)),
        )
    )
    return Column(
        name=name,
        data_type=draw(TEXTS.filter(bool)),
        protection=classes[0],
        identifiability=classes[1],
        kind=draw(st.sampled_from(sorted(KINDS))),
        identity_space=draw(st.one_of(st.none(), TEXTS.filter(bool))),
        nullable=draw(st.booleans()),
        unsure=draw(TEXTS),
    )


@st.composite
def datasets(draw, name):
    tables = []
    for table in draw(st.lists(SAFE, unique=True, max_size=3)):
        own = [draw(columns(each)) for each in draw(st.lists(SAFE, unique=True, max_size=4))]
        keys = draw(st.lists(st.sampled_from([each.name for each in own]), unique=True)) if own else []
        tables.append(Table(draw(NAMES), table, tuple(own), "", tuple(keys)))
    places = [(table, column) for table in tables for column in table.columns]
    subject = ""
    if places and draw(st.booleans()):
        home, column = draw(st.sampled_from(places))
        subject = f"{home.name}.{column.name}"
        for index, table in enumerate(tables):
            if table.columns and table is not home and draw(st.booleans()):
                key = draw(st.sampled_from(table.columns))
                linked = replace(
                    key, references=(home.name, column.name), identity_space=column.identity_space
                )
                own = tuple(linked if each is key else each for each in table.columns)
                path = f"{key.name} -> {home.name}.{column.name}"
                tables[index] = replace(table, columns=own, subject_path=path)
    return Dataset(name, draw(NAMES), subject, tuple(tables))


@st.composite
def catalogues(draw):
    names = draw(st.lists(NAMES, unique=True, max_size=2))
    catalogue = Catalogue(tuple(draw(datasets(name)) for name in names))
    seen, kept = set(), []
    for dataset in catalogue.datasets:  # one home for each table
        kept.append(replace(dataset, database=f"{dataset.database[:10]}{len(seen)}"[:20]))
        seen.add(dataset.name)
    return Catalogue(tuple(kept))


@given(catalogues())
@settings(max_examples=60, deadline=None)
def test_file_and_canonical_bytes_give_back_the_value(catalogue):
    assert problems(catalogue) == []
    assert parse_catalogue(dump_catalogue(catalogue), Path("catalog.toml")) == catalogue
    data = catalogue.to_json()
    assert data == rfc8785.dumps(orjson.loads(data))
    assert Catalogue.from_json(data) == catalogue
    assert Catalogue.from_json(data).digest() == catalogue.digest()
