"""Linkage between two recipients by brute force, row by row; forms that lead on do so for odd values too."""

import itertools
import re
from collections import Counter, defaultdict

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.disclosure.forms_sql import rendering
from ringfort.policy.forms import Form
from ringfort.privacy.columns import render
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.methods import pseudonymise
from ringfort.privacy.pseudonym import Domain
from ringfort.privacy.pseudonym_shapes import shape
from ringfort.privacy.reidentification_recipients import (
    MASKED_LEADS_ON,
    Linked,
    Sides,
    common_form,
    linked,
    linked_histories,
    most_telling,
    people_table,
    people_within,
    smallest_set,
    totals,
)

COLUMNS = 3


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(":memory:", config={"memory_limit": "200MB", "threads": 1}) as made:
        yield made


def relation(connection, name, rows):
    schema = pa.schema([("person", pa.uint64()), *((f"t{at}", pa.uint64()) for at in range(COLUMNS))])
    columns = list(zip(*rows, strict=True)) if rows else [[]] * (COLUMNS + 1)
    arrays = [pa.array(each, pa.uint64()) for each in columns]
    connection.register(name, pa.Table.from_arrays(arrays, schema=schema))
    return name


def sides(one, other, places=range(COLUMNS)):
    return Sides(one, other, tuple((f"t{at}", f"t{at}") for at in places))


def by_hand(mine, theirs, places):
    """Each pair of rows is looked at; which people are alone is counted by sets."""

    def key(row):
        return tuple(row[1 + at] for at in places)

    rows = sum(
        1
        for row in mine
        if [key(each) for each in mine].count(key(row)) == 1
        and len(beside := [each for each in theirs if key(each) == key(row)]) == 1
        and (row[0] is None or beside[0][0] is None or row[0] == beside[0][0])
    )
    holders = []
    for side in (mine, theirs):
        found = defaultdict(set)
        for row in side:
            found[key(row)].add(row[0])
        holders.append(found)
    people = {
        next(iter(who))
        for values, who in holders[0].items()
        if len(who) == 1 and who == holders[1].get(values) and who != {None}
    }
    return Linked(rows, len(people)), people


ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 6)), *([st.integers(0, 3)] * COLUMNS)), max_size=12
)


@settings(max_examples=150, deadline=None)
@given(mine=ROWS, theirs=ROWS, places=st.sets(st.integers(0, COLUMNS - 1), min_size=1))
def test_rows_and_people_by_brute_force(connection, mine, theirs, places):
    places = sorted(places)
    one, other = relation(connection, "mine", mine), relation(connection, "theirs", theirs)
    people_table(connection, "who")
    expected, people = by_hand(mine, theirs, places)
    assert linked(connection, sides(one, other, places), "who") == expected
    assert people_within(connection, ["who"]) == len(people)
    both_ways = linked(connection, sides(other, one, places))
    assert both_ways == expected  # it is as much for the other
    same = linked(connection, sides(one, one, places))
    assert same == by_hand(mine, mine, places)[0]
    assert totals(connection, one) == Linked(len(mine), len({each[0] for each in mine} - {None}))


@settings(max_examples=80, deadline=None)
@given(mine=ROWS, theirs=ROWS)
def test_a_smallest_set_links_what_it_says_and_nearly_all_where_it_can(connection, mine, theirs):
    one, other = relation(connection, "mine", mine), relation(connection, "theirs", theirs)
    both = sides(one, other)
    all_, whole = totals(connection, one), linked(connection, both)
    alone = [(at, linked(connection, both.only([at]))) for at in most_telling(connection, both)]
    chosen, figures = smallest_set(connection, both, alone, whole, all_)
    if not whole.share(all_.rows, all_.people):
        assert chosen == ()
        return
    assert figures == by_hand(mine, theirs, chosen)[0]
    if len(chosen) < COLUMNS:
        assert figures.share(all_.rows, all_.people) >= 0.9 * whole.share(all_.rows, all_.people)
    for at in chosen if len(chosen) == 1 else ():
        best = max(each.share(all_.rows, all_.people) for _, each in alone)
        assert figures.share(all_.rows, all_.people) == best
        assert at in range(COLUMNS)


@settings(max_examples=80, deadline=None)
@given(tables=st.lists(st.tuples(ROWS, ROWS), max_size=2), same=st.booleans())
def test_people_by_all_their_rows_by_brute_force(connection, tables, same):
    relations, held = [], [defaultdict(Counter), defaultdict(Counter)]
    for number, (mine, theirs) in enumerate(tables):
        beside = mine if same else theirs
        one, other = relation(connection, f"m{number}", mine), relation(connection, f"o{number}", beside)
        relations.append(sides(one, one if same else other))
        for side, rows in zip(held, (mine, beside), strict=True):
            for person, *values in rows:
                if person is not None:
                    side[person][number, *values] += 1
    expected = sum(
        held[1].get(person) == rows
        and list(held[0].values()).count(rows) == list(held[1].values()).count(rows) == 1
        for person, rows in held[0].items()
    )
    assert linked_histories(connection, relations) == expected


def test_the_most_telling_of_many_columns(connection):
    names = [f"t{at}" for at in range(40)]
    wide = pa.table({"person": pa.nulls(500, pa.uint64())} | {
        name: pa.array([row % (at + 1) for row in range(500)], pa.uint64()) for at, name in enumerate(names)
    })  # fmt: skip
    connection.register("wide", wide)
    chosen = most_telling(connection, Sides("wide", "wide", tuple((each, each) for each in names)), 5)
    assert len(chosen) == 5
    assert min(chosen) > 25


# -- forms -------------------------------------------------------------------------------------------------

FORMS = ("raw", "masked", "generalised")
ODD = st.text(alphabet="0123456789/-.: TIEDXF+abz\t", max_size=24)
OF_KIND = {
    "iban": st.one_of(ODD, st.from_regex(r"(IE|DE|FR|ZZ)[0-9]{2}[A-Z]{0,4}[0-9]{10,23}", fullmatch=True)),
    "postcode": st.one_of(ODD, st.from_regex(r"[A-Z]{0,2}[0-9]{1,5}[ -]?[A-Z0-9]{0,4}", fullmatch=True)),
    "ip_address": st.one_of(
        ODD, st.ip_addresses().map(str), st.ip_addresses(v=6, network="2002::/16").map(str)
    ),
    "birth_date": st.one_of(ODD, st.dates().map(str)),
    "date": st.one_of(ODD, st.dates().map(str)),
    "timestamp": st.one_of(ODD, st.datetimes().map(str)),
}


def test_there_are_values_of_every_kind():
    assert set(OF_KIND) == MASKED_LEADS_ON


@pytest.mark.parametrize("kind", sorted(MASKED_LEADS_ON))
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_the_coarser_form_follows_from_the_finer(kind, data):
    """Equal masks, equal generalisations: whoever has the mask can compute it. `***` says nothing."""
    values = pa.array(data.draw(st.lists(OF_KIND[kind], min_size=1, max_size=30)), pa.string())
    shown = {}
    for form in (Form.MASKED, Form.GENERALISED):
        found = rendering(form, kind, "text")
        assert found.form is form
        shown[form] = render(found.function, values).to_pylist()
    general = defaultdict(set)
    for mask, coarse in zip(shown[Form.MASKED], shown[Form.GENERALISED], strict=True):
        general[mask].add(coarse)
    for mask, coarse in general.items():
        assert len(coarse) == 1 or mask in {"***", "unknown"}, (mask, coarse)


def test_a_form_that_does_not_follow_is_not_compared():
    """`j***@g***.com` tells no provider, `**** 1234` no scheme: there are equal masks with other generals."""
    pairs = {
        "email": ("jan@gmail.com", "jan@gorey.com"),
        "phone": ("+353 86 123 4567", "+44 86 123 4567"),
        "card": ("4111 1111 1111 1234", "5111 1111 1111 1234"),
    }
    for kind, values in pairs.items():
        masked, general = (
            render(rendering(form, kind, "text").function, pa.array(values)).to_pylist()
            for form in (Form.MASKED, Form.GENERALISED)
        )
        assert masked[0] == masked[1]
        assert general[0] != general[1]
        assert common_form(kind, ("masked", ""), ("generalised", "")) == ""


@pytest.mark.parametrize("kind", ["timestamp", "email", "amount", "name"])
def test_forms_that_are_compared(kind):
    for one, other in itertools.product(FORMS, repeat=2):
        found = common_form(kind, (one, ""), (other, ""))
        assert found == common_form(kind, (other, ""), (one, ""))
        if one == other:
            assert found == one
        elif "raw" in {one, other}:
            assert found == (other if one == "raw" else one)
        else:
            assert found == ("generalised" if kind in MASKED_LEADS_ON else "")


def test_pseudonyms_are_compared_within_one_domain_or_by_what_every_key_shows():
    shapes = {"siv": "length", "ff1": "pattern", "cmac": ""}
    for method, shown in shapes.items():
        mine = ("pseudonym", method)
        assert common_form("code", mine, mine, one_domain=True) == "pseudonym"
        assert common_form("code", mine, mine) == shown
        assert common_form("code", mine, ("raw", "")) == common_form("code", ("raw", ""), mine) == shown
        assert common_form("code", mine, ("generalised", ""), one_domain=True) == ""
    assert common_form("code", ("pseudonym", "siv"), ("pseudonym", "ff1")) == ""


FORMATTED = {
    "phone": st.from_regex(r"(\+|00)?[1-9][0-9]{0,2} ?[0-9]{1,4}[ -]?[0-9]{0,9}", fullmatch=True),
    "card": st.from_regex(r"[1-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}", fullmatch=True),
    "iban": st.from_regex(r"(IE|DE|fr)[0-9]{2}[A-Za-z]{0,4}[0-9]{10,20}", fullmatch=True),
    "code": st.from_regex(r"[A-Za-z0-9-]{0,12}", fullmatch=True),
}


def kept(kind, text):
    """By the words of the formats: what of a pseudonym is no secret."""
    if text is None:
        return None
    digits = re.sub("[^0-9]", "", text)
    first = {
        "card": digits[:6], "iban": text[:2].upper(), "code": "",
        "phone": render(rendering(Form.GENERALISED, "phone", "text").function, pa.array([text]))[0].as_py(),
    }[kind]  # fmt: skip
    return first, re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub("[0-9]", "0", text)))


@pytest.mark.parametrize("kind", sorted(FORMATTED))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_pattern_is_what_both_recipients_see_of_a_number(kind, data):
    """Values have one pattern if, and only if, the pseudonyms of both show the same of them."""
    values = pa.array(data.draw(st.lists(FORMATTED[kind], min_size=1, max_size=12)), pa.string())
    seen = []
    for recipient, secret in (("Acme", bytes(32)), ("Beta", bytes(range(32)))):
        made = pseudonymise(
            values, method="ff1", kind=kind, secret=EpochSecret(secret, NEWEST),
            domain=Domain(recipient, "p", 1), identity_space="s",
        )  # fmt: skip
        seen.append([kept(kind, each) for each in made.to_pylist()])
    assert seen[0] == seen[1]
    patterns = shape("pattern", kind, values).to_pylist()
    for (one, a), (other, b) in itertools.product(zip(patterns, seen[0], strict=True), repeat=2):
        assert (one == other) == (a == b)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.none() | st.text(max_size=40), min_size=1, max_size=12))
def test_a_length_is_what_both_recipients_see_of_a_text(texts):
    values = pa.array(texts, pa.string())
    made = pseudonymise(
        values, method="siv", kind="name", secret=EpochSecret(bytes(32), NEWEST),
        domain=Domain("Acme", "p", 1), identity_space="s",
    ).to_pylist()  # fmt: skip
    lengths = shape("length", "name", values).to_pylist()
    assert [None if each is None else len(each) // 4 for each in made] == lengths
    assert shape("length", "name", values.dictionary_encode()).to_pylist() == lengths


@pytest.mark.parametrize("kind", ["key", "number", "code"])
def test_numbers_have_the_pattern_of_their_digits(kind):
    values = pa.array([1_234_567, 7_654_321, 12_345_678, None], pa.int64())
    one, other, longer, none = shape("pattern", kind, values).to_pylist()
    assert one == other != longer
    assert none is None
