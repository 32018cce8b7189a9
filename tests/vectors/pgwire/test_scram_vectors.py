"""SCRAM-SHA-256: RFC 7677 section 3; SASLprep: RFC 4013 section 3."""

from base64 import b64decode

import pytest

from ringfort.pgwire.saslprep import prepare
from ringfort.pgwire.scram import ScramClient, ScramServer, build_verifier, salted_password

SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_server_side():
    server = ScramServer(build_verifier("pencil", SALT, 4096), SERVER_NONCE)
    assert server.first(b"n,,n=user,r=" + CLIENT_NONCE.encode()) == SERVER_FIRST
    assert server.final(CLIENT_FINAL) == SERVER_FINAL


def test_client_side():
    client = ScramClient(CLIENT_NONCE, "user")
    assert client.first() == b"n,,n=user,r=" + CLIENT_NONCE.encode()
    salt, iterations = client.challenge(SERVER_FIRST)
    assert (salt, iterations) == (SALT, 4096)
    assert client.final(salted_password("pencil", salt, iterations)) == CLIENT_FINAL
    client.verify(SERVER_FINAL)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", None),
        ("\u0627\u0031", None),
    ],
)
def test_saslprep(given, expected):
    assert prepare(given) == expected
