"""Attacks that are no SQL text: function calls, startup parameters, names that SQL shares, odd bytes."""

import struct
import uuid

import psycopg
import pytest
from tests.attacks.gateway.leaks import leaked
from tests.attacks.gateway.test_statements import Attacker, check_record
from tests.attacks.gateway.wire_client import NotLetInError, WireClient
from tests.live_deployment import ANALYST, OPERATOR, SUPPORT, fresh_word, wait_for

from ringfort.pgwire.backend import CommandComplete, DataRow, ErrorResponse, ReadyForQuery
from ringfort.pgwire.fields import message
from ringfort.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    Parse,
    Query,
    Sync,
    serialise_frontend,
)


@pytest.fixture
def attacker(live):
    made = Attacker(live, ANALYST)
    with made.client:
        yield made


def send(client, *steps):
    client.send(b"".join(map(serialise_frontend, steps)))


def errors(items):
    return [each.fields["C"].decode() for each in items if isinstance(each, ErrorResponse)]


def rows(items):
    return [each.values for each in items if isinstance(each, DataRow)]


# -- class 1: the function call protocol ---------------------------------------------------------------


@pytest.mark.parametrize("oid", [2923, 2924, 715, 764, 2077, 1397, 0, 4294967295])
def test_a_function_call_is_never_passed_on(live, attacker, oid):
    """2923 is table_to_xml, 2924 query_to_xml, 715 lo_create, 764 lo_import, 2077 current_setting."""
    client = attacker.client
    text = b"SELECT h_text FROM public.vault"
    arguments = [text, b"t", b"t", b""]
    body = struct.pack(">IHH", oid, 0, len(arguments))
    body += b"".join(struct.pack(">i", len(each)) + each for each in arguments) + struct.pack(">H", 0)
    for at_once in (body, b"", b"\xff" * 40):
        client.send(message(b"F", at_once))
        assert errors(client.until_ready()) == ["0A000"]
        attacker.answers.append("0A000")
    assert not leaked(client.received)
    assert client.values("SELECT 1") == [(b"1",)]
    attacker.answers.append("")
    client.close()
    recorded = check_record(live, attacker)
    assert [kind for kind, _ in recorded] == ["StatementRefused"] * 3 + ["StatementAdmitted"]


# -- class 1: what is parked at startup ----------------------------------------------------------------


def test_a_name_of_the_client_reaches_no_other_session(live):
    parked = f"parked-{uuid.uuid4().hex}"
    with (
        WireClient(live.dsn(ANALYST), parameters={"application_name": parked}) as first,
        WireClient(live.dsn(ANALYST)) as second,
    ):
        assert first.values("SHOW application_name") == [(parked.encode(),)]
        for sql in (
            "SELECT * FROM pg_stat_activity",
            "SELECT application_name FROM pg_stat_get_activity(NULL)",
            "SELECT current_setting('application_name')",
            "SHOW application_name",
            "TABLE pg_stat_ssl",
        ):
            second.query(sql)
        assert parked.encode() not in bytes(second.received)


# -- class 4: startup ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"role": "postgres"},
        {"ROLE": "postgres"},
        {"session_authorization": "postgres"},
        {"search_path": "public"},
        {"Search_Path": "public"},
        {"replication": "database"},
        {"replication": "true"},
        {"row_security": "off"},
        {"session_preload_libraries": "x"},
        {"local_preload_libraries": "x"},
        {"default_transaction_read_only": "off"},
        {"transaction_read_only": "off"},
        {"standard_conforming_strings": "off"},
        {"client_encoding": "SJIS"},
        {"client_encoding": "LATIN1"},
        {"log_statement": "all"},
        {"x.y": "parked"},
        {"ringfort.role": "operator"},
        {"ringfort.country": "IE"},
        {"options": "-c role=postgres"},
        {"options": "-crole=postgres"},
        {"options": "--role=postgres"},
        {"options": "-c search_path=public"},
        {"options": "--search-path=public"},
        {"options": "-c  search_path=public"},
        {"options": "-c s\\earch_path=public"},
        {"options": "-c\tsearch_path=public"},
        {"options": "-c ringfort.purpose=a -c ringfort.purpose=b"},
        {"options": "-c default_transaction_read_only=off"},
        {"options": "-c options=-crole=postgres"},
        {"options": "-d 5"},
        {"options": "-o x"},
        {"options": "-c"},
        {"options": "-c ringfort.purpose=customer\\ supporters"},
        {"options": "-c ringfort.purpose=a'; SET ROLE postgres; --"},
        {"database": "postgres"},
        {"database": "template1"},
        {"database": "demo\npostgres"},
        {"database": "nowhere"},
    ],
    ids=lambda given: "-".join(f"{name}={value}" for name, value in given.items()).replace("\n", " "),
)
def test_a_startup_parameter_opens_nothing(live, parameters):
    ticket = f"T-{fresh_word(12)}"
    given = dict(parameters)
    if "options" not in given:
        given["options"] = f"-c ringfort.ticket={ticket}"
    with pytest.raises(NotLetInError) as refused:
        WireClient(live.dsn(ANALYST), parameters=given)
    assert refused.value.args[0] not in {"closed", "XX000", "28P01"}


def test_refused_sessions_are_on_record(live):
    before = len(live.entries("SessionRefused"))
    for parameters in ({"role": "postgres"}, {"database": "postgres"}, {"replication": "true"}):
        with pytest.raises(NotLetInError):
            WireClient(live.dsn(ANALYST), parameters=parameters)
    refused = live.entries("SessionRefused")[before:]
    assert len(refused) == 3
    assert all(each["sqlstate"] and each["reason"] for each in refused)


@pytest.mark.parametrize("user", ["postgres", "ringfort_views", "nobody", "dana ", "Dana", "a'b"])
def test_nobody_else_gets_in_and_failures_look_alike(live, user):
    with pytest.raises(NotLetInError) as refused:
        WireClient(live.dsn(ANALYST), parameters={"user": user})
    assert refused.value.args[0] in {"28P01", "28000", "08P01"}
    before = len(live.entries("AuthenticationFailed"))
    with pytest.raises(psycopg.OperationalError) as wrong:
        live.connect(ANALYST, password="wrong")
    assert "password authentication failed" in str(wrong.value)
    assert len(live.entries("AuthenticationFailed")) == before + 1


# -- class 3: one name, two readers ----------------------------------------------------------------------


def test_what_the_protocol_prepared_is_not_run_by_sql(live, attacker):
    """Its text would be in no evidence."""
    client = attacker.client
    send(client, Parse(b"p", b"SELECT label FROM vault"), Sync())
    client.until_ready()
    assert attacker.send("EXECUTE p", "simple") == "0A000"
    send(client, Query(b"BEGIN"))
    client.until_ready()
    send(client, Bind(b"c", b"p"), Sync())
    client.until_ready()
    send(client, Query(b"FETCH ALL FROM c"))
    assert errors(client.until_ready()) == ["0A000"]
    client.query("ROLLBACK")
    attacker.answers += ["", "0A000", ""]
    client.close()
    check_record(live, attacker)


def test_what_sql_prepared_is_not_bound_by_the_protocol(attacker):
    client = attacker.client
    client.query("PREPARE q AS SELECT label FROM vault")
    assert len(client.values("EXECUTE q")) == 8
    send(client, Bind(b"", b"q"), Execute(b""), Sync())
    assert errors(client.until_ready()) == ["26000"]
    client.query("BEGIN")
    client.query("DECLARE c CURSOR FOR SELECT label FROM vault")
    send(client, Execute(b"c"), Sync())
    assert errors(client.until_ready()) == ["34000"]


def test_a_refused_parse_does_not_run_what_stood_there_before(live, attacker):
    client = attacker.client
    send(client, Parse(b"", b"SELECT label FROM vault"), Bind(b"", b""), Execute(b""), Sync())
    assert len(rows(client.until_ready())) == 8
    for _ in range(3):
        for name in (b"", b"s"):
            send(client, Parse(name, b"SELECT lo_get(4711)"), Bind(b"", name), Execute(b""), Sync())
            items = client.until_ready()
            assert (errors(items), rows(items)) == (["42501"], [])
    client.close()
    attacker.answers += ["", *["42501"] * 6]
    check_record(live, attacker)


def test_an_error_skips_to_sync_and_what_was_skipped_gave_nothing(attacker):
    client = attacker.client
    send(
        client,
        Parse(b"", b"SELECT label FROM vault"),
        Parse(b"x", b"SELECT lo_get(4711)"),
        Bind(b"", b""),
        Execute(b""),
        Query(b"SELECT label FROM vault"),
        Describe(b"P", b""),
        Flush(),
        Sync(),
        Query(b"SELECT 7"),
    )
    items = client.until_ready(2)
    assert errors(items) == ["42501"]
    assert rows(items) == [(b"7",)]


def test_suspended_portals_are_admitted_each_time(live, attacker):
    client = attacker.client
    send(client, Query(b"BEGIN"))
    client.until_ready()
    send(client, Parse(b"", b"SELECT label FROM vault"), Bind(b"c", b""), Execute(b"c", 3), Sync())
    assert len(rows(client.until_ready())) == 3
    for expected in (3, 2, 0):
        send(client, Execute(b"c", 3), Sync())
        assert len(rows(client.until_ready())) == expected
    send(client, Close(b"P", b"c"), Execute(b"c", 3), Sync())
    assert errors(client.until_ready()) == ["34000"]
    client.query("ROLLBACK")
    client.close()
    attacker.answers += [""] * 6
    check_record(live, attacker)


def test_several_statements_in_one_text_are_all_refused_for_one(live, attacker):
    client = attacker.client
    for text in (
        "SELECT label FROM vault; SELECT lo_get(4711)",
        "SELECT lo_get(4711); SELECT label FROM vault",
        "BEGIN; SELECT label FROM vault; DELETE FROM vault; COMMIT",
    ):
        items = client.query(text)
        assert rows(items) == []
        assert len(errors(items)) == 1
        assert client.status == b"I"
        attacker.answers += errors(items)
    client.close()
    check_record(live, attacker)


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT '\xff'",
        b"SELECT '\xc0\xa7, h_text FROM public.vault --'",
        b"SELECT '\x81' , h_text FROM public.vault --",
        b"SELECT '\xed\xa0\x80'",
        b"SELECT '\xf4\x90\x80\x80'",
        b"\x1b$B SELECT h_text FROM public.vault",
    ],
)
def test_bytes_that_are_no_utf8_are_refused(attacker, text):
    for form in ("simple", "extended"):
        assert attacker.send(text, form) in {"22021", "42601", "42P01"}
    assert not leaked(attacker.client.received)


def test_a_nul_in_a_text_ends_the_session(live):
    with WireClient(live.dsn(ANALYST)) as client:
        client.send(message(b"Q", b"SELECT 1\0; SELECT h_text FROM public.vault\0"))
        items = client.until_ready()
        assert errors(items) == ["08P01"]
        assert client.next() is None


def test_long_and_deep_texts_are_refused_or_right(attacker):
    client = attacker.client
    assert attacker.send(f"SELECT 1 --{'x' * 300_000}", "simple") == "54000"
    assert attacker.send(f"SELECT 1 --{'x' * 300_000}", "extended") == "54000"
    assert attacker.send("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, "simple") == ""
    assert attacker.send(" UNION ALL ".join(["SELECT 1"] * 20_000), "simple")
    assert attacker.send("SELECT " + " || ".join(["'a'"] * 60), "simple") == ""
    name = "n" * 80
    items = client.query(f"SELECT 1 AS {name}")
    assert rows(items) == [(b"1",)]
    client.query("SELECT label FROM vault AS " + "v" * 63 + "a")
    assert client.values("SELECT 1") == [(b"1",)]
    assert not leaked(client.received)


# -- verdicts that are remembered ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ("SELECT set_config('jit', 'off', false)", "SELECT set_config('role', 'postgres', false)"),
        ("SELECT set_config('jit', 'off', false)", "SELECT set_config('search_path', 'public', false)"),
        ("SELECT current_setting('jit')", "SELECT current_setting('data_directory')"),
        ("SELECT 'vault'::regclass", "SELECT 'public.vault'::regclass"),
        ("SELECT to_regclass('vault')", "SELECT to_regclass('public.vault')"),
        ("SET jit = 'off'", "SET role = 'postgres'"),
        ("SHOW jit", "SHOW data_directory"),
        ("SET client_encoding = 'UTF8'", "SET client_encoding = 'SJIS'"),
        ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
        ("BEGIN READ ONLY; COMMIT", "BEGIN READ WRITE; COMMIT"),
    ],
)
def test_a_remembered_verdict_is_not_used_for_another_literal(attacker, allowed, refused):
    for form in ("simple", "extended"):
        if ";" in allowed and form == "extended":
            continue
        for _ in range(2):
            assert not attacker.send(allowed, form)
            assert attacker.send(refused, form)


def test_a_verdict_for_one_identity_is_not_used_for_another(live, attacker):
    text = "SELECT h_text, h_email FROM vault"
    with WireClient(live.dsn(SUPPORT)) as support, WireClient(live.dsn(OPERATOR)) as operator:
        for _ in range(3):
            assert len(support.values(text)) == 8
            assert attacker.send(text, "simple") == "42703"
            assert errors(operator.query(text)) == ["42703"]
            assert attacker.send("SELECT h_email FROM vault", "simple") == "42703"
            masked = operator.values("SELECT h_email FROM vault")
            assert len(masked) == 8
        assert not leaked(attacker.client.received)
        assert not leaked(operator.received)


# -- sessions of one role --------------------------------------------------------------------------------


def test_two_sessions_of_one_role_cannot_touch_each_other(live, attacker):
    with live.connect(ANALYST) as other, psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM vault")
        with admin.cursor() as cursor:
            pids = [
                row[0]
                for row in cursor.execute("SELECT pid FROM pg_stat_activity WHERE usename LIKE 'rf\\_%'")
            ]
        assert len(pids) >= 2
        for pid in pids:
            for function in ("pg_terminate_backend", "pg_cancel_backend", "pg_log_backend_memory_contexts"):
                assert attacker.send(f"SELECT {function}({pid})", "simple") == "42501"
        client = attacker.client
        assert client.key.process not in pids  # what the client is told is not the site's
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_notification_of_the_database_reaches_no_session(live, attacker):
    client = attacker.client
    attacker.send("LISTEN news", "simple")
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        admin.execute("NOTIFY news, 'for the owner only'")
    for _ in range(3):
        client.query("SELECT 1")
    assert b"for the owner" not in bytes(client.received)


def test_every_session_ends_on_record(live, attacker):
    items = attacker.client.query("SELECT label FROM vault")
    assert isinstance(items[-1], ReadyForQuery)
    assert any(isinstance(each, CommandComplete) for each in items)
    attacker.client.close()
    session = live.session_of(attacker.ticket)
    (ended,) = wait_for(lambda: [each for each in live.entries("SessionEnded") if each["session"] == session])
    assert (ended["rows"], ended["statements"]) == (8, 1)
