"""Guesses through real sockets: they are slowed down, on record once, and nobody else pays for them."""

import time

import psycopg
import pytest
from tests.attacks.wire_stand import PASSWORD, Stand, Wire, wait_for

from ringfort.config import AuthenticationConfig
from ringfort.pgwire import backend as be

IMPATIENT = AuthenticationConfig(
    failures_before_delay=3, address_failures_before_delay=1000, delay_seconds=1.0, longest_delay_seconds=60.0
)


@pytest.fixture(scope="module")
def stand(database):
    with Stand(database, authentication=IMPATIENT) as stand:
        yield stand
        assert "Error" not in stand.log()


def attempt(stand, user, password):
    """SQLSTATE and text of what comes instead of a session, ("", "") for a session."""
    with Wire(stand.port) as wire:
        wire.startup(user)
        first = wire.message()
        if isinstance(first, be.ErrorResponse):
            return first.fields["C"].decode(), first.fields["M"].decode()
        wire._at = 0
        answer = wire.authenticate(password)
        if isinstance(answer, be.ErrorResponse):
            return answer.fields["C"].decode(), answer.fields["M"].decode()
        return "", ""


def test_guesses_are_slowed_down_and_known_names_look_like_unknown_ones(stand):
    before = len(stand.entries("AuthenticationFailed"))
    said = {}
    for user in ("bob", "nobody"):
        said[user] = [attempt(stand, user, "wrong") for _ in range(6)]
    assert said["bob"] == said["nobody"]
    assert [state for state, _ in said["bob"]] == ["28P01"] * 3 + ["28000"] * 3
    # the right password is not tried either: nobody learns that it was right
    assert attempt(stand, "bob", PASSWORD)[0] == "28000"
    # others go on
    assert attempt(stand, "alice", PASSWORD) == ("", "")
    # three failures and one refusal of each are on record, however many came
    wait_for(lambda: len(stand.entries("AuthenticationFailed")) == before + 8)
    reasons = [each.reason for each in stand.entries("AuthenticationFailed")[before:]]
    assert sorted(reasons) == ["too many failures"] * 2 + ["wrong proof"] * 6
    time.sleep(1.1)
    assert attempt(stand, "bob", PASSWORD) == ("", "")
    assert attempt(stand, "bob", "wrong")[0] == "28P01"


def test_a_client_that_asks_its_user_first_has_not_guessed(stand):
    for _ in range(10):
        with Wire(stand.port) as wire:
            wire.startup("alice")
            assert wire.message().code == be.AUTH_SASL
    with psycopg.connect(stand.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
