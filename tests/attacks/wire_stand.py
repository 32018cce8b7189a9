"""A worker on real sockets: real PostgreSQL, ledger writer and parser; a simulated provisioner.

The simulated provisioner speaks the real calls between processes and gives every principal one role that may
read the table `seen` and nothing else. `Wire` is a client that says exactly the bytes that it is told to.
"""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from pathlib import Path

import psycopg
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ringfort.config import AuthenticationConfig
from ringfort.gateway.authentication_desk import OPERATIONS, Desk
from ringfort.gateway.ipc import IpcServer
from ringfort.gateway.verifiers import make_verifier
from ringfort.ledger import entry_control as control
from ringfort.ledger.entry import decode, encode
from ringfort.ledger.folds import ControlState
from ringfort.pgwire import backend as be
from ringfort.pgwire.fields import INT32, message, string
from ringfort.pgwire.scram import ScramClient, salted_password
from ringfort.pgwire.startup import SslRequest, StartupMessage, serialise_startup
from ringfort.private_files import write_private
from ringfort.record.channel import LedgerChannel
from ringfort.record.inspect import all_entries
from ringfort.sites.tls import ensure_tls
from ringfort.system import SystemRandomness

PASSWORD = "correct horse"
PRINCIPALS = {"alice": "IE", "bob": "US"}
MARKER = "hidden-marker-5f0c"
PATIENT = AuthenticationConfig(10_000, 10_000)
_TIME = "2026-11-21T10:00:00Z"


class Provisioner:
    """The simulated provisioner, in a thread with its own loop; `append` puts control entries in force."""

    def __init__(self, folder, target, authentication):
        self._folder = folder
        self._authentication = authentication
        self.path = str(folder / "provisioner")
        self._ledger_path = str(folder / "ledger")
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._state = ControlState()
        self.limits = 0

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        self._ended = asyncio.Event()
        verifiers = self._folder / "scram"
        verifiers.mkdir()
        for name in PRINCIPALS:
            write_private(verifiers / f"{name}.json", make_verifier(PASSWORD, SystemRandomness()))
        self._desk = Desk(verifiers, b"k" * 32, self._authentication, lambda: self._state)
        self._ledger = await LedgerChannel.connect(
            self._ledger_path,
            actor="provisioner",
            on_control=lambda _, entry: self._state.apply(entry),
            on_lost=lambda _: None,
        )
        digest = hashlib.sha256(b"{}").hexdigest()
        own = {"time": _TIME, "actor": "operator"}
        entries = [
            control.PolicyActivated(**own, bundle=digest, evaluator="simulated"),
            control.CatalogueActivated(**own, catalogue=digest),
            *(
                control.PrincipalRegistered(**own, name=name, country=country, employer="e", role="r")
                for name, country in PRINCIPALS.items()
            ),
        ]
        await self._ledger.append([encode(each) for each in entries], blobs=[b"{}"])
        server = IpcServer(self.path, self._answer)
        await server.start()
        self._ready.set()
        await self._ended.wait()
        await server.stop()
        self._desk.close()
        self._ledger.close()
        await asyncio.sleep(0.05)

    async def _answer(self, op, request):
        if op in OPERATIONS:
            return await self._desk.asked(op, request)
        assert op == "open"
        state = self._state
        blob = b64encode(b"{}").decode()
        keys = ["policy", "catalogue", "zones", f"principal:{request['principal']}"]
        country = state.principals[request["principal"]].country
        return {
            "profile": hashlib.sha256(b"profile").hexdigest(),
            **self._target,
            "search_path": "public",
            "relations": ["seen"],
            "condition_keys": keys,
            "ground_keys": keys,
            "decision": {
                "input": blob,
                "map": blob,
                "site": "site-1",
                "viewer": [
                    {"source": "registration", "country": country},
                    {"source": "network zone", "country": ""},
                    *request["proofs"],
                ],
                "viewing_country": "ZZ",  # no zone holds the address
                "storage_country": "IE",
                "policy": state.policy,
                "catalogue": state.catalogue,
                "zones": state.zones,
                "evaluator": state.evaluator,
                "control_size": state.size,
            },
        }

    def append(self, *entries, blobs=()):
        data = [encode(each) for each in entries]
        work = self._ledger.append(data, blobs=list(blobs))
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class Stand:
    """Everything, up; `port` is the worker's."""

    def __init__(self, admin_dsn, *, authentication=PATIENT, readers=1, **worker):
        self._admin = admin_dsn
        self._readers = readers
        self._authentication = authentication
        self._more = worker
        self._children = []
        self._descriptors = []
        self.provisioner = None

    def __enter__(self):
        try:
            return self._up()
        except BaseException:
            self._down()
            raise

    def _up(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="rf-", dir="/tmp")  # a short path for sockets
        self.folder = Path(self._temporary.name)
        target = self._prepare_site()
        public = X25519PrivateKey.generate().public_key().public_bytes_raw()
        self._start(
            "ringfort.record.writer",
            {
                "folder": str(self.folder / "log"),
                "socket": str(self.folder / "ledger"),
                "origin": "attacks.example/log",
                "key": base64.b64encode(secrets.token_bytes(32)).decode(),
                "evidence_public": base64.b64encode(public).decode(),
            },
        )
        self.provisioner = Provisioner(self.folder, target, self._authentication).__enter__()
        self._start(
            "ringfort.gateway.parser", {"socket": str(self.folder / "parser"), "readers": self._readers}
        )
        (self.folder / "tls").mkdir()
        ensure_tls(self.folder / "tls", ("localhost", "127.0.0.1"))
        said = self._start(
            "ringfort.gateway.worker",
            {
                "actor": "worker-0",
                "listen": {"host": "127.0.0.1", "port": 0},
                "tls": {
                    "mode": "optional",
                    "certificate": str(self.folder / "tls" / "server.pem"),
                    "key": str(self.folder / "tls" / "server.key"),
                },
                "ledger_socket": str(self.folder / "ledger"),
                "provisioner_socket": self.provisioner.path,
                "parser_socket": str(self.folder / "parser"),
                **self._more,
            },
        )
        self.port = said["port"]
        return self

    def _prepare_site(self):
        facts = conninfo_to_dict(self._admin)
        role = f"rf_{secrets.token_hex(6)}"
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute("CREATE TABLE seen (id int PRIMARY KEY, name text)")
            connection.execute("INSERT INTO seen SELECT i, 'name ' || i FROM generate_series(1, 1000) i")
            connection.execute("CREATE TABLE hidden (id int, secret text)")
            connection.execute(sql.SQL("INSERT INTO hidden VALUES (1, {})").format(MARKER))
            name = sql.Identifier(role)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'profile'").format(name))
            connection.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name))
            connection.execute(sql.SQL("GRANT SELECT ON seen TO {}").format(name))
        return {
            "role": role,
            "password": "profile",
            "host": facts["host"],
            "port": int(facts["port"]),
            "database": facts["dbname"],
            "tls": {"mode": "verify-full", "ca": facts["sslrootcert"]},
        }

    def _start(self, module, config):
        child = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors(module),
        )
        self._children.append(child)
        child.stdin.write(json.dumps(config).encode())
        child.stdin.close()
        line = child.stdout.readline()
        assert line, (self.folder / f"{module}.err").read_text()
        return json.loads(line)

    def _errors(self, module):
        descriptor = os.open(self.folder / f"{module}.err", os.O_WRONLY | os.O_CREAT, 0o600)
        self._descriptors.append(descriptor)
        return descriptor

    @property
    def worker(self):
        return self._children[-1]

    def stop_worker(self):
        """SIGTERM; the exit code."""
        child = self._children.pop()
        child.terminate()
        code = child.wait(20)
        child.stdout.close()
        return code

    def kill(self, number):
        self._children[number].kill()
        self._children[number].wait(10)

    def log(self):
        """What the worker has to say of itself."""
        return (self.folder / "ringfort.gateway.worker.err").read_text()

    def __exit__(self, *_):
        self._down()

    def stop_all(self):
        """Stop every process, the writer last."""
        while len(self._children) > 1:
            self.stop_worker()
        if self.provisioner is not None:
            self.provisioner.__exit__()
            self.provisioner = None
        while self._children:
            self.stop_worker()

    def _down(self):
        self.stop_all()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._temporary.cleanup()

    def entries(self, kind):
        """Every entry of this type that is durable now, decoded."""
        found = [decode(data) for _, _, data, _ in all_entries(self.folder / "log")]
        return [each for each in found if kind == each.TYPE]

    def dsn(self, user="alice", **more):
        given = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": user,
            "password": PASSWORD,
            "dbname": "x",
            **more,
        }
        return " ".join(f"{key}='{value}'" for key, value in given.items())


class ClosedError(Exception):
    """The gateway closed the connection."""


class Wire:
    """A client that says what it is told; everything received is kept in `received`."""

    def __init__(self, port, *, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.received = bytearray()
        self._at = 0
        self.key = (0, bytes(4))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def _more(self):
        try:
            data = self.socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise ClosedError
        self.received += data

    def octet(self):
        while len(self.received) <= self._at:
            self._more()
        self._at += 1
        return bytes(self.received[self._at - 1 : self._at])

    def message(self):
        """The next message, parsed."""
        while True:
            held = len(self.received) - self._at
            if held >= 5:
                size = int.from_bytes(self.received[self._at + 1 : self._at + 5], "big") + 1
                if held >= size:
                    break
            self._more()
        start, self._at = self._at, self._at + size
        return be.parse_backend(self.received[start], bytes(self.received[start + 5 : self._at]))

    def until_ready(self):
        """All messages up to and including ReadyForQuery."""
        seen = []
        while not seen or not isinstance(seen[-1], be.ReadyForQuery):
            seen.append(self.message())
        return seen

    def until_closed(self):
        """All messages until the gateway closes."""
        seen = []
        while True:
            try:
                seen.append(self.message())
            except ClosedError:
                return seen

    def is_quiet(self, seconds=0.2):
        """Nothing comes for a while."""
        self.socket.settimeout(seconds)
        try:
            self._more()
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(10)
        return False

    def tls(self):
        self.send(serialise_startup(SslRequest()))
        assert self.octet() == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        return self

    def startup(self, user="alice", minor=0, **parameters):
        given = {"user": user, "database": "x", **parameters}
        pairs = tuple((name.encode(), str(text).encode()) for name, text in given.items())
        return self.send(serialise_startup(StartupMessage(minor, pairs)))

    def authenticate(self, password=PASSWORD):
        """SCRAM; returns the first message behind the server's proof."""
        client = ScramClient("n" * 24)
        first = self.message()
        while isinstance(first, be.NegotiateProtocolVersion):
            first = self.message()
        assert isinstance(first, be.Authentication), first
        assert first.code == be.AUTH_SASL
        opening = client.first()
        self.send(message(b"p", string(b"SCRAM-SHA-256") + INT32.pack(len(opening)) + opening))
        challenge = self.message()
        if not isinstance(challenge, be.Authentication):
            return challenge
        salt, iterations = client.challenge(challenge.data)
        self.send(message(b"p", client.final(salted_password(password, salt, iterations))))
        answer = self.message()
        if not isinstance(answer, be.Authentication):
            return answer
        client.verify(answer.data)
        return self.message()

    def login(self, user="alice", **parameters):
        self.startup(user, **parameters)
        answer = self.authenticate()
        assert isinstance(answer, be.Authentication), answer
        for each in self.until_ready():
            if isinstance(each, be.BackendKeyData):
                self.key = (each.process, each.secret)
        return self


def states(messages):
    """SQLSTATEs of the errors among `messages`."""
    return [each.fields["C"].decode() for each in messages if isinstance(each, be.ErrorResponse)]


def rows(messages):
    return [each.values for each in messages if isinstance(each, be.DataRow)]


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
