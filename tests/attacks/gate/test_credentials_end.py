"""Credentials past their end: no handshake is resumed, and no session outlives what it was opened with."""

import socket
import ssl
import subprocess
import time

import psycopg
import pytest
from cryptography import x509
from tests.attacks.gate.authorities import Authority
from tests.attacks.gate.issuer import Issuer
from tests.attacks.wire_stand import PASSWORD, ClosedError, Stand, Wire, wait_for

from ringfort.ledger.entry_control_credentials import CredentialRegistered
from ringfort.pgwire import backend as be
from ringfort.pgwire.startup import SslRequest, serialise_startup

BY = {"time": "2026-11-22T10:00:00Z", "actor": "operator"}
NAMES = [x509.RFC822Name("alice@shop.example")]
SECONDS = 4


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    with Issuer(tmp_path_factory.mktemp("issuer")) as issuer:
        yield issuer


def make_stand(database, authority, issuer, **more):
    return Stand(
        database,
        client_certificates={"ca": str(authority.ca)},
        oidc=issuer.settings(clock_skew_seconds=0),
        **more,
    )


def register(stand):
    stand.provisioner.append(
        CredentialRegistered(
            **BY, name="alice", method="certificate", subject="san:email:alice@shop.example"
        ),
        CredentialRegistered(**BY, name="bob", method="token", subject="alice-4711"),
    )


@pytest.fixture(scope="module")
def stand(database, authority, issuer):
    with make_stand(database, authority, issuer) as stand:
        register(stand)
        yield stand
        assert "Error" not in stand.log()


def soon(authority, name, seconds=SECONDS):
    return authority.issue(name, names=NAMES, days=seconds / 86_400)


# -- resumption ---------------------------------------------------------------------------------------


def client(files, version):
    """A client's context, which remembers sessions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(files["sslcert"], files["sslkey"])
    return context


def shake(stand, context, session=None):
    wire = Wire(stand.port)
    wire.send(serialise_startup(SslRequest()))
    assert wire.octet() == b"S"
    wire.socket = context.wrap_socket(wire.socket, session=session)
    return wire


def first_word(wire, user="alice"):
    """What comes first after the startup message: AuthenticationOk for a certificate that is taken."""
    wire.startup(user)
    answer = wire.message()
    return answer.code if isinstance(answer, be.Authentication) else answer


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_expired_certificate_is_not_resumed(stand, authority, version):
    context = client(soon(authority, f"resumed {version.name}"), version)
    with shake(stand, context) as wire:
        assert first_word(wire) == be.AUTH_OK
        wire.until_ready()
        session = wire.socket.session
    # with the certificate in force nothing is shortened either
    with shake(stand, context, session) as wire:
        assert not wire.socket.session_reused
        assert first_word(wire) == be.AUTH_OK
    time.sleep(SECONDS + 1.5)  # the end of a certificate is a moment of the wall clock
    assert not enters(stand, context, session)


def enters(stand, context, session):
    """Whether a client comes in that would resume; what ends in the handshake does not."""
    try:
        with shake(stand, context, session) as wire:
            return wire.socket.session_reused or first_word(wire) == be.AUTH_OK
    except (OSError, ClosedError):  # an SSLError is an OSError
        return False


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_finds_nothing_to_resume(stand, authority, version):
    files = authority.issue("openssl", names=NAMES)
    command = ["openssl", "s_client", "-starttls", "postgres", "-connect", f"127.0.0.1:{stand.port}", version]
    done = subprocess.run(
        [*command, "-reconnect", "-cert", str(files["sslcert"]), "-key", str(files["sslkey"])],
        input="", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "New, TLSv1" in done.stdout
    assert "Reused" not in done.stdout


def test_direct_tls_resumes_nothing_either(stand, authority):
    context = client(authority.issue("direct", names=NAMES), ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["postgresql"])
    session = None
    for _ in range(3):
        plain = socket.create_connection(("127.0.0.1", stand.port))
        with context.wrap_socket(plain, session=session) as encrypted:
            assert not encrypted.session_reused
            session = encrypted.session


# -- sessions -----------------------------------------------------------------------------------------


def outcome(stand):
    """How the last session that ended did."""
    return stand.entries("SessionEnded")[-1].outcome


def ends(connection):
    """The error that ends a session from beneath a client that goes on asking."""
    with pytest.raises(psycopg.OperationalError) as error:  # noqa: PT012
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            connection.execute("SELECT 1")
            time.sleep(0.05)
    return str(error.value)


def test_a_session_ends_with_its_certificate(stand, authority):
    files = soon(authority, "ending")
    before = len(stand.entries("SessionEnded"))
    with psycopg.connect(stand.dsn(password="", **files), autocommit=True) as connection:
        assert "certificate or token that opened it has ended" in ends(connection)
    wait_for(lambda: len(stand.entries("SessionEnded")) == before + 1)
    assert outcome(stand) == "credential ended"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(stand.dsn(password="", **files))


def test_a_session_ends_with_its_token(stand, issuer):
    token = issuer.token(exp=int(time.time()) + SECONDS)
    before = len(stand.entries("SessionEnded"))
    dsn = stand.dsn("bob", password=token, sslmode="require")
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert "certificate or token that opened it has ended" in ends(connection)
    wait_for(lambda: len(stand.entries("SessionEnded")) == before + 1)
    assert outcome(stand) == "credential ended"


def test_a_long_answer_is_cut_off_at_the_end_too(stand, authority):
    files = soon(authority, "long")
    query = "SELECT count(*) FROM seen a, seen b, seen c, seen d, seen e WHERE a.id + b.id + c.id < 0"
    with (
        psycopg.connect(stand.dsn(password="", **files), autocommit=True) as connection,
        pytest.raises(psycopg.OperationalError, match="has ended"),
    ):
        connection.execute(query)


def test_a_password_has_no_end_and_a_certificate_that_was_not_needed_none(stand, authority):
    files = authority.issue("other", cn="somebody else", days=SECONDS / 86_400)
    with psycopg.connect(stand.dsn(password=PASSWORD, **files), autocommit=True) as connection:
        time.sleep(SECONDS + 1.5)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_deployment_may_say_otherwise(another_database, authority, issuer):
    with make_stand(another_database, authority, issuer, sessions_outlive_credentials=True) as stand:
        register(stand)
        with psycopg.connect(
            stand.dsn(password="", **soon(authority, "kept")), autocommit=True
        ) as connection:
            time.sleep(SECONDS + 1.5)
            assert connection.execute("SELECT 1").fetchone() == (1,)
