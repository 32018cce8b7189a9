"""Made-up queries over rows in several physical orders: each is refused, or gives the same bytes in all.

The grammar below puts together every construct whose answer could depend on an order: results with and
without ORDER BY, LIMIT, OFFSET, WITH TIES, DISTINCT, DISTINCT ON, set operations, windows, aggregates,
subqueries of all sorts, set-returning functions, CTEs, joins.
"""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.positions import Placed

PEOPLE = ["id", "name", "born", "grp"]
ODD = ["doc", "spot", "tags", "code"]  # types without an order, or with more than bytes to them
VISITS = ["id", "person_id", "day", "note"]


@pytest.fixture(scope="module")
def placed(postgres_server):
    with contextlib.closing(Placed(postgres_server, prefix="made_up")) as made:
        yield made


def columns(names):
    return st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)


@st.composite
def over(draw, names):
    partition = draw(st.sampled_from(["", f"PARTITION BY {draw(st.sampled_from(names))}"]))
    order = draw(
        st.sampled_from(
            ["", f"ORDER BY {draw(st.sampled_from(names))} {draw(st.sampled_from(['', 'DESC']))}"]
        )
    )
    frame = draw(
        st.sampled_from(
            [
                "",
                "",
                "ROWS UNBOUNDED PRECEDING",
                "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                "RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
                "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW",
            ]
        )
    )
    return f"OVER ({' '.join(each for each in (partition, order, frame) if each)})"


@st.composite
def window(draw, names):
    value = draw(st.sampled_from(names))
    call = draw(
        st.sampled_from(
            [
                *("row_number()", "rank()", "dense_rank()", "ntile(3)", "count(*)"),
                *(f"{name}({value})" for name in ("lag", "lead", "first_value", "last_value", "array_agg")),
                *(f"nth_value({value}, 2)", f"string_agg({value}::text, ',')", f"max({value}::text)"),
            ]
        )
    )  # fmt: skip
    return f"{call} {draw(over(names))}"


@st.composite
def aggregate(draw, names):
    value = draw(st.sampled_from(names))
    order = draw(st.sampled_from(["", f" ORDER BY {draw(st.sampled_from(names))}"]))
    return draw(
        st.sampled_from(
            [
                "count(*)",
                f"array_agg({value}{order})",
                f"string_agg({value}::text, ','{order})",
                f"json_agg({value}{order})",
                f"jsonb_agg({value}{order}) FILTER (WHERE {value} IS NOT NULL)",
                f"json_object_agg(coalesce({value}::text, ''), {draw(st.sampled_from(names))}{order})",
                f"jsonb_object_agg(left(coalesce({value}::text, ''), 2), {draw(st.sampled_from(names))})",
                f"array_agg(DISTINCT {value}::text)",
                f"mode() WITHIN GROUP (ORDER BY {value}::text)",
                f"percentile_disc(0.4) WITHIN GROUP (ORDER BY {value}::text)",
            ]
        )
    )


@st.composite
def tail(draw, names, *, ties=True):
    order = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    text = ""
    if order:
        items = [f"{each} {draw(st.sampled_from(['', 'DESC', 'NULLS FIRST']))}".strip() for each in order]
        text = f" ORDER BY {', '.join(items)}"
    limit = draw(st.integers(0, 70))
    kinds = [
        "",
        f" LIMIT {limit}",
        f" OFFSET {limit}",
        f" LIMIT {limit} OFFSET 3",
        f" FETCH FIRST {limit} ROWS ONLY",
    ]
    if order and ties:
        kinds.append(f" FETCH FIRST {limit} ROWS WITH TIES")
    return text + draw(st.sampled_from(kinds))


@st.composite
def simple(draw):
    """One table."""
    table, names, odd = draw(st.sampled_from([("people", PEOPLE, ODD), ("visits", VISITS, ["amount::text"])]))
    items = draw(columns(names + odd))
    extra = draw(
        st.lists(
            st.one_of(
                window(names),
                st.just("'x'"),
                st.just("NULL"),
                st.sampled_from(
                    [f"(SELECT note FROM visits v{tail_} LIMIT 1)" for tail_ in ("", " ORDER BY day")]
                ),
                st.just("ARRAY(SELECT person_id FROM visits)"),
                st.just("generate_series(1, 2)"),
                st.sampled_from(items).map(lambda each: f"coalesce({each}::text, '-')"),
            ),
            max_size=2,
        )
    )
    chosen = draw(st.sampled_from(["", "", "DISTINCT ", f"DISTINCT ON ({names[-1]}) "]))
    if chosen == "DISTINCT ":
        items = [each for each in items if each not in {"doc", "spot", "code"}] or [
            "name" if table == "people" else "day"
        ]
        extra = []
    starred = draw(st.booleans()) and not chosen
    listed = ", ".join(["*" if starred else ", ".join(items), *extra])
    where = draw(
        st.sampled_from(
            [
                "",
                f" WHERE {names[-1]} IS NOT NULL",
                f" WHERE {names[0]} IN (SELECT person_id FROM visits{draw(tail(VISITS, ties=False))})",
            ]
        )
    )
    sortable = (
        [each for each in items if each in names] or [names[-1]]
        if not chosen
        else [each for each in items if each in names] or ["1"]
    )
    if chosen.startswith("DISTINCT ON"):
        orders = ["", f" ORDER BY {names[-1]}", f" ORDER BY {names[-1]}, {names[1]} LIMIT 4"]
        return f"SELECT {chosen}{listed} FROM {table}{where}{draw(st.sampled_from(orders))}"
    return f"SELECT {chosen}{listed} FROM {table}{where}{draw(tail(sortable))}"


@st.composite
def grouped(draw):
    keys = draw(columns(["name", "born", "grp"]))
    found = draw(st.lists(aggregate([*PEOPLE, "doc"]), min_size=1, max_size=2))
    extra = draw(st.sampled_from(["", ", row_number() OVER (ORDER BY count(*))", ", lag(count(*)) OVER ()"]))
    by = draw(st.sampled_from([f" GROUP BY {', '.join(keys)}", f" GROUP BY ROLLUP ({', '.join(keys)})"]))
    if draw(st.booleans()):
        return f"SELECT {', '.join(found)} FROM people"
    return f"SELECT {', '.join(keys + found)}{extra} FROM people{by}{draw(tail(keys, ties=False))}"


@st.composite
def joined(draw):
    source = draw(
        st.sampled_from(
            [
                "people p JOIN visits v ON v.person_id = p.id",
                "people p LEFT JOIN visits v ON v.person_id = p.id AND v.note IS NOT NULL",
                "people p, LATERAL (SELECT * FROM visits w WHERE w.person_id = p.id LIMIT 2) v",
                "people p FULL JOIN (SELECT * FROM visits LIMIT 30) v ON v.person_id = p.id",
            ]
        )
    )
    items = draw(columns(["p.id", "p.name", "p.doc", "v.day", "v.note", "v.id", "p.*", "v.*"]))
    extra = draw(
        st.sampled_from(
            ["", ", row_number() OVER (PARTITION BY v.day)", ", lag(p.name) OVER (ORDER BY v.day)"]
        )
    )
    return f"SELECT {', '.join(items)}{extra} FROM {source}{draw(tail(['v.day', 'p.grp'], ties=False))}"


@st.composite
def combined(draw):
    word = draw(st.sampled_from(["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"]))
    arms = [
        f"(SELECT name, id FROM people{draw(tail(['name', 'grp'], ties=False))})",
        "SELECT DISTINCT ON (day) note, person_id FROM visits"
        if draw(st.booleans())
        else "SELECT note, person_id FROM visits",
    ]
    order = draw(
        st.sampled_from(["", " ORDER BY 1", " ORDER BY name DESC LIMIT 9", " LIMIT 11", " OFFSET 7"])
    )
    return f"{arms[0]} {word} {arms[1]}{order}"


@st.composite
def nested(draw):
    inner = draw(st.one_of(simple(), grouped(), combined()))
    return draw(
        st.sampled_from(
            [
                f"SELECT * FROM ({inner}) AS s",
                f"SELECT * FROM ({inner}) AS s LIMIT 6",
                f"SELECT count(*) FROM ({inner}) AS s",
                f"SELECT row_number() OVER (), s.* FROM ({inner}) AS s",
                f"SELECT json_agg(s) FROM ({inner}) AS s",
                f"SELECT (SELECT json_agg(s) FROM ({inner}) AS s), grp FROM people LIMIT 3",
                f"WITH c AS ({inner}) SELECT * FROM c LIMIT 8",
                f"WITH c AS ({inner}) SELECT * FROM c UNION ALL SELECT * FROM c",
                f"({inner})",
            ]
        )
    )


QUERIES = st.one_of(simple(), grouped(), joined(), combined(), nested())


def same_everywhere(placed, text):
    answers = placed.answers(text)
    if answers:  # a query that is refused tells nothing
        first = answers[0, "serial"]
        assert all(each == first for each in answers.values()), placed.sent(text)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(QUERIES)
def test_made_up_queries_give_the_same_bytes(placed, text):
    same_everywhere(placed, text)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
@given(QUERIES)
def test_many_made_up_queries_give_the_same_bytes(placed, text):
    same_everywhere(placed, text)


def test_most_of_them_are_answered(placed):
    """The test above says something: few are refused, few are errors."""
    asked = answered = 0

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(QUERIES)
    def count(text):
        nonlocal asked, answered
        asked += 1
        sent = placed.sent(text)
        answered += sent is not None and not isinstance(placed.answer((0, "serial"), sent), str)

    count()
    assert answered > asked / 2, (answered, asked)
