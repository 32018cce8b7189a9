"""Toward a site: what the DSN says is done, and never less."""

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ringfort.gateway.site_connection import SiteConnector, SiteError, SiteTarget
from ringfort.sites.tls import make_tls


@pytest.fixture(scope="module")
def target(database):
    facts = conninfo_to_dict(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE ROLE rf_site_tls LOGIN PASSWORD 'profile'")

    def made(mode, ca=facts["sslrootcert"], **more):
        given = {"host": facts["host"], "port": int(facts["port"]), **more}
        return SiteTarget(
            database=facts["dbname"],
            role="rf_site_tls",
            password="profile",
            tls_mode=mode,
            tls_ca=ca,
            **given,
        )

    return made


async def _connect(target):
    session = await SiteConnector().connect(target, {})
    encrypted = session.conversation.transport.get_extra_info("ssl_object") is not None
    session.conversation.abort()
    return encrypted


def connect(target):
    return asyncio.run(_connect(target))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full", "prefer", "allow", ""])
def test_tls_with_the_right_authority(target, mode):
    assert connect(target(mode))


def test_no_tls_only_if_that_was_chosen(target):
    with pytest.raises(SiteError, match="did not let the session in"):  # this server takes TLS only
        connect(target("disable"))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full", "prefer", "allow"])
def test_another_authority_is_refused(target, mode, tmp_path):
    make_tls(tmp_path, ("localhost",), now=datetime.now(UTC))
    with pytest.raises(SiteError, match="SSLCertVerificationError"):
        connect(target(mode, str(tmp_path / "ca.pem")))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full", "prefer", "allow", "", "disable"])
def test_the_look_before_serving_goes_as_far_as_a_session_does(target, mode):
    asyncio.run(SiteConnector().reach(target(mode)))


@pytest.mark.parametrize(
    ("mode", "more", "what"),
    [
        ("prefer", {"ca": ""}, "not accepted"),
        ("verify-full", {"ca": ""}, "not accepted"),
        ("verify-full", {"ca": "/nowhere/ca.pem"}, "FileNotFoundError"),
        ("prefer", {"port": 9}, "ConnectionRefusedError"),
        ("disable", {"host": "/nowhere"}, "FileNotFoundError"),
    ],
)
def test_what_would_refuse_a_session_refuses_the_look_and_says_what_to_do(target, mode, more, what):
    with pytest.raises(SiteError, match=what) as refused:
        asyncio.run(SiteConnector().reach(target(mode, **more)))
    assert "connection string" in refused.value.hint


@pytest.mark.parametrize("mode", ["verify-full", "prefer", ""])
def test_the_machines_authorities_do_not_know_the_site(target, mode):
    with pytest.raises(SiteError, match="SSLCertVerificationError"):
        connect(target(mode, ""))


def test_only_require_without_an_authority_verifies_nobody(target):
    assert connect(target("require", ""))


@pytest.mark.parametrize(
    ("mode", "good"), [("require", True), ("verify-ca", True), ("verify-full", False), ("prefer", False)]
)
def test_the_name_is_verified(target, mode, good, tmp_path):
    make_tls(tmp_path, ("another.example",), now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    got = []

    def serve(server):
        plain, _ = server.accept()
        with contextlib.suppress(OSError), plain:
            plain.recv(8)
            plain.sendall(b"S")
            with context.wrap_socket(plain, server_side=True) as encrypted:
                got.append(encrypted.recv(4096))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        with pytest.raises(SiteError, match="cannot be reached" if good else "SSLCertVerificationError"):
            connect(target(mode, str(tmp_path / "ca.pem"), host="127.0.0.1", port=server.getsockname()[1]))
        thread.join()
    assert bool(b"".join(got)) is good


def test_a_new_authority_is_read_without_a_restart(target, tmp_path):
    right = Path(target("verify-full").tls_ca).read_bytes()

    async def run():
        connector = SiteConnector()
        file = tmp_path / "authorities.pem"
        make_tls(tmp_path, ("localhost",), now=datetime.now(UTC))
        file.write_bytes((tmp_path / "ca.pem").read_bytes())
        with pytest.raises(SiteError):
            await connector.connect(target("verify-full", str(file)), {})
        file.write_bytes(right)
        os.utime(file, ns=(1, 1))
        session = await connector.connect(target("verify-full", str(file)), {})
        session.conversation.abort()

    asyncio.run(run())


@pytest.mark.parametrize("answer", [b"N", b"E", b"G", b"SR\0\0\0\x08\0\0\0\0", b""])
@pytest.mark.parametrize("mode", ["require", "verify-full", "prefer", "allow"])
def test_a_site_without_tls_gets_no_startup_packet(target, mode, answer):
    got = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with contextlib.suppress(OSError), connection:
                connection.settimeout(5)
                connection.sendall(answer) if answer else None
                if not answer:
                    connection.shutdown(socket.SHUT_WR)
                while data := connection.recv(4096):
                    got.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SiteError):
            connect(target(mode, "", host="127.0.0.1", port=server.getsockname()[1]))
        thread.join()
    assert b"".join(got) == b"\0\0\0\x08\x04\xd2\x16\x2f"
