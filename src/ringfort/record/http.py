"""The ledger over HTTP: a process without secrets that serves what is published, read-only.

    python -m ringfort.record.http    with JSON on standard input: {"folder": "DIR/state/ledger", "host",
    "port"}

Readiness: {"ready": true, "host", "port", "url"}. Paths are those of C2SP tlog-tiles below `/control/` and
`/traffic/SHARD/`; `/` is a JSON index of logs, origins and verifier keys. Only GET and HEAD; only canonical
paths, so nothing outside the published files can be named. Left out: blobs and evidence, which are for the
overseer.

What clients can take is bounded: connections in all and for each address, the time until a request is there
and until its answer is taken, the size of its head. A request that announces a body is answered 400 and the
connection closed (see `http_head`).
"""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import ipaddress
import logging
import signal
import socket
import socketserver
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfort import __version__, process
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.ledger.errors import TilesError
from ringfort.record.disk import OsDisk
from ringfort.record.http_head import (
    END,
    MAX_HEAD_BYTES,
    BadRequestError,
    MethodRefusedError,
    Request,
    read_head,
)
from ringfort.record.store import FolderStore, split_resource

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG = logging.getLogger(__name__)
MAX_CONNECTIONS = 256
MAX_CONNECTIONS_OF_ONE = 32
"""Of one IPv4 address or one IPv6 network of 64 bits."""
IDLE_SECONDS = 15.0
HEAD_SECONDS = 10.0
ANSWER_SECONDS = 60.0
LINGER_SECONDS = 1.0
_QUIET_SECONDS = 10.0  # between two lines about refused connections
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_BYTES = "application/octet-stream"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
)


class Places:
    """How many connections there are, in all and by address."""

    def __init__(self, most: int = MAX_CONNECTIONS, most_of_one: int = MAX_CONNECTIONS_OF_ONE) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._taken: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, host: str) -> bool:
        """Take a place for a connection from `host`; False if there is none."""
        network = network_of(host)
        with self._lock:
            taken = self._taken.get(network, 0)
            if taken >= self._most_of_one or sum(self._taken.values()) >= self._most:
                return False
            self._taken[network] = taken + 1
            return True

    def free(self, host: str) -> None:
        """Give a place back."""
        network = network_of(host)
        with self._lock:
            self._taken[network] -= 1
            if not self._taken[network]:
                del self._taken[network]


def network_of(host: str) -> str:
    """What counts as one client: an IPv4 address, or the 64 bits of an IPv6 one that a household has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


class LedgerServer(socketserver.ThreadingTCPServer):
    """Serves one ledger folder; `url` once bound."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, folder: Path, host: str, port: int, places: Places | None = None) -> None:
        self.store = FolderStore(folder)
        self.index = folder / "index.json"
        self._places = places or Places()
        self._quiet_until = 0.0
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Connection)
        except (OSError, OverflowError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise MissingEnvironmentError(
                f"cannot serve the ledger at `{host}` port {port}: {reason}",
                hint="set another `http_port` in [ledger] of ringfort.toml",
            ) from None

    @property
    def url(self) -> str:
        """The base address."""
        host, port = str(self.server_address[0]), int(self.server_address[1])
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's types
        """Serve a connection in a thread, if there is a place for one more."""
        if not self._places.take(str(client_address[0])):
            self._refuse(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._places.free(str(client_address[0]))
            self._refuse(request)

    def _refuse(self, request: Any) -> None:  # noqa: ANN401 - the library's type
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            LOG.warning("connections are refused: too many are open", extra={"event": "http-full"})
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(_FULL)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a connection and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.free(str(client_address[0]))

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A client that hangs up is no event."""


class _Connection(socketserver.BaseRequestHandler):
    """Reads heads one after another, and answers each before it reads the next."""

    server: LedgerServer
    request: socket.socket

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def handle(self) -> None:
        while (head := self._head()) is not None:
            try:
                request = read_head(head)
            except MethodRefusedError as error:
                self._close_with(HTTPStatus.METHOD_NOT_ALLOWED, error.message, {"Allow": "GET, HEAD"})
                return
            except BadRequestError as error:
                self._close_with(HTTPStatus.BAD_REQUEST, error.message)
                return
            self._serve(request)
            if not request.keep_alive:
                return

    def _head(self) -> bytes | None:
        """The next head without the empty line that ends it; None when the connection is to end."""
        until = time.monotonic() + (HEAD_SECONDS if self._buffer else IDLE_SECONDS)
        while END not in self._buffer:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._close_with(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")
                return None
            left = until - time.monotonic()
            if left <= 0:
                self._late()
                return None
            self.request.settimeout(left)
            try:
                data = self.request.recv(MAX_HEAD_BYTES)
            except TimeoutError:
                self._late()
                return None
            except OSError:
                return None
            if not data:
                return None
            if not self._buffer:
                until = min(until, time.monotonic() + HEAD_SECONDS)
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(END)
        if len(head) > MAX_HEAD_BYTES:
            self._close_with(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")
            return None
        return head

    def _late(self) -> None:
        if self._buffer:
            self._close_with(HTTPStatus.REQUEST_TIMEOUT, "the request came too slowly")

    def _serve(self, request: Request) -> None:
        body = request.method == "GET"
        found = self._find(request.target)
        if found is None:
            self._answer(HTTPStatus.NOT_FOUND, b"not found\n", _headers(_TEXT, "no-store"), body=body)
            return
        data, kind, caching = found
        headers = _headers(kind, caching)
        if "/tile/entries/" in request.target:
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in request.fields.get("accept-encoding", ""):
                data, headers["Content-Encoding"] = gzip.compress(data, 6, mtime=0), "gzip"
        if not request.keep_alive:
            headers["Connection"] = "close"
        self._answer(HTTPStatus.OK, data, headers, body=body)

    def _find(self, target: str) -> tuple[bytes, str, str] | None:
        if target == "/":
            data = OsDisk().read(self.server.index)
            return None if data is None else (data, _JSON, "no-cache")
        try:
            _, resource = split_resource(target[1:]) if target.startswith("/") else ("", "")
            data = self.server.store.read(target[1:]) if resource else None
        except TilesError:
            return None
        if data is None:
            return None
        if resource == "checkpoint":
            return data, _TEXT, "no-cache"
        return data, _BYTES, "public, max-age=31536000, immutable"

    def _close_with(self, status: HTTPStatus, why: str, more: Mapping[str, str] | None = None) -> None:
        """Answer, and read no more from a client whose bytes may mean anything."""
        headers = {**_headers(_TEXT, "no-store"), "Connection": "close", **(more or {})}
        with contextlib.suppress(OSError):
            self._answer(status, why.encode() + b"\n", headers, body=True)
            # what the client is still sending must not make the kernel throw the answer away
            self.request.shutdown(socket.SHUT_WR)
            until = time.monotonic() + LINGER_SECONDS
            while (left := until - time.monotonic()) > 0:
                self.request.settimeout(left)
                if not self.request.recv(1 << 16):
                    break

    def _answer(self, status: HTTPStatus, data: bytes, headers: Mapping[str, str], *, body: bool) -> None:
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Server: ringfort/{__version__}",
            f"Date: {email.utils.formatdate(usegmt=True)}",
            f"Content-Length: {len(data)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self.request.settimeout(ANSWER_SECONDS)
        self.request.sendall("\r\n".join(lines).encode() + END + (data if body else b""))


def _headers(kind: str, caching: str) -> dict[str, str]:
    return {"Content-Type": kind, "Cache-Control": caching, "X-Content-Type-Options": "nosniff"}


def run(config: dict[str, Any]) -> None:
    """Serve until SIGTERM or SIGINT."""
    folder, host, port = config.get("folder"), config.get("host", "127.0.0.1"), config.get("port", 0)
    if not isinstance(folder, str) or not isinstance(host, str) or type(port) is not int:
        raise UsageError("the configuration needs `folder`, `host` and `port`")
    with LedgerServer(Path(folder), host, port) as server:

        def stop(*_: object) -> None:
            threading.Thread(target=server.shutdown, daemon=True).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        process.ready(host=host, port=int(server.server_address[1]), url=server.url)
        server.serve_forever(poll_interval=0.2)


if __name__ == "__main__":
    process.main(run)
