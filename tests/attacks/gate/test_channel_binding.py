"""SCRAM-SHA-256-PLUS with libpq, and a man in the middle who has a certificate of his own."""

import contextlib
import select
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from tests.attacks.wire_stand import PASSWORD, Stand, Wire

from ringfort.gateway.channel_binding import server_end_point
from ringfort.pgwire import backend as be
from ringfort.pgwire.fields import INT32, message, string
from ringfort.pgwire.startup import SslRequest, serialise_startup
from ringfort.private_files import write_private
from ringfort.sites.tls import make_tls


@pytest.fixture(scope="module")
def stand(database):
    with Stand(database) as stand:
        yield stand
        assert "Error" not in stand.log()


def connect(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute("SELECT name FROM seen WHERE id = 7").fetchone() == ("name 7",)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_libpq_binds(stand, binding, version):
    assert connect(
        stand.dsn(sslmode="require", channel_binding=binding, ssl_min_protocol_version=version,
                  ssl_max_protocol_version=version)
    )  # fmt: skip


def test_without_tls_there_is_nothing_to_bind_to(stand):
    assert connect(stand.dsn(sslmode="disable", channel_binding="prefer"))
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        connect(stand.dsn(sslmode="disable", channel_binding="require"))


def test_a_wrong_password_is_wrong_bound_or_not(stand):
    for binding in ("disable", "require"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(stand.dsn(sslmode="require", channel_binding=binding, password="wrong"))


# -- what is offered, and what a client may say to it -------------------------------------------------


def offer(wire, user="alice"):
    wire.startup(user)
    asked = wire.message()
    assert asked.code == be.AUTH_SASL
    return asked.data.rstrip(b"\0").split(b"\0")


def test_the_offer(stand):
    with Wire(stand.port) as plain:
        assert offer(plain) == [b"SCRAM-SHA-256"]
    for user in ("alice", "nobody"):
        with Wire(stand.port) as encrypted:
            assert offer(encrypted.tls(), user) == [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"]


@pytest.mark.parametrize(
    ("mechanism", "first"),
    [
        (b"SCRAM-SHA-256", b"y,,n=,r=abcdefgh"),
        (b"SCRAM-SHA-256", b"p=tls-server-end-point,,n=,r=abcdefgh"),
        (b"SCRAM-SHA-256-PLUS", b"n,,n=,r=abcdefgh"),
        (b"SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=,r=abcdefgh"),
        (b"PLAIN", b"n,,n=,r=abcdefgh"),
    ],
)
def test_a_client_that_does_not_fit_the_offer(stand, mechanism, first):
    with Wire(stand.port) as wire:
        offer(wire.tls())
        wire.send(message(b"p", string(mechanism) + INT32.pack(len(first)) + first))
        assert wire.message().fields["C"] == b"28P01"


# -- the man in the middle ----------------------------------------------------------------------------


class Middle:
    """Speaks TLS with a certificate of its own to the client, and TLS to the gateway."""

    def __init__(self, folder, port):
        make_tls(folder, ("127.0.0.1",), now=datetime.now(UTC))
        self._folder, self._port = folder, port

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain, contextlib.suppress(OSError):
                self._serve(plain)

    def _serve(self, plain):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        to = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        to.check_hostname, to.verify_mode = False, ssl.CERT_NONE
        plain.recv(8)
        plain.sendall(b"S")
        with (
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._port)) as there,
        ):
            there.sendall(serialise_startup(SslRequest()))
            there.recv(1)
            with to.wrap_socket(there) as gateway:
                while True:
                    for ready in select.select([client, gateway], [], [], 10)[0]:
                        data = ready.recv(65_536)  # at most one record, so nothing is left that select misses
                        if not data:
                            return
                        (gateway if ready is client else client).sendall(data)


@pytest.mark.parametrize("binding", ["prefer", "require"])
def test_an_exchange_cannot_be_passed_on(stand, tmp_path, binding):
    with Middle(tmp_path, stand.port) as middle:
        dsn = stand.dsn(sslmode="require", channel_binding=binding, password=PASSWORD)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(dsn.replace(f"port='{stand.port}'", f"port='{middle.port}'"))


def test_only_binding_tells_a_client_that_verifies_nobody(stand, tmp_path):
    with Middle(tmp_path, stand.port) as middle:
        dsn = stand.dsn(sslmode="require", channel_binding="disable")
        assert connect(dsn.replace(f"port='{stand.port}'", f"port='{middle.port}'"))


# -- other certificates -------------------------------------------------------------------------------


def certificate(folder, key, algorithm):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, algorithm)
    )
    (folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder / "server.key", private)
    return made


@pytest.mark.parametrize(
    ("key", "algorithm", "size"),
    [
        (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384(), 48),
        (rsa.generate_private_key(65537, 2048), hashes.SHA256(), 32),
        (rsa.generate_private_key(65537, 2048), hashes.SHA512(), 64),
        (ed25519.Ed25519PrivateKey.generate(), None, 0),
    ],
    ids=["ecdsa384", "rsa256", "rsa512", "ed25519"],
)
def test_other_certificates(another_database, tmp_path, key, algorithm, size):
    made = certificate(tmp_path, key, algorithm)
    assert len(server_end_point(made)) == size
    files = {"certificate": str(tmp_path / "server.pem"), "key": str(tmp_path / "server.key")}
    with Stand(another_database, tls={"mode": "required", **files}) as stand:
        with Wire(stand.port) as wire:
            assert (b"SCRAM-SHA-256-PLUS" in offer(wire.tls())) is bool(size)
        if size:
            assert connect(stand.dsn(sslmode="require", channel_binding="require"))
        assert connect(stand.dsn(sslmode="require", channel_binding="prefer"))
