"""Figures and attacks of re-identification, held against brute force in Python on small tables."""

import itertools
from collections import Counter, defaultdict

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.privacy.reidentification import (
    PERSON,
    SIZES,
    Tagger,
    group_figures,
    tagged,
    without_subject,
)
from ringfort.privacy.reidentification_attacks import Rate, canaries_alone, linkage, singling_out

KEY = bytes(range(32))
TAGGER = Tagger(KEY)


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(":memory:", config={"memory_limit": "200MB", "threads": 1}) as made:
        yield made


def relation(connection, rows, quasi, sensitive=0, name="given", *, keyed=False):
    """Rows of (person, quasi-identifiers, sensitive values) as a relation of tags.

    Where no row has a person, each row is one, unless the rows are `keyed`: then each is about nobody.
    """
    columns = list(zip(*rows, strict=True)) if rows else [()] * (1 + quasi + sensitive)
    arrays = [pa.array(each, pa.string()) for each in columns]
    everybody = all(each[0] is None for each in rows)
    people = None if rows and everybody and not keyed else (PERSON, arrays[0])
    batch = tagged(
        TAGGER,
        [(f"column {at}", each) for at, each in enumerate(arrays[1 : 1 + quasi])],
        [(f"other {at}", each) for at, each in enumerate(arrays[1 + quasi :])],
        people,
        0,
    )
    connection.register(name, pa.Table.from_batches([batch]))
    return name


def brute_force(rows, quasi, sensitive):
    """The same figures, a row at a time."""
    rows = [(at if each[0] is None else each[0], *each[1:]) for at, each in enumerate(rows)]
    people, lines, values = defaultdict(set), Counter(), [defaultdict(set) for _ in range(sensitive)]
    for person, *rest in rows:
        group = tuple(rest[:quasi])
        people[group].add(person)
        lines[group] += 1
        for at in range(sensitive):
            values[at][group].add(rest[quasi + at])
    sizes = []
    for least, after in zip(SIZES, (*SIZES[1:], 10**9), strict=True):
        mine = [group for group in people if least <= len(people[group]) < after]
        sizes.append((least, sum(len(people[each]) for each in mine), sum(lines[each] for each in mine)))

    def alone(places):
        groups = defaultdict(set)
        for person, *rest in rows:
            groups[tuple(rest[at] for at in places)].add(person)
        return len({next(iter(each)) for each in groups.values() if len(each) == 1})

    return {
        "people": len({each[0] for each in rows}),
        "rows": len(rows),
        "groups": len(people),
        "k": min(map(len, people.values()), default=0),
        "alone": alone(range(quasi)),
        "sizes": tuple(sizes),
        "alone_without": tuple(alone([at for at in range(quasi) if at != left]) for left in range(quasi)),
        "diversity": tuple(
            (
                min(map(len, each.values()), default=0),
                sum(lines[group] for group, kinds in each.items() if len(kinds) == 1),
            )
            for each in values
        ),
    }


VALUE = st.sampled_from([None, "", "a", "b", "c"])
ROWS = st.lists(st.tuples(st.sampled_from("pqrstuv"), VALUE, VALUE, VALUE), max_size=30)


@settings(max_examples=25)
@given(ROWS, st.integers(0, 2), st.booleans())
def test_figures_by_brute_force(connection, rows, quasi, each_row_a_person):
    rows = [(None if each_row_a_person else each[0], *each[1:]) for each in rows]
    sensitive = 3 - quasi
    figures = group_figures(connection, relation(connection, rows, quasi, sensitive), quasi, sensitive)
    expected = brute_force(rows, quasi, sensitive)
    found = {name: getattr(figures, name) for name in expected if name != "diversity"}
    found["diversity"] = tuple((each.l, each.rows_of_one_value) for each in figures.diversity)
    assert found == expected
    assert figures.to_json()["k"] == expected["k"]


SUBJECT = st.sampled_from(["p", "q", "r", "s", None, "", "  "])


def by_definition(rows, quasi, sensitive):
    """docs/reidentification.md, word by word: named people of each group, and rows of nobody beside them."""
    named = [each for each in rows if (each[0] or "").strip()]
    nobody = len(rows) - len(named)
    figures = brute_force(named, quasi, sensitive)
    figures["people"] += nobody
    figures["rows"] += nobody
    figures["groups"] += nobody
    figures["k"] = 1 if nobody else figures["k"]
    figures["alone"] += nobody
    figures["alone_without"] = tuple(each + nobody for each in figures["alone_without"])
    least, people, lines = figures["sizes"][0]
    figures["sizes"] = ((least, people + nobody, lines + nobody), *figures["sizes"][1:])
    figures["diversity"] = tuple(
        (1 if nobody else l, lines + nobody)
        for l, lines in figures["diversity"]  # noqa: E741
    )
    figures["rows_of_nobody"] = nobody
    return figures


@settings(max_examples=60)
@given(st.lists(st.tuples(SUBJECT, VALUE, VALUE, VALUE), max_size=30), st.integers(0, 2))
def test_a_row_about_nobody_is_a_group_of_one_and_nobodys_company(connection, rows, quasi):
    sensitive = 3 - quasi
    made = relation(connection, rows, quasi, sensitive, keyed=True)
    figures = group_figures(connection, made, quasi, sensitive)
    expected = by_definition(rows, quasi, sensitive)
    found = {name: getattr(figures, name) for name in expected if name != "diversity"}
    found["diversity"] = tuple((each.l, each.rows_of_one_value) for each in figures.diversity)
    assert found == expected


@pytest.mark.parametrize(
    ("keys", "nobody"),
    [
        (pa.array([1, None, 0]), [False, True, False]),
        (pa.array([1.5, float("nan"), None, 0.0]), [False, True, True, False]),
        (pa.array(["x", "", " \t", "\u00a0", None, "0"]), [False, True, True, True, True, False]),
        (pa.array(["x", "", None]).dictionary_encode(), [False, True, True]),
        (pa.array(["x", "", None], pa.large_string()), [False, True, True]),
        (pa.array(["x", "", None], pa.string_view()), [False, True, True]),
        (pa.array([b"x", b"", None]), [False, True, True]),
        (pa.array([None, None], pa.null()), [True, True]),
        (pa.array([b"1" * 16, None], pa.uuid()), [False, True]),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["x", None])), [False, True, True]),
    ],
)
def test_what_says_nobody(keys, nobody):
    assert without_subject(keys).tolist() == nobody
    batch = tagged(TAGGER, [("c", pa.array(["same"] * len(keys)))], [], (PERSON, keys), 7)
    own = [each for each in batch.column("own").to_pylist() if each]
    assert len(own) == len(set(own)) == sum(nobody)


def test_a_lone_person_beside_rows_of_nobody_is_alone(connection):
    rows = [("p", "rare"), (None, "rare"), ("", "rare"), *((f"c{at}", "common") for at in range(9))]
    figures = group_figures(connection, relation(connection, rows, 1), 1, 0)
    assert (figures.k, figures.alone, figures.people, figures.groups) == (1, 3, 12, 4)


def test_rows_of_nobody_neither_hide_targets_nor_are_linked(connection):
    rows = [(f"p{at}", str(at)) for at in range(400)] + [(None, str(at)) for at in range(400)]
    group_figures(connection, relation(connection, rows, 1), 1, 0)
    found = singling_out(connection, 1)
    assert (found.targets, found.baseline) == (Rate(200, 200), Rate(200, 0))
    kept = relation(connection, [(f"p{at}", str(at)) for at in range(400)], 1, name="earlier")
    group_figures(connection, relation(connection, rows, 1), 1, 0)
    linked = linkage(connection, kept, [(0, 0)], by_pseudonym=False)
    assert (linked.common, linked.claims) == (400, Rate(400, 400))


def test_the_order_of_rows_and_batches_makes_no_difference(connection):
    rows = [(f"p{at % 7}", str(at % 3), str(at % 5), str(at % 2)) for at in range(60)]
    first = group_figures(connection, relation(connection, rows, 2, 1), 2, 1)
    assert group_figures(connection, relation(connection, rows[::-1], 2, 1), 2, 1) == first


def test_equal_values_of_any_layout_have_equal_tags():
    texts = pa.array(["x", None, "y", "x"])
    expected = TAGGER.column("a", texts).to_pylist()
    assert expected[0] == expected[3]
    assert len(set(expected)) == 3
    for same in (
        texts.dictionary_encode(),
        texts.cast(pa.large_string()),
        pa.array(["z", *texts.to_pylist()]).slice(1),
    ):
        assert TAGGER.column("a", same).to_pylist() == expected
    assert TAGGER.column("b", texts).to_pylist()[0] != expected[0]
    assert (
        TAGGER.column(PERSON, pa.array([17850.0, 2.5])).to_pylist()[0]
        == TAGGER.column(PERSON, pa.array([17850])).to_pylist()[0]
    )
    assert Tagger(bytes(32)).column("a", texts).to_pylist()[0] != expected[0]
    uuids = pa.array([b"\1" * 16, b"\2" * 16], pa.binary(16))
    assert len(set(TAGGER.column("a", pa.ExtensionArray.from_storage(pa.uuid(), uuids)).to_pylist())) == 2
    for other in (
        pa.array([1, None], pa.date32()),
        pa.array([True]),
        pa.array([1], pa.timestamp("us", "UTC")),
    ):
        assert len(TAGGER.column("a", other)) == len(other)


def test_singling_out_where_everybody_is_unique(connection):
    rows = [(f"p{at}", str(at)) for at in range(400)]
    group_figures(connection, relation(connection, rows, 1), 1, 0)
    found = singling_out(connection, 1)
    assert (found.targets, found.baseline) == (Rate(100, 100), Rate(100, 0))
    assert found.risk == 1.0


def test_singling_out_where_nobody_is(connection):
    rows = [(f"p{at}", str(at % 4)) for at in range(400)]
    group_figures(connection, relation(connection, rows, 1), 1, 0)
    found = singling_out(connection, 1)
    assert (found.targets.successes, found.baseline.successes, found.risk) == (0, 0, 0.0)


def test_the_baseline_takes_away_what_chance_gives(connection):
    """Pairs: whoever's twin was held out is alone, and who was held out has one who fits, but is not them."""
    rng = np.random.default_rng(3)
    names = rng.permutation(4000)
    rows = [(f"p{names[at]}", str(at // 2)) for at in range(4000)]
    group_figures(connection, relation(connection, rows, 1), 1, 0)
    found = singling_out(connection, 1)
    assert found.targets.tries == found.baseline.tries == 1000
    assert found.baseline.share > 0.6
    assert found.risk < 0.05


def test_small_sets_are_not_attacked(connection):
    group_figures(connection, relation(connection, [("p", "a")], 1), 1, 0)
    assert singling_out(connection, 1).targets.interval() == (0.0, 1.0)


def test_linking_two_releases_by_brute_force(connection):
    rng = np.random.default_rng(4)
    people = {f"p{at}": tuple(rng.integers(0, 12, 3).astype(str)) for at in range(300)}
    first = [(name, *values) for name, values in people.items() if rng.random() < 0.7]
    moved = {name: (values[0], "moved", values[2]) for name, values in people.items() if rng.random() < 0.1}
    second = [(name, *(moved.get(name) or values)) for name, values in people.items() if rng.random() < 0.7]
    kept = relation(connection, first, 3, name="earlier")
    group_figures(connection, relation(connection, second, 3), 3, 0)
    found = linkage(connection, kept, [(0, 0), (1, 1), (2, 2)], by_pseudonym=False)

    def alone(rows):
        groups = defaultdict(set)
        for name, *values in rows:
            groups[tuple(values)].add(name)
        return {key: next(iter(each)) for key, each in groups.items() if len(each) == 1}

    one, two = alone(first), alone(second)
    claims = [(one[key], two[key]) for key in one.keys() & two.keys()]
    right = sum(a == b for a, b in claims)
    assert (found.claims.tries, found.claims.successes) == (len(claims), right)
    assert found.common == len({each[0] for each in first} & {each[0] for each in second})
    assert 0 < right < len(claims)
    assert found.linked.tries == found.common
    by_two = linkage(connection, kept, [(0, 0), (2, 2)], by_pseudonym=True)
    assert by_two.shared == 2
    assert by_two.claims.tries < len(claims)
    assert linkage(connection, kept, [], by_pseudonym=False).claims == Rate(0, 0)


def test_canaries_are_counted_apart(connection):
    rows = [("c1", "x"), ("c2", "y"), ("p", "y"), ("q", "z")]
    group_figures(connection, relation(connection, rows, 1), 1, 0)
    tags = TAGGER.column(PERSON, pa.array(["c1", "c2", "not there"])).to_pylist()
    assert canaries_alone(connection, tags) == Rate(2, 1)
    assert canaries_alone(connection, []) == Rate(0, 0)


@pytest.mark.parametrize(
    ("tries", "successes", "low", "high"),
    [(10, 0, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (100, 50, 0.4038, 0.5962), (2000, 20, 0.00648, 0.01539)],
)
def test_wilsons_interval(tries, successes, low, high):
    """Published: Newcombe 1998, Brown, Cai and DasGupta 2001."""
    assert Rate(tries, successes).interval() == pytest.approx((low, high), abs=2e-4)


def test_four_quasi_identifiers_in_little_memory(tmp_path):
    """Groups that do not fit into memory are spilled, and the figures are the same."""
    rng = np.random.default_rng(5)
    rows = 150_000
    columns = [(f"c{at}", pa.array(rng.integers(0, 30, rows))) for at in range(4)]
    batch = tagged(TAGGER, columns, [], None, 0)
    config = {"memory_limit": "24MB", "temp_directory": str(tmp_path / "spill"), "threads": 1}
    with duckdb.connect(":memory:", config=config) as little, duckdb.connect(":memory:") as plenty:
        found = []
        for each in (little, plenty):
            each.register("given", pa.Table.from_batches([batch]))
            found.append(group_figures(each, "given", 4, 0))
    assert found[0] == found[1]
    values = Counter(zip(*(each.to_pylist() for _, each in columns), strict=True))
    assert found[0].alone == sum(each == 1 for each in values.values())
    assert list(itertools.accumulate(each[1] for each in found[0].sizes))[-1] == rows
