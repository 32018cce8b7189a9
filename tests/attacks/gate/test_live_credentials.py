"""Certificates, tokens and throttling as `ringfort.toml` and the command line set them up, all running."""

import json

import psycopg
import pytest
from cryptography import x509
from tests.attacks.gate.authorities import Authority
from tests.attacks.gate.issuer import AUDIENCE, ISSUER, Issuer
from tests.live_deployment import ANALYST, SUPPORT, Who, deployment, wait_for

ROBOT = Who("robot", "IE", "support", "customer-support")


@pytest.fixture
def ready(tmp_path):
    """A deployment that is up, an authority that it believes, and an issuer whose keys it has as a file."""
    (tmp_path / "issuer").mkdir()
    authority, issuer = Authority(tmp_path / "clients"), Issuer(tmp_path / "issuer")
    with deployment() as live:
        (live.folder / "clients.pem").write_bytes(authority.ca.read_bytes())
        (live.folder / "keys.json").write_text(json.dumps({"keys": issuer.keys}))
        with (live.folder / "ringfort.toml").open("a") as file:
            file.write(
                "\n[gateway.authentication]\nfailures_before_delay = 2\ndelay_seconds = 60\n"
                '[gateway.client_certificates]\nca = "clients.pem"\n'
                f'[gateway.oidc]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks_file = "keys.json"\n'
                'country_claim = "country"\n'
            )
        yield live.start(), authority, issuer


def columns(live, who, **more):
    with live.connect(who, **more) as connection:
        cursor = connection.execute("SELECT * FROM people LIMIT 1")
        return {each.name for each in cursor.description}


def test_a_whole_deployment(ready):
    live, authority, issuer = ready
    added = live.ringfort(
        "principal", "add", "DIR", ROBOT.name, "--country", "IE", "--employer", "Example",
        "--role", "support", "--no-password", "--certificate", "san:uri:spiffe://shop/robot",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    changed = live.ringfort("principal", "credential", "DIR", SUPPORT.name, "--token", "alice-4711")
    assert changed.returncode == 0, changed.stderr

    # a certificate from home shows what the principal may see, one from abroad what is left of it there
    names = [x509.UniformResourceIdentifier("spiffe://shop/robot")]
    home = authority.issue("home", names=names, country="IE")
    abroad = authority.issue("abroad", names=names, country="CN")
    del home["sslmode"], abroad["sslmode"]
    seen = columns(live, ROBOT, password="", **home)
    assert "email" in seen
    assert "email" not in columns(live, ROBOT, password="", **abroad)

    # a token likewise
    assert columns(live, SUPPORT, password=issuer.token(country="IE")) == seen
    assert "email" not in columns(live, SUPPORT, password=issuer.token(country="US"))
    assert "email" not in columns(live, SUPPORT, password=issuer.token())
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        live.connect(SUPPORT)
    viewers = [each["viewer"][-1] for each in live.entries("SessionOpened")]
    assert {(each["source"], each["country"]) for each in viewers} == {
        ("certificate", "IE"),
        ("certificate", "CN"),
        ("token", "IE"),
        ("token", "US"),
        ("token", ""),
    }

    # guesses are counted for all workers together
    said = []
    for _ in range(4):
        with pytest.raises(psycopg.OperationalError) as error:
            live.connect(ANALYST, password="wrong")
        said.append("too many failed attempts" in str(error.value))
    assert said == [False, False, True, True]

    wait_for(lambda: len(live.entries("CredentialAccepted")) == 5)
    live.verify()
    for log in live.logs.iterdir():
        assert b"eyJ" not in log.read_bytes(), log
