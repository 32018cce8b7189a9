"""Client certificates: who comes in with one, with what it must be joined, and what it says of the viewer."""

import psycopg
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.attacks.gate.authorities import Authority
from tests.attacks.wire_stand import Stand, Wire, states, wait_for

from ringfort.config import AuthenticationConfig
from ringfort.ledger.entry_control_credentials import CredentialRegistered, CredentialRemoved

BY = {"time": "2026-11-22T10:00:00Z", "actor": "operator"}
EMAIL = "san:email:alice@shop.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def stand(database, authority):
    with Stand(database, client_certificates={"ca": str(authority.ca)}) as stand:
        stand.provisioner.append(
            CredentialRegistered(**BY, name="alice", method="certificate", subject=EMAIL),
            CredentialRegistered(**BY, name="bob", method="certificate", subject="cn:bob of Boston"),
        )
        yield stand
        assert "Error" not in stand.log()


def mail(text="alice@shop.example"):
    return [x509.RFC822Name(text)]


def connect(stand, user="alice", **more):
    """The session's name for itself; `password` none by default."""
    with psycopg.connect(stand.dsn(user, **{"password": "", **more}), autocommit=True) as connection:
        return connection.execute("SELECT name FROM seen WHERE id = 7").fetchone() == ("name 7",)


def refused(stand, **more):
    with pytest.raises(psycopg.OperationalError) as error:
        connect(stand, **more)
    return str(error.value)


def test_a_certificate_lets_in_without_a_password(stand, authority):
    files = authority.issue("alice", names=mail())
    before = len(stand.entries("CredentialAccepted"))
    assert connect(stand, **files)
    assert connect(stand, **files, sslnegotiation="direct")
    assert connect(stand, "bob", **authority.issue("bob", cn="bob of Boston"))
    wait_for(lambda: len(stand.entries("CredentialAccepted")) == before + 3)
    assert {each.method for each in stand.entries("CredentialAccepted")} == {"certificate"}


def test_its_country_is_one_more_source(stand, authority):
    assert connect(stand, **authority.issue("abroad", names=mail(), country="US"))
    session = stand.entries("SessionOpened")[-1]
    assert [(each.source, each.country) for each in session.viewer] == [
        ("registration", "IE"),
        ("network zone", ""),
        ("certificate", "US"),
    ]
    assert connect(stand, **authority.issue("nowhere", names=mail()))
    assert [each.source for each in stand.entries("SessionOpened")[-1].viewer] == [
        "registration",
        "network zone",
    ]


@pytest.mark.parametrize(
    ("user", "facts"),
    [
        ("bob", {"names": [x509.RFC822Name("alice@shop.example")]}),
        ("alice", {"names": [x509.RFC822Name("alice@other.example")]}),
        ("alice", {"names": [x509.RFC822Name("Alice@shop.example")]}),
        ("alice", {"names": [x509.DNSName("alice.shop.example")]}),
        ("alice", {"cn": "alice@shop.example"}),
        ("alice", {"cn": EMAIL}),
        ("alice", {"cn": "alice"}),
        ("alice", {"names": [x509.UniformResourceIdentifier("alice@shop.example")]}),
        ("nobody", {"cn": "nobody"}),
    ],
)
def test_a_certificate_of_somebody_else_opens_nothing(stand, authority, user, facts):
    files = authority.issue("other", **facts)
    assert "no password supplied" in refused(stand, user=user, **files)
    assert "password authentication failed" in refused(stand, user=user, **{**files, "password": "x"})


def test_a_password_still_does(stand, authority):
    from tests.attacks.wire_stand import PASSWORD

    assert connect(stand, password=PASSWORD, sslmode="require")
    assert connect(stand, password=PASSWORD, **authority.issue("other", cn="somebody"))


@pytest.mark.parametrize(
    "facts", [{"days": -1.0}, {"usage": ExtendedKeyUsageOID.SERVER_AUTH}], ids=["expired", "for servers"]
)
def test_a_certificate_that_does_not_verify_ends_the_handshake(stand, authority, facts):
    from tests.attacks.wire_stand import PASSWORD

    files = authority.issue("bad", names=mail(), **facts)
    said = refused(stand, password=PASSWORD, **files)
    assert "password" not in said


def test_a_certificate_of_another_authority_ends_the_handshake(stand, authority, tmp_path):
    other = Authority(tmp_path / "same name")
    said = refused(stand, **other.issue("alice", names=mail()))
    assert "password" not in said


def test_a_stolen_certificate_needs_its_key(stand, authority):
    files = authority.issue("alice", names=mail())
    mine = authority.issue("mine", cn="mine")
    assert "key" in refused(stand, **{**files, "sslkey": mine["sslkey"]})


def test_without_tls_there_is_no_certificate(stand, authority):
    with Wire(stand.port) as wire:
        wire.startup("alice")
        assert b"SCRAM" in wire.message().data


def test_a_removed_credential_opens_nothing_more_and_ends_its_sessions(stand, authority):
    files = authority.issue("bob2", cn="bob of Boston")
    with psycopg.connect(stand.dsn("bob", password="", **files), autocommit=True) as connection:
        stand.provisioner.append(CredentialRemoved(**BY, name="bob", method="certificate"))
        with pytest.raises(psycopg.OperationalError, match="your registration has changed"):  # noqa: PT012
            for _ in range(100):
                connection.execute("SELECT 1")
    assert "no password supplied" in refused(stand, user="bob", **files)


def test_required_means_both(another_database, authority):
    from tests.attacks.wire_stand import PASSWORD

    settings = {"ca": str(authority.ca), "certificate": "required"}
    with Stand(another_database, client_certificates=settings) as stand:
        stand.provisioner.append(
            CredentialRegistered(**BY, name="alice", method="certificate", subject=EMAIL)
        )
        files = authority.issue("alice", names=mail())
        assert connect(stand, password=PASSWORD, **files)
        assert connect(stand, password=PASSWORD, channel_binding="require", **files)
        assert "no password supplied" in refused(stand, **files)
        assert "password authentication failed" in refused(stand, password="wrong", **files)
        wanted = "a client certificate that is registered for this user is required"
        assert wanted in refused(stand, password=PASSWORD, sslmode="require")
        assert wanted in refused(stand, password=PASSWORD, sslmode="disable")
        assert wanted in refused(stand, password=PASSWORD, user="bob", **files)
        assert wanted in refused(stand, password=PASSWORD, user="nobody", **files)
        with Wire(stand.port) as wire:
            wire.tls().startup("alice")
            assert states(wire.until_closed()) == ["28000"]
        wait_for(lambda: "no certificate" in {each.reason for each in stand.entries("AuthenticationFailed")})


def test_required_certificates_do_not_let_anybody_fill_the_record(another_database, authority):
    """Without a certificate nothing is guessed, but each failure is an entry: they are throttled, too."""
    settings = {"ca": str(authority.ca), "certificate": "required"}
    slow = AuthenticationConfig(5, 8, delay_seconds=60.0)
    with Stand(another_database, client_certificates=settings, authentication=slow) as stand:
        for number in range(60):
            with Wire(stand.port) as wire:
                wire.tls().startup(("alice", "nobody", f"name {number}")[number % 3])
                assert states(wire.until_closed()) == ["28000"]
        reasons = [each.reason for each in stand.entries("AuthenticationFailed")]
        assert reasons.count("no certificate") == 8
        assert reasons.count("too many failures") == 1
