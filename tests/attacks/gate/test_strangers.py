"""Connections that never say who they are: however many, they keep nobody out."""

import contextlib
import resource
import socket

import psycopg
import pytest
from tests.attacks.wire_stand import Stand, Wire, states, wait_for

from ringfort.pgwire.startup import SslRequest, serialise_startup

SILENT = 1_500


@pytest.fixture(scope="module")
def stand(database):
    with Stand(database, max_sessions=100, startup_seconds=120.0) as stand:
        yield stand
        assert "Error" not in stand.log()


@contextlib.contextmanager
def silent(port, number, words=b"", address="127.0.0.1"):
    """So many connections that say `words` and nothing more, those that were turned away included."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, number + 500)), hard))
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            made = stack.enter_context(socket.socket())
            made.bind((address, 0))
            made.settimeout(20)
            made.connect(("127.0.0.1", port))
            with contextlib.suppress(OSError):
                made.sendall(words)
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def gets_in(stand):
    try:
        with psycopg.connect(stand.dsn(), autocommit=True, connect_timeout=20) as connection:
            return connection.execute("SELECT name FROM seen WHERE id = 7").fetchone() == ("name 7",)
    except psycopg.OperationalError:
        return False


HALF = serialise_startup(SslRequest())


@pytest.mark.parametrize("words", [b"", HALF, b"\x16\x03\x01\x02\x00\x01", b"\x00\x00\x00"])
def test_an_honest_client_gets_in_from_elsewhere(stand, words):
    with silent(stand.port, SILENT, words, "127.0.0.9"):
        for _ in range(3):
            assert gets_in(stand)


def test_an_honest_client_gets_in_from_the_same_address(stand):
    with silent(stand.port, SILENT):
        wait_for(lambda: gets_in(stand))


def test_silent_ones_from_many_addresses_keep_nobody_out(another_database):
    few = {"unauthenticated_connections": 60, "unauthenticated_per_address": 20}
    with Stand(another_database, **few) as stand, contextlib.ExitStack() as stack:
        for host in range(2, 12):
            stack.enter_context(silent(stand.port, 20, address=f"127.0.0.{host}"))
        for _ in range(3):
            assert gets_in(stand)


def test_they_take_no_places_of_sessions_and_sessions_none_of_theirs(another_database):
    with Stand(another_database, max_sessions=2, unauthenticated_per_address=5) as stand:
        with (
            silent(stand.port, 4),
            psycopg.connect(stand.dsn()),
            psycopg.connect(stand.dsn()),
            pytest.raises(psycopg.OperationalError, match="too many clients already"),
        ):
            psycopg.connect(stand.dsn())
        wait_for(lambda: stand.entries("SessionRefused"))
        assert stand.entries("SessionRefused")[-1].sqlstate == "53300"
        wait_for(lambda: gets_in(stand))


def test_who_is_turned_away_is_told(another_database):
    stand = Stand(another_database, unauthenticated_per_address=3)
    with stand, silent(stand.port, 3), Wire(stand.port) as wire:
        assert states(wire.until_closed()) == ["53300"]
