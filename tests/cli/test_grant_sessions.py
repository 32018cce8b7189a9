"""What a grant does to sessions, with real processes: it shows more, and its end cuts them at once."""

import contextlib
import json
import time
from datetime import datetime

import psycopg
import pytest
from tests.live_deployment import MARKERS, SUPPORT, Who, fresh_word, wait_for

SOON = 2.0  # within a second a session that is to end would have ended
WIDE = (
    "SELECT a.h_free, b.h_free, c.h_free, d.h_free FROM vault a, vault b, vault c, vault d, vault e, vault f"
)
ROWS = 8**6


@pytest.fixture(scope="module")
def approver(live):
    who = live.register(Who(fresh_word(), "IE", "approver"))
    yield who
    live.ringfort("principal", "remove", "DIR", who.name)


@pytest.fixture
def ticket():
    return f"T-{fresh_word(8)}"


def given(live, approver, ticket, lasting="10m", table="demo.vault"):
    asked = ("--purpose", SUPPORT.purpose, "--ticket", ticket, "--table", table, "--for", lasting)
    grant = live.acted("request", *asked, who=SUPPORT)["grant"]
    return live.acted("approve", grant, who=approver)


def free_texts(connection):
    with contextlib.suppress(psycopg.errors.UndefinedColumn):
        return {each for (each,) in connection.execute("SELECT h_free FROM vault")}
    return set()


def moment(text):
    return datetime.fromisoformat(text).timestamp()


def end_of(live, ticket):
    session = live.session_of(ticket)
    found = []

    def there():
        found[:] = [each for each in live.entries("SessionEnded") if each["session"] == session]
        return found

    wait_for(there)
    return found[0]


def test_a_grant_shows_more_while_it_lasts_and_where_it_covers(live, approver, ticket):
    secrets = set(MARKERS["h_free"])
    with live.connect(SUPPORT, ticket=ticket) as before:
        assert not free_texts(before) & secrets
        grant = given(live, approver, ticket)
        assert not free_texts(before) & secrets  # an open session is never widened
    with live.connect(SUPPORT, ticket=f"{ticket}-other") as other:
        assert not free_texts(other) & secrets
    with live.connect(SUPPORT, ticket=ticket) as granted:
        assert free_texts(granted) == secrets
        session = [each for each in live.entries("SessionOpened") if each["ticket"] == ticket][-1]
        decided = json.loads((live.folder / blob(session["input"])).read_bytes())
        assert [each["id"] for each in decided["request"]["grants"]] == [grant["grant"]]
        live.acted("revoke", grant["grant"], who=SUPPORT)
        wait_for(lambda: granted.pgconn.status == psycopg.pq.ConnStatus.BAD or ended(granted))
    with live.connect(SUPPORT, ticket=ticket) as after:
        assert not free_texts(after) & secrets


def blob(digest):
    return f"state/ledger/blobs/{digest[:2]}/{digest}"


def ended(connection):
    """What the session was told when it ended, "" if it goes on."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def test_a_session_that_does_not_need_its_grant_goes_on(live, approver, ticket):
    grant = given(live, approver, ticket, table="demo.people")
    with live.connect(SUPPORT, ticket=ticket) as connection:  # people are raw for support all the same
        live.acted("revoke", grant["grant"], who=SUPPORT)
        time.sleep(SOON)
        assert not ended(connection)


def test_a_revoked_grant_cuts_a_session_in_the_middle_of_a_result(live, approver, ticket):
    grant = given(live, approver, ticket)
    with live.connect(SUPPORT, ticket=ticket) as connection:
        rows = connection.cursor().stream(WIDE)
        assert len([next(rows) for _ in range(10)]) == 10
        live.acted("revoke", grant["grant"], who=SUPPORT)
        with pytest.raises(psycopg.OperationalError):
            sum(1 for _ in rows)
    end = end_of(live, ticket)
    assert (end["outcome"], end["rows"] < ROWS) == ("grant ended", True)
    (revoked,) = [each for each in live.entries("GrantRevoked") if each["grant"] == grant["grant"]]
    assert moment(end["time"]) >= moment(revoked["time"])


def test_an_expired_grant_cuts_a_session_in_the_middle_of_a_result(live, approver, ticket):
    grant = given(live, approver, ticket, lasting="12s")
    with live.connect(SUPPORT, ticket=ticket) as connection:
        rows = connection.cursor().stream(WIDE)
        next(rows)
        time.sleep(max(0.0, moment(grant["ends"]) - time.time()))
        with pytest.raises(psycopg.OperationalError):
            sum(1 for _ in rows)
    end = end_of(live, ticket)
    assert (end["outcome"], end["rows"] < ROWS) == ("grant ended", True)
    assert moment(end["time"]) >= moment(grant["ends"])


def test_an_idle_session_is_told_why_it_ends(live, approver, ticket):
    given(live, approver, ticket, lasting="12s")
    with live.connect(SUPPORT, ticket=ticket) as connection:
        assert free_texts(connection)
        assert "grant that it stands on has ended" in wait_for(lambda: ended(connection))
    assert end_of(live, ticket)["outcome"] == "grant ended"


def test_break_glass_shows_as_much_at_once_and_an_unjustified_one_ends(live, approver, ticket):
    asked = ("--purpose", SUPPORT.purpose, "--ticket", ticket, "--table", "demo", "--for", "10m")
    grant = live.acted("break-glass", *asked, "--reason", "payments fail", who=SUPPORT)["grant"]
    with live.connect(SUPPORT, ticket=ticket) as connection:
        assert free_texts(connection) == set(MARKERS["h_free"])
        live.acted("review", grant, "--outcome", "unjustified", who=approver)
        wait_for(lambda: ended(connection))
    assert end_of(live, ticket)["outcome"] == "grant ended"
