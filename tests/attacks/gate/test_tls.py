"""TLS at the gate: after SSLRequest, directly, what is not TLS, and certificates that change meanwhile."""

import shutil
import socket
import ssl
import subprocess

import asyncpg
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.attacks.test_wire import sent
from tests.attacks.wire_stand import PASSWORD, ClosedError, Stand, Wire, rows, states, wait_for

from ringfort.pgwire.frontend import Query
from ringfort.pgwire.startup import GssEncRequest, SslRequest, StartupMessage, serialise_startup
from ringfort.sites.tls import make_tls

QUICK = sent(Query(b"SELECT name FROM seen WHERE id = 7"))
STARTUP = serialise_startup(StartupMessage(0, ((b"user", b"alice"), (b"database", b"x"))))


@pytest.fixture(scope="module")
def stand(database):
    with Stand(database, startup_seconds=1.0) as stand:
        yield stand
        assert "Error" not in stand.log()


def context(stand, alpn=("postgresql",)):
    made = ssl.create_default_context(cafile=str(stand.folder / "tls" / "ca.pem"))
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def direct(stand, alpn=("postgresql",)):
    wire = Wire(stand.port)
    wire.socket = context(stand, alpn).wrap_socket(wire.socket, server_hostname="localhost")
    return wire


def works(wire):
    with wire:
        wire.login().send(QUICK)
        assert rows(wire.until_ready()) == [(b"name 7",)]


# -- clients ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("negotiation", ["direct", "postgres"])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_libpq(stand, negotiation, version):
    if psycopg.pq.version() < 170000:
        pytest.skip("this libpq is older than 17 and has no `sslnegotiation`")
    dsn = stand.dsn(
        host="localhost",
        sslmode="verify-full",
        sslrootcert=stand.folder / "tls" / "ca.pem",
        sslnegotiation=negotiation,
        ssl_min_protocol_version=version,
        ssl_max_protocol_version=version,
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert connection.execute("SELECT name FROM seen WHERE id = 7").fetchone() == ("name 7",)


async def _asyncpg(stand, *, direct_tls):
    connection = await asyncpg.connect(
        host="localhost",
        port=stand.port,
        user="alice",
        password=PASSWORD,
        database="x",
        ssl=context(stand),
        direct_tls=direct_tls,
    )
    try:
        return await connection.fetchval("SELECT name FROM seen WHERE id = $1", 7)
    finally:
        await connection.close()


@pytest.mark.parametrize("direct_tls", [False, True])
def test_asyncpg(stand, direct_tls):
    import asyncio

    assert asyncio.run(_asyncpg(stand, direct_tls=direct_tls)) == "name 7"


@pytest.mark.parametrize(
    ("options", "good"),
    [
        (("-tls1_3", "-starttls", "postgres"), True),
        (("-tls1_2", "-starttls", "postgres"), True),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-starttls", "postgres"), False),
        (("-tls1", "-cipher", "ALL:@SECLEVEL=0", "-starttls", "postgres"), False),
        (("-tls1_3", "-alpn", "postgresql"), True),
        (("-tls1_2", "-alpn", "postgresql"), True),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-alpn", "postgresql"), False),
    ],
)
def test_openssl(stand, options, good):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl program")
    done = subprocess.run(
        [program, "s_client", "-connect", f"127.0.0.1:{stand.port}", "-brief", *options],
        input=b"",
        capture_output=True,
        timeout=20,
    )
    said = done.stdout + done.stderr
    assert (b"CONNECTION ESTABLISHED" in said) is good, said


# -- direct TLS ---------------------------------------------------------------------------------------


def test_a_direct_handshake_that_comes_in_pieces(stand):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(stand).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with Wire(stand.port) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                for octet in outgoing.read():
                    wire.send(bytes([octet]))
                incoming.write(wire.socket.recv(65_536))
        wire.send(outgoing.read())
        client.write(STARTUP)
        wire.send(outgoing.read())
        answer = b""
        while not answer:
            incoming.write(wire.socket.recv(65_536))
            try:
                answer = client.read(100)
            except ssl.SSLWantReadError:
                continue
        assert answer[:1] == b"R"


@pytest.mark.parametrize("alpn", [(), ("h2",), ("http/1.1", "h2")])
def test_direct_tls_needs_our_protocol(stand, alpn):
    with Wire(stand.port) as wire:
        try:
            wire.socket = context(stand, alpn).wrap_socket(wire.socket, server_hostname="localhost")
            wire.send(STARTUP)
        except OSError:
            return
        with pytest.raises((ClosedError, OSError)):
            wire.message()


@pytest.mark.parametrize("alpn", [(), ("postgresql",), ("h2", "postgresql")])
def test_after_ssl_request_none_is_needed(stand, alpn):
    wire = Wire(stand.port).send(serialise_startup(SslRequest()))
    assert wire.octet() == b"S"
    wire.socket = context(stand, alpn).wrap_socket(wire.socket, server_hostname="localhost")
    assert wire.socket.selected_alpn_protocol() == ("postgresql" if alpn else None)
    works(wire)


@pytest.mark.parametrize("request_", [SslRequest(), GssEncRequest()])
def test_encryption_inside_of_direct_tls(stand, request_):
    with direct(stand) as wire:
        wire.send(serialise_startup(request_))
        assert states(wire.until_closed()) == ["08P01"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x16\x03\x01\x40\x00" + bytes(0x4000),
        b"\x16" + b"x" * 300_000,
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x10" + bytes(16),
    ],
)
def test_a_handshake_that_is_none_gets_no_word_of_ours(stand, data):
    """Neither a startup error in plaintext nor anything but TLS's own alerts."""
    with Wire(stand.port) as wire:
        try:
            wire.send(data)
            wire.socket.settimeout(5)
            wire.until_closed()
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert bytes(wire.received[:1]) in {b"", b"\x15"}
    works(direct(stand))


def test_a_client_that_stops_in_its_handshake_is_cut_off_silently(stand):
    for opening in (b"", serialise_startup(SslRequest())):
        with Wire(stand.port) as wire:
            if opening:
                wire.send(opening)
                assert wire.octet() == b"S"
            wire.send(b"\x16\x03\x01")
            assert wire.until_closed() == []
            assert bytes(wire.received) in {b"", b"S"}


# -- plaintext where TLS must be ----------------------------------------------------------------------


def test_nothing_that_came_in_plaintext_is_read_as_encrypted(stand):
    """CVE-2021-23222: bytes injected behind SSLRequest, whatever they are and however they are cut."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    for behind in (b"\0", STARTUP, STARTUP + QUICK, hello, serialise_startup(SslRequest()) * 2):
        with Wire(stand.port) as wire:
            wire.send(serialise_startup(SslRequest()) + behind)
            assert states(wire.until_closed()) == ["08P01"]


def test_plaintext_after_the_answer_breaks_the_handshake(stand):
    with Wire(stand.port) as wire:
        wire.send(serialise_startup(SslRequest()))
        assert wire.octet() == b"S"
        wire.send(STARTUP + QUICK)
        with pytest.raises((ClosedError, Exception)):
            wire.message()
        assert b"name 7" not in wire.received
        assert not any(mark in wire.received for mark in (b"SCRAM", b"FATAL", b"server_version"))


def test_gssenc_is_answered_no_and_tls_may_follow(stand):
    wire = Wire(stand.port).send(serialise_startup(GssEncRequest()))
    assert wire.octet() == b"N"
    works(wire.tls())


def test_without_a_certificate_there_is_no_tls(another_database):
    with Stand(another_database, tls={"mode": "optional"}) as stand:
        with Wire(stand.port) as wire:
            wire.send(serialise_startup(SslRequest()))
            assert wire.octet() == b"N"
            wire.login()
        with Wire(stand.port) as wire:
            wire.send(b"\x16\x03\x01\x00\x00")
            assert wire.until_closed() == []
            assert not wire.received
        with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
            psycopg.connect(stand.dsn(sslmode="require"))


# -- certificates that change -------------------------------------------------------------------------


def served(stand):
    """The certificate that a new connection is met with."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(["postgresql"])
    with (
        socket.create_connection(("127.0.0.1", stand.port), timeout=10) as plain,
        made.wrap_socket(plain) as encrypted,
    ):
        return encrypted.getpeercert(binary_form=True)


def test_a_renewed_certificate_is_used_without_a_restart(another_database, tmp_path):
    from datetime import UTC, datetime

    def renew(folder):
        make_tls(folder, ("localhost", "127.0.0.1"), now=datetime.now(UTC))
        return ssl.PEM_cert_to_DER_cert((folder / "server.pem").read_text())

    (tmp_path / "new").mkdir()
    first = renew(tmp_path)
    files = {"certificate": str(tmp_path / "server.pem"), "key": str(tmp_path / "server.key")}
    with Stand(another_database, tls={"mode": "required", **files}) as stand:
        assert served(stand) == first
        with Wire(stand.port) as before:
            before.tls().login()
            second = renew(tmp_path)
            wait_for(lambda: served(stand) == second)
            # broken: half a file, another key, no file, an encrypted key: the second stays in force
            whole = (tmp_path / "server.pem").read_bytes()
            key = (tmp_path / "server.key").read_bytes()
            private = ec.generate_private_key(ec.SECP256R1())
            locked = private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"x"),
            )
            for number, (name, content) in enumerate(
                [("server.pem", whole[:200]), ("server.key", b""), ("server.key", locked)], start=1
            ):
                kept = (tmp_path / name).read_bytes()
                (tmp_path / name).write_bytes(content)
                wait_for(lambda n=number: (served(stand), stand.log().count("stays"))[1] >= n)
                assert served(stand) == second
                (tmp_path / name).write_bytes(kept)
                told = number + 1
                wait_for(lambda n=told: (served(stand), stand.log().count("was renewed"))[1] >= n)
            assert (tmp_path / "server.key").read_bytes() == key
            (tmp_path / "server.key").unlink()
            wait_for(lambda: (served(stand), stand.log().count("stays"))[1] >= 4)
            third = renew(tmp_path)
            wait_for(lambda: served(stand) == third)
            before.send(QUICK)
            assert rows(before.until_ready()) == [(b"name 7",)]
        assert "PRIVATE KEY" not in stand.log()
