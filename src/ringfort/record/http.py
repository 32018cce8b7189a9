"""The ledger over HTTP: a process without secrets that serves what is published, read-only.

    python -m ringfort.record.http    with JSON on standard input: {"folder": "DIR/state/ledger", "host",
    "port"}

Readiness: {"ready": true, "host", "port", "url"}. Paths are those of C2SP tlog-tiles below `/control/` and
`/traffic/SHARD/`; `/` is a JSON index of logs, origins and verifier keys. Only GET and HEAD; only canonical
paths, so nothing outside the published files can be named. Left out: blobs and evidence, which are for the
overseer.
"""

from __future__ import annotations

import gzip
import signal
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ringfort import __version__
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.ledger.errors import TilesError
from ringfort.record import process
from ringfort.record.disk import OsDisk
from ringfort.record.store import FolderStore, split_resource

MAX_CONNECTIONS = 64
IDLE_SECONDS = 15.0
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_BYTES = "application/octet-stream"


class LedgerServer(ThreadingHTTPServer):
    """Serves one ledger folder; `url` once bound."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.store = FolderStore(folder)
        self.index = folder / "index.json"
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
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
        """Serve a connection in a thread, if one is free."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a connection and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A client that hangs up is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"ringfort/{__version__}"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: LedgerServer

    def do_GET(self) -> None:
        self._serve(body=True)

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def _serve(self, *, body: bool) -> None:
        found = self._find()
        if found is None:
            self._answer(HTTPStatus.NOT_FOUND, b"not found\n", _TEXT, "no-store", body=body)
            return
        data, kind, caching = found
        encoding = ""
        if "/tile/entries/" in self.path and "gzip" in self.headers.get("Accept-Encoding", ""):
            data, encoding = gzip.compress(data, 6, mtime=0), "gzip"
        self._answer(HTTPStatus.OK, data, kind, caching, body=body, encoding=encoding)

    def _find(self) -> tuple[bytes, str, str] | None:
        if self.path == "/":
            data = OsDisk().read(self.server.index)
            return None if data is None else (data, _JSON, "no-cache")
        try:
            _, resource = split_resource(self.path[1:])
        except TilesError:
            return None
        data = self.server.store.read(self.path[1:])
        if data is None:
            return None
        if resource == "checkpoint":
            return data, _TEXT, "no-cache"
        return data, _BYTES, "public, max-age=31536000, immutable"

    def _answer(
        self, status: HTTPStatus, data: bytes, kind: str, caching: str, *, body: bool, encoding: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", caching)
        self.send_header("X-Content-Type-Options", "nosniff")
        if encoding:
            self.send_header("Content-Encoding", encoding)
        if "/tile/entries/" in self.path:
            self.send_header("Vary", "Accept-Encoding")
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Requests are not logged."""


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
