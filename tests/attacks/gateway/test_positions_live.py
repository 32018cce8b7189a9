"""Positions through the gateway: what clients ask, in whatever way, and what stays as it was.

The rows of the deployment are put into another physical order, and every answer must stay the same bytes.
"""

import contextlib
import json
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from tests.attacks.gateway import statements as corpus
from tests.live_deployment import ANALYST, SUPPORT, wait_for

WAYS = [
    "SELECT id FROM people",
    "SELECT * FROM people LIMIT 20",
    "SELECT id, country FROM people WHERE country = 'EEA' LIMIT 5",
    "SELECT id, country FROM people WHERE country = 'XX' OR true LIMIT 7",
    "SELECT row_number() OVER (), id FROM people",
    "SELECT array_agg(id), string_agg(country, ',') FROM people",
    "SELECT DISTINCT ON (country) country, id FROM people",
    "SELECT id, (SELECT label FROM vault v WHERE v.owner_id = p.id LIMIT 1) FROM people p",
    "SELECT * FROM vault",
    "TABLE vault",
    # as BI tools ask
    'SELECT "source"."label" AS "label" FROM (SELECT * FROM "vault") AS "source" LIMIT 2000',
    'SELECT "source"."label" FROM (SELECT * FROM "vault") AS "source" ORDER BY 1 ASC LIMIT 3 OFFSET 2',
    'SELECT x.* FROM "vault" x LIMIT 200',
    'SELECT count(*), "people"."country" FROM "people" GROUP BY "people"."country" ORDER BY 1 DESC LIMIT 9',
    'SELECT * FROM (SELECT "country", count(*) AS n FROM "people" GROUP BY 1) AS virtual_table LIMIT 3',
    'SELECT t.* FROM (SELECT id, row_number() OVER (ORDER BY "country") AS r FROM "people") AS t WHERE r < 9',
    'SELECT left(v."watched_at"::text, 4) AS y, count(*) FROM "views" v GROUP BY 1 ORDER BY 2 DESC LIMIT 5',
    'SELECT p."country", count(*) FROM "payments" x JOIN "people" p ON p.id = x.person_id GROUP BY 1',
]
PARALLEL = {
    "min_parallel_table_scan_size": "0",
    "min_parallel_index_scan_size": "0",
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
}
CLIENTS = Path(__file__).parents[2] / "unit" / "disclosure" / "client_statements"


@pytest.fixture
def session(live):
    with psycopg.connect(live.dsn(ANALYST), autocommit=True) as connected:
        yield connected


def move_rows(live, order):
    """Put the rows of people and vault elsewhere: written again in `order`, the old places given free."""
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        for table in ("people", "vault"):
            name = sql.Identifier(table)
            ids = [row[0] for row in admin.execute(sql.SQL("SELECT id FROM {} ORDER BY ctid").format(name))]
            ids = ids[::-1] if order == "reversed" else ids[1::2] + ids[::2]
            column = sql.Identifier("label" if table == "vault" else "country")
            for each in ids:
                admin.execute(sql.SQL("UPDATE {0} SET {1} = {1} WHERE id = %s").format(name, column), (each,))
            admin.execute(sql.SQL("VACUUM FULL ANALYZE {}").format(name))


def asked(live, texts):
    """The answers to all texts, each by the simple and the extended protocol, in bytes."""
    out = {}
    with psycopg.connect(live.dsn(ANALYST), autocommit=True) as connected:
        pgconn = connected.pgconn
        for text in texts:
            for way in ("simple", "extended"):
                simple = way == "simple"
                result = pgconn.exec_(text.encode()) if simple else pgconn.exec_params(text.encode(), [])
                state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
                rows = [
                    [result.get_value(row, column) for column in range(result.nfields)]
                    for row in range(result.ntuples)
                ]
                out[text, way] = state or rows
    return out


@contextlib.contextmanager
def parallel_plans(live):
    """Every plan that can be parallel is, as the server's administrator may have it."""
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        forced = "debug_parallel_query" if admin.info.server_version >= 160_000 else "force_parallel_mode"
        wanted = PARALLEL | {forced: "on"}
        for name, value in wanted.items():
            admin.execute(
                sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
        try:
            _reload(live, forced, "on")
            yield
        finally:
            for name in wanted:
                admin.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
            _reload(live, forced, "off")


def _reload(live, name, value):
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        admin.execute("SELECT pg_reload_conf()")

    def taken():
        with psycopg.connect(live.admin_dsn()) as admin:
            return admin.execute("SELECT current_setting(%s)", (name,)).fetchone() == (value,)

    wait_for(taken)


def test_the_same_bytes_with_parallel_plans(live):
    texts = WAYS + [text for text in attack_corpus() if "pg_settings" not in text]
    before = asked(live, texts)
    with parallel_plans(live):
        assert asked(live, texts) == before
        move_rows(live, "reversed")
        assert asked(live, texts) == before


def test_what_clients_ask_gives_the_same_bytes_after_rows_were_moved(live):
    texts = [
        text
        for file in sorted(CLIENTS.glob("*.json"))
        for listed in json.loads(file.read_text("utf-8")).values()
        for text in listed
        if "$1" not in text and text.lstrip().upper().startswith(("SELECT", "WITH"))
    ]
    assert len(texts) > 50
    before = asked(live, texts)
    move_rows(live, "halved")
    after = asked(live, texts)
    assert not {key for key in before if before[key] != after[key]}


def test_the_same_bytes_after_rows_were_moved(live):
    before = asked(live, WAYS)
    assert all(isinstance(each, list) and each for each in before.values()), before
    for order in ("reversed", "halved"):
        move_rows(live, order)
        assert asked(live, WAYS) == before


def attack_corpus():
    """The queries of the attack corpus, but for those that tell when they were asked."""
    texts = [
        text
        for name in dir(corpus)
        for value in [getattr(corpus, name)]
        if isinstance(value, list)
        for text in value
        if isinstance(text, str) and text.lstrip().upper().startswith(("SELECT", "WITH", "TABLE", "("))
    ]
    assert len(texts) > 50
    unequal = ("clock_timestamp", "now()", "pg_backend_pid", "statement_timestamp", "gen_random", "sleep")
    unequal += ("pg_cursors", "pg_prepared_statements")  # they tell when
    return [text for text in texts if not any(word in text for word in unequal)]


def test_the_attack_corpus_gives_the_same_bytes_after_rows_were_moved(live):
    texts = attack_corpus()
    before = asked(live, texts)
    move_rows(live, "reversed")
    after = asked(live, texts)
    differing = {key for key in before if before[key] != after[key]}
    assert not differing


def test_cursor_portal_copy_and_prepared_statements_give_one_order(live, session):
    expected = session.execute("SELECT id FROM people").fetchall()
    assert expected == sorted(expected)
    with session.transaction(), session.cursor("named") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT id FROM people")
        assert list(cursor) == expected
    session.execute("PREPARE p (text) AS SELECT id FROM people WHERE id::text <> $1")
    assert session.execute("EXECUTE p ('-')").fetchall() == expected
    with session.cursor() as cursor, cursor.copy("COPY (SELECT id FROM people) TO STDOUT") as copy:
        assert [row[0] for row in copy.rows()] == [str(row[0]) for row in expected]
    assert session.execute("SELECT id FROM people WHERE id::text <> %s", ("-",)).fetchall() == expected
    assert session.execute("SELECT id FROM people LIMIT %s", (9,)).fetchall() == expected[:9]


def test_names_types_and_parameters_stay_as_they_were(live, session):
    prepared = session.pgconn.prepare(
        b"d", b"SELECT id, country AS c, 'x', $1 + 1, NULL FROM people WHERE id = $2"
    )
    assert not prepared.error_message
    described = session.pgconn.describe_prepared(b"d")
    assert [described.param_type(n) for n in range(described.nparams)] == [23, 2950]
    assert [described.fname(n) for n in range(described.nfields)] == [
        b"id", b"c", b"?column?", b"?column?", b"?column?"
    ]  # fmt: skip
    assert [described.ftype(n) for n in range(described.nfields)] == [2950, 25, 25, 23, 25]
    assert described.ftable(0) == described.ftable(1) != 0
    with pytest.raises(psycopg.errors.UndefinedColumn) as refused:
        session.execute("SELECT nothing FROM people")
    assert refused.value.diag.statement_position == "8"
    with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
        session.execute("SELECT id, random() FROM people")
    assert "gen_random_uuid" in refused.value.diag.message_hint


def test_a_profile_of_raw_values_keeps_the_stored_order(live):
    with psycopg.connect(live.dsn(SUPPORT), autocommit=True) as support:
        surface = [row[0] for row in support.execute("SELECT id FROM vault")]
    with psycopg.connect(live.admin_dsn()) as admin:
        stored = [row[0] for row in admin.execute("SELECT id FROM vault ORDER BY ctid")]
    assert sorted(surface) == sorted(stored)


def test_what_is_shown_of_the_catalogue_is_what_it_was(live, session):
    names = session.execute(
        "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE c.oid >= 16384"
    ).fetchall()
    assert names
    assert not [name for name in names if name[0].endswith("_ordered")]
    assert not session.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%ordered'").fetchall()
