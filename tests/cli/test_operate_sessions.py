"""Operate sessions with real processes: who gets one, what it may send, and that its end cuts it."""

import contextlib
import json
import time

import psycopg
import pytest
from tests.faults.gateway_live.resident import MIB, resident_below
from tests.live_deployment import OPERATOR, SUPPORT, Who, fresh_word, wait_for

OPERATE = "-c ringfort.session=operate"
REFUSED = [
    "DO $$ BEGIN END $$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "COPY vault FROM PROGRAM 'id'",
    "COPY vault TO PROGRAM 'id'",
    "COPY vault FROM '/etc/passwd'",
    "COPY vault TO '/tmp/vault'",
    "SET ROLE keeper",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION keeper",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "ALTER TABLE vault OWNER TO ringfort_views",
    "ALTER TABLE vault DISABLE TRIGGER ALL",
    "GRANT SELECT ON vault TO PUBLIC",
    "DROP TABLE vault",
    "TRUNCATE vault CASCADE",
    "CREATE TABLE stolen AS SELECT * FROM vault",
    "SELECT * FROM uncatalogued",
    "INSERT INTO uncatalogued VALUES (9, 'x')",
    "UPDATE people SET email = 'x'",
    "WITH gone AS (DELETE FROM vault RETURNING *) SELECT * FROM gone",
    "UPDATE vault SET label = pg_read_file('/etc/passwd')",
    "SELECT set_config('role', 'keeper', false)",
    "SELECT 1; COPY vault FROM STDIN",
]


@pytest.fixture(scope="module")
def approvers(own_live):
    """Two approvers, and tables whose owner owns tables and nothing else."""
    with psycopg.connect(own_live.admin_dsn(), autocommit=True) as admin:
        admin.execute("CREATE ROLE keeper NOLOGIN")
        admin.execute("GRANT USAGE, CREATE ON SCHEMA public TO keeper")
        admin.execute("ALTER TABLE vault OWNER TO keeper")
        admin.execute("ALTER TABLE uncatalogued OWNER TO keeper")
    made = [Who(f"a{number}", "IE", "approver") for number in range(2)]
    return [own_live.register(who) for who in made]


def given(live, approvers, lasting="10m", table="demo.vault"):
    ticket = f"T-{fresh_word(8)}"
    asked = ("--purpose", "maintenance", "--ticket", ticket, "--table", table, "--for", lasting, "--operate")
    grant = live.acted("request", *asked, who=OPERATOR)
    assert grant["needed"] == len(approvers)
    for who in approvers:
        grant = live.acted("approve", grant["grant"], who=who)
    assert grant["state"] == "active"
    return grant


@pytest.fixture(scope="module")
def granted(own_live, approvers):
    return given(own_live, approvers)


def operate(live, grant, who=OPERATOR, **more):
    facts = {"purpose": grant["purpose"], "ticket": grant["ticket"], "options": OPERATE}
    return live.connect(who, **(facts | more))


def refusal(live, grant, **more):
    with pytest.raises(psycopg.OperationalError) as raised, operate(live, grant, **more):
        pass
    return str(raised.value)


def test_real_rows_are_read_and_changed_and_every_statement_is_on_record(own_live, granted):
    with operate(own_live, granted) as session:
        before = session.execute("SELECT count(*), min(h_text) FROM vault").fetchone()
        assert before[0] == 8
        changed = session.execute("UPDATE vault SET label = %s WHERE id = 1 RETURNING label", ("shelf x",))
        assert changed.fetchone() == ("shelf x",)
        session.execute("CREATE INDEX ON vault (label)")
        session.execute("ALTER TABLE vault ADD COLUMN note text")
        session.execute("ALTER TABLE vault DROP COLUMN note")
        with session.transaction():
            session.execute("DELETE FROM vault WHERE id = 8")
            assert session.execute("SELECT count(*) FROM vault").fetchone() == (7,)
            raise psycopg.Rollback
        assert session.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    number = own_live.session_of(granted["ticket"])
    kinds = [each["kind"] for each in own_live.entries("StatementAdmitted") if each["session"] == number]
    assert kinds.count("write") == 5
    assert kinds.count("read") == 3
    (opened,) = [each for each in own_live.entries("SessionOpened") if each["session"] == number]
    path = own_live.folder / f"state/ledger/blobs/{opened['input'][:2]}/{opened['input']}"
    document = json.loads(path.read_bytes())
    assert document["format"] == "ringfort-operate-input/1"
    assert [each["id"] for each in document["request"]["grants"]] == [granted["grant"]]
    own_live.verify()


def test_a_function_in_the_tables_schema_does_not_take_the_servers_place(own_live, granted):
    with psycopg.connect(own_live.admin_dsn(), autocommit=True) as admin:
        admin.execute("CREATE FUNCTION lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'shadow' $$")
    with operate(own_live, granted) as session:
        assert session.execute("SELECT lower('A'::text)").fetchone() == ("a",)
    with psycopg.connect(own_live.admin_dsn(), autocommit=True) as admin:
        admin.execute("DROP FUNCTION public.lower(text)")


def test_copy_in(own_live, granted):
    with operate(own_live, granted) as session, session.cursor() as cursor:
        with cursor.copy("COPY (SELECT * FROM vault WHERE id = 2) TO STDOUT") as copy:
            rows = list(copy.rows())
        assert len(rows) == 1
        cursor.execute("DELETE FROM vault WHERE id = 2")
        with cursor.copy("COPY vault FROM STDIN") as copy:
            copy.write_row(rows[0])
        assert cursor.rowcount == 1
        assert cursor.execute("SELECT count(*) FROM vault").fetchone() == (8,)
        with pytest.raises(psycopg.errors.DataError):
            pour(cursor, "COPY vault FROM STDIN", b"x" * 1000 + b"\n", 5000)
        assert cursor.execute("SELECT count(*) FROM vault").fetchone() == (8,)
        with contextlib.suppress(ZeroDivisionError), cursor.copy("COPY vault FROM STDIN"):
            raise ZeroDivisionError  # the client breaks it off: CopyFail
        assert cursor.execute("SELECT count(*) FROM vault").fetchone() == (8,)


def test_copy_in_by_the_extended_protocol(own_live, granted):
    with operate(own_live, granted) as session:
        line = session.pgconn
        line.send_query_params(b"COPY vault (id, owner_id) FROM STDIN", [])
        assert line.get_result().status == psycopg.pq.ExecStatus.COPY_IN
        line.put_copy_data(b"no number\t1\n")
        line.put_copy_end()
        assert line.get_result().error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"22P02"
        assert line.get_result() is None
        assert session.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "mebibytes", [200, pytest.param(5 * 1024, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_copy_in_holds_no_more_than_a_little_of_what_comes(own_live, granted, mebibytes):
    """Wide rows, broken off at their end: nothing stays in the table."""
    workers = sorted(each["process"] for each in own_live.workers())
    row = b"1000\t1\t" + b"x" * (MIB - 8) + b"\n"
    with (
        operate(own_live, granted) as session,
        resident_below(200, own_live.pids()["record.writer"], *workers),
        contextlib.suppress(ZeroDivisionError),
        session.cursor().copy("COPY vault (id, owner_id, label) FROM STDIN") as copy,
    ):
        for _ in range(mebibytes):
            copy.write(row)
        raise ZeroDivisionError
    with operate(own_live, granted) as session:
        assert session.execute("SELECT count(*) FROM vault").fetchone() == (8,)


def pour(cursor, statement, data, times, first=lambda: None):
    with cursor.copy(statement) as copy:
        copy.write(data)
        first()
        for _ in range(times):
            copy.write(data)
            time.sleep(0.01 if first.__name__ == "revoke" else 0)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(own_live, granted, text):
    with operate(own_live, granted) as session:
        with pytest.raises(psycopg.Error) as raised:
            session.execute(text)
        assert raised.value.sqlstate in {"42501", "0A000", "42P01"}
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_the_role_goes_with_its_grant(own_live, approvers):
    grant = given(own_live, approvers, lasting="4s")
    with contextlib.suppress(psycopg.OperationalError), operate(own_live, grant) as session:
        session.execute("SELECT count(*) FROM vault")
        time.sleep(5)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with operate(own_live, given(own_live, approvers)), psycopg.connect(own_live.admin_dsn()) as admin:
        valid = "SELECT bool_and(rolvaliduntil > now()) FROM pg_roles WHERE rolname ~ '^ringfort_operate_'"
        assert admin.execute(valid).fetchone() == (True,)


def test_who_gets_none(own_live, granted):
    assert "no operate grant" in refusal(own_live, granted, ticket="T-other")
    assert "no operate grant" in refusal(own_live, granted, purpose="other")
    assert "no operate grant" in refusal(own_live, granted, who=SUPPORT)
    assert "not valid" in refusal(own_live, granted, options="-c ringfort.session=root")


def test_an_owner_that_is_more_than_that_is_refused(own_live, approvers):
    grant = given(own_live, approvers, table="demo.people")  # the superuser's own
    assert "may do more than own tables" in refusal(own_live, grant)


def test_a_view_session_of_the_same_operator_still_only_reads(own_live, granted):
    with own_live.connect(OPERATOR, purpose=granted["purpose"], ticket=granted["ticket"]) as session:
        for text in ("UPDATE vault SET label = 'x'", "COPY vault FROM STDIN", "INSERT INTO vault VALUES (1)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(text)


def test_the_end_of_the_grant_cuts_a_copy(own_live, approvers):
    grant = given(own_live, approvers)
    with operate(own_live, grant) as session:

        def revoke():
            own_live.acted("revoke", grant["grant"], who=OPERATOR)

        with pytest.raises(psycopg.OperationalError):
            pour(session.cursor(), "COPY vault (id, owner_id) FROM STDIN", b"100\t1\n" * 500, 200, revoke)
    number = own_live.session_of(grant["ticket"])
    wait_for(lambda: [each for each in own_live.entries("SessionEnded") if each["session"] == number])
    (end,) = [each for each in own_live.entries("SessionEnded") if each["session"] == number]
    assert end["outcome"] == "grant ended"
    assert "no operate grant" in refusal(own_live, grant)


# -- what a change of the tables reaches -------------------------------------------------------------------


@pytest.fixture
def neighbours(own_live, approvers):
    """A changer of the database, who undoes it."""
    with psycopg.connect(own_live.admin_dsn(), autocommit=True) as admin:
        admin.execute("CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        yield admin
        admin.execute("DROP FUNCTION touched() CASCADE")
        admin.execute("DROP TABLE IF EXISTS vault_child, vault_ref CASCADE")
        admin.execute("DROP RULE IF EXISTS also ON vault")


NEIGHBOURS = [
    ("CREATE TABLE vault_ref (v bigint REFERENCES vault ON DELETE CASCADE)", "public.vault_ref"),
    ("CREATE TABLE vault_ref (v bigint REFERENCES vault ON UPDATE SET NULL)", "public.vault_ref"),
    ("CREATE TABLE vault_child () INHERITS (vault)", "public.vault_child"),
    ("CREATE RULE also AS ON INSERT TO vault DO ALSO DELETE FROM uncatalogued", "rule also on public.vault"),
    (
        "CREATE TRIGGER t BEFORE UPDATE ON vault FOR EACH ROW EXECUTE FUNCTION touched()",
        "trigger t on public.vault",
    ),
]


@pytest.mark.parametrize(("made", "named"), NEIGHBOURS)
def test_what_is_reached_is_named_and_refused_when_asked_for_and_when_it_came_later(
    own_live, approvers, neighbours, made, named
):
    grant = given(own_live, approvers)
    with operate(own_live, grant) as session:
        assert session.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    neighbours.execute(made)
    refused = refusal(own_live, grant)
    assert "reaches more than the grant covers" in refused
    assert named not in refused  # the client does not hear the administrators' names
    asked = (
        "--purpose",
        "maintenance",
        "--ticket",
        "T-1",
        "--table",
        "demo.vault",
        "--for",
        "10m",
        "--operate",
    )
    for act, more in (("request", ()), ("break-glass", ("--reason", "payments fail"))):
        done = own_live.act(act, *asked, *more, who=OPERATOR)
        assert done.returncode == 1, (act, done.stdout)
        assert named in done.stderr


def test_a_grant_that_names_the_triggers_covers_these_alone(own_live, approvers, neighbours):
    neighbours.execute("CREATE TRIGGER t BEFORE UPDATE ON vault FOR EACH ROW EXECUTE FUNCTION touched()")
    ticket = f"T-{fresh_word(8)}"
    asked = ("--purpose", "maintenance", "--ticket", ticket, "--table", "demo.vault", "--for", "10m")
    done = own_live.act("request", *asked, "--with-triggers", who=OPERATOR)
    assert "operate" in done.stderr
    grant = own_live.acted("request", *asked, "--operate", "--with-triggers", who=OPERATOR)
    assert grant["effects"] == ["trigger t on public.vault"]
    for who in approvers:
        done = own_live.act("approve", grant["grant"], who=who)
        assert "sets off: trigger t on public.vault" in done.stdout
    (entry,) = [each for each in own_live.entries("GrantRequested") if each["ticket"] == ticket]
    assert (entry["v"], entry["effects"]) == (2, ["trigger t on public.vault"])
    with operate(own_live, grant) as session:
        session.execute("UPDATE vault SET label = label")
    neighbours.execute("CREATE TRIGGER u BEFORE UPDATE ON vault FOR EACH ROW EXECUTE FUNCTION touched()")
    assert "reaches more" in refusal(own_live, grant)
    neighbours.execute("DROP TRIGGER u ON vault")
    with operate(own_live, grant) as session:
        assert session.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    own_live.verify()


PRINTING = [
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint",
    "SELECT pg_get_indexdef(indexrelid) FROM pg_index",
    "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef",
    "SELECT pg_get_partkeydef(oid) FROM pg_class",
    "SELECT adbin FROM pg_attrdef",
    "SELECT * FROM pg_attrdef",
    "SELECT i.indpred FROM pg_index i",
    "SELECT relpartbound FROM pg_class",
    "SELECT column_default FROM information_schema.columns",
    "TABLE information_schema.columns",
    "SELECT typdefault FROM pg_type",
    "SELECT pg_get_viewdef('vault'::regclass)",
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger",
    "SELECT pg_get_function_arguments(oid) FROM pg_proc",
    "SELECT (p).pg_get_partkeydef FROM pg_class p",
]


@pytest.mark.parametrize("text", PRINTING)
def test_no_definition_of_another_table_is_printed(own_live, granted, text):
    with operate(own_live, granted) as session:
        with pytest.raises(psycopg.Error) as raised:
            session.execute(text)
        assert raised.value.sqlstate in {"42501", "0A000"}
