"""The peers of the gateway: pgbouncer and pgpool2, as Debian packages them, each in a folder of its own.

Both check passwords by SCRAM themselves, hold one server connection for each client, take TLS with the
gateway's own certificate, and refuse to run as root: as root they run under the account of the site's server.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deployment import DATABASE, PASSWORD, Target, running, wait_until
from harness import descendants

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

CLIENTS = 300  # more than any part of the benchmark connects
PEERS = {"pgbouncer": "/usr/sbin/pgbouncer", "pgpool2": "/usr/sbin/pgpool"}


def program(peer: str) -> str | None:
    """Where a peer is installed, if it is."""
    path = PEERS[peer]
    return shutil.which(Path(path).name) or (path if Path(path).exists() else None)


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def peer(name: str, folder: Path, server: Target, tls: Path) -> Iterator[tuple[Target, Target]]:
    """A peer that is up, before `server`: without and with TLS. `tls` holds certificate and `ca.pem`."""
    found = program(name)
    assert found is not None
    place = folder / name
    place.mkdir()
    for each in ("server.pem", "server.key"):
        shutil.copyfile(tls / each, place / each)
    (place / "server.key").chmod(0o600)
    port = free_port()
    write = {"pgbouncer": _pgbouncer, "pgpool2": _pgpool}[name]
    command = [found, *write(place, port, server)]
    account = _account(Path(server.host))
    if account is not None:
        for each in (place, *place.iterdir()):
            os.chown(each, *account)
    log = folder / f"{name}.log"
    with running(command, log=log, user=account) as process:
        wait_until(lambda: _listens(port), process, name, seconds=30, log=log)
        target = Target(name, "127.0.0.1", port, server.user, lambda: _tree(process))
        yield target, replace(target, ca=tls / "ca.pem")


def _tree(process: subprocess.Popen[bytes]) -> list[int]:
    return [process.pid, *descendants(process.pid)]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _account(sockets: Path) -> tuple[int, int] | None:
    """The account that may enter the server's socket folder; none if we are not root."""
    if os.geteuid():
        return None
    owner = sockets.stat()
    return owner.st_uid, owner.st_gid


def _pgbouncer(place: Path, port: int, server: Target) -> list[str]:
    """Session pooling, the way its manual sets it up."""
    (place / "users.txt").write_text(f'"{server.user}" "{PASSWORD}"\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": place / "users.txt",
        "client_tls_sslmode": "allow",
        "client_tls_cert_file": place / "server.pem",
        "client_tls_key_file": place / "server.key",
        "pool_mode": "session",
        "max_client_conn": CLIENTS * 4,
        "default_pool_size": CLIENTS,
        "ignore_startup_parameters": "extra_float_digits",
        "logfile": place / "log",
        "pidfile": place / "pid",
    }
    where = f"{DATABASE} = host={server.host} port={server.port} dbname={DATABASE}\n"
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (place / "pgbouncer.ini").write_text(f"[databases]\n{where}[pgbouncer]\n{text}")
    return ["-q", str(place / "pgbouncer.ini")]


def _pgpool(place: Path, port: int, server: Target) -> list[str]:
    """One server, its connection kept for each child; no query cache, no balancing, no checks."""
    (place / "pool_passwd").write_text(f"{server.user}:TEXT{PASSWORD}\n")
    (place / "pool_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    (place / "pcp.conf").write_text("")
    settings = {
        "backend_clustering_mode": "'raw'",
        "listen_addresses": "'127.0.0.1'",
        "port": port,
        "socket_dir": f"'{place}'",
        "pcp_listen_addresses": "'127.0.0.1'",
        "pcp_port": free_port(),
        "pcp_socket_dir": f"'{place}'",
        "backend_hostname0": f"'{server.host}'",
        "backend_port0": server.port,
        "backend_weight0": 1,
        "backend_flag0": "'DISALLOW_TO_FAILOVER'",
        "enable_pool_hba": "on",
        "pool_passwd": f"'{place / 'pool_passwd'}'",
        "ssl": "on",
        "ssl_cert": f"'{place / 'server.pem'}'",
        "ssl_key": f"'{place / 'server.key'}'",
        "num_init_children": CLIENTS,
        "max_pool": 1,
        "connection_cache": "on",
        "child_life_time": 0,
        "load_balance_mode": "off",
        "memory_cache_enabled": "off",
        "health_check_period": 0,
        "sr_check_period": 0,
        "work_dir": f"'{place}'",
        "logdir": f"'{place}'",
        "pid_file_name": f"'{place / 'pid'}'",
        "log_min_messages": "warning",
    }
    (place / "pgpool.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    options = ["-f", "pgpool.conf", "-a", "pool_hba.conf", "-F", "pcp.conf"]
    return ["-n", "-D", *(str(place / each) if each.endswith(".conf") else each for each in options)]
