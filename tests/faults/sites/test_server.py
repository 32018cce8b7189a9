"""The embedded server: made, crashed, half-made, taken over, and run as another account."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psycopg
import pytest

from ringfort.errors import MissingEnvironmentError
from ringfort.paths import LOCATION, server_account
from ringfort.private_files import read_private
from ringfort.sites import orphans
from ringfort.sites.postgres import EmbeddedServer

ROOT = os.geteuid() == 0
SOURCE = Path(__file__).parents[3] / "src"


@pytest.fixture(scope="module")
def template(server_folder):
    """A server made once, because initdb takes its time."""
    server = EmbeddedServer(server_folder / "template", durable=False)
    with server, psycopg.connect(server.admin_dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    return server


@pytest.fixture
def folder(template):
    """The folder of the server, in which a test leaves it as it was."""
    return template.place


@pytest.fixture
def spoiled(template, server_folder):
    """A copy of the folder, for what cannot be made good again."""
    place = server_folder / f"copy-{os.urandom(4).hex()}"
    subprocess.run(["cp", "-a", str(template.place), str(place)], check=True)
    yield place
    shutil.rmtree(place, ignore_errors=True)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def postmaster(place):
    return int((place / "data" / "postmaster.pid").read_text().split("\n")[0])


def answer(server):
    with psycopg.connect(server.admin_dsn()) as connection:
        return connection.execute("SELECT answer FROM kept").fetchone()[0]


def supervised(folder, *, then="time.sleep(600)"):
    """A process that starts the server in `folder`, says so, and then does `then`."""
    script = textwrap.dedent(f"""
        import sys, time, threading
        from pathlib import Path
        from ringfort.sites.postgres import EmbeddedServer
        server = EmbeddedServer(Path({str(folder)!r}), durable=False)
        server.start()
        print(server.port, flush=True)
        {then}
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout.readline().strip().isdigit()
    return process


def test_what_is_made_is_closed(template):
    place = template.place
    uid = os.geteuid() if not ROOT else server_account().uid
    assert stat.S_IMODE((place / "data").stat().st_mode) == 0o700
    assert (place / "data").stat().st_uid == uid
    assert stat.S_IMODE((place / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE(place.stat().st_mode) & 0o007 == 0
    assert stat.S_IMODE((place / "admin.dsn").stat().st_mode) == 0o600
    assert (place / "admin.dsn").stat().st_uid == os.geteuid()
    rules = [
        line.split() for line in (place / "pg_hba.conf").read_text().splitlines() if not line.startswith("#")
    ]
    assert {rule[-1] for rule in rules} == {"scram-sha-256", "reject"}


def test_it_serves_over_tls_with_a_password_only(folder):
    with EmbeddedServer(folder, durable=False) as server:
        assert server.running
        with psycopg.connect(server.admin_dsn()) as connection:
            assert connection.execute(
                "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            ).fetchone() == (
                True,
                "TLSv1.3",
            )
            assert (
                connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
                .fetchone()[0]
                .startswith("SCRAM-SHA-256$")
            )
        dsn = server.admin_dsn()
        with pytest.raises(psycopg.OperationalError, match="reject"):
            psycopg.connect(dsn, sslmode="disable")
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(dsn, password="wrong")
        with pytest.raises(psycopg.OperationalError, match="no password"):
            psycopg.connect(
                f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres sslmode=require"
            )
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(
                f"host={server.sockets} port={server.port} user=postgres dbname=postgres password=x"
            )
        with contextlib.closing(socket.socket()) as probe:  # not on other interfaces
            assert probe.connect_ex(("127.0.0.2", server.port)) != 0
    assert not server.running


def test_a_client_can_verify_the_server(folder):
    with EmbeddedServer(folder, durable=False) as server:
        context = ssl.create_default_context(cafile=server.ca)
        with socket.create_connection((server.host, server.port)) as plain:
            plain.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")  # SSLRequest
            assert plain.recv(1) == b"S"
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
                assert wrapped.version() == "TLSv1.3"


def test_the_password_is_in_no_argument_list(folder):
    with EmbeddedServer(folder, durable=False) as server:
        password = psycopg.conninfo.conninfo_to_dict(server.admin_dsn())["password"]
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                assert password.encode() not in process.read_bytes()
        assert password in read_private(folder / "admin.dsn").decode()


def test_the_log_holds_no_values(folder):
    with EmbeddedServer(folder, durable=False) as server:
        connect = psycopg.connect(server.admin_dsn(), autocommit=True)
        with connect as connection, pytest.raises(psycopg.DataError):
            connection.execute("SELECT 'mary@example.ie'::int")
        assert "mary@example.ie" not in (folder / "server.log").read_text()


@pytest.mark.skipif(not ROOT, reason="only root gives up root")
def test_as_root_the_server_runs_as_somebody_else(folder):
    with EmbeddedServer(folder, durable=False):
        status = Path(f"/proc/{postmaster(folder)}/status").read_text()
        account = server_account()
        assert f"Uid:\t{account.uid}\t{account.uid}\t{account.uid}\t{account.uid}" in status
        assert f"Gid:\t{account.gid}\t{account.gid}" in status
        assert "Groups:\t \n" in status


def open_python():
    """A Python of our version that everybody can run: ours may lie under /root."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for each in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with contextlib.suppress(OSError):
            ids = {"user": 65534, "group": 65534, "extra_groups": []}
            subprocess.run([each, "-c", "import ssl"], check=True, cwd="/", **ids)
            return each
    pytest.skip("there is no Python that another account can run")


@pytest.mark.skipif(not ROOT, reason="needs root to become another account")
def test_it_runs_as_a_normal_user(tmp_path_factory):
    """Everything in a folder of the user's own, nothing elsewhere."""
    nobody = pwd.getpwnam("nobody")
    home = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    script = """if True:
        import os, psycopg, sys
        from pathlib import Path
        from ringfort.sites.postgres import EmbeddedServer
        home = Path(sys.argv[1])
        with EmbeddedServer(home / "state" / "sites" / "one", durable=False) as server:
            assert server.place == home / "state" / "sites" / "one", server.place
            with psycopg.connect(server.admin_dsn()) as connection:
                print(connection.execute("SELECT 6 * 7").fetchone()[0])
        """
    python = open_python()
    try:
        done = subprocess.run(
            [python, "-c", script, str(home)],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(SOURCE), *filter(None, sys.path)]),
                "HOME": str(home),
            },
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
        )
        assert done.stdout == "42\n", done.stderr
    finally:
        shutil.rmtree(home)


@pytest.mark.skipif(not ROOT, reason="only as root do the server's files lie elsewhere")
def test_as_root_in_a_closed_folder_the_data_lies_elsewhere_and_is_found_again(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o700)
    folder = tmp_path / "closed" / "site"
    server = EmbeddedServer(folder, durable=False)
    with server:
        assert server.place != folder
        assert os.environ["RINGFORT_SERVER_STATE"] in str(server.place)
        assert [each.name for each in folder.iterdir()] == [LOCATION]
        with psycopg.connect(server.admin_dsn(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    moved = tmp_path / "closed" / "moved"
    folder.rename(moved)
    with EmbeddedServer(moved, durable=False) as again:
        assert again.place == server.place
        assert answer(again) == 42
    shutil.copytree(moved, tmp_path / "closed" / "copy")
    with pytest.raises(MissingEnvironmentError, match="is a copy"):
        EmbeddedServer(tmp_path / "closed" / "copy").start()
    again.remove()
    assert not server.place.exists()
    assert not moved.exists()


def test_a_killed_parent_leaves_no_server(folder):
    process = supervised(folder)
    pid = postmaster(folder)
    process.kill()
    process.wait()
    process.stdout.close()
    assert wait_for(lambda: not alive(pid))
    with EmbeddedServer(folder, durable=False) as server:
        assert answer(server) == 42


def test_a_parent_that_just_ends_leaves_no_server(folder):
    process = supervised(folder, then="sys.exit(0)")
    assert process.wait(30) == 0
    process.stdout.close()
    assert wait_for(lambda: orphans.end_server(folder / "data") is False)


def test_a_server_started_from_a_thread_outlives_the_thread(folder):
    """PR_SET_PDEATHSIG alone would end it with the thread that started it."""
    import threading

    server = EmbeddedServer(folder, durable=False)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.3)
    try:
        assert server.running
        assert answer(server) == 42
    finally:
        server.stop()


def test_a_killed_guardian_takes_the_server_with_it(folder):
    server = EmbeddedServer(folder, durable=False)
    server.start()
    pid = postmaster(folder)
    server._guardian.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not alive(pid))
    assert not server.running
    server.start()
    assert answer(server) == 42
    server.stop()


def test_a_killed_postmaster_is_noticed_and_can_be_started_again(folder):
    server = EmbeddedServer(folder, durable=False)
    server.start()
    with psycopg.connect(
        server.admin_dsn()
    ) as busy:  # a backend that does not see at once that its parent is gone
        os.kill(postmaster(folder), signal.SIGKILL)
        assert wait_for(lambda: not server.running)
        server.start()
        assert answer(server) == 42
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")
    server.stop()


def test_a_server_that_a_crashed_predecessor_left_is_ended(folder, template):
    """Parent and guardian gone, death signal lost: only the lock is free, and the postmaster still runs."""
    with EmbeddedServer(folder, durable=False) as first:
        command = Path(f"/proc/{postmaster(folder)}/cmdline").read_bytes().split(b"\0")[:-1]
    account = server_account()
    left = subprocess.Popen(
        command,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    try:
        pid_file = folder / "data" / "postmaster.pid"
        assert wait_for(lambda: pid_file.exists() and "ready" in pid_file.read_text())
        with EmbeddedServer(folder, durable=False) as server:
            assert left.wait(10) == 0
            assert answer(server) == 42
            assert server.port != 0
        assert first.port
    finally:
        left.kill()
        left.wait()


def test_a_stale_pid_file_of_some_other_process_is_no_obstacle(folder):
    pid_file = folder / "data" / "postmaster.pid"
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        pid_file.write_text(f"{sleeper.pid}\n{folder}/data\n1\n1\n\n\n0\nready\n")
        with EmbeddedServer(folder, durable=False) as server:
            assert answer(server) == 42
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_folder_in_use_is_refused(folder):
    with EmbeddedServer(folder, durable=False) as server:
        with pytest.raises(MissingEnvironmentError, match="in use by another process"):
            EmbeddedServer(folder, durable=False).start()
        assert answer(server) == 42


def test_a_half_made_data_folder_is_made_anew(server_folder):
    """Killed in the middle of initdb: what it left is under another name and goes."""
    folder = server_folder / "half"
    folder.mkdir(mode=0o710)
    if ROOT:
        os.chown(folder, 0, server_account().gid)
    left = folder / "data.making-00000000"
    left.mkdir()
    (left / "PG_VERSION").write_text("15\n")
    with EmbeddedServer(folder, durable=False) as server, psycopg.connect(server.admin_dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not left.exists()
    server.remove()
    assert not folder.exists()


def test_damaged_data_is_refused_and_not_touched(spoiled):
    (spoiled / "data" / "global" / "pg_control").unlink()
    before = sorted(each.name for each in (spoiled / "data").iterdir())
    with pytest.raises(MissingEnvironmentError, match="damaged"):
        EmbeddedServer(spoiled, durable=False).start()
    assert sorted(each.name for each in (spoiled / "data").iterdir()) == before


def test_data_of_another_version_names_it(spoiled):
    (spoiled / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(MissingEnvironmentError, match="made by PostgreSQL 13"):
        EmbeddedServer(spoiled, durable=False).start()


def test_a_lost_or_foreign_secret_is_replaced(spoiled):
    (spoiled / "admin.dsn").unlink()
    with EmbeddedServer(spoiled, durable=False) as server:
        assert answer(server) == 42
    (spoiled / "admin.dsn").write_text(server.admin_dsn().replace("password=", "password=x"))
    with EmbeddedServer(spoiled, durable=False) as server:
        assert answer(server) == 42
    (spoiled / "admin.dsn").write_text("nonsense")
    with pytest.raises(MissingEnvironmentError, match="holds no connection string"):
        EmbeddedServer(spoiled, durable=False).start()


def test_a_taken_port_is_told(folder):
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MissingEnvironmentError, match="is taken"):
            EmbeddedServer(folder, port, durable=False).start()
    with EmbeddedServer(folder, port, durable=False) as server:
        assert server.port == port


def test_a_setting_that_the_server_refuses_is_told(folder):
    with pytest.raises(MissingEnvironmentError, match=r"did not start: .*no_such_setting"):
        EmbeddedServer(folder, settings={"no_such_setting": "1"}).start()


def test_stop_is_fast_while_clients_are_connected(folder):
    server = EmbeddedServer(folder, durable=False)
    server.start()
    with psycopg.connect(server.admin_dsn()) as connection:
        connection.execute("SELECT 1")
        server.stop()
        assert not server.running
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    server.stop()  # twice is no trouble


def test_nothing_is_left_running(folder):
    with EmbeddedServer(folder, durable=False):
        pid = postmaster(folder)
    assert not alive(pid)
    assert not (folder / "data" / "postmaster.pid").exists()
    assert list((folder / "run").iterdir()) == []
