"""Names of views: stated where they are not the table's own; a namesake never takes one that is in use."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfort.catalog.check import is_reserved, problems, short_name
from ringfort.catalog.load import dump_catalogue, parse_catalogue
from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.catalog.sample import sampled
from ringfort.catalog.scan import propose
from ringfort.disclosure.profile import view_names
from ringfort.errors import ConfigurationError

COLUMN = (Column("id", "bigint"),)
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
).filter(lambda name: len(name.encode()) <= 63)


def catalogue(*tables, **named):
    """Each (schema, name, view) in a dataset of its own, in one database."""
    made = [
        Dataset(f"d{number}", named.get("database", "shop"), "", (Table(schema, name, COLUMN, view=view),))
        for number, (schema, name, view) in enumerate(tables)
    ]
    return Catalogue(tuple(made))


def seen(of):
    return view_names(of.datasets)


@pytest.mark.parametrize(
    ("tables", "blamed"),
    [
        ([("public", "people", ""), ("crm", "people", "")], "d1"),
        ([("crm", "people", ""), ("public", "people", "")], "d0"),  # where it has always been looked for
        ([("crm", "people", ""), ("hr", "people", "")], "d1"),
        ([("crm", "people", "staff"), ("hr", "staff", "")], "d1"),
        ([("crm", "people", ""), ("hr", "staff", "people")], "d0"),
        ([("crm", "a", "x"), ("hr", "b", "x")], "d1"),
        ([("crm", "Größe", ""), ("hr", "Größe", "")], "d1"),
        ([("public", "a b", ""), ("crm", "a b", "")], "d1"),
    ],
)
def test_a_namesake_without_a_name_of_its_own_is_refused_with_the_line_to_add(tables, blamed):
    made = catalogue(*tables)
    (problem,) = problems(made)
    assert problem.keys[:2] == ("dataset", blamed)
    line = problem.hint.partition("write view = ")[2].partition(";")[0]
    text = dump_catalogue(made)
    mended = []
    for dataset in made.datasets:
        table = dataset.tables[0]
        named = replace(table, view=line.strip('"')) if dataset.name == blamed else table
        mended.append(replace(dataset, tables=(named,)))
    assert problems(Catalogue(tuple(mended))) == []
    with pytest.raises(ConfigurationError) as refused:
        parse_catalogue(text, Path("catalog.toml"))
    assert (
        f"[dataset.{blamed}" in text.splitlines()[refused.value.line - 1]
        or "view" in text.splitlines()[refused.value.line - 1]
    )


def test_names_that_differ_in_case_or_form_or_database_are_different():
    assert problems(catalogue(("public", "people", ""), ("crm", "People", ""))) == []
    assert problems(catalogue(("public", "caf\u00e9", ""), ("crm", "cafe\u0301", ""))) == []
    both = (
        *catalogue(("public", "t", "")).datasets,
        Dataset("other", "crm", "", (Table("public", "t", COLUMN),)),
    )
    assert problems(Catalogue(both)) == []


@pytest.mark.parametrize("view", ["", "x" * 64, "ü" * 32, "a\0b"])
def test_a_name_that_no_view_can_have_is_refused(view):
    text = dump_catalogue(catalogue(("public", "people", "staff"))).replace(
        'view = "staff"', "view = " + (f'"{view}"' if "\0" not in view else '"a\\u0000b"')
    )
    with pytest.raises(ConfigurationError) as refused:
        parse_catalogue(text, Path("catalog.toml"))
    assert "view" in text.splitlines()[refused.value.line - 1]


@given(
    old=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=6, unique=True), new=st.tuples(NAMES, NAMES)
)
def test_adding_a_table_never_renames_a_view(old, new):
    before = catalogue(*((schema, name, "") for schema, name in old))
    if problems(before) or new in old:
        return
    after = Catalogue((*before.datasets, Dataset("new", "shop", "", (Table(*new, COLUMN),))))
    if not problems(after):
        assert {key: seen(after)[key] for key in seen(before)} == seen(before)


@given(
    tables=st.lists(
        st.tuples(st.sampled_from(["public", "crm", "x" * 63, "\u00fc" * 31]), NAMES), unique=True, max_size=8
    ),
    dataset=st.one_of(NAMES, st.just("d" * 63)),
)
def test_what_a_scan_proposes_can_always_be_written_and_read(tables, dataset):
    given_tables = [replace(sampled(name, {"id": ("bigint", [])}), schema=schema) for schema, name in tables]
    made = propose(given_tables, dataset=dataset, database="shop")
    assert problems(made) == []
    assert parse_catalogue(dump_catalogue(made), Path("catalog.toml")) == made
    names = seen(made)
    assert len(set(names.values())) == len(tables)
    for schema, name in tables:
        if schema == "public" and not is_reserved(name):
            assert names[schema, name] == name


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("public", "pg_search"),
        ("public", "pg_class"),
        ("crm", "pg_x"),
        ("pg", "people"),
        ("pg", "pg_" + "x" * 60),
    ],
)
def test_a_scan_proposes_no_view_that_a_statement_could_not_name(schema, name):
    tables = [
        sampled("people", {"id": ("bigint", [])}),
        replace(sampled(name, {"id": ("bigint", [])}), schema=schema),
    ]
    made = propose(tables, dataset="shop", database="shop")
    assert problems(made) == []
    assert not any(is_reserved(view) for view in seen(made).values())


def test_the_bytes_of_catalogues_that_state_no_view_are_what_they_were():
    made = catalogue(("public", "people", ""))
    assert b"view" not in made.to_json()
    stated = catalogue(("public", "people", "staff"))
    assert Catalogue.from_json(stated.to_json()) == stated
    assert b'"view":"staff"' in stated.to_json()


def test_a_catalogue_of_before_keeps_the_names_that_it_had():
    """It is in force as it is; it is the next one that must say more."""
    assert seen(catalogue(("public", "people", ""), ("crm", "people", ""))) == {
        ("public", "people"): "public_people",
        ("crm", "people"): "crm_people",
    }


def test_short_names_are_cut_between_characters_and_stay_apart():
    long = "ü" * 40
    assert len(short_name(long).encode()) <= 63
    assert short_name(long) != short_name(long + "x")
    assert short_name("a", {"a"}) != "a"
