"""A PostgreSQL client that sends exactly the bytes it is told to, and keeps every byte that it gets."""

import socket
import ssl
import struct
from base64 import b64encode

from psycopg.conninfo import conninfo_to_dict

from ringfort.pgwire.backend import (
    AUTH_SASL,
    AUTH_SASL_CONTINUE,
    AUTH_SASL_FINAL,
    Authentication,
    BackendKeyData,
    DataRow,
    ErrorResponse,
    ReadyForQuery,
    parse_backend,
)
from ringfort.pgwire.fields import message, string
from ringfort.pgwire.frontend import Bind, Describe, Execute, Parse, Query, Sync, serialise_frontend
from ringfort.pgwire.scram import MECHANISM, ScramClient, salted_password
from ringfort.pgwire.startup import SslRequest, StartupMessage, serialise_startup


class NotLetInError(Exception):
    """The gate did not let the client in."""


class WireClient:
    """One connection. `received` holds what came after the TLS handshake."""

    def __init__(self, dsn, *, parameters=None, timeout=10.0, ahead=b""):
        facts = conninfo_to_dict(dsn)
        self.received = bytearray()
        self.sqlstates = []
        self.status = b""
        self.key = None
        self._read = 0
        self._ahead = ahead  # goes with the last word of authentication
        plain = socket.create_connection((facts["host"], int(facts["port"])), timeout)
        plain.sendall(serialise_startup(SslRequest()))
        assert plain.recv(1) == b"S"
        context = ssl.create_default_context(cafile=facts["sslrootcert"])
        self.socket = context.wrap_socket(plain, server_hostname=facts["host"])
        given = {"user": facts["user"], "database": facts["dbname"]}
        if "options" in facts:
            given["options"] = facts["options"]
        given |= parameters or {}
        pairs = tuple((name.encode(), value.encode()) for name, value in given.items())
        self.send(serialise_startup(StartupMessage(0, pairs)))
        try:
            self._authenticate(facts["password"])
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def next(self):
        """The next message, None if the server has closed."""
        while True:
            at, held = self._read, len(self.received) - self._read
            if held >= 5:
                (length,) = struct.unpack_from(">I", self.received, at + 1)
                if held > length:
                    self._read = at + 1 + length
                    return self._note(
                        parse_backend(self.received[at], bytes(self.received[at + 5 : self._read]))
                    )
            try:
                data = self.socket.recv(262_144)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                return None
            self.received += data

    def _note(self, item):
        if isinstance(item, ErrorResponse):
            self.sqlstates.append(item.fields["C"].decode())
        elif isinstance(item, ReadyForQuery):
            self.status = item.status
        elif isinstance(item, BackendKeyData):
            self.key = item
        return item

    def until_ready(self, times=1):
        """Every message up to and with the next ReadyForQuery (or the one after so many)."""
        items = []
        while times:
            item = self.next()
            if item is None:
                return items
            items.append(item)
            times -= isinstance(item, ReadyForQuery)
        return items

    def query(self, sql):
        """Send a simple Query and take its answer."""
        self.send(serialise_frontend(Query(sql if isinstance(sql, bytes) else sql.encode())))
        return self.until_ready()

    def extended(self, sql, *, binary=False, rows=0, parameters=()):
        """Send Parse, Bind, Describe, Execute, Sync and take the answers."""
        text = sql if isinstance(sql, bytes) else sql.encode()
        steps = (
            Parse(b"", text),
            Bind(b"", b"", (), tuple(parameters), (1,) if binary else ()),
            Describe(b"P", b""),
            Execute(b"", rows),
            Sync(),
        )
        self.send(b"".join(map(serialise_frontend, steps)))
        return self.until_ready()

    def values(self, sql):
        """The rows that a simple Query gives."""
        return [item.values for item in self.query(sql) if isinstance(item, DataRow)]

    def _authenticate(self, password):
        client = ScramClient(b64encode(b"nineteen bytes here").decode())
        while True:
            item = self.next()
            if item is None or isinstance(item, ErrorResponse):
                raise NotLetInError(self.sqlstates[-1] if self.sqlstates else "closed")
            if isinstance(item, Authentication) and item.code == AUTH_SASL:
                first = client.first()
                self.send(message(b"p", string(MECHANISM.encode()) + struct.pack(">i", len(first)) + first))
            elif isinstance(item, Authentication) and item.code == AUTH_SASL_CONTINUE:
                salt, iterations = client.challenge(item.data)
                self.send(
                    message(b"p", client.final(salted_password(password, salt, iterations))) + self._ahead
                )
            elif isinstance(item, Authentication) and item.code == AUTH_SASL_FINAL:
                client.verify(item.data)
            elif isinstance(item, ReadyForQuery):
                return
