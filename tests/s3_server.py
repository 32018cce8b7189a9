"""An S3 server in a process of its own, and a proxy before it that looks at every request."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3

START_SECONDS = 60
BUCKET = "bucket"
_HOPS = {"expect", "transfer-encoding", "content-length", "connection"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(*arguments, ready, environment=None):
    """A process of its own until the end; `ready` says whether it serves."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | (environment or {})
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def s3_server():
    """Serves an empty bucket; gives its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    def ready():
        try:
            urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT"), timeout=5)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    with running(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port), ready=ready):
        yield address


def client(address):
    """The store by Amazon's own library."""
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="access",
        aws_secret_access_key="secret",
    )


class Proxy:
    """Passes requests on to a store.

    `before(method, path)` may answer with a status in its place; `after(method, path)` is called when the
    store has done what was asked and the client has not heard of it.
    """

    def __init__(self, address):
        self.before = self.after = lambda method, path: None
        self._store = address.removeprefix("http://")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def body(self):
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline().partition(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(parts)

            def pass_on(self):
                body = self.body()
                status = proxy.before(self.command, self.path)
                if status is not None:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                connection = http.client.HTTPConnection(proxy._store, timeout=60)
                given = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
                connection.request(self.command, self.path, body=body, headers=given)
                answer = connection.getresponse()
                data = answer.read()
                proxy.after(self.command, self.path)
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "connection", "date", "server"}:
                        self.send_header(name, value)
                if "content-length" not in {name.lower() for name, _ in answer.getheaders()}:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
                connection.close()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815 - their names

            def handle(self):
                with contextlib.suppress(OSError):
                    super().handle()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)
