"""A whole deployment that really runs: `ringfort up` as a subprocess over a small population.

Beside the demo's tables it holds `vault`, whose columns carry values that occur nowhere else (`MARKERS`):
what a session may not see can be looked for in every byte that leaves. The server is made without fsync (its
own configuration file says so, as an operator could); nothing of the product knows that it is tested.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.live_data import (  # noqa: F401 - tests take them from here
    _VAULT_DDL,
    ELSEWHERE,
    FRESH_PURPOSES,
    HIDDEN,
    LARGE_OBJECT,
    MARKERS,
    PEOPLE,
    VAULT_ROWS,
    catalogue,
    fresh_purpose,
    fresh_word,
    population,
    restricted_values,
)
from typer.testing import CliRunner

from ringfort.cli import ledger
from ringfort.cli.principal import register
from ringfort.config import SiteConfig
from ringfort.demo.population import ddl, foreign_key_ddl, index_ddl
from ringfort.gateway.workers import ask_workers
from ringfort.ledger.entry import check, format_time
from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.paths import remove_server_folder, runtime_folder
from ringfort.record.client import open_ledger
from ringfort.record.inspect import all_entries
from ringfort.sites.connect import admin_connection
from ringfort.sites.deployment import Deployment, Plan, create_database
from ringfort.sites.load import copy_arrow
from ringfort.sites.postgres import EmbeddedServer

DATABASE = "demo"
SITE = SiteConfig("dublin-1", "embedded", "IE", (DATABASE,))
READY_SECONDS = 900  # the last resort: a start that fails ends the process, and a slow machine is no fault
COMMAND = [sys.executable, "-m", "ringfort.cli.main"]
WITH_PARENT = [sys.executable, str(Path(__file__).parent / "with_parent.py")]


@dataclass(frozen=True)
class Who:
    """A registered principal, and the purpose that it states."""

    name: str
    country: str
    role: str
    purpose: str = ""
    password: str = "correct horse battery"


SUPPORT = Who("aoife", "IE", "support", "customer-support")
ANALYST = Who("dana", "US", "analyst", "product-analytics")
ENGINEER = Who("wei", "CN", "engineer", "maintenance")
OPERATOR = Who("olga", "IE", "operator", "maintenance")
OVERSEER = Who("oisin", "IE", "overseer")
EVERYBODY = {each.name: each for each in (SUPPORT, ANALYST, ENGINEER, OPERATOR, OVERSEER)}


class Live:
    """One deployment, and what tests ask of it. `start` and `stop` run `ringfort up`.

    `tables` is SQL that makes more tables, `described` what stands of them in the catalogue.
    """

    def __init__(self, people=PEOPLE, *, tables="", described=""):
        self.tables, self.described = tables, described
        self.top = Path(tempfile.mkdtemp(prefix="ringfort-live-"))
        self.folder = self.top / "deployment"
        self.ready_file = self.top / "ready.json"
        self.output = self.top / "output.txt"
        self.process = None
        self.ready = {}
        try:
            self._make(people)
        except BaseException:
            self.remove()
            raise

    # -- making --------------------------------------------------------------------------------------

    def _make(self, people):
        deployment = Deployment(self.folder, Plan("Example Live", SITE))
        deployment.begin()
        self.edit("ringfort.toml", "\nport = 6432 ", "\nport = 0    ")
        self.edit("ringfort.toml", "http_port = 6480", "http_port = 0")
        listed = (self.folder / "policy" / "policy.toml").read_text(encoding="utf-8")
        more = "".join(f'{each} = ""\n' for each in (*FRESH_PURPOSES, "other", "analytics", "p"))
        (self.folder / "policy" / "policy.toml").write_text(listed + more, encoding="utf-8")
        layout = deployment.layout
        server = EmbeddedServer(
            layout.site_folder(SITE.name), secret=layout.site_dsn(SITE.name), durable=False
        )
        with server:
            create_database(server, DATABASE)
            with admin_connection(server.admin_dsn(DATABASE)) as admin:
                _load(admin, people)
                admin.execute(self.tables)
        with (server.place / "data" / "postgresql.conf").open("a") as file:
            file.write("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n")
        self.server_log = server.place / "server.log"
        deployment.finish(catalogue() + self.described)
        now = format_time(datetime.now(UTC))
        with open_ledger(self.folder) as ledger:
            for each in EVERYBODY.values():
                facts = {"name": each.name, "country": each.country, "role": each.role}
                entry = PrincipalRegistered(time=now, actor="operator", employer="Example", **facts)
                register(ledger, self.folder, entry, each.password)

    def edit(self, name, old, new):
        """Replace `old`, which must be there, in one of the deployment's files."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, (name, old)
        path.write_text(text.replace(old, new), encoding="utf-8")

    # -- running -------------------------------------------------------------------------------------

    def start(self, *options, ready=True):
        """`ringfort up`; returns when the ready file is there."""
        self.ready_file.unlink(missing_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *WITH_PARENT,
                    *COMMAND,
                    "up",
                    str(self.folder),
                    "--ready-file",
                    str(self.ready_file),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.output.read_text())
            time.sleep(0.02)
        self.ready = json.loads(self.ready_file.read_text())

    def stop(self, number=signal.SIGTERM):
        """Stop it; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(150)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self.process = None
        return code

    def remove(self):
        """Stop it and delete every file of it."""
        try:
            self.stop()
        finally:
            remove_server_folder(self.folder / "state" / "sites" / SITE.name)
            with contextlib.suppress(OSError):
                shutil.rmtree(runtime_folder(self.folder))
            shutil.rmtree(self.top)

    def pids(self):
        """Process id of each child of the supervisor, by the module that it runs (`guardian`: the site).

        Of several workers it is the youngest; see `workers`.
        """
        return _children(self.process.pid)

    def workers(self):
        """What each worker says of itself: `worker`, `process`, `draining`, `sessions`."""
        answers = asyncio.run(ask_workers(str(runtime_folder(self.folder)), "sessions"))
        return [each for each in answers if "silent" not in each]

    def worker_of(self, ticket):
        """Process id of the worker that has the session which was opened with `ticket`."""
        (found,) = [
            each["process"]
            for each in self.workers()
            if any(session["ticket"] == ticket for session in each["sessions"])
        ]
        return found

    def postmaster(self):
        """Process id of the site's server."""
        return _children(self.pids()["guardian"])["postgres"]

    # -- asking --------------------------------------------------------------------------------------

    @property
    def address(self):
        return self.ready["gateway"]["host"], self.ready["gateway"]["port"]

    def dsn(self, who, *, purpose=None, ticket="", password=None, options="", **more):
        """A connection string for `who` (a `Who` or the name of one)."""
        who = EVERYBODY[who] if isinstance(who, str) else who
        host, port = self.address
        purpose = who.purpose if purpose is None else purpose
        settings = [f"-c ringfort.purpose={purpose}"] if purpose else []
        settings += [f"-c ringfort.ticket={ticket}"] if ticket else []
        settings += [options] if options else []
        parts = {
            "host": host,
            "port": port,
            "dbname": DATABASE,
            "user": who.name,
            "password": who.password if password is None else password,
            "sslmode": "verify-full",
            "sslrootcert": str(self.folder / "secrets" / "tls" / "ca.pem"),
            "connect_timeout": 20,
        }
        parts |= {"options": " ".join(settings)} if settings else {}
        return make_conninfo(**parts | more)

    def connect(self, who, *, autocommit=True, **facts):
        """A psycopg connection through the gateway."""
        return psycopg.connect(self.dsn(who, **facts), autocommit=autocommit)

    def admin_dsn(self, database=DATABASE):
        """The superuser's connection string, past the gateway."""
        dsn = (self.folder / "secrets" / f"site-{SITE.name}.dsn").read_text().strip()
        return make_conninfo(**conninfo_to_dict(dsn) | {"dbname": database})

    @property
    def logs(self):
        """The folder of our processes' logs."""
        return self.folder / "logs"

    def ringfort(self, *arguments, stdin="", timeout=90):
        """Run a command line; `DIR` stands for the deployment."""
        return run_ringfort(
            *(str(self.folder) if each == "DIR" else each for each in arguments), stdin=stdin, timeout=timeout
        )

    def act(self, name, *arguments, who, password=None):
        """A command that somebody gives in their own name: its completed process."""
        words = f"{who.password if password is None else password}\n"
        return self.ringfort(name, "DIR", *arguments, "--as", who.name, "--password-stdin", stdin=words)

    def acted(self, name, *arguments, who):
        """`act` that must succeed: what it says as JSON."""
        done = self.act(name, *arguments, "--json", who=who)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def register(self, who):
        """Make somebody a principal."""
        facts = ("--country", who.country, "--role", who.role, "--employer", "Example", "--password-stdin")
        done = self.ringfort("principal", "add", "DIR", who.name, *facts, stdin=f"{who.password}\n")
        assert done.returncode == 0, done.stderr
        return who

    def entries(self, kind="", log=""):
        """Entries of the ledger as `ringfort ledger show` has them; in this process, for tests ask often."""
        found = [
            check(data)[1]
            for name, _, data, _ in all_entries(self.folder / "state" / "ledger")
            if not log or name.partition("/")[0] == log
        ]
        return [each for each in found if not kind or each["type"] == kind]

    def session_of(self, ticket):
        """The number of the session that was opened with `ticket`."""
        (found,) = [each for each in self.entries("SessionOpened") if each["ticket"] == ticket]
        return found["session"]

    def verify(self):
        """What `ringfort ledger verify --json` says, in this process; fails if the ledger does not verify."""
        done = CliRunner().invoke(ledger.app, ["verify", str(self.folder), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


def environment():
    """The environment of subprocesses: this one's, without what tests set for libpq."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def run_ringfort(*arguments, stdin="", timeout=200):
    """Run a `ringfort` command line."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(),
    )


def wait_for(what, seconds=120.0, pause=0.02):
    """Wait until `what()` is true; its value."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause)
    return found


def _children(parent):
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) != parent or fields[0] == "Z":
                continue
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            found[_name(words)] = int(entry.name)
    return found


def _name(words):
    if "-m" in words:
        return words[words.index("-m") + 1].removeprefix("ringfort.")
    if any(each.endswith("guardian.py") for each in words):
        return "guardian"
    return Path(words[0]).name


def _load(admin, people):
    tables = population(people)
    for statement in ddl(foreign_keys=False).values():
        admin.execute(statement)
    for name, table in tables.items():
        copy_arrow(admin, sql.Identifier("public", name), table)
    for statement in (*foreign_key_ddl(), *index_ddl()):
        admin.execute(statement)
    columns = ", ".join(f"{name} {facts[0]}" for name, facts in HIDDEN.items())
    admin.execute(_VAULT_DDL.format(columns=columns, sequence=ELSEWHERE["sequence"]))
    owners = tables["people"].column("id").to_pylist()
    insert = f"INSERT INTO vault VALUES (%s, %s, %s{', %s' * len(HIDDEN)})"
    for row in range(VAULT_ROWS):
        values = [MARKERS[column][row] for column in HIDDEN]
        admin.execute(insert, [row + 1, owners[row * 5], f"shelf {row}", *values])
    admin.execute("INSERT INTO uncatalogued VALUES (1, %s)", [ELSEWHERE["uncatalogued"]])
    admin.execute("INSERT INTO parted VALUES (1, %s)", [ELSEWHERE["partitioned"]])
    admin.execute(
        sql.SQL("CREATE MATERIALIZED VIEW copied AS SELECT id, h_text, {}::text AS secret FROM vault").format(
            ELSEWHERE["copied"]
        )
    )
    admin.execute("SELECT lo_from_bytea(%s, %s)", [LARGE_OBJECT, str(ELSEWHERE["large_object"]).encode()])
    admin.execute("ANALYZE")


@contextlib.contextmanager
def deployment(people=PEOPLE, **more):
    """A deployment of one's own, not yet up; nothing is left of it."""
    made = Live(people, **more)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def live():
    """A deployment that is up, one for each test process. Tests leave it as they found it."""
    with deployment() as made:
        yield made.start()


@pytest.fixture(scope="module")
def own_live():
    """As `live`, for a module that changes or breaks it."""
    with deployment() as made:
        yield made.start()


__all__ = [
    "ANALYST", "ELSEWHERE", "ENGINEER", "EVERYBODY", "HIDDEN", "MARKERS", "OPERATOR", "OVERSEER", "SUPPORT",
    "Live", "Who", "deployment", "live", "own_live", "restricted_values", "run_ringfort", "wait_for",
]  # fmt: skip
