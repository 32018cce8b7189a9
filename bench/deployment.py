"""Real peers for the gateway's benchmark: a deployment that is up, pgbouncer, and the server itself.

All three are reached over TCP on loopback without TLS, and both proxies reach the server over the same unix
socket, so that what differs is the proxy. Through the gateway runs the whole of it: policy, views, durable
record, limits.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ringfort.sites.binaries import find_binaries
from ringfort.sites.postgres import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "benchmark-password"  # noqa: S105 - a throw-away server on loopback
SITE = "bench-1"
DATABASE = "bench"
CONFIG = """\
organisation = "Benchmark"
[gateway]
port = 0
tls = "optional"
[ledger]
origin = "benchmark.example/log"
http_port = 0
[limits]
rows_per_session = 2_000_000_000
bytes_per_session = 2_000_000_000_000
[site.bench-1]
country = "IE"
databases = ["bench"]
"""


@dataclass
class Target:
    """Where a client connects; `pids` are the processes whose CPU time counts as the proxy's."""

    name: str
    host: str
    port: int
    user: str
    pids: tuple[int, ...] = ()

    def environment(self) -> dict[str, str]:
        """For libpq programs; the password never stands in an argument."""
        return {
            **os.environ,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": DATABASE,
            "PGSSLMODE": "disable",
        }


def ringfort(*arguments: str, stdin: str = "") -> None:
    """Run a `ringfort` command; its errors are ours."""
    command = [sys.executable, "-m", "ringfort.cli.main", *arguments]
    subprocess.run(command, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def peers(scale: int) -> Iterator[dict[str, Target]]:
    """Everything up: `server`, `pgbouncer` (where it is installed) and `ringfort`."""
    folder = Path(tempfile.mkdtemp(prefix="ringfort-bench-"))
    folder.chmod(0o711)
    os.environ["RINGFORT_SERVER_STATE"] = str(folder / "server")
    try:
        deployment = folder / "deployment"
        ringfort("init", str(deployment), "--site", SITE)
        (deployment / "ringfort.toml").write_text(CONFIG)
        _load(deployment, scale)
        arguments = ["principal", "add", str(deployment), "bench", "--country", "IE", "--employer", "Bench"]
        ringfort(*arguments, "--role", "analyst", "--password-stdin", stdin=PASSWORD + "\n")
        with _gateway(deployment) as gateway:
            admin = conninfo_to_dict((deployment / "secrets" / f"site-{SITE}.dsn").read_text().strip())
            sockets = _socket_folder(deployment)
            server = Target("server", sockets, int(str(admin["port"])), "bench_direct")
            found = {"server": server}
            with contextlib.ExitStack() as stack:
                if shutil.which("pgbouncer") or Path("/usr/sbin/pgbouncer").exists():
                    found["pgbouncer"] = stack.enter_context(_pgbouncer(folder, server))
                found["ringfort"] = gateway
                yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load(deployment: Path, scale: int) -> None:
    """The pgbench tables, a plain role for the peers, and a catalogue of it all."""
    server = EmbeddedServer.of_site(deployment, SITE)
    with server:
        with psycopg.connect(server.admin_dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        environment = {**os.environ, **_libpq(server.admin_dsn(DATABASE))}
        program = find_binaries().program("pgbench")
        subprocess.run(
            [program, "-i", "-q", "-s", str(scale)], env=environment, check=True, stderr=subprocess.DEVNULL
        )
        with psycopg.connect(server.admin_dsn(DATABASE), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE bench_direct LOGIN PASSWORD {}").format(sql.Literal(PASSWORD))
            )
            connection.execute("GRANT CONNECT ON DATABASE bench TO bench_direct")
            connection.execute("GRANT USAGE ON SCHEMA public TO bench_direct")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench_direct")
            connection.execute("VACUUM ANALYZE")
    (deployment / "catalog.toml").write_text(CATALOGUE)


CATALOGUE = """\
[dataset.bench.table.pgbench_accounts.column]
aid = { type = "integer", protection = "public", identifiability = "none", kind = "number", nullable = false }
bid = { type = "integer", protection = "public", identifiability = "none", kind = "number" }
abalance = { type = "integer", protection = "public", identifiability = "none", kind = "amount" }
filler = { type = "character(84)", protection = "public", identifiability = "none", kind = "content" }
[dataset.bench.table.pgbench_branches.column]
bid = { type = "integer", protection = "public", identifiability = "none", kind = "number", nullable = false }
"""


def _libpq(dsn: str) -> dict[str, str]:
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
    }
    names |= {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
    return {names[key]: str(value) for key, value in conninfo_to_dict(dsn).items() if key in names}


def _socket_folder(deployment: Path) -> str:
    """The unix socket folder of the running site."""
    server = EmbeddedServer.of_site(deployment, SITE)
    dsn = (deployment / "secrets" / f"site-{SITE}.dsn").read_text().strip()
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SHOW unix_socket_directories").fetchone()
    del server
    if row is None:
        raise AssertionError
    return str(row[0]).strip('"')


@contextlib.contextmanager
def _gateway(deployment: Path) -> Iterator[Target]:
    ready = deployment / "ready.json"
    command = [
        sys.executable,
        "-m",
        "ringfort.cli.main",
        "up",
        str(deployment),
        "--ready-file",
        str(ready),
        "-q",
    ]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("error: the gateway did not come up")
            time.sleep(0.05)
        where = json.loads(ready.read_text())["gateway"]
        yield Target("ringfort", where["host"], where["port"], "bench", _gate_processes(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _gate_processes(supervisor: int) -> tuple[int, ...]:
    """Worker and ledger writer with all below them: what works when a statement passes."""
    from harness import descendants  # noqa: PLC0415 - the scripts' own folder

    wanted = []
    for pid in descendants(supervisor):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"ringfort." in command and b"guardian" not in command:
            wanted.append(pid)
    return tuple(wanted)


@contextlib.contextmanager
def _pgbouncer(folder: Path, server: Target) -> Iterator[Target]:
    """PgBouncer with session pooling, the way its manual sets it up."""
    place = folder / "pgbouncer"
    place.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (place / "users.txt").write_text(f'"{server.user}" "{PASSWORD}"\n')
    (place / "pgbouncer.ini").write_text(
        f"[databases]\n{DATABASE} = host={server.host} port={server.port} dbname={DATABASE}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {place}/users.txt\npool_mode = session\n"
        "max_client_conn = 1000\ndefault_pool_size = 280\nignore_startup_parameters = extra_float_digits\n"
        f"logfile = {place}/log\npidfile = {place}/pid\n"
    )
    account = None
    if os.geteuid() == 0:  # it refuses to run as root; it must enter the server's socket folder
        account = pwd.getpwuid(Path(server.host).stat().st_uid)
        for each in (place, *place.iterdir()):
            os.chown(each, account.pw_uid, account.pw_gid)
    process = subprocess.Popen(
        [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", "-q", str(place / "pgbouncer.ini")],
        user=None if account is None else account.pw_uid,
        group=None if account is None else account.pw_gid,
        extra_groups=None if account is None else [],
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield Target("pgbouncer", "127.0.0.1", port, server.user, (process.pid,))
    finally:
        process.terminate()
        process.wait(30)
