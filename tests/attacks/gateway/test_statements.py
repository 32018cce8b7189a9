"""What attackers send as SQL, through the whole gateway.

Nothing hidden comes back, to them or to anybody else, by any way; and each statement is on record, admitted
or refused, with the answer that the client was given.
"""

import uuid

import pytest
from tests.attacks.gateway import statements
from tests.attacks.gateway.leaks import find, leaked, leaked_in_files
from tests.attacks.gateway.wire_client import WireClient
from tests.live_deployment import ANALYST, ENGINEER, OPERATOR, OVERSEER, SUPPORT, fresh_word, wait_for

from ringfort.disclosure.catalog_relations import RELATIONS
from ringfort.pgwire.backend import ErrorResponse, ReadyForQuery

REFUSED = {
    "outside-rows": statements.OUTSIDE_ROWS,
    "two-readers": statements.TWO_READERS,
    "privilege": statements.PRIVILEGE,
}
SLOW = {"element_types"}  # seconds for each column, in PostgreSQL itself; it joins what the others show
ADMITTED = "StatementAdmitted"
FORMS = ("simple", "extended", "binary")


class Attacker:
    """Sends statements over one connection and notes the SQLSTATE of each, as they are numbered on record."""

    def __init__(self, live, who, **facts):
        self.ticket = f"A-{fresh_word(12)}"
        self.client = WireClient(live.dsn(who, ticket=self.ticket, **facts))
        self.answers = []

    def send(self, sql, form):
        """The SQLSTATE, "" if there was none."""
        client = self.client
        items = client.query(sql) if form == "simple" else client.extended(sql, binary=form == "binary")
        assert isinstance(items[-1], ReadyForQuery), f"the session ended at {sql!r}"
        errors = [each.fields["C"].decode() for each in items if isinstance(each, ErrorResponse)]
        self.answers.append(errors[0] if errors else "")
        if client.status != b"I":
            client.query("ROLLBACK")
            self.answers.append("")
        return errors[0] if errors else ""


def records(live, attacker):
    """The record of the attacker's session, in order: (type, sqlstate)."""
    session = live.session_of(attacker.ticket)
    wait_for(lambda: [each for each in live.entries("SessionEnded") if each["session"] == session])
    own = [
        each
        for each in live.entries(log="traffic")
        if each.get("session") == session and each["type"] in {ADMITTED, "StatementRefused"}
    ]
    own.sort(key=lambda each: each["seq"])
    assert [each["seq"] for each in own] == list(range(1, len(own) + 1))
    return [(each["type"], each.get("sqlstate", "")) for each in own]


def check_record(live, attacker):
    """Each statement is on record once; what the gate refused, with the SQLSTATE that the client got."""
    recorded = records(live, attacker)
    assert len(recorded) == len(attacker.answers)
    for (kind, sqlstate), told in zip(recorded, attacker.answers, strict=True):
        assert kind == ADMITTED or sqlstate == told
        assert told or kind == ADMITTED
    return recorded


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("who", [ANALYST, OPERATOR], ids=lambda who: who.role)
def test_every_statement_is_refused_and_gives_nothing_away(live, who, kind):
    attacker = Attacker(live, who)
    with attacker.client as client:
        for sql in REFUSED[kind]:
            for form in FORMS:
                mark = len(client.received)
                assert attacker.send(sql, form), f"{form}: {sql}"
                assert not leaked(client.received[mark:]), f"{form}: {sql}"
        assert not leaked(client.received)
    recorded = check_record(live, attacker)
    # what the gate leaves to the database: columns that the session's views lack, casts of shown forms
    left = [
        told for (kind, _), told in zip(recorded, attacker.answers, strict=True) if kind == ADMITTED and told
    ]
    assert set(left) <= {"42703", "22P02"}
    assert len(left) < 0.2 * len(recorded)


@pytest.mark.parametrize("purpose", ["", "customer-support"])
@pytest.mark.parametrize("who", [ENGINEER, OVERSEER, SUPPORT], ids=lambda who: who.role)
def test_no_other_identity_fares_better(live, who, purpose):
    raw = who is SUPPORT and purpose
    attacker = Attacker(live, who, purpose=purpose)
    with attacker.client as client:
        for sql in (each for texts in REFUSED.values() for each in texts):
            told = attacker.send(sql, "simple")
            assert told or (who is SUPPORT and "public" not in sql), sql
        for sql in statements.PASSED:
            attacker.send(sql, "extended")
        found = leaked(client.received)
    if not raw:
        assert not found
    else:
        assert not {each for each in found if "u_" in each or "h_free" in each or "elsewhere" in each}
    check_record(live, attacker)


@pytest.mark.parametrize("who", [ANALYST, OPERATOR, ENGINEER], ids=lambda who: who.role)
def test_what_is_passed_on_holds_only_the_forms(live, who):
    attacker = Attacker(live, who)
    with attacker.client as client:
        for sql in statements.PASSED:
            for form in FORMS:
                attacker.send(sql, form)
        assert not leaked(client.received)
    assert any(not each for each in attacker.answers)
    check_record(live, attacker)


def test_nothing_is_found_where_others_could_read_it_later(live):
    """After all that: every readable catalogue column as another session sees it, and our own files."""
    attacker = Attacker(live, ANALYST)
    with attacker.client as client:
        for sql in statements.OUTSIDE_ROWS + statements.PASSED:
            attacker.send(sql, "simple")
        with live.connect(OPERATOR) as other, WireClient(live.dsn(ANALYST)) as same_role:
            for schema, relation in RELATIONS:
                columns = [
                    name
                    for (name,) in other.execute(
                        "SELECT a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
                        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0",
                        [schema, relation],
                    )
                    if relation not in SLOW
                ]
                if columns:
                    names = ", ".join(f'"{name}"' for name in columns)
                    mark = len(same_role.received)
                    same_role.query(f"SELECT {names} FROM {schema}.{relation}")
                    assert not find(bytes(same_role.received[mark:])), relation
            assert same_role.received.count(b"SELECT ") > 50
        assert not leaked(client.received)
    assert leaked_in_files(live.logs, live.server_log, live.folder / "state" / "ledger") == {}


def test_what_the_client_wrote_stands_in_no_log_and_no_entry(live):
    """A looked-up value is a data value: it is sealed as evidence, and nowhere else."""
    secret = f"needle{uuid.uuid4().hex}"
    attacker = Attacker(live, SUPPORT)
    with attacker.client as client:
        for sql in (
            f"SELECT id FROM people WHERE email = '{secret}'",
            f"SELECT id AS {secret} FROM people -- {secret}",
            f"SELECT '{secret}'::int",
            f"SELECT {secret} FROM people",
            f"SELECT * FROM {secret}",
            f"SELECT {secret}()",
            f"SET application_name = '{secret}'",
            f"DECLARE {secret} CURSOR FOR SELECT '{secret}'",
            f"PREPARE {secret} AS SELECT '{secret}'",
            f"SAVEPOINT {secret}",
            f"LISTEN {secret}",
            f"DO '{secret}'",
            f"SET {secret}.x = 1",
            f"SELECT '{secret}",
            f'SELECT "{secret}"."{secret}" FROM people',
        ):
            attacker.send(sql, "simple")
            attacker.send(sql, "extended")
        client.extended("SELECT id FROM people WHERE email = $1", parameters=[secret.encode()])
        attacker.answers.append("")
    check_record(live, attacker)
    for place in (live.logs, live.server_log, live.folder / "state" / "ledger"):
        for path in [place] if place.is_file() else place.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    assert secret not in str(live.entries())
