"""What the gateway's benchmark measures: a deployment that is up, and the server itself.

All proxies are reached over TCP on loopback and reach the server over the same unix socket, so that what
differs is the proxy; the server itself takes TLS only over TCP, so without TLS it is asked over that socket.
Through the gateway runs the whole of it: policy, views, durable record, limits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness import cpu_of_all, descendants
from ringfort.config import LimitsConfig
from ringfort.sites.postgres import EmbeddedServer
from tables import ADMISSION, CATALOGUE, POLICY, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PASSWORD = "benchmark-password"  # noqa: S105 - a throw-away server on loopback
SITE = "bench-1"
DATABASE = "bench"
SERVER_CONNECTIONS = 1200  # 256 clients, each proxy with its own pool of idle connections
DAY = 86_400
LIMIT = 2_000_000_000  # limits are on, and out of reach
CONFIG = """\
organisation = "Benchmark"
[gateway]
port = 0
tls = "optional"
[ledger]
origin = "benchmark.example/log"
http_port = 0
[site.bench-1]
country = "IE"
databases = ["bench"]
[limits]
"""


def none() -> list[int]:
    """No process is the proxy's."""
    return []


@dataclass(frozen=True)
class Target:
    """Where a client connects; `processes` lists those whose CPU time counts as the proxy's.

    `ca` is the authority of its certificate: with it the connection is TLS, verified; without, plaintext.
    `purpose` is what a client of the gateway states.
    """

    name: str
    host: str
    port: int
    user: str
    processes: Callable[[], list[int]] = none
    ca: Path | None = None
    purpose: str = ""

    def environment(self) -> dict[str, str]:
        """For libpq programs; the password never stands in an argument."""
        tls = {"PGSSLMODE": "disable"}
        if self.ca is not None:
            tls = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.ca)}
        stated = {"PGOPTIONS": f"-c ringfort.purpose={self.purpose}"} if self.purpose else {}
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": DATABASE,
            "PGGSSENCMODE": "disable",
            **tls,
            **stated,
        }

    def cpu_seconds(self) -> float:
        """What its processes have used until now."""
        return cpu_of_all(self.processes())

    def called(self, name: str, purpose: str = "") -> Target:
        """The same by another name, for clients that state another purpose."""
        return replace(self, name=name, purpose=purpose)


@dataclass(frozen=True)
class Bed:
    """What is up, by name, without and with TLS; and a superuser's DSN past all of it."""

    plain: dict[str, Target]
    tls: dict[str, Target]
    admin_dsn: str


def ringfort(*arguments: str, stdin: str = "") -> None:
    """Run a `ringfort` command; its errors are ours."""
    command = [sys.executable, "-m", "ringfort.cli.main", *arguments]
    done = subprocess.run(command, input=stdin, text=True, check=False, capture_output=True)
    if done.returncode:
        raise SystemExit(f"error: ringfort {arguments[0]}: {done.stderr.strip()[-500:]}")


@contextlib.contextmanager
def throwaway() -> Iterator[Path]:
    """A folder that the server's account can enter, and that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ringfort-bench-"))
    folder.chmod(0o711)
    before = os.environ.get("RINGFORT_SERVER_STATE")
    os.environ["RINGFORT_SERVER_STATE"] = str(folder / "server")
    try:
        yield folder
    finally:
        os.environ.pop("RINGFORT_SERVER_STATE")
        if before is not None:
            os.environ["RINGFORT_SERVER_STATE"] = before
        shutil.rmtree(folder, ignore_errors=True)


def make(
    folder: Path,
    scale: int,
    *,
    catalogue: str = CATALOGUE,
    policy: str = POLICY,
    load: Callable[[str, int], None] = fill,
    purposes: Iterable[str] = (),
    stored_order: Iterable[str] = (),
) -> Path:
    """A deployment whose site is loaded, with `load(dsn, scale)`; nothing runs yet.

    `purposes` may be stated beside those of the default policies; `stored_order` are datasets whose rows come
    as they are stored.
    """
    deployment = folder / "deployment"
    ringfort("init", str(deployment), "--site", SITE)
    limits = [
        f"{each.name} = {DAY if each.name.endswith('_seconds') else LIMIT}"
        for each in dataclasses.fields(LimitsConfig)
        if each.type == "int"
    ]
    (deployment / "ringfort.toml").write_text(CONFIG + "\n".join(limits) + "\n")
    (deployment / "catalog.toml").write_text(catalogue)
    (deployment / "policy" / "bench.cedar").write_text(policy)
    settings = deployment / "policy" / "policy.toml"
    listed = "[purposes]\n" + "".join(f'{each} = ""\n' for each in purposes)
    accepted = f"accept_stored_order = {json.dumps(list(stored_order))}"
    text = settings.read_text().replace("accept_stored_order = []", accepted).replace("[purposes]\n", listed)
    settings.write_text(text)
    server = EmbeddedServer.of_site(deployment, SITE)
    with server:
        with psycopg.connect(server.admin_dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            connection.execute(
                sql.SQL("ALTER SYSTEM SET max_connections = {}").format(sql.Literal(SERVER_CONNECTIONS))
            )
        load(server.admin_dsn(DATABASE), scale)
        with psycopg.connect(server.admin_dsn(DATABASE), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE bench_direct LOGIN PASSWORD {}").format(sql.Literal(PASSWORD))
            )
            for statement in ADMISSION:
                connection.execute(statement)
            connection.execute("VACUUM ANALYZE")
    arguments = ["principal", "add", str(deployment), "bench", "--country", "IE", "--employer", "Bench"]
    ringfort(*arguments, "--role", "bench", "--password-stdin", stdin=PASSWORD + "\n")
    return deployment


@contextlib.contextmanager
def up(deployment: Path) -> Iterator[Bed]:
    """The deployment up: the targets `server` and `ringfort`."""
    with _gateway(deployment) as gateway:
        dsn = (deployment / "secrets" / f"site-{SITE}.dsn").read_text().strip()
        admin = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
        with psycopg.connect(dsn, dbname=DATABASE) as connection:
            row = connection.execute("SHOW unix_socket_directories").fetchone()
        assert row is not None
        server = Target("server", str(row[0]).strip('"'), int(admin["port"]), "bench_direct")
        yield Bed(
            {"server": server, "ringfort": gateway},
            {
                "server": replace(server, host=admin["host"], ca=Path(admin["sslrootcert"])),
                "ringfort": replace(gateway, ca=deployment / "secrets" / "tls" / "ca.pem"),
            },
            make_conninfo(dsn, dbname=DATABASE),
        )


@contextlib.contextmanager
def _gateway(deployment: Path) -> Iterator[Target]:
    ready = deployment / "ready.json"
    options = ["up", str(deployment), "--ready-file", str(ready), "-q"]
    with running([sys.executable, "-m", "ringfort.cli.main", *options], patience=120) as process:
        wait_until(ready.exists, process, "the gateway", seconds=120)
        where = json.loads(ready.read_text())["gateway"]

        def processes() -> list[int]:
            return [process.pid, *(pid for pid in descendants(process.pid) if _ours(pid))]

        yield Target("ringfort", where["host"], where["port"], "bench", processes)


def _ours(pid: int) -> bool:
    """Whether a process below the supervisor is the gate's, and not the site's server."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"-m\0ringfort." in command
    return False


@contextlib.contextmanager
def running(
    command: list[str], *, patience: float = 30, log: Path | None = None, user: tuple[int, int] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, in a group of its own (a terminal's Ctrl-C is ours to pass on); ended afterwards.

    Its standard error goes to `log`, or is ours; `user` is the account (uid, gid) that it runs as.
    """
    with contextlib.ExitStack() as stack:
        stderr = None if log is None else stack.enter_context(log.open("wb"))
        account = {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}
        process = subprocess.Popen(command, stdout=stderr, stderr=stderr, process_group=0, **account)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                print(f"{Path(command[0]).name} did not end by itself and was killed", file=sys.stderr)


def wait_until(
    up_now: Callable[[], bool],
    process: subprocess.Popen[bytes],
    what: str,
    seconds: float,
    log: Path | None = None,
) -> None:
    """Until `up_now()`; a process that ends or takes too long ends the run, with the end of its log."""
    deadline = time.monotonic() + seconds
    while not up_now():
        if process.poll() is not None or time.monotonic() > deadline:
            told = "" if log is None else f": {log.read_text(errors='replace').strip()[-500:]}"
            raise SystemExit(f"error: {what} did not come up{told}")
        time.sleep(0.05)
