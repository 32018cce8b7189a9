"""An embedded PostgreSQL server of our own: made, started, watched and stopped.

For trying and testing; production points at the organisation's own PostgreSQL. Invariants: never runs as
root; listens on 127.0.0.1 and a 0700 socket folder; every way in is SCRAM-SHA-256, over TCP only with TLS;
the superuser's password stands in one 0600 file and in no argument list; the data folder appears under its
name only when it is whole; whoever holds the lock is the only starter, and a server that a crashed
predecessor left is ended first; when this process dies, by whatever means, the server is shut down
(`guardian.py`). The server's log takes no ERROR line: those can echo values. refs: PostgreSQL manual,
chapters 19 to 21.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ringfort.errors import MissingEnvironmentError
from ringfort.paths import (
    Account,
    Layout,
    passable_folder,
    private_folder,
    remove_server_folder,
    server_account,
    server_folder,
    socket_folder,
)
from ringfort.private_files import read_private, write_private
from ringfort.sites import guardian, orphans
from ringfort.sites.binaries import Binaries, find_binaries
from ringfort.sites.data_folder import SUPERUSER, data_version, last_line, make_data, reset_password
from ringfort.sites.tls import ensure_tls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

LOG_BYTES = 10 * 1024 * 1024
_PORT_ATTEMPTS = 8
_HBA = """\
# Written by Ringfort at each start; changes are lost. Everybody needs a password; over the network also TLS.
local      all  all                scram-sha-256
hostssl    all  all  127.0.0.1/32  scram-sha-256
hostnossl  all  all  all           reject
"""
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedServer:
    """A server in `folder`; `port` 0 takes a free one, anew at each start.

    `secret` is the file that keeps the superuser's DSN (default: `admin.dsn` in `folder`'s real place);
    `settings` are further server settings; `durable` false is for throw-away servers (no fsync).
    """

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        secret: Path | None = None,
        runtime: Path | None = None,
        settings: Mapping[str, str] | None = None,
        durable: bool = True,
    ) -> None:
        self.folder = Path(folder).absolute()
        self.port = port
        self.place = self.folder  # where the files really are, once started
        self.sockets = self.folder
        self.major = 0
        self._wanted_port = port
        self._secret = secret
        self._runtime = runtime
        self._settings = dict(settings or {}) | ({} if durable else _NOT_DURABLE)
        self._durable = durable
        self._password = ""
        self._guardian: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._lock = -1

    @classmethod
    def of_site(cls, deployment: Path, site: str, port: int = 0) -> EmbeddedServer:
        """The server of `site` in the deployment folder: `state/sites/NAME`, `secrets/site-NAME.dsn`."""
        layout = Layout(deployment.absolute())
        return cls(layout.site_folder(site), port, secret=layout.site_dsn(site))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server that `start` started still runs."""
        return self._guardian is not None and self._guardian.poll() is None

    @property
    def ca(self) -> Path:
        """The certificate authority that a client must trust."""
        return self.place / "tls" / "ca.pem"

    def admin_dsn(self, database: str = "postgres") -> str:
        """The superuser's connection string, password included: keep it out of argument lists and logs."""
        return make_conninfo(
            host=self.host,
            port=self.port,
            user=SUPERUSER,
            password=self._password,
            dbname=database,
            sslmode="verify-full",
            sslrootcert=str(self.ca),
        )

    def start(self, timeout: float = 120.0) -> None:
        """Make the server if there is none, start it, return when it serves.

        Raises `MissingEnvironmentError`: no binaries, port taken, folder in use or damaged, not up within
        `timeout` seconds.
        """
        if self.running:
            return
        self.stop()
        account = server_account()
        self.place = server_folder(self.folder, account)
        self._take_lock()
        try:
            data = self.place / "data"
            orphans.end_server(data)
            binaries = find_binaries(major=data_version(data), account=account)
            self.major = binaries.major
            self._prepare(binaries, data, account)
            self._run(binaries, data, account, timeout)
            if not self._password_works():
                self._halt()
                reset_password(binaries, data, account, password=self._password)
                self._run(binaries, data, account, timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 30.0) -> None:
        """Shut the server down (fast, then immediate after `timeout` seconds) and let the folder go."""
        try:
            self._halt(timeout)
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def remove(self) -> None:
        """Stop the server and delete its data and its secret."""
        self.stop()
        remove_server_folder(self.folder)
        if self._secret is not None:
            self._secret.unlink(missing_ok=True)

    def _take_lock(self) -> None:
        self._lock = os.open(self.place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = -1
            raise MissingEnvironmentError(
                f"the site in `{self.folder}` is in use by another process",
                hint="stop the `ringfort up` or `ringfort init` that runs on it",
            ) from None

    def _prepare(self, binaries: Binaries, data: Path, account: Account | None) -> None:
        for left in self.place.glob("data.making-*"):
            shutil.rmtree(left)
        secret = self._secret_file()
        fresh = not secret.exists()
        self._password = secrets.token_urlsafe(32) if fresh else _password_in(secret)
        if fresh:  # before the data, so that no server is ever made whose password is lost
            if self._secret is not None:
                private_folder(secret.parent)
            self._write_secret()
        if not data.exists():
            make_data(binaries, data, account, password=self._password, durable=self._durable)
        elif fresh:
            reset_password(binaries, data, account, password=self._password)
        ensure_tls(passable_folder(self.place / "tls", account), ["localhost", "127.0.0.1"], account=account)
        write_private(self.place / "pg_hba.conf", _HBA.encode(), account=account)
        self.sockets = self._runtime or socket_folder(self.place, account)
        if self._runtime is None:  # ours alone: what is in it, a killed server left
            for stale in self.sockets.glob(".s.PGSQL.*"):
                stale.unlink()

    def _run(self, binaries: Binaries, data: Path, account: Account | None, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for _ in range(_PORT_ATTEMPTS):
            self.port = self._wanted_port or _free_port()
            mark = self._launch(binaries, data, account)
            while self.running and time.monotonic() < deadline:
                if _ready(data, self.port):
                    self._write_secret()
                    return
                time.sleep(0.01)
            timed_out = self.running
            log = self._log_since(mark)
            self._halt()
            if timed_out:
                raise MissingEnvironmentError(
                    f"the server in `{self.folder}` was not ready within {timeout:g} seconds",
                    hint=f"see {self.place / 'server.log'}",
                )
            if (
                "still in use" in log and time.monotonic() < deadline
            ):  # backends of a killed server are ending
                time.sleep(0.2)
            elif "Address already in use" not in log:
                raise MissingEnvironmentError(
                    f"the server in `{self.folder}` did not start: {last_line(log)}",
                    hint=f"see {self.place / 'server.log'}",
                )
            elif self._wanted_port:
                break
        raise MissingEnvironmentError(
            f"port {self.port} is taken", hint="set another `port` for the site, or 0 to take a free one"
        )

    def _launch(self, binaries: Binaries, data: Path, account: Account | None) -> int:
        """Start guardian and server; where the log stands before."""
        path = self.place / "server.log"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_BYTES:
                path.replace(path.with_suffix(".log.1"))
        mark = path.stat().st_size if path.exists() else 0
        uid, gid = (os.geteuid(), os.getegid()) if account is None else (account.uid, account.gid)
        reader, self._lifeline = os.pipe()
        runner = [sys.executable, "-I", "-S", guardian.__file__]
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._guardian = subprocess.Popen(
                [*runner, str(uid), str(gid), str(reader), *self._command(binaries, data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[reader],
                start_new_session=True,  # Ctrl-C at the terminal is ours to answer, not the server's
                env=binaries.environment(),
            )
        finally:
            os.close(log)
            os.close(reader)
        return mark

    def _command(self, binaries: Binaries, data: Path) -> list[str]:
        quoted = str(self.sockets).replace('"', '""')
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": f'"{quoted}"',
            "unix_socket_permissions": "0700",
            "hba_file": str(self.place / "pg_hba.conf"),
            "ssl": "on",
            "ssl_cert_file": str(self.place / "tls" / "server.pem"),
            "ssl_key_file": str(self.place / "tls" / "server.key"),
            "ssl_min_protocol_version": "TLSv1.3",
            "password_encryption": "scram-sha-256",
            "logging_collector": "off",
            "log_destination": "stderr",
            "log_min_messages": "log",
            "log_min_error_statement": "panic",
            "log_statement": "none",
            "log_min_duration_statement": "-1",
            **self._settings,
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [binaries.program("postgres"), "-D", str(data), *arguments]

    def _halt(self, timeout: float = 30.0) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        if self._guardian is None:
            return
        try:
            self._guardian.wait(timeout)
        except subprocess.TimeoutExpired:
            self._guardian.send_signal(signal.SIGQUIT)
            self._guardian.wait(timeout)
        self._guardian = None

    def _secret_file(self) -> Path:
        return self._secret or self.place / "admin.dsn"

    def _write_secret(self) -> None:
        write_private(self._secret_file(), self.admin_dsn().encode() + b"\n")

    def _password_works(self) -> bool:
        try:
            psycopg.connect(self.admin_dsn(), connect_timeout=30).close()
        except psycopg.OperationalError as error:
            if "authentication failed" in str(error):
                return False
            raise MissingEnvironmentError(
                f"the server in `{self.folder}` takes no connection", hint=f"see {self.place / 'server.log'}"
            ) from None
        return True

    def _log_since(self, mark: int) -> str:
        with (self.place / "server.log").open("rb") as file:
            file.seek(mark)
            return file.read(65_536).decode("utf-8", "replace")


def _ready(data: Path, port: int) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[3].strip() == str(port) and lines[7].strip() == "ready"


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _password_in(secret: Path) -> str:
    try:
        password = conninfo_to_dict(read_private(secret).decode()).get("password")
    except (UnicodeDecodeError, psycopg.ProgrammingError):
        password = None
    if not isinstance(password, str) or not password:
        raise MissingEnvironmentError(
            f"`{secret}` holds no connection string with a password",
            hint="remove it, and ringfort makes another",
        )
    return password
