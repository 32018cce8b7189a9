"""Guesses through real sockets: they are slowed down, on record once, and nobody else pays for them."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from tests.attacks.wire_stand import PASSWORD, Stand, Wire, wait_for

from ringfort.config import AuthenticationConfig
from ringfort.pgwire import backend as be
from ringfort.pgwire.fields import INT32, message, string
from ringfort.pgwire.scram import ScramClient, salted_password

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


@pytest.mark.parametrize("user", ["alice", "nobody else"])
def test_a_bundle_of_exchanges_gets_no_more_guesses(another_database, user):
    """All exchanges are open before the first proof is sent."""
    settings = AuthenticationConfig(failures_before_delay=5, address_failures_before_delay=20)
    with Stand(another_database, authentication=settings, unauthenticated_per_address=1000) as stand:
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(stand.port, timeout=60)) for _ in range(600)]
            for wire in wires:
                wire.startup(user)
                assert wire.message().code == be.AUTH_SASL
                wire.client = ScramClient("n" * 24)
                opening = wire.client.first()
                wire.send(message(b"p", string(b"SCRAM-SHA-256") + INT32.pack(len(opening)) + opening))
            guesses = sum(pool_guess(wires))
        assert 1 <= guesses <= 5
        reasons = [each.reason for each in stand.entries("AuthenticationFailed")]
        assert reasons.count("wrong proof") == guesses
        assert len(reasons) <= guesses + 5


def pool_guess(wires):
    """Whether each exchange got its proof looked at, all of them waiting side by side."""
    with ThreadPoolExecutor(len(wires)) as pool:
        return list(pool.map(guess, wires))


def guess(wire):
    answer = wire.message()
    if not isinstance(answer, be.Authentication):
        return False
    salt, iterations = wire.client.challenge(answer.data)
    wire.send(message(b"p", wire.client.final(salted_password("wrong", salt, 4096 if iterations else 1))))
    return wire.message().fields["C"] == b"28P01"


def test_many_honest_clients_at_once_come_in(another_database):
    settings = AuthenticationConfig(failures_before_delay=3, address_failures_before_delay=5)
    with Stand(another_database, authentication=settings) as stand:

        def enter(_):
            with psycopg.connect(stand.dsn(), autocommit=True) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)

        with ThreadPoolExecutor(40) as pool:
            assert all(pool.map(enter, range(120)))


def test_a_client_that_asks_its_user_first_has_not_guessed(stand):
    for _ in range(10):
        with Wire(stand.port) as wire:
            wire.startup("alice")
            assert wire.message().code == be.AUTH_SASL
    with psycopg.connect(stand.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
