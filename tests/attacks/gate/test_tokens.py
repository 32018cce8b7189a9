"""Tokens as passwords: real clients, an issuer over HTTPS that rotates its keys, and what must not happen."""

import asyncio
import re
import ssl
import time

import asyncpg
import psycopg
import pytest
from tests.attacks.gate.issuer import Issuer, make_key, published
from tests.attacks.wire_stand import PASSWORD, Stand, Wire, wait_for

from ringfort.config import OidcConfig
from ringfort.gateway.tokens import TokenRefusedError
from ringfort.gateway.tokens_keys import (
    FRESH_SECONDS,
    RETRY_SECONDS,
    STALE_SECONDS,
    KeysUnavailableError,
    Tokens,
)
from ringfort.ledger.entry_control_credentials import CredentialRegistered
from ringfort.pgwire import backend as be

BY = {"time": "2026-11-22T10:00:00Z", "actor": "operator"}
TOKEN = re.compile(rb"ey[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]+")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    with Issuer(tmp_path_factory.mktemp("issuer")) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def stand(database, issuer):
    settings = issuer.settings(refetch_seconds=0.2, country_claim="country")
    with Stand(database, oidc=settings) as stand:
        stand.provisioner.append(
            CredentialRegistered(**BY, name="alice", method="token", subject="alice-4711")
        )
        yield stand
        assert "Error" not in stand.log()
        assert not TOKEN.search(stand.log().encode())


def connect(stand, token, **more):
    dsn = stand.dsn(**{"password": token, "sslmode": "require", **more})
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute("SELECT name FROM seen WHERE id = 7").fetchone() == ("name 7",)


def refused(stand, token, **more):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed") as error:
        connect(stand, token, **more)
    assert not token or token not in str(error.value)
    wait_for(lambda: stand.entries("AuthenticationFailed"))
    return stand.entries("AuthenticationFailed")[-1].reason


def test_libpq_and_asyncpg(stand, issuer):
    before = len(stand.entries("CredentialAccepted"))
    assert connect(stand, issuer.token())
    assert connect(stand, issuer.token(), sslnegotiation="direct")

    async def query():
        context = ssl.create_default_context(cafile=str(stand.folder / "tls" / "ca.pem"))
        connection = await asyncpg.connect(
            host="localhost",
            port=stand.port,
            user="alice",
            password=issuer.token(),
            database="x",
            ssl=context,
        )
        try:
            return await connection.fetchval("SELECT name FROM seen WHERE id = $1", 7)
        finally:
            await connection.close()

    assert asyncio.run(query()) == "name 7"
    wait_for(lambda: len(stand.entries("CredentialAccepted")) == before + 3)
    assert stand.entries("CredentialAccepted")[-1].method == "token"


@pytest.mark.parametrize(("country", "said"), [("US", "US"), (None, ""), ("Ireland", "")])
def test_its_country_is_one_more_source(stand, issuer, country, said):
    assert connect(stand, issuer.token(country=country))
    viewer = stand.entries("SessionOpened")[-1].viewer
    assert [(each.source, each.country) for each in viewer] == [
        ("registration", "IE"),
        ("network zone", ""),
        ("token", said),
    ]


def test_only_over_tls_and_only_for_who_is_registered_for_it(stand, issuer):
    with Wire(stand.port) as wire:
        wire.startup("alice")
        assert wire.message().code == be.AUTH_SASL
    with Wire(stand.port) as wire:
        wire.tls().startup("alice")
        assert wire.message().code == be.AUTH_CLEARTEXT
    for user in ("bob", "nobody"):
        with Wire(stand.port) as wire:
            wire.tls().startup(user)
            assert wire.message().code == be.AUTH_SASL
    assert connect(stand, PASSWORD, user="bob")
    assert refused(stand, issuer.token(sub="bob"), user="bob") == "wrong proof"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sub": "bob"}, "another principal"),
        ({"aud": "other"}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"iat": None}, "no iat"),
        ({"key": make_key()}, "signature"),
        ({"name": "never heard of"}, "unknown key"),
    ],
)
def test_a_token_that_does_not_hold(stand, issuer, changes, reason):
    assert refused(stand, issuer.token(**changes)) == f"token: {reason}"


def test_a_password_is_no_token(stand):
    assert refused(stand, PASSWORD) == "token: malformed"


def test_keys_are_rotated_without_a_restart(stand, issuer):
    old = issuer.token()
    assert connect(stand, old)
    for algorithm in ("RS256", "EdDSA", "ES256"):
        issuer.rotate(f"next {algorithm}", algorithm)
        time.sleep(0.25)
        assert connect(stand, issuer.token())
    # the old key is not published any more
    assert refused(stand, old) == "token: unknown key"


def test_tokens_are_nowhere_but_in_the_evidence(stand, issuer):
    assert connect(stand, issuer.token())
    refused(stand, issuer.token(aud="other"))
    wait_for(lambda: any("evidence" in str(path) for path in stand.folder.rglob("*") if path.is_file()))
    sealed = 0
    for path in stand.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not TOKEN.search(content), path
            sealed += "evidence" in str(path)
    assert sealed


# -- the keys -----------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def tokens(issuer, clock, **changes):
    return Tokens(OidcConfig(**issuer.settings(**changes)), clock=clock)


def run(work):
    return asyncio.run(work)


def test_made_up_names_do_not_make_us_ask(issuer):
    async def main():
        clock = Clock()
        mine = tokens(issuer, clock)
        await mine.check(issuer.token(), "alice-4711")
        asked = issuer.asked
        for number in range(50):
            clock.now += 1
            with pytest.raises(TokenRefusedError, match="unknown key"):
                await mine.check(issuer.token(name=f"made up {number}"), "alice-4711")
        assert issuer.asked <= asked + 2
        many = await asyncio.gather(*(mine.check(issuer.token(), "alice-4711") for _ in range(50)))
        assert len(many) == 50
        assert issuer.asked <= asked + 2

    run(main())


def said(caplog):
    """How many lines say that the keys cannot be had."""
    return sum(getattr(each, "event", "") == "issuer-keys-failed" for each in caplog.records)


@pytest.mark.parametrize("behaviour", ["error", "redirect", "long", "junk"])
def test_an_issuer_that_fails_is_bridged_for_a_while(caplog, issuer, behaviour):
    async def main():
        clock = Clock()
        mine = tokens(issuer, clock)
        issuer.behaviour = behaviour
        with pytest.raises(KeysUnavailableError):
            await mine.check(issuer.token(), "alice-4711")
        issuer.behaviour = ""
        clock.now += 31
        await mine.check(issuer.token(), "alice-4711")
        issuer.behaviour = behaviour
        clock.now += FRESH_SECONDS + 1
        await mine.check(issuer.token(), "alice-4711")
        clock.now += STALE_SECONDS
        with pytest.raises(KeysUnavailableError):
            await mine.check(issuer.token(), "alice-4711")
        issuer.behaviour = ""
        clock.now += 31
        await mine.check(issuer.token(), "alice-4711")
        assert said(caplog) == 3
        assert "eyJ" not in caplog.text

    try:
        run(main())
    finally:
        issuer.behaviour = ""


@pytest.mark.parametrize("known", [False, True])
def test_an_issuer_that_drips_costs_a_moment_and_is_heard_when_it_has_recovered(caplog, issuer, known):
    """A byte of the header now and then never ends by itself, and each is within the limit of one read."""

    async def main():
        clock = Clock()
        mine = tokens(issuer, clock)
        if known:
            await mine.check(issuer.token(), "alice-4711")
            clock.now += FRESH_SECONDS + 1
        issuer.behaviour = "drip"
        for _ in range(8):
            if known:  # the old key goes on meanwhile
                await mine.check(issuer.token(), "alice-4711")
            else:
                with pytest.raises(KeysUnavailableError):
                    await mine.check(issuer.token(), "alice-4711")
            clock.now += RETRY_SECONDS + 0.1
            if said(caplog) >= 2:
                break
        issuer.behaviour = ""
        asked = issuer.asked
        for _ in range(20):
            clock.now += RETRY_SECONDS + 0.1
            try:
                await mine.check(issuer.token(), "alice-4711")
            except KeysUnavailableError:
                continue
            if issuer.asked > asked:
                break
        await mine.check(issuer.token(), "alice-4711")
        assert said(caplog)

    try:
        run(main())
    finally:
        issuer.behaviour = ""


def test_a_withdrawn_key_is_not_used_for_long(issuer):
    async def main():
        clock = Clock()
        mine = tokens(issuer, clock)
        old = issuer.token()
        await mine.check(old, "alice-4711")
        issuer.rotate("another")
        clock.now += FRESH_SECONDS + 1
        with pytest.raises(TokenRefusedError, match="unknown key"):
            await mine.check(old, "alice-4711")

    run(main())


def test_the_issuers_certificate_is_verified(issuer):
    async def main():
        mine = tokens(issuer, Clock(), jwks_ca="")
        with pytest.raises(KeysUnavailableError):
            await mine.check(issuer.token(), "alice-4711")
        plain = tokens(issuer, Clock(), jwks_url=f"http://localhost:{issuer.port}/keys")
        with pytest.raises(KeysUnavailableError):
            await plain.check(issuer.token(), "alice-4711")

    run(main())


def test_keys_from_a_file(issuer, tmp_path):
    import json

    file = tmp_path / "keys.json"

    async def main():
        clock = Clock()
        mine = tokens(issuer, clock, jwks_url="", jwks_file=str(file))
        with pytest.raises(KeysUnavailableError):
            await mine.check(issuer.token(), "alice-4711")
        file.write_text(json.dumps({"keys": [published(issuer.key, issuer.name, issuer.algorithm)]}))
        clock.now += 31
        await mine.check(issuer.token(), "alice-4711")

    run(main())
