"""What goes wrong in a deployment stands in its log, and no value of anybody's does."""

import json

import psycopg
import pytest
from tests.live_deployment import ANALYST, SUPPORT, deployment, wait_for


@pytest.fixture(scope="module")
def whole():
    with deployment(people=50) as live:
        yield live.start()
        live.stop()


def lines(live, event, *more):
    """The log's lines of one event, as programs read them."""
    done = live.ringfort("logs", "DIR", "--json", "--event", event, *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(each) for each in done.stdout.splitlines()]


def said(live, event, words=""):
    """Wait for a line of `event` that holds `words`; gives it."""
    found = []

    def look():
        found[:] = [each for each in lines(live, event) if words in each["message"]]
        return bool(found)

    wait_for(look, seconds=300, pause=0.2)
    assert set(found[0]) == {"time", "level", "process", "event", "session", "message"}
    return found[-1]


def test_sessions_are_told_by_their_id_alone(whole):
    ticket = "logs-one"
    with whole.connect(SUPPORT, ticket=ticket) as client:
        client.execute("SELECT 1")
    session = whole.session_of(ticket)
    wait_for(lambda: [each for each in lines(whole, "session-ended") if each["session"] == session], 300)
    opened = [each for each in lines(whole, "session-opened") if each["session"] == session]
    assert [each["message"] for each in opened] == ["a session opened"]


def test_a_wrong_password(whole):
    with pytest.raises(psycopg.OperationalError):
        whole.connect(ANALYST, password="not the password")
    assert said(whole, "login-refused", "wrong proof")["level"] == "warning"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"purpose": "no-such-purpose"}, "purpose"),
    ],
)
def test_a_session_that_is_refused(whole, facts, words):
    with pytest.raises(psycopg.OperationalError):
        whole.connect(ANALYST, **facts)
    line = said(whole, "session-refused", words)
    assert not any(value in line["message"] for value in facts.values())
