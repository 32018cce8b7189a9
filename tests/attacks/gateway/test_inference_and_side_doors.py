"""Questions about what may not be seen, and ways around the gate: classes 2 and 6 of `attacks/README.md`."""

import contextlib
import random

import psycopg
import pytest
from tests.attacks.gateway.leaks import leaked
from tests.attacks.gateway.wire_client import NotLetInError, WireClient
from tests.live_deployment import ANALYST, ELSEWHERE, ENGINEER, MARKERS, OPERATOR, SUPPORT

from ringfort.pgwire.backend import DataRow, ErrorResponse

# {} is a hidden column, or one that never was: nobody can tell which
QUESTIONS = [
    "SELECT count(*) FROM vault WHERE {} LIKE 'a%'",
    "SELECT count(*) FROM vault WHERE {} IS NULL",
    "SELECT id FROM vault ORDER BY {} LIMIT 1",
    "SELECT count(*) FROM vault GROUP BY {}",
    "SELECT count(*) FROM vault GROUP BY id HAVING max({}) > 'm'",
    "SELECT count(*) FILTER (WHERE {} > 'm') FROM vault",
    "SELECT id FROM vault AS v WHERE EXISTS (SELECT FROM vault AS w WHERE w.{} = v.label)",
    "SELECT v.id FROM vault AS v JOIN (VALUES ('guess')) AS g (x) ON v.{} = g.x",
    "SELECT v.id FROM vault AS v JOIN vault AS w USING ({})",
    "SELECT lag({}) OVER (ORDER BY id) = {} FROM vault",
    "SELECT id FROM vault LIMIT (SELECT length({}) FROM vault LIMIT 1)",
    "SELECT CASE WHEN {} > 'm' THEN 1 / 0 END FROM vault",
    "SELECT id FROM vault WHERE ({}, id) > ('m', 0)",
    "SELECT id FROM vault WHERE {} = ANY (ARRAY['guess'])",
    "SELECT DISTINCT {} IS NOT NULL FROM vault",
    "SELECT (SELECT {} FROM vault AS w WHERE w.id = v.id) IS NULL FROM vault AS v",
    "SELECT x FROM vault, LATERAL (SELECT {} > 'm') AS t (x)",
    "SELECT regr_count(length({}), id) FROM vault",
    "SELECT v.{} IS NULL FROM vault AS v",
    "SELECT (v).{} IS NULL FROM vault AS v",
]


def told(client, sql):
    """Every field of every error, and how many rows came."""
    items = client.query(sql)
    errors = [each.fields for each in items if isinstance(each, ErrorResponse)]
    return errors, sum(isinstance(each, DataRow) for each in items)


@pytest.mark.parametrize("who", [ANALYST, ENGINEER], ids=lambda who: who.role)
def test_a_hidden_column_answers_like_one_that_never_was(live, who):
    with WireClient(live.dsn(who)) as client:
        for question in QUESTIONS:
            never, rows = told(client, question.replace("{}", "n_text"))
            assert (len(never), rows) == (1, 0), question
            for hidden in ("h_text", "u_text"):
                errors, rows = told(client, question.replace("{}", hidden))
                assert rows == 0
                said = [
                    {key: value.replace(hidden.encode(), b"n_text") for key, value in each.items()}
                    for each in errors
                ]
                assert said == never, question
        assert not leaked(client.received)


@pytest.mark.parametrize("who", [OPERATOR, ANALYST], ids=lambda who: who.role)
def test_asking_again_and_again_tells_no_more(live, who):
    """A mask with chance in it could be averaged away."""
    with WireClient(live.dsn(who)) as client:
        answers = {tuple(client.values("TABLE vault ORDER BY id")) for _ in range(12)}
        with WireClient(live.dsn(who)) as other:
            answers.add(tuple(other.values("TABLE vault ORDER BY id")))
        assert len(answers) == 1
        assert not leaked(client.received)


def test_a_natural_join_meets_no_hidden_column(live):
    guess = MARKERS["h_text"][0]
    with WireClient(live.dsn(ANALYST)) as client:
        right = client.values(f"SELECT count(*) FROM vault NATURAL JOIN (VALUES ('{guess}')) AS g (h_text)")
        wrong = client.values("SELECT count(*) FROM vault NATURAL JOIN (VALUES ('x')) AS g (h_text)")
        assert right == wrong


# -- class 6: what the owner of the database does meanwhile ------------------------------------------------


@contextlib.contextmanager
def changed(live, *statements, back):
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        try:
            for each in statements:
                admin.execute(each)
            yield
        finally:
            for each in back:
                admin.execute(each)


ASKED = [
    "SELECT * FROM vault", "TABLE vault", "SELECT v FROM vault AS v", "SELECT added FROM vault",
    "SELECT (v).added FROM vault AS v", "SELECT row_to_json(v) FROM vault AS v", "SELECT secret FROM vault",
    "COPY vault TO STDOUT", "COPY (TABLE vault) TO STDOUT (FORMAT binary)", "TABLE vault_backup",
    "TABLE public.vault_backup", "TABLE vault_old", "TABLE public.vault", "SELECT * FROM added_view",
    "SELECT tell(1)", "SELECT public.tell(1)",
]  # fmt: skip
WORD = "".join(random.Random(7).choices("ghjkmnpqrstuvwxyz", k=24))
CHANGES = {
    "a column added": (
        [f"ALTER TABLE vault ADD COLUMN added text DEFAULT '{WORD}'"],
        ["ALTER TABLE vault DROP COLUMN added"],
    ),
    "another table in its place": (
        ["ALTER TABLE vault RENAME TO vault_old", "ALTER TABLE uncatalogued RENAME TO vault"],
        ["ALTER TABLE vault RENAME TO uncatalogued", "ALTER TABLE vault_old RENAME TO vault"],
    ),
    "a backup that everybody may read": (
        ["CREATE TABLE vault_backup AS TABLE vault", "GRANT SELECT ON vault_backup TO PUBLIC"],
        ["DROP TABLE vault_backup"],
    ),
    "a view that everybody may read": (
        ["CREATE VIEW added_view AS TABLE vault", "GRANT SELECT ON added_view TO PUBLIC"],
        ["DROP VIEW added_view"],
    ),
    "a function that tells": (
        [
            (
                "CREATE FUNCTION tell(int) RETURNS text LANGUAGE sql SECURITY DEFINER"
                " AS 'SELECT h_text FROM public.vault'"
            )
        ],
        ["DROP FUNCTION tell"],
    ),
    "a hidden column under another's name": (
        ["ALTER TABLE vault RENAME label TO label_old", "ALTER TABLE vault RENAME h_text TO label"],
        ["ALTER TABLE vault RENAME label TO h_text", "ALTER TABLE vault RENAME label_old TO label"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_owner_changes_opens_nothing(own_live, change):
    """In a session that was open before, and in one that comes after (if it is let in at all)."""
    live, (there, back) = own_live, CHANGES[change]
    with WireClient(live.dsn(ANALYST)) as before:
        before.query("SELECT * FROM vault")
        with changed(live, *there, back=back):
            received = bytearray()
            for sql in ASKED:
                before.query(sql)
            with contextlib.suppress(NotLetInError), WireClient(live.dsn(ANALYST)) as after:
                for sql in ASKED:
                    after.query(sql)
                    after.extended(sql, binary=True)
                received += after.received
        for stream in (before.received, received):
            assert not leaked(stream)
            for word in (WORD, ELSEWHERE["uncatalogued"]):
                assert word.encode() not in stream
    with live.connect(SUPPORT) as again:
        assert again.execute("SELECT count(*) FROM vault").fetchone() == (8,)
