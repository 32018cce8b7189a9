"""Ends that nobody asked for: the worker stops, the ledger dies, the site dies, TLS is required."""

import os

import psycopg
import pytest
from psycopg import sql
from tests.attacks.test_wire import drop_database, make_database
from tests.attacks.wire_stand import Stand, Wire, rows, states

from ringfort.ledger.verify import verify
from ringfort.pgwire.frontend import Query, serialise_frontend
from ringfort.record.inspect import log_names
from ringfort.record.store import BlobStore, FolderStore
from ringfort.sites.tls import ensure_tls

SLOW = serialise_frontend(Query(b"SELECT count(*) FROM seen a, seen b, seen c WHERE a.id + b.id + c.id < 0"))
QUICK = serialise_frontend(Query(b"SELECT name FROM seen WHERE id = 7"))


@pytest.fixture
def database(postgres_server):
    name = f"ends_{os.getpid()}"
    yield make_database(postgres_server, name)
    drop_database(postgres_server, name)


def test_a_stop_tells_every_session_and_leaves_a_whole_record(database):
    with Stand(database) as stand:
        idle, busy, half = Wire(stand.port), Wire(stand.port), Wire(stand.port)
        with idle, busy, half:
            idle.login().send(QUICK)
            idle.until_ready()
            busy.login().send(SLOW)
            half.startup()
            assert stand.stop_worker() == 0
            assert states(idle.until_closed()) == ["57P01"]
            assert states(busy.until_closed()) == ["57P01"]
            assert states(half.until_closed()) == ["57P01"]
        ended = {each.outcome for each in stand.entries("SessionEnded")}
        assert ended == {"gateway stopped"}
        with psycopg.connect(database, autocommit=True) as connection:
            # nothing of ours runs on at the site
            for _ in range(100):
                left = connection.execute(
                    r"SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'rf\_%' AND state = 'active'"
                ).fetchone()[0]
                if not left:
                    break
                connection.execute("SELECT pg_sleep(0.05)")
            assert left == 0
        stand.stop_all()
        store = FolderStore(stand.folder / "log")
        blobs = BlobStore(stand.folder / "log" / "blobs")
        report = verify(store, has_blob=blobs.has)
        assert report.ok, report
        assert report.unended == 0
        assert "control" in log_names(stand.folder / "log")


def test_without_the_ledger_nothing_is_released(database):
    with Stand(database) as stand, Wire(stand.port) as idle, Wire(stand.port) as busy:
        idle.login()
        busy.login().send(SLOW)
        stand.kill(0)
        assert states(idle.until_closed()) == ["58030"]
        assert states(busy.until_closed()) == ["58030"]
        with Wire(stand.port) as late:
            late.startup()
            assert states(late.until_closed()) == ["57P03"]


def test_a_ledger_that_hangs_releases_nothing_and_ends_the_session(database):
    import signal

    with Stand(database, record_seconds=1.0) as stand, Wire(stand.port) as wire:
        wire.login()
        writer = stand._children[0]
        writer.send_signal(signal.SIGSTOP)
        try:
            wire.send(QUICK)
            answers = wire.until_closed()
        finally:
            writer.send_signal(signal.SIGCONT)
        assert (rows(answers), states(answers)) == ([], ["58030"])


def test_a_site_that_ends_the_session(database):
    with Stand(database) as stand, Wire(stand.port) as wire:
        wire.login()
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                sql.SQL(r"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'rf\_%'")
            )
        assert states(wire.until_closed()) == ["57P01"]


def test_tls_is_required_when_it_is(database, tmp_path):
    ensure_tls(tmp_path, ("localhost",))
    tls = {
        "mode": "required",
        "certificate": (tmp_path / "server.pem").read_text(),  # as texts: the worker needs no file
        "key": (tmp_path / "server.key").read_text(),
    }
    with Stand(database, tls=tls, max_sessions=2) as stand:
        with Wire(stand.port) as wire:
            wire.startup()
            assert states(wire.until_closed()) == ["28000"]
        with Wire(stand.port) as one, Wire(stand.port) as other:
            one.tls().login().send(QUICK)
            assert rows(one.until_ready()) == [(b"name 7",)]
            other.tls().login()
            with Wire(stand.port) as late:
                late.tls().startup()
                answer = late.authenticate()  # until then it takes no session's place
                assert states([answer, *late.until_closed()]) == ["53300"]
