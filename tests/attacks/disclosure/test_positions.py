"""Where rows lie must not show: the same rows in three physical orders give the same bytes."""

import contextlib

import pytest
from tests.positions import Placed

from ringfort.privacy.pseudonym import Domain

STATEMENTS = """\
SELECT * FROM people
TABLE people
SELECT id FROM people
SELECT name FROM people
SELECT doc, spot FROM people
SELECT score, ratio, span, code, docb FROM people
SELECT id, name AS n FROM people p WHERE grp < 3 LIMIT 7 OFFSET 5
SELECT name FROM people LIMIT 5
SELECT 1 AS id, id AS p FROM people
SELECT name AS id, id AS name FROM people LIMIT 20
SELECT grp AS id, id FROM people
SELECT people.id, s.* FROM people, (SELECT 2 AS id) s
SELECT p.id, 1 AS id FROM people p OFFSET 3
SELECT day AS person_id, person_id AS day FROM visits ORDER BY day LIMIT 30
SELECT doc FROM people OFFSET 40
SELECT id, doc FROM people FETCH FIRST 5 ROWS ONLY
SELECT * FROM visits LIMIT 5
SELECT id, day, note AS n FROM visits v WHERE v.day < '2026-01-02' LIMIT 9 OFFSET 3
SELECT note FROM visits WHERE note LIKE 'x' FETCH FIRST 7 ROWS ONLY
TABLE visits LIMIT 4
SELECT * FROM (SELECT id, amount FROM visits) AS source LIMIT 6
SELECT * FROM (SELECT id, amount FROM visits LIMIT 20) AS source WHERE amount > 1
SELECT generate_series(1, 2), note FROM visits LIMIT 5
SELECT count(*) FROM (SELECT * FROM visits LIMIT 10) s WHERE note IS NULL
SELECT person_id, (SELECT name FROM people p WHERE p.id = v.person_id LIMIT 1) FROM visits v LIMIT 8
SELECT count(*) FROM visits v, (SELECT person_id FROM visits LIMIT 9) w WHERE w.person_id = v.person_id
SELECT note FROM visits WHERE person_id IN (SELECT id FROM people) LIMIT 5
SELECT visits.note, public.note FROM visits, (SELECT 1 AS note) AS public LIMIT 5
SELECT name FROM people ORDER BY grp LIMIT 9
SELECT name, doc FROM people ORDER BY born DESC NULLS LAST, 1 LIMIT 9
SELECT DISTINCT name, grp FROM people
SELECT DISTINCT name, grp FROM people ORDER BY grp
SELECT DISTINCT id, grp FROM people ORDER BY grp DESC LIMIT 11
SELECT DISTINCT * FROM (SELECT name, grp FROM people) s
SELECT DISTINCT ON (grp) grp, id, doc FROM people
SELECT DISTINCT ON (grp) name FROM people ORDER BY grp, born
SELECT DISTINCT ON (grp, born) doc FROM people ORDER BY born LIMIT 4
SELECT id FROM people UNION ALL SELECT person_id FROM visits
SELECT doc FROM people UNION ALL SELECT '[]'::json
SELECT score FROM people UNION ALL SELECT amount FROM visits ORDER BY 1 LIMIT 30
SELECT name FROM people UNION SELECT note FROM visits
SELECT id FROM people INTERSECT SELECT person_id FROM visits LIMIT 9
SELECT id FROM people EXCEPT ALL SELECT person_id FROM visits ORDER BY id DESC OFFSET 3
(SELECT doc FROM people LIMIT 3) UNION ALL (SELECT doc FROM people ORDER BY grp LIMIT 3)
SELECT DISTINCT ON (grp) id FROM people UNION ALL SELECT DISTINCT ON (day) person_id FROM visits
SELECT array_agg(name), string_agg(name, ','), json_agg(doc), jsonb_agg(docb), array_agg(spot) FROM people
SELECT array_agg(name ORDER BY grp), string_agg(name, ',' ORDER BY born DESC), count(*) FROM people
SELECT json_object_agg(name, id), jsonb_object_agg(coalesce(name, ''), id) FROM people WHERE name IS NOT NULL
SELECT array_agg(DISTINCT name), string_agg(DISTINCT name, ',') FROM people
SELECT array_agg(id) FILTER (WHERE grp > 1), json_agg(p) FROM people p
SELECT json_agg(row_to_json(p)) FROM people p
SELECT grp, array_agg(doc), count(*) FROM people GROUP BY grp
SELECT grp, born, array_agg(id) FROM people GROUP BY ROLLUP (grp, born)
SELECT grp, count(*) FROM people GROUP BY grp HAVING count(*) > 2
SELECT mode() WITHIN GROUP (ORDER BY name), percentile_disc(0.5) WITHIN GROUP (ORDER BY name) FROM people
SELECT row_number() OVER (), id FROM people
SELECT row_number() OVER (ORDER BY grp), name FROM people
SELECT row_number() OVER w, lag(id) OVER w, lead(doc) OVER w, ntile(4) OVER w, rank() OVER w, name \
FROM people WINDOW w AS (PARTITION BY born ORDER BY grp)
SELECT first_value(id) OVER (ORDER BY grp), grp FROM people
SELECT last_value(id) OVER (ORDER BY grp RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING), grp FROM people
SELECT nth_value(doc, 3) OVER (PARTITION BY grp) FROM people
SELECT array_agg(id) OVER (PARTITION BY grp), grp FROM people
SELECT sum(score) OVER (ORDER BY grp ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), id FROM people
SELECT sum(score) OVER (ORDER BY grp), id FROM people
SELECT count(*) OVER (w ROWS UNBOUNDED PRECEDING), name FROM people WINDOW w AS (ORDER BY born)
SELECT string_agg(name, ',') OVER (v ROWS UNBOUNDED PRECEDING), name FROM people \
WINDOW w AS (PARTITION BY grp), v AS (w ORDER BY born)
SELECT grp AS k, count(*), row_number() OVER (ORDER BY count(*)) FROM people GROUP BY k
SELECT born, count(*), row_number() OVER () FROM people GROUP BY 1
SELECT name FROM people ORDER BY name FETCH FIRST 5 ROWS WITH TIES
SELECT grp, doc FROM people ORDER BY grp DESC FETCH FIRST 5 ROWS WITH TIES
SELECT * FROM (SELECT name, doc, grp FROM people ORDER BY grp FETCH FIRST 5 ROWS WITH TIES) s
SELECT json_agg(s) FROM (SELECT doc, grp FROM people ORDER BY grp FETCH FIRST 5 ROWS WITH TIES) s
WITH s AS (SELECT doc, grp FROM people ORDER BY grp FETCH FIRST 5 ROWS WITH TIES) SELECT * FROM s
SELECT count(*) FROM (SELECT doc FROM people ORDER BY grp, name FETCH FIRST 5 ROWS WITH TIES) s
(SELECT id FROM people UNION SELECT person_id FROM visits LIMIT 9) UNION ALL SELECT id FROM people
SELECT id FROM people EXCEPT (SELECT id FROM people UNION ALL SELECT person_id FROM visits LIMIT 9)
SELECT s.array_agg FROM (SELECT array_agg(doc) FROM people) s
WITH s AS (SELECT json_agg(doc) FROM people) SELECT s.json_agg, s.* FROM s
SELECT id, (SELECT note FROM visits v WHERE v.person_id = p.id LIMIT 1), \
ARRAY(SELECT id FROM visits) FROM people p
SELECT (SELECT doc FROM people LIMIT 1), (SELECT id FROM people OFFSET 3 LIMIT 1)
SELECT p.name, l.* FROM people p, LATERAL (SELECT * FROM visits v WHERE v.person_id = p.id LIMIT 1) l
SELECT p.name, v.day FROM people p JOIN visits v ON v.person_id = p.id
SELECT * FROM people p JOIN visits v ON v.person_id = p.id LIMIT 20
SELECT * FROM people NATURAL LEFT JOIN (SELECT person_id AS id, note FROM visits) v
SELECT count(*) FROM people p WHERE EXISTS (SELECT 1 FROM visits v WHERE v.person_id = p.id LIMIT 1)
SELECT name FROM people WHERE id IN (SELECT person_id FROM visits LIMIT 10)
SELECT name FROM people WHERE id = ANY (ARRAY(SELECT person_id FROM visits LIMIT 10))
SELECT * FROM (SELECT name, born FROM people ORDER BY born) s LIMIT 10
SELECT * FROM (SELECT name FROM people ORDER BY born DESC) s
SELECT a.n FROM (SELECT * FROM (SELECT name AS n FROM people ORDER BY grp) b) a LIMIT 5
WITH x AS (SELECT name FROM people ORDER BY born LIMIT 5) SELECT * FROM x
WITH x AS MATERIALIZED (SELECT * FROM people) SELECT id, doc FROM x LIMIT 9
WITH x AS (SELECT name FROM people ORDER BY born) SELECT array_agg(name) FROM x
SELECT array_agg(name) FROM (SELECT name FROM people ORDER BY born) s
SELECT row_number() OVER (), * FROM (SELECT name FROM people ORDER BY born DESC) s
SELECT grp, array_agg(name) FROM (SELECT name, grp FROM people ORDER BY born) s GROUP BY grp
SELECT unnest(tags), name FROM people
SELECT id, generate_series(1, grp) FROM people LIMIT 13
SELECT unnest(array_agg(id)) FROM people
SELECT g, name FROM people, generate_series(1, 2) AS g LIMIT 17
SELECT t, id FROM people, unnest(tags) WITH ORDINALITY AS u (t, n)
SELECT p, name FROM people p LIMIT 4
SELECT p::text, (p).name, ROW(p.*) FROM people p LIMIT 4
SELECT p.* FROM people p
SELECT 1 FROM people
SELECT FROM people
SELECT 'x', NULL, id FROM people
SELECT count(*), min(name), max(born), bool_or(grp > 1), sum(grp) FROM people
SELECT pg_typeof(doc), id FROM people LIMIT 3
SELECT CASE WHEN grp > 1 THEN doc END, coalesce(name, 'none') FROM people ORDER BY grp IS NULL
SELECT * FROM people ORDER BY gen_random_uuid() IS NULL LIMIT 6
SELECT name FROM people GROUP BY name, grp ORDER BY grp
SELECT DISTINCT name FROM people GROUP BY name, grp
WITH RECURSIVE r(n, d) AS (SELECT id, 1 FROM people UNION ALL SELECT n, d + 1 FROM r WHERE d < 2) \
SELECT * FROM r LIMIT 9
VALUES ((SELECT doc FROM people LIMIT 1)), (NULL)
((SELECT doc FROM people)) LIMIT 3
(SELECT doc FROM people ORDER BY grp) OFFSET 50
SELECT "name" AS "limit", grp "from" FROM people LIMIT 6
SELECT grp, id IS DISTINCT FROM id FROM people ORDER BY 2
SELECT extract(year FROM born), overlay(name PLACING 'x' FROM 1 FOR 2) FROM people LIMIT 9
SELECT /* a -- comment */ doc FROM people -- behind
 LIMIT 3
SELECT bool_and(x) FROM (SELECT lag(grp) OVER () IS NULL AS x FROM people) s
WITH people AS (SELECT 1 AS n, name FROM people) SELECT * FROM people LIMIT 5
WITH visits AS (SELECT * FROM visits) SELECT count(*), array_agg(note) FROM visits
WITH people AS (SELECT name FROM people ORDER BY grp) SELECT * FROM people
WITH a AS (SELECT name FROM people), people AS (SELECT note FROM visits ORDER BY day) SELECT * FROM a
WITH c AS (SELECT name FROM people ORDER BY born), d AS \
(WITH c AS (SELECT name FROM people) SELECT * FROM c) SELECT array_agg(name) FROM d
SELECT (SELECT array_agg(n) FROM (SELECT note AS n FROM visits v WHERE v.person_id = p.id ORDER BY day) s) \
FROM people p
SELECT (SELECT json_agg(note) FROM (SELECT * FROM visits v WHERE v.person_id = p.id ORDER BY day) s) \
FROM people p
SELECT (WITH c AS (SELECT note AS n FROM visits ORDER BY day) SELECT string_agg(n, ',') FROM c) FROM people
SELECT json_build_object('a', (SELECT json_agg(s) FROM \
(SELECT id, name FROM people ORDER BY born LIMIT 5) s))
SELECT id, (SELECT json_agg(s) FROM (SELECT * FROM visits v WHERE v.person_id = p.id ORDER BY day) s) \
FROM people p
SELECT (SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY count(*)) AS n FROM visits v \
WHERE v.person_id = p.id GROUP BY day) s) FROM people p
SELECT count(*), (SELECT array_agg(p.name)) FROM people p
SELECT (SELECT max(p.name) || max(v.note) FROM visits v) FROM people p GROUP BY p.grp
SELECT DISTINCT ON (grp) generate_series(1, 3) AS g, (SELECT 1) FROM people
SELECT DISTINCT ON (grp) unnest(ARRAY(SELECT note FROM visits LIMIT 3)), id FROM people
COPY (SELECT * FROM people) TO STDOUT
COPY (SELECT name FROM people LIMIT 5) TO STDOUT (FORMAT csv)
SELECT id FROM people; SELECT doc FROM people LIMIT 2
""".replace("\\\n", "").replace("behind\n LIMIT", "behind\x00 LIMIT")
LINES = [line.replace("\0", "\n") for line in STATEMENTS.splitlines()]

REFUSED = [
    "SELECT id, random() FROM people",
    "SELECT id FROM people ORDER BY random() LIMIT 3",
    "SELECT id, clock_timestamp() FROM people",
    "SELECT id FROM people ORDER BY clock_timestamp()",
    "SELECT id, (SELECT timeofday()) FROM people",
    "SELECT id FROM people WHERE random() < 0.1",
    "SELECT id, n FROM people, LATERAL (SELECT random() AS n) r",
    "SELECT pg_column_size(name), pg_column_compression(name) FROM people",
    "SELECT any_value(id) FROM people",
    "SELECT DISTINCT ON (grp) grp, id FROM people ORDER BY grp FETCH FIRST 3 ROWS WITH TIES",
    "SELECT * FROM (SELECT DISTINCT ON (grp) id FROM people ORDER BY grp FETCH NEXT ROW WITH TIES) s",
    # functions in the notation of columns
    "SELECT p.array_agg FROM people p",
    "SELECT (p).json_agg FROM people p",
    "SELECT (p.name).array_agg FROM people p",
    "SELECT (p.name || 'x').pg_column_size FROM people p",
    "SELECT p.jsonb_agg FROM people p, (SELECT jsonb_agg(1)) s",
    "SELECT x.json_agg FROM (SELECT * FROM people) x",
    "SELECT x.json_agg FROM (SELECT name AS json_agg FROM people) x (n)",
    "SELECT name FROM people p ORDER BY p.json_agg",
    "SELECT (SELECT p.string_agg) FROM people p",
    # aggregates of the query around a subquery, or what may be one
    "SELECT (SELECT array_agg(p.name) FROM (SELECT 1 AS x ORDER BY 1) s) FROM people p GROUP BY grp",
    "SELECT count(*), (SELECT json_agg(p) FROM (SELECT 1 AS x ORDER BY 1) s) FROM people p",
    "SELECT count(*), (SELECT array_agg(name) FROM (SELECT 1 AS x ORDER BY 1) s) FROM people p",
    "SELECT count(*), (WITH c AS (SELECT 1 AS x ORDER BY 1) SELECT array_agg(p.id) FROM c) FROM people p",
    "SELECT max(grp), ARRAY(SELECT n FROM (SELECT lag(id) OVER () n, max(p.id) FROM visits) v) FROM people p",
    "SELECT max(grp), ARRAY(WITH v AS (SELECT lag(id) OVER (), max(p.id) FROM visits) TABLE v) FROM people p",
    "SELECT max(grp), ARRAY(SELECT 1 UNION SELECT ntile(2) OVER () + max(p.grp) FROM visits) FROM people p",
    "SELECT last_value(id) OVER (ORDER BY grp) FROM people",
    "SELECT nth_value(id, 2) OVER (ORDER BY grp) FROM people",
    "SELECT array_agg(id) OVER (ORDER BY grp) FROM people",
    "SELECT first_value(id) OVER (ORDER BY grp GROUPS 1 PRECEDING) FROM people",
    "SELECT sum(grp) OVER (ORDER BY grp ROWS UNBOUNDED PRECEDING EXCLUDE TIES) FROM people",
    "SELECT id FROM people ORDER BY grp OFFSET 2 FETCH FIRST 3 ROWS WITH TIES",
    "SELECT id FROM people ORDER BY born FETCH FIRST 3 ROWS WITH TIES",
    "SELECT * FROM people TABLESAMPLE SYSTEM (10)",
    "SELECT JSON_ARRAYAGG(id) FROM people",
    "SELECT grp, row_number() OVER () FROM people GROUP BY CUBE (grp)",
]


@pytest.fixture(scope="module")
def placed(postgres_server):
    with contextlib.closing(Placed(postgres_server)) as made:
        yield made


@pytest.fixture(scope="module")
def elsewhere(postgres_server):
    domain = Domain("Another Ltd", "research")
    with contextlib.closing(Placed(postgres_server, (0,), domain, "elsewhere")) as made:
        yield made


@pytest.mark.parametrize("text", LINES)
def test_three_orders_give_the_same_bytes(placed, text):
    answers = placed.answers(text)
    assert answers, "refused"
    first = answers[0, "serial"]
    assert not isinstance(first, str), (first, placed.sent(text))
    assert all(answer == first for answer in answers.values()), placed.sent(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_placed_is_refused(placed, text):
    assert placed.sent(text) is None


@pytest.mark.parametrize("text", LINES)
def test_the_answer_is_the_one_that_was_asked_for(placed, text):
    """Names, types and the rows as a set are those of the text as the client sent it."""
    if any(word in text for word in ("LIMIT", "OFFSET", "FETCH", "DISTINCT ON", "OVER", "_agg", "COPY", ";")):
        return
    plain = placed.answer((0, "serial"), text)
    filled = placed.answer((0, "serial"), placed.sent(text))
    if "pg_typeof" not in text:
        assert filled[0] == plain[0]
        assert sorted(map(repr, filled[1])) == sorted(map(repr, plain[1]))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT {0}.visits.note FROM visits LIMIT 3",
        "SELECT {0}.visits.* FROM visits WHERE {0}.visits.note = 'x' LIMIT 3",
        "SELECT * FROM (SELECT note FROM visits WHERE {0}.visits.note = 'x') s LIMIT 3",
        "SELECT {0}.visits.note FROM {0}.visits LIMIT 3",
        "SELECT {0}.people.id, note FROM people, visits ORDER BY 2 LIMIT 3",
    ],
)
def test_columns_may_be_named_with_the_schema(placed, text):
    text = text.format(placed.profiles[0].schema)
    assert len(placed.answer((0, "serial"), placed.sent(text))[1]) == 3


@pytest.mark.parametrize("text", [line for line in LINES if "DISTINCT ON" in line and "LIMIT" not in line])
def test_there_are_as_many_rows_as_were_asked_for(placed, text):
    plain = placed.answer((0, "serial"), text)
    filled = placed.answer((0, "serial"), placed.sent(text))
    assert len(filled[1]) == len(plain[1])


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM people",
        "SELECT id, row_number() OVER () FROM people",
        "SELECT unnest(array_agg(id)) FROM people",
        "SELECT person_id FROM visits WHERE person_id IS NOT NULL LIMIT 60",
        "SELECT id FROM people ORDER BY id IS NULL",
    ],
)
def test_positions_in_two_domains_agree_by_chance_only(placed, elsewhere, text):
    one = placed.people_in_order(0, text)
    other = elsewhere.people_in_order(0, text)
    assert len(one) == len(other) > 40
    # of a random order one row is expected to stay where it is; seven or more do once in ten thousand times
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 7
    serial = sorted(one)
    assert sum(a == b for a, b in zip(one, serial, strict=True)) < 7


def test_without_filling_positions_would_show(placed):
    answers = {where: placed.answer(where, "SELECT id FROM people") for where in placed.connections}
    assert len({repr(answer) for answer in answers.values()}) > 1
